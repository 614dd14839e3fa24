//! All metric families of the projects.

use super::{collectors, family::Family, projects};

/// All families, in the order of the exposition.
pub(super) fn families() -> impl Iterator<Item = &'static Family> {
    projects::FAMILIES.iter().chain(collectors::FAMILIES)
}
