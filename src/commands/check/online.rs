//! `check --online`: tests every endpoint, project and account against the cloud.
//!
//! Each endpoint is tested without a key first. Then each of its projects is polled once, with all windows and with all
//! requests that prove its answers. If a key is refused, the other projects that share it do not try it again. No
//! request is retried.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use chrono::Utc;
use tokio::{sync::Semaphore, time::Instant};

use crate::{
    cloud::{Call, Client, Connector, project_api, service_configs_api, with_causes},
    commands::print,
    config::{Account, ApiSettings, Config, CredentialsSource, Endpoint, Environment, Project, Users},
    polling::{
        self, Collecting, PackageOwners, Poller,
        fleet::{account_clients, api, clients},
    },
    snapshot::{Found, Moment, PollOutcome},
    usage::{Collector, CollectorDoubts, Counters, Operation, Reason, requests_a_day},
};

/// Projects with their clients.
type Projects<'a> = Vec<(&'a Project, Client)>;

/// The projects and accounts that get answers from the service, with their clients. The answers of a project may be
/// contradictory or unreadable.
#[derive(Default)]
pub(super) struct Answered<'a> {
    pub projects: Projects<'a>,
    pub accounts: Vec<(&'a Account, Client)>,
}

/// Prints the result of every step. Returns whether all steps succeeded, and the projects and accounts that get
/// answers.
pub(super) async fn run<'a>(config: &'a Config, environment: &Environment) -> anyhow::Result<(bool, Answered<'a>)> {
    let connector = Connector::new(ApiSettings { max_retries: 0, ..api(config) }, Utc::now, Arc::default())?;
    let (mut passed, mut answered) = (true, Answered::default());
    let names = config.projects.iter().map(|project| &project.name);
    let names = names.chain(config.accounts.iter().map(|account| &account.name));
    let width = names.map(|name| name.chars().count()).max().unwrap_or_default().max(4);
    for (name, endpoint) in services(config) {
        print(&format!("\n{name} at {endpoint}\n"))?;
        passed &= reach(&connector, &endpoint, width).await?;
    }
    let mut by_endpoint: BTreeMap<String, Projects<'a>> = BTreeMap::new();
    for (project, client) in clients(&connector, config, environment)? {
        by_endpoint.entry(project.endpoint.to_string()).or_default().push((project, client));
    }
    let slots = Arc::new(Semaphore::new(config.poll.concurrency));
    let owners = Arc::default();
    for (endpoint, projects) in by_endpoint {
        print(&format!("\n{endpoint}\n"))?;
        let Some((first, _)) = projects.first() else { continue };
        if reach(&connector, &first.endpoint, width).await? {
            passed &= test_projects(projects, config, &slots, &owners, width, &mut answered.projects).await?;
        } else {
            // No key is tried: for example, with a wrong clock the service would refuse every signature.
            print(&format!("  -     projects not tried: {}\n", projects.len()))?;
            passed = false;
        }
    }
    for (account, client) in account_clients(&connector, config, environment)? {
        print(&format!("\n{}\n", account.endpoint))?;
        if reach(&connector, &account.endpoint, width).await? {
            let succeeded = test_account(account, client.clone(), config, width).await?;
            passed &= succeeded;
            answered.accounts.extend(succeeded.then_some((account, client)));
        } else {
            print(&line(&account.name, width, &Err("account not tried".to_owned())))?;
            passed = false;
        }
    }
    Ok((passed, answered))
}

/// Asks for the packages of an account once. Prints what was found and what it costs, and returns whether it succeeded.
async fn test_account(account: &Account, client: Client, config: &Config, width: usize) -> anyhow::Result<bool> {
    let collecting = Arc::new(Collecting::of_account(client, account, config));
    let interval = collecting.interval();
    let outcome = collecting.run(Moment::now()).await;
    let a_day = a_day(Collector::Billing, &outcome.counters, interval);
    let result = match outcome.result {
        Ok(found) => Ok(format!(
            "credentials {} accepted, account, billing: {}, requests a day {a_day:.0}",
            account.credentials,
            shown(&found)
        )),
        Err(failure) => Err(format!("account, billing: {}", failure.message)),
    };
    print(&line(&account.name, width, &result))?;
    print_doubts(&account.name, width, &outcome.doubts)?;
    Ok(result.is_ok())
}

