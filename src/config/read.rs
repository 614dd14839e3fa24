//! Reads a tree of values and collects every problem. A deserializer would stop at the first.

use std::{
    cell::RefCell,
    collections::{BTreeMap, HashSet},
    fmt,
    hash::Hash,
    ops::RangeInclusive,
    path::{Path, PathBuf},
    time::Duration,
};

use serde_json::{Map, Value};

use super::{problem::Problem, suggestion::nearest};
use crate::text::{invisible, named};

/// Collects the problems of one document.
#[derive(Debug, Default)]
pub(crate) struct Document {
    problems: RefCell<Vec<Problem>>,
    /// Relative paths of files start at this directory.
    directory: PathBuf,
    /// The paths of values that environment variables have set, with the names of the variables.
    overridden: BTreeMap<String, String>,
}

/// A value and its path.
#[derive(Clone)]
pub(crate) struct Node<'a> {
    path: String,
    value: &'a Value,
    document: &'a Document,
    /// Whether messages must not show the value.
    hidden: bool,
}

/// The values of a list.
#[derive(Clone, Debug)]
pub(crate) struct Listed<T> {
    pub values: Vec<T>,
    /// Whether the value is not a list, or an element with a problem is left out.
    is_incomplete: bool,
}

impl<T> From<Vec<T>> for Listed<T> {
    fn from(values: Vec<T>) -> Self {
        Listed { values, is_incomplete: false }
    }
}

impl<T> Listed<T> {
    /// All values; `None` if the value is not a list, or an element is left out.
    pub fn all(&self) -> Option<&[T]> {
        (!self.is_incomplete).then_some(&self.values)
    }
}

/// A mapping. [`Section::finish`] reports every key that was never passed to [`Section::get`].
pub(crate) struct Section<'a> {
    path: String,
    fields: Option<&'a Map<String, Value>>,
    document: &'a Document,
    hidden: bool,
    known: Vec<&'static str>,
    /// Whether the value is no mapping.
    is_broken: bool,
    /// The section that has the values for keys that are absent here.
    defaults: Option<&'a Section<'a>>,
}

impl Document {
    pub fn new(directory: &Path, overridden: BTreeMap<String, String>) -> Self {
        Document { problems: RefCell::default(), directory: directory.to_owned(), overridden }
    }

    pub fn into_problems(self) -> Vec<Problem> {
        self.problems.into_inner()
    }

    pub fn root<'a>(&'a self, value: &'a Value) -> Section<'a> {
        Section::new(String::new(), value.as_object(), self, false)
    }

    fn note(&self, path: &str, found: Option<String>, expected: String, is_warning: bool) {
        let problem = match self.overridden.get(path) {
            Some(variable) => Problem::of_variable(format!("{path} (set by {variable})"), expected),
            None => Problem::error(path, expected),
        };
        self.problems.borrow_mut().push(Problem { found, is_warning, ..problem });
    }
}

impl<'a> Section<'a> {
    fn new(path: String, fields: Option<&'a Map<String, Value>>, document: &'a Document, hidden: bool) -> Self {
        Section { path, fields, document, hidden, known: Vec::new(), is_broken: false, defaults: None }
    }

    /// The value of a key; `None` if it is absent or null.
    pub fn get(&mut self, key: &'static str) -> Option<Node<'a>> {
        self.known.push(key);
        self.find(key)
    }

    fn find(&self, key: &str) -> Option<Node<'a>> {
        match self.fields.and_then(|fields| fields.get(key)).filter(|value| !value.is_null()) {
            Some(value) => Some(Node { path: self.path_of(key), value, document: self.document, hidden: self.hidden }),
            None => self.defaults?.find(key),
        }
    }

    /// Whether a key is present and not null.
    pub fn has(&self, key: &str) -> bool {
        self.find(key).is_some()
    }

    /// The same section, with the values of `defaults` for keys that are absent in it.
    pub fn with_defaults(self, defaults: &'a Section<'a>) -> Self {
        Section { defaults: Some(defaults), ..self }
    }

