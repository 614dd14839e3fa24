//! The status page: the state, usage and budgets of each project, and the packages of each account.
//!
//! One HTML document without scripts and without external resources. The template escapes all values. The header
//! `Content-Security-Policy` allows only our style sheet, by its hash, so an injected style has no effect.

mod account;
mod budget;
mod card;
mod chart;
mod clock;
mod number;
mod package;
mod pager;
mod query;
mod state;
mod texts;
mod totals;
mod window;

use std::sync::LazyLock;

use askama::Template;
use base64::{Engine, prelude::BASE64_STANDARD};
use chrono::{DateTime, Utc};
use sha2::{Digest, Sha256};

pub(super) use self::query::Query;
use self::{
    account::AccountCard,
    budget::{Level, SharedBar, shared_bars},
    card::Card,
    clock::{LocalClock, LocalTime},
    pager::Pager,
    query::View,
    state::{ProjectState, states},
    texts::Texts,
    totals::{Total, totals},
};
use super::negotiate::Language;
use crate::{
    snapshot::{Moment, ProjectStatus, Snapshot},
    usage::{Window, Zone},
};

/// The style sheet. The pages of the documentation use it, too.
const STYLE: &str = include_str!("page/style.css");

/// The header `Content-Security-Policy` of the page.
pub(super) static CONTENT_SECURITY_POLICY: LazyLock<String> = LazyLock::new(|| {
    let hash = BASE64_STANDARD.encode(Sha256::digest(STYLE));
    format!(
        "default-src 'none'; style-src 'sha256-{hash}'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    )
});

/// What the page shows about the exporter itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct About {
    pub telemetry_path: String,
    /// Index of this shard, from 0, and number of shards.
    pub shard: (u32, u32),
    /// If the last reload failed, the time at which the old configuration, which stays in use, was loaded.
    pub old_config_loaded_at: Option<DateTime<Utc>>,
}

/// The values of the template.
#[derive(Template)]
#[template(path = "status.html")]
struct StatusTemplate<'a> {
    texts: &'static Texts,
    style: &'static str,
    version: &'static str,
    metrics: String,
    now: LocalTime,
    zone: String,
    shard: (u32, u32),
    old_config_loaded_at: Option<LocalTime>,
    query: &'a Query,
    /// Number of projects, accounts and shared budgets that need attention.
    attention: usize,
    states: Vec<Chip>,
    views: Vec<Link>,
    view: View,
    /// Whether the exporter has no projects.
    is_empty: bool,
    /// Number of projects on all pages.
    count: usize,
    totals: Vec<Total>,
    /// Empty unless this is the first page, without a search and without a selected project.
    shared_budgets: Vec<SharedBar>,
    /// The windows of the table and their names.
    columns: Vec<(Window, String)>,
    cards: Vec<Card<'a>>,
    /// Empty unless this is the first page, without a search and without a selected project.
    accounts: Vec<AccountCard<'a>>,
    /// `None` if there is only one page.
    pager: Option<Pager>,
}

/// A link to the projects with a state.
struct Chip {
    class: &'static str,
    text: &'static str,
    count: usize,
    address: String,
    is_current: bool,
}

/// A link to the status page with another query.
struct Link {
    text: &'static str,
    address: String,
    is_current: bool,
}

/// A project and its states, the worst first.
type ProjectWithStates<'a> = (Vec<ProjectState>, &'a ProjectStatus);

