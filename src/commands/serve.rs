//! `serve`: poll and serve until a signal.

mod background;
mod memory;
mod reload;
mod systemd;
mod tables;

use std::{path::PathBuf, process::ExitCode, sync::Arc};

use anyhow::{Context, anyhow, bail};
use chrono::Utc;
use clap::Args;
use tokio::{
    net::TcpListener,
    signal::unix::{Signal, SignalKind, signal},
    sync::{mpsc, oneshot},
    task::JoinHandle,
};
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};

use self::{memory::Memory, reload::Reloader};
use super::{
    check::Check,
    configuration::{ConfigFlags, ConfigSource, ValidConfig},
    signals::Signals,
};
use crate::{
    cloud::Lockout,
    config::{Environment, Shard},
    exposition::{self, BuildInfo, ConfigStatus, ExporterStatus, Exposition},
    history::ledger::Ledger,
    log::LogWriter,
    polling::{Fleet, fleet::Kept, schedule},
    server::{self, ConnectionCounts, Connections, Limits, Server, WebPolicy},
    site::{ReloadRequest, Route, Routes, TableRequest},
    snapshot::{self, Moment, Reader},
    storage::{Storage, StorageError},
};

const BUILD: BuildInfo =
    BuildInfo { version: env!("CARGO_PKG_VERSION"), revision: env!("BUILD_REVISION"), rustc: env!("BUILD_RUSTC") };

/// Flags of `serve`.
#[derive(Args, Debug)]
pub(crate) struct Serve {
    #[command(flatten)]
    pub config: ConfigFlags,
    #[command(flatten)]
    pub web: WebFlags,
    /// Keep state over restarts in this directory: keys that were refused stay on hold, the last usage is shown at once,
    /// and days that have ended are kept. Created if it does not exist; one exporter at a time uses it
    #[arg(long = "storage.path", value_name = "DIR")]
    storage: Option<PathBuf>,
    /// Validate the configuration and exit, like `check`
    #[arg(long = "config.check")]
    pub check: bool,
}

/// The flags that `serve` and `demo` share.
#[derive(Args, Debug)]
pub(crate) struct WebFlags {
    /// Address to listen on, repeatable: HOST:PORT, or :PORT for all interfaces, IPv6 included
    #[arg(long = "web.listen-address", value_name = "ADDR", default_value = ":19677")]
    pub listen_addresses: Vec<String>,
    /// Path of the metrics
    #[arg(long = "web.telemetry-path", value_name = "PATH", default_value = "/metrics", value_parser = telemetry_path)]
    pub telemetry_path: String,
    /// Path of the web configuration: TLS, users, headers and a rate limit, in the format of the exporter-toolkit
    #[arg(long = "web.config.file", value_name = "PATH")]
    config_file: Option<PathBuf>,
    /// Serve /-/healthy and /-/ready without basic authentication, for probes; client certificates are still required
    #[arg(long = "web.health-without-auth")]
    health_without_auth: bool,
    /// Listen on the sockets that systemd passes, instead of the addresses
    #[arg(long = "web.systemd-socket")]
    systemd_socket: bool,
    /// Allow POST and PUT on /-/reload; SIGHUP always reloads
    #[arg(long = "web.enable-lifecycle")]
    enable_lifecycle: bool,
}

fn telemetry_path(text: &str) -> Result<String, String> {
    let is_reserved = ["/", "/docs", "/table"].contains(&text) || text.starts_with("/docs/") || text.starts_with("/-/");
    if text.starts_with('/') && !is_reserved && !text.contains(['?', '#', ' ']) {
        Ok(text.to_owned())
    } else {
        Err("expected a path such as /metrics; /, /docs, /table and all paths under /docs/ and /-/ are reserved"
            .to_owned())
    }
}

impl Serve {
    /// Runs the daemon, or `check` with `--config.check`.
    pub async fn run(self, environment: Environment, log: LogWriter) -> anyhow::Result<ExitCode> {
        if self.check {
            let Serve { config, web, .. } = self;
            let check = Check::offline(config, web.config_file);
            return check.run(&environment).await;
        }
        let mut signals = Signals::new()?;
        // From here on, SIGHUP no longer ends the process.
        let hangup = signal(SignalKind::hangup())?;
        tracing::info!(version = BUILD.version, revision = BUILD.revision, "starting metastudio-exporter");
        let source = ConfigSource::of(&self.config, &environment)?;
        let web = self.web;
        let start = async {
            let config = ValidConfig::new(source.load(&environment).await)?;
            let kept = open_storage(self.storage).await?;
            anyhow::Ok((config, kept, Listeners::new(&web).await?))
        };
        let Some(started) = signals.run_until_signal(start).await else { return Ok(ExitCode::SUCCESS) };
        let (config, kept, listeners) = started?;
        Daemon { source, config, web, listeners, environment, kept, signals, hangup: Some(hangup), log }.run().await
    }
}

