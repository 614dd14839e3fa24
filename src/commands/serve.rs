//! `serve`: poll and serve, until a signal.

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
use super::{BUILD, Origin, Valid, fleet::Fleet, valid};
use crate::{
    cli::{Serve, Web},
    config::Environment,
    exposition::{ConfigStatus, ExporterStatus, Exposition, HttpRequests},
    polling::schedule,
    snapshot,
    web::{
        Site,
        server::{self, CONNECTIONS, LIMITS},
    },
};

pub(super) async fn run(flags: &Serve, environment: Environment) -> anyhow::Result<ExitCode> {
    let mut signals = Signals::new()?;
    // By default this one would end the process.
    let hangup = signal(SignalKind::hangup())?;
    tracing::info!(version = BUILD.version, revision = BUILD.revision, "starting metastudio-exporter");
    let origin = Origin::File(flags.config.file.clone());
    let loaded = tokio::select! {
        loaded = origin.load(&environment) => loaded,
        // A secret may lie on a mount that does not answer.
        () = signals.next() => return Ok(ExitCode::SUCCESS),
    };
    let valid = valid(loaded)?;
    let listeners = listen(&flags.web).await?;
    until_signal(origin, valid, &flags.web, listeners, environment, signals, Some(hangup)).await
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

/// Binds all addresses, before anything is started.
pub(super) async fn listen(web: &Web) -> anyhow::Result<Vec<TcpListener>> {
    let bound = server::bind(&web.listen_addresses).await;
    let listeners = bound.map_err(|(address, error)| anyhow!("cannot listen on {address}: {error}"))?;
    for listener in &listeners {
        tracing::info!(address = %listener.local_addr()?, path = web.telemetry_path, "listening");
    }
    Ok(listeners)
}

/// Polls and serves until SIGTERM or SIGINT; a second one ends the process at once. `hangup` has the configuration
/// loaded again.
pub(super) async fn until_signal(
    origin: Origin,
    valid: Valid,
    web: &Web,
    listeners: Vec<TcpListener>,
    environment: Environment,
    mut signals: Signals,
    hangup: Option<Signal>,
) -> anyhow::Result<ExitCode> {
    let fleet = Fleet::new(valid.config, &environment)?;
    let plan = fleet.plan();
    let (writer, reader) = snapshot::channel(fleet.targets());
    let config = Arc::new(ConfigStatus::new(valid.hash, valid.loaded));
    let requests = Arc::new(HttpRequests::default());
    let status = ExporterStatus { build: BUILD, config: Arc::clone(&config), requests: Arc::clone(&requests) };
    let (reload, reload_requests) = mpsc::channel(1);
    let site = Arc::new(Site {
        exposition: Exposition::of_projects(reader.clone(), Utc::now).and_exporter(status),
        reader: reader.clone(),
        telemetry_path: web.telemetry_path.clone(),
        requests,
        reload: web.enable_lifecycle.then(|| reload.clone()),
        stopping: AtomicBool::new(false),
        clock: Utc::now,
    });

    let stop = CancellationToken::new();
    let (plans, new_plans) = mpsc::channel(1);
    let mut serving = tokio::spawn(server::serve(listeners, Arc::clone(&site), LIMITS, CONNECTIONS, stop.clone()));
    let mut polling = AbortOnDropHandle::new(tokio::spawn(schedule::run(plan, new_plans, writer, Utc::now)));
    let reloader = Reloader { origin, environment, fleet, plans, config, reader: reader.clone() };
    let mut reloading = AbortOnDropHandle::new(tokio::spawn(reloader.run(hangup, reload_requests)));
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
