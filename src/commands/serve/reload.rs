//! Reloads the configuration, all or nothing: the old one stays in use until all parts of the new one are ready.

use std::{sync::Arc, time::Duration};

use anyhow::{Context, anyhow};
use tokio::{
    signal::unix::Signal,
    sync::{mpsc, oneshot},
    time::{Instant, timeout},
};

use super::systemd;
use crate::{
    commands::configuration::{ConfigSource, ValidConfig},
    config::Environment,
    exposition::ConfigStatus,
    polling::{
        NewPlan, Poller,
        fleet::{Changes, Fleet},
    },
    site::ReloadRequest,
    snapshot::Reader,
};

/// Time limit for reading the files of a configuration, which may be on a mount that hangs. It is half of the server's
/// time limit for a request, so that a request is answered even if it waits for another reload first.
const LOAD_TIMEOUT: Duration = Duration::from_secs(30);

/// Everything that a reload needs. Reloads run one after the other, in one task.
pub(super) struct Reloader {
    pub source: ConfigSource,
    pub environment: Environment,
    pub fleet: Fleet,
    pub plans: mpsc::Sender<NewPlan<Poller>>,
    pub status: Arc<ConfigStatus>,
    pub reader: Reader,
}

impl Reloader {
    /// Reloads at each SIGHUP and each request.
    pub async fn run(mut self, mut hangup: Option<Signal>, mut requests: mpsc::Receiver<ReloadRequest>) {
        loop {
            let request = tokio::select! {
                () = next(&mut hangup) => None,
                Some(request) = requests.recv() => Some(request),
            };
            let result = self.reload().await;
            if let Some(ReloadRequest { answer }) = request {
                // The client may have closed its connection.
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
                self.status.failed();
                // The other lines are the problems of the configuration, which are logged already.
                let summary = error.to_string();
                let summary = summary.lines().next().unwrap_or_default();
                tracing::error!("reload failed, the old configuration stays in use: {summary}");
                Err(format!("Reload failed, the old configuration stays in use:\n{error:#}\n"))
            }
        }
    }

    async fn try_to_reload(&mut self) -> anyhow::Result<Changes> {
        let loaded = timeout(LOAD_TIMEOUT, self.source.load(&self.environment)).await;
        let loaded = loaded.with_context(|| {
            let limit = LOAD_TIMEOUT.as_secs();
            format!("the configuration, or a file that it names, could not be read within {limit}s: check its mount")
        })?;
        let errors: Vec<String> = loaded.errors().map(ToString::to_string).collect();
        let ValidConfig { config, hash, loaded } =
            ValidConfig::new(loaded).map_err(|error| anyhow!("{error}\n{}", errors.join("\n")))?;
        let renewed = self.fleet.renewed(config, &self.environment).map_err(|error| anyhow!("{error:#}"));
        let (fleet, plan, changes) = renewed?;
        // From here on, the reload can fail only if polling has ended.
        let (applied, is_applied) = oneshot::channel();
        self.plans.send(NewPlan { plan, applied }).await.map_err(|_| anyhow!("polling has ended"))?;
        is_applied.await.context("polling has ended")?;
        self.fleet = fleet;
        self.status.succeeded(hash, loaded);
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
