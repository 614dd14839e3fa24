//! `check --online`: tests every endpoint and every project against the cloud.
//!
//! Each endpoint is tested without a key first. Then each of its projects requests one page of the last day. If a key
//! is refused, the other projects that share it do not try it again. No request is retried.

use std::{collections::BTreeMap, sync::Arc};

use chrono::{Duration, SubsecRound, Utc};
use tokio::{sync::Semaphore, time::Instant};

use crate::{
    cloud::{
        Client, Connector, Error, UsageQuery, project_api,
        usage_api::{self, PageRequest},
    },
    commands::print,
    config::{ApiSettings, Config, CredentialsSource, Endpoint, Environment, Project},
    polling::fleet::{api, clients},
    usage::{Bounds, Counters, Reason},
};

/// Prints the result of every step, and returns whether all succeeded.
pub(super) async fn run(config: &Config, environment: &Environment) -> anyhow::Result<bool> {
    let connector = Connector::new(ApiSettings { max_retries: 0, ..api(config) }, Utc::now)?;
    let mut passed = true;
    let width = config.projects.iter().map(|project| project.name.chars().count()).max().unwrap_or_default().max(4);
    for (name, endpoint) in services(config) {
        print(&format!("\n{name} at {endpoint}\n"))?;
        passed &= reach(&connector, &endpoint, width).await?;
    }
    let mut by_endpoint: BTreeMap<String, Vec<(&Project, Client)>> = BTreeMap::new();
    for (project, client) in clients(&connector, config, environment)? {
        by_endpoint.entry(project.endpoint.to_string()).or_default().push((project, client));
    }
    let slots = Arc::new(Semaphore::new(config.poll.concurrency));
    for (endpoint, projects) in by_endpoint {
        print(&format!("\n{endpoint}\n"))?;
        let Some((first, _)) = projects.first() else { continue };
        if reach(&connector, &first.endpoint, width).await? {
            passed &= test_projects(projects, config, &slots, width).await?;
        } else {
            // No key is tried: for example, with a wrong clock the service would refuse every signature.
            print(&format!("  -     projects not tried: {}\n", projects.len()))?;
            passed = false;
        }
    }
    Ok(passed)
}

/// Tests the projects of one endpoint, several at a time. Prints the results in order, and returns whether all
/// succeeded.
async fn test_projects(
    projects: Vec<(&Project, Client)>,
    config: &Config,
    slots: &Arc<Semaphore>,
    width: usize,
) -> anyhow::Result<bool> {
    let (page_size, timeout) = (config.api.page_size, config.poll.timeout);
    let start = |(project, client): (_, Client)| {
        let (slots, owned) = (Arc::clone(slots), Project::clone(project));
        let test = tokio::spawn(async move {
            let _slot = slots.acquire().await;
            fetch_page(&client, &owned, page_size, Instant::now() + timeout).await
        });
        (project, test)
    };
    let tests: Vec<_> = projects.into_iter().map(start).collect();
    let mut passed = true;
    for (project, test) in tests {
        let result = test.await?;
        print(&line(&project.name, width, &result))?;
        passed &= result.is_ok();
    }
    Ok(passed)
}

/// Prints the steps of a connection to an endpoint, and returns whether all succeeded.
async fn reach(connector: &Connector, endpoint: &Endpoint, width: usize) -> anyhow::Result<bool> {
    let steps = connector.reach(endpoint).await;
    for step in &steps {
        print(&line(step.name, width, &step.result))?;
    }
    Ok(steps.iter().all(|step| step.result.is_ok()))
}

/// The services that issue credentials or look up project ids, each once. The metadata service and the node agent
/// are left out, because they answer only requests for keys.
fn services(config: &Config) -> Vec<(&'static str, Endpoint)> {
    let mut services: Vec<(&str, Endpoint)> = Vec::new();
    for project in &config.projects {
        let iam = || config.api.iam(&project.region);
        let needed = match config.credentials.get(&project.credentials) {
            Some(CredentialsSource::IamUser(user)) => [Some(("IAM", user.endpoint.clone().unwrap_or_else(iam))), None],
            Some(CredentialsSource::Oidc(oidc)) => {
                let sts = oidc.endpoint.clone().unwrap_or_else(|| Endpoint::of_sts(&project.region));
                [Some(("STS", sts)), project.project_id.is_none().then(|| ("IAM", iam()))]
            }
            Some(
                CredentialsSource::Keys(_)
                | CredentialsSource::Token(_)
                | CredentialsSource::EcsAgency(_)
                | CredentialsSource::PodIdentity(_)
                | CredentialsSource::Profile(_),
            )
            | None => [project.project_id.is_none().then(|| ("IAM", iam())), None],
        };
        for service in needed.into_iter().flatten() {
            if !services.contains(&service) {
                services.push(service);
            }
        }
    }
    services
}

/// Requests one page. Returns the text for a line of the output.
async fn fetch_page(client: &Client, project: &Project, page_size: usize, deadline: Instant) -> Result<String, String> {
    let start = Instant::now();
    let now = Utc::now().trunc_subsecs(0);
    let mut counters = Counters::default();
    let page = async {
        let project_id = project_api::project_id(client, deadline, &mut counters).await?;
        let query = UsageQuery {
            project_id: &project_id,
            range: Bounds { start: now - Duration::days(1), end: now },
            user_id: project.user_ids.first().map(String::as_str),
            app_user_id: project.app_user_id.as_deref(),
            page_size,
        };
        let first = PageRequest { limit: page_size, offset: 0 };
        let page = usage_api::fetch_page(client, &query, first, deadline, &mut counters).await?;
        Ok((project_id, page.buckets.iter().map(|bucket| bucket.rows.len()).sum::<usize>()))
    };
    match page.await {
        Ok((project_id, rows)) => Ok(format!(
            "credentials {} accepted, project {project_id}, rows of the last day: {rows}, in {:.2?}",
            project.credentials,
            start.elapsed()
        )),
        Err(error) => Err(format!("{}: {}", step(&error), error.report())),
    }
}

/// The name of the step that failed.
fn step(error: &Error) -> &'static str {
    match error {
        Error::NoProject(_) => "project id",
        Error::Unavailable { .. } => "credentials",
        error => match error.reason() {
            Reason::Auth => "credentials",
            Reason::Forbidden => "permission",
            _ => "one page",
        },
    }
}

fn line(name: &str, width: usize, result: &Result<String, String>) -> String {
    match result {
        Ok(text) => format!("  ok    {name:width$}  {text}\n"),
        Err(text) => format!("  FAIL  {name:width$}  {text}\n"),
    }
}
