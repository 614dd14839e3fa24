//! `serve`: poll and serve, until a signal.

mod background;
mod reload;
mod systemd;

use std::{
    process::ExitCode,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use anyhow::{anyhow, bail};
use chrono::Utc;
use tokio::{
    net::TcpListener,
    signal::unix::{Signal, SignalKind, signal},
    sync::mpsc,
};
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};

use self::reload::Reloader;
use super::{BUILD, Origin, Valid, valid};
use crate::{
    cli::{Serve, Web},
    config::{Environment, Shard},
    exposition::{ConfigStatus, ExporterStatus, Exposition, HttpRequests},
    polling::{Fleet, schedule},
    server::{self, CONNECTIONS, LIMITS, Server, WebPolicy},
    site::Routes,
    snapshot,
};

pub(super) async fn run(flags: &Serve, environment: Environment) -> anyhow::Result<ExitCode> {
    let mut signals = Signals::new()?;
    // By default this one would end the process.
    let hangup = signal(SignalKind::hangup())?;
    tracing::info!(version = BUILD.version, revision = BUILD.revision, "starting metastudio-exporter");
    let origin = Origin::of(&flags.config, &environment)?;
    let loaded = tokio::select! {
        loaded = origin.load(&environment) => loaded,
        // A secret may lie on a mount that does not answer.
        () = signals.next() => return Ok(ExitCode::SUCCESS),
    };
    let valid = valid(loaded)?;
    let entrance = Listeners::new(&flags.web).await?;
    until_signal(origin, valid, &flags.web, entrance, environment, signals, Some(hangup)).await
}

/// What ends the daemon. Set up first, so that from the start a signal is an orderly end.
pub(super) struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    pub(super) fn new() -> std::io::Result<Self> {
        Ok(Signals { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    /// The next SIGTERM or SIGINT.
    pub(super) async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

/// Where clients come in, and who may.
pub(super) struct Listeners {
    pub listeners: Vec<TcpListener>,
    guard: Arc<WebPolicy>,
}

impl Listeners {
    /// Reads the web configuration, and binds all addresses or takes them from systemd, before anything is started.
    pub async fn new(web: &Web) -> anyhow::Result<Self> {
        let guard = WebPolicy::new(web.config_file.clone(), web.health_without_auth).await;
        let guard = guard.map_err(|problems| {
            for problem in problems {
                tracing::error!("web configuration: {problem}");
            }
            anyhow!("the web configuration is not valid")
        })?;
        let listeners = if web.systemd_socket {
            systemd::sockets()?
        } else {
            let bound = server::bind(&web.listen_addresses).await;
            bound.map_err(|(address, error)| anyhow!("cannot listen on {address}: {error}"))?
        };
        for listener in &listeners {
            let (address, tls) = (listener.local_addr()?, guard.speaks_tls());
            tracing::info!(%address, path = web.telemetry_path, tls, "listening");
        }
        Ok(Listeners { listeners, guard })
    }
}

/// Polls and serves until SIGTERM or SIGINT; a second one ends the process at once. `hangup` has the configuration
/// loaded again.
pub(super) async fn until_signal(
    origin: Origin,
    valid: Valid,
    web: &Web,
    entrance: Listeners,
    environment: Environment,
    mut signals: Signals,
    hangup: Option<Signal>,
) -> anyhow::Result<ExitCode> {
    let Shard { index, total } = origin.shard();
    if total > 1 {
        tracing::info!(shard = index, shards = total, projects = valid.config.projects.len(), "polling a part");
    }
    let fleet = Fleet::new(valid.config, &environment, Utc::now)?;
    let plan = fleet.plan();
    let (writer, reader) = snapshot::channel(fleet.targets());
    let config = Arc::new(ConfigStatus::new(valid.hash, valid.loaded));
    let requests = Arc::new(HttpRequests::default());
    let status = ExporterStatus {
        build: BUILD,
        shard: (index, total),
        config: Arc::clone(&config),
        requests: Arc::clone(&requests),
    };
    let (reload, reload_requests) = mpsc::channel(1);
    let site = Arc::new(Routes {
        exposition: Exposition::of_projects(reader.clone(), Utc::now).and_exporter(status),
        reader: reader.clone(),
        version: BUILD.version,
        telemetry_path: web.telemetry_path.clone(),
        requests,
        reload: web.enable_lifecycle.then(|| reload.clone()),
        stopping: AtomicBool::new(false),
        clock: Utc::now,
        rendering: Arc::default(),
    });

    let stop = CancellationToken::new();
    let (plans, new_plans) = mpsc::channel(1);
    let Listeners { listeners, guard } = entrance;
    let server = Server { site: Arc::clone(&site), guard, limits: LIMITS, connections: CONNECTIONS };
    let mut serving = tokio::spawn(server.serve(listeners, stop.clone()));
    let reloader = Reloader { origin, environment, fleet, plans, config, reader: reader.clone() };
    let mut polling = background::run("polling", schedule::run(plan, new_plans, writer, Utc::now))?;
    let mut reloading = background::run("reloading", reloader.run(hangup, reload_requests))?;
    let notifying = AbortOnDropHandle::new(tokio::spawn(systemd::run(reader)));
    tokio::select! {
        () = signals.next() => {}
        // None of them ends by itself unless it is broken; a daemon that only half works must not go on.
        ended = &mut serving => bail!("the server ended by itself: {ended:?}"),
        ended = &mut polling => bail!("polling ended by itself: {ended:?}"),
        ended = &mut reloading => bail!("reloading ended by itself: {ended:?}"),
    }

    tracing::info!("shutting down");
    systemd::stopping();
    site.stopping.store(true, Ordering::Relaxed);
    drop((notifying, reloading, polling, reload));
    stop.cancel();
    tokio::select! {
        _ = serving => {}
        () = signals.next() => {}
    }
    Ok(ExitCode::SUCCESS)
}
