//! `check --online`: tries every endpoint and every project for real.
//!
//! An endpoint is tried without a key, then each of its projects with one page of the last day. If a key is refused, the
//! other projects that share it do not try it again. Nothing is retried.

use std::{collections::BTreeMap, sync::Arc};

use chrono::{Duration, SubsecRound, Utc};
use tokio::{sync::Semaphore, time::Instant};

use crate::{
    cloud::{Client, Connector, Error, UsageQuery, usage_api},
    commands::print,
    config::{ApiSettings, Config, CredentialsSource, Endpoint, Environment, Project},
    polling::fleet::{api, clients},
    usage::{Bounds, Counters, Reason},
};

/// Prints the result of every step, and returns whether all succeeded.
pub(super) async fn run(config: &Config, environment: &Environment) -> anyhow::Result<bool> {
    let connector = Connector::new(ApiSettings { max_retries: 0, ..api(config) }, Utc::now)?;
    let mut all_well = true;
    let width = config.projects.iter().map(|project| project.name.chars().count()).max().unwrap_or_default().max(4);
    for (name, endpoint) in services(config) {
        print(&format!("\n{name} at {endpoint}\n"))?;
        all_well &= reach(&connector, &endpoint, width).await?;
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
            all_well &= try_projects(projects, &slots, config.poll.timeout, width).await?;
        } else {
            // For example, a wrong clock makes the service refuse every signature.
            print(&format!("  -     projects not tried: {}\n", projects.len()))?;
            all_well = false;
        }
    }
    Ok(all_well)
}

/// Tries the projects of one endpoint, several at a time, prints the results in order, and returns whether all succeeded.
async fn try_projects(
    projects: Vec<(&Project, Client)>,
    slots: &Arc<Semaphore>,
    timeout: std::time::Duration,
    width: usize,
) -> anyhow::Result<bool> {
    let start = |(project, client): (_, Client)| {
        let (slots, owned) = (Arc::clone(slots), Project::clone(project));
        let attempt = tokio::spawn(async move {
            let _slot = slots.acquire().await;
            fetch_page(&client, &owned, Instant::now() + timeout).await
        });
        (project, attempt)
    };
    let attempts: Vec<_> = projects.into_iter().map(start).collect();
    let mut all_well = true;
    for (project, attempt) in attempts {
        let result = attempt.await?;
        print(&line(&project.name, width, &result))?;
        all_well &= result.is_ok();
    }
    Ok(all_well)
}

/// Prints the steps of a connection to an endpoint, and returns whether all succeeded.
async fn reach(connector: &Connector, endpoint: &Endpoint, width: usize) -> anyhow::Result<bool> {
    let steps = connector.reach(endpoint).await;
    for step in &steps {
        print(&line(step.name, width, &step.result))?;
    }
    Ok(steps.iter().all(|step| step.result.is_ok()))
}

/// The services that issue credentials or look up project ids, each once. The metadata service and the agent of a node
/// are not among them: they answer only requests for keys.
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
            _ => [project.project_id.is_none().then(|| ("IAM", iam())), None],
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
async fn fetch_page(client: &Client, project: &Project, deadline: Instant) -> Result<String, String> {
    let start = Instant::now();
    let now = Utc::now().trunc_subsecs(0);
    let mut counters = Counters::default();
    let page = async {
        let project_id = client.project_id(deadline, &mut counters).await?;
        let query = UsageQuery {
            project_id: &project_id,
            range: Bounds { start: now - Duration::days(1), end: now },
            user_id: project.user_ids.first().map(String::as_str),
            app_user_id: project.app_user_id.as_deref(),
        };
        let rows = usage_api::try_out(client, &query, deadline, &mut counters).await?;
        Ok((project_id, rows))
    };
    match page.await {
        Ok((project_id, rows)) => Ok(format!(
            "credentials {} accepted, project {project_id}, rows of the last day: {rows}, in {:.2?}",
            project.credentials,
            start.elapsed()
        )),
        Err(error) => Err(format!("{}: {error}", step(&error))),
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
