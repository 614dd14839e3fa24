//! `serve`: poll and serve, until a signal.

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
};
use tokio_util::sync::CancellationToken;

use super::{BUILD, InForce, load, pollers};
use crate::{
    cli::{Serve, Web},
    config::Environment,
    exposition::{ExporterStatus, Exposition, HttpRequests},
    polling::{Poller, schedule},
    snapshot,
    web::{
        Site,
        server::{self, CONNECTIONS, LIMITS},
    },
};

pub(super) async fn run(flags: &Serve, environment: Environment) -> anyhow::Result<ExitCode> {
    let mut signals = Signals::new()?;
    tracing::info!(version = BUILD.version, revision = BUILD.revision, "starting metastudio-exporter");
    let in_force = tokio::select! {
        in_force = load(&flags.config.file, &environment) => in_force?,
        // A secret may lie on a mount that does not answer.
        () = signals.next() => return Ok(ExitCode::SUCCESS),
    };
    let listeners = listen(&flags.web).await?;
    until_signal(in_force, &flags.web, listeners, environment, signals).await
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

/// Polls and serves until SIGTERM or SIGINT. A second signal ends the process at once.
pub(super) async fn until_signal(
    in_force: InForce,
    web: &Web,
    listeners: Vec<TcpListener>,
    environment: Environment,
    mut signals: Signals,
) -> anyhow::Result<ExitCode> {
    let pollers = pollers(&in_force.config, &environment)?;
    let (writer, reader) = snapshot::channel(pollers.iter().map(Poller::target).collect());
    let requests = Arc::new(HttpRequests::default());
    let status = ExporterStatus {
        build: BUILD,
        config_hash: in_force.hash,
        config_loaded: in_force.loaded,
        requests: Arc::clone(&requests),
    };
    let site = Arc::new(Site {
        exposition: Exposition::of_projects(reader.clone(), Utc::now).and_exporter(status),
        reader,
        telemetry_path: web.telemetry_path.clone(),
        requests,
        stopping: AtomicBool::new(false),
        clock: Utc::now,
    });

    let stop = CancellationToken::new();
    let mut serving = tokio::spawn(server::serve(listeners, Arc::clone(&site), LIMITS, CONNECTIONS, stop.clone()));
    let polling = tokio::spawn(schedule::run(pollers, in_force.config.poll.concurrency, writer, Utc::now));
    let abort_polling = polling.abort_handle();
    tokio::select! {
        () = signals.next() => {}
        // Neither ends by itself unless it is broken; a daemon that only half works must not go on.
        ended = &mut serving => bail!("the server ended by itself: {ended:?}"),
        ended = polling => bail!("polling ended by itself: {ended:?}"),
    }

    tracing::info!("shutting down");
    site.stopping.store(true, Ordering::Relaxed);
    abort_polling.abort();
    stop.cancel();
    tokio::select! {
        _ = serving => {}
        () = signals.next() => {}
    }
    Ok(ExitCode::SUCCESS)
}
