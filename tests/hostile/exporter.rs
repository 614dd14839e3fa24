//! The exporter as a process: with TLS and one user, or without both.

use std::{
    env, fs,
    io::{BufRead, BufReader},
    net::SocketAddr,
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex, mpsc},
    time::{Duration, Instant},
};

use procfs::process::Process;
use rcgen::{CertifiedKey, generate_simple_self_signed};
use reqwest::{Certificate, Client};
use tempfile::TempDir;

/// Time limit of a wait. Only a failing test reaches it.
const TIMEOUT: Duration = Duration::from_secs(90);

/// The variable that names the program to test. By default, it is the program that `cargo test` has built.
pub const PROGRAM: &str = "METASTUDIO_EXPORTER";

pub const USER: &str = "alice";
pub const PASSWORD: &str = "one";

/// Clones share one process. It ends when the last clone is dropped.
#[derive(Clone)]
pub struct Exporter {
    pub address: SocketAddr,
    pub certificate: String,
    process: Arc<Running>,
    id: i32,
    scheme: &'static str,
    log: Arc<Mutex<Vec<String>>>,
    directory: Arc<TempDir>,
}

/// Ends the process when it is dropped.
struct Running(Mutex<Child>);

impl Exporter {
    pub fn start(config: &str) -> Self {
        Self::with_scheme("https", config)
    }

    /// Without TLS and users.
    pub fn start_plain(config: &str) -> Self {
        Self::with_scheme("http", config)
    }

    fn with_scheme(scheme: &'static str, config: &str) -> Self {
        let directory = TempDir::new().unwrap();
        let path = |name: &str| directory.path().join(name);
        let CertifiedKey { cert, signing_key } = generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        fs::write(path("server.crt"), cert.pem()).unwrap();
        fs::write(path("server.key"), signing_key.serialize_pem()).unwrap();
        fs::write(path("config.yaml"), config).unwrap();
        let hash = bcrypt::hash(PASSWORD, 10).unwrap();
        let web = "tls_server_config: {cert_file: server.crt, key_file: server.key}\n";
        fs::write(path("web.yaml"), format!("{web}basic_auth_users: {{{USER}: {hash}}}")).unwrap();
        let program = env::var_os(PROGRAM).unwrap_or_else(|| env!("CARGO_BIN_EXE_metastudio-exporter").into());
        let mut command = Command::new(program);
        command.args(["--web.listen-address=127.0.0.1:0", "--web.enable-lifecycle"]);
        // The image and the package set this variable, too.
        command.env_clear().env("MALLOC_ARENA_MAX", "2");
        command.arg("--config.file").arg(path("config.yaml"));
        if scheme == "https" {
            command.arg("--web.config.file").arg(path("web.yaml"));
        }
        let mut process = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let (id, log) = (i32::try_from(process.id()).unwrap(), Arc::default());
        let address = read_log(&mut process, &log);
        let (process, directory) = (Arc::new(Running(Mutex::new(process))), Arc::new(directory));
        Exporter { address, certificate: cert.pem(), process, id, scheme, log, directory }
    }

    /// A client with connections of its own.
    pub fn client(&self) -> Client {
        let certificate = Certificate::from_pem(self.certificate.as_bytes()).unwrap();
        Client::builder().no_proxy().timeout(TIMEOUT).tls_certs_only([certificate]).build().unwrap()
    }

    fn url(&self, path: &str) -> String {
        format!("{}://localhost:{}{path}", self.scheme, self.address.port())
    }

    pub async fn scrape(&self, client: &Client) -> String {
        let request = client.get(self.url("/metrics")).basic_auth(USER, Some(PASSWORD));
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), 200);
        response.text().await.unwrap()
    }

    pub async fn reload(&self, config: &str) {
        fs::write(self.directory.path().join("config.yaml"), config).unwrap();
        let request = self.client().post(self.url("/-/reload")).basic_auth(USER, Some(PASSWORD));
        let response = request.send().await.unwrap();
        let status = response.status();
        assert_eq!(status, 200, "{}", response.text().await.unwrap());
    }

    /// Waits until the projects whose names begin with `name` have been polled. All must succeed, or all must fail.
    pub async fn wait_for_polls(&self, name: &str, count: usize, is_up: bool) {
        let deadline = Instant::now() + TIMEOUT;
        loop {
            let metrics = self.scrape(&self.client()).await;
            let with = |family: &str, end: &str| {
                let begin = format!("{family}{{project=\"{name}-");
                metrics.lines().filter(|line| line.starts_with(&begin) && line.ends_with(end)).count()
            };
            if with("metastudio_polls_total", "} 1") == count {
                assert_eq!(with("metastudio_up", if is_up { "} 1" } else { "} 0" }), count, "{}", self.log_end());
                return;
            }
            assert!(Instant::now() < deadline, "{name} was not polled: {}", self.log_end());
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// Makes the current memory the peak (proc(5)).
    pub fn reset_peak(&self) {
        fs::write(format!("/proc/{}/clear_refs", self.id), "5").unwrap();
    }

    /// The peak of its resident memory in MiB, since the start or the last reset.
    pub fn peak(&self) -> u64 {
        Process::new(self.id).unwrap().status().unwrap().vmhwm.unwrap() >> 10
    }

    /// Its resident memory in MiB.
    pub fn memory(&self) -> u64 {
        Process::new(self.id).unwrap().status().unwrap().vmrss.unwrap() >> 10
    }

    pub fn assert_alive(&self) {
        assert!(self.process.0.lock().unwrap().try_wait().unwrap().is_none(), "{}", self.log_end());
        assert!(!self.log.lock().unwrap().iter().any(|line| line.contains("panicked")), "{}", self.log_end());
    }

    fn log_end(&self) -> String {
        let log = self.log.lock().unwrap();
        log[log.len().saturating_sub(20)..].join("\n")
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Ok(process) = self.0.get_mut() {
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}

/// Reads the log on a thread. Returns the address that the exporter listens on.
fn read_log(process: &mut Child, log: &Arc<Mutex<Vec<String>>>) -> SocketAddr {
    let lines = BufReader::new(process.stderr.take().unwrap()).lines();
    let (sender, address) = mpsc::channel();
    let log = Arc::clone(log);
    std::thread::spawn(move || {
        for line in lines.map_while(Result::ok) {
            if line.contains("listening") {
                let address = line.split_once("address=").and_then(|(_, rest)| rest.split(' ').next());
                let _ = sender.send(address.unwrap().parse().unwrap());
            }
            log.lock().unwrap().push(line);
        }
    });
    address.recv_timeout(TIMEOUT).unwrap()
}
