//! TLS, users and rate limits, and changes to them while the exporter runs.

mod hostile_clients;
mod tls_connections;

use std::{net::IpAddr, path::Path, process::Command, sync::Arc, time::Duration};

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, SanType};
use reqwest::{Certificate, Client, ClientBuilder, Identity, Version, tls};
use rustls::{
    ClientConfig, RootCertStore, SupportedProtocolVersion,
    pki_types::{CertificateDer, pem::PemObject},
};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::JoinSet,
};
use tokio_rustls::TlsConnector;

use crate::support::{Cloud, Daemon, FAST, TIMEOUT, run, sample};

/// A certificate authority.
struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new([]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Authority { issuer: Issuer::new(params, key), pem }
    }

    /// Issues a certificate with these names. Returns it and its key.
    fn issue(&self, names: &[&str]) -> (String, String) {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(names).unwrap();
        if let Some(SanType::DnsName(name)) = params.subject_alt_names.first() {
            let name = name.to_string();
            if name.contains('@') {
                params.subject_alt_names = vec![SanType::Rfc822Name(name.try_into().unwrap())];
            }
        }
        (params.signed_by(&key, &self.issuer).unwrap().pem(), key.serialize_pem())
    }

    fn trusted(&self) -> ClientBuilder {
        let certificate = Certificate::from_pem(self.pem.as_bytes()).unwrap();
        Client::builder().no_proxy().timeout(TIMEOUT).tls_certs_only([certificate])
    }

    /// A client with one version of TLS.
    fn connector(&self, protocol: &str, version: &'static SupportedProtocolVersion) -> TlsConnector {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(self.pem.as_bytes()).unwrap()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider).with_protocol_versions(&[version]).unwrap();
        let mut config = builder.with_root_certificates(roots).with_no_client_auth();
        config.alpn_protocols = vec![protocol.into()];
        TlsConnector::from(Arc::new(config))
    }
}

/// A daemon with a web configuration, in a directory with the files that it names.
struct Setup {
    daemon: Daemon,
    authority: Authority,
    directory: TempDir,
    _cloud: Cloud,
}

fn users(pairs: &[(&str, &str)]) -> String {
    let pairs = pairs.iter().map(|(user, password)| format!("{user}: {}", bcrypt::hash(password, 4).unwrap()));
    format!("basic_auth_users: {{{}}}", pairs.collect::<Vec<_>>().join(", "))
}

const TLS: &str = "tls_server_config: {cert_file: server.crt, key_file: server.key}\n";

impl Setup {
    async fn new(web: &str, arguments: &[&str]) -> Self {
        let cloud = Cloud::new(&[]).await;
        let config = cloud.config(FAST);
        Self::with_config(web, arguments, cloud, &config)
    }

    fn with_config(web: &str, arguments: &[&str], cloud: Cloud, config: &str) -> Self {
        let (authority, directory) = (Authority::new(), TempDir::new().unwrap());
        let write = |name: &str, text: &str| std::fs::write(directory.path().join(name), text).unwrap();
        let (certificate, key) = authority.issue(&["localhost"]);
        write("server.crt", &certificate);
        write("server.key", &key);
        write("ca.crt", &authority.pem);
        write("web.yaml", web);
        let path = directory.path().join("web.yaml").display().to_string();
        let daemon = Daemon::start(config, &[&["--web.config.file", &path], arguments].concat());
        Setup { daemon, authority, directory, _cloud: cloud }
    }

    /// Replaces a file as a whole.
    fn replace(&self, name: &str, text: &str) {
        let new = self.directory.path().join("new");
        std::fs::write(&new, text).unwrap();
        std::fs::rename(new, self.directory.path().join(name)).unwrap();
    }

    fn url(&self, path: &str) -> String {
        let scheme = if self.daemon.log_text().contains("tls=true") { "https" } else { "http" };
        format!("{scheme}://localhost:{}{path}", self.daemon.address.port())
    }

    async fn status(&self, client: &Client, path: &str) -> Option<u16> {
        Some(client.get(self.url(path)).send().await.ok()?.status().as_u16())
    }

    async fn status_of(&self, user: &str, password: &str) -> Option<u16> {
        let client = self.authority.trusted().build().unwrap();
        let request = client.get(self.url("/metrics")).basic_auth(user, Some(password));
        Some(request.send().await.ok()?.status().as_u16())
    }

    /// Waits until the daemon checks its files again.
    async fn wait_for_check() {
        tokio::time::sleep(Duration::from_millis(1100)).await;
    }
}

