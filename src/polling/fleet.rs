//! The pollers of a configuration, and the change to a new configuration.
//!
//! ```
//! use std::path::Path;
//!
//! use chrono::Utc;
//! use metastudio_exporter::{
//!     config::{Environment, load_text},
//!     polling::Fleet,
//! };
//!
//! # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
//! let text = "
//! credentials: {main: {access_key: AK, secret_key: SK}}
//! projects: [{name: studio, region: cn-north-4, project_id: 0123456789abcdef0123456789abcdef}]
//! ";
//! let environment = Environment::default();
//! let loaded = load_text(text.to_owned(), Path::new("config.yaml"), &environment).await;
//! let fleet = Fleet::new(loaded.config.ok_or("not valid")?, &environment, Utc::now)?;
//! assert_eq!(fleet.pollers()[0].project().name, "studio");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # }).unwrap();
//! # Ok::<(), std::io::Error>(())
//! ```

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use thiserror::Error;

use super::{
    change::{Change, query_text},
    collecting::{Collecting, PackageOwners},
    poller::Poller,
    schedule::{Plan, Planned, PlannedAccount},
};
use crate::{
    cloud::{Client, Connector, Credentials, Lockout, SetupError},
    config::{Account, ApiSettings, Config, CredentialsSource, Environment, Project},
    history::ledger::Ledger,
    snapshot::Target,
    usage::{Clock, Collector},
};

/// State that the exporter keeps over restarts.
#[derive(Clone, Debug, Default)]
pub struct Kept {
    /// The state of the keys.
    pub lockout: Arc<Lockout>,
    /// The ledger of days that have ended. Without it, the collector of days does not run.
    pub ledger: Option<Ledger>,
}

/// The pollers of one configuration, and everything that they share.
#[derive(Debug)]
pub struct Fleet {
    config: Config,
    clock: Clock,
    connector: Arc<Connector>,
    ledger: Option<Ledger>,
    owners: Arc<PackageOwners>,
    credentials: BTreeMap<String, Arc<Credentials>>,
    /// In the order of the configuration.
    pollers: Vec<Arc<Poller>>,
    /// The collectors of the accounts, in the order of the configuration.
    accounts: Vec<Arc<Collecting>>,
}

/// A fleet that cannot be built.
#[derive(Debug, Error)]
pub enum FleetError {
    /// The connections to the cloud cannot be set up.
    #[error(transparent)]
    Setup(#[from] SetupError),
    /// A project or account names credentials that do not exist. Validation reports this earlier.
    #[error("{owner}: there are no credentials {credentials}")]
    NoCredentials {
        /// The name of the project or account.
        owner: String,
        /// The name of the missing credentials.
        credentials: String,
    },
}

/// Numbers of projects, by the effect that a new configuration has on them.
#[derive(Clone, Copy, Debug, Default)]
pub struct Changes {
    /// New projects.
    pub added: usize,
    /// Removed projects.
    pub removed: usize,
    /// Projects with a new poller.
    pub changed: usize,
    /// Projects that keep their poller.
    pub unchanged: usize,
}

impl Fleet {
    /// Builds the pollers of a configuration.
    ///
    /// # Errors
    /// [`FleetError`], if the CA file or the proxy cannot be used.
    pub fn new(config: Config, environment: &Environment, clock: Clock) -> Result<Self, FleetError> {
        Self::with_kept(config, environment, clock, Kept::default())
    }

    /// Like [`Fleet::new`], with the state that was kept over the restart.
    ///
    /// # Errors
    /// As [`Fleet::new`].
    pub fn with_kept(
        config: Config,
        environment: &Environment,
        clock: Clock,
        Kept { lockout, ledger }: Kept,
    ) -> Result<Self, FleetError> {
        let connector = Arc::new(Connector::new(api(&config), clock, lockout)?);
        let credentials = new_credentials(&connector, &config, environment);
        let owners = Arc::default();
        let build = |project| poller(&connector, &credentials, &config, project, ledger.as_ref(), &owners);
        let pollers = config.projects.iter().map(build).collect::<Result<_, _>>()?;
        let build = |account| account_collecting(&connector, &credentials, &config, account);
        let accounts = config.accounts.iter().map(build).collect::<Result<_, _>>()?;
        Ok(Fleet { config, clock, connector, ledger, owners, credentials, pollers, accounts })
    }

