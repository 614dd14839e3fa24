//! The query of the page's address: which projects are shown.

use std::collections::BTreeSet;

use super::state::ProjectState;
use crate::snapshot::ProjectStatus;

/// Maximum length of a search text, in characters. Limited, because each word is searched for in each project.
const LONGEST_SEARCH: usize = 200;

/// Which projects are shown.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::site) struct Query {
    /// The text of the search field. A project is shown if it contains all words.
    pub search: String,
    /// `None` shows all states.
    pub state: Option<ProjectState>,
    /// The first page is 0.
    pub page: usize,
}

impl Query {
    /// Reads a query. Invalid values count as absent.
    pub fn parse(text: &str) -> Self {
        let mut query = Query::default();
        for (name, value) in form_urlencoded::parse(text.as_bytes()) {
            match &*name {
                "q" => query.search = value.chars().take(LONGEST_SEARCH).collect(),
                "state" => query.state = ProjectState::ALL.into_iter().find(|state| state.name() == value),
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
        if let Some(state) = self.state {
            query.append_pair("state", state.name());
        }
        if self.page > 0 {
            query.append_pair("page", &(self.page + 1).to_string());
        }
        format!("./?{}", query.finish())
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
