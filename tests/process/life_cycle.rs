//! Start, shutdown and the log of the daemon; the demo.

use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader, Read},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::support::{Cloud, Daemon, FAST, exporter, wait_for};

/// Time limit of a shutdown. The exporter waits for running scrapes for up to three of these seconds.
const FIVE_SECONDS: Duration = Duration::from_secs(5);

#[tokio::test(flavor = "multi_thread")]
async fn a_signal_during_a_poll_ends_the_daemon_in_time() {
    for signal in ["TERM", "INT"] {
        let cloud = Cloud::new(&["hang"]).await;
        let mut daemon = Daemon::start(&cloud.config("api: {request_timeout: 60s}"), &[]);
        wait_for("a poll", || (!cloud.simulator.seen().is_empty()).then_some(()));
        daemon.signal(signal);
        let (status, took) = daemon.wait();
        assert_eq!(status.code(), Some(0), "SIG{signal}: {}", daemon.log_text());
        assert!(took < FIVE_SECONDS, "{took:?}");
        assert!(TcpStream::connect(daemon.address).await.is_err(), "the port is free again");
    }
}

/// With these settings, a poll fails after a second, and then the next project is polled.
#[cfg(target_os = "linux")]
const ONE_AT_A_TIME: &str = "poll: {timeout: 10s, concurrency: 1}\napi: {request_timeout: 1s, max_retries: 0}";

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
async fn a_hanging_file_does_not_delay_the_shutdown() {
    let cloud = Cloud::new(&["hang"]).await;
    let directory = tempfile::tempdir().unwrap();
    let keys = cloud.keys_in_files(directory.path());
    let config = cloud.config_of(&["campaign", "live-commerce"], &keys, ONE_AT_A_TIME);
    let mut daemon = Daemon::start(&config, &[]);
    wait_for("the first poll", || (!cloud.simulator.seen().is_empty()).then_some(()));
    let Some(_mount) = crate::dead_mount::DeadMount::over(directory.path()) else { return };
    // The poll of the other project reads the file again.
    daemon.wait_for_log("no answer within 5s; check the mount");
    daemon.signal("TERM");
    let (status, took) = daemon.wait();
    assert_eq!(status.code(), Some(0));
    assert!(took < FIVE_SECONDS, "{took:?}");
}

/// The daemon opens the ledger once to check it, and again to read the last usage. In between, it logs a line for each
/// of its two addresses. The pipe of the log is too small for the second line. So the daemon waits until the test reads
/// this line, and the test locks the ledger first.
#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
async fn a_signal_while_the_ledger_is_in_use_ends_the_start() {
    use rustix::fs::inotify::{self, CreateFlags, WatchFlags};

    let cloud = Cloud::new(&[]).await;
    let (home, storage) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (ledger, long_path) = (storage.path().join("days.redb"), "x".repeat(100_000));
    let arguments = [
        &format!("--storage.path={}", storage.path().display()),
        &format!("--web.telemetry-path=/{long_path}"),
        "--web.listen-address=127.0.0.1:0",
    ];
    let (child, mut log) = Daemon::spawn_unread(crate::support::command(&home, &cloud.config(FAST), &arguments));
    assert!(rustix::pipe::fcntl_getpipe_size(log.get_ref()).unwrap() < long_path.len());
    let mut lines = log.by_ref().lines().map(Result::unwrap);
    assert!(lines.any(|line| line.contains("msg=listening")));
    let _in_use = redb::Database::open(&ledger).unwrap();
    let watch = inotify::init(CreateFlags::NONBLOCK).unwrap();
    inotify::add_watch(&watch, &ledger, WatchFlags::OPEN).unwrap();
    let (mut daemon, mut opened) = (Daemon::read(child, log, home), std::fs::File::from(watch));
    wait_for("the daemon to open the ledger", || opened.read(&mut [0; 4096]).ok());
    daemon.signal("TERM");
    // Without the signal, it would wait for 30 seconds.
    let (status, took) = daemon.wait();
    assert_eq!(status.code(), Some(0));
    assert!(took < FIVE_SECONDS, "{took:?}");
    daemon.wait_for_log("msg=\"shutting down\"");
}

/// Without the signal, the demo would fail after five seconds, because the file cannot be read.
#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
async fn a_signal_while_the_web_configuration_hangs_ends_the_demo() {
    /// The bit of SIGTERM in a mask of signals (proc(5)).
    const SIGTERM: u64 = 1 << (15 - 1);

    let mounted = tempfile::tempdir().unwrap();
    let Some(_mount) = crate::dead_mount::DeadMount::over(mounted.path()) else { return };
    let web = format!("--web.config.file={}", mounted.path().join("web.yaml").display());
    let mut command = exporter();
    command.args(["demo", &web, "--web.listen-address=127.0.0.1:0"]);
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let process = procfs::process::Process::new(child.id() as i32).unwrap();
    wait_for("a handler of SIGTERM", || (process.status().unwrap().sigcgt & SIGTERM != 0).then_some(()));
    assert!(Command::new("kill").arg(child.id().to_string()).status().unwrap().success());
    let status = wait_for("the demo to end", || child.try_wait().unwrap());
    assert_eq!(status.code(), Some(0));
}

