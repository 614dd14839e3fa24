//! Checks the documentation: its tables match the code, its links have targets, and both languages have the same
//! structure.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use clap::CommandFactory;
use metastudio_exporter::{
    cli::Cli,
    config::{self, Environment, Problem, effective, schema},
    server,
};
use pulldown_cmark::{Event, Options, Parser, Tag, TagEnd};
use serde_json::Value;
use yaml_rust2::{Yaml, YamlLoader};

/// The pages of one language, and words in their tables.
struct Language {
    readme: &'static str,
    metrics: &'static str,
    flags: &'static str,
    configuration: &'static str,
    alerts: &'static str,
    operation: &'static str,
    credentials: &'static str,
    web: &'static str,
    required: &'static str,
    off: &'static str,
    none: &'static str,
    all: &'static str,
}

const LANGUAGES: [Language; 2] = [
    Language {
        readme: "README.md",
        metrics: "docs/metrics.md",
        flags: "docs/flags.md",
        configuration: "docs/configuration.md",
        alerts: "docs/alerts.md",
        operation: "docs/operation.md",
        credentials: "docs/credentials.md",
        web: "docs/web.md",
        required: "required",
        off: "off",
        none: "none",
        all: "all",
    },
    Language {
        readme: "README.zh-CN.md",
        metrics: "docs/metrics.zh-CN.md",
        flags: "docs/flags.zh-CN.md",
        configuration: "docs/configuration.zh-CN.md",
        alerts: "docs/alerts.zh-CN.md",
        operation: "docs/operation.zh-CN.md",
        credentials: "docs/credentials.zh-CN.md",
        web: "docs/web.zh-CN.md",
        required: "必填",
        off: "关",
        none: "无",
        all: "全部",
    },
];

/// The text of a heading, paragraph, item or cell, with the code and the links in it.
#[derive(Clone, Debug, Default)]
struct Inline {
    text: String,
    /// The text with a placeholder for each piece of code.
    prose: String,
    code: Vec<String>,
    links: Vec<String>,
}

impl Inline {
    /// The code, if the text consists only of code.
    fn only_code(&self) -> Option<&str> {
        self.code.first().filter(|code| **code == self.text).map(String::as_str)
    }
}

/// The parsed content of a page.
#[derive(Debug, Default)]
struct Page {
    headings: Vec<(u8, Inline)>,
    /// The rows of each table, without headers.
    tables: Vec<Vec<Vec<Inline>>>,
    /// Language and text of each code block.
    code: Vec<(String, String)>,
    /// All texts, including headings and cells.
    texts: Vec<Inline>,
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &str) -> Page {
    let markdown = fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"));
    let mut page = Page::default();
    let mut inline = Inline::default();
    for event in Parser::new_ext(&markdown, Options::ENABLE_TABLES | Options::ENABLE_GFM) {
        match event {
            Event::Start(Tag::Link { dest_url, .. } | Tag::Image { dest_url, .. }) => {
                inline.links.push(dest_url.to_string());
            }
            Event::Start(Tag::CodeBlock(kind)) => {
                let language = match kind {
                    pulldown_cmark::CodeBlockKind::Fenced(language) => language.to_string(),
                    pulldown_cmark::CodeBlockKind::Indented => String::new(),
                };
                page.code.push((language, String::new()));
            }
            Event::End(TagEnd::CodeBlock) => {
                page.code.last_mut().unwrap().1 = std::mem::take(&mut inline).text;
            }
            Event::Text(text) => {
                inline.text += &text;
                inline.prose += &text;
            }
            Event::Code(code) => {
                inline.text += &code;
                // A placeholder that is neither a letter nor punctuation.
                inline.prose.push('\u{fffc}');
                inline.code.push(code.to_string());
            }
            Event::SoftBreak | Event::HardBreak => {
                inline.text.push('\n');
                inline.prose.push('\n');
            }
            Event::Start(Tag::Table(_)) => page.tables.push(Vec::new()),
            Event::Start(Tag::TableRow) => page.tables.last_mut().unwrap().push(Vec::new()),
            Event::End(end) => {
                let is_block = match end {
                    TagEnd::Heading(level) => {
                        page.headings.push((level as u8, inline.clone()));
                        true
                    }
                    TagEnd::TableCell => {
                        // Cells of the header come before the first row.
                        if let Some(row) = page.tables.last_mut().unwrap().last_mut() {
                            row.push(inline.clone());
                        }
                        true
                    }
                    TagEnd::Paragraph | TagEnd::Item => true,
                    _ => false,
                };
                if is_block {
                    page.texts.push(std::mem::take(&mut inline));
                }
            }
            _ => {}
        }
    }
    page
}

