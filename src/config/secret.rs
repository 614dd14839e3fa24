//! Secrets: a text in the configuration, an environment variable, or a file.

use std::path::PathBuf;

use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;
use thiserror::Error;

use super::{
    environment::Environment,
    read::{Node, Section},
};
use crate::{
    file,
    text::{invisible, named},
};

const EXPECTED: &str = "a text, {env: NAME} or {file: PATH}";

/// The place where a secret is found. `Debug` does not show the value.
#[derive(Clone, Debug)]
pub enum Secret {
    /// A text in the configuration file.
    Inline(SecretString),
    /// The name of an environment variable.
    Env(String),
    /// The path of a file. It is read at each use, so that rotation needs no restart.
    File(PathBuf),
}

/// Compares inline values, names of variables and paths of files. The contents of variables and files are not compared,
/// because they are read at each use.
impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Secret::Inline(value), Secret::Inline(other)) => is_same(value, other),
            (Secret::Env(name), Secret::Env(other)) => name == other,
            (Secret::File(path), Secret::File(other)) => path == other,
            _ => false,
        }
    }
}

/// Compares two values from the operator's own files. Constant time is not needed, because no client chooses a value.
pub(super) fn is_same(value: &SecretString, other: &SecretString) -> bool {
    value.expose_secret() == other.expose_secret()
}

/// A secret that cannot be read. Its texts hold no part of the value.
#[derive(Debug, Error)]
pub(crate) enum SecretError {
    /// The variable does not exist, is empty, or is not UTF-8.
    #[error("the environment variable {0} is not set, is empty, or is not UTF-8")]
    NoVariable(String),
    /// The file cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    NoFile {
        /// The path of the file.
        path: PathBuf,
        /// The error of the operating system.
        source: std::io::Error,
    },
    /// The value cannot be right: its place and its fault.
    #[error("{0} {1}")]
    Value(String, Fault),
}

/// Why a value cannot be a key, a token or a password.
#[derive(Debug, Error)]
pub(crate) enum Fault {
    #[error("is empty")]
    Empty,
    #[error("begins or ends with {0}, which is not visible: remove it")]
    Invisible(String),
    /// `docker run --env-file` does not remove quotes.
    #[error("is in quotes: remove them")]
    InQuotes,
    #[error("begins with $: the variable was not replaced by its value")]
    IsVariable,
    #[error("holds a line break or another character that cannot be part of it")]
    NotPrintable,
}

impl Secret {
    /// Reads the place from the configuration. If it is invalid, notes a problem and returns [`Secret::invalid`].
    pub(super) fn of_node(node: &Node<'_>) -> Self {
        if !node.is_mapping() {
            // `read` and not `parse`: invisible characters are a `Fault` of the value, with advice of its own.
            let inline = node.read(EXPECTED, Value::as_str).map(|text| Secret::Inline(text.into()));
            return inline.unwrap_or_else(Secret::invalid);
        }
        let mut section = node.section();
        let env = section.get("env").and_then(|node| node.text());
        let file = section.get("file").and_then(|node| node.file_path());
        section.finish();
        match (env, file) {
            (Some(name), None) => Secret::Env(name),
            (None, Some(path)) => Secret::File(path),
            _ => {
                node.problem(EXPECTED);
                Secret::invalid()
            }
        }
    }

    /// Like [`Secret::of_node`], for a key that is required.
    pub(super) fn required(section: &mut Section<'_>, key: &'static str, expected: &str) -> Self {
        section.require(key, expected).map_or_else(Secret::invalid, |node| Secret::of_node(&node))
    }

    /// A placeholder for an invalid secret, so that loading goes on and finds more problems.
    pub(super) fn invalid() -> Self {
        Secret::Inline("invalid".into())
    }

    /// Reads a key or token: printable ASCII, not empty. White space around it is removed.
    ///
    /// # Errors
    /// [`SecretError`] names the variable or file, and shows nothing of the value.
    pub(crate) async fn read(&self, environment: &Environment) -> Result<SecretString, SecretError> {
        let value = self.value(environment).await?;
        key(value.expose_secret()).map_err(|fault| SecretError::Value(self.place(), fault))
    }

    /// Reads a password: a text without control characters. Spaces are part of it. A line break at the end is removed,
    /// because files end in one.
    ///
    /// # Errors
    /// As for [`Secret::read`].
    pub(crate) async fn read_password(&self, environment: &Environment) -> Result<SecretString, SecretError> {
        let value = self.value(environment).await?;
        password(value.expose_secret()).map_err(|fault| SecretError::Value(self.place(), fault))
    }

    async fn value(&self, environment: &Environment) -> Result<SecretString, SecretError> {
        Ok(match self {
            Secret::Inline(value) => value.clone(),
            Secret::Env(name) => {
                let value = environment.get(name).ok_or_else(|| SecretError::NoVariable(name.clone()))?;
                value.into()
            }
            Secret::File(path) => {
                let content = file::read_to_string(path).await;
                content.map_err(|source| SecretError::NoFile { path: path.clone(), source })?.into()
            }
        })
    }

    fn place(&self) -> String {
        match self {
            Secret::Inline(_) => "the value".to_owned(),
            Secret::Env(name) => format!("the environment variable {name}"),
            Secret::File(path) => format!("the file {}", path.display()),
        }
    }
}

