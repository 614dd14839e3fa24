//! Source: an IAM token that another program renews. The official SDK reads none from the
//! environment, so there is no `find`.

use crate::config::{
    fields::{Field, Fields},
    read::Section,
    secret::Secret,
};

pub(super) fn read(section: &mut Section<'_>) -> Option<Secret> {
    section.get("token").map(|node| Secret::of_node(&node))
}

pub(super) fn fields(token: &Secret) -> Fields<'_> {
    vec![("token", Field::Secret(token))]
}
