//! Reads YAML into a tree that knows the line of each value.
//!
//! Aliases and merge keys (`<<`) work. The depth and the number of copied values are limited, because ten lines of
//! aliases can expand to billions of values.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    fmt::Write,
    path::Path,
    sync::Arc,
};

use config::{ConfigError, Source};
use serde_json::Value;
use yaml_rust2::{
    Event, Yaml,
    parser::{Parser, Tag},
    scanner::{ScanError, TScalarStyle},
};

use super::problem::Problem;

/// The deepest nesting of lists and mappings.
const MAX_DEPTH: usize = 64;

/// The most values that aliases may copy.
const MAX_COPIES: usize = 1_000_000;

const MERGE_KEY: &str = "<<";

/// The prefix of the tags that YAML itself defines.
const CORE: &str = "tag:yaml.org,2002:";

/// A value, the values in it, and the line where it begins.
#[derive(Clone, Debug)]
pub(crate) struct Tree {
    line: usize,
    content: TreeContent,
}

#[derive(Clone, Debug)]
enum TreeContent {
    Scalar(Value),
    List(Vec<Tree>),
    Mapping(Mapping),
}

/// The size and the depth of a value.
struct Extent {
    /// The number of values in it, itself included.
    values: usize,
    /// The number of lists and mappings around its innermost value.
    depth: usize,
}

/// Each value of a mapping with the line of its key.
type Mapping = BTreeMap<String, (usize, Tree)>;

impl Tree {
    /// Parses one document that is a mapping. A text without values is an empty mapping. Also returns the problems of
    /// keys and tags. A key that is not a text is left out. Of two equal keys, the tree has the first.
    ///
    /// # Errors
    /// A problem with its line, if the text is not YAML, or is not one mapping.
    pub fn parse(text: &str) -> Result<(Self, Vec<Problem>), Problem> {
        check_characters(text)?;
        let mut builder = TreeBuilder::default();
        let mut parser = Parser::new_from_str(text);
        loop {
            let (event, mark) = parser.next_token().map_err(|error| syntax_problem(&error))?;
            if event == Event::StreamEnd {
                break;
            }
            builder.add(event, mark.line())?;
        }
        let nothing = Tree { line: 1, content: TreeContent::Mapping(Mapping::new()) };
        let tree = match builder.root {
            None | Some(Tree { content: TreeContent::Scalar(Value::Null), .. }) => nothing,
            Some(tree @ Tree { content: TreeContent::Mapping(_), .. }) => tree,
            Some(tree) => {
                let found = if matches!(tree.content, TreeContent::List(_)) { "a list" } else { "a single value" };
                let expected = format!("expected keys with values at the top level, found {found}");
                return Err(Problem::at_line(tree.line, expected));
            }
        };
        Ok((tree, builder.problems))
    }

    /// Whether there are no values.
    pub fn is_empty(&self) -> bool {
        matches!(&self.content, TreeContent::Mapping(fields) if fields.is_empty())
    }

    /// Removes the keys at the top level for which `keep` is false. It gets each key and its line.
    pub fn retain(&mut self, mut keep: impl FnMut(&str, usize) -> bool) {
        if let TreeContent::Mapping(fields) = &mut self.content {
            fields.retain(|key, (line, _)| keep(key, *line));
        }
    }

    /// Adds its line to each problem of this document. Returns errors before warnings, both in the order of the lines.
    /// Problems from elsewhere, such as those of environment variables, have no line and come after the others of their
    /// kind.
    ///
    /// Only the first problem of a value is kept, and only if nothing inside the value is an error. The others are
    /// consequences: for example, a list whose only element is wrong would also be reported as empty.
    pub fn located(&self, mut problems: Vec<Problem>, file: &Path) -> Vec<Problem> {
        // Errors come first, so that no warning hides one.
        problems.sort_by_key(|problem| problem.is_warning);
        let errors = problems.iter().filter(|problem| !problem.is_warning).map(|problem| problem.path.clone());
        let errors: BTreeSet<String> = errors.collect();
        let has_errors_inside = |path: &str| {
            [".", "["].iter().any(|separator| {
                let inside = format!("{path}{separator}");
                errors.range(inside.clone()..).next().is_some_and(|next| next.starts_with(&inside))
            })
        };
        let mut seen = HashSet::new();
        let mut is_kept = |Problem { path, is_elsewhere, .. }: &Problem| {
            *is_elsewhere || path.is_empty() || !has_errors_inside(path) && seen.insert(path.clone())
        };
        let mut problems: Vec<Problem> = problems
            .into_iter()
            .filter(|problem| is_kept(problem))
            .map(|problem| self.located_one(problem).in_file(file))
            .collect();
        problems.sort_by_key(|problem| (problem.is_warning, problem.line.unwrap_or(usize::MAX)));
        problems
    }

