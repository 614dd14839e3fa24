//! An error or a warning of a configuration, with its place, the value found and the value expected.

use std::{
    fmt,
    path::{Path, PathBuf},
};

use crate::text::escaped;

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
    /// The file; `None` if the problem is not in a file, or if the code that found the problem does not know the file.
    pub file: Option<PathBuf>,
    /// The line in the file.
    pub line: Option<usize>,
    /// The path in the file, such as `projects[0].name`; empty for the whole file. Or the name of an environment
    /// variable.
    pub path: String,
    /// The value found, or a note that it is not shown; `None` if there is no such value.
    pub found: Option<String>,
    /// The expected value, or the fault and what to do.
    pub expected: String,
    /// Whether the configuration can be used nevertheless.
    pub is_warning: bool,
    /// Whether the problem is not in the file, but in an environment variable or in credentials from outside of it.
    pub(crate) is_elsewhere: bool,
}

impl Problem {
    /// An error that shows no value.
    pub fn error(path: impl Into<String>, expected: impl Into<String>) -> Self {
        Problem {
            file: None,
            line: None,
            path: path.into(),
            found: None,
            expected: expected.into(),
            is_warning: false,
            is_elsewhere: false,
        }
    }

    /// A warning that shows no value.
    pub fn warning(path: impl Into<String>, text: impl Into<String>) -> Self {
        Problem::error(path, text).into_warning()
    }

    /// An error of an environment variable.
    pub(super) fn of_variable(name: impl Into<String>, expected: impl Into<String>) -> Self {
        Problem { is_elsewhere: true, ..Problem::error(name, expected) }
    }

    /// An error at a line of a file, without a path.
    pub(crate) fn at_line(line: usize, expected: impl Into<String>) -> Self {
        Problem { line: Some(line), ..Problem::error("", expected) }
    }

    pub(super) fn into_warning(self) -> Self {
        Problem { is_warning: true, ..self }
    }

    /// Adds the file, if the problem is in it.
    pub(crate) fn in_file(self, file: &Path) -> Self {
        Problem { file: (!self.is_elsewhere).then(|| file.to_owned()), ..self }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(file) = &self.file {
            f.write_str(&escaped(file.display()))?;
            self.line.map_or(Ok(()), |line| write!(f, ":{line}"))?;
            f.write_str(": ")?;
        }
        if !self.path.is_empty() {
            write!(f, "{}: ", escaped(&self.path))?;
        }
        match &self.found {
            Some(found) => write!(f, "found {}; {}", escaped(found), escaped(&self.expected)),
            None => f.write_str(&escaped(&self.expected)),
        }
    }
}
