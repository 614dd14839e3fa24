//! The sections of the file: what each key may be, and what goes together.

use std::{collections::BTreeMap, ops::RangeInclusive, path::Path, time::Duration};

use reqwest::Url;

use super::{
    Api, Config, CredentialsSource, DEFAULT_CREDENTIALS, Environment, Poll, Project, credentials,
    endpoint::{Endpoint, REGIONS},
    read::{Node, Section},
};
use crate::usage::{Budget, Window, Zone};

pub(super) const SECOND: Duration = Duration::from_secs(1);
pub(super) const MINUTE: Duration = Duration::from_secs(60);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// From a second to more than anybody has used: what lies beyond is a slip of the pen.
const MINUTES_OF_A_BUDGET: RangeInclusive<f64> = 0.01..=1e12;

/// Labels that the usage series have already, or that Prometheus keeps for itself.
const RESERVED_LABELS: [&str; 7] = ["project", "window", "resource_type", "business_type", "user_id", "unit", "le"];

/// Reads the whole document; what is wrong is noted, and defaults stand in its place.
///
/// Without a section `credentials` there are none in the result: where they come from then is for the caller to find.
pub(super) fn root(mut section: Section<'_>, directory: &Path, environment: &Environment) -> Config {
    let poll = poll(section.section("poll"));
    let windows = section
        .get("windows")
        .map_or_else(|| vec![Window::Today, Window::Yesterday, Window::ThisMonth], |node| windows(&node));
    let timezone = section.get("timezone").and_then(|node| node.parse(Zone::EXPECTED, |text| text.parse().ok()));
    let api = api(section.section("api"), directory);
    let credentials: BTreeMap<String, CredentialsSource> = section
        .get("credentials")
        .map(Node::hide)
        .iter()
        .flat_map(Node::entries)
        .map(|(name, node)| (name.to_owned(), credentials::source(node.section(), directory, environment)))
        .collect();
    let mut config = Config {
        poll,
        windows,
        timezone: timezone.unwrap_or_else(Zone::shanghai),
        api,
        credentials,
        projects: Vec::new(),
        shards: 1,
    };
    let nodes = section.require("projects", "a list of the projects to poll");
    if let Some(nodes) = nodes {
        let mut names = Vec::new();
        config.projects = nodes.list(|node| project(&node, &config, &mut names));
        if config.projects.is_empty() {
            nodes.problem("at least one project");
        }
    }
    section.finish();
    config
}

fn poll(mut section: Section<'_>) -> Poll {
    let default = Poll::default();
    let mut duration = |key, range| section.get(key).and_then(|node| node.duration(range));
    let interval = duration("interval", MINUTE..=DAY).unwrap_or(default.interval);
    let timeout = duration("timeout", SECOND..=DAY).unwrap_or(default.timeout);
    let stale_after = duration("stale_after", MINUTE..=30 * DAY);
    let concurrency = section.get("concurrency").and_then(|node| node.integer(1..=1024));
    check_times(&section, interval, timeout, stale_after);
    section.finish();
    Poll { interval, timeout, concurrency: concurrency.unwrap_or(default.concurrency), stale_after }
}

/// Whether the times of a section go together.
fn check_times(section: &Section<'_>, interval: Duration, timeout: Duration, stale_after: Option<Duration>) {
    let show = humantime::format_duration;
    if timeout > interval {
        let (timeout, interval) = (show(timeout), show(interval));
        section.problem(format!("the timeout ({timeout}) must not be longer than the interval ({interval})"));
    }
    // The second poll comes up to one and a half intervals after the first.
    if let Some(stale_after) = stale_after.filter(|stale_after| *stale_after < 2 * interval) {
        let (stale_after, interval) = (show(stale_after), show(interval));
        section.problem(format!(
            "stale_after ({stale_after}) must be at least twice the interval ({interval}), or usage vanishes between \
             two polls"
        ));
    }
}

fn windows(node: &Node<'_>) -> Vec<Window> {
    let windows = node.set(|node| node.parse(Window::EXPECTED, |text| text.parse().ok()));
    if windows.is_empty() {
        node.problem("at least one window");
    }
    windows
}

