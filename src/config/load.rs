//! Loads a configuration from a file and the environment.
//!
//! [`Tree`] reads the YAML of the file. The crate `config` overrides its values with the values of environment
//! variables. [`Config::read`] reads the result, because a deserializer would stop at the first problem. At the end,
//! each problem gets its line.

use std::{collections::BTreeMap, io, path::Path, sync::Arc};

use config::ConfigError;
use serde_json::Value;

use super::{
    environment::Environment,
    fields, keys,
    problem::Problem,
    read::Document,
    settings::Config,
    shard::Shard,
    warnings,
    yaml::{Tree, TreeSource},
};
use crate::file;

/// The values that a variable `METASTUDIO_<SECTION>__<KEY>` may set. Keys and passwords of the cloud are excluded:
/// their variables are those of the SDK, and those that `{env: NAME}` names. The URL of `api.proxy` may hold a
/// password, as the URL of `HTTPS_PROXY` may.
const SCALARS: [&str; 13] = [
    "api.ca_file",
    "api.iam_endpoint",
    "api.max_retries",
    "api.max_rows",
    "api.page_size",
    "api.proxy",
    "api.request_timeout",
    "api.requests_per_second",
    "poll.concurrency",
    "poll.interval",
    "poll.stale_after",
    "poll.timeout",
    "timezone",
];
const PREFIX: &str = "METASTUDIO_";
/// The beginnings of the names that credential sources read: variables of Huawei's SDKs, of their samples, and of CCE.
const SDK_PREFIXES: [&str; 3] = ["HUAWEICLOUD_", "CLOUD_SDK_", "HC_CONTAINER_"];
const NOT_UTF8: &str = "the value must be UTF-8";

/// The result of loading.
#[derive(Debug)]
pub struct Loaded {
    /// The configuration; `None` if there is an error among the problems.
    pub config: Option<Config>,
    /// Errors first, then warnings.
    pub problems: Vec<Problem>,
    /// The text of the file, for its hash.
    pub text: String,
}

impl Loaded {
    /// The problems that are not warnings.
    pub fn errors(&self) -> impl Iterator<Item = &Problem> {
        self.problems.iter().filter(|problem| !problem.is_warning)
    }
}

/// Loads a file, overrides values with environment variables, and reads all secrets once to check them.
///
/// All projects are validated. The returned configuration holds only the projects of the shard.
pub async fn load(path: &Path, environment: &Environment, shard: Shard) -> Loaded {
    match file::read_to_string(path).await {
        Ok(text) => read(text, path, environment, shard).await,
        Err(error) => {
            let problem = Problem::error("", unreadable(path, &error)).in_file(path);
            Loaded { config: None, problems: vec![problem], text: String::new() }
        }
    }
}

/// Why the file cannot be read, and what to do.
fn unreadable(path: &Path, error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => {
            let others = ["yml", "yaml"].map(|extension| path.with_extension(extension));
            match others.iter().find(|other| other.is_file()) {
                Some(other) => {
                    let other = other.display();
                    format!("there is no such file, but there is {other}; use it with --config.file={other}")
                }
                None => "there is no such file; name the file with --config.file, or try the exporter without a \
                         configuration and an account: metastudio-exporter demo"
                    .to_owned(),
            }
        }
        io::ErrorKind::IsADirectory => "is a directory; name the file in it with --config.file".to_owned(),
        io::ErrorKind::PermissionDenied => {
            "the user of this process has no permission to read it; change the owner or the mode of the file".to_owned()
        }
        _ => format!("cannot be read: {error}; name the file with --config.file"),
    }
}

/// Like [`load`], for a text. Relative paths in it start at the directory of `path`.
///
/// ```
/// # use std::path::Path;
/// use metastudio_exporter::config::{Environment, load_text};
///
/// # let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
/// # runtime.block_on(async {
/// let text = "{poll: {interval: 1s}, credentials: {main: {token: t}}, projects: [{name: a, region: cn-north-4}]}";
/// let loaded = load_text(text.to_owned(), Path::new("config.yaml"), &Environment::default()).await;
/// assert!(loaded.config.is_none());
/// assert_eq!(loaded.problems[0].path, "poll.interval");
/// # });
/// ```
pub async fn load_text(text: String, path: &Path, environment: &Environment) -> Loaded {
    read(text, path, environment, Shard::ALL).await
}

