//! All metric families of the projects.

use super::{collectors, days, family::Family, packages, projects, reconciliation, sessions, sub_users};

/// All families, in the order of the exposition.
pub(super) fn families() -> impl Iterator<Item = &'static Family> {
    let tables = [
        projects::FAMILIES,
        collectors::FAMILIES,
        packages::FAMILIES,
        sub_users::FAMILIES,
        sessions::FAMILIES,
        reconciliation::FAMILIES,
        days::FAMILIES,
    ];
    tables.into_iter().flatten()
}

/// Whether only projects and accounts with collectors have samples of the family with this index.
pub(super) fn needs_collectors(index: usize) -> bool {
    index >= projects::FAMILIES.len()
}
