//! Values that may be secret: written down, in an environment variable, or in a file.

use std::{collections::BTreeMap, fmt, path::PathBuf, sync::Arc};

use secrecy::{ExposeSecret, SecretString};
use thiserror::Error;

use super::file;

/// The process environment, as an argument: variables that are not UTF-8 are left out.
#[derive(Clone, Default)]
pub struct Environment(Arc<BTreeMap<String, String>>);

/// Names only: values may be secret.
impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.names()).finish()
    }
}

impl Environment {
    /// The environment of this process.
    pub fn of_process() -> Self {
        std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .collect()
    }

    /// The value of a variable; an empty one counts as unset.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// The names of all variables, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }
}

impl FromIterator<(String, String)> for Environment {
    fn from_iter<T: IntoIterator<Item = (String, String)>>(variables: T) -> Self {
        Environment(Arc::new(variables.into_iter().collect()))
    }
}

/// Where a value that may be secret comes from. `Debug` never shows the value.
#[derive(Clone, Debug)]
pub enum Secret {
    /// The configuration file itself.
    Inline(SecretString),
    /// An environment variable.
    Env(String),
    /// A file, read again whenever the value is needed, so that rotation needs no restart.
    File(PathBuf),
}

/// Whether both come from the same place; what a variable or a file holds is not compared, as it is read at each use.
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

/// Compares two values of the operator's own configuration files. Not in constant time: nobody who measures it gets to
/// choose either of them.
pub(super) fn is_same(value: &SecretString, other: &SecretString) -> bool {
    value.expose_secret() == other.expose_secret()
}

/// A secret that cannot be had. Never holds any part of the value.
#[derive(Debug, Error)]
pub enum SecretError {
    /// The variable does not exist or is empty.
    #[error("the environment variable {0} is not set, or empty")]
    NoVariable(String),
    /// The file cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    NoFile {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file, or the value written down, is empty.
    #[error("{0} is empty")]
    Empty(String),
    /// The value could never be a key or token.
    #[error("{0} holds a line break or another character that cannot be part of it")]
    NotPrintable(String),
}

impl Secret {
    /// Reads the value: without white space around it, not empty, printable ASCII.
    ///
    /// # Errors
    /// [`SecretError`] says which variable or file is at fault, and nothing of the value.
    pub async fn read(&self, environment: &Environment) -> Result<SecretString, SecretError> {
        let value = self.value(environment).await?;
        if value.expose_secret().trim().is_empty() {
            return Err(SecretError::Empty(self.place()));
        }
        printable(value.expose_secret()).ok_or_else(|| SecretError::NotPrintable(self.place()))
    }

    /// Reads a password: any text, spaces included, but for the line break at the end of a file.
    ///
    /// # Errors
    /// As [`Secret::read`].
    pub async fn read_password(&self, environment: &Environment) -> Result<SecretString, SecretError> {
        let value = self.value(environment).await?;
        let line = value.expose_secret().trim_end_matches(['\r', '\n']);
        if line.is_empty() {
            return Err(SecretError::Empty(self.place()));
        }
        if line.chars().any(char::is_control) {
            return Err(SecretError::NotPrintable(self.place()));
        }
        Ok(line.into())
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

/// A key or token: without white space around it, not empty, printable ASCII.
pub(super) fn printable(text: &str) -> Option<SecretString> {
    let trimmed = text.trim();
    (!trimmed.is_empty() && trimmed.bytes().all(|byte| byte.is_ascii_graphic())).then(|| trimmed.into())
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
    async fn reads_variables_files_and_values_as_they_are() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "0123\n").unwrap();
        assert_eq!(read(Secret::Env("SET".into())).await.unwrap(), "a$b{c}");
        assert_eq!(read(Secret::File(file.path().into())).await.unwrap(), "0123");
        assert_eq!(read(Secret::Inline("x".into())).await.unwrap(), "x");
        std::fs::write(file.path(), "rotated").unwrap();
        assert_eq!(read(Secret::File(file.path().into())).await.unwrap(), "rotated");
    }

    #[tokio::test]
    async fn what_is_missing_is_an_error_and_never_an_empty_secret() {
        for name in ["UNSET", "EMPTY"] {
            assert!(read(Secret::Env(name.into())).await.unwrap_err().contains(name));
        }
        assert!(read(Secret::Env("BLANK".into())).await.unwrap_err().contains("is empty"));
        assert!(read(Secret::Env("LINES".into())).await.unwrap_err().contains("line break"));
        assert!(read(Secret::Inline("".into())).await.unwrap_err().contains("is empty"));
        assert!(read(Secret::File("/nowhere/key".into())).await.unwrap_err().contains("/nowhere/key"));
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
    fn it_is_the_same_where_it_comes_from_the_same_place() {
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
    fn debug_does_not_show_it() {
        let shown = format!("{:?} {:?}", Secret::Inline("hunter2".into()), environment(&[("SECRET", "hunter2")]));
        assert!(!shown.contains("hunter2") && shown.contains("SECRET"), "{shown}");
    }
}