/// Tests the projects of one endpoint, several at a time. Prints the results in order, and returns whether all
/// succeeded.
async fn test_projects<'a>(
    projects: Projects<'a>,
    config: &Config,
    slots: &Arc<Semaphore>,
    owners: &Arc<PackageOwners>,
    width: usize,
    answered: &mut Projects<'a>,
) -> anyhow::Result<bool> {
    let start = |(project, client): (_, Client)| {
        let slots = Arc::clone(slots);
        let poller = Poller::new(client.clone(), project, config, None, owners);
        let test = tokio::spawn(async move {
            let _slot = slots.acquire().await;
            poller.poll(Utc::now()).await
        });
        (project, client, test)
    };
    let tests: Vec<_> = projects.into_iter().map(start).collect();
    let mut passed = true;
    for (project, client, test) in tests {
        let outcome = test.await?;
        let result = summary(project, &outcome);
        print(&line(&project.name, width, &result))?;
        for (doubt, seen) in &outcome.doubts {
            print(&format!("  doubt {:width$}  {doubt}: {seen}: {}\n", project.name, doubt.advice()))?;
        }
        passed &= result.is_ok();
        if outcome.result.is_ok() {
            passed &= test_collectors(&client, project, config, owners, width).await?;
            if let Some(text) = sub_users(&client, project, config).await {
                print(&format!("  -     {:width$}  {text}\n", project.name))?;
            }
            let isolation = isolation(&client, project, config).await;
            print(&format!("  -     {:width$}  {isolation}\n", project.name))?;
        }
        answered.extend(is_answered(&outcome).then_some((project, client)));
    }
    Ok(passed)
}

/// Runs each collector once. Prints what it found and costs, and returns whether all wanted collectors succeeded.
async fn test_collectors(
    client: &Client,
    project: &Project,
    config: &Config,
    owners: &Arc<PackageOwners>,
    width: usize,
) -> anyhow::Result<bool> {
    let mut passed = true;
    for collector in Collector::CONFIGURABLE {
        let collecting = Arc::new(Collecting::new(client.clone(), project, config, collector, None, owners));
        let interval = collecting.interval();
        let outcome = collecting.run(Moment::now()).await;
        let a_day = a_day(collector, &outcome.counters, interval);
        // With `all`, a collector that the service refuses is not wanted.
        let is_wanted = project.collect.contains_key(&collector) && !(project.collects_all && outcome.is_refused);
        let result = match outcome.result {
            Ok(found) => Ok(format!("{collector}: {}, requests a day {a_day:.0}", shown(&found))),
            Err(failure) => Err(format!("{collector}: {}", failure.message)),
        };
        passed &= result.is_ok() || !is_wanted;
        print(&if is_wanted {
            line(&project.name, width, &result)
        } else {
            let text = result.unwrap_or_else(|text| text);
            let why = if project.collects_all { "not available" } else { "not in collect" };
            format!("  -     {:width$}  {why}: {text}\n", project.name)
        })?;
        print_doubts(&project.name, width, &outcome.doubts)?;
    }
    Ok(passed)
}

/// The requests a day of a collector, computed from the requests of its first run. Its daily operations run once a day,
/// and its other operations in each run. Ids are looked up only once, so they do not count.
fn a_day(collector: Collector, first_run: &Counters, interval: Duration) -> f64 {
    let (mut in_each_run, mut once) = (0, 0);
    for (operation, counters) in first_run.apis() {
        let requests: u64 = counters.by_status.values().sum();
        match operation {
            Operation::ListProjects | Operation::KeystoneListAuthDomains => {}
            daily if collector.daily_operations().contains(&daily) => once += requests,
            _ => in_each_run += requests,
        }
    }
    requests_a_day(in_each_run as f64, once as f64, interval)
}

fn print_doubts(name: &str, width: usize, doubts: &CollectorDoubts) -> anyhow::Result<()> {
    doubts
        .iter()
        .try_for_each(|(doubt, seen)| print(&format!("  doubt {name:width$}  {doubt}: {seen}: {}\n", doubt.advice())))
}

/// With `user_ids: all`: the number of sub-users, and the queries that they cost.
async fn sub_users(client: &Client, project: &Project, config: &Config) -> Option<String> {
    let settings = project.user_ids.all()?;
    let deadline = Instant::now() + config.poll.timeout;
    let mut call = Call { client, deadline, counters: &mut Counters::default() };
    let ask = async {
        let project_id = project_api::project_id(&mut call).await?;
        polling::sub_users::ids(&project_id, &mut call).await
    };
    Some(match ask.await {
        Ok(ids) => {
            let with_series = ids.len().min(settings.series);
            let queries = project.windows.len() * Users::queries_of(with_series);
            let a_day = requests_a_day(queries as f64, 0.0, project.interval);
            format!(
                "user_ids: all: sub-users {}, with series of their own {with_series}, requests a day {a_day:.0}: {} windows x {} \
                 queries every {}",
                ids.len(),
                project.windows.len(),
                Users::queries_of(with_series),
                humantime::format_duration(project.interval),
            )
        }
        Err(error) => format!("user_ids: all: the sub-users could not be listed: {}", with_causes(&error)),
    })
}

/// Whether sub-account isolation is on, and what this key therefore sees.
async fn isolation(client: &Client, project: &Project, config: &Config) -> String {
    let deadline = Instant::now() + config.poll.timeout;
    let mut call = Call { client, deadline, counters: &mut Counters::default() };
    let ask = async {
        let project_id = project_api::project_id(&mut call).await?;
        service_configs_api::isolation(&project_id, &mut call).await
    };
    match ask.await {
        Ok(Some(true)) => {
            let unused = if project.app_user_id.is_some() { ", and app_user_id has no effect" } else { "" };
            format!("sub-account isolation is on: with the key of an IAM user, you see its own usage only{unused}")
        }
        Ok(Some(false)) => {
            let unused = if project.user_ids == Users::default() { "" } else { ", and user_ids have no effect" };
            format!("sub-account isolation is off: this key sees the usage of all users{unused}")
        }
        Ok(None) => "sub-account isolation: the service does not say whether it is on".to_owned(),
        Err(error) => format!("sub-account isolation is not known: {}", error.report()),
    }
}

