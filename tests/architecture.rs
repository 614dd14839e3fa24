//! The layers of the code: each module imports only the modules that the table allows, and imports form no cycles.
//!
//! The test reads every file of `src` and resolves each path that begins with `crate`, `super` or `self` to the file
//! that defines the item: a re-export counts as an import of the file behind it. Unit tests are left out.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use proc_macro2::TokenTree;
use syn::{ItemUse, UseTree, Visibility, visit::Visit};

/// Modules by the path of their files below `src`, each with the modules that it may import. The longest path that fits
/// a file is its module. A file in no module is an error. Data flows from the top to the bottom.
const LAYERS: &[(&str, &[&str])] = &[
    ("usage", &[]),
    ("file", &[]),
    ("text", &[]),
    ("storage", &["file"]),
    ("config", &["file", "text", "usage"]),
    ("cloud/error", &["usage"]),
    ("cloud/secrets", &["text"]),
    ("cloud/memory", &[]),
    ("cloud/json", &["cloud/secrets"]),
    ("cloud/transport", &["config", "usage", "cloud/error", "cloud/secrets", "cloud/memory"]),
    ("cloud/credentials", &["storage", "config", "usage", "cloud/error", "cloud/secrets", "cloud/transport"]),
    (
        "cloud/client",
        &["config", "usage", "cloud/error", "cloud/secrets", "cloud/memory", "cloud/transport", "cloud/credentials"],
    ),
    (
        "cloud/connector",
        &["config", "usage", "cloud/error", "cloud/memory", "cloud/transport", "cloud/credentials", "cloud/client"],
    ),
    ("cloud/listing", &["cloud/error", "cloud/secrets", "cloud/json"]),
    (
        "cloud/lists",
        &["usage", "cloud/error", "cloud/secrets", "cloud/memory", "cloud/json", "cloud/listing", "cloud/client"],
    ),
    ("cloud/resources_api", OF_A_LIST),
    ("cloud/quotas_api", OF_A_LIST),
    ("cloud/jobs_api", OF_A_LIST),
    ("cloud/service_configs_api", &["usage", "cloud/error", "cloud/json", "cloud/client"]),
    ("cloud/account_api", &["usage", "cloud/error", "cloud/client"]),
    ("cloud/project_api", &["usage", "cloud/error", "cloud/client", "cloud/account_api"]),
    ("cloud/billing_api", OF_A_LIST),
    (
        "cloud/fuzzing",
        &[
            "usage",
            "cloud/error",
            "cloud/secrets",
            "cloud/json",
            "cloud/transport",
            "cloud/listing",
            "cloud/project_api",
            "cloud/resources_api",
            "cloud/quotas_api",
            "cloud/jobs_api",
            "cloud/billing_api",
        ],
    ),
    ("cloud/usage_api", &["usage", "cloud/error", "cloud/secrets", "cloud/memory", "cloud/json", "cloud/client"]),
    ("snapshot", &["usage"]),
    ("history/days", &["usage"]),
    ("history/stored", &["usage"]),
    ("history/ledger", &["usage", "history/days", "history/stored"]),
    (
        "polling",
        &[
            "config",
            "usage",
            "cloud/error",
            "cloud/credentials",
            "cloud/client",
            "cloud/connector",
            "cloud/project_api",
            "cloud/usage_api",
            "cloud/resources_api",
            "cloud/quotas_api",
            "cloud/jobs_api",
            "cloud/billing_api",
            "cloud/lists",
            "snapshot",
            "history/days",
            "history/ledger",
        ],
    ),
    ("exposition", &["usage", "snapshot"]),
    ("history/latest", &["usage", "snapshot", "history/stored"]),
    ("history/samples", &["usage", "snapshot", "exposition", "history/days"]),
    ("history/report", &["usage", "history/days"]),
    ("site", &["usage", "snapshot", "exposition"]),
    ("server", &["file", "config"]),
    ("simulator", &[]),
    ("log", &["text"]),
];

/// The modules that the module of an operation with a list may import.
const OF_A_LIST: &[&str] = &[
    "usage",
    "cloud/error",
    "cloud/secrets",
    "cloud/memory",
    "cloud/json",
    "cloud/listing",
    "cloud/lists",
    "cloud/client",
];

/// The module that wires the others together.
const WIRING: &str = "commands";

/// Files that may import any module. Most of them only declare and re-export. The files below them are in the table.
const ROOTS: [&str; 5] = ["main", "lib", "cli", "cloud", "history"];

