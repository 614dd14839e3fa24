//! An entry of the list `projects`.

pub(super) mod budgets;
mod labels;
pub(super) mod types;
mod users;

use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    time::Duration,
};

pub use self::users::Users;

use self::budgets::Selectors;
use super::{
    collectors::{Collect, CollectorSettings},
    credentials::CredentialsSource,
    endpoint::{Endpoint, REGIONS},
    fields::{Field, Fields},
    poll_settings::{INTERVALS, PollSettings, STALE_AFTER},
    read::{Listed, Node, Section},
};
use crate::usage::{Budget, Collector, ProjectQuery, Window, is_project_id, requests_a_day};

/// The keys of a project, except its name. The section `defaults` may have the same keys.
pub(super) const KEYS: [&str; 14] = [
    "region",
    "endpoint",
    "project_id",
    "credentials",
    "labels",
    "user_ids",
    "app_user_id",
    "resource_types",
    "business_types",
    "interval",
    "stale_after",
    "windows",
    "budgets",
    "collect",
];

/// The name of the credentials that are found outside of the configuration, if it has none.
pub(super) const DEFAULT_CREDENTIALS: &str = "default";

/// Maximum number of names of labels in all projects together.
const MAX_LABELS: usize = 30;

/// A message lists at most this many names of credentials: there may be thousands.
const LISTED_NAMES: usize = 20;

/// A project to poll. Values that it inherits are filled in.
#[derive(Clone, Debug)]
pub struct Project {
    /// The value of the label `project`; unique.
    pub name: String,
    /// The region; empty if only an endpoint is given.
    pub region: String,
    /// The endpoint of MetaStudio.
    pub endpoint: Endpoint,
    /// The project's id in its region; `None` is the id of the project with the name of the region.
    pub project_id: Option<String>,
    /// The name of its credentials.
    pub credentials: String,
    /// Labels of every series of the project. All projects have the same names of labels; a value may be empty.
    pub labels: BTreeMap<String, String>,
    /// The sub-users that have series of their own.
    pub user_ids: Users,
    /// The third-party user: the value of the header `X-App-UserId`.
    pub app_user_id: Option<String>,
    /// The resource types that are kept; if empty, all are.
    pub resource_types: Vec<String>,
    /// The business types that are kept; if empty, all are.
    pub business_types: Vec<String>,
    /// The time between two polls.
    pub interval: Duration,
    /// The usage is withdrawn after this time without a successful poll.
    pub stale_after: Duration,
    /// The windows to query.
    pub windows: Vec<Window>,
    /// Limits of usage; no two for the same window, types and user.
    pub budgets: Vec<Budget>,
    /// The collectors of the project, each with the time between two runs.
    pub collect: BTreeMap<Collector, Duration>,
    /// Whether `collect` is `all`, and not a list of names.
    pub collects_all: bool,
}

fn set(list: &[String]) -> BTreeSet<&str> {
    list.iter().map(String::as_str).collect()
}

/// The parts of the configuration that projects inherit or refer to.
pub(super) struct ProjectContext<'a> {
    pub poll: &'a PollSettings,
    pub windows: &'a Listed<Window>,
    pub collect: &'a Collect,
    pub collectors: &'a CollectorSettings,
    /// `None` if the section is invalid. Then the names of credentials in projects are not checked.
    pub credentials: Option<&'a BTreeMap<String, CredentialsSource>>,
    /// Section `defaults`: values of keys that a project does not have.
    pub defaults: Option<&'a Section<'a>>,
}

