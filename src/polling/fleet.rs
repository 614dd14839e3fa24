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
    schedule::{Plan, Planned},
};
use crate::{
    cloud::{Client, Connector, Credentials, Lockout, SetupError},
    config::{Account, ApiSettings, Config, CredentialsSource, Environment, PollSettings, Project},
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
        let builder = Builder::new(&connector, &config, environment);
        let owners = Arc::default();
        let poller = |project| builder.poller(project, ledger.as_ref(), &owners);
        let pollers = config.projects.iter().map(poller).collect::<Result<_, _>>()?;
        let accounts = config.accounts.iter().map(|account| builder.account(account)).collect::<Result<_, _>>()?;
        let credentials = builder.credentials;
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
        let builder = Builder::keeping(&connector, &config, environment, |name, source| {
            let is_same = keeps_connections && self.config.credentials.get(name) == Some(source);
            self.credentials.get(name).filter(|_| is_same).map(Arc::clone)
        });
        let (projects, changes) = self.plan_projects(&builder)?;
        let accounts = self.plan_accounts(&builder)?;
        let PollSettings { concurrency, timeout, .. } = config.poll;
        let plan = Plan { projects, accounts, concurrency, timeout };
        let credentials = builder.credentials;
        self.owners.retain(&config.projects);
        let fleet = Fleet {
            config,
            clock: self.clock,
            connector,
            ledger: self.ledger.clone(),
            owners: Arc::clone(&self.owners),
            credentials,
            pollers: plan.projects.iter().map(|planned| Arc::clone(&planned.source)).collect(),
            accounts: plan.accounts.iter().map(|planned| Arc::clone(&planned.source)).collect(),
        };
        Ok((fleet, plan, changes))
    }

    fn plan_projects(&self, builder: &Builder<'_>) -> Result<(Vec<Planned<Poller>>, Changes), FleetError> {
        let old = self.config.projects.iter().zip(&self.pollers);
        let before: HashMap<&str, (&Project, &Arc<Poller>)> =
            old.map(|(old, poller)| (old.name.as_str(), (old, poller))).collect();
        let mut changes = Changes::default();
        let mut planned = Vec::with_capacity(builder.config.projects.len());
        for project in &builder.config.projects {
            let old = before.get(project.name.as_str());
            let change = old.map(|(old, _)| Change::between((&self.config, old), (builder.config, project)));
            // The connector is new only if `api` has changed. Then no project keeps its poller.
            let kept = old.filter(|_| change.is_some_and(Change::keeps_poller));
            match (change, kept) {
                (None, _) => changes.added += 1,
                (Some(_), None) => changes.changed += 1,
                (Some(_), Some(_)) => changes.unchanged += 1,
            }
            let source = match kept {
                Some((_, poller)) => Arc::clone(poller),
                None => builder.poller(project, self.ledger.as_ref(), &self.owners)?,
            };
            let target = self.target(project, builder.config);
            planned.push(Planned { source, target, keeps_known: change.is_some_and(Change::keeps_known) });
        }
        changes.removed = self.pollers.len() - changes.changed - changes.unchanged;
        Ok((planned, changes))
    }

    fn plan_accounts(&self, builder: &Builder<'_>) -> Result<Vec<Planned<Collecting>>, FleetError> {
        let planned = |account: &Account| {
            let old = self.config.accounts.iter().zip(&self.accounts).find(|(old, _)| old.name == account.name);
            let change = old.map(|(old, _)| Change::between_accounts((&self.config, old), (builder.config, account)));
            // Here, too, a new connector means that `api` has changed.
            let source = match old.filter(|_| change.is_some_and(Change::keeps_poller)) {
                Some((_, collecting)) => Arc::clone(collecting),
                None => builder.account(account)?,
            };
            let target = account_target(account, builder.config);
            Ok(Planned { source, target, keeps_known: change.is_some_and(Change::keeps_known) })
        };
        builder.config.accounts.iter().map(planned).collect()
    }

    /// The plan at the start. Usage that is restored from the ledger stays, because it answers the configured query.
    pub fn plan(&self) -> Plan<Poller> {
        let PollSettings { concurrency, timeout, .. } = self.config.poll;
        let account_targets = self.config.accounts.iter().map(|account| account_target(account, &self.config));
        Plan {
            projects: self.pollers.iter().zip(self.targets()).map(Planned::at_start).collect(),
            accounts: self.accounts.iter().zip(account_targets).map(Planned::at_start).collect(),
            concurrency,
            timeout,
        }
    }

    /// The targets of the projects, in the order of the configuration.
    pub fn targets(&self) -> Vec<Target> {
        self.config.projects.iter().map(|project| self.target(project, &self.config)).collect()
    }

    /// The collectors of the accounts, in the order of the configuration.
    pub fn accounts(&self) -> &[Arc<Collecting>] {
        &self.accounts
    }

    /// The pollers, in the order of the configuration.
    pub fn pollers(&self) -> &[Arc<Poller>] {
        &self.pollers
    }

    /// The target of a project of `config`. With a ledger, the collector of days runs, too.
    fn target(&self, project: &Project, config: &Config) -> Target {
        let mut target = target(project, config);
        target
            .collect
            .extend(self.ledger.as_ref().map(|_| (Collector::Days, config.collectors.interval(Collector::Days))));
        target
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
    let builder = Builder::new(connector, config, environment);
    config.projects.iter().map(|project| Ok((project, builder.client(project)?))).collect()
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
    let builder = Builder::new(connector, config, environment);
    config.accounts.iter().map(|account| Ok((account, builder.account_client(account)?))).collect()
}

