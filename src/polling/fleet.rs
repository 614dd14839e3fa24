//! The pollers of a configuration and what they share; and the step from one configuration to the next.

use std::{collections::BTreeMap, sync::Arc};

use anyhow::Context;
use chrono::Utc;

use super::{Change, Plan, Planned, Poller};
use crate::{
    cloud::{Client, Connector, credentials::Credentials},
    config::{Api, Config, CredentialsSource, Environment, Project},
    snapshot::Target,
};

/// Everything that polls under one configuration.
pub struct Fleet {
    config: Config,
    connector: Arc<Connector>,
    credentials: BTreeMap<String, Arc<Credentials>>,
    /// In the order of the configuration.
    pollers: Vec<Arc<Poller>>,
}

/// How many projects a new configuration leaves alone, and how many it does not.
#[derive(Debug, Default)]
pub struct Changes {
    /// Projects that are new.
    pub added: usize,
    /// Projects that are gone.
    pub removed: usize,
    /// Projects that are polled anew.
    pub changed: usize,
    /// Projects that go on as before.
    pub unchanged: usize,
}

impl Fleet {
    /// Builds everything anew.
    pub fn new(config: Config, environment: &Environment) -> anyhow::Result<Self> {
        let connector = Arc::new(Connector::new(api(&config), Utc::now)?);
        let credentials = new_credentials(&connector, &config, environment);
        let build = |project| poller(&connector, &credentials, &config, project);
        let pollers = config.projects.iter().map(build).collect::<anyhow::Result<_>>()?;
        Ok(Fleet { config, connector, credentials, pollers })
    }

    /// Builds what is new in `config` and keeps the rest: nothing of what polls now is touched, so that an error leaves
    /// everything as it is.
    pub fn renewed(&self, config: Config, environment: &Environment) -> anyhow::Result<(Self, Plan<Poller>, Changes)> {
        let renewed = self.connector.renewed(&api(&config))?.map(Arc::new);
        let keeps_connections = renewed.is_none();
        let connector = renewed.unwrap_or_else(|| Arc::clone(&self.connector));
        let credentials = credentials(&config, |name, source| {
            let is_same = self.config.credentials.get(name) == Some(source);
            let kept = self.credentials.get(name).filter(|_| keeps_connections && is_same);
            kept.map_or_else(|| connector.credentials(name, source.clone(), environment.clone()), Arc::clone)
        });
        let before: BTreeMap<&str, (&Project, &Arc<Poller>)> = self
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
            // A new connector comes of a change of `api`, which is a change of every project.
            let kept = kept.filter(|_| change.is_some_and(Change::keeps_poller));
            match (change, kept) {
                (None, _) => changes.added += 1,
                (Some(_), None) => changes.changed += 1,
                (Some(_), Some(_)) => changes.unchanged += 1,
            }
            pollers.push(match kept {
                Some(kept) => Arc::clone(kept),
                None => poller(&connector, &credentials, &config, project)?,
            });
            keep_usage.push(change.is_some_and(Change::keeps_usage));
        }
        changes.removed = self.pollers.len() - changes.changed - changes.unchanged;
        let fleet = Fleet { config, connector, credentials, pollers };
        let plan = fleet.plan_keeping(&keep_usage);
        Ok((fleet, plan, changes))
    }

    /// The first plan, when nothing is known yet.
    pub fn plan(&self) -> Plan<Poller> {
        self.plan_keeping(&[])
    }

    /// What a snapshot says of the projects before their first poll.
    pub fn targets(&self) -> Vec<Target> {
        self.config.projects.iter().map(Target::from).collect()
    }

    /// The pollers, for those who poll but once.
    pub fn into_pollers(self) -> Vec<Arc<Poller>> {
        self.pollers
    }

    fn plan_keeping(&self, keep_usage: &[bool]) -> Plan<Poller> {
        let keep_usage = keep_usage.iter().copied().chain(std::iter::repeat(false));
        let planned = |((poller, target), keeps_usage): ((&Arc<Poller>, Target), bool)| Planned {
            poller: Arc::clone(poller),
            target,
            keeps_usage,
        };
        Plan {
            projects: self.pollers.iter().zip(self.targets()).zip(keep_usage).map(planned).collect(),
            concurrency: self.config.poll.concurrency,
            timeout: self.config.poll.timeout,
        }
    }
}

/// How to talk to the cloud, at the rate of this process.
pub fn api(config: &Config) -> Api {
    Api { requests_per_second: config.requests_per_second(), ..config.api.clone() }
}

/// A client for each project; projects that name the same credentials share them.
pub fn clients<'a>(
    connector: &Connector,
    config: &'a Config,
    environment: &Environment,
) -> anyhow::Result<Vec<(&'a Project, Client)>> {
    let credentials = new_credentials(connector, config, environment);
    config.projects.iter().map(|project| Ok((project, client(connector, &credentials, project)?))).collect()
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
) -> anyhow::Result<Client> {
    let credentials = credentials.get(&project.credentials).context("no such credentials")?;
    Ok(connector.client(project, Arc::clone(credentials)))
}

fn poller(
    connector: &Connector,
    credentials: &BTreeMap<String, Arc<Credentials>>,
    config: &Config,
    project: &Project,
) -> anyhow::Result<Arc<Poller>> {
    let client = client(connector, credentials, project)?;
    Ok(Arc::new(Poller::new(client, project.clone(), config.timezone.clone(), config.poll.timeout, Utc::now)))
}
