//! An error or a warning of a configuration, with its path, the value found and the value expected.

use std::fmt;

/// An error or a warning of a configuration.
///
/// ```
/// use metastudio_exporter::config::Problem;
///
/// let problem = Problem::error("poll.interval", "expected a duration");
/// assert_eq!(problem.to_string(), "poll.interval: expected a duration");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The path in the file, such as `projects[0].name`, or the name of an environment variable.
    pub path: String,
    /// The value found, or a note that it is not shown; `None` if there is no such value.
    pub found: Option<String>,
    /// The expected value, or the fault and what to do.
    pub expected: String,
    /// Whether the configuration can be used nevertheless.
    pub is_warning: bool,
}

impl Problem {
    /// An error that shows no value.
    pub fn error(path: impl Into<String>, expected: impl Into<String>) -> Self {
        Problem { path: path.into(), found: None, expected: expected.into(), is_warning: false }
    }

    /// A warning that shows no value.
    pub(super) fn warning(path: impl Into<String>, text: impl Into<String>) -> Self {
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
