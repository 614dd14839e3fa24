//! The budgets of a project.

use std::{collections::HashSet, ops::RangeInclusive};

use super::types;
use crate::{
    config::{
        fields::{Field, Fields},
        read::{Listed, Node, Section},
    },
    usage::{Budget, Window},
};

/// The upper bound is far above any usage: a greater number is a typing error.
const MINUTES: RangeInclusive<f64> = 0.01..=1e12;

/// The windows, types and users of a project. A budget for anything else would never be used up, and no alert would
/// fire.
#[derive(Default)]
pub(in crate::config) struct Selectors<'a> {
    windows: Option<&'a [Window]>,
    resource_types: Option<&'a [String]>,
    business_types: Option<&'a [String]>,
    user_ids: Option<HashSet<&'a str>>,
}

impl<'a> Selectors<'a> {
    pub fn new(
        windows: &'a Listed<Window>,
        resource_types: &'a Listed<String>,
        business_types: &'a Listed<String>,
        user_ids: Option<&'a [String]>,
    ) -> Self {
        Selectors {
            windows: windows.all().filter(|windows| !windows.is_empty()),
            resource_types: resource_types.all(),
            business_types: business_types.all(),
            user_ids: user_ids.map(|users| users.iter().map(String::as_str).collect()),
        }
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
    let limit = limit(&mut section, selectors);
    let user_node = section.get("user_id");
    let user_id = user_node.as_ref().and_then(Node::text);
    if let (Some(node), Some(user)) = (&user_node, &user_id)
        && selectors.user_ids.as_ref().is_some_and(|users| !users.contains(user.as_str()))
    {
        node.problem("one of the user_ids of this project, because only these are queried one by one");
    }
    section.finish();
    Some(Budget { user_id, ..limit? })
}

/// A budget without a user.
pub(in crate::config) fn limit(section: &mut Section<'_>, selectors: &Selectors<'_>) -> Option<Budget> {
    let expected = match selectors.windows {
        Some(windows) => {
            let names: Vec<String> = windows.iter().map(Window::to_string).collect();
            format!("one of the windows of this project: {}", names.join(", "))
        }
        None => Window::expected(),
    };
    let is_polled = |window: &Window| selectors.windows.is_none_or(|windows| windows.contains(window));
    let missing = selectors.windows.map_or("a window, such as this_month", |_| expected.as_str());
    let window = section.require("window", missing).and_then(|node| {
        node.parse(&expected, |text| text.parse().ok().filter(is_polled))
            .inspect(|window| warn_if_ended(&node, *window))
    });
    let minutes =
        section.require("minutes", "the number of minutes that may be used").and_then(|node| node.number(MINUTES));
    let mut kept = |key, kept: Option<&[String]>, read: fn(&Node<'_>) -> Option<String>| {
        section.get(key).and_then(|node| {
            let Some(kept) = kept.filter(|kept| !kept.is_empty()) else { return read(&node) };
            let text = node.text()?;
            if !kept.contains(&text) {
                node.problem(format!("one of the {key}s of this project: {}", kept.join(", ")));
            }
            Some(text)
        })
    };
    let resource_type = kept("resource_type", selectors.resource_types, types::resource_type);
    let business_type = kept("business_type", selectors.business_types, types::business_type);
    Some(Budget { window: window?, minutes: minutes?, resource_type, business_type, user_id: None })
}

/// Warns of a budget for a window that has ended: its alert would come too late.
fn warn_if_ended(node: &Node<'_>, window: Window) {
    if window.has_ended() {
        node.warning("this window has ended, so an alert on the budget comes too late; use a window that goes on");
    }
}

pub(in crate::config) fn fields(budget: &Budget) -> Fields<'_> {
    let Budget { window, minutes, resource_type, business_type, user_id } = budget;
    let selectors = [("resource_type", resource_type), ("business_type", business_type), ("user_id", user_id)];
    let selectors = selectors.into_iter().filter_map(|(key, value)| Some((key, Field::text(value.as_ref()?))));
    let mut fields = vec![("window", Field::text(window)), ("minutes", Field::Number(*minutes))];
    fields.extend(selectors);
    fields
}
