//! The fields of a section, as values of a few types.
//!
//! A section lists its fields once. The effective configuration is printed from the list, [`unreadable`] checks the
//! secrets in it, and [`variables`] lists the variables of these secrets.

use std::{collections::BTreeSet, path::Path, time::Duration};

use super::{environment::Environment, profile, secret::Secret};

/// Keys and their values, in the order in which they are printed.
pub(super) type Fields<'a> = Vec<(&'a str, Field<'a>)>;

pub(super) enum Field<'a> {
    /// Not printed.
    Absent,
    Text(String),
    Integer(usize),
    Number(f64),
    Duration(Duration),
    Path(&'a Path),
    List(Vec<String>),
    /// A key or token.
    Secret(&'a Secret),
    Password(&'a Secret),
    /// Printed without the user and password.
    Url(&'a Secret),
    /// A credentials file of the official SDK.
    ProfileFile(&'a Path),
    Section(Fields<'a>),
    Sections(Vec<Fields<'a>>),
}

impl<'a> Field<'a> {
    pub fn text(value: impl ToString) -> Self {
        Field::Text(value.to_string())
    }

    pub fn list<T: ToString>(values: &[T]) -> Self {
        Field::List(values.iter().map(T::to_string).collect())
    }

    /// The field of a value, or [`Field::Absent`].
    pub fn optional<T>(value: Option<T>, field: impl FnOnce(T) -> Field<'a>) -> Self {
        value.map_or(Field::Absent, field)
    }
}

/// The paths of the secrets that cannot be read, and the reasons. A path begins with the given prefix.
pub(super) async fn unreadable(prefix: &str, fields: &Fields<'_>, environment: &Environment) -> Vec<(String, String)> {
    let mut errors = Vec::new();
    for (path, field) in flatten(prefix, fields) {
        let error = match field {
            Field::Secret(secret) => secret.read(environment).await.err().map(|error| error.to_string()),
            Field::Password(secret) => secret.read_password(environment).await.err().map(|error| error.to_string()),
            Field::ProfileFile(path) => profile::read(path).await.err().map(|error| error.to_string()),
            _ => None,
        };
        errors.extend(error.map(|error| (path, error)));
    }
    errors
}

/// The names of the variables from which secrets are read.
pub(super) fn variables<'a>(fields: &Fields<'a>) -> BTreeSet<&'a str> {
    let name = |(_, field): (String, &Field<'a>)| match field {
        Field::Secret(Secret::Env(name)) | Field::Password(Secret::Env(name)) | Field::Url(Secret::Env(name)) => {
            Some(name.as_str())
        }
        _ => None,
    };
    flatten("", fields).into_iter().filter_map(name).collect()
}

/// All fields, including those of nested sections, with their paths.
fn flatten<'f, 'a>(prefix: &str, fields: &'f Fields<'a>) -> Vec<(String, &'f Field<'a>)> {
    let mut flat = Vec::new();
    for (key, field) in fields {
        let path = format!("{prefix}.{key}");
        match field {
            Field::Section(fields) => flat.extend(flatten(&path, fields)),
            field => flat.push((path, field)),
        }
    }
    flat
}
