//! The section `budgets`: limits for several projects together.

use std::collections::{BTreeSet, HashMap, HashSet};

use super::{
    fields::{Field, Fields},
    project::{
        Project,
        budgets::{self, Selectors},
    },
    read::{Node, Section},
};
use crate::usage::SharedBudget;

/// A shared budget with the names of its projects.
#[derive(Clone, Debug, PartialEq)]
pub struct CoveringBudget {
    /// The budget.
    pub budget: SharedBudget,
    /// The names of the projects whose usage it counts.
    pub projects: BTreeSet<String>,
}

/// Reads the section. If the projects are not known because of an error, only the other keys of a budget are checked.
pub(super) fn read(node: &Node<'_>, projects: Option<&[Project]>) -> Vec<CoveringBudget> {
    let mut names = HashSet::new();
    node.list(|node| {
        let mut section = node.section();
        let name = section.require("name", "a name, which becomes the label `budget`").and_then(|node| {
            let name = node.text()?;
            if !names.insert(name.clone()) {
                node.problem("a name that no other shared budget has");
            }
            Some(name)
        });
        let covered = covered(&mut section, projects);
        let limit = budgets::limit(&mut section, &Selectors::default());
        if let Some(window) = limit.as_ref().map(|limit| limit.window)
            && let Some(project) = covered.iter().find(|project| !project.windows.contains(&window))
        {
            section.problem_of("window", format!("the project {} does not poll this window", project.name));
        }
        section.finish();
        let projects = covered.iter().map(|project| project.name.clone()).collect();
        Some(CoveringBudget { budget: SharedBudget { name: name?, limit: limit? }, projects })
    })
}

/// The projects of a budget.
fn covered<'a>(section: &mut Section<'_>, projects: Option<&'a [Project]>) -> Vec<&'a Project> {
    match (section.get("projects"), section.get("label")) {
        (Some(node), None) => named(&node, projects),
        (None, Some(node)) => labelled(&node, projects),
        (None, None) => {
            section.missing("projects", "expected the names of projects, or a label");
            Vec::new()
        }
        (Some(_), Some(node)) => {
            node.problem("either projects or label");
            Vec::new()
        }
    }
}

fn named<'a>(node: &Node<'_>, projects: Option<&'a [Project]>) -> Vec<&'a Project> {
    if node.length() == Some(0) {
        node.problem("at least one name of a project");
    }
    let known: Option<HashMap<&str, &Project>> =
        projects.map(|projects| projects.iter().map(|project| (project.name.as_str(), project)).collect());
    let covered = node.set(|node| {
        let name = node.text()?;
        if known.as_ref().is_some_and(|known| !known.contains_key(name.as_str())) {
            node.problem("the name of a project of this file");
        }
        Some(name)
    });
    covered.values.iter().filter_map(|name| known.as_ref()?.get(name.as_str()).copied()).collect()
}

fn labelled<'a>(node: &Node<'_>, projects: Option<&'a [Project]>) -> Vec<&'a Project> {
    let labels: Vec<_> = node.entries().into_iter().map(|(name, node)| (name, node.text())).collect();
    let has = |project: &Project| labels.iter().all(|(name, value)| project.labels.get(*name) == value.as_ref());
    let is_empty = labels.is_empty();
    let covered: Vec<_> = projects.unwrap_or_default().iter().filter(|project| !is_empty && has(project)).collect();
    let is_known = projects.is_some() && labels.iter().all(|(_, value)| value.is_some());
    if covered.is_empty() && node.is_mapping() && (is_known || is_empty) {
        node.problem("a label that a project has, such as {team: marketing}");
    }
    covered
}

/// The projects are printed by their names.
pub(super) fn fields(budget: &CoveringBudget) -> Fields<'_> {
    let CoveringBudget { budget: SharedBudget { name, limit }, projects } = budget;
    let projects: Vec<_> = projects.iter().collect();
    let mut fields = vec![("name", Field::text(name)), ("projects", Field::list(&projects))];
    fields.extend(budgets::fields(limit));
    fields
}
