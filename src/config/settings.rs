//! The whole configuration.

use std::collections::BTreeMap;

use super::{
    accounts::{self, Account},
    api_settings::ApiSettings,
    collectors::{Collect, CollectorSettings},
    credentials::CredentialsSource,
    environment::Environment,
    fields::{Field, Fields},
    poll_settings::PollSettings,
    problem::Problem,
    project::{self, DEFAULT_CREDENTIALS, Project, ProjectContext},
    read::Section,
    shard::Shard,
    shared_budgets::{self, CoveringBudget},
};
use crate::usage::{Collector, SharedBudget, Window, Zone};

/// A valid configuration.
#[derive(Clone, Debug)]
pub struct Config {
    /// Section `poll`.
    pub poll: PollSettings,
    /// The windows of projects that set none, in the order of the file.
    pub windows: Vec<Window>,
    /// The collectors of projects that set none.
    pub collect: Collect,
    /// Section `collectors`.
    pub collectors: CollectorSettings,
    /// The time zone of the calendar windows.
    pub timezone: Zone,
    /// Section `api`.
    pub api: ApiSettings,
    /// Section `credentials`, by name.
    pub credentials: BTreeMap<String, CredentialsSource>,
    /// The projects of this shard, in the order of the file.
    pub projects: Vec<Project>,
    /// The accounts of this shard whose packages are collected, in the order of the file.
    pub accounts: Vec<Account>,
    /// Limits for several projects together, with the projects of this shard.
    pub budgets: Vec<CoveringBudget>,
    /// The number of processes that share the rate.
    pub shards: u32,
}

impl Config {
    /// The rate of this process for each entry of `credentials` and each region: its share of the configured rate.
    pub(crate) fn requests_per_second(&self) -> f64 {
        self.api.requests_per_second / f64::from(self.shards)
    }

    /// The region in which temporary keys for an account are issued: the region of a project with the same credentials,
    /// because both share the keys. Empty if there is none.
    pub(crate) fn region_of(&self, account: &Account) -> &str {
        let of_same_key = self.projects.iter().find(|project| project.credentials == account.credentials);
        of_same_key.map_or("", |project| &project.region)
    }

    /// Reads the document. Notes problems and replaces invalid values by defaults.
    pub(super) fn read(mut section: Section<'_>, environment: &Environment) -> Self {
        let poll = PollSettings::read(section.section("poll"));
        let windows = section.get("windows").map_or_else(
            || vec![Window::Today, Window::Yesterday, Window::ThisMonth].into(),
            |node| project::windows(&node),
        );
        let collect = section.get("collect").map_or_else(Collect::default, |node| Collect::read(&node));
        let collectors = CollectorSettings::read(section.section("collectors"));
        let timezone = section.get("timezone").and_then(|node| node.parse(Zone::EXPECTED, |text| text.parse().ok()));
        let api = ApiSettings::read(section.section("api"), environment);
        let credentials = section
            .get("credentials")
            .map_or_else(|| Some(BTreeMap::new()), |node| CredentialsSource::read_all(&node.hide(), environment));
        let defaults = section.get("defaults").map(|node| node.section());
        let context = ProjectContext {
            poll: &poll,
            windows: &windows,
            collect: &collect,
            collectors: &collectors,
            credentials: credentials.as_ref(),
            defaults: defaults.as_ref(),
        };
        let projects = section.require("projects", "a list of the projects to poll");
        let projects = projects.map_or_else(Vec::new, |list| project::read_all(&list, &context));
        // After an error in a project, its name, labels and windows may not be known.
        let known = (!section.has_errors_in(&["projects", "windows", "defaults"])).then_some(&*projects);
        let accounts =
            section.get("accounts").map_or_else(Vec::new, |node| accounts::read(&node, credentials.as_ref()));
        let budgets = section.get("budgets").map_or_else(Vec::new, |node| shared_budgets::read(&node, known));
        warn_of_unused(&collectors, &projects, &section);
        section.finish();
        let timezone = timezone.unwrap_or_else(Zone::shanghai);
        let credentials = credentials.unwrap_or_default();
        let windows = windows.values;
        Config {
            poll,
            windows,
            collect,
            collectors,
            timezone,
            api,
            credentials,
            projects,
            accounts,
            budgets,
            shards: 1,
        }
    }

    /// If the configuration has no credentials, looks for them outside of it.
    pub(super) async fn find_credentials(&mut self, environment: &Environment, problems: &mut Vec<Problem>) {
        if self.credentials.is_empty() {
            let source = CredentialsSource::find(environment, problems).await;
            self.credentials.insert(DEFAULT_CREDENTIALS.to_owned(), source);
        }
    }

    /// The shared budgets that cover a project.
    pub(crate) fn shared_budgets(&self, project: &str) -> impl Iterator<Item = &SharedBudget> {
        self.budgets.iter().filter(move |covering| covering.projects.contains(project)).map(|covering| &covering.budget)
    }

    /// Keeps only the projects and accounts of one shard, and sets the number of shards.
    pub(super) fn keep(&mut self, shard: Shard) {
        self.projects.retain(|project| shard.has(&project.name));
        self.accounts.retain(|account| shard.has(&account.name));
        for budget in &mut self.budgets {
            budget.projects.retain(|project| shard.has(project));
        }
        self.budgets.retain(|budget| !budget.projects.is_empty());
        self.shards = shard.total;
    }

    pub(super) fn fields(&self) -> Fields<'_> {
        let Config {
            poll,
            windows,
            collect,
            collectors,
            timezone,
            api,
            credentials,
            projects,
            accounts,
            budgets,
            shards: _,
        } = self;
        let sources = credentials.iter().map(|(name, source)| (name.as_str(), Field::Section(source.fields())));
        vec![
            ("poll", Field::Section(poll.fields())),
            ("windows", Field::list(windows)),
            ("collect", collect.field()),
            ("collectors", Field::Section(collectors.fields())),
            ("timezone", Field::text(timezone)),
            ("api", Field::Section(api.fields())),
            ("credentials", Field::Section(sources.collect())),
            ("projects", Field::Sections(projects.iter().map(Project::fields).collect())),
            ("accounts", Field::Sections(accounts.iter().map(Account::fields).collect())),
            ("budgets", Field::Sections(budgets.iter().map(shared_budgets::fields).collect())),
        ]
    }
}

/// Warns of settings of collectors that do not run.
fn warn_of_unused(collectors: &CollectorSettings, projects: &[Project], section: &Section<'_>) {
    for collector in collectors.changed().filter(|_| !projects.is_empty()) {
        let is_used = match collector {
            Collector::Billing => section.has("accounts"),
            Collector::SubUsers if projects.iter().any(|project| project.user_ids.all().is_some()) => true,
            _ => projects.iter().any(|project| project.collect.contains_key(&collector)),
        };
        if !is_used {
            let text = match collector {
                Collector::Billing => "there are no accounts, so this has no effect; add accounts".to_owned(),
                _ => format!("no project collects {collector}, so this has no effect; add {collector} to collect"),
            };
            section.warning_of(&format!("collectors.{collector}"), text);
        }
    }
}