    /// The fleet, plan and changes of a new configuration. Unchanged projects keep their poller. This fleet does not
    /// change, so an error has no effect.
    ///
    /// # Errors
    /// As [`Fleet::new`].
    pub fn renewed(
        &self,
        config: Config,
        environment: &Environment,
    ) -> Result<(Self, Plan<Poller>, Changes), FleetError> {
        let renewed = self.connector.renewed(&api(&config))?.map(Arc::new);
        let keeps_connections = renewed.is_none();
        let connector = renewed.unwrap_or_else(|| Arc::clone(&self.connector));
        let credentials = credentials(&config, |name, source| {
            let is_same = self.config.credentials.get(name) == Some(source);
            let kept = self.credentials.get(name).filter(|_| keeps_connections && is_same);
            kept.map_or_else(|| connector.credentials(name, source.clone(), environment.clone()), Arc::clone)
        });
        let before: HashMap<&str, (&Project, &Arc<Poller>)> = self
            .config
            .projects
            .iter()
            .zip(&self.pollers)
            .map(|(old, poller)| (old.name.as_str(), (old, poller)))
            .collect();
        let mut changes = Changes::default();
        let mut pollers = Vec::with_capacity(config.projects.len());
        let mut keep_usage = Vec::with_capacity(config.projects.len());
        for project in &config.projects {
            let old = before.get(project.name.as_str());
            let change = old.map(|(old, _)| Change::between((&self.config, old), (&config, project)));
            let kept = old.map(|(_, poller)| *poller);
            // If the connector is new, `api` has changed, and no project keeps its poller.
            let kept = kept.filter(|_| change.is_some_and(Change::keeps_poller));
            match (change, kept) {
                (None, _) => changes.added += 1,
                (Some(_), None) => changes.changed += 1,
                (Some(_), Some(_)) => changes.unchanged += 1,
            }
            pollers.push(match kept {
                Some(kept) => Arc::clone(kept),
                None => poller(&connector, &credentials, &config, project, self.ledger.as_ref(), &self.owners)?,
            });
            keep_usage.push(change.is_some_and(Change::keeps_usage));
        }
        changes.removed = self.pollers.len() - changes.changed - changes.unchanged;
        let (ledger, owners) = (self.ledger.clone(), Arc::clone(&self.owners));
        let mut accounts = Vec::with_capacity(config.accounts.len());
        let mut keep_found = Vec::with_capacity(config.accounts.len());
        for account in &config.accounts {
            // Packages are kept only if they belong to the same account. Without a configured id, IAM decides which
            // account that is.
            let of_same_id = |old: &Account| {
                old.domain_id.is_some() || old.iam_endpoint(&self.config.api) == account.iam_endpoint(&config.api)
            };
            let old = self.config.accounts.iter().zip(&self.accounts).find(|(old, _)| *old == account);
            let is_same_source =
                config.credentials.get(&account.credentials) == self.config.credentials.get(&account.credentials);
            let old = old.filter(|(old, _)| is_same_source && of_same_id(old)).map(|(_, collecting)| collecting);
            let is_same_access = keeps_connections
                && config.poll.timeout == self.config.poll.timeout
                && config.collectors.billing.interval == self.config.collectors.billing.interval;
            keep_found.push(old.is_some());
            accounts.push(match old.filter(|_| is_same_access) {
                Some(kept) => Arc::clone(kept),
                None => account_collecting(&connector, &credentials, &config, account)?,
            });
        }
        owners.retain(&config.projects);
        let fleet = Fleet { config, clock: self.clock, connector, ledger, owners, credentials, pollers, accounts };
        let plan = fleet.plan_keeping(&keep_usage, &keep_found);
        Ok((fleet, plan, changes))
    }

    /// The plan at the start. Usage that is restored from the ledger stays, because it answers the configured query.
    pub fn plan(&self) -> Plan<Poller> {
        self.plan_keeping(&vec![true; self.pollers.len()], &[])
    }

    /// The targets of the snapshot, in the order of the configuration.
    pub fn targets(&self) -> Vec<Target> {
        let days = self.ledger.as_ref().map(|_| (Collector::Days, self.config.collectors.interval(Collector::Days)));
        let target = |project| {
            let mut target = target(project, &self.config);
            target.collect.extend(days);
            target
        };
        self.config.projects.iter().map(target).collect()
    }

