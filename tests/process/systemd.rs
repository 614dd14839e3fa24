//! The messages to systemd.

use std::{
    os::{
        linux::net::SocketAddrExt,
        unix::net::{SocketAddr, UnixDatagram},
    },
    time::{Duration, Instant},
};

use tempfile::TempDir;

use crate::support::{Cloud, Daemon, FAST, TIMEOUT, command};

struct Systemd {
    socket: UnixDatagram,
    /// The value of `NOTIFY_SOCKET`.
    address: String,
    _directory: TempDir,
}

impl Systemd {
    fn new() -> Self {
        let directory = TempDir::new().unwrap();
        let path = directory.path().join("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        socket.set_read_timeout(Some(TIMEOUT)).unwrap();
        Systemd { socket, address: path.to_str().unwrap().to_owned(), _directory: directory }
    }

    /// With a socket in the abstract namespace.
    fn with_abstract_socket() -> Self {
        let directory = TempDir::new().unwrap();
        let name = directory.path().to_str().unwrap();
        let socket = UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(name).unwrap()).unwrap();
        socket.set_read_timeout(Some(TIMEOUT)).unwrap();
        Systemd { socket, address: format!("@{name}"), _directory: directory }
    }

    fn start(&self, config: &str, variables: &[(&str, &str)]) -> Daemon {
        let home = TempDir::new().unwrap();
        let mut command = command(&home, config, &[]);
        command.env("NOTIFY_SOCKET", &self.address).envs(variables.iter().copied());
        Daemon::spawn(command, home)
    }

    fn next(&self) -> String {
        let mut buffer = [0; 4096];
        let length = self.socket.recv(&mut buffer).unwrap();
        String::from_utf8(buffer[..length].to_vec()).unwrap().trim_end().replace('\n', " ")
    }

    /// The next message with this beginning, and all messages before it.
    fn wait_for(&self, beginning: &str) -> (String, Vec<String>) {
        let mut before = Vec::new();
        loop {
            let message = self.next();
            if message.starts_with(beginning) {
                return (message, before);
            }
            before.push(message);
        }
    }
}

#[tokio::test]
async fn the_socket_may_be_abstract() {
    let cloud = Cloud::new(&[]).await;
    let systemd = Systemd::with_abstract_socket();
    let daemon = systemd.start(&cloud.config(FAST), &[]);
    assert_eq!(systemd.wait_for("READY=1").0, "READY=1 STATUS=Polling");
    daemon.signal("TERM");
    assert_eq!(systemd.wait_for("STOPPING=1").0, "STOPPING=1 STATUS=Shutting down");
}

#[tokio::test]
async fn systemd_is_notified_of_start_reload_and_stop() {
    let cloud = Cloud::new(&["hang:project=campaign,times=1"]).await;
    let systemd = Systemd::new();
    let mut daemon = systemd.start(&cloud.config(FAST), &[]);
    let (ready, before) = systemd.wait_for("READY=1");
    assert_eq!(ready, "READY=1 STATUS=Polling");
    assert!(before.iter().all(|message| message.contains("EXTEND_TIMEOUT_USEC=30000000")), "{before:?}");
    let is_status = |message: &String| message.contains(" of 3 projects have been polled ");
    assert!(!before.is_empty() && before.iter().all(is_status), "{before:?}");

    daemon.signal("HUP");
    let reloading = systemd.next();
    let monotonic = reloading.strip_prefix("RELOADING=1 MONOTONIC_USEC=").unwrap();
    assert!(monotonic.parse::<u64>().unwrap() > 0);
    assert_eq!(systemd.next(), "READY=1");
    daemon.rewrite("nonsense");
    daemon.signal("HUP");
    assert!(systemd.next().starts_with("RELOADING=1"));
    assert_eq!(systemd.next(), "READY=1", "also after a failed reload");
    daemon.signal("TERM");
    assert_eq!(systemd.next(), "STOPPING=1 STATUS=Shutting down");
    assert!(daemon.wait().0.success());
}

#[tokio::test]
async fn the_watchdog_gets_a_message_at_each_half_of_its_limit() {
    let cloud = Cloud::new(&[]).await;
    let systemd = Systemd::new();
    let _daemon = systemd.start(&cloud.config(FAST), &[("WATCHDOG_USEC", "400000")]);
    systemd.wait_for("READY=1");
    let start = Instant::now();
    for _ in 0..5 {
        assert_eq!(systemd.next(), "WATCHDOG=1");
    }
    // Five messages, at half of the limit.
    assert!(start.elapsed() >= Duration::from_millis(700), "{:?}", start.elapsed());
}
