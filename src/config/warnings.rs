//! Warnings about parts of a configuration that do not fit together.

use std::collections::{BTreeMap, HashMap, hash_map::Entry};

use super::{
    credentials::CredentialsSource, environment::Environment, problem::Problem, profile, project::Project,
    settings::Config,
};

/// The SDK's variable for the id of the project in all its requests (contract, 7.5).
const PROJECT_ID: &str = "HUAWEICLOUD_SDK_PROJECT_ID";

/// Warns of a project id that the SDK would use for all requests. The exporter does not use it, because one id can be
/// right for one project only. Without an id, the project with the name of the region is polled.
pub(super) async fn unused_project_ids(config: &Config, environment: &Environment) -> Vec<Problem> {
    let mut unused: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for (name, source) in &config.credentials {
        let places = unused.entry(name).or_default();
        places.extend(environment.has(PROJECT_ID).then(|| PROJECT_ID.to_owned()));
        if let CredentialsSource::Profile(source) = source
            && profile::names_a_project(&source.path).await
        {
            places.push(format!("project_id in {}", source.path.display()));
        }
    }
    let mut warnings = Vec::new();
    for (index, project) in config.projects.iter().enumerate().filter(|(_, project)| project.project_id.is_none()) {
        for place in unused.get(project.credentials.as_str()).into_iter().flatten() {
            let text =
                format!("{place} is not used; without project_id, the project with the name of the region is polled");
            warnings.push(Problem::error(format!("projects[{index}].project_id"), text).into_warning());
        }
    }
    warnings
}

/// Warns of entries that ask for the same usage under two names. A sum over all projects counts it twice.
pub(super) fn same_usage(config: &Config) -> Vec<Problem> {
    let mut first: HashMap<_, usize> = HashMap::new();
    let mut warnings = Vec::new();
    for (index, project) in config.projects.iter().enumerate() {
        let mut query = project.query();
        // With `user_ids: all`, the usage is the same as without users.
        query.user_ids.get_or_insert_default();
        // Without an id, the account and the region decide which project it is.
        let looked_up = query.project_id.is_none().then_some((&project.credentials, &project.region));
        match first.entry((query, looked_up)) {
            Entry::Vacant(entry) => {
                entry.insert(index);
            }
            Entry::Occupied(entry) => {
                let other = config.projects.get(*entry.get()).map_or("", |project| &project.name);
                let text = format!("asks for the same usage as {other}, so sums over projects count it twice");
                warnings.push(Problem::error(format!("projects[{index}]"), text).into_warning());
            }
        }
    }
    warnings
}

/// Warns of projects that need more requests than the rate of their credentials and host allows: on average, or in the
/// polls that run at the same time.
pub(super) fn rates(config: &Config) -> Vec<Problem> {
    let allowed = config.requests_per_second();
    let shown = (allowed * 1e3).round() / 1e3;
    let mut groups: BTreeMap<(&str, &str), Vec<&Project>> = BTreeMap::new();
    for project in &config.projects {
        groups.entry((&project.credentials, &project.endpoint.host)).or_default().push(project);
    }
    let mut warnings = Vec::new();
    for ((credentials, host), projects) in groups {
        let rate: f64 = projects.iter().map(|project| project.requests_a_second()).sum();
        let at_a_time = projects.len().min(config.poll.concurrency);
        let queries = projects.iter().map(|project| project.queries()).max().unwrap_or_default();
        let takes = (at_a_time * queries) as f64 / allowed;
        let timeout = config.poll.timeout.as_secs_f64();
        let lists_users = projects.iter().any(|project| project.user_ids.all().is_some());
        let counted = if lists_users {
            ". For user_ids: all, this counts as many users as collectors.sub_users.series allows: lower it if there are fewer"
        } else {
            ""
        };
        if rate > allowed {
            warnings.push(format!(
                "the projects with credentials {credentials} at {host} need {rate:.1} requests a second, \
                 but api.requests_per_second allows {shown}: raise the interval, or poll fewer windows and users{counted}"
            ));
        } else if takes > timeout {
            warnings.push(format!(
                "{at_a_time} simultaneous polls with credentials {credentials} at {host} share {shown} requests a \
                 second and take {takes:.0}s, but poll.timeout is {timeout}s: lower poll.concurrency or raise the timeout{counted}"
            ));
        }
    }
    warnings.into_iter().map(|warning| Problem::error("projects", warning).into_warning()).collect()
}
