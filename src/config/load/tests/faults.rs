//! Replaces every value of a configuration by odd values. Each fault must be reported once, at its own place.

use std::fmt::Write;

use serde_json::{Value, json};

use super::*;

/// A configuration with every key.
fn whole() -> Value {
    serde_json::from_str(include_str!("../../../../tests/data/whole-configuration.json")).unwrap()
}

/// The paths of all values, as JSON pointers and as paths in problems.
fn paths(value: &Value, pointer: &str, path: &str, found: &mut Vec<(String, String)>) {
    match value {
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                let (pointer, path) = (format!("{pointer}/{index}"), format!("{path}[{index}]"));
                found.push((pointer.clone(), path.clone()));
                paths(item, &pointer, &path, found);
            }
        }
        Value::Object(fields) => {
            for (key, value) in fields {
                let dot = if path.is_empty() { "" } else { "." };
                let (pointer, path) = (format!("{pointer}/{key}"), format!("{path}{dot}{key}"));
                found.push((pointer.clone(), path.clone()));
                paths(value, &pointer, &path, found);
            }
        }
        _ => {}
    }
}

/// A path without the name of the project.
fn without_name(path: &str) -> String {
    match (path.split_once(" ("), path.split_once(')')) {
        (Some((before, _)), Some((_, after))) => format!("{before}{after}"),
        _ => path.to_owned(),
    }
}

/// Whether a text is a secret, whose faults have advice of their own.
fn is_secret(pointer: &str) -> bool {
    let secrets = ["access_key", "secret_key", "security_token", "token", "password", "id_token", "proxy"];
    secrets.iter().any(|key| pointer.ends_with(&format!("/{key}")))
}

/// The paths and texts of all errors.
async fn errors(value: &Value) -> Vec<(String, String)> {
    let text = serde_json::to_string(value).unwrap();
    let loaded = load_text(text, Path::new("config.yaml"), &environment(&[("SECRET", "s")])).await;
    loaded.errors().map(|problem| (without_name(&problem.path), problem.expected.clone())).collect()
}

#[tokio::test]
async fn each_fault_is_said_once_at_its_own_place() {
    let whole = whole();
    assert_eq!(errors(&whole).await, []);
    let mut all = Vec::new();
    paths(&whole, "", "", &mut all);
    let odd: [Value; 7] =
        [json!("\u{7}odd"), json!(-7.5), json!(true), json!([]), json!(["odd"]), json!([[]]), json!({"odd": 1})];
    let mut wrong = String::new();
    let mut faults = 0;
    for (pointer, path) in &all {
        for value in &odd {
            let mut changed = whole.clone();
            let place = changed.pointer_mut(pointer).unwrap();
            // A section without its keys has more than one fault.
            if value.is_object() && place.is_object() {
                continue;
            }
            *place = value.clone();
            let errors = errors(&changed).await;
            faults += usize::from(!errors.is_empty());
            // If a user, type or project is missing now, the fault is in the budget that names it.
            let is_its_own =
                |at: &str| at.starts_with(path.as_str()) || path.starts_with(at) || at.contains("budgets[");
            let are_its_own = errors.iter().all(|(at, _)| is_its_own(at));
            if errors.len() > 1 || !are_its_own {
                writeln!(wrong, "{path} = {value}: {errors:#?}").unwrap();
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
    assert!(faults > 400, "{faults} of {}", all.len() * odd.len());
}

#[tokio::test]
async fn a_text_with_an_unseen_character_is_a_fault_and_is_shown_escaped() {
    let whole = whole();
    let mut all = Vec::new();
    paths(&whole, "", "", &mut all);
    let mut texts = 0;
    for (pointer, path) in all.iter().filter(|(pointer, _)| !is_secret(pointer)) {
        let Some(text) = whole.pointer(pointer).and_then(Value::as_str) else { continue };
        for unseen in ['\u{202e}', '\u{2028}', '\u{7}', '\n'] {
            let mut changed = whole.clone();
            *changed.pointer_mut(pointer).unwrap() = format!("{text}{unseen}").into();
            let loaded =
                load_text(changed.to_string(), Path::new("a\u{202e}.yaml"), &environment(&[("SECRET", "s")])).await;
            assert!(loaded.errors().count() > 0, "{path} with {unseen:?}");
            let shown: String = loaded.problems.iter().map(ToString::to_string).collect();
            assert!(!shown.contains(unseen) && !shown.contains('\u{202e}'), "{path}: {shown}");
        }
        texts += 1;
    }
    assert!(texts > 35, "{texts}");
    let key = load_text("\u{202e}yek: 1".to_owned(), Path::new("config.yaml"), &environment(&[])).await;
    assert!(key.problems[0].to_string().contains("\\u{202e}yek: there is no such key"), "{:?}", key.problems);
}