impl Page {
    /// The rows of all tables whose first cell begins with this text.
    fn rows(&self, beginning: &str) -> Vec<&Vec<Inline>> {
        let is_wanted = |table: &&Vec<Vec<Inline>>| table[0][0].text.starts_with(beginning);
        self.tables.iter().filter(is_wanted).flatten().collect()
    }

    /// The anchors of the headings, as GitHub generates them.
    fn anchors(&self) -> BTreeSet<String> {
        let mut anchors = BTreeSet::new();
        for (_, heading) in &self.headings {
            let slug = |c: char| match c {
                ' ' => Some('-'),
                c if c.is_alphanumeric() || c == '-' || c == '_' => Some(c.to_ascii_lowercase()),
                _ => None,
            };
            let anchor: String = heading.text.chars().filter_map(slug).collect();
            let taken = (1..).map(|n| format!("{anchor}-{n}"));
            let free = [anchor.clone()].into_iter().chain(taken).find(|name| !anchors.contains(name)).unwrap();
            anchors.insert(free);
        }
        anchors
    }
}

/// The paths of all Markdown files, relative to the root of the project.
fn pages() -> Vec<String> {
    fn visit(directory: &Path, found: &mut Vec<String>) {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap();
            let is_ours = name == ".github" || !(name.starts_with('.') || name == "target" || name == "node_modules");
            if path.is_dir() && is_ours && !path.join("pyvenv.cfg").exists() {
                visit(&path, found);
            } else if name.ends_with(".md") {
                found.push(path.strip_prefix(root()).unwrap().to_str().unwrap().to_owned());
            }
        }
    }
    let mut found = Vec::new();
    visit(&root(), &mut found);
    found.sort();
    assert!(found.len() > 25, "{found:?}");
    found
}

// Metrics

/// A metric family as exposed: its type, its labels, and the values of the label `reason`.
#[derive(Debug, Default, PartialEq)]
struct Family {
    kind: String,
    labels: BTreeSet<String>,
    reasons: BTreeSet<String>,
}

/// The names and values of a sample's labels.
fn labels(sample: &str) -> Vec<(String, String)> {
    let mut labels = Vec::new();
    let mut rest = sample.split_once('{').map_or("", |(_, rest)| rest);
    while let Some((name, value)) = rest.split_once("=\"") {
        let mut escaped = false;
        let end = value.find(|c| {
            let ends = c == '"' && !escaped;
            escaped = c == '\\' && !escaped;
            ends
        });
        let (value, after) = value.split_at(end.unwrap());
        labels.push((name.to_owned(), value.to_owned()));
        rest = after.trim_start_matches('"').trim_start_matches(',');
        if rest.starts_with('}') {
            break;
        }
    }
    labels
}

/// The families in the snapshot of all metrics, by their names in Prometheus. `tests/exposition.rs` compares the
/// snapshot with the code.
fn exposed() -> BTreeMap<String, Family> {
    let text = include_str!("snapshots/exposition__a_small_world_in_openmetrics.snap");
    let mut families: BTreeMap<String, Family> = BTreeMap::new();
    let mut current = String::new();
    for line in text.lines() {
        if let Some((name, kind)) = line.strip_prefix("# TYPE ").and_then(|line| line.split_once(' ')) {
            let suffix = match kind {
                "counter" => "_total",
                "info" => "_info",
                _ => "",
            };
            current = format!("{name}{suffix}");
            families.entry(current.clone()).or_default().kind = kind.to_owned();
        } else if line.starts_with("metastudio_") {
            let family = families.get_mut(&current).unwrap();
            for (label, value) in labels(line) {
                // The last failure has one reason at a time.
                if label == "reason" && current != "metastudio_poll_last_failure" {
                    family.reasons.insert(value);
                }
                // The bound of a bucket, and a label from the configuration of a project, are not documented.
                if !["le", "team"].contains(&label.as_str()) {
                    family.labels.insert(label);
                }
            }
        }
    }
    families
}