#[tokio::test]
async fn tls_with_both_versions_of_http() {
    let setup = Setup::new(TLS, &[]).await;
    for (builder, version) in [
        (setup.authority.trusted(), Version::HTTP_2),
        (setup.authority.trusted().http1_only(), Version::HTTP_11),
        (setup.authority.trusted().tls_version_max(tls::Version::TLS_1_2), Version::HTTP_2),
    ] {
        let client = builder.build().unwrap();
        for _ in 0..3 {
            let response = client.get(setup.url("/metrics")).send().await.unwrap();
            assert_eq!((response.status().as_u16(), response.version()), (200, version));
            assert!(response.text().await.unwrap().contains("metastudio_exporter_build_info"));
        }
    }
    let stranger = Client::builder().no_proxy().build().unwrap();
    assert_eq!(setup.status(&stranger, "/metrics").await, None, "the client does not know the authority");

    let setup = Setup::new(&format!("{TLS}http_server_config: {{http2: false}}"), &[]).await;
    let client = setup.authority.trusted().build().unwrap();
    assert_eq!(client.get(setup.url("/")).send().await.unwrap().version(), Version::HTTP_11);
}

#[tokio::test]
async fn plain_http_is_answered_with_400() {
    let setup = Setup::new(TLS, &[]).await;
    let mut stream = TcpStream::connect(setup.daemon.address).await.unwrap();
    stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.0 400 Bad Request\r\n") && answer.contains("speaks HTTPS"), "{answer}");
}

#[tokio::test]
async fn every_path_requires_a_user() {
    let web = format!("{TLS}{}", users(&[("alice", "one"), ("john.doe", "two: 密码")]));
    let setup = Setup::new(&web, &["--web.enable-lifecycle"]).await;
    let client = setup.authority.trusted().build().unwrap();
    for path in ["/metrics", "/", "/-/healthy", "/-/ready", "/-/reload", "/nowhere", "/metrics/", "//metrics"] {
        let response = client.get(setup.url(path)).send().await.unwrap();
        assert_eq!(response.status(), 401, "{path}");
        assert_eq!(response.version(), Version::HTTP_2, "HTTP/2 has no header Connection");
        assert!(response.headers()["www-authenticate"].to_str().unwrap().starts_with("Basic realm="));
        assert!(!response.text().await.unwrap().contains("metastudio_"), "{path}");
    }
    assert_eq!(client.post(setup.url("/-/reload")).send().await.unwrap().status(), 401);
    for path in ["/metrics", "/", "/-/healthy"] {
        let head = client.head(setup.url(path)).basic_auth("alice", Some("one")).send().await.unwrap();
        assert_eq!((head.status().as_u16(), head.version()), (200, Version::HTTP_2));
        assert!(head.headers()["content-length"] != "0");
        assert!(head.bytes().await.unwrap().is_empty(), "{path}");
    }
    for _ in 0..2 {
        assert_eq!(setup.status_of("alice", "one").await, Some(200));
        assert_eq!(setup.status_of("john.doe", "two: 密码").await, Some(200));
        assert_eq!(setup.status_of("alice", "two: 密码").await, Some(401));
        assert_eq!(setup.status_of("carol", "one").await, Some(401));
        assert_eq!(setup.status_of("alice", "").await, Some(401));
    }
    let log = setup.daemon.log_text();
    assert!(!log.contains("$2") && !log.contains("one") && !log.contains("密码"), "{log}");
    let metrics = client.get(setup.url("/metrics")).basic_auth("alice", Some("one")).send().await.unwrap();
    let metrics = metrics.text().await.unwrap();
    let denied = "metastudio_exporter_http_requests_total{handler=\"metrics\",code=\"401\"}";
    assert_eq!(sample(&metrics, denied), Some(7.0), "{metrics}");
}

#[tokio::test]
async fn probes_need_no_user_with_health_without_auth() {
    let web = format!("{}\nrate_limit: {{interval: 1h, burst: 1}}", users(&[("alice", "one")]));
    let setup = Setup::new(&web, &["--web.health-without-auth"]).await;
    let client = setup.authority.trusted().build().unwrap();
    setup.daemon.ready().await;
    for _ in 0..5 {
        assert_eq!(setup.status(&client, "/-/healthy").await, Some(200));
        assert_eq!(setup.status(&client, "/-/ready").await, Some(200));
    }
    assert_eq!(setup.status(&client, "/metrics").await, Some(401));
}

