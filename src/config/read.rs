//! Reads a tree of values and notes every problem on the way, where a deserializer would stop at the first.

use std::{cell::RefCell, collections::BTreeMap, fmt, ops::RangeInclusive, time::Duration};

use serde_json::{Map, Value};

use super::problem::Problem;

/// Collects the problems of one document.
#[derive(Debug, Default)]
pub(crate) struct Reader {
    problems: RefCell<Vec<Problem>>,
    /// Paths whose value an environment variable has set, with its name.
    pub overridden: BTreeMap<String, String>,
}

/// A value at its place.
#[derive(Clone)]
pub(crate) struct Node<'a> {
    path: String,
    value: &'a Value,
    reader: &'a Reader,
    /// Whether the value must not be shown.
    hidden: bool,
}

/// A mapping of which every key must be asked for.
pub(crate) struct Section<'a> {
    path: String,
    fields: Option<&'a Map<String, Value>>,
    reader: &'a Reader,
    hidden: bool,
    known: Vec<&'static str>,
}

impl Reader {
    pub fn into_problems(self) -> Vec<Problem> {
        self.problems.into_inner()
    }

    pub fn root<'a>(&'a self, value: &'a Value) -> Section<'a> {
        Section { path: String::new(), fields: value.as_object(), reader: self, hidden: false, known: Vec::new() }
    }

    fn note(&self, path: &str, found: Option<String>, expected: String, is_warning: bool) {
        let path = match self.overridden.get(path) {
            Some(variable) => format!("{path} (set by {variable})"),
            None => path.to_owned(),
        };
        self.problems.borrow_mut().push(Problem { path, found, expected, is_warning });
    }
}

