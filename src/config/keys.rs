//! Keys at the top level that the crate `config` would not read as they are written, and keys that are not read at all.
//!
//! The crate (0.15) reads each key at the top level as a path: `poll.timeout: 5s` sets the key `timeout` of the section
//! `poll`, and `projects[1]: …` adds an element to the list `projects`. It goes through the keys in the random order of
//! a hash map, so either of two values for the same path may win. Keys further down are not paths: credentials may be
//! called `john.doe`.

use super::{problem::Problem, yaml::Tree};

/// The beginning of keys that are not read. They are a place for values that aliases copy, as in a Compose file.
const EXTENSION: &str = "x-";

/// Removes these keys, and returns a problem for each that is a path.
pub(super) fn remove(tree: &mut Tree) -> Vec<Problem> {
    let mut problems = Vec::new();
    tree.retain(|key, line| {
        if key.starts_with(EXTENSION) {
            return false;
        }
        let fault = path_fault(key);
        let is_kept = fault.is_none();
        problems.extend(fault.map(|fault| Problem::at_line(line, format!("{key}: {fault}"))));
        is_kept
    });
    problems
}

/// What to do about a key that is a path.
fn path_fault(key: &str) -> Option<String> {
    let (section, rest) = key.split_at_checked(key.find(['.', '['])?)?;
    let advice = match key.rsplit_once('.') {
        _ if rest.starts_with('[') => format!("write the element in the list {section}"),
        Some((parent, name)) if !key.contains('[') && key.split('.').all(|part| !part.is_empty()) => {
            format!("write the key {name} below {parent}")
        }
        _ => format!("write a section {section} with its keys below it"),
    };
    let fault = format!("a key must not be a path; {advice}");
    (!section.is_empty()).then_some(fault)
}