#[tokio::test]
async fn a_flood_of_wrong_passwords_delays_no_scrape() {
    let hash = bcrypt::hash("one", 12).unwrap();
    let setup = Setup::new(&format!("basic_auth_users: {{alice: {hash}}}"), &[]).await;
    assert_eq!(setup.status_of("alice", "one").await, Some(200));
    let url = setup.url("/metrics");
    let flood: Vec<_> = (0..50)
        .map(|number| {
            let url = url.clone();
            tokio::spawn(async move {
                let client = Client::builder().no_proxy().build().unwrap();
                client.get(url).basic_auth("alice", Some(number)).send().await.unwrap().status().as_u16()
            })
        })
        .collect();
    for _ in 0..20 {
        assert_eq!(setup.status_of("alice", "one").await, Some(200));
    }
    assert!(flood.iter().any(|request| !request.is_finished()), "wrong passwords are checked one by one");
    for request in flood {
        request.abort();
    }
}

#[tokio::test]
async fn the_first_correct_password_does_not_wait_for_a_flood_of_another_client() {
    let hash = bcrypt::hash("one", 11).unwrap();
    let setup = Setup::new(&format!("basic_auth_users: {{alice: {hash}}}"), &[]).await;
    let mut flood = JoinSet::new();
    for number in 0..60 {
        let client = Client::builder().no_proxy().local_address(IpAddr::from([127, 0, 0, 2])).build().unwrap();
        let request = client.get(setup.url("/metrics")).basic_auth("alice", Some(number));
        flood.spawn(async move {
            let response = request.send().await.unwrap();
            (response.status().as_u16(), response.headers().get("retry-after").cloned())
        });
    }
    for _ in 0..56 {
        let (status, retry_after) = flood.join_next().await.unwrap().unwrap();
        assert_eq!((status, retry_after.unwrap().as_bytes()), (429, &b"1"[..]), "only four wait");
    }
    assert_eq!(setup.status_of("alice", "one").await, Some(200));
    let rest: Vec<u16> = flood.join_all().await.into_iter().map(|(status, _)| status).collect();
    assert_eq!(rest, [401; 4]);
}

#[tokio::test]
async fn too_many_requests_are_answered_with_429() {
    let headers =
        "http_server_config: {headers: {X-Frame-Options: deny, Content-Security-Policy: \"default-src 'self'\"}}";
    let setup = Setup::new(&format!("rate_limit: {{interval: 1h, burst: 2}}\n{headers}"), &[]).await;
    let client = setup.authority.trusted().build().unwrap();
    let mut statuses = Vec::new();
    for _ in 0..4 {
        let response = client.get(setup.url("/")).send().await.unwrap();
        assert_eq!(response.headers()["x-frame-options"], "deny");
        let policies: Vec<_> = response.headers().get_all("content-security-policy").iter().collect();
        assert_eq!(policies, ["default-src 'self'"], "it replaces the policy of the page");
        statuses.push(response.status().as_u16());
        let wait = response.headers().get("retry-after").map(|wait| wait.to_str().unwrap().parse::<u64>().unwrap());
        assert_eq!(wait.is_some_and(|wait| wait > 3500), response.status() == 429);
    }
    assert_eq!(statuses, [200, 200, 429, 429]);
}