impl<'a> Section<'a> {
    /// The value of a key; `None` where it is absent or null.
    pub fn get(&mut self, key: &'static str) -> Option<Node<'a>> {
        self.known.push(key);
        let value = self.fields?.get(key).filter(|value| !value.is_null())?;
        Some(Node { path: self.path_of(key), value, reader: self.reader, hidden: self.hidden })
    }

    /// Whether a key is there, and not null.
    pub fn has(&self, key: &str) -> bool {
        self.fields.and_then(|fields| fields.get(key)).is_some_and(|value| !value.is_null())
    }

    /// As `get`; a missing key is a problem.
    pub fn require(&mut self, key: &'static str, expected: &str) -> Option<Node<'a>> {
        let node = self.get(key);
        if node.is_none() {
            self.reader.note(&self.path_of(key), None, format!("is missing; expected {expected}"), false);
        }
        node
    }

    /// The section under a key; an empty one where it is absent.
    pub fn section(&mut self, key: &'static str) -> Section<'a> {
        self.get(key).map_or_else(
            || Section {
                path: self.path_of(key),
                fields: None,
                reader: self.reader,
                hidden: self.hidden,
                known: Vec::new(),
            },
            |node| node.section(),
        )
    }

    /// A problem of the section as a whole.
    pub fn problem(&self, expected: impl Into<String>) {
        self.reader.note(&self.path, None, expected.into(), false);
    }

    /// Every key that was not asked for is a problem.
    pub fn finish(self) {
        for key in self.fields.into_iter().flat_map(Map::keys) {
            if !self.known.iter().any(|known| known == key) {
                // Its value is not shown: it may be a secret in the wrong place.
                let expected = format!("there is no such key; expected one of {}", self.known.join(", "));
                self.reader.note(&self.path_of(key), None, expected, false);
            }
        }
    }

    fn path_of(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }
}

impl<'a> Node<'a> {
    /// Whatever is below this node must not be shown in a message.
    pub fn hide(mut self) -> Self {
        self.hidden = true;
        self
    }

    pub fn problem(&self, expected: impl fmt::Display) {
        self.note(format!("expected {expected}"), false);
    }

    pub fn warning(&self, text: impl Into<String>) {
        self.note(text.into(), true);
    }

    fn note(&self, text: String, is_warning: bool) {
        let found = if self.hidden { "a value that is not shown".to_owned() } else { show(self.value) };
        self.reader.note(&self.path, Some(found), text, is_warning);
    }

    /// The result of `parse`, or a problem.
    pub fn read<T>(&self, expected: &str, parse: impl FnOnce(&'a Value) -> Option<T>) -> Option<T> {
        let value = parse(self.value);
        if value.is_none() {
            let hint =
                if self.value.is_number() && expected.starts_with("a text") { " (digits need quotes)" } else { "" };
            self.problem(format!("{expected}{hint}"));
        }
        value
    }

    /// A text that `parse` accepts.
    pub fn parse<T>(&self, expected: &str, parse: impl FnOnce(&'a str) -> Option<T>) -> Option<T> {
        self.read(expected, |value| value.as_str().and_then(parse))
    }

    /// A text that is not empty.
    pub fn text(&self) -> Option<String> {
        self.parse("a text that is not empty", |text| (!text.trim().is_empty()).then(|| text.to_owned()))
    }

    pub fn duration(&self, range: RangeInclusive<Duration>) -> Option<Duration> {
        let (least, most) = (humantime::format_duration(*range.start()), humantime::format_duration(*range.end()));
        let expected = format!("a duration from {least} to {most}, such as 90s, 5m or 1h30m");
        self.parse(&expected, |text| humantime::parse_duration(text).ok().filter(|value| range.contains(value)))
    }

    /// A number, also where an environment variable gives it as text.
    pub fn number(&self, range: RangeInclusive<f64>) -> Option<f64> {
        self.read(&format!("a number from {} to {}", range.start(), range.end()), |value| {
            let number = value.as_f64().or_else(|| value.as_str()?.parse().ok());
            number.filter(|number| range.contains(number))
        })
    }

    /// An integer, also where an environment variable gives it as text.
    pub fn integer(&self, range: RangeInclusive<usize>) -> Option<usize> {
        self.read(&format!("an integer from {} to {}", range.start(), range.end()), |value| {
            let number = value.as_u64().and_then(|number| number.try_into().ok());
            number.or_else(|| value.as_str()?.parse().ok()).filter(|number| range.contains(number))
        })
    }

    /// The elements of a list; what `read` makes nothing of is left out.
    pub fn list<T>(&self, read: impl FnMut(Node<'a>) -> Option<T>) -> Vec<T> {
        let list = self.read("a list", Value::as_array).map_or(&[][..], Vec::as_slice);
        let element = |(index, value)| Node {
            path: format!("{}[{index}]", self.path),
            value,
            reader: self.reader,
            hidden: self.hidden,
        };
        list.iter().enumerate().map(element).filter_map(read).collect()
    }

    /// As `list`; an element that was there before is a problem.
    pub fn set<T: PartialEq>(&self, mut read: impl FnMut(&Node<'a>) -> Option<T>) -> Vec<T> {
        let mut seen = Vec::new();
        for (node, value) in self.list(|node| read(&node).map(|value| (node, value))) {
            if seen.contains(&value) {
                node.problem("each value once");
            } else {
                seen.push(value);
            }
        }
        seen
    }

    /// The values of a mapping by their keys.
    pub fn entries(&self) -> Vec<(&'a str, Node<'a>)> {
        let fields = self.read("a mapping", Value::as_object);
        let entry = |(key, value): (&'a String, &'a Value)| {
            let path = format!("{}.{key}", self.path);
            (key.as_str(), Node { path, value, reader: self.reader, hidden: self.hidden })
        };
        fields.into_iter().flatten().map(entry).collect()
    }

    pub fn section(&self) -> Section<'a> {
        Section {
            path: self.path.clone(),
            fields: self.read("a mapping", Value::as_object),
            reader: self.reader,
            hidden: self.hidden,
            known: Vec::new(),
        }
    }

    pub fn contains(&self, character: char) -> bool {
        self.value.as_str().is_some_and(|text| text.contains(character))
    }

    pub fn is_mapping(&self) -> bool {
        self.value.is_object()
    }
}

/// A value as found, short enough for a line.
fn show(value: &Value) -> String {
    match value {
        Value::Array(list) => format!("a list of {}", list.len()),
        Value::Object(map) => format!("a mapping of {}", map.keys().map(String::as_str).collect::<Vec<_>>().join(", ")),
        scalar => scalar.to_string(),
    }
}