/// Modules that use no clock, file or network. Times and contents are arguments.
const PURE: [&str; 7] = [
    "usage",
    "cloud/transport/signing",
    "cloud/usage_api/pages",
    "cloud/listing",
    "history/days",
    "history/samples",
    "history/report",
];
const IMPURE: [&str; 8] =
    ["tokio", "reqwest", "std::fs", "std::net", "std::env", "Utc::now", "SystemTime", "Instant::now"];

/// The files by their path below `src` without extension, such as `cloud/client`.
type Sources = BTreeMap<String, String>;

fn sources() -> Sources {
    fn visit(directory: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                visit(&path, found);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(path);
            }
        }
    }
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    visit(&src, &mut files);
    let source = |path: PathBuf| {
        let name = path.strip_prefix(&src).unwrap().with_extension("").to_str().unwrap().to_owned();
        (name, fs::read_to_string(&path).unwrap())
    };
    let is_test = |name: &str| name.split('/').any(|part| part == "tests");
    files.into_iter().map(source).filter(|(name, _)| !is_test(name)).collect()
}

/// One path of a file, from the root of the crate: `["cloud", "client", "Client"]`.
type CratePath = Vec<String>;

/// The paths of one file.
#[derive(Clone, Default)]
struct Imports {
    file: String,
    /// Paths that the code of the file uses.
    used: BTreeSet<CratePath>,
    /// Names that the file re-exports, with the path of each.
    exported: BTreeMap<String, CratePath>,
    children: BTreeSet<String>,
}

impl Imports {
    fn of(file: &str, code: &str, sources: &Sources) -> Self {
        let prefix = if file == "lib" { String::new() } else { format!("{file}/") };
        let child = |name: &String| Some(name.strip_prefix(&prefix)?.to_owned()).filter(|rest| !rest.contains('/'));
        let children = sources.keys().filter_map(child).collect();
        let mut imports = Imports { file: file.to_owned(), children, ..Imports::default() };
        let mut parsed = syn::parse_file(code).unwrap_or_else(|error| panic!("src/{file}.rs: {error}"));
        let is_test = |item: &syn::Item| match item {
            syn::Item::Mod(module) => module.attrs.iter().any(|attribute| attribute.path().is_ident("cfg")),
            _ => false,
        };
        parsed.items.retain(|item| !is_test(item));
        imports.visit_file(&parsed);
        imports
    }

    /// A path from the root of the crate; `None` where it leads out of the crate.
    fn absolute(&self, segments: &[String]) -> Option<CratePath> {
        let mut base: CratePath = match self.file.as_str() {
            "lib" | "main" => Vec::new(),
            file => file.split('/').map(str::to_owned).collect(),
        };
        let mut rest = segments;
        match segments.first()?.as_str() {
            "crate" => {
                base.clear();
                rest = &rest[1..];
            }
            "self" => rest = &rest[1..],
            "super" => {
                while rest.first().is_some_and(|segment| segment == "super") {
                    base.pop();
                    rest = &rest[1..];
                }
            }
            first if self.children.contains(first) => {}
            _ => return None,
        }
        base.extend_from_slice(rest);
        Some(base)
    }

    fn collect(&mut self, tree: &UseTree, before: &[String], is_export: bool) {
        let mut path = before.to_vec();
        match tree {
            UseTree::Path(next) => {
                path.push(next.ident.to_string());
                self.collect(&next.tree, &path, is_export);
            }
            UseTree::Group(group) => group.items.iter().for_each(|tree| self.collect(tree, before, is_export)),
            UseTree::Name(name) if name.ident == "self" => self.note(&path, None, is_export),
            UseTree::Name(name) => {
                path.push(name.ident.to_string());
                self.note(&path, Some(name.ident.to_string()), is_export);
            }
            UseTree::Rename(rename) => {
                path.push(rename.ident.to_string());
                self.note(&path, Some(rename.rename.to_string()), is_export);
            }
            UseTree::Glob(_) => self.note(&path, None, is_export),
        }
    }

    fn note(&mut self, path: &[String], name: Option<String>, is_export: bool) {
        let Some(path) = self.absolute(path) else { return };
        match name {
            Some(name) if is_export => drop(self.exported.insert(name, path)),
            _ => drop(self.used.insert(path)),
        }
    }

    /// Notes the paths in the arguments of a macro, because `syn` does not parse them.
    fn collect_tokens(&mut self, tokens: proc_macro2::TokenStream) {
        let mut path: Vec<String> = Vec::new();
        for token in tokens {
            match token {
                TokenTree::Ident(ident) => path.push(ident.to_string()),
                TokenTree::Punct(punct) if punct.as_char() == ':' => {}
                other => {
                    self.note(&std::mem::take(&mut path), None, false);
                    if let TokenTree::Group(group) = other {
                        self.collect_tokens(group.stream());
                    }
                }
            }
        }
        // A single word may be the `super` of `pub(super)`.
        if path.len() > 1 {
            self.note(&path, None, false);
        }
    }
}

