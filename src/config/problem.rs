//! What is wrong with a configuration: where, what was found, what would be right.

use std::fmt;

/// One problem.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The path in the file, such as `projects[0].name`; or the name of an environment variable.
    pub path: String,
    /// The value found, as far as it may be shown; `None` where it is missing.
    pub found: Option<String>,
    /// What would be right.
    pub expected: String,
    /// Whether the configuration works all the same.
    pub is_warning: bool,
}

impl Problem {
    /// Something that is missing or cannot be used, without a value to show.
    pub fn error(path: impl Into<String>, expected: impl Into<String>) -> Self {
        Problem { path: path.into(), found: None, expected: expected.into(), is_warning: false }
    }

    /// Something that works all the same, without a value to show.
    pub fn warning(path: impl Into<String>, text: impl Into<String>) -> Self {
        Problem { is_warning: true, ..Problem::error(path, text) }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.found {
            Some(found) => write!(f, "{}: found {found}; {}", self.path, self.expected),
            None => write!(f, "{}: {}", self.path, self.expected),
        }
    }
}