#[test]
fn the_tables_of_metrics_match_the_exposition() {
    let exposed = exposed();
    assert!(exposed.len() > 20, "{exposed:?}");
    for language in LANGUAGES {
        let page = read(language.metrics);
        let mut documented = BTreeMap::new();
        for row in page.rows("metastudio_") {
            let [names, kind, labels, meaning] = &row[..] else { panic!("{row:?}") };
            for name in &names.code {
                let labels: BTreeSet<String> = labels.code.iter().cloned().collect();
                let reasons =
                    if labels.contains("reason") { meaning.code.iter().cloned().collect() } else { BTreeSet::new() };
                assert!(!meaning.text.is_empty(), "{name}");
                let family = Family { kind: kind.text.clone(), labels, reasons };
                assert!(documented.insert(name.clone(), family).is_none(), "{name} is documented twice");
            }
        }
        for (name, family) in &documented {
            assert_eq!(Some(family), exposed.get(name), "{}: {name}", language.metrics);
        }
        let missing: Vec<_> = exposed.keys().filter(|name| !documented.contains_key(*name)).collect();
        assert!(missing.is_empty(), "{} lacks {missing:?}", language.metrics);
        assert!(page.texts.iter().any(|text| text.code.iter().any(|code| code == "process_*")), "{}", language.metrics);
    }
}

/// A label of a project would hide a label of the exporter with the same name.
#[tokio::test]
async fn no_project_can_have_a_label_of_the_exporter() {
    let labels: BTreeSet<String> = exposed()
        .into_values()
        .filter(|family| family.labels.contains("project"))
        .flat_map(|family| family.labels)
        .collect();
    assert!(labels.len() > 10, "{labels:?}");
    for label in labels {
        let config = format!("projects: [{{name: a, region: cn-north-4, labels: {{{label}: x}}}}]");
        assert!(load(&config, &[]).await.config.is_none(), "{label}");
    }
}

/// A metric that is missing in the snapshot would go unnoticed in the comparison above.
#[test]
fn every_metric_of_the_code_is_in_the_snapshot() {
    let exposed = exposed();
    let mut visited = 0;
    for file in fs::read_dir(root().join("src/exposition")).unwrap() {
        let code = fs::read_to_string(file.unwrap().path()).unwrap();
        let (code, _) = code.split_once("#[cfg(test)]").unwrap_or((&code, ""));
        for literal in code.split('"').filter(|literal| literal.starts_with("metastudio_")) {
            let name: String = literal.chars().take_while(|c| c.is_ascii_lowercase() || *c == '_').collect();
            // Families are named without their units and suffixes.
            let is_named =
                |full: &String| full.strip_prefix(&name).is_some_and(|rest| rest.is_empty() || rest.starts_with('_'));
            visited += 1;
            assert!(exposed.keys().any(is_named), "{name} is not in small_world of tests/exposition.rs");
        }
    }
    assert!(visited > 20, "{visited}");
}

// Flags

#[test]
fn the_tables_of_flags_match_the_command_line() {
    let mut cli = Cli::command();
    cli.build();
    let commands: Vec<&clap::Command> =
        cli.get_subcommands().filter(|command| !command.is_hide_set() && command.get_name() != "help").collect();
    let serve = commands.iter().find(|command| command.get_name() == "serve").unwrap();
    let longs = |command: &clap::Command| -> BTreeSet<String> {
        command.get_arguments().filter_map(|arg| Some(arg.get_long()?.to_owned())).collect()
    };
    let without_a_command: BTreeSet<String> = longs(&cli).into_iter().filter(|long| long != "version").collect();
    assert_eq!(longs(serve), without_a_command, "the flags of serve work without a command");

    for language in LANGUAGES {
        let page = read(language.flags);
        let names: Vec<&str> = commands.iter().map(|command| command.get_name()).collect();
        let documented: Vec<&str> = page.rows("serve").iter().map(|row| row[0].text.as_str()).collect();
        assert_eq!(documented, names, "{}", language.flags);

        // By flag and default, because the default of a flag may differ between commands.
        let mut expected: BTreeMap<(String, String), BTreeSet<&str>> = BTreeMap::new();
        let mut choices: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for command in &commands {
            for arg in command.get_arguments() {
                let Some(long) = arg.get_long().filter(|long| *long != "help") else { continue };
                let takes_a_value = arg.get_action().takes_values();
                let value = arg.get_value_names().map_or(String::new(), |names| format!(" {}", names[0]));
                let flag = if takes_a_value { format!("--{long}{value}") } else { format!("--{long}") };
                let default = match arg.get_default_values().first() {
                    Some(default) if takes_a_value => default.to_str().unwrap().to_owned(),
                    _ if takes_a_value => language.none.to_owned(),
                    _ => language.off.to_owned(),
                };
                if takes_a_value && !arg.get_possible_values().is_empty() {
                    let names = arg.get_possible_values().iter().map(|value| value.get_name().to_owned()).collect();
                    choices.insert(flag.clone(), names);
                }
                expected.entry((flag, default)).or_default().insert(command.get_name());
            }
        }
        let mut documented = BTreeMap::new();
        for row in page.rows("--") {
            let [flag, of, default, meaning] = &row[..] else { panic!("{row:?}") };
            let of: BTreeSet<&str> = match of.text.as_str() {
                all if all == language.all => names.iter().copied().collect(),
                _ => of.code.iter().map(String::as_str).collect(),
            };
            if let Some(choices) = choices.get(&flag.text) {
                assert_eq!(meaning.code, *choices, "{}: {}", language.flags, flag.text);
            }
            assert!(documented.insert((flag.text.clone(), default.text.clone()), of).is_none(), "{flag:?} twice");
        }
        assert_eq!(documented, expected, "{}", language.flags);
    }
}