/// Opens the directory of `--storage.path`. If the ledger in it cannot be used, a warning is logged, and polling starts
/// without the ledger.
async fn open_storage(directory: Option<PathBuf>) -> anyhow::Result<Kept> {
    let Some(directory) = directory else { return Ok(Kept::default()) };
    let open = move || {
        let storage = Storage::open(&directory)?;
        let lockout = Arc::new(Lockout::stored(Arc::new(storage), Utc::now)?);
        let ledger = Ledger::open(&directory, Utc::now());
        let ledger = ledger.inspect_err(|error| {
            tracing::warn!(
                "{error}. Until the next start, no days are kept, and the last usage is not kept for a restart"
            );
        });
        Ok::<_, StorageError>(Kept { lockout, ledger: ledger.ok() })
    };
    Ok(tokio::task::spawn_blocking(open).await??)
}

/// The sockets to serve on, and the rules for their clients.
pub(super) struct Listeners {
    pub sockets: Vec<TcpListener>,
    policy: WebPolicy,
}

impl Listeners {
    /// Reads the web configuration, then binds all addresses or takes the sockets from systemd.
    ///
    /// # Errors
    /// The web configuration is not valid, or an address cannot be bound.
    pub async fn new(web: &WebFlags) -> anyhow::Result<Self> {
        let policy = WebPolicy::load(web.config_file.clone()).await;
        let mut policy = policy.map_err(|problems| {
            for problem in problems {
                tracing::error!("web configuration: {problem}");
            }
            anyhow!("the web configuration is not valid")
        })?;
        for warning in policy.warnings() {
            tracing::warn!("web configuration: {warning}");
        }
        if web.health_without_auth {
            policy = policy.exempt(&Route::PROBES);
        }
        let sockets =
            if web.systemd_socket { systemd::sockets()? } else { server::bind(&web.listen_addresses).await? };
        for socket in &sockets {
            let (address, tls) = (socket.local_addr()?, policy.speaks_tls());
            tracing::info!(%address, path = web.telemetry_path, tls, "listening");
        }
        Ok(Listeners { sockets, policy })
    }
}

/// A daemon that is ready to start: its configuration is valid, and its listeners are bound.
pub(super) struct Daemon {
    pub source: ConfigSource,
    pub config: ValidConfig,
    pub web: WebFlags,
    pub listeners: Listeners,
    pub environment: Environment,
    pub kept: Kept,
    pub signals: Signals,
    /// Each SIGHUP reloads the configuration. With `None`, SIGHUP ends the process.
    pub hangup: Option<Signal>,
    pub log: LogWriter,
}

impl Daemon {
    /// Polls and serves until SIGTERM or SIGINT. A second signal ends the process at once.
    pub async fn run(self) -> anyhow::Result<ExitCode> {
        let Daemon { source, config, web, listeners, environment, kept, mut signals, hangup, log } = self;
        log.start_queue().context("cannot start the thread for the log")?;
        let shard = source.shard();
        if shard.total > 1 {
            let Shard { index, total } = shard;
            tracing::info!(shard = index, shards = total, projects = config.config.projects.len(), "polling one shard");
        }
        let ledger = kept.ledger.clone();
        let fleet = Fleet::with_kept(config.config, &environment, Utc::now, kept)?;
        let plan = fleet.plan();
        let (mut writer, reader) = snapshot::channel(fleet.targets());
        let mut remembering = None;
        let mut tables = None;
        let stop = CancellationToken::new();
        if let Some(ledger) = ledger {
            let restore = Memory::restore(ledger.clone(), reader.clone(), &mut writer, Moment::now());
            let Some(memory) = signals.run_until_signal(restore).await else { return Ok(ExitCode::SUCCESS) };
            remembering = Some(tokio::spawn(memory.run(stop.clone())));
            let (sender, requests) = mpsc::channel(1);
            tables = Some(sender);
            tokio::spawn(tables::run(ledger, reader.clone(), requests));
        }
        let status = Arc::new(ConfigStatus::new(config.hash, config.loaded));
        let (reload, reload_requests) = mpsc::channel(1);
        let connections = Connections::default();
        let exporter = ExporterStatus {
            build: BUILD,
            shard: (shard.index, shard.total),
            config: Arc::clone(&status),
            requests: Arc::default(),
            log_lines_dropped: log.dropped(),
            connections: read_counts(connections.clone()),
        };
        let routes = Arc::new(routes(&web, exporter, reader.clone(), reload.clone(), tables));
        let serving = serve(listeners, &routes, connections, stop.clone());
        let (plans, new_plans) = mpsc::channel(1);
        let reloader = Reloader { source, environment, fleet, plans, status, reader: reader.clone() };
        let polling = background::spawn("polling", schedule::run(plan, new_plans, writer, Moment::now))?;
        let reloading = background::spawn("reloading", reloader.run(hangup, reload_requests))?;
        let notifying = AbortOnDropHandle::new(tokio::spawn(systemd::run(reader)));
        let mut tasks = Tasks { serving, polling, reloading, remembering, notifying, reload, routes, stop };
        tasks.until_signal(&mut signals).await?;
        tasks.stop(&mut signals).await;
        Ok(ExitCode::SUCCESS)
    }
}