fn api(mut section: Section<'_>, directory: &Path) -> Api {
    let default = Api::default();
    let api = Api {
        request_timeout: section
            .get("request_timeout")
            .and_then(|node| node.duration(SECOND..=5 * MINUTE))
            .unwrap_or(default.request_timeout),
        max_retries: section.get("max_retries").and_then(|node| node.integer(0..=10)).unwrap_or(default.max_retries),
        requests_per_second: section
            .get("requests_per_second")
            .and_then(|node| node.number(0.01..=1000.0))
            .unwrap_or(default.requests_per_second),
        page_size: section.get("page_size").and_then(|node| node.integer(1..=1000)).unwrap_or(default.page_size),
        iam_endpoint: section.get("iam_endpoint").and_then(|node| endpoint(&node)),
        ca_file: section.get("ca_file").and_then(|node| node.text()).map(|path| directory.join(path)),
        ca: Vec::new(),
        proxy: section.get("proxy").and_then(|node| {
            let expected = "the URL of an HTTP proxy, such as http://proxy.example:3128";
            node.hide().parse(expected, |text| {
                let is_proxy = |url: Url| matches!(url.scheme(), "http" | "https") && url.has_host();
                Url::parse(text).is_ok_and(is_proxy).then(|| text.into())
            })
        }),
    };
    section.finish();
    api
}

/// Reads a project; what is wrong in it is noted and replaced, so that the checks across projects still run.
fn project(node: &Node<'_>, config: &Config, names: &mut Vec<String>) -> Option<Project> {
    if !node.is_mapping() {
        node.problem("a mapping with name and region");
        return None;
    }
    let mut section = node.section();
    let name_node = section.require("name", "a name, which becomes the label `project`");
    let name = name_node.as_ref().and_then(Node::text).unwrap_or_default();
    if let Some(node) = name_node
        && !name.is_empty()
    {
        if names.contains(&name) {
            node.problem("a name that no other project has");
        }
        names.push(name.clone());
    }

    let (region, endpoint) = region_and_endpoint(&mut section);
    let project_id = project_id(&mut section);
    let credentials = credentials_name(&mut section, config);

    let interval = section.get("interval").and_then(|node| node.duration(MINUTE..=DAY));
    let interval = interval.unwrap_or(config.poll.interval);
    if interval != config.poll.interval {
        check_times(&section, interval, config.poll.timeout, config.poll.stale_after);
    }
    let stale_after = config.poll.stale_after.unwrap_or(3 * interval);
    let texts = |node: Option<Node<'_>>| node.map_or_else(Vec::new, |node| node.set(Node::text));
    let mut project = Project {
        name,
        region,
        endpoint,
        project_id,
        credentials,
        labels: labels(section.get("labels")),
        user_ids: texts(section.get("user_ids")),
        app_user_id: section.get("app_user_id").and_then(|node| {
            node.parse("a text of ASCII characters (the API allows no Chinese ones)", |text| {
                (!text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic())).then(|| text.to_owned())
            })
        }),
        resource_types: texts(section.get("resource_types")),
        business_types: texts(section.get("business_types")),
        interval,
        stale_after,
        windows: section.get("windows").map_or_else(|| config.windows.clone(), |node| windows(&node)),
        budgets: Vec::new(),
    };
    project.budgets = section.get("budgets").map_or_else(Vec::new, |node| budgets(&node, &project));
    section.finish();
    Some(project)
}