// Configuration

/// Keys whose default is not compared: it comes from another key or from the environment, or the tests set the key.
const DERIVED: [&str; 14] = [
    "credentials.NAME",
    "defaults",
    "poll.stale_after",
    "projects[].collect",
    "projects[].credentials",
    "projects[].endpoint",
    "projects[].interval",
    "projects[].project_id",
    "projects[].region",
    "projects[].stale_after",
    "projects[].windows",
    "pod_identity.url",
    "pod_identity.token",
    "profile.file",
];

async fn load(text: &str, variables: &[(&str, &str)]) -> config::Loaded {
    let environment: Environment =
        variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    config::load_text(text.to_owned(), Path::new("config.yaml"), &environment).await
}

/// The keys that the code accepts, by the path of their section. The error for the key `nonsense` lists them.
fn known_keys(problems: &[Problem]) -> BTreeMap<String, Vec<String>> {
    let mut known = BTreeMap::new();
    for problem in problems {
        let keys = problem.expected.strip_prefix("there is no such key; expected one of ");
        let section = problem.path.strip_suffix("nonsense");
        if let (Some(keys), Some(section)) = (keys, section) {
            known.insert(section.replace("[0]", "[]"), keys.split(", ").map(str::to_owned).collect());
        }
    }
    known
}

/// The paths of the required keys, from the errors about missing keys. Keys that another key can replace are left out.
fn missing_keys(problems: &[Problem]) -> BTreeSet<String> {
    let mut missing = BTreeSet::new();
    for problem in problems.iter().filter(|problem| !problem.expected.contains(", or a")) {
        let path = problem.path.replace("[0]", "[]");
        if problem.expected.starts_with("is missing") {
            missing.insert(path);
        } else if let Some((key, _)) = problem.expected.split_once(" is missing") {
            missing.insert(format!("{path}.{key}"));
        }
    }
    missing
}

/// The values of a printed configuration by their paths, as the tables write them; `None` is null.
fn flatten(path: &str, value: &Yaml, values: &mut BTreeMap<String, Option<String>>) {
    let text = |value: &Yaml| match value {
        Yaml::String(text) | Yaml::Real(text) => text.clone(),
        Yaml::Integer(number) => number.to_string(),
        other => panic!("{other:?}"),
    };
    match value {
        Yaml::Hash(fields) if !fields.is_empty() => {
            for (key, value) in fields {
                let dot = if path.is_empty() { "" } else { "." };
                flatten(&format!("{path}{dot}{}", text(key)), value, values);
            }
        }
        Yaml::Hash(_) => drop(values.insert(path.to_owned(), Some("{}".to_owned()))),
        Yaml::Array(items) if matches!(items.first(), Some(Yaml::Hash(_))) => {
            flatten(&format!("{path}[]"), &items[0], values);
        }
        Yaml::Array(items) => {
            let items: Vec<String> = items.iter().map(text).collect();
            values.insert(path.to_owned(), Some(format!("[{}]", items.join(", "))));
        }
        Yaml::Null => drop(values.insert(path.to_owned(), None)),
        scalar => drop(values.insert(path.to_owned(), Some(text(scalar)))),
    }
}

/// Compares a table of keys and defaults with the keys, the defaults and the required keys of the code.
fn compare_keys(
    page: &str,
    rows: &[&Vec<Inline>],
    known: &BTreeSet<String>,
    defaults: &BTreeMap<String, Option<String>>,
    missing: &BTreeSet<String>,
    required: &str,
) {
    let documented: Vec<&str> = rows.iter().map(|row| row[0].only_code().unwrap()).collect();
    let set: BTreeSet<String> = documented.iter().map(|key| (*key).to_owned()).collect();
    assert_eq!(set.len(), documented.len(), "{page}: a key is documented twice");
    assert_eq!(set, *known, "{page}");
    for row in rows {
        let [key, default, meaning] = &row[..] else { panic!("{row:?}") };
        let context = format!("{page}: {}: {}", key.text, default.text);
        assert!(!meaning.text.is_empty(), "{context}");
        assert_eq!(missing.contains(&key.text), default.text == required, "{context}");
        if missing.contains(&key.text) || DERIVED.contains(&key.text.as_str()) {
            continue;
        }
        match defaults.get(&key.text) {
            Some(Some(printed)) => assert_eq!(default.only_code(), Some(printed.as_str()), "{context}"),
            _ => assert_eq!(default.only_code(), None, "{context}: the code has no default"),
        }
    }
}

