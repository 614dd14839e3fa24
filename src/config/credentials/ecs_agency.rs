//! Source: the metadata service of an ECS instance with an agency.

use crate::config::{
    endpoint::Endpoint,
    fields::{Field, Fields},
    read::Section,
};

/// The agency of an ECS instance.
#[derive(Clone, Debug, PartialEq)]
pub struct EcsAgency {
    /// The endpoint of the metadata service.
    pub endpoint: Endpoint,
}

pub(super) fn read(section: &mut Section<'_>) -> Option<EcsAgency> {
    let mut section = section.get("ecs_agency")?.section();
    let endpoint = section.get("endpoint").and_then(|node| Endpoint::of_node(&node));
    section.finish();
    Some(EcsAgency { endpoint: endpoint.unwrap_or_else(Endpoint::of_metadata) })
}

/// Needs no variable: the address of the metadata service is fixed.
pub(super) fn find() -> EcsAgency {
    EcsAgency { endpoint: Endpoint::of_metadata() }
}

pub(super) fn fields(agency: &EcsAgency) -> Fields<'_> {
    vec![("ecs_agency", Field::Section(vec![("endpoint", Field::text(&agency.endpoint))]))]
}