impl Project {
    /// What the project asks for in each of its windows.
    pub fn query(&self) -> ProjectQuery<'_> {
        // Every field is named, so that a new one cannot be forgotten.
        let Project {
            name: _,
            region: _,
            endpoint,
            project_id,
            credentials: _,
            labels: _,
            user_ids,
            app_user_id,
            resource_types,
            business_types,
            interval: _,
            stale_after: _,
            windows: _,
            budgets: _,
            collect: _,
            collects_all: _,
        } = self;
        ProjectQuery {
            endpoint: endpoint.to_string(),
            project_id: project_id.as_deref(),
            user_ids: match user_ids {
                Users::Listed(ids) => Some(set(ids)),
                Users::All(_) => None,
            },
            app_user_id: app_user_id.as_deref(),
            resource_types: set(resource_types),
            business_types: set(business_types),
        }
    }

    /// The number of queries of one poll; the maximum if the number of users is not known.
    pub(super) fn queries(&self) -> usize {
        self.windows.len() * self.user_ids.queries()
    }

    /// Requests a day, if each answer fits on one page and nothing is retried; the maximum if the number of users is
    /// not known.
    pub(crate) fn requests_a_day(&self) -> f64 {
        let of_collector = |(collector, interval): (&Collector, &Duration)| {
            requests_a_day(collector.requests().into(), collector.daily_requests().into(), *interval)
        };
        let lists = self.user_ids.all().filter(|settings| settings.series > 0);
        requests_a_day(self.queries() as f64, 0.0, self.interval)
            + lists.map_or(0.0, |settings| requests_a_day(1.0, 0.0, settings.interval))
            + self.collect.iter().map(of_collector).sum::<f64>()
    }

    pub(super) fn requests_a_second(&self) -> f64 {
        self.requests_a_day() / 86_400.0
    }

    /// Reads an entry and adds its name to `names`. Replaces invalid values by valid ones, so that all checks run.
    fn read<'a>(node: &Node<'a>, context: &ProjectContext<'a>, names: &mut HashSet<String>) -> Option<Self> {
        if !node.is_mapping() {
            node.problem("a mapping with name and region");
            return None;
        }
        let section = node.section();
        let mut section = match context.defaults {
            Some(defaults) => section.with_defaults(defaults),
            None => section,
        };
        let name = name(&mut section, names);
        let (region, endpoint) = region_and_endpoint(&mut section);
        let project_id = project_id(&mut section);
        let credentials = credentials_name(&mut section, context.credentials);
        let interval = section.get("interval").and_then(|node| node.duration(INTERVALS));
        let interval = interval.unwrap_or(context.poll.interval);
        let stale_after = section.get("stale_after").and_then(|node| node.duration(STALE_AFTER));
        let given = stale_after.or(context.poll.stale_after);
        if interval != context.poll.interval || stale_after.is_some() {
            context.poll.check(&section, interval, given);
        }
        let labels = labels::read(section.get("labels"));
        let (user_ids, known_users) = Users::read(section.get("user_ids"), &context.collectors.sub_users);
        let app_user_id = section.get("app_user_id").and_then(|node| {
            node.parse("a text of ASCII characters without spaces (the API allows no Chinese characters)", |text| {
                (!text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic())).then(|| text.to_owned())
            })
        });
        let resource_types = texts(section.get("resource_types"), types::resource_type);
        let business_types = texts(section.get("business_types"), types::business_type);
        let windows = section.get("windows").map_or_else(|| context.windows.clone(), |node| windows(&node));
        let budgets = section.get("budgets").map_or_else(Vec::new, |node| {
            budgets::read(&node, &Selectors::new(&windows, &resource_types, &business_types, known_users.as_deref()))
        });
        let collect = section.get("collect").map_or_else(|| context.collect.clone(), |node| Collect::read(&node));
        let interval_of = |collector: &Collector| (*collector, context.collectors.interval(*collector));
        section.finish();
        Some(Project {
            name,
            region,
            endpoint,
            project_id,
            credentials,
            labels,
            user_ids,
            app_user_id,
            resource_types: resource_types.values,
            business_types: business_types.values,
            interval,
            stale_after: given.unwrap_or(3 * interval),
            windows: windows.values,
            budgets,
            collect: collect.collectors().iter().map(interval_of).collect(),
            collects_all: collect == Collect::All,
        })
    }

    fn collect(&self) -> Collect {
        if self.collects_all { Collect::All } else { Collect::Named(self.collect.keys().copied().collect()) }
    }

    pub(super) fn fields(&self) -> Fields<'_> {
        let region = Some(&self.region).filter(|region| !region.is_empty());
        let labels = self
            .labels
            .iter()
            .filter(|(_, value)| !value.is_empty())
            .map(|(name, value)| (name.as_str(), Field::text(value)));
        vec![
            ("name", Field::text(&self.name)),
            ("region", Field::optional(region, Field::text)),
            ("endpoint", Field::text(&self.endpoint)),
            ("project_id", Field::optional(self.project_id.as_ref(), Field::text)),
            ("credentials", Field::text(&self.credentials)),
            ("labels", Field::Section(labels.collect())),
            ("user_ids", self.user_ids.field()),
            ("app_user_id", Field::optional(self.app_user_id.as_ref(), Field::text)),
            ("resource_types", Field::list(&self.resource_types)),
            ("business_types", Field::list(&self.business_types)),
            ("interval", Field::Duration(self.interval)),
            ("stale_after", Field::Duration(self.stale_after)),
            ("windows", Field::list(&self.windows)),
            ("budgets", Field::Sections(self.budgets.iter().map(budgets::fields).collect())),
            ("collect", self.collect().field()),
        ]
    }
}

/// Reads the section `projects`.
pub(super) fn read_all<'a>(list: &Node<'a>, context: &ProjectContext<'a>) -> Vec<Project> {
    let mut names = HashSet::new();
    let mut projects = list.list(|node| Project::read(&node, context, &mut names));
    if !complete_labels(&mut projects) {
        list.problem(format_args!("at most {MAX_LABELS} names of labels in all projects together"));
    }
    if list.length() == Some(0) {
        list.problem("at least one project");
    }
    if let Some(defaults) = context.defaults {
        check_defaults(defaults, list);
    }
    projects
}

/// Notes unknown keys of the section `defaults`, and keys that have no effect because every project has its own value.
fn check_defaults(defaults: &Section<'_>, projects: &Node<'_>) {
    let mut overridden: HashSet<&str> = KEYS.into();
    projects.list(|project| {
        overridden.retain(|key| project.has(key));
        Some(())
    });
    for key in defaults.keys() {
        if !KEYS.contains(&key) {
            defaults.unknown(key, &KEYS);
        } else if overridden.contains(key) && projects.length() != Some(0) {
            defaults.warning_of(key, "every project has its own, so this one has no effect");
        }
    }
}