impl<'ast> Visit<'ast> for Imports {
    fn visit_item_use(&mut self, item: &'ast ItemUse) {
        let is_export = !matches!(item.vis, Visibility::Inherited);
        self.collect(&item.tree, &[], is_export);
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let segments: Vec<String> = path.segments.iter().map(|segment| segment.ident.to_string()).collect();
        if matches!(segments.first().map(String::as_str), Some("crate" | "self" | "super")) && segments.len() > 1 {
            self.note(&segments, None, false);
        }
        syn::visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, item: &'ast syn::Macro) {
        self.collect_tokens(item.tokens.clone());
    }
}

/// The files of the crate, each with its paths.
type Parsed = BTreeMap<String, Imports>;

fn parse(sources: &Sources) -> Parsed {
    sources.iter().map(|(file, code)| (file.clone(), Imports::of(file, code, sources))).collect()
}

/// The files of the crate, each with the files that it imports.
type Graph = BTreeMap<String, BTreeSet<String>>;

fn graph(imports: &Parsed) -> Graph {
    let targets = |of: &Imports| of.used.iter().map(|path| defining_file(path, imports)).collect::<BTreeSet<_>>();
    imports
        .iter()
        .map(|(file, of)| {
            let mut targets = targets(of);
            targets.remove(file);
            (file.clone(), targets)
        })
        .collect()
}

/// The file in which a path ends: re-exports are followed.
fn defining_file(path: &[String], imports: &Parsed) -> String {
    let mut file = "lib".to_owned();
    for (index, segment) in path.iter().enumerate() {
        let child = if file == "lib" { segment.clone() } else { format!("{file}/{segment}") };
        if imports.contains_key(&child) {
            file = child;
            continue;
        }
        if let Some(target) = imports[&file].exported.get(segment) {
            let whole = [target, &path[index + 1..]].concat();
            return defining_file(&whole, imports);
        }
        break;
    }
    file
}

fn module_of(file: &str) -> &str {
    if ROOTS.contains(&file) {
        return file;
    }
    let fits = |module: &&str| file == *module || file.starts_with(&format!("{module}/"));
    let modules = LAYERS.iter().map(|(module, _)| *module).chain([WIRING]);
    modules.filter(fits).max_by_key(|module| module.len()).unwrap_or_else(|| panic!("src/{file}.rs is in no module"))
}

/// Imports that the table does not allow.
fn violations(graph: &Graph) -> Vec<String> {
    let mut found = Vec::new();
    for (file, targets) in graph {
        let module = module_of(file);
        let allowed = LAYERS.iter().find(|(layer, _)| *layer == module).map(|(_, allowed)| *allowed);
        for target in targets {
            let imported = module_of(target);
            if imported != module && allowed.is_some_and(|allowed| !allowed.contains(&imported)) {
                found.push(format!("src/{file}.rs must not import src/{target}.rs"));
            }
        }
    }
    found
}

/// Cycles of imports, each as its files in order.
fn circles(graph: &Graph) -> Vec<Vec<String>> {
    fn visit(
        file: &str,
        graph: &Graph,
        way: &mut Vec<String>,
        done: &mut BTreeSet<String>,
        found: &mut Vec<Vec<String>>,
    ) {
        if let Some(start) = way.iter().position(|before| before == file) {
            found.push(way[start..].to_vec());
            return;
        }
        if done.contains(file) {
            return;
        }
        way.push(file.to_owned());
        graph[file].iter().for_each(|target| visit(target, graph, way, done, found));
        way.pop();
        done.insert(file.to_owned());
    }
    let (mut done, mut found) = (BTreeSet::new(), Vec::new());
    graph.keys().for_each(|file| visit(file, graph, &mut Vec::new(), &mut done, &mut found));
    found
}

#[test]
fn modules_import_only_the_modules_before_them() {
    let found = violations(&graph(&parse(&sources())));
    assert!(found.is_empty(), "{found:#?}");
}

#[test]
fn no_files_import_each_other() {
    let found = circles(&graph(&parse(&sources())));
    assert!(found.is_empty(), "{found:#?}");
}

/// If a module of the table had no files, its rule would check nothing.
#[test]
fn every_module_has_files() {
    let sources = sources();
    let modules: BTreeSet<&str> = sources.keys().map(|file| module_of(file)).collect();
    for (module, _) in LAYERS {
        assert!(modules.contains(module), "{module}");
    }
}

#[test]
fn the_table_is_in_the_order_of_imports() {
    let place = |module: &str| LAYERS.iter().position(|(layer, _)| *layer == module).unwrap();
    for (module, allowed) in LAYERS {
        for before in *allowed {
            assert!(place(before) < place(module), "{before} must be above {module}");
        }
    }
}