/// The tasks of a daemon that polls and serves.
struct Tasks {
    serving: JoinHandle<()>,
    polling: oneshot::Receiver<()>,
    reloading: oneshot::Receiver<()>,
    /// `None` if nothing is kept for the next restart.
    remembering: Option<JoinHandle<()>>,
    notifying: AbortOnDropHandle<()>,
    /// Keeps the channel of reload requests open: without `--web.enable-lifecycle`, no route has a sender.
    reload: mpsc::Sender<ReloadRequest>,
    routes: Arc<Routes>,
    /// Stops the server and the task that keeps the usage.
    stop: CancellationToken,
}

impl Tasks {
    /// Waits for SIGTERM or SIGINT. It is an error if serving, polling or reloading ends by itself: only a bug can end
    /// these tasks, and the daemon needs all of them.
    async fn until_signal(&mut self, signals: &mut Signals) -> anyhow::Result<()> {
        let ended = async {
            tokio::select! {
                _ = &mut self.serving => "the server",
                _ = &mut self.polling => "polling",
                _ = &mut self.reloading => "reloading",
            }
        };
        match signals.run_until_signal(ended).await {
            None => Ok(()),
            Some(task) => bail!("{task} ended by itself, please report this with the log"),
        }
    }

    /// Ends polling at once, then waits for answers that are being sent and for the last usage to be kept. A signal
    /// ends the wait.
    async fn stop(self, signals: &mut Signals) {
        systemd::stopping();
        let Tasks { serving, polling, reloading, remembering, notifying, reload, routes, stop } = self;
        routes.stop();
        drop((notifying, reloading, polling, reload));
        stop.cancel();
        let ending = async {
            let _ = serving.await;
            if let Some(remembering) = remembering {
                let _ = remembering.await;
            }
        };
        tokio::select! {
            () = ending => {}
            () = signals.next() => {
                tracing::warn!("another signal: ending at once; answers may be cut off, and the last usage may be lost");
            }
        }
    }
}

/// Starts the server.
fn serve(
    listeners: Listeners,
    routes: &Arc<Routes>,
    connections: Connections,
    stop: CancellationToken,
) -> JoinHandle<()> {
    let Listeners { sockets, policy } = listeners;
    let counting = Arc::clone(routes);
    let server = Server::new(Arc::clone(routes).service(), policy, Limits::default())
        .count_connections(connections)
        .on_answer(move |path, status| counting.count(path, status));
    tokio::spawn(server.serve(sockets, stop))
}

/// The numbers of connections as metrics.
fn read_counts(connections: Connections) -> Box<dyn Fn() -> exposition::ConnectionStatus + Send + Sync> {
    Box::new(move || {
        let ConnectionCounts { limit, idle, active, closed } = connections.counts();
        exposition::ConnectionStatus { limit, idle, active, closed }
    })
}

fn routes(
    web: &WebFlags,
    status: ExporterStatus,
    reader: Reader,
    reload: mpsc::Sender<ReloadRequest>,
    tables: Option<mpsc::Sender<TableRequest>>,
) -> Routes {
    let (requests, config, shard) = (Arc::clone(&status.requests), Arc::clone(&status.config), status.shard);
    let exposition = Exposition::of_projects(reader.clone(), Moment::now).and_exporter(status);
    let mut routes = Routes::new(exposition, reader, Moment::now)
        .with_telemetry_path(&web.telemetry_path)
        .with_shard(shard)
        .with_config(config)
        .with_requests(requests);
    if web.enable_lifecycle {
        routes = routes.with_reload(reload);
    }
    match tables {
        Some(tables) => routes.with_tables(tables),
        None => routes,
    }
}