#[tokio::test]
async fn client_certificates_are_checked() {
    let verified = "client_ca_file: ca.crt, client_auth_type: RequireAndVerifyClientCert";
    let web = |keys: &str| TLS.replace('}', &format!(", {keys}}}"));
    let identity = |authority: &Authority, names: &[&str]| {
        let (certificate, key) = authority.issue(names);
        Identity::from_pem(format!("{certificate}{key}").as_bytes()).unwrap()
    };
    let stranger = Authority::new();
    for (keys, without, with_right, with_strange) in [
        (verified, None, Some(200), None),
        ("client_ca_file: ca.crt, client_auth_type: VerifyClientCertIfGiven", Some(200), Some(200), None),
        ("client_auth_type: RequireAnyClientCert", None, Some(200), Some(200)),
        ("client_auth_type: RequestClientCert", Some(200), Some(200), Some(200)),
        ("client_auth_type: NoClientCert", Some(200), Some(200), Some(200)),
    ] {
        let setup = Setup::new(&web(keys), &[]).await;
        for versions in [tls::Version::TLS_1_2, tls::Version::TLS_1_3] {
            let builder = || setup.authority.trusted().tls_version_max(versions);
            let anonymous = builder().build().unwrap();
            let right = builder().identity(identity(&setup.authority, &["prometheus.example"])).build().unwrap();
            let strange = builder().identity(identity(&stranger, &["prometheus.example"])).build().unwrap();
            assert_eq!(setup.status(&anonymous, "/metrics").await, without, "{keys}");
            assert_eq!(setup.status(&right, "/metrics").await, with_right, "{keys}");
            assert_eq!(setup.status(&strange, "/metrics").await, with_strange, "{keys}");
            assert_eq!(setup.status(&strange, "/-/healthy").await, with_strange, "{keys}");
        }
    }
    let names = "client_allowed_sans: [prometheus.example, 10.0.0.1, 'fd00::1', ops@prometheus.example]";
    let setup = Setup::new(&web(&format!("{verified}, {names}")), &["--web.health-without-auth"]).await;
    for (name, expected) in [
        ("prometheus.example", Some(200)),
        ("10.0.0.1", Some(200)),
        ("fd00::1", Some(200)),
        ("ops@prometheus.example", Some(200)),
        ("other.example", None),
        ("ops@other.example", None),
        ("10.0.0.2", None),
        ("sub.prometheus.example", None),
    ] {
        let client = setup.authority.trusted().identity(identity(&setup.authority, &[name])).build().unwrap();
        assert_eq!(setup.status(&client, "/metrics").await, expected, "{name}");
        assert_eq!(setup.status(&client, "/-/healthy").await, expected, "{name}: the connection is refused");
    }
}

#[tokio::test]
async fn valid_changes_take_effect_without_a_restart() {
    let setup = Setup::new(&format!("{TLS}{}", users(&[("alice", "one")])), &[]).await;
    assert_eq!(setup.status_of("alice", "one").await, Some(200));

    setup.replace("web.yaml", &format!("{TLS}{}", users(&[("alice", "two"), ("bob", "three")])));
    Setup::wait_for_check().await;
    assert_eq!(setup.status_of("alice", "one").await, Some(401), "the old password is no longer valid");
    assert_eq!(setup.status_of("alice", "two").await, Some(200));
    setup.daemon.wait_for_log("web configuration reloaded");

    let without_users = [TLS.to_owned(), format!("{TLS}basic_auth_users:\n")];
    let without_tls = users(&[("alice", "two")]);
    let in_clear = format!("{TLS}basic_auth_users: {{alice: hunter2}}");
    for wrong in ["nonsense", "", &in_clear, &without_users[0], &without_users[1], &without_tls] {
        setup.replace("web.yaml", wrong);
        Setup::wait_for_check().await;
        for _ in 0..3 {
            assert_eq!(setup.status_of("alice", "two").await, Some(200), "{wrong}");
            assert_eq!(setup.status_of("carol", "two").await, Some(401), "{wrong}");
        }
    }
    let log = setup.daemon.log_text();
    assert_eq!(log.matches("the old one stays in use").count(), 6, "each is logged once: {log}");
    assert!(log.contains("TLS cannot be switched on or off without a restart") && !log.contains("hunter2"), "{log}");
    assert!(log.contains("there are no users any more"), "{log}");
    setup.replace("web.yaml", &format!("{TLS}{}", users(&[("alice", "two")])));
    Setup::wait_for_check().await;
    assert_eq!(setup.status_of("bob", "three").await, Some(401));
}

#[tokio::test]
async fn certificates_and_keys_rotate() {
    let verified = ", client_ca_file: ca.crt, client_auth_type: RequireAndVerifyClientCert}";
    let setup = Setup::new(&TLS.replace('}', verified), &[]).await;
    let next = Authority::new();
    let client = |server: &Authority, own: &Authority| {
        let (certificate, key) = own.issue(&["prometheus.example"]);
        let identity = Identity::from_pem(format!("{certificate}{key}").as_bytes()).unwrap();
        server.trusted().identity(identity).build().unwrap()
    };
    let (before, after) = (client(&setup.authority, &setup.authority), client(&next, &next));
    assert_eq!(setup.status(&before, "/metrics").await, Some(200));
    assert_eq!(setup.status(&after, "/metrics").await, None);

    let (certificate, key) = next.issue(&["localhost"]);
    setup.replace("server.crt", &certificate);
    Setup::wait_for_check().await;
    assert_eq!(
        setup.status(&client(&setup.authority, &setup.authority), "/metrics").await,
        Some(200),
        "the new certificate does not match the old key, so the old pair stays in use"
    );
    setup.replace("server.key", &key);
    setup.replace("ca.crt", &next.pem);
    Setup::wait_for_check().await;
    assert_eq!(setup.status(&after, "/metrics").await, Some(200));
    let old = client(&next, &setup.authority);
    assert_eq!(setup.status(&old, "/metrics").await, None, "the old authority is no longer trusted");
}