#[tokio::test]
async fn the_table_of_the_configuration_matches_the_code() {
    let nonsense = "{poll: {nonsense: 1}, api: {nonsense: 1}, nonsense: 1,
        collectors: {nonsense: 1, packages: {nonsense: 1}, sub_users: {nonsense: 1}, sessions: {nonsense: 1}, reconciliation: {nonsense: 1},
            billing: {nonsense: 1}},
        accounts: [{nonsense: 1}],
        projects: [{nonsense: 1, budgets: [{nonsense: 1}]}], budgets: [{nonsense: 1}]}";
    let problems = load(nonsense, &[]).await.problems;
    let mut known = BTreeSet::new();
    let mut sections = 0;
    for (section, keys) in known_keys(&problems) {
        sections += 1;
        for key in keys {
            match format!("{section}{key}").as_str() {
                "poll" | "api" | "projects" | "collectors" => {}
                "collectors.packages"
                | "collectors.sub_users"
                | "collectors.sessions"
                | "collectors.reconciliation"
                | "collectors.billing" => {}
                "credentials" => drop(known.insert("credentials.NAME".to_owned())),
                path => drop(known.insert(path.to_owned())),
            }
        }
    }
    assert_eq!(sections, 13, "{problems:?}");

    let minimal = "{credentials: {a: {token: t}},
        projects: [{name: a, region: cn-north-4, project_id: 0123456789abcdef0123456789abcdef}]}";
    let config = load(minimal, &[]).await.config.unwrap();
    let mut defaults = BTreeMap::new();
    flatten("", &YamlLoader::load_from_str(&effective::to_yaml(&config)).unwrap()[0], &mut defaults);
    assert!(defaults["poll.interval"].is_some() && defaults["projects[].budgets"].is_some(), "{defaults:?}");

    for language in LANGUAGES {
        let page = read(language.configuration);
        let rows = page.rows("poll.interval");
        compare_keys(language.configuration, &rows, &known, &defaults, &missing_keys(&problems), language.required);
    }

    // Editors show the same meaning as the English table.
    let schema: Value = serde_json::from_str(&schema::json()).unwrap();
    for row in read(LANGUAGES[0].configuration).rows("poll.interval") {
        let pointer = row[0].text.replace("[]", "/items").replace(".NAME", "").replace('.', "/properties/");
        let pointer = format!("/properties/{pointer}").replace("/items/properties", "/items/properties");
        let found = schema.pointer(&format!("{pointer}/description")).and_then(Value::as_str);
        if row[0].text != "credentials.NAME" && row[0].text != "defaults" {
            assert_eq!(found, Some(row[2].text.as_str()), "{}", row[0].text);
        }
    }

    // The variables of the environment, as the page describes them.
    for key in known.iter().filter(|key| key.starts_with("poll.") || key.starts_with("api.") || *key == "timezone") {
        let variable = format!("METASTUDIO_{}", key.to_uppercase().replace('.', "__"));
        let problems = load(minimal, &[(&variable, "~")]).await.problems;
        assert!(!problems.iter().any(|problem| problem.path == variable), "{variable}: {problems:?}");
    }
    let problems = load(minimal, &[("METASTUDIO_WINDOWS", "today")]).await.problems;
    assert!(problems[0].expected.contains("is ignored"), "{problems:?}");
}