async fn read(text: String, path: &Path, environment: &Environment, shard: Shard) -> Loaded {
    let (mut tree, mut problems) = match Tree::parse(&text) {
        Ok(parsed) => parsed,
        Err(problem) => return Loaded { config: None, problems: vec![problem.in_file(path)], text },
    };
    problems.extend(keys::remove(&mut tree));
    problems.extend(not_utf8(environment));
    let directory = path.parent().unwrap_or(Path::new(""));
    let tree = Arc::new(tree);
    let config = match parse(TreeSource(Arc::clone(&tree)), directory, environment, &mut problems) {
        Ok(mut config) => {
            complete(&mut config, shard, &mut problems, environment).await;
            Some(config)
        }
        Err(error) => {
            problems.push(Problem::error("", error.to_string()));
            None
        }
    };
    let is_valid = problems.iter().all(|problem| problem.is_warning);
    Loaded { config: config.filter(|_| is_valid), problems: tree.located(problems, path), text }
}

/// A problem for each variable with one of [`SDK_PREFIXES`] whose value is not UTF-8. Such a variable counts as unset.
fn not_utf8(environment: &Environment) -> impl Iterator<Item = Problem> {
    let is_of_sdk = |name: &&str| SDK_PREFIXES.iter().any(|prefix| name.starts_with(prefix));
    let names = environment.names().filter(is_of_sdk).filter(|name| environment.text(name).is_none());
    names.map(|name| Problem::of_variable(name, NOT_UTF8))
}

/// Reads the file's tree and the variables, but no other file. Replaces invalid values by defaults.
fn parse(
    source: TreeSource,
    directory: &Path,
    environment: &Environment,
    problems: &mut Vec<Problem>,
) -> Result<Config, ConfigError> {
    let (mut overridden, mut others) = (BTreeMap::new(), Vec::new());
    let mut builder = config::Config::builder().add_source(source);
    for name in environment.names().filter(|name| name.starts_with(PREFIX)) {
        let key = name.strip_prefix(PREFIX).unwrap_or_default().to_ascii_lowercase().replace("__", ".");
        match (SCALARS.contains(&key.as_str()), environment.get(name)) {
            (true, Some(value)) => {
                builder = builder.set_override(&key, value)?;
                overridden.insert(key, name.to_owned());
            }
            (true, None) if environment.text(name).is_none() => problems.push(Problem::of_variable(name, NOT_UTF8)),
            (true, None) => {}
            (false, _) => others.push(name),
        }
    }
    let values: Value = builder.build()?.try_deserialize()?;
    let document = Document::new(directory, overridden);
    let config = Config::read(document.root(&values), environment);
    problems.extend(document.into_problems());
    let of_secrets = fields::variables(&config.fields());
    for name in others.into_iter().filter(|name| !of_secrets.contains(name)) {
        let text = "this environment variable is ignored, because it matches no key that a variable may set";
        problems.push(Problem::of_variable(name, text).into_warning());
    }
    Ok(config)
}

/// Reads the CA certificates and the URL of the proxy. Finds the credentials if the file has none. Runs the checks that
/// need all parts.
///
/// Keeps only the projects of the shard, after the checks that concern all projects.
async fn complete(config: &mut Config, shard: Shard, problems: &mut Vec<Problem>, environment: &Environment) {
    let are_elsewhere = config.credentials.is_empty();
    config.find_credentials(environment, problems).await;
    for (name, source) in &config.credentials {
        let unreadable = fields::unreadable(&format!("credentials.{name}"), &source.fields(), environment).await;
        problems.extend(
            unreadable
                .into_iter()
                .map(|(path, error)| Problem { is_elsewhere: are_elsewhere, ..Problem::error(path, error) }),
        );
    }
    problems.extend(warnings::unused_project_ids(config, environment).await);
    problems.extend(config.api.read_ca_file().await);
    problems.extend(config.api.read_proxy(environment).await);
    problems.extend(warnings::same_usage(config));
    config.keep(shard);
    problems.extend(warnings::rates(config));
}

#[cfg(test)]
mod tests;
