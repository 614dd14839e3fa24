//! Reports the state of the daemon to systemd (sd_notify(3)), and takes the sockets that systemd passes. Without
//! systemd, nothing is reported.

use std::time::Duration;
#[cfg(target_os = "linux")]
use std::{
    io,
    os::{
        linux::net::SocketAddrExt,
        unix::net::{SocketAddr, UnixDatagram},
    },
};

use anyhow::{Context, bail};
use listenfd::ListenFd;
use sd_notify::NotifyState;
use tokio::{
    net::TcpListener,
    time::{Instant, sleep},
};

use crate::snapshot::Reader;

/// Interval of the status messages before the daemon is ready.
const STATUS_INTERVAL: Duration = Duration::from_secs(1);
/// Extension of the start timeout, while the first polls make progress. Otherwise systemd would kill a daemon whose
/// cloud is slow.
const EXTENSION: Duration = Duration::from_secs(30);

/// Reports readiness after the first poll of every project; then feeds the watchdog as long as polling makes progress.
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
        sleep(STATUS_INTERVAL).await;
    }
    notify(&[NotifyState::Ready, NotifyState::Status("Polling")]);
    // Without a watchdog there is nothing more to report, but this function never returns.
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
/// There are none, or one of them is not a TCP socket.
pub(super) fn sockets() -> anyhow::Result<Vec<TcpListener>> {
    let mut passed = ListenFd::from_env();
    let count = passed.len();
    if count == 0 {
        bail!("--web.systemd-socket: systemd passed no socket; start the exporter with its socket unit");
    }
    let socket = |index| {
        let listener = passed.take_tcp_listener(index).ok().flatten();
        let listener = listener.with_context(|| format!("socket {index} of systemd is not a listening TCP socket"))?;
        listener.set_nonblocking(true)?;
        Ok(TcpListener::from_std(listener)?)
    };
    (0..count).map(socket).collect()
}

/// Reports the start of the shutdown.
pub(super) fn stopping() {
    notify(&[NotifyState::Stopping, NotifyState::Status("Shutting down")]);
}

/// A reload that was reported to systemd.
pub(super) struct Reloading(());

impl Reloading {
    /// Reports the start of a reload. `None` before the daemon is ready: the end of a reload is reported as READY=1,
    /// which would report readiness too early.
    pub fn begin(reader: &Reader) -> Option<Self> {
        if !reader.load().is_ready() {
            return None;
        }
        match NotifyState::monotonic_usec_now() {
            Ok(now) => notify(&[NotifyState::Reloading, now]),
            Err(error) => tracing::warn!(%error, "cannot report the reload to systemd"),
        }
        Some(Reloading(()))
    }

    /// Reports the end of the reload. Not in `Drop`, because a shutdown during a reload drops it, too.
    pub fn end(self) {
        notify(&[NotifyState::Ready]);
    }
}

fn notify(states: &[NotifyState<'_>]) {
    #[cfg(target_os = "linux")]
    let sent = notify_abstract(states);
    #[cfg(not(target_os = "linux"))]
    let sent = None;
    // Does nothing if systemd did not start the daemon.
    if let Err(error) = sent.unwrap_or_else(|| sd_notify::notify(states)) {
        tracing::warn!(%error, "cannot notify systemd");
    }
}

/// Sends to a socket in the abstract namespace, whose name begins with `@`, because the crate sd-notify takes such a
/// name for a path. `None` if the socket is not abstract.
#[cfg(target_os = "linux")]
fn notify_abstract(states: &[NotifyState<'_>]) -> Option<io::Result<()>> {
    let variable = std::env::var_os("NOTIFY_SOCKET")?;
    let name = variable.as_encoded_bytes().strip_prefix(b"@")?;
    let lines: String = states.iter().map(|state| format!("{state}\n")).collect();
    let send = || {
        let address = SocketAddr::from_abstract_name(name)?;
        UnixDatagram::unbound()?.send_to_addr(lines.as_bytes(), &address).map(drop)
    };
    Some(send())
}

fn microseconds(duration: Duration) -> u32 {
    u32::try_from(duration.as_micros()).unwrap_or(u32::MAX)
}
