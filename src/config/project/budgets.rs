//! The budgets of a project.

use std::{collections::HashSet, ops::RangeInclusive};

use super::types;
use crate::{
    config::{
        fields::{Field, Fields},
        read::{Node, Section},
    },
    usage::{Budget, Window},
};

/// The upper bound is far above any usage: a greater number is a typing error.
const MINUTES: RangeInclusive<f64> = 0.01..=1e12;

/// The windows, types and users of a project. A budget for anything else would never be used up, and no alert would
/// fire.
pub(super) struct Selectors<'a> {
    windows: &'a [Window],
    resource_types: &'a [String],
    business_types: &'a [String],
    user_ids: HashSet<&'a str>,
}

impl<'a> Selectors<'a> {
    pub fn new(
        windows: &'a [Window],
        resource_types: &'a [String],
        business_types: &'a [String],
        user_ids: &'a [String],
    ) -> Self {
        Selectors { windows, resource_types, business_types, user_ids: user_ids.iter().map(String::as_str).collect() }
    }
}

pub(super) fn read(node: &Node<'_>, selectors: &Selectors<'_>) -> Vec<Budget> {
    let mut seen = HashSet::new();
    node.list(|node| {
        let budget = budget(node.section(), selectors)?;
        let Budget { window, minutes: _, resource_type, business_type, user_id } = budget.clone();
        if !seen.insert((window, resource_type, business_type, user_id)) {
            node.problem("only one budget for the same window, types and user");
        }
        Some(budget)
    })
}

fn budget(mut section: Section<'_>, selectors: &Selectors<'_>) -> Option<Budget> {
    let windows: Vec<String> = selectors.windows.iter().map(Window::to_string).collect();
    let expected = format!("one of the windows of this project: {}", windows.join(", "));
    let window = section.require("window", &expected).and_then(|node| {
        node.parse(&expected, |text| text.parse().ok().filter(|window| selectors.windows.contains(window)))
    });
    let minutes =
        section.require("minutes", "the number of minutes that may be used").and_then(|node| node.number(MINUTES));
    let mut kept = |key, kept: &[String], read: fn(&Node<'_>) -> Option<String>| {
        section.get(key).and_then(|node| {
            if kept.is_empty() {
                return read(&node);
            }
            let text = node.text()?;
            if !kept.contains(&text) {
                node.problem(format!("one of the {key}s of this project: {}", kept.join(", ")));
            }
            Some(text)
        })
    };
    let resource_type = kept("resource_type", selectors.resource_types, types::resource_type);
    let business_type = kept("business_type", selectors.business_types, types::business_type);
    let user_node = section.get("user_id");
    let user_id = user_node.as_ref().and_then(Node::text);
    if let (Some(node), Some(user)) = (&user_node, &user_id)
        && !selectors.user_ids.contains(user.as_str())
    {
        node.problem("one of the user_ids of this project, because only these are queried one by one");
    }
    section.finish();
    Some(Budget { window: window?, minutes: minutes?, resource_type, business_type, user_id })
}

pub(super) fn fields(budget: &Budget) -> Fields<'_> {
    let Budget { window, minutes, resource_type, business_type, user_id } = budget;
    let selectors = [("resource_type", resource_type), ("business_type", business_type), ("user_id", user_id)];
    let selectors = selectors.into_iter().filter_map(|(key, value)| Some((key, Field::text(value.as_ref()?))));
    let mut fields = vec![("window", Field::text(window)), ("minutes", Field::Number(*minutes))];
    fields.extend(selectors);
    fields
}