/// Gives all projects the same labels; a value that is not configured is empty. Returns whether there are at most
/// [`MAX_LABELS`].
fn complete_labels(projects: &mut [Project]) -> bool {
    let names: BTreeSet<String> = projects.iter().flat_map(|project| project.labels.keys().cloned()).collect();
    let are_few = names.len() <= MAX_LABELS;
    for project in projects.iter_mut().filter(|_| are_few) {
        for name in &names {
            project.labels.entry(name.clone()).or_default();
        }
    }
    are_few
}

/// Reads a list with at least one window.
pub(super) fn windows(node: &Node<'_>) -> Listed<Window> {
    if node.length() == Some(0) {
        node.problem("at least one window");
    }
    node.set(|node| node.parse(&Window::expected(), |text| text.parse().ok()))
}

pub(super) fn texts<'a>(node: Option<Node<'a>>, read: fn(&Node<'a>) -> Option<String>) -> Listed<String> {
    node.map_or_else(|| Vec::new().into(), |node| node.set(read))
}

fn name(section: &mut Section<'_>, names: &mut HashSet<String>) -> String {
    let node = section.require("name", "a name, which becomes the label `project`");
    let name = node.as_ref().and_then(Node::text).unwrap_or_default();
    if let Some(node) = node
        && !name.is_empty()
        && !names.insert(name.clone())
    {
        node.problem("a name that no other project has");
    }
    name
}

fn region_and_endpoint(section: &mut Section<'_>) -> (String, Endpoint) {
    let region_node = section.get("region");
    let region = region_node.as_ref().and_then(|node| {
        node.parse("a region, such as cn-north-4", |text| {
            let is_allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
            (!text.is_empty() && text.bytes().all(is_allowed)).then(|| text.to_owned())
        })
    });
    let endpoint_node = section.get("endpoint");
    let given = endpoint_node.as_ref().and_then(Endpoint::of_node);
    if let (Some(node), Some(region), None) = (&region_node, &region, &endpoint_node)
        && !REGIONS.contains(&region.as_str())
    {
        node.warning(format!(
            "MetaStudio is documented in {} only; the exporter will try {}",
            REGIONS.join(", "),
            Endpoint::of_region(region)
        ));
    }
    if let (Some(node), Some(region), Some(endpoint)) = (&endpoint_node, &region, &given)
        && let Some(other) = endpoint.region().filter(|other| other != region)
    {
        node.warning(format!(
            "this is the endpoint of {other}, but the region is {region}: keys and ids of {region} are used"
        ));
    }
    if region_node.is_none() && endpoint_node.is_none() {
        section.missing("region", "expected a region such as cn-north-4, or an endpoint");
    }
    let region = region.unwrap_or_default();
    let endpoint = given.unwrap_or_else(|| Endpoint::of_region(&region));
    (region, endpoint)
}

fn project_id(section: &mut Section<'_>) -> Option<String> {
    let expected = "a text of letters, digits, - and _: the project's id in that region (console, My Credentials)";
    let node = if section.has("region") {
        section.get("project_id")?
    } else {
        section.require("project_id", &format!("{expected}, or a region to look it up in"))?
    };
    let id = node.parse(expected, |text| {
        let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        (!text.is_empty() && text.bytes().all(is_allowed)).then(|| text.to_owned())
    });
    if id.as_ref().is_some_and(|id| !is_project_id(id)) {
        node.warning(
            "a project id has 32 hexadecimal digits; use the id in the console (My Credentials), not the name",
        );
    }
    id
}

/// The name of the credentials of a project or account. It can be left out if there is at most one entry.
pub(super) fn credentials_name(
    section: &mut Section<'_>,
    credentials: Option<&BTreeMap<String, CredentialsSource>>,
) -> String {
    let node = section.get("credentials");
    let Some(credentials) = credentials else { return String::new() };
    if let Some(node) = node {
        // Names are listed only for a message. Listing them for each of thousands of projects would take most of the
        // loading time.
        let name = node.as_str().filter(|name| credentials.contains_key(*name)).map(str::to_owned);
        if name.is_none() {
            node.problem(format!("the name of one of the credentials: {}", list(credentials)));
        }
        return name.unwrap_or_default();
    }
    let mut all = credentials.keys();
    match (all.next(), all.next()) {
        (None, _) => DEFAULT_CREDENTIALS.to_owned(),
        (Some(only), None) => only.clone(),
        _ => {
            section.missing("credentials", &format!("expected one of {}", list(credentials)));
            String::new()
        }
    }
}

fn list(credentials: &BTreeMap<String, CredentialsSource>) -> String {
    if credentials.is_empty() {
        return "there are none, so add the section credentials".to_owned();
    }
    let mut names = credentials.keys().take(LISTED_NAMES).map(String::as_str).collect::<Vec<_>>().join(", ");
    if credentials.len() > LISTED_NAMES {
        names += &format!(" and {} more", credentials.len() - LISTED_NAMES);
    }
    names
}
