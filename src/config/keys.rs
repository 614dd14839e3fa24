//! Finds the keys of the document that the crate `config` does not read as they are written.
//!
//! The crate (0.15) reads each key at the top level as a path: `poll.timeout: 5s` sets the key `timeout` of the section
//! `poll`, and `projects[1]: …` adds an element to the list `projects`. It goes through the keys in the random order of
//! a hash map, so either of two values for the same path may win. Keys further down are not paths: credentials may be
//! called `john.doe`.

use std::{borrow::Cow, fmt::Write};

use yaml_rust2::{Yaml, YamlEmitter, YamlLoader, yaml::Hash};

use super::problem::Problem;

/// The text without the keys that would be misread, and a problem for each of these keys.
///
/// The text is unchanged if it has no such keys. The crate itself reports a text that is not YAML or not one mapping.
pub(super) fn check(text: &str) -> (Cow<'_, str>, Vec<Problem>) {
    let mut problems = Vec::new();
    let document = YamlLoader::load_from_str(text).ok().filter(|documents| documents.len() == 1);
    let Some(mut root) = document.and_then(|mut documents| documents.pop()) else { return (text.into(), problems) };
    if let Yaml::Hash(fields) = &mut root {
        remove(fields, |key, _| path_problem(&scalar(key)?), &mut problems);
    }
    check_below(&mut root, &mut String::new(), &mut problems);
    if problems.is_empty() {
        return (text.into(), problems);
    }
    let mut rest = String::new();
    // Writing to a String cannot fail.
    let _ = YamlEmitter::new(&mut rest).dump(&root);
    (rest.into(), problems)
}

/// A problem for a key at the top level that is a path.
fn path_problem(key: &str) -> Option<Problem> {
    let (section, rest) = key.split_at_checked(key.find(['.', '['])?)?;
    let expected = match rest.strip_prefix('.') {
        Some(rest) => format!("a key must not be a path; write {rest}: below {section}:"),
        None => format!("a key must not be a path; write the element in the list {section}:"),
    };
    (!section.is_empty()).then(|| Problem::error(key, expected))
}

/// Checks that every key is a text or can be read as one, and is unique as a text.
fn check_below(node: &mut Yaml, path: &mut String, problems: &mut Vec<Problem>) {
    let length = path.len();
    match node {
        Yaml::Array(items) => {
            for (index, item) in items.iter_mut().enumerate() {
                // Writing to a String cannot fail.
                let _ = write!(path, "[{index}]");
                check_below(item, path, problems);
                path.truncate(length);
            }
        }
        Yaml::Hash(fields) => {
            remove(fields, |key, fields| key_problem(key, fields, path), problems);
            for (key, value) in fields.iter_mut() {
                let dot = if length == 0 { "" } else { "." };
                let _ = write!(path, "{dot}{}", scalar(key).unwrap_or_default());
                check_below(value, path, problems);
                path.truncate(length);
            }
        }
        _ => {}
    }
}

fn key_problem(key: &Yaml, fields: &Hash, path: &str) -> Option<Problem> {
    let place = |key: &str| if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") };
    match scalar(key) {
        // Neither key nor value is shown. A template that was not rendered, `{{ … }}`, is a mapping as a key.
        None => {
            let place = if path.is_empty() { "the top level" } else { path };
            Some(Problem::error(place, "expected a text as every key; put values that begin with {{ in quotes"))
        }
        Some(text) if key.as_str().is_none() && fields.contains_key(&Yaml::String(text.clone().into_owned())) => {
            Some(Problem::error(place(&text), "this key occurs twice, once with quotes and once without; remove one"))
        }
        Some(_) => None,
    }
}

/// Removes the keys for which `find` returns a problem, and adds the problems.
fn remove(fields: &mut Hash, find: impl Fn(&Yaml, &Hash) -> Option<Problem>, problems: &mut Vec<Problem>) {
    let found: Vec<(Yaml, Problem)> = fields.keys().filter_map(|key| Some((key.clone(), find(key, fields)?))).collect();
    for (key, problem) in found {
        fields.remove(&key);
        problems.push(problem);
    }
}

/// A key as the crate reads it; `None` if it cannot.
fn scalar(key: &Yaml) -> Option<Cow<'_, str>> {
    match key {
        Yaml::String(text) | Yaml::Real(text) => Some(text.into()),
        Yaml::Integer(number) => Some(number.to_string().into()),
        Yaml::Boolean(value) => Some(value.to_string().into()),
        _ => None,
    }
}
