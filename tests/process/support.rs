//! Runs the binary: to its end, or as a daemon that the test kills.

use std::{
    ffi::OsStr,
    io::{BufRead, BufReader},
    net::SocketAddr,
    path::Path,
    process::{Child, ChildStderr, Command, ExitStatus, Stdio},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use chrono::{DateTime, Utc};
use metastudio_exporter::simulator::{
    Fault, Options, Simulator,
    history::{self, USERS, UsagePattern},
};
use tempfile::TempDir;
use tokio_util::sync::{CancellationToken, DropGuard};

/// Time limit of all waits. Only a failing test reaches it.
pub const TIMEOUT: Duration = Duration::from_secs(30);

/// A simulated cloud with faults, and the configuration for it.
pub struct Cloud {
    pub simulator: Arc<Simulator>,
    pub address: SocketAddr,
    _stop: DropGuard,
}

impl Cloud {
    pub async fn new(faults: &[&str]) -> Self {
        let faults = faults.iter().map(|fault| fault.parse::<Fault>().unwrap()).collect();
        Self::with(Options { faults, ..Options::default() }).await
    }

    /// A cloud whose service has these settings.
    pub async fn of(service: &str) -> Self {
        Self::with(Options { service: service.parse().unwrap(), ..Options::default() }).await
    }

    pub async fn with(options: Options) -> Self {
        let simulator = Simulator::new(Options { records_requests: true, ..options });
        let stop = CancellationToken::new();
        let address = simulator.spawn(stop.clone()).await.unwrap();
        Cloud { simulator, address, _stop: stop.drop_guard() }
    }

    /// The valid keys, as in a configuration.
    pub fn keys(&self) -> String {
        let options = self.simulator.options();
        format!("access_key: {}, secret_key: {}", options.access_key, options.secret_key)
    }

    /// The valid keys in files of a directory.
    pub fn keys_in_files(&self, directory: &Path) -> String {
        let options = self.simulator.options();
        let key = |name: &str, value: &str| {
            let file = directory.join(name);
            std::fs::write(&file, value).unwrap();
            format!("{name}: {{file: {}}}", file.display())
        };
        [key("access_key", &options.access_key), key("secret_key", &options.secret_key)].join(", ")
    }

    /// A configuration with the valid keys for all of its projects, and `extra` at the top.
    pub fn config(&self, extra: &str) -> String {
        let projects: Vec<&str> =
            self.simulator.options().projects.iter().map(|project| project.name.as_str()).collect();
        self.config_of(&projects, &self.keys(), extra)
    }

    /// A configuration for some of its projects.
    pub fn config_of(&self, projects: &[&str], credentials: &str, extra: &str) -> String {
        let mut text = format!("{extra}\ncredentials: {{main: {{{credentials}}}}}\nprojects:\n");
        for name in projects {
            let project = self.simulator.options().projects.iter().find(|project| project.name == *name).unwrap();
            text += &format!("  - {{name: {name}, endpoint: 'http://{}', project_id: {}}}\n", self.address, project.id);
        }
        text
    }
}

/// A rate limit that no test reaches, and few retries.
pub const FAST: &str = "api: {requests_per_second: 1000, max_retries: 1, request_timeout: 2s}";

/// The binary with a configuration and an empty environment.
pub fn command(directory: &TempDir, config: &str, arguments: &[&str]) -> Command {
    let path = directory.path().join("config.yaml");
    std::fs::write(&path, config).unwrap();
    let mut command = exporter();
    command.args(arguments).arg("--config.file").arg(path);
    command
}

/// The exporter with an empty environment.
pub fn exporter() -> Command {
    clean(env!("CARGO_BIN_EXE_metastudio-exporter"))
}

/// A program with an empty environment, except the variables of faketime: with it, .ci/dates runs tests at other times.
pub fn clean(program: &str) -> Command {
    let of_faketime = |name: &OsStr| name == "LD_PRELOAD" || name.as_encoded_bytes().starts_with(b"FAKETIME");
    let mut command = Command::new(program);
    command.env_clear().envs(std::env::vars_os().filter(|(name, _)| of_faketime(name)));
    command
}

/// The result of a run.
pub struct Ended {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

/// Runs the binary to its end.
pub async fn run(config: &str, arguments: &[&str]) -> Ended {
    run_with(config, arguments, &[]).await
}

/// Like `run`, with these variables in its environment.
pub async fn run_with(config: &str, arguments: &[&str], variables: &[(&str, &str)]) -> Ended {
    let directory = TempDir::new().unwrap();
    let mut command = command(&directory, config, arguments);
    command.envs(variables.iter().copied());
    let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    Ended {
        code: output.status.code(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

/// `once` with a configuration.
pub async fn once(config: &str) -> Ended {
    run(config, &["once"]).await
}

impl Ended {
    /// The value of a sample, by its name and labels as printed.
    pub fn sample(&self, series: &str) -> Option<f64> {
        sample(&self.stdout, series)
    }
}

/// The value of a sample in an exposition, by its name and labels as printed.
pub fn sample(exposition: &str, series: &str) -> Option<f64> {
    exposition.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' ')?.parse().ok())
}

/// Hundredths of minutes and number of the simulated events in a range, for one user or for all.
pub fn sum_of_events(
    project: &str,
    pattern: &UsagePattern,
    start: DateTime<Utc>,
    end: DateTime<Utc>,
    user: Option<&str>,
) -> (i64, u64) {
    let events = history::events(project, pattern, start, end);
    let events = events.filter(|event| user.is_none_or(|user| user == USERS[event.user as usize]));
    let factor = if pattern.unit == "HOUR" { 60 } else { 1 };
    events.fold((0, 0), |(sum, count), event| (sum + event.hundredths * factor, count + 1))
}

/// Hundredths of minutes as the exporter prints them.
pub fn minutes(hundredths: i64) -> f64 {
    format!("{}.{:02}", hundredths / 100, hundredths % 100).parse().unwrap()
}

/// A running daemon.
pub struct Daemon {
    child: Running,
    pub address: SocketAddr,
    pub log: Arc<Mutex<Vec<String>>>,
    /// While a test holds this lock, nothing reads the daemon's log. If it is false, the pipe is closed after one line.
    pub reading: Arc<tokio::sync::Mutex<bool>>,
    directory: TempDir,
}

impl Daemon {
    /// Starts `serve` on a port that the system chooses, and waits until it listens.
    pub fn start(config: &str, arguments: &[&str]) -> Self {
        let directory = TempDir::new().unwrap();
        let command = command(&directory, config, arguments);
        Self::spawn(command, directory)
    }

    /// Like `start`, with a limit for file descriptors.
    pub fn start_limited(config: &str, descriptors: u32) -> Self {
        let directory = TempDir::new().unwrap();
        let inner = command(&directory, config, &[]);
        let mut limited = clean("sh");
        limited.args(["-c", &format!("ulimit -n {descriptors}; exec \"$0\" \"$@\"")]);
        limited.arg(inner.get_program()).args(inner.get_args());
        Self::spawn(limited, directory)
    }

    pub fn spawn(command: Command, directory: TempDir) -> Self {
        let (child, stderr) = Self::spawn_unread(command);
        Self::read(child, stderr, directory)
    }

    /// The process of a daemon, and its log, which nothing reads yet.
    pub fn spawn_unread(mut command: Command) -> (Running, BufReader<ChildStderr>) {
        command.arg("--web.listen-address=127.0.0.1:0").stderr(Stdio::piped()).stdout(Stdio::null());
        let mut child = command.spawn().unwrap();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        (Running(child), stderr)
    }

    /// Reads the log of a daemon from here on, and waits until the daemon listens.
    pub fn read(child: Running, stderr: BufReader<ChildStderr>, directory: TempDir) -> Self {
        let log: Arc<Mutex<Vec<String>>> = Arc::default();
        let reading = Arc::new(tokio::sync::Mutex::new(true));
        std::thread::spawn({
            let (log, reading) = (Arc::clone(&log), Arc::clone(&reading));
            move || {
                for line in stderr.lines() {
                    let reading = reading.blocking_lock();
                    log.lock().unwrap().push(line.unwrap());
                    if !*reading {
                        break;
                    }
                }
            }
        });
        let address = wait_for("the daemon to listen", || {
            let log = log.lock().unwrap();
            let line = log.iter().find(|line| line.contains("listening"))?;
            let address = line.split_once("address=")?.1.split(' ').next()?;
            Some(address.parse().unwrap())
        });
        Daemon { child, address, log, reading, directory }
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub async fn get(&self, path: &str) -> (u16, String) {
        let response = client().get(self.url(path)).send().await.unwrap();
        (response.status().as_u16(), response.text().await.unwrap())
    }

    /// Replaces its configuration file.
    pub fn rewrite(&self, config: &str) {
        std::fs::write(self.directory.path().join("config.yaml"), config).unwrap();
    }

    /// Reloads its configuration over HTTP. Returns the status and the body.
    pub async fn reload(&self) -> (u16, String) {
        let response = client().post(self.url("/-/reload")).send().await.unwrap();
        (response.status().as_u16(), response.text().await.unwrap())
    }

    /// Waits for a line of its log.
    pub fn wait_for_log(&self, text: &str) {
        wait_for(&format!("{text} in the log"), || self.log_text().contains(text).then_some(()));
    }

    pub async fn metrics(&self) -> String {
        self.get("/metrics").await.1
    }

    /// Waits until its metrics meet a condition.
    pub async fn wait_for_metrics(&self, condition: impl Fn(&str) -> bool) -> String {
        let deadline = Instant::now() + TIMEOUT;
        loop {
            let metrics = self.metrics().await;
            if condition(&metrics) {
                return metrics;
            }
            assert!(Instant::now() < deadline, "timed out waiting for the metrics: {metrics}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Waits until every project has been polled.
    pub async fn ready(&self) {
        let deadline = Instant::now() + TIMEOUT;
        while self.get("/-/ready").await.0 != 200 {
            assert!(Instant::now() < deadline, "never ready: {:?}", self.log.lock().unwrap());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    pub fn signal(&self, name: &str) {
        let status = Command::new("kill").args([&format!("-{name}"), &self.child.0.id().to_string()]).status();
        assert!(status.unwrap().success());
    }

    /// Waits for the process to end. Returns its status and the duration of the wait.
    pub fn wait(&mut self) -> (ExitStatus, Duration) {
        let start = Instant::now();
        let status = wait_for("the daemon to end", || self.child.0.try_wait().unwrap());
        (status, start.elapsed())
    }

    /// Its resident memory in MiB.
    #[cfg(target_os = "linux")]
    pub fn memory(&self) -> u64 {
        let pages = procfs::process::Process::new(self.child.0.id() as i32).unwrap().statm().unwrap().resident;
        (pages * procfs::page_size()) >> 20
    }

    pub fn log_text(&self) -> String {
        self.log.lock().unwrap().join("\n")
    }
}

/// A process that is killed when this value is dropped, also if the test fails.
pub struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A client that uses no proxy and does not decompress.
pub fn client() -> reqwest::Client {
    reqwest::Client::builder().no_proxy().timeout(TIMEOUT).build().unwrap()
}

pub fn wait_for<T>(what: &str, mut condition: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + TIMEOUT;
    loop {
        if let Some(value) = condition() {
            return value;
        }
        assert!(Instant::now() < deadline, "timed out waiting for {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}