    /// Adds the line of the value to a problem, or the line of the nearest parent that exists. Adds the name to an
    /// element of a list: `projects[8]` becomes `projects[8] (team-9)`.
    fn located_one(&self, problem: Problem) -> Problem {
        if problem.is_elsewhere {
            return problem;
        }
        let (mut node, mut rest, mut path, mut nearest) = (self, problem.path.as_str(), String::new(), None);
        while let Some((step, line, child)) = node.child(rest) {
            nearest = Some(line);
            let (taken, left) = rest.split_at(step);
            (node, rest) = (child, left);
            path += taken;
            if let (Some(name), true) = (child.name(), taken.ends_with(']')) {
                // Writing to a String cannot fail.
                let _ = write!(path, " ({name})");
            }
        }
        path += rest;
        Problem { line: problem.line.or(nearest), path, ..problem }
    }

    /// The child to which the first step of a path leads: the length of this step in the path, the line of the child,
    /// and the child.
    fn child(&self, path: &str) -> Option<(usize, usize, &Tree)> {
        match &self.content {
            TreeContent::Scalar(_) => None,
            TreeContent::List(items) => {
                let end = path.find(']')?;
                let index: usize = path.strip_prefix('[')?.get(..end.checked_sub(1)?)?.parse().ok()?;
                let item = items.get(index)?;
                Some((end + 1, item.line, item))
            }
            TreeContent::Mapping(fields) => {
                let rest = path.strip_prefix('.').unwrap_or(path);
                let dot = path.len() - rest.len();
                // A key may hold dots, so it may end at any dot or bracket. The longest key that exists is meant.
                let mut ends = [rest.len()].into_iter().chain(rest.rmatch_indices(['.', '[']).map(|(end, _)| end));
                let found = |end| Some((end, fields.get(rest.get(..end)?)?));
                let (end, (line, value)) = ends.find_map(found)?;
                Some((dot + end, *line, value))
            }
        }
    }

    /// The text under the key `name`.
    fn name(&self) -> Option<&str> {
        let TreeContent::Mapping(fields) = &self.content else { return None };
        match &fields.get("name")?.1.content {
            TreeContent::Scalar(Value::String(name)) => Some(name),
            _ => None,
        }
    }

    pub fn to_json(&self) -> Value {
        match &self.content {
            TreeContent::Scalar(value) => value.clone(),
            TreeContent::List(items) => items.iter().map(Tree::to_json).collect(),
            TreeContent::Mapping(fields) => {
                fields.iter().map(|(key, (_, value))| (key.clone(), value.to_json())).collect()
            }
        }
    }

    fn to_config(&self) -> config::Value {
        let kind = match &self.content {
            TreeContent::Scalar(Value::Bool(value)) => (*value).into(),
            TreeContent::Scalar(Value::String(text)) => text.as_str().into(),
            TreeContent::Scalar(value) => match (value.as_i64(), value.as_f64()) {
                (Some(integer), _) => integer.into(),
                (None, Some(number)) => number.into(),
                (None, None) => config::ValueKind::Nil,
            },
            TreeContent::List(items) => config::ValueKind::Array(items.iter().map(Tree::to_config).collect()),
            TreeContent::Mapping(fields) => config::ValueKind::Table(table(fields)),
        };
        config::Value::new(None, kind)
    }

    fn extent(&self) -> Extent {
        let around = |children: &mut dyn Iterator<Item = &Tree>| {
            children.map(Tree::extent).fold(Extent { values: 1, depth: 1 }, |all, child| Extent {
                values: all.values + child.values,
                depth: all.depth.max(child.depth + 1),
            })
        };
        match &self.content {
            TreeContent::Scalar(_) => Extent { values: 1, depth: 0 },
            TreeContent::List(items) => around(&mut items.iter()),
            TreeContent::Mapping(fields) => around(&mut fields.values().map(|(_, value)| value)),
        }
    }
}

fn table(fields: &Mapping) -> config::Map<String, config::Value> {
    fields.iter().map(|(key, (_, value))| (key.clone(), value.to_config())).collect()
}

