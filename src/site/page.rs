//! The status page: the state, usage and budgets of each project.
//!
//! One HTML document without scripts and without external resources. The template escapes all values. The header
//! `Content-Security-Policy` allows only our style sheet, by its hash, so an injected style has no effect.

mod budget;
mod card;
mod chart;
mod number;
mod query;
mod state;
mod texts;

use std::sync::LazyLock;

use askama::Template;
use base64::{Engine, prelude::BASE64_STANDARD};
use sha2::{Digest, Sha256};

pub(super) use self::query::Query;
use self::{
    card::{Card, timestamp},
    state::ProjectState,
    texts::Texts,
};
use super::negotiate::Language;
use crate::snapshot::{Moment, ProjectStatus, Snapshot};

/// The style sheet. The pages of the documentation use it, too.
const STYLE: &str = include_str!("page/style.css");

/// Maximum number of projects on one page.
const PAGE_SIZE: usize = 50;

/// Pages before and after the current one that have a link. The first and the last page always have one.
const NEIGHBOURS: usize = 3;

/// The header `Content-Security-Policy` of the page.
pub(super) static CONTENT_SECURITY_POLICY: LazyLock<String> = LazyLock::new(|| {
    let hash = BASE64_STANDARD.encode(Sha256::digest(STYLE));
    format!(
        "default-src 'none'; style-src 'sha256-{hash}'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    )
});

/// The values of the template.
#[derive(Template)]
#[template(path = "status.html")]
struct Page<'a> {
    texts: &'static Texts,
    style: &'static str,
    version: &'static str,
    metrics: String,
    now: String,
    query: &'a Query,
    states: Vec<Link>,
    cards: Vec<Card<'a>>,
    pages: Vec<Link>,
}

/// A link to the status page with another query.
struct Link {
    text: String,
    address: String,
    is_current: bool,
}

/// Renders the page for a query.
pub(super) fn render(
    snapshot: &Snapshot,
    query: &Query,
    language: Language,
    telemetry_path: &str,
    now: Moment,
) -> String {
    let texts = Texts::of(language);
    let mut query = query.clone();
    let words = query.words();
    let mut found: Vec<(ProjectState, &ProjectStatus)> = snapshot
        .projects
        .iter()
        .filter(|project| query::has_words(project, &words))
        .map(|project| (ProjectState::of(project, now), &**project))
        .collect();
    let states = state_links(&query, &found, texts);
    found.retain(|(state, _)| query.state.is_none_or(|wanted| wanted == *state));
    // A stable sort: projects of one state stay in the order of the configuration.
    found.sort_by_key(|(state, _)| *state);
    let page_count = found.len().div_ceil(PAGE_SIZE).max(1);
    query.page = query.page.min(page_count - 1);
    let shown = found.into_iter().skip(query.page * PAGE_SIZE).take(PAGE_SIZE);
    let page = Page {
        texts,
        style: STYLE,
        version: env!("CARGO_PKG_VERSION"),
        metrics: format!(".{telemetry_path}"),
        now: timestamp(now.utc),
        query: &query,
        states,
        cards: shown.map(|(state, project)| Card::new(project, state, texts, now)).collect(),
        pages: page_links(&query, page_count),
    };
    page.render().unwrap_or_else(|error| {
        // Not expected: writing to a String cannot fail, and no value of the template returns an error.
        tracing::error!(%error, "cannot render the status page");
        String::new()
    })
}

/// Links to all projects and to those of each state, with their number.
fn state_links(query: &Query, found: &[(ProjectState, &ProjectStatus)], texts: &Texts) -> Vec<Link> {
    let link = |state: Option<ProjectState>| {
        let count = found.iter().filter(|(of, _)| state.is_none_or(|state| state == *of)).count();
        let text = state.map_or(texts.all, |state| texts.state(state));
        Link {
            text: format!("{text} {count}"),
            address: Query { state, page: 0, ..query.clone() }.address(),
            is_current: query.state == state,
        }
    };
    [None].into_iter().chain(ProjectState::ALL.map(Some)).map(link).collect()
}

/// Links to the first and the last page, and to the pages near the current one; none if there is only one page.
fn page_links(query: &Query, page_count: usize) -> Vec<Link> {
    if page_count <= 1 {
        return Vec::new();
    }
    let is_linked = |page: &usize| *page == 0 || *page == page_count - 1 || page.abs_diff(query.page) <= NEIGHBOURS;
    let link = |page: usize| Link {
        text: (page + 1).to_string(),
        address: Query { page, ..query.clone() }.address(),
        is_current: page == query.page,
    };
    (0..page_count).filter(is_linked).map(link).collect()
}