/// A key or token without the white space around it.
///
/// # Errors
/// A [`Fault`], which holds nothing of the value.
pub(super) fn key(text: &str) -> Result<SecretString, Fault> {
    let text = text.trim();
    check_ends(text)?;
    if ['"', '\''].iter().any(|quote| text.len() > 1 && text.starts_with(*quote) && text.ends_with(*quote)) {
        return Err(Fault::InQuotes);
    }
    if text.starts_with('$') {
        return Err(Fault::IsVariable);
    }
    if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(Fault::NotPrintable);
    }
    Ok(text.into())
}

fn password(text: &str) -> Result<SecretString, Fault> {
    let line = text.trim_end_matches(['\r', '\n']);
    check_ends(line)?;
    if line.chars().any(char::is_control) { Err(Fault::NotPrintable) } else { Ok(line.into()) }
}

fn check_ends(text: &str) -> Result<(), Fault> {
    let (Some(first), Some(last)) = (text.chars().next(), text.chars().next_back()) else { return Err(Fault::Empty) };
    [first, last].into_iter().find_map(pasted).map_or(Ok(()), |name| Err(Fault::Invisible(name)))
}

/// The name of a character that editors and web pages insert without showing it.
fn pasted(character: char) -> Option<String> {
    let name = match character {
        '\u{a0}' => "a no-break space",
        '\u{3000}' => "an ideographic space",
        _ => invisible(character)?,
    };
    Some(named(character, name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(pairs: &[(&str, &str)]) -> Environment {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    async fn read(secret: Secret) -> Result<String, String> {
        let environment = environment(&[("SET", " a$b{c} \n"), ("EMPTY", ""), ("BLANK", " "), ("LINES", "a\nb")]);
        let value = secret.read(&environment).await;
        value.map(|value| value.expose_secret().to_owned()).map_err(|error| error.to_string())
    }

    #[tokio::test]
    async fn a_secret_is_read_from_a_variable_a_file_or_the_configuration() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "0123\n").unwrap();
        assert_eq!(read(Secret::Env("SET".into())).await.unwrap(), "a$b{c}");
        assert_eq!(read(Secret::File(file.path().into())).await.unwrap(), "0123");
        assert_eq!(read(Secret::Inline("x".into())).await.unwrap(), "x");
        std::fs::write(file.path(), "rotated").unwrap();
        assert_eq!(read(Secret::File(file.path().into())).await.unwrap(), "rotated");
    }

    #[tokio::test]
    async fn a_missing_or_empty_secret_is_an_error() {
        for name in ["UNSET", "EMPTY"] {
            assert!(read(Secret::Env(name.into())).await.unwrap_err().contains(name));
        }
        assert!(read(Secret::Env("BLANK".into())).await.unwrap_err().contains("is empty"));
        assert!(read(Secret::Env("LINES".into())).await.unwrap_err().contains("line break"));
        assert!(read(Secret::Inline("".into())).await.unwrap_err().contains("is empty"));
        assert!(read(Secret::File("/nowhere/key".into())).await.unwrap_err().contains("/nowhere/key"));
    }

    #[tokio::test]
    async fn what_was_pasted_with_the_value_is_named() {
        for (value, error) in [
            ("\u{200b}AK", "begins or ends with a zero-width space (U+200B)"),
            ("AK\u{feff}", "begins or ends with a byte order mark (U+FEFF)"),
            ("AK\u{2060}\n", "begins or ends with a word joiner (U+2060)"),
            ("\"AK\"", "is in quotes: remove them"),
            ("'AK'\n", "is in quotes: remove them"),
            ("$CLOUD_SDK_AK", "begins with $: the variable was not replaced"),
            ("${CLOUD_SDK_AK}", "begins with $: the variable was not replaced"),
        ] {
            let found = read(Secret::Inline(value.into())).await.unwrap_err();
            assert!(found.starts_with("the value ") && found.contains(error), "{value:?}: {found}");
            assert!(!found.contains("AK"), "{found}");
        }
        for (value, error) in [("a\u{00a0}\n", "a no-break space (U+00A0)"), ("\u{3000}a", "an ideographic space")] {
            let found = Secret::Inline(value.into()).read_password(&environment(&[])).await.unwrap_err().to_string();
            assert!(found.contains(error), "{value:?}: {found}");
        }
        for value in ["$a$", "\"a\"", "a\u{200b}b"] {
            let password = Secret::Inline(value.into()).read_password(&environment(&[])).await.unwrap();
            assert_eq!(password.expose_secret(), value, "a password may have any character inside");
        }
    }

    #[tokio::test]
    async fn passwords_may_hold_spaces_and_any_script() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), " a b 密码 \n").unwrap();
        let secret = Secret::File(file.path().into());
        assert_eq!(secret.read_password(&environment(&[])).await.unwrap().expose_secret(), " a b 密码 ");
        assert!(secret.read(&environment(&[])).await.is_err());
    }

    #[test]
    fn secrets_are_equal_if_their_places_are() {
        let places = || {
            [Secret::Inline("a".into()), Secret::Inline("b".into()), Secret::Env("a".into()), Secret::File("a".into())]
        };
        for (number, secret) in places().iter().enumerate() {
            for (other_number, other) in places().iter().enumerate() {
                assert_eq!(secret == other, number == other_number, "{secret:?} {other:?}");
            }
        }
    }

    #[test]
    fn debug_does_not_show_the_value() {
        let shown = format!("{:?}", Secret::Inline("hunter2".into()));
        assert!(!shown.contains("hunter2"), "{shown}");
    }
}