/// The test adds the reverse of each allowed import.
#[test]
fn an_import_against_the_layers_is_found() {
    let sources = sources();
    let parsed = parse(&sources);
    let first_file = |module: &str| sources.keys().find(|file| module_of(file) == module).unwrap().clone();
    let mut turned = 0;
    for (module, allowed) in LAYERS {
        for before in *allowed {
            let (from, to) = (first_file(before), first_file(module));
            for import in [
                format!("use crate::{}::Anything;", to.replace('/', "::")),
                format!("fn anything() {{ let _ = crate::{}::anything(); }}", to.replace('/', "::")),
            ] {
                let code = format!("{}{import}", sources[&from]);
                let mut parsed = parsed.clone();
                parsed.insert(from.clone(), Imports::of(&from, &code, &sources));
                let found = violations(&graph(&parsed));
                assert_eq!(found, [format!("src/{from}.rs must not import src/{to}.rs")], "{import}");
                turned += 1;
            }
        }
    }
    assert!(turned > 50, "{turned}");
}

#[test]
fn imports_are_found_in_every_form() {
    let files = [
        ("lib", "pub mod a; pub mod b;"),
        ("a", "mod c; pub(crate) mod d; pub use self::c::Thing; pub use d::{Other as Renamed};"),
        ("a/c", "use super::d::Other; pub struct Thing;"),
        ("a/d", "pub struct Other; #[cfg(test)] mod tests { use super::super::c::Thing; }"),
        ("b", "use crate::a::{Renamed, Thing}; mod e; fn f() { g!(crate::a::d::Other) }"),
        ("b/e", "fn f(_: super::super::a::Thing) { super::f() }"),
    ];
    let sources: Sources = files.map(|(file, code)| (file.to_owned(), code.to_owned())).into();
    let graph = graph(&parse(&sources));
    let targets = |file: &str| graph[file].iter().map(String::as_str).collect::<Vec<_>>();
    assert_eq!(targets("a"), [""; 0], "re-exports are no imports");
    assert_eq!(targets("a/c"), ["a/d"]);
    assert_eq!(targets("a/d"), [""; 0], "unit tests are left out");
    assert_eq!(targets("b"), ["a/c", "a/d"]);
    assert_eq!(targets("b/e"), ["a/c", "b"]);
    assert!(circles(&graph).is_empty());
    let mut sources = sources;
    *sources.get_mut("a/d").unwrap() += "use crate::b::f;";
    assert!(circles(&self::graph(&parse(&sources))).contains(&["a/d", "b"].map(str::to_owned).to_vec()));
}

#[test]
fn pure_modules_touch_no_clock_file_or_network() {
    let mut visited = 0;
    for (file, code) in sources() {
        if PURE.iter().any(|pure| file == *pure || file.starts_with(&format!("{pure}/"))) {
            visited += 1;
            let is_code = |line: &&str| !line.trim_start().starts_with("//");
            let code: String = code.lines().filter(is_code).collect();
            for word in IMPURE {
                assert!(!code.contains(word), "src/{file}.rs must not touch {word}");
            }
        }
    }
    assert!(visited >= 6, "{visited}");
}

#[test]
fn the_binary_stays_thin() {
    assert!(sources()["main"].lines().count() <= 60);
}

/// One name means one thing: a reader who meets a type knows it from then on. The simulator is the other side of the
/// API and has names of its own.
#[test]
fn types_have_names_of_their_own() {
    let mut files: BTreeMap<(bool, String), Vec<String>> = BTreeMap::new();
    for (file, code) in sources() {
        let is_simulator = file.starts_with("simulator");
        for item in syn::parse_file(&code).unwrap().items {
            let name = match item {
                syn::Item::Struct(item) => item.ident,
                syn::Item::Enum(item) => item.ident,
                syn::Item::Trait(item) => item.ident,
                syn::Item::Type(item) => item.ident,
                // A macro may declare a struct, such as `json_object` of src/cloud/json.rs.
                syn::Item::Macro(item) => {
                    let mut tokens = item.mac.tokens.into_iter();
                    let is_struct = |token: &TokenTree| matches!(token, TokenTree::Ident(ident) if ident == "struct");
                    match (tokens.find(is_struct), tokens.next()) {
                        (_, Some(TokenTree::Ident(name))) => name,
                        _ => continue,
                    }
                }
                _ => continue,
            };
            files.entry((is_simulator, name.to_string())).or_default().push(format!("src/{file}.rs"));
        }
    }
    files.retain(|_, files| files.len() > 1);
    assert!(files.is_empty(), "{files:#?}");
}
