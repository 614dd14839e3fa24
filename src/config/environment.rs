//! The environment variables of the process, as a value.

use std::{collections::BTreeMap, ffi::OsString, fmt, sync::Arc};

/// Environment variables by name. A value that is not UTF-8 is `None`.
///
/// Loading takes them as an argument, so that tests need no process-wide environment.
#[derive(Clone, Default)]
pub struct Environment(Arc<BTreeMap<String, Option<String>>>);

/// Shows names only: a value may be secret.
impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.names()).finish()
    }
}

impl Environment {
    /// The environment of this process.
    pub fn of_process() -> Self {
        std::env::vars_os().collect()
    }

    /// The value of a variable. An empty variable counts as unset.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.text(name).filter(|value| !value.is_empty())
    }

    /// The value of a variable, even if it is empty; `None` if it is not UTF-8.
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name)?.as_deref()
    }

    /// Whether a variable is set and not empty.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    /// The names of all variables, sorted.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }
}

impl<S: Into<OsString>> FromIterator<(S, S)> for Environment {
    /// A variable whose name is not UTF-8 is left out.
    fn from_iter<T: IntoIterator<Item = (S, S)>>(variables: T) -> Self {
        let variables = variables.into_iter().filter_map(|(name, value)| {
            let name = name.into().into_string().ok()?;
            Some((name, value.into().into_string().ok()))
        });
        Environment(Arc::new(variables.collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_shows_no_value() {
        let environment: Environment = [("SECRET".to_owned(), "hunter2".to_owned())].into_iter().collect();
        assert_eq!(format!("{environment:?}"), r#"{"SECRET"}"#);
    }
}