/// A truncated file may be valid, but less strict.
#[tokio::test]
async fn client_certificates_stay_required_without_a_restart() {
    let verified = "client_ca_file: ca.crt, client_auth_type: RequireAndVerifyClientCert";
    let tls = |keys: &str| TLS.replace('}', &format!(", {keys}}}"));
    let named = tls(&format!("{verified}, client_allowed_sans: [prometheus.example]"));
    let setup = Setup::new(&named, &[]).await;
    let client = |name: &str| {
        let (certificate, key) = setup.authority.issue(&[name]);
        let identity = Identity::from_pem(format!("{certificate}{key}").as_bytes()).unwrap();
        setup.authority.trusted().identity(identity).build().unwrap()
    };
    for less in [TLS, &tls(verified), &tls("client_ca_file: ca.crt, client_auth_type: VerifyClientCertIfGiven"), ""] {
        setup.replace("web.yaml", less);
        Setup::wait_for_check().await;
        let anonymous = setup.authority.trusted().build().unwrap();
        assert_eq!(setup.status(&anonymous, "/metrics").await, None, "{less}");
        assert_eq!(setup.status(&client("other.example"), "/metrics").await, None, "{less}");
        assert_eq!(setup.status(&client("prometheus.example"), "/metrics").await, Some(200), "{less}");
    }
    assert_eq!(setup.daemon.log_text().matches("the old one stays in use").count(), 4);
    setup.replace("web.yaml", &named.replace("prometheus.example", "other.example"));
    Setup::wait_for_check().await;
    assert_eq!(setup.status(&client("other.example"), "/metrics").await, Some(200));
}

#[tokio::test]
async fn an_invalid_file_is_an_error_at_the_start_and_in_check() {
    let cloud = Cloud::new(&[]).await;
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("web.yaml");
    std::fs::write(&path, "rate_limit: {interval: often}").unwrap();
    let flag = format!("--web.config.file={}", path.display());
    let ended = run(&cloud.config(FAST), &["serve", "--web.listen-address=127.0.0.1:0", &flag]).await;
    assert_eq!(ended.code, Some(1));
    assert!(ended.stderr.contains("web.yaml:1: rate_limit.interval: found"), "{}", ended.stderr);
    for arguments in [&["check", &flag][..], &["--config.check", &flag]] {
        let ended = run(&cloud.config(FAST), arguments).await;
        assert_eq!(ended.code, Some(1));
        assert!(ended.stdout.contains("web.yaml:1: rate_limit.interval: found"), "{}", ended.stdout);
    }
    std::fs::write(&path, "rate_limit: {interval: 1s, burst: 1}").unwrap();
    assert_eq!(run(&cloud.config(FAST), &["check", &flag]).await.code, Some(0));
}

#[tokio::test]
async fn systemd_passes_sockets() {
    let cloud = Cloud::new(&[]).await;
    let ended = run(&cloud.config(FAST), &["serve", "--web.systemd-socket"]).await;
    assert_eq!(ended.code, Some(1));
    assert!(ended.stderr.contains("systemd passed no socket"), "{}", ended.stderr);

    // As systemd does: descriptor 3 is the socket, and two variables announce it to this process.
    let directory = TempDir::new().unwrap();
    let config = directory.path().join("config.yaml");
    std::fs::write(&config, cloud.config(FAST)).unwrap();
    let script = "import os, socket, sys; s = socket.create_server(('127.0.0.1', 0)); os.dup2(s.fileno(), 3); os.set_inheritable(3, True); \
                  os.environ.update(LISTEN_FDS='1', LISTEN_PID=str(os.getpid())); os.execv(sys.argv[1], sys.argv[1:])";
    let mut command = Command::new("python3");
    command.args(["-c", script, env!("CARGO_BIN_EXE_metastudio-exporter"), "serve", "--web.systemd-socket"]);
    command.args([Path::new("--config.file"), &config]);
    let daemon = Daemon::spawn(command, directory);
    daemon.ready().await;
    assert!(daemon.metrics().await.contains("metastudio_up"));
}