    /// The targets of the accounts, in the order of the configuration.
    pub fn account_targets(&self) -> Vec<Target> {
        self.config.accounts.iter().map(|account| account_target(account, &self.config)).collect()
    }

    /// The collectors of the accounts, in the order of the configuration.
    pub fn accounts(&self) -> &[Arc<Collecting>] {
        &self.accounts
    }

    /// The pollers, in the order of the configuration.
    pub fn pollers(&self) -> &[Arc<Poller>] {
        &self.pollers
    }

    fn plan_keeping(&self, keep_usage: &[bool], keep_found: &[bool]) -> Plan<Poller> {
        let planned = |((poller, target), &keeps_usage): ((&Arc<Poller>, Target), &bool)| Planned {
            poller: Arc::clone(poller),
            target,
            keeps_usage,
        };
        let keep_found = keep_found.iter().copied().chain(std::iter::repeat(false));
        let planned_account = |((collecting, target), keeps_found): ((&Arc<Collecting>, Target), bool)| {
            PlannedAccount { collecting: Arc::clone(collecting), target, keeps_found }
        };
        Plan {
            accounts: self.accounts.iter().zip(self.account_targets()).zip(keep_found).map(planned_account).collect(),
            projects: self.pollers.iter().zip(self.targets()).zip(keep_usage).map(planned).collect(),
            concurrency: self.config.poll.concurrency,
            timeout: self.config.poll.timeout,
        }
    }
}

/// The settings of the API, with the request rate of this process.
pub fn api(config: &Config) -> ApiSettings {
    ApiSettings { requests_per_second: config.requests_per_second(), ..config.api.clone() }
}

/// A client for each project. Projects that name the same credentials share them.
///
/// # Errors
/// [`FleetError::NoCredentials`].
pub fn clients<'a>(
    connector: &Connector,
    config: &'a Config,
    environment: &Environment,
) -> Result<Vec<(&'a Project, Client)>, FleetError> {
    let credentials = new_credentials(connector, config, environment);
    config.projects.iter().map(|project| Ok((project, client(connector, &credentials, project)?))).collect()
}

/// A client for each account.
///
/// # Errors
/// [`FleetError::NoCredentials`].
pub fn account_clients<'a>(
    connector: &Connector,
    config: &'a Config,
    environment: &Environment,
) -> Result<Vec<(&'a Account, Client)>, FleetError> {
    let credentials = new_credentials(connector, config, environment);
    config
        .accounts
        .iter()
        .map(|account| Ok((account, account_client(connector, &credentials, config, account)?)))
        .collect()
}

fn new_credentials(
    connector: &Connector,
    config: &Config,
    environment: &Environment,
) -> BTreeMap<String, Arc<Credentials>> {
    credentials(config, |name, source| connector.credentials(name, source.clone(), environment.clone()))
}

fn credentials(
    config: &Config,
    make: impl Fn(&str, &CredentialsSource) -> Arc<Credentials>,
) -> BTreeMap<String, Arc<Credentials>> {
    config.credentials.iter().map(|(name, source)| (name.clone(), make(name, source))).collect()
}

fn client(
    connector: &Connector,
    credentials: &BTreeMap<String, Arc<Credentials>>,
    project: &Project,
) -> Result<Client, FleetError> {
    let credentials = named(credentials, &project.credentials, &project.name)?;
    Ok(connector.client(project, credentials))
}

fn account_client(
    connector: &Connector,
    credentials: &BTreeMap<String, Arc<Credentials>>,
    config: &Config,
    account: &Account,
) -> Result<Client, FleetError> {
    let credentials = named(credentials, &account.credentials, &account.name)?;
    let of_same_key = config.projects.iter().find(|project| project.credentials == account.credentials);
    let region = of_same_key.map_or("", |project| &project.region);
    Ok(connector.account_client(account, region, credentials))
}

/// The credentials with this name, for a project or account.
fn named(
    credentials: &BTreeMap<String, Arc<Credentials>>,
    name: &str,
    owner: &str,
) -> Result<Arc<Credentials>, FleetError> {
    let missing = || FleetError::NoCredentials { owner: owner.to_owned(), credentials: name.to_owned() };
    credentials.get(name).map(Arc::clone).ok_or_else(missing)
}

