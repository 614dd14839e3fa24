//! Tells systemd how the daemon fares, where systemd has started it (sd_notify(3)).

use std::time::Duration;

use anyhow::{Context, bail};
use listenfd::ListenFd;
use sd_notify::NotifyState;
use tokio::{
    net::TcpListener,
    time::{Instant, sleep},
};

use crate::snapshot::Reader;

/// How often a start is looked at.
const TICK: Duration = Duration::from_secs(1);
/// How much longer systemd is to wait while the first polls go on: a slow cloud is no reason to be killed.
const EXTENSION: Duration = Duration::from_secs(30);

/// Says that the daemon is ready, once it is; then keeps the watchdog quiet for as long as polling makes progress.
pub(super) async fn run(reader: Reader) {
    loop {
        let snapshot = reader.load();
        if snapshot.is_ready() {
            break;
        }
        let status = format!("{} of {} projects have been polled", snapshot.tried(), snapshot.projects.len());
        drop(snapshot);
        let mut states = vec![NotifyState::Status(&status)];
        if !reader.is_stuck(Instant::now()) {
            states.push(NotifyState::ExtendTimeoutUsec(microseconds(EXTENSION)));
        }
        notify(&states);
        sleep(TICK).await;
    }
    notify(&[NotifyState::Ready, NotifyState::Status("Polling")]);
    // Without a watchdog there is nothing more to say.
    let Some(limit) = sd_notify::watchdog_enabled() else { return std::future::pending().await };
    loop {
        if !reader.is_stuck(Instant::now()) {
            notify(&[NotifyState::Watchdog]);
        }
        sleep(limit / 2).await;
    }
}

/// The sockets that systemd passes (sd_listen_fds(3)).
///
/// # Errors
/// If there are none, or one of them is not of TCP.
pub(super) fn sockets() -> anyhow::Result<Vec<TcpListener>> {
    let mut passed = ListenFd::from_env();
    let count = passed.len();
    if count == 0 {
        bail!("--web.systemd-socket: systemd has passed no socket; start the exporter by its socket unit");
    }
    let socket = |index| {
        let listener = passed.take_tcp_listener(index).ok().flatten();
        let listener =
            listener.with_context(|| format!("socket {index} of systemd is not a TCP socket that listens"))?;
        listener.set_nonblocking(true)?;
        Ok(TcpListener::from_std(listener)?)
    };
    (0..count).map(socket).collect()
}

/// Says that the daemon ends.
pub(super) fn stopping() {
    notify(&[NotifyState::Stopping, NotifyState::Status("Shutting down")]);
}

/// A reload that systemd knows of.
pub(super) struct Reloading(());

impl Reloading {
    /// Says that the configuration is being loaded. `None` before the daemon is ready: systemd takes the end of a
    /// reload for readiness.
    pub fn begin(reader: &Reader) -> Option<Self> {
        if !reader.load().is_ready() {
            return None;
        }
        match NotifyState::monotonic_usec_now() {
            Ok(now) => notify(&[NotifyState::Reloading, now]),
            Err(error) => tracing::warn!(%error, "cannot tell systemd that the configuration is being loaded"),
        }
        Some(Reloading(()))
    }

    /// Says that this is over. Not when it is dropped: that may be the end of the daemon.
    pub fn end(self) {
        notify(&[NotifyState::Ready]);
    }
}

fn notify(states: &[NotifyState<'_>]) {
    // Does nothing where systemd has not started us.
    if let Err(error) = sd_notify::notify(states) {
        tracing::warn!(%error, "cannot notify systemd");
    }
}

fn microseconds(duration: Duration) -> u32 {
    u32::try_from(duration.as_micros()).unwrap_or(u32::MAX)
}