#[tokio::test]
async fn the_tables_of_credentials_match_the_code() {
    let sources = ["iam_user", "ecs_agency", "oidc", "pod_identity", "profile"];
    let entries: Vec<String> =
        sources.iter().map(|source| format!("{source}: {{{source}: {{nonsense: 1}}}}")).collect();
    let projects = "projects: [{name: a, region: cn-north-4, credentials: keys}]";
    let nonsense = format!("{{credentials: {{keys: {{nonsense: 1}}, {}}}, {projects}}}", entries.join(", "));
    let problems = load(&nonsense, &[]).await.problems;
    let mut known = BTreeSet::new();
    let mut entries = Vec::new();
    for (section, keys) in known_keys(&problems) {
        // For example credentials.oidc.oidc.duration, where the first `oidc` is the name from above.
        let below = section.strip_prefix("credentials.").unwrap().split_once('.').unwrap().1;
        for key in keys {
            if below.is_empty() {
                entries.push(key.clone());
            }
            if !sources.contains(&key.as_str()) {
                known.insert(format!("{below}{key}"));
            }
        }
    }
    assert!(sources.iter().all(|source| entries.iter().any(|entry| entry == source)), "{entries:?}");
    let missing = missing_keys(&problems).into_iter().filter_map(|path| {
        let path = path.strip_prefix("credentials.")?.split_once('.')?.1.to_owned();
        Some(path)
    });
    let missing: BTreeSet<String> = missing.collect();

    let mut defaults = BTreeMap::new();
    for source in [
        "iam_user: {domain: d, user: u, password: p}",
        "ecs_agency: {}",
        "oidc: {provider_urn: p, agency_urn: a, id_token: t}",
    ] {
        let text = format!("{{credentials: {{keys: {{{source}}}}}, projects: [{{name: a, region: cn-north-4}}]}}");
        let config = load(&text, &[]).await.config.unwrap();
        let mut printed = BTreeMap::new();
        flatten("", &YamlLoader::load_from_str(&effective::to_yaml(&config)).unwrap()[0], &mut printed);
        let below = |(path, value): (String, _)| Some((path.strip_prefix("credentials.keys.")?.to_owned(), value));
        defaults.extend(printed.into_iter().filter_map(below));
    }
    assert!(defaults.contains_key("oidc.duration"), "{defaults:?}");

    for language in LANGUAGES {
        let page = read(language.credentials);
        let [overview, keys] = &page.tables[..] else { panic!("{}", language.credentials) };
        let rows: Vec<&Vec<Inline>> = keys.iter().collect();
        compare_keys(language.credentials, &rows, &known, &defaults, &missing, language.required);
        let mut named: Vec<String> = overview.iter().flat_map(|row| row[0].code.clone()).collect();
        named.push("security_token".to_owned());
        let order = |keys: &[String]| keys.iter().cloned().collect::<BTreeSet<_>>();
        assert_eq!(order(&named), order(&entries), "{}", language.credentials);
    }
}

#[tokio::test]
async fn the_table_of_the_web_configuration_matches_the_code() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("web.yaml");
    let nonsense = "{nonsense: 1, tls_server_config: {nonsense: 1}, http_server_config: {nonsense: 1},
        rate_limit: {nonsense: 1}}";
    fs::write(&path, nonsense).unwrap();
    let problems = server::config::load_web(&path).await.problems;
    let mut known = BTreeSet::new();
    for (section, keys) in known_keys(&problems) {
        known.extend(keys.into_iter().map(|key| format!("{section}{key}")));
    }
    let sections = ["tls_server_config", "http_server_config", "rate_limit"];
    assert!(sections.iter().all(|section| known.remove(*section)), "{problems:?}");
    for language in LANGUAGES {
        let page = read(language.web);
        let mut documented = BTreeSet::new();
        for row in page.rows("tls_server_config") {
            let section = row[0].code[0].rsplit_once('.').map(|(section, _)| section);
            for key in &row[0].code {
                let is_whole = key.contains('.') || section.is_none();
                documented.insert(if is_whole { key.clone() } else { format!("{}.{key}", section.unwrap()) });
            }
        }
        assert_eq!(documented, known, "{}", language.web);
    }
}

#[test]
fn the_readme_names_the_oldest_rust_of_cargo_toml() {
    for language in LANGUAGES {
        let promised = format!("rustup.rs) {} ", env!("CARGO_PKG_RUST_VERSION"));
        assert!(fs::read_to_string(root().join(language.readme)).unwrap().contains(&promised), "{promised}");
    }
}

// Alerts

