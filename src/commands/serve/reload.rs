//! Loads the configuration again, all or nothing: the old one stays in force until the whole new one is ready to be.

use std::{sync::Arc, time::Duration};

use anyhow::{Context, anyhow};
use tokio::{
    signal::unix::Signal,
    sync::{mpsc, oneshot},
    time::{Instant, timeout},
};

use super::systemd;
use crate::{
    commands::{Origin, Valid, valid},
    config::Environment,
    exposition::ConfigStatus,
    polling::{
        NewPlan, Poller,
        fleet::{Changes, Fleet},
    },
    site::ReloadRequest,
    snapshot::Reader,
};

/// How long the files of a configuration are waited for: they may lie on a mount that does not answer. Half of what
/// the server gives a request, so that a reload that waits for another one is answered, too.
const PATIENCE: Duration = Duration::from_secs(30);

/// Everything a reload needs. It alone changes what is in force: reloads come one after the other.
pub(super) struct Reloader {
    pub origin: Origin,
    /// That of the process, which does not change while it runs.
    pub environment: Environment,
    pub fleet: Fleet,
    pub plans: mpsc::Sender<NewPlan<Poller>>,
    pub config: Arc<ConfigStatus>,
    pub reader: Reader,
}

impl Reloader {
    /// Reloads at each signal and each request.
    pub async fn run(mut self, mut hangup: Option<Signal>, mut requests: mpsc::Receiver<ReloadRequest>) {
        loop {
            let request = tokio::select! {
                () = next(&mut hangup) => None,
                Some(request) = requests.recv() => Some(request),
            };
            let result = self.reload().await;
            if let Some(ReloadRequest { answer }) = request {
                // Whoever asked may have gone.
                let _ = answer.send(result);
            }
        }
    }

    async fn reload(&mut self) -> Result<(), String> {
        let start = Instant::now();
        let reloading = systemd::Reloading::begin(&self.reader);
        let result = self.try_to_reload().await;
        if let Some(reloading) = reloading {
            reloading.end();
        }
        match result {
            Ok(Changes { added, removed, changed, unchanged }) => {
                let duration = start.elapsed().as_secs_f64();
                tracing::info!(added, removed, changed, unchanged, duration, "configuration reloaded");
                Ok(())
            }
            Err(error) => {
                self.config.failed();
                // What is wrong with the configuration has been said line by line.
                let summary = error.to_string();
                let summary = summary.lines().next().unwrap_or_default();
                tracing::error!("reload failed, the old configuration stays in force: {summary}");
                Err(format!("Reload failed, the old configuration stays in force:\n{error:#}\n"))
            }
        }
    }

    async fn try_to_reload(&mut self) -> anyhow::Result<Changes> {
        let loaded = timeout(PATIENCE, self.origin.load(&self.environment)).await;
        let loaded = loaded.with_context(|| {
            format!("the file, or a file that it names, could not be read within {}s", PATIENCE.as_secs())
        })?;
        let errors: Vec<String> = loaded.errors().map(ToString::to_string).collect();
        let Valid { config, hash, loaded } =
            valid(loaded).map_err(|error| anyhow!("{error}\n{}", errors.join("\n")))?;
        let renewed = self.fleet.renewed(config, &self.environment).map_err(|error| anyhow!("{error:#}"));
        let (fleet, plan, changes) = renewed?;
        // From here on nothing can fail.
        let (applied, is_applied) = oneshot::channel();
        self.plans.send(NewPlan { plan, applied }).await.map_err(|_| anyhow!("polling has ended"))?;
        is_applied.await.context("polling has ended")?;
        self.fleet = fleet;
        self.config.succeeded(hash, loaded);
        Ok(changes)
    }
}

async fn next(hangup: &mut Option<Signal>) {
    match hangup {
        Some(hangup) => {
            hangup.recv().await;
        }
        None => std::future::pending().await,
    }
}
