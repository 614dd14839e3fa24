//! The labels that a project adds to its series.

use std::collections::BTreeMap;

use crate::config::read::Node;

/// Labels that the series already have, and `le`, which Prometheus reserves.
const RESERVED: [&str; 25] = [
    "project",
    "account",
    "budget",
    "window",
    "resource_type",
    "business_type",
    "user_id",
    "unit",
    "project_id",
    "region",
    "api_endpoint",
    "reason",
    "api",
    "code",
    "doubt",
    "collector",
    "package",
    "sub_resource_type",
    "charging_mode",
    "resource_source",
    "product_id",
    "resettable",
    "state",
    "against",
    "le",
];

/// Labels that Prometheus sets (its documentation, `honor_labels`).
const REPLACED: [&str; 2] = ["job", "instance"];

pub(super) fn read(node: Option<Node<'_>>) -> BTreeMap<String, String> {
    let mut labels = BTreeMap::new();
    for (name, node) in node.iter().flat_map(Node::entries) {
        if !is_name(name) || RESERVED.contains(&name) {
            node.problem(format!(
                "a label name of letters, digits and _ that does not begin with __ or a digit, other than {}",
                RESERVED.join(", ")
            ));
        }
        if REPLACED.contains(&name) {
            node.warning(format!(
                "Prometheus sets the label {name} itself at each scrape, and renames this one to exported_{name}; use \
                 another name"
            ));
        }
        let value = node.parse("a text", |text| Some(text.to_owned()));
        labels.insert(name.to_owned(), value.unwrap_or_default());
    }
    labels
}

fn is_name(name: &str) -> bool {
    name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        && !name.starts_with(|first: char| first.is_ascii_digit())
        && !name.starts_with("__")
        && !name.is_empty()
}