/// Reads the budgets of a project. One that nothing could ever be counted against is a problem: nobody would be warned.
fn budgets(node: &Node<'_>, project: &Project) -> Vec<Budget> {
    let mut budgets: Vec<Budget> = Vec::new();
    node.list(|node| {
        let mut section = node.section();
        let polled: Vec<String> = project.windows.iter().map(Window::to_string).collect();
        let expected = format!("one of the windows of this project: {}", polled.join(", "));
        let window = section.require("window", &expected).and_then(|node| {
            node.parse(&expected, |text| text.parse().ok().filter(|window| project.windows.contains(window)))
        });
        let minutes = section
            .require("minutes", "how many minutes may be used")
            .and_then(|node| node.number(MINUTES_OF_A_BUDGET));
        let mut selector = |key, kept: &[String]| {
            section.get(key).and_then(|node| {
                let expected = format!("one that this project keeps: {}", kept.join(", "));
                let text = node.text()?;
                if !kept.is_empty() && !kept.contains(&text) {
                    node.problem(expected);
                }
                Some(text)
            })
        };
        let resource_type = selector("resource_type", &project.resource_types);
        let business_type = selector("business_type", &project.business_types);
        let user_node = section.get("user_id");
        let user_id = user_node.as_ref().and_then(Node::text);
        if let (Some(node), Some(user)) = (&user_node, &user_id)
            && !project.user_ids.contains(user)
        {
            node.problem("one of the user_ids of this project, which are asked for one by one");
        }
        section.finish();
        let budget = Budget { window: window?, minutes: minutes?, resource_type, business_type, user_id };
        if budgets.iter().any(|other| other.is_for_the_same(&budget)) {
            node.problem("one budget for the same usage");
        }
        budgets.push(budget);
        Some(())
    });
    budgets
}

fn region_and_endpoint(section: &mut Section<'_>) -> (String, Endpoint) {
    let region_node = section.get("region");
    let region = region_node.as_ref().and_then(|node| {
        node.parse("a region, such as cn-north-4", |text| {
            let is_region = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
            (!text.is_empty() && text.bytes().all(is_region)).then(|| text.to_owned())
        })
    });
    let endpoint_node = section.get("endpoint");
    let given = endpoint_node.as_ref().and_then(endpoint);
    if let (Some(node), Some(region), None) = (&region_node, &region, &endpoint_node)
        && !REGIONS.contains(&region.as_str())
    {
        node.warning(format!(
            "MetaStudio is documented in {} only; will try {}",
            REGIONS.join(", "),
            Endpoint::of_region(region)
        ));
    }
    if region_node.is_none() && endpoint_node.is_none() {
        section.problem("region is missing; expected a region such as cn-north-4, or an endpoint");
    }
    let region = region.unwrap_or_default();
    let endpoint = given.unwrap_or_else(|| Endpoint::of_region(&region));
    (region, endpoint)
}

/// Reads an endpoint. A URL with a user in it may hold a password.
pub(super) fn endpoint(node: &Node<'_>) -> Option<Endpoint> {
    let node = if node.contains('@') { node.clone().hide() } else { node.clone() };
    node.parse(Endpoint::EXPECTED, Endpoint::parse)
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
    if id.as_ref().is_some_and(|id| id.len() != 32 || !id.bytes().all(|byte| byte.is_ascii_hexdigit())) {
        node.warning("project ids are 32 hexadecimal digits; the project's name is not its id");
    }
    id
}

fn credentials_name(section: &mut Section<'_>, config: &Config) -> String {
    let names = || match config.credentials.keys().map(String::as_str).collect::<Vec<_>>().join(", ") {
        names if names.is_empty() => "none, for there is no section credentials".to_owned(),
        names => names,
    };
    if let Some(node) = section.get("credentials") {
        let expected = format!("the name of one of the credentials: {}", names());
        let name = node.parse(&expected, |text| config.credentials.contains_key(text).then(|| text.to_owned()));
        return name.unwrap_or_default();
    }
    let mut all = config.credentials.keys();
    match (all.next(), all.next()) {
        (None, _) => DEFAULT_CREDENTIALS.to_owned(),
        (Some(only), None) => only.clone(),
        _ => {
            section.problem(format!("credentials is missing; expected one of {}", names()));
            String::new()
        }
    }
}

fn labels(node: Option<Node<'_>>) -> BTreeMap<String, String> {
    let mut labels = BTreeMap::new();
    for (name, node) in node.iter().flat_map(Node::entries) {
        let is_name = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
            && !name.starts_with(|first: char| first.is_ascii_digit())
            && !name.starts_with("__")
            && !name.is_empty();
        if !is_name || RESERVED_LABELS.contains(&name) {
            node.problem(format!(
                "a label name of letters, digits and _ that does not begin with __ or a digit, other than {}",
                RESERVED_LABELS.join(", ")
            ));
        }
        let value = node.parse("a text", |text| Some(text.to_owned()));
        labels.insert(name.to_owned(), value.unwrap_or_default());
    }
    labels
}
