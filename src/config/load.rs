//! Loads a configuration from a file and the environment.
//!
//! [`keys`] first removes the keys that the crate `config` would misread. The crate then reads the YAML of the file,
//! and overrides values with those of variables. [`Config::read`] reads the resulting tree, because a deserializer
//! would stop at the first problem.

use std::{collections::BTreeMap, path::Path};

use config::{ConfigError, File, FileFormat};
use serde_json::Value;

use super::{
    environment::Environment, fields, file, keys, problem::Problem, read::Document, settings::Config, shard::Shard,
    warnings,
};

/// The values that a variable `METASTUDIO_<SECTION>__<KEY>` may set. Keys and passwords of the cloud are excluded: each
/// credential source has its own variables. The URL of `api.proxy` may hold a password, as `HTTPS_PROXY` does.
const SCALARS: [&str; 12] = [
    "api.ca_file",
    "api.iam_endpoint",
    "api.max_retries",
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

    fn failed(path: &Path, expected: String, text: String) -> Self {
        Loaded { config: None, problems: vec![Problem::error(path.display().to_string(), expected)], text }
    }
}

/// Loads a file, overrides values with those of the environment, and reads all secrets once to check them.
///
/// All projects are validated. The returned configuration holds only those of the shard.
pub async fn load(path: &Path, environment: &Environment, shard: Shard) -> Loaded {
    match file::read_to_string(path).await {
        Ok(text) => read(text, path, environment, shard).await,
        Err(error) => {
            let expected = format!("cannot be read: {error}; name the file with --config.file");
            Loaded::failed(path, expected, String::new())
        }
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
    let directory = path.parent().unwrap_or(Path::new(""));
    match parse(&text, directory, environment) {
        Ok((mut config, mut problems)) => {
            config.keep(shard);
            complete(&mut config, &mut problems, environment).await;
            problems.sort_by_key(|problem| problem.is_warning);
            let loaded = Loaded { config: Some(config), problems, text };
            if loaded.errors().next().is_some() { Loaded { config: None, ..loaded } } else { loaded }
        }
        Err(error) => Loaded::failed(path, format!("is not YAML: {error}"), text),
    }
}

/// Reads the text and the variables, but no other file. Replaces invalid values by defaults.
///
/// # Errors
/// If the text is not YAML.
fn parse(text: &str, directory: &Path, environment: &Environment) -> Result<(Config, Vec<Problem>), ConfigError> {
    let (text, mut problems) = keys::check(text);
    let mut overridden = BTreeMap::new();
    let mut warnings = Vec::new();
    let mut builder = config::Config::builder().add_source(File::from_str(&text, FileFormat::Yaml));
    for name in environment.names().filter(|name| name.starts_with(PREFIX)) {
        let key = name.strip_prefix(PREFIX).unwrap_or_default().to_ascii_lowercase().replace("__", ".");
        match (SCALARS.contains(&key.as_str()), environment.get(name)) {
            (true, Some(value)) => {
                builder = builder.set_override(&key, value)?;
                overridden.insert(key, name.to_owned());
            }
            (true, None) => {}
            (false, _) => warnings.push(Problem::warning(
                name,
                "this environment variable is ignored, because it matches no key that a variable may set",
            )),
        }
    }
    let tree: Value = builder.build()?.try_deserialize()?;
    let document = Document::new(directory, overridden);
    let config = Config::read(document.root(&tree), environment);
    problems.extend(document.into_problems());
    problems.append(&mut warnings);
    Ok((config, problems))
}

/// Adds the credentials from the environment and the content of the CA file, and runs the checks that need all parts.
async fn complete(config: &mut Config, problems: &mut Vec<Problem>, environment: &Environment) {
    config.find_credentials(environment, problems).await;
    for (name, source) in &config.credentials {
        let unreadable = fields::unreadable(&format!("credentials.{name}"), &source.fields(), environment).await;
        problems.extend(unreadable.into_iter().map(|(path, error)| Problem::error(path, error)));
    }
    problems.extend(warnings::unused_project_ids(config, environment).await);
    problems.extend(config.api.read_ca_file().await);
    problems.extend(warnings::rates(config));
}

#[cfg(test)]
mod tests;