/// A daemon with more metrics than the buffers of both sockets hold, and a started scrape that is not read.
async fn slow_scrape() -> (Daemon, TcpStream) {
    let mut config = "credentials: {main: {token: t}}\nprojects:\n".to_owned();
    for number in 0..4000 {
        config += &format!(
            "  - {{name: a-project-with-a-long-name-{number}, endpoint: 'http://127.0.0.1:9', project_id: '{number:032x}'}}\n"
        );
    }
    let daemon = Daemon::start(&config, &[]);
    let mut stream = TcpStream::connect(daemon.address).await.unwrap();
    stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    stream.peek(&mut [0; 1]).await.unwrap();
    (daemon, stream)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_scrape_in_flight_is_answered_to_the_end() {
    let (mut daemon, mut stream) = slow_scrape().await;
    daemon.signal("TERM");
    wait_for("the port to close", || std::net::TcpStream::connect(daemon.address).is_err().then_some(()));
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
    assert_eq!(body.len(), length.parse::<usize>().unwrap());
    assert!(body.len() > 4_000_000, "more than the buffers of the sockets hold: {}", body.len());
    assert_eq!(daemon.wait().0.code(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_scrape_that_is_never_read_is_cut_off_in_time() {
    let (mut daemon, _stream) = slow_scrape().await;
    let start = Instant::now();
    daemon.signal("TERM");
    let (status, _) = daemon.wait();
    assert_eq!(status.code(), Some(0));
    assert!(start.elapsed() > FIVE_SECONDS / 2, "the daemon waited for the scrape");
    assert!(start.elapsed() < FIVE_SECONDS, "{:?}", start.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_signal_ends_at_once() {
    let (mut daemon, _stream) = slow_scrape().await;
    daemon.signal("TERM");
    wait_for("the port to close", || std::net::TcpStream::connect(daemon.address).is_err().then_some(()));
    let start = Instant::now();
    daemon.signal("TERM");
    assert_eq!(daemon.wait().0.code(), Some(0));
    assert!(start.elapsed() < FIVE_SECONDS / 2, "{:?}", start.elapsed());
    daemon.wait_for_log("another signal: ending at once");
    assert_eq!(daemon.log_text().matches("shutting down").count(), 1, "{}", daemon.log_text());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_daemon_without_problems_logs_three_lines() {
    let cloud = Cloud::new(&[]).await;
    let daemon = Daemon::start(&cloud.config(FAST), &[]);
    daemon.ready().await;
    daemon.metrics().await;
    let log = wait_for("the log", || Some(daemon.log_text()).filter(|log| log.contains("polled once")));
    assert_eq!(log.lines().count(), 3, "starting, listening, ready: {log}");
}

/// A running demo. It ends when it is dropped.
struct Demo {
    child: Child,
    /// The address of its metrics.
    metrics: String,
}

impl Demo {
    fn start(flags: &[&str]) -> Self {
        let mut child = exporter()
            .args(["demo", "--web.listen-address=127.0.0.1:0"])
            .args(flags)
            .env("http_proxy", "http://127.0.0.1:9") // the demo must not use it
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let url = stdout
            .lines()
            .map(Result::unwrap)
            .find_map(|line| Some(line.trim().strip_prefix("metrics")?.trim().to_owned()));
        Demo { child, metrics: url.expect("the demo prints the address of its metrics") }
    }

    /// The values of `metastudio_up` once the demo has polled all projects.
    async fn polled(&self) -> BTreeMap<String, f64> {
        let ready = self.metrics.replace("/metrics", "/-/ready");
        let deadline = Instant::now() + crate::support::TIMEOUT;
        while crate::support::client().get(&ready).send().await.unwrap().status() != 200 {
            assert!(Instant::now() < deadline, "the demo is not ready");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let metrics = crate::support::client().get(&self.metrics).send().await.unwrap().text().await.unwrap();
        let ups = metrics.lines().filter_map(|line| line.strip_prefix("metastudio_up{project=\"")?.split_once("\"} "));
        ups.map(|(project, up)| (project.to_owned(), up.parse().unwrap())).collect()
    }

    /// Ends the demo. Returns its log.
    fn end(mut self) -> String {
        self.child.kill().unwrap();
        let mut log = String::new();
        self.child.stderr.take().unwrap().read_to_string(&mut log).unwrap();
        log
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_demo_needs_no_configuration_and_shows_a_failure() {
    let demo = Demo::start(&[]);
    let expected = [("campaign", 1.0), ("live-commerce", 1.0), ("partner-studio", 0.0), ("studio-prod", 1.0)];
    assert_eq!(demo.polled().await, expected.map(|(project, up)| (project.to_owned(), up)).into());
    let log = demo.end();
    let messages: Vec<&str> = log.lines().map(|line| line.split_once(" level=").unwrap().1).collect();
    assert_eq!(messages.len(), 3, "listening, a failed poll, all polled: {log}");
    assert!(messages[1].starts_with("WARN msg=\"poll failed\" project=partner-studio reason=forbidden "), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_demo_is_all_green_on_demand() {
    let demo = Demo::start(&["--all-green"]);
    let expected = ["campaign", "live-commerce", "studio-prod"].map(|project| (project.to_owned(), 1.0));
    assert_eq!(demo.polled().await, expected.into());
    assert!(!demo.end().contains("level=WARN"));
}