/// Builds the pollers and collectors of a configuration. Projects and accounts that name the same credentials share
/// them.
struct Builder<'a> {
    connector: &'a Connector,
    config: &'a Config,
    credentials: BTreeMap<String, Arc<Credentials>>,
}

impl<'a> Builder<'a> {
    fn new(connector: &'a Connector, config: &'a Config, environment: &Environment) -> Self {
        Self::keeping(connector, config, environment, |_, _| None)
    }

    /// Like [`Builder::new`], but uses the credentials that `kept` returns.
    fn keeping(
        connector: &'a Connector,
        config: &'a Config,
        environment: &Environment,
        kept: impl Fn(&str, &CredentialsSource) -> Option<Arc<Credentials>>,
    ) -> Self {
        let credentials = |(name, source): (&String, &CredentialsSource)| {
            let new = || connector.credentials(name, source.clone(), environment.clone());
            (name.clone(), kept(name, source).unwrap_or_else(new))
        };
        Builder { connector, config, credentials: config.credentials.iter().map(credentials).collect() }
    }

    fn poller(
        &self,
        project: &Project,
        ledger: Option<&Ledger>,
        owners: &Arc<PackageOwners>,
    ) -> Result<Arc<Poller>, FleetError> {
        Ok(Arc::new(Poller::new(self.client(project)?, project, self.config, ledger, owners)))
    }

    fn account(&self, account: &Account) -> Result<Arc<Collecting>, FleetError> {
        Ok(Arc::new(Collecting::of_account(self.account_client(account)?, account, self.config)))
    }

    fn client(&self, project: &Project) -> Result<Client, FleetError> {
        Ok(self.connector.client(project, self.credentials(&project.credentials, &project.name)?))
    }

    fn account_client(&self, account: &Account) -> Result<Client, FleetError> {
        let credentials = self.credentials(&account.credentials, &account.name)?;
        Ok(self.connector.account_client(account, self.config.region_of(account), credentials))
    }

    /// The credentials with this name, for a project or account.
    fn credentials(&self, name: &str, owner: &str) -> Result<Arc<Credentials>, FleetError> {
        let missing = || FleetError::NoCredentials { owner: owner.to_owned(), credentials: name.to_owned() };
        self.credentials.get(name).map(Arc::clone).ok_or_else(missing)
    }
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
            let keeps_known: Vec<bool> = plan.accounts.iter().map(|account| account.keeps_known).collect();
            assert_eq!(keeps_known, kept, "{from} becomes {to}");
        }
    }
}