/// The configured part of the state of a project.
pub fn target(project: &Project, config: &Config) -> Target {
    Target {
        name: project.name.clone(),
        account: String::new(),
        project_id: project.project_id.clone(),
        region: project.region.clone(),
        endpoint: project.endpoint.to_string(),
        labels: project.labels.iter().map(|(name, value)| (name.clone(), value.clone())).collect(),
        interval: project.interval,
        stale_after: project.stale_after,
        renewed_within: project.interval + config.poll.timeout,
        credentials: project.credentials.clone(),
        budgets: project.budgets.clone(),
        shared_budgets: config.shared_budgets(&project.name).cloned().collect(),
        collect: project.collect.clone(),
        collects_all: project.collects_all,
        package_series: config.collectors.packages.series,
        user_series: config.collectors.sub_users.series,
        has_rest: project.user_ids.all().is_some(),
        max_session: config.collectors.sessions.max_duration,
        timezone: config.timezone.clone(),
        query: query_text(config, project),
    }
}

fn poller(
    connector: &Connector,
    credentials: &BTreeMap<String, Arc<Credentials>>,
    config: &Config,
    project: &Project,
    ledger: Option<&Ledger>,
    owners: &Arc<PackageOwners>,
) -> Result<Arc<Poller>, FleetError> {
    let client = client(connector, credentials, project)?;
    Ok(Arc::new(Poller::new(client, project, config, ledger, owners)))
}

/// The configured part of the state of an account. Its series have the labels of projects, with empty values.
fn account_target(account: &Account, config: &Config) -> Target {
    let labels = config.projects.first().map(|project| &project.labels).into_iter().flatten();
    Target {
        account: account.name.clone(),
        project_id: account.domain_id.clone(),
        endpoint: account.endpoint.to_string(),
        labels: labels.map(|(name, _)| (name.clone(), String::new())).collect(),
        credentials: account.credentials.clone(),
        collect: BTreeMap::from([(Collector::Billing, config.collectors.billing.interval)]),
        package_series: config.collectors.billing.series,
        timezone: config.timezone.clone(),
        ..Target::new("")
    }
}

fn account_collecting(
    connector: &Connector,
    credentials: &BTreeMap<String, Arc<Credentials>>,
    config: &Config,
    account: &Account,
) -> Result<Arc<Collecting>, FleetError> {
    let client = account_client(connector, credentials, config, account)?;
    Ok(Arc::new(Collecting::of_account(client, account, config)))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use chrono::Utc;

    use super::*;
    use crate::config::load_text;

    const TEXT: &str = "
api: {iam_endpoint: 'https://iam.one.example'}
credentials: {main: {access_key: AK, secret_key: SK}}
projects: [{name: studio, region: cn-north-4, project_id: 0123456789abcdef0123456789abcdef}]
accounts:
  - {name: found, site: china}
  - {name: known, site: china, domain_id: 0123456789abcdef0123456789abcdef}
";

    async fn config(text: &str) -> Config {
        let loaded = load_text(text.to_owned(), Path::new("config.yaml"), &Environment::default()).await;
        loaded.config.unwrap_or_else(|| panic!("{:?}", loaded.problems))
    }

    /// Another IAM may find another account.
    #[tokio::test]
    async fn packages_are_kept_if_they_are_those_of_the_same_account() {
        let fleet = Fleet::new(config(TEXT).await, &Environment::default(), Utc::now).unwrap();
        for (from, to, kept) in [
            ("studio", "another", [true, true]),
            ("api: {", "api: {requests_per_second: 4, ", [true, true]),
            ("iam.one", "iam.two", [false, true]),
            ("secret_key: SK", "secret_key: another", [false, false]),
            ("domain_id: 0", "domain_id: 1", [true, false]),
        ] {
            let text = TEXT.replace(from, to);
            assert_ne!(text, TEXT);
            let (_, plan, _) = fleet.renewed(config(&text).await, &Environment::default()).unwrap();
            let keeps_found: Vec<bool> = plan.accounts.iter().map(|account| account.keeps_found).collect();
            assert_eq!(keeps_found, kept, "{from} becomes {to}");
        }
    }
}