/// Renders the page for a query.
pub(super) fn render(snapshot: &Snapshot, query: &Query, language: Language, about: &About, now: Moment) -> String {
    let texts = Texts::of(language);
    let mut query = query.clone();
    let words = query.words();
    let projects = snapshot.projects.iter().map(|project| &**project);
    let found = projects.filter(|project| query::has_words(project, &words));
    let mut found: Vec<ProjectWithStates<'_>> = found.map(|project| (states(project, now), project)).collect();
    let states = chips(&query, &found, texts);
    let accounts: Vec<AccountCard<'_>> =
        snapshot.accounts.iter().map(|account| AccountCard::new(account, texts, now)).collect();
    let shared = shared_bars(snapshot.projects.iter().map(|project| &**project), texts, now);
    let attention = attention(&found, &accounts, &shared);
    found.retain(|(states, project)| query.selects(states, project));
    // A stable sort: projects with the same worst state stay in the order of the configuration.
    found.sort_by_key(|(states, _)| states.first().copied());
    let count = found.len();
    let view = query.view_of(count);
    query.page = query.page.min(count.saturating_sub(1) / view.page_size());
    let totals = totals(found.iter().map(|(_, project)| *project), texts, now);
    let shown = found.into_iter().skip(query.page * view.page_size()).take(view.page_size());
    let cards: Vec<Card<'_>> = shown.map(|(states, project)| Card::new(project, states, view, texts, now)).collect();
    let is_beginning = query.page == 0 && query.project.is_none() && words.is_empty();
    let accounts = accounts.into_iter().filter(|account| is_beginning && is_selected(&query, account)).collect();
    let shared_budgets = shared.into_iter().filter(|shared| is_beginning && is_shown(&query, shared)).collect();
    let zone = snapshot.projects.first().map_or_else(Zone::utc, |project| project.target.timezone.clone());
    let clock = LocalClock { zone: &zone, now: now.utc };
    let page = StatusTemplate {
        texts,
        style: STYLE,
        version: env!("CARGO_PKG_VERSION"),
        metrics: format!(".{}", about.telemetry_path),
        now: clock.now(),
        zone: clock.zone(),
        shard: about.shard,
        old_config_loaded_at: about.old_config_loaded_at.map(|loaded| clock.time(loaded)),
        query: &query,
        attention,
        states,
        views: view_links(&query, view, texts),
        view,
        is_empty: snapshot.projects.is_empty(),
        count,
        totals,
        shared_budgets,
        columns: columns(&cards, texts),
        cards,
        accounts,
        pager: Pager::new(&query, count, view.page_size()),
    };
    page.render().unwrap_or_else(|error| {
        // Not expected: writing to a String cannot fail, and no value of the template returns an error.
        tracing::error!(%error, "cannot render the status page");
        String::new()
    })
}

/// Number of projects, accounts and shared budgets that need attention.
fn attention(found: &[ProjectWithStates<'_>], accounts: &[AccountCard<'_>], shared: &[SharedBar]) -> usize {
    let projects = found.iter().filter(|(states, _)| states.first() < Some(&ProjectState::Waiting)).count();
    let accounts = accounts.iter().filter(|account| account.state != ProjectState::Ok).count();
    projects + accounts + shared.iter().filter(|shared| is_spent(shared)).count()
}

fn is_spent(shared: &SharedBar) -> bool {
    shared.bar.level == Level::Spent
}

/// Whether the state of a query selects an account.
fn is_selected(query: &Query, account: &AccountCard<'_>) -> bool {
    match query.state {
        None => true,
        Some(state) => state != ProjectState::Ok && state == account.state,
    }
}

/// Whether the state of a query selects a shared budget.
fn is_shown(query: &Query, shared: &SharedBar) -> bool {
    match query.state {
        None => true,
        Some(state) => state == ProjectState::OverBudget && is_spent(shared),
    }
}

/// A link to all projects, and for each state a link to the projects in this state. A project with several states is
/// counted for each of them.
fn chips(query: &Query, found: &[ProjectWithStates<'_>], texts: &Texts) -> Vec<Chip> {
    let chip = |state: Option<ProjectState>| Chip {
        class: state.map_or("all", ProjectState::name),
        text: state.map_or(texts.all, |state| texts.state(state)),
        count: found.iter().filter(|(states, _)| state.is_none_or(|state| states.contains(&state))).count(),
        address: Query { state, project: None, page: 0, ..query.clone() }.address(),
        is_current: query.state == state && query.project.is_none(),
    };
    [None].into_iter().chain(ProjectState::ALL.map(Some)).map(chip).collect()
}

fn view_links(query: &Query, current: View, texts: &Texts) -> Vec<Link> {
    let link = |view: View| Link {
        text: texts.name_of(view),
        address: Query { view: Some(view), page: 0, ..query.clone() }.address(),
        is_current: view == current,
    };
    View::ALL.map(link).into()
}

/// The windows of all cards, in the order in which the projects have them.
fn columns(cards: &[Card<'_>], texts: &Texts) -> Vec<(Window, String)> {
    let mut columns: Vec<Window> = Vec::new();
    for shown in cards.iter().flat_map(|card| &card.windows) {
        if !columns.contains(&shown.values.window) {
            columns.push(shown.values.window);
        }
    }
    columns.into_iter().map(|window| (window, texts.window(window))).collect()
}