#[test]
fn the_table_of_alerts_matches_the_rules_file() {
    let rules = fs::read_to_string(root().join("deploy/prometheus/metastudio.rules.yml")).unwrap();
    let rules = YamlLoader::load_from_str(&rules).unwrap().remove(0);
    let groups = rules["groups"].as_vec().unwrap();
    let mut expected = Vec::new();
    for rule in groups.iter().flat_map(|group| group["rules"].as_vec().unwrap()) {
        if let Some(name) = rule["alert"].as_str() {
            let text = |value: &Yaml| value.as_str().unwrap().to_owned();
            let runbook = text(&rule["annotations"]["runbook"]);
            expected.push([name.to_owned(), runbook, text(&rule["labels"]["severity"]), text(&rule["for"])]);
        }
    }
    assert!(expected.len() > 10, "{expected:?}");
    for language in LANGUAGES {
        let ending = language.alerts.strip_prefix("docs/alerts").unwrap();
        let mut expected = expected.clone();
        for [_, runbook, ..] in &mut expected {
            *runbook = format!("../{}", runbook.replace(".md", ending));
        }
        let page = read(language.alerts);
        let documented = page.rows("MetaStudio").into_iter().map(|row| {
            let [alert, severity, after, when] = &row[..] else { panic!("{row:?}") };
            assert!(!when.text.is_empty(), "{alert:?}");
            [alert.text.clone(), alert.links[0].clone(), severity.text.clone(), after.text.clone()]
        });
        assert_eq!(documented.collect::<Vec<_>>(), expected, "{}", language.alerts);
    }
}

// Sizing

impl Page {
    /// The table whose first cell is this text, as texts.
    fn table(&self, first: &str) -> Vec<Vec<&str>> {
        let table = self.tables.iter().find(|table| table[0][0].text == first).unwrap();
        table.iter().map(|row| row.iter().map(|cell| cell.text.as_str()).collect()).collect()
    }
}

fn number(text: &str) -> f64 {
    text.replace(',', "").parse().unwrap_or_else(|error| panic!("{text}: {error}"))
}

#[test]
fn the_pages_have_the_measured_figures() {
    const REQUESTS_A_DAY: f64 = 3.0 * 86_400.0 / 300.0;
    let measured = read("BENCHMARKS.md");
    let memory = measured.table("10");
    let mebibytes = |row: &Vec<&str>| (number(row[7]) / 1024.0).ceil();
    let figure = |what: &str| {
        let mut rows = measured.tables.iter().flatten();
        number(&rows.find(|row| row[0].text == what).unwrap()[1].text)
    };
    let scrapes: Vec<Vec<&str>> = (measured.tables.iter().find(|table| table[0][1].text == "gzip").unwrap().iter())
        .filter(|row| row[1].text == "gzip" && row[3].text == "32")
        .map(|row| vec![&*row[0].text, &*row[2].text, row[7].text.split_once(' ').unwrap().0])
        .collect();
    for language in LANGUAGES {
        let page = read(language.operation);
        let sizes = page.table("10");
        assert_eq!(sizes.len(), memory.len(), "{}", language.operation);
        for (size, memory) in sizes.iter().zip(&memory) {
            let [projects, series, memory_of_page, second, day] = size[..] else { panic!("{size:?}") };
            assert_eq!([projects, series], memory[..2], "{}", language.operation);
            assert_eq!(number(memory_of_page), mebibytes(memory), "{size:?}");
            assert_eq!(number(day), number(projects) * REQUESTS_A_DAY, "{size:?}");
            assert_eq!(number(second), number(day) / 86_400.0, "{size:?}");
        }
        assert_eq!(page.table(scrapes[0][0]), scrapes, "{}", language.operation);
        let text = fs::read_to_string(root().join(language.operation)).unwrap();
        let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
        let assert_one_of = |forms: [String; 2]| {
            assert!(forms.iter().any(|form| text.contains(form)), "{}: {forms:?}", language.operation);
        };
        let of_one_window = figure("memory, MiB").ceil();
        assert_one_of([format!("they took {of_one_window} MiB"), format!("占用 {of_one_window} MiB")]);
        let reload = figure("reload without changes, s");
        assert_one_of([format!("took {reload:.1} s"), format!("用时 {reload:.1} 秒")]);
        let of_series = (number(memory[memory.len() - 1][8]) / 10.0).round() * 10.0;
        assert_one_of([format!("about {of_series} bytes"), format!("约 {of_series} 字节")]);
        for row in memory.iter().skip(2) {
            let (part, all) = (((number(row[7]) - number(row[6])) / 1024.0).round(), mebibytes(row));
            assert_one_of([format!("{part} of the {all} MiB"), format!("{all} MiB 中的 {part} MiB")]);
        }
    }
    let of_chart = format!("{} MiB with 10 projects, {} MiB with 3,000", mebibytes(&memory[0]), mebibytes(&memory[2]));
    let values = fs::read_to_string(root().join("deploy/helm/metastudio-exporter/values.yaml")).unwrap();
    assert!(values.contains(&of_chart), "{of_chart}");
}

// Pages

