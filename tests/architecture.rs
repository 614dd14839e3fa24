//! The rooms of the code and who may import whom, checked against the `crate::` paths of every file.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, clippy::string_slice, missing_docs)]

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

/// A room, as the beginning of its files' paths below `src`, and the rooms it may import besides itself.
const ROOMS: [(&str, &[&str]); 11] = [
    ("cli", &["commands", "config"]),
    ("commands", &["config", "usage", "cloud", "polling", "snapshot", "exposition", "server", "site", "simulator"]),
    ("config", &["usage"]),
    ("usage", &[]),
    ("cloud", &["config", "usage"]),
    ("polling", &["config", "cloud", "usage", "snapshot"]),
    ("snapshot", &["usage"]),
    ("exposition", &["snapshot", "usage"]),
    ("site", &["exposition", "snapshot", "usage", "config", "server"]),
    ("server", &["exposition", "config", "site"]),
    ("simulator", &[]),
];

/// Where time, files and the network are arguments, if anything.
const PURE: [&str; 2] = ["usage", "cloud/transport/signing"];
const IMPURE: [&str; 8] =
    ["tokio", "reqwest", "std::fs", "std::net", "std::env", "Utc::now", "SystemTime", "Instant::now"];

fn files(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// The path below `src`, without the extension, and the code without comments.
fn sources() -> Vec<(String, String)> {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let source = |path: PathBuf| {
        let name = path.strip_prefix(&src).unwrap().with_extension("").to_str().unwrap().to_owned();
        let text = fs::read_to_string(&path).unwrap();
        let code: Vec<&str> = text.lines().filter(|line| !line.trim_start().starts_with("//")).collect();
        (name, code.join("\n"))
    };
    files(&src).into_iter().map(source).collect()
}

/// The first segments of all `crate::` paths, also within braces: `use crate::{a::b, c}` gives a and c.
fn imports(code: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for after in code.split("crate::").skip(1) {
        let word = |text: &str| text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect::<String>();
        let Some(group) = after.strip_prefix('{') else {
            found.insert(word(after));
            continue;
        };
        let mut depth = 0;
        let mut start = true;
        for (at, character) in group.char_indices() {
            match character {
                '{' => depth += 1,
                '}' if depth == 0 => break,
                '}' => depth -= 1,
                ',' if depth == 0 => start = true,
                c if c.is_whitespace() => {}
                _ if start => {
                    found.insert(word(&group[at..]));
                    start = false;
                }
                _ => {}
            }
        }
    }
    found
}

#[test]
fn imports_are_found_in_every_form() {
    let code = "use crate::a::{b, c};\nuse crate::{\n    d,\n    e::{f, g},\n    h::i,\n};\nlet x = crate::j::k();";
    let expected = ["a", "d", "e", "h", "j"].map(str::to_owned);
    assert_eq!(imports(code), BTreeSet::from(expected));
}

#[test]
fn rooms_import_only_what_they_may() {
    let mut visited = BTreeSet::new();
    for (name, code) in sources() {
        let room = name.split('/').next().unwrap();
        if matches!(room, "main" | "lib") {
            continue;
        }
        let (room, allowed) =
            ROOMS.iter().find(|(known, _)| *known == room).unwrap_or_else(|| panic!("{name} is in no known room"));
        visited.insert(*room);
        for import in imports(&code) {
            assert!(
                import == *room || allowed.contains(&import.as_str()),
                "src/{name}.rs must not import crate::{import}"
            );
        }
    }
    assert_eq!(visited.len(), ROOMS.len(), "every room has files");
}

#[test]
fn what_is_pure_stays_pure() {
    let mut visited = 0;
    for (name, code) in sources() {
        if PURE.iter().any(|pure| name == *pure || name.starts_with(&format!("{pure}/"))) {
            visited += 1;
            for word in IMPURE {
                assert!(!code.contains(word), "src/{name}.rs must not touch {word}");
            }
        }
    }
    assert!(visited >= 6, "{visited}");
}

#[test]
fn the_binary_stays_thin() {
    let (_, main) = sources().into_iter().find(|(name, _)| name == "main").unwrap();
    assert!(main.lines().count() <= 60);
}