/// A tree as a source of the crate `config`, which clones its sources.
#[derive(Clone, Debug)]
pub(super) struct TreeSource(pub Arc<Tree>);

impl Source for TreeSource {
    fn clone_into_box(&self) -> Box<dyn Source + Send + Sync> {
        Box::new(self.clone())
    }

    fn collect(&self) -> Result<config::Map<String, config::Value>, ConfigError> {
        match &self.0.content {
            TreeContent::Mapping(fields) => Ok(table(fields)),
            _ => Ok(config::Map::new()),
        }
    }
}

/// Refuses control characters. The parser takes a NUL for the end of the text, and would ignore the rest. A crash can
/// leave a file full of NULs.
fn check_characters(text: &str) -> Result<(), Problem> {
    for (index, line) in text.lines().enumerate() {
        if let Some(character) = line.chars().find(|character| character.is_control() && *character != '\t') {
            let expected =
                format!("is not YAML: it has the control character U+{:04X}; remove it", u32::from(character));
            return Err(Problem::at_line(index + 1, expected));
        }
    }
    Ok(())
}

fn syntax_problem(error: &ScanError) -> Problem {
    Problem::at_line(error.marker().line(), format!("is not YAML: {}", error.info()))
}

/// Builds a tree from the events of the parser.
#[derive(Default)]
struct TreeBuilder {
    /// The lists and mappings that are not complete, outermost first.
    open: Vec<Open>,
    root: Option<Tree>,
    anchors: HashMap<usize, Tree>,
    copies: usize,
    problems: Vec<Problem>,
}

/// A list or a mapping that is not complete.
struct Open {
    tree: Tree,
    /// 0 is no anchor.
    anchor: usize,
    /// In a mapping, the key whose value is next.
    key: Option<MappingKey>,
    /// The values of merge keys, in their order.
    merged: Vec<Tree>,
}

enum MappingKey {
    Text(String, usize),
    /// The value is not part of the tree, because its key is a problem.
    Dropped,
}

impl TreeBuilder {
    fn add(&mut self, event: Event, line: usize) -> Result<(), Problem> {
        match event {
            Event::DocumentStart if self.root.is_some() => {
                return Err(Problem::at_line(line, "a second document begins here; write one document"));
            }
            Event::Scalar(text, style, anchor, tag) => {
                let value = self.scalar(&text, style, tag.as_ref(), line);
                if self.expects_a_key() {
                    self.set_key((!value.is_null()).then_some(text), line);
                } else {
                    self.put(Tree { line, content: TreeContent::Scalar(value) }, anchor)?;
                }
            }
            Event::SequenceStart(anchor, _) => self.open(TreeContent::List(Vec::new()), anchor, line)?,
            Event::MappingStart(anchor, _) => self.open(TreeContent::Mapping(Mapping::new()), anchor, line)?,
            Event::SequenceEnd | Event::MappingEnd => self.close()?,
            Event::Alias(anchor) => {
                let Some(tree) = self.anchors.get(&anchor).cloned() else {
                    return Err(Problem::at_line(line, "this alias is inside the value that it copies"));
                };
                let Extent { values, depth } = tree.extent();
                self.check_depth(depth, line)?;
                self.copies += values;
                if self.copies > MAX_COPIES {
                    let text = format!("aliases copy more than {MAX_COPIES} values; write fewer of them");
                    return Err(Problem::at_line(line, text));
                }
                self.put(tree, 0)?;
            }
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentStart | Event::DocumentEnd => {}
        }
        Ok(())
    }

    /// The value of a scalar. Notes a problem for a tag without a meaning here: a text that another program would
    /// decrypt or replace must not become a value as it is.
    fn scalar(&mut self, text: &str, style: TScalarStyle, tag: Option<&Tag>, line: usize) -> Value {
        match tag {
            Some(tag) if tag.handle == CORE && tag.suffix != "str" => {}
            Some(tag) if tag.handle == CORE || tag.suffix == "!" => return text.into(),
            Some(tag) => {
                let text = format!("the tag !{} has no meaning here; remove it", tag.suffix);
                self.problems.push(Problem { line: Some(line), ..Problem::error(self.path(), text) });
            }
            None => {}
        }
        if style != TScalarStyle::Plain {
            return text.into();
        }
        match Yaml::from_str(text) {
            Yaml::Null => Value::Null,
            Yaml::Boolean(value) => value.into(),
            Yaml::Integer(value) => value.into(),
            // A number that is infinite or not a number stays a text.
            number @ Yaml::Real(_) => number.as_f64().and_then(finite).unwrap_or_else(|| text.into()),
            _ => text.into(),
        }
    }