/// A short text about the findings of a collector, usually their number.
fn shown(found: &Found) -> String {
    match found {
        Found::Packages(packages) => packages.list.len().to_string(),
        Found::SubUsers(users) => users.list.len().to_string(),
        Found::Sessions(sessions) => {
            let [live, videos] = [sessions.live.values().sum::<u64>(), sessions.videos.values().sum()];
            format!("{live} live, {videos} videos that wait, are in production or failed")
        }
        Found::Reconciliation(comparisons) => {
            let texts: Vec<String> = comparisons
                .iter()
                .map(|comparison| format!("{} {}", comparison.against, comparison.business_type))
                .collect();
            format!(
                "usage is compared with {}",
                if texts.is_empty() { "nothing yet".to_owned() } else { texts.join(", ") }
            )
        }
        Found::Days(kept) => format!("{} revisions", kept.settling.revisions),
    }
}

/// Prints the steps of a connection to an endpoint, and returns whether all succeeded.
async fn reach(connector: &Connector, endpoint: &Endpoint, width: usize) -> anyhow::Result<bool> {
    let steps = connector.reach(endpoint).await;
    for step in &steps {
        print(&line(step.name, width, &step.result))?;
    }
    Ok(steps.iter().all(|step| step.result.is_ok()))
}

/// The services that issue credentials or look up the ids of projects and accounts, each once. The metadata service and
/// the node agent are left out, because they answer only requests for keys.
fn services(config: &Config) -> Vec<(&'static str, Endpoint)> {
    let needed = |credentials: &str, region: &str, has_id: bool, iam| {
        let issuer = issuer(config, credentials, region);
        let looks_up = !has_id && !matches!(issuer, Some(("IAM", _)));
        [issuer, looks_up.then_some(("IAM", iam))]
    };
    let of_projects = config.projects.iter().map(|project| {
        let Project { credentials, region, project_id, .. } = project;
        needed(credentials, region, project_id.is_some(), config.api.iam(region))
    });
    let of_accounts = config.accounts.iter().map(|account| {
        let iam = account.iam_endpoint(&config.api);
        needed(&account.credentials, config.region_of(account), account.domain_id.is_some(), iam)
    });
    let mut services: Vec<(&str, Endpoint)> = Vec::new();
    for service in of_projects.chain(of_accounts).flatten().flatten() {
        if !services.contains(&service) {
            services.push(service);
        }
    }
    services
}

/// The service that issues these credentials for a region. A token of IAM comes with the id of its project or account.
fn issuer(config: &Config, credentials: &str, region: &str) -> Option<(&'static str, Endpoint)> {
    match config.credentials.get(credentials)? {
        CredentialsSource::IamUser(user) => {
            Some(("IAM", user.endpoint.clone().unwrap_or_else(|| config.api.iam(region))))
        }
        CredentialsSource::Oidc(oidc) => {
            Some(("STS", oidc.endpoint.clone().unwrap_or_else(|| Endpoint::of_sts(region))))
        }
        CredentialsSource::Keys(_)
        | CredentialsSource::Token(_)
        | CredentialsSource::EcsAgency(_)
        | CredentialsSource::PodIdentity(_)
        | CredentialsSource::Profile(_) => None,
    }
}

/// Whether the service accepts the key and answers, even if the answers cannot be believed.
fn is_answered(outcome: &PollOutcome) -> bool {
    let answers = [Reason::BadRequest, Reason::Malformed, Reason::Inconsistent];
    outcome.result.as_ref().err().is_none_or(|failure| answers.contains(&failure.reason))
}

/// The text for a line of the output, about one poll of a project.
fn summary(project: &Project, outcome: &PollOutcome) -> Result<String, String> {
    match &outcome.result {
        Ok(_) => {
            let rows = outcome.counters.rows;
            Ok(format!(
                "credentials {} accepted, project {}, rows {}, kept {}, in {:.2?}",
                project.credentials,
                outcome.project_id.as_deref().unwrap_or_default(),
                rows.all(),
                rows.kept,
                outcome.duration
            ))
        }
        Err(failure) => Err(match failure.reason {
            Reason::Auth => format!("credentials: {}", failure.message),
            Reason::Forbidden => format!("permission: {}", failure.message),
            _ => failure.message.clone(),
        }),
    }
}

fn line(name: &str, width: usize, result: &Result<String, String>) -> String {
    match result {
        Ok(text) => format!("  ok    {name:width$}  {text}\n"),
        Err(text) => format!("  FAIL  {name:width$}  {text}\n"),
    }
}