#[test]
fn every_link_has_a_target() {
    let mut followed = 0;
    for path in pages() {
        let page = read(&path);
        let directory = root().join(&path).parent().unwrap().to_owned();
        for link in page.texts.iter().flat_map(|text| &text.links) {
            if link.contains("://") || link.starts_with("mailto:") {
                continue;
            }
            followed += 1;
            // The hosting site shows a page at blob/BRANCH/PATH. The releases are beside `blob`.
            if let Some(up) = link.strip_suffix("releases") {
                assert_eq!(up, "../".repeat(path.matches('/').count() + 2), "{path}: {link}");
                continue;
            }
            let (file, anchor) = link.split_once('#').unwrap_or((link, ""));
            let target = if file.is_empty() { root().join(&path) } else { directory.join(file) };
            let target = target.canonicalize().unwrap_or_else(|error| panic!("{path}: {link}: {error}"));
            let target =
                target.strip_prefix(root().canonicalize().unwrap()).expect("a link that leads out of the project");
            if !anchor.is_empty() {
                let anchors = read(target.to_str().unwrap()).anchors();
                assert!(anchors.contains(anchor), "{path}: {link} is none of {anchors:?}");
            }
        }
    }
    assert!(followed > 100, "{followed}");
}

/// Readers read the whole README, so it is short.
#[test]
fn the_readme_is_short() {
    for language in LANGUAGES {
        let lines = fs::read_to_string(root().join(language.readme)).unwrap().lines().count();
        assert!(lines <= 150, "{}: {lines} lines", language.readme);
    }
}

/// Each English page and its Chinese translation.
fn pairs() -> Vec<(String, String)> {
    let pages = pages();
    let chinese = pages.iter().filter(|page| page.ends_with(".zh-CN.md"));
    let pairs: Vec<_> = chinese.map(|page| (page.replace(".zh-CN.md", ".md"), page.clone())).collect();
    assert!(pairs.len() >= 13, "{pairs:?}");
    pairs
}

#[test]
fn both_languages_have_the_same_structure() {
    for (english, chinese) in pairs() {
        let [en, zh] = [&english, &chinese].map(|page| read(page));
        let context = format!("{english} and {chinese}");

        let levels = |page: &Page| page.headings.iter().map(|(level, _)| *level).collect::<Vec<_>>();
        assert_eq!(levels(&en), levels(&zh), "{context}: headings");

        // Comments are translated, so they are not compared.
        let code = |page: &Page| {
            let bare = |(language, text): &(String, String)| {
                let line = |line: &str| match line.split_once("# ") {
                    Some((before, _)) if before.trim().is_empty() || before.ends_with(' ') => {
                        before.trim_end().to_owned()
                    }
                    _ => line.to_owned(),
                };
                (language.clone(), text.lines().map(line).collect::<Vec<_>>())
            };
            page.code.iter().map(bare).collect::<Vec<_>>()
        };
        assert_eq!(code(&en), code(&zh), "{context}: blocks of code");

        assert_eq!(en.tables.len(), zh.tables.len(), "{context}: tables");
        for (en, zh) in en.tables.iter().flatten().zip(zh.tables.iter().flatten()) {
            let sorted = |cell: &Inline| cell.code.iter().cloned().collect::<BTreeSet<_>>();
            assert_eq!(
                en.iter().map(sorted).collect::<Vec<_>>(),
                zh.iter().map(sorted).collect::<Vec<_>>(),
                "{context}"
            );
        }
        let rows = |page: &Page| page.tables.iter().map(Vec::len).collect::<Vec<_>>();
        assert_eq!(rows(&en), rows(&zh), "{context}: rows");

        let language = |link: &str| {
            let path = link.split('#').next().unwrap();
            path.replace(".zh-CN.", ".").replace(".en.", ".").replace("/intl/en-us/", "/")
        };
        let links = |page: &Page| {
            let all = page.texts.iter().flat_map(|text| &text.links).map(|link| language(link));
            all.filter(|link| !english.ends_with(link.as_str())).collect::<BTreeSet<_>>()
        };
        assert_eq!(links(&en), links(&zh), "{context}: links");
    }
}

#[test]
fn chinese_has_chinese_punctuation() {
    let is_han = |c: char| ('\u{4e00}'..='\u{9fff}').contains(&c);
    for (_, chinese) in pairs() {
        for text in read(&chinese).texts {
            let characters: Vec<char> = text.prose.chars().collect();
            for pair in characters.windows(2) {
                let is_ascii = |c: char| matches!(c, ',' | ':' | ';' | '?' | '!' | '(' | ')');
                let is_mixed = is_han(pair[0]) && is_ascii(pair[1]) || is_ascii(pair[0]) && is_han(pair[1]);
                assert!(!is_mixed, "{chinese}: {pair:?} in {}", text.prose);
            }
        }
    }
}