    /// The keys that are present.
    pub fn keys(&self) -> impl Iterator<Item = &'a str> {
        self.fields.into_iter().flat_map(Map::keys).map(String::as_str)
    }

    /// Like [`Section::get`], but a missing key is a problem.
    pub fn require(&mut self, key: &'static str, expected: &str) -> Option<Node<'a>> {
        let node = self.get(key);
        if node.is_none() {
            self.missing(key, &format!("expected {expected}"));
        }
        node
    }

    /// Notes that a key is missing. If the section or its defaults are no mapping, that is a problem already, and
    /// nothing is noted.
    pub fn missing(&self, key: &str, expected: &str) {
        if !self.is_broken && !self.defaults.is_some_and(|defaults| defaults.is_broken) {
            self.problem_of(key, format!("is missing; {expected}"));
        }
    }

    /// Like [`Section::require`], for a text. After a problem, the text is empty.
    pub fn require_text(&mut self, key: &'static str, expected: &str) -> String {
        self.require(key, expected).and_then(|node| node.text()).unwrap_or_default()
    }

    /// The section under a key. An absent section is read as an empty one.
    pub fn section(&mut self, key: &'static str) -> Section<'a> {
        match self.get(key) {
            Some(node) => node.section(),
            None => Section::new(self.path_of(key), None, self.document, self.hidden),
        }
    }

    /// Notes a problem of the whole section.
    pub fn problem(&self, expected: impl Into<String>) {
        self.document.note(&self.path, None, expected.into(), false);
    }

    /// Notes a problem outside the document, such as one of an environment variable.
    pub fn report(&self, problem: Problem) {
        self.document.problems.borrow_mut().push(problem);
    }

    /// Notes a problem of a key.
    pub fn problem_of(&self, key: &str, expected: impl Into<String>) {
        self.document.note(&self.path_of(key), None, expected.into(), false);
    }

    /// Notes a problem for every key that was never passed to [`Section::get`].
    pub fn finish(self) {
        for key in self.keys().filter(|key| !self.known.contains(key)) {
            self.unknown(key, &self.known);
        }
    }

    /// Notes the problem of a key that is none of the known ones.
    pub fn unknown(&self, key: &str, known: &[&str]) {
        // The value is not shown, because it may be a secret in the wrong place.
        let expected = match nearest(key, known) {
            Some(meant) => format!("there is no such key; did you mean {meant}?"),
            None => format!("there is no such key; expected one of {}", known.join(", ")),
        };
        self.problem_of(key, expected);
    }

    /// Whether there is an error in the values of these keys.
    pub fn has_errors_in(&self, keys: &[&str]) -> bool {
        let is_in = |problem: &Problem| keys.iter().any(|key| problem.path.starts_with(&self.path_of(key)));
        self.document.problems.borrow().iter().any(|problem| !problem.is_warning && is_in(problem))
    }

    /// Notes a warning of a key.
    pub fn warning_of(&self, key: &str, text: impl Into<String>) {
        self.document.note(&self.path_of(key), None, text.into(), true);
    }

    fn path_of(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }
}

impl<'a> Node<'a> {
    /// Keeps the value, and everything below it, out of messages.
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
        self.document.note(&self.path, Some(found), text, is_warning);
    }

    /// Returns the result of `parse`. If that is `None`, notes a problem.
    pub fn read<T>(&self, expected: &str, parse: impl FnOnce(&'a Value) -> Option<T>) -> Option<T> {
        let value = parse(self.value);
        if value.is_none() {
            let hint =
                if self.value.is_number() && expected.starts_with("a text") { " (digits need quotes)" } else { "" };
            self.problem(format!("{expected}{hint}"));
        }
        value
    }

    /// Like [`Node::read`], for a text. Invisible characters in it are a problem.
    pub fn parse<T>(&self, expected: &str, parse: impl FnOnce(&'a str) -> Option<T>) -> Option<T> {
        let mut characters = self.as_str().into_iter().flat_map(str::chars);
        if let Some((character, name)) = characters.find_map(|character| Some((character, invisible(character)?))) {
            self.problem(format!("a text without {}", named(character, name)));
            return None;
        }
        self.read(expected, |value| value.as_str().and_then(parse))
    }

    /// A text that is not empty.
    pub fn text(&self) -> Option<String> {
        self.parse("a text that is not empty", |text| (!text.trim().is_empty()).then(|| text.to_owned()))
    }

    /// The path of a file.
    pub fn file_path(&self) -> Option<PathBuf> {
        self.text().map(|path| self.document.directory.join(path))
    }

    pub fn duration(&self, range: RangeInclusive<Duration>) -> Option<Duration> {
        let (least, most) = (humantime::format_duration(*range.start()), humantime::format_duration(*range.end()));
        let expected = format!("a duration from {least} to {most}, such as 90s, 5m or 1h30m");
        self.parse(&expected, |text| humantime::parse_duration(text).ok().filter(|value| range.contains(value)))
    }

    /// A number, or a text that holds one: the values of environment variables are texts.
    pub fn number(&self, range: RangeInclusive<f64>) -> Option<f64> {
        self.read(&format!("a number from {} to {}", range.start(), range.end()), |value| {
            let number = value.as_f64().or_else(|| value.as_str()?.parse().ok());
            number.filter(|number| range.contains(number))
        })
    }

    /// An integer, or a text that holds one: the values of environment variables are texts.
    pub fn integer(&self, range: RangeInclusive<usize>) -> Option<usize> {
        self.read(&format!("an integer from {} to {}", range.start(), range.end()), |value| {
            let number = value.as_u64().and_then(|number| number.try_into().ok());
            number.or_else(|| value.as_str()?.parse().ok()).filter(|number| range.contains(number))
        })
    }

    /// The elements of a list, without those that `read` returns `None` for.
    pub fn list<T>(&self, read: impl FnMut(Node<'a>) -> Option<T>) -> Vec<T> {
        let list = self.read("a list", Value::as_array).map_or(&[][..], Vec::as_slice);
        let element = |(index, value)| Node {
            path: format!("{}[{index}]", self.path),
            value,
            document: self.document,
            hidden: self.hidden,
        };
        list.iter().enumerate().map(element).filter_map(read).collect()
    }

    /// Like [`Node::list`], but an element that repeats an earlier one is a problem.
    pub fn set<T: Clone + Eq + Hash>(&self, mut read: impl FnMut(&Node<'a>) -> Option<T>) -> Listed<T> {
        let mut seen = HashSet::new();
        let values = self.list(|node| {
            let value = read(&node)?;
            if seen.insert(value.clone()) {
                return Some(value);
            }
            node.problem("each value once");
            None
        });
        Listed { is_incomplete: self.length() != Some(values.len()), values }
    }

    /// The values of a mapping by their keys.
    pub fn entries(&self) -> Vec<(&'a str, Node<'a>)> {
        let fields = self.read("a mapping", Value::as_object);
        let entry = |(key, value): (&'a String, &'a Value)| {
            let path = format!("{}.{key}", self.path);
            (key.as_str(), Node { path, value, document: self.document, hidden: self.hidden })
        };
        fields.into_iter().flatten().map(entry).collect()
    }

    pub fn section(&self) -> Section<'a> {
        let fields = self.read("a mapping", Value::as_object);
        let section = Section::new(self.path.clone(), fields, self.document, self.hidden);
        Section { is_broken: fields.is_none(), ..section }
    }

    /// The value, if it is a text. Another value is not a problem.
    pub fn as_str(&self) -> Option<&'a str> {
        self.value.as_str()
    }

    pub fn contains(&self, character: char) -> bool {
        self.as_str().is_some_and(|text| text.contains(character))
    }

    /// Whether the value is a mapping in which a key is present and not null.
    pub fn has(&self, key: &str) -> bool {
        self.value.get(key).is_some_and(|value| !value.is_null())
    }

    /// The number of elements of a list.
    pub fn length(&self) -> Option<usize> {
        self.value.as_array().map(Vec::len)
    }

    pub fn is_mapping(&self) -> bool {
        self.value.is_object()
    }
}

/// The value in a form that fits on one line.
fn show(value: &Value) -> String {
    match value {
        Value::Array(list) => format!("a list of {}", list.len()),
        Value::Object(map) if map.is_empty() => "an empty mapping".to_owned(),
        Value::Object(map) => format!("a mapping of {}", map.keys().map(String::as_str).collect::<Vec<_>>().join(", ")),
        scalar => scalar.to_string(),
    }
}