    fn open(&mut self, content: TreeContent, anchor: usize, line: usize) -> Result<(), Problem> {
        self.check_depth(1, line)?;
        self.open.push(Open { tree: Tree { line, content }, anchor, key: None, merged: Vec::new() });
        Ok(())
    }

    /// Checks that a value of this depth may be put here.
    fn check_depth(&self, depth: usize, line: usize) -> Result<(), Problem> {
        if self.open.len() + depth > MAX_DEPTH {
            return Err(Problem::at_line(line, format!("lists and mappings are nested more than {MAX_DEPTH} deep")));
        }
        Ok(())
    }

    fn close(&mut self) -> Result<(), Problem> {
        let Some(Open { mut tree, anchor, merged, .. }) = self.open.pop() else { return Ok(()) };
        if let TreeContent::Mapping(fields) = &mut tree.content {
            for value in merged {
                merge(fields, value)?;
            }
        }
        self.put(tree, anchor)
    }

    /// Adds a complete value to the innermost open list or mapping, or makes it the root.
    fn put(&mut self, tree: Tree, anchor: usize) -> Result<(), Problem> {
        if anchor != 0 {
            self.anchors.insert(anchor, tree.clone());
        }
        if self.expects_a_key() {
            self.set_key(None, tree.line);
            return Ok(());
        }
        let Some(open) = self.open.last_mut() else {
            self.root = Some(tree);
            return Ok(());
        };
        match (&mut open.tree.content, open.key.take()) {
            (TreeContent::List(items), _) => items.push(tree),
            (TreeContent::Mapping(_), Some(MappingKey::Text(key, _))) if key == MERGE_KEY => open.merged.push(tree),
            (TreeContent::Mapping(fields), Some(MappingKey::Text(key, line))) => {
                fields.insert(key, (line, tree));
            }
            _ => {}
        }
        Ok(())
    }

    fn expects_a_key(&self) -> bool {
        self.open.last().is_some_and(|open| matches!(open.tree.content, TreeContent::Mapping(_)) && open.key.is_none())
    }

    /// Sets the key of the value that is next. `None` is a key that is not a text.
    fn set_key(&mut self, text: Option<String>, line: usize) {
        let path = self.path();
        let Some(open) = self.open.last_mut() else { return };
        let TreeContent::Mapping(fields) = &open.tree.content else { return };
        let problem = match &text {
            // Neither key nor value is shown. YAML reads a template that was not rendered, `{{ … }}`, as a mapping
            // whose key is a mapping.
            None => Some((path, "expected a text as every key; put values that begin with {{ in quotes".to_owned())),
            Some(key) => fields.get(key).map(|(first, _)| {
                let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                (path, format!("this key occurs twice, first in line {first}; remove one"))
            }),
        };
        open.key = Some(match (text, &problem) {
            (Some(key), None) => MappingKey::Text(key, line),
            _ => MappingKey::Dropped,
        });
        if let Some((path, text)) = problem {
            self.problems.push(Problem { line: Some(line), ..Problem::error(path, text) });
        }
    }

    /// The path of the innermost list or mapping, or of the value that is next.
    fn path(&self) -> String {
        let mut path = String::new();
        for open in &self.open {
            // Writing to a String cannot fail.
            let _ = match (&open.tree.content, &open.key) {
                (TreeContent::List(items), _) => write!(path, "[{}]", items.len()),
                (_, Some(MappingKey::Text(key, _))) if path.is_empty() => write!(path, "{key}"),
                (_, Some(MappingKey::Text(key, _))) => write!(path, ".{key}"),
                _ => Ok(()),
            };
        }
        path
    }
}

fn finite(number: f64) -> Option<Value> {
    serde_json::Number::from_f64(number).map(Value::Number)
}

/// Adds the keys that a mapping does not have, from a mapping or a list of mappings.
fn merge(fields: &mut Mapping, value: Tree) -> Result<(), Problem> {
    let line = value.line;
    let values = match value.content {
        TreeContent::List(items) => items,
        _ => vec![value],
    };
    for value in values {
        let TreeContent::Mapping(more) = value.content else {
            return Err(Problem::at_line(line, "the key << needs a mapping or a list of mappings"));
        };
        for (key, field) in more {
            fields.entry(key).or_insert(field);
        }
    }
    Ok(())
}
