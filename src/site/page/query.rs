//! The query of the page's address: which projects are shown, and how.

use std::collections::BTreeSet;

use super::state::ProjectState;
use crate::snapshot::ProjectStatus;

/// Maximum length of a search text, in characters. Limited, because each word is searched for in each project.
const LONGEST_SEARCH: usize = 200;

/// Up to this number of projects, each gets a card. More projects get a table, in which they can be compared.
const MOST_CARDS: usize = 10;

/// Which projects are shown, and how.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::site) struct Query {
    /// The text of the search field. A project is shown if it contains all words.
    pub search: String,
    /// Shows only the project with this name.
    pub project: Option<String>,
    /// `None` shows all states.
    pub state: Option<ProjectState>,
    /// `None` lets the number of projects decide.
    pub view: Option<View>,
    /// Whether the browser loads the page again by itself. `None` is yes, except after a search.
    pub refresh: Option<bool>,
    /// The first page is 0.
    pub page: usize,
}

/// How projects are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::site) enum View {
    /// A card for each project.
    Cards,
    /// A row for each project.
    Table,
}

impl View {
    pub const ALL: [View; 2] = [View::Cards, View::Table];

    /// The name in addresses.
    pub fn name(self) -> &'static str {
        match self {
            View::Cards => "cards",
            View::Table => "table",
        }
    }

    /// Maximum number of projects on one page.
    pub fn page_size(self) -> usize {
        match self {
            View::Cards => 50,
            View::Table => 100,
        }
    }
}

impl Query {
    /// Reads a query. Invalid values count as absent.
    pub fn parse(text: &str) -> Self {
        let mut query = Query::default();
        for (name, value) in form_urlencoded::parse(text.as_bytes()) {
            match &*name {
                "q" => query.search = value.chars().take(LONGEST_SEARCH).collect(),
                "project" => query.project = Some(value.into_owned()),
                "state" => query.state = ProjectState::ALL.into_iter().find(|state| state.name() == value),
                "view" => query.view = View::ALL.into_iter().find(|view| view.name() == value),
                "refresh" => {
                    query.refresh = [("on", true), ("off", false)].iter().find(|of| of.0 == value).map(|of| of.1)
                }
                "page" => query.page = value.parse::<usize>().unwrap_or(1).saturating_sub(1),
                _ => {}
            }
        }
        query
    }

    /// The address of the page with this query, relative to the page.
    pub fn address(&self) -> String {
        let mut query = form_urlencoded::Serializer::new(String::new());
        if !self.search.is_empty() {
            query.append_pair("q", &self.search);
        }
        if let Some(project) = &self.project {
            query.append_pair("project", project);
        }
        for (name, value) in self.kept() {
            query.append_pair(name, value);
        }
        if self.page > 0 {
            query.append_pair("page", &(self.page + 1).to_string());
        }
        format!("./?{}", query.finish())
    }

    /// The address of the page with only this project.
    pub fn address_of(&self, project: &str) -> String {
        Query { project: Some(project.to_owned()), refresh: self.refresh, ..Query::default() }.address()
    }

    /// The address of the page with all projects.
    pub fn everything(&self) -> String {
        Query { view: self.view, refresh: self.refresh, ..Query::default() }.address()
    }

    /// The address of the same page with the automatic refresh turned off if it is on, and on if it is off.
    pub fn other_refresh(&self) -> String {
        Query { refresh: Some(!self.refreshes()), ..self.clone() }.address()
    }

    /// Whether a project with these states is shown, if it has the words of the search.
    pub fn selects(&self, states: &[ProjectState], project: &ProjectStatus) -> bool {
        self.state.is_none_or(|state| states.contains(&state))
            && self.project.as_ref().is_none_or(|name| *name == project.target.name)
    }

    /// The parameters that a new search keeps.
    pub fn kept(&self) -> impl Iterator<Item = (&'static str, &'static str)> {
        let state = self.state.map(|state| ("state", state.name()));
        let view = self.view.map(|view| ("view", view.name()));
        let refresh = self.refresh.map(|refresh| ("refresh", if refresh { "on" } else { "off" }));
        [state, view, refresh].into_iter().flatten()
    }

    /// How this number of projects is shown.
    pub fn view_of(&self, count: usize) -> View {
        self.view.unwrap_or(if count > MOST_CARDS { View::Table } else { View::Cards })
    }

    /// Whether the browser loads the page again by itself. After a search it does not, because a reload would discard
    /// the words of the next search while the user types them. Without scripts, the page cannot detect typing.
    pub fn refreshes(&self) -> bool {
        self.refresh.unwrap_or(self.search.is_empty())
    }

    /// The words of the search in lower case.
    pub fn words(&self) -> BTreeSet<String> {
        self.search.split_whitespace().map(str::to_lowercase).collect()
    }
}

/// Whether the name, id, region, endpoint and labels of a project have all words.
pub(super) fn has_words(project: &ProjectStatus, words: &BTreeSet<String>) -> bool {
    let target = &project.target;
    let mut text =
        [&*target.name, &target.region, &target.endpoint, project.project_id().unwrap_or_default()].join("\n");
    for (name, value) in target.set_labels() {
        text.extend(["\n", name, "=", value]);
    }
    let text = text.to_lowercase();
    words.iter().all(|word| text.contains(word.as_str()))
}
