//! Connections to the cloud: TLS and its CA certificates, proxies, and the steps of `check --online`.

use std::{
    ffi::OsStr,
    io::Write,
    net::SocketAddr,
    os::unix::ffi::OsStrExt,
    sync::{Arc, Mutex},
};

use rcgen::{CertifiedKey, generate_simple_self_signed};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional},
    net::{TcpListener, TcpStream},
};
use tokio_rustls::{TlsAcceptor, rustls};

use crate::support::{Cloud, FAST, command, run_with};

const NAME: &str = "metastudio.cn-north-4.example";

/// A TLS server in front of a cloud, and the file with its certificate.
struct TlsFront {
    address: SocketAddr,
    certificate: tempfile::NamedTempFile,
}

impl TlsFront {
    async fn new(cloud: &Cloud) -> Self {
        let CertifiedKey { cert, signing_key } =
            generate_simple_self_signed([NAME.to_owned(), "localhost".to_owned()]).unwrap();
        let mut certificate = tempfile::NamedTempFile::new().unwrap();
        certificate.write_all(cert.pem().as_bytes()).unwrap();
        let key = rustls::pki_types::PrivateKeyDer::Pkcs8(signing_key.serialize_der().into());
        let config = rustls::ServerConfig::builder()
            .with_no_client_auth()
            .with_single_cert(vec![cert.der().clone()], key)
            .unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let behind = cloud.address;
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let acceptor = acceptor.clone();
                tokio::spawn(async move {
                    let Ok(mut stream) = acceptor.accept(stream).await else { return };
                    let mut cloud = TcpStream::connect(behind).await.unwrap();
                    let _ = copy_bidirectional(&mut stream, &mut cloud).await;
                });
            }
        });
        TlsFront { address, certificate }
    }

    fn trusted(&self) -> String {
        format!("ca_file: {}", self.certificate.path().display())
    }
}

/// A proxy that connects every `CONNECT` to one address, and records the heads of the requests.
struct Proxy {
    address: SocketAddr,
    heads: Arc<Mutex<Vec<String>>>,
}

impl Proxy {
    async fn to(target: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let heads: Arc<Mutex<Vec<String>>> = Arc::default();
        let seen = Arc::clone(&heads);
        tokio::spawn(async move {
            loop {
                let (mut client, _) = listener.accept().await.unwrap();
                let seen = Arc::clone(&seen);
                tokio::spawn(async move {
                    let mut head = Vec::new();
                    while !head.ends_with(b"\r\n\r\n") {
                        let Ok(byte) = client.read_u8().await else { return };
                        head.push(byte);
                    }
                    seen.lock().unwrap().push(String::from_utf8(head).unwrap());
                    client.write_all(b"HTTP/1.1 200 Connected\r\n\r\n").await.unwrap();
                    let mut server = TcpStream::connect(target).await.unwrap();
                    let _ = copy_bidirectional(&mut client, &mut server).await;
                });
            }
        });
        Proxy { address, heads }
    }

    fn heads(&self) -> Vec<String> {
        std::mem::take(&mut self.heads.lock().unwrap())
    }
}

/// A configuration for one project of the cloud, with another endpoint.
fn config(cloud: &Cloud, endpoint: &str, api: &str) -> String {
    let api = FAST.replace('}', &format!(", {api}}}"));
    let own = format!("http://{}", cloud.address);
    cloud.config_of(&["campaign"], &cloud.keys(), &api).replace(&own, endpoint)
}

#[tokio::test]
async fn an_untrusted_certificate_is_refused() {
    let cloud = Cloud::new(&[]).await;
    let front = TlsFront::new(&cloud).await;
    let endpoint = format!("https://localhost:{}", front.address.port());
    let ended = run_with(&config(&cloud, &endpoint, "page_size: 1000"), &["once"], &[]).await;
    assert_eq!(ended.code, Some(1));
    assert!(
        ended.stderr.contains("reason=network") && ended.stderr.contains("invalid peer certificate"),
        "{}",
        ended.stderr
    );
    assert!(cloud.simulator.seen().is_empty(), "no request was sent, and so no key");

    let ended = run_with(&config(&cloud, &endpoint, &front.trusted()), &["once"], &[]).await;
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let wrong_name = format!("https://127.0.0.1:{}", front.address.port());
    let ended = run_with(&config(&cloud, &wrong_name, &front.trusted()), &["once"], &[]).await;
    assert_eq!(ended.code, Some(1));
    assert!(ended.stderr.contains("certificate not valid for name"), "{}", ended.stderr);
}

#[tokio::test]
async fn a_system_without_ca_certificates_gets_a_warning() {
    let cloud = Cloud::new(&[]).await;
    let front = TlsFront::new(&cloud).await;
    let nothing = [("SSL_CERT_FILE", "/dev/null"), ("SSL_CERT_DIR", "/nowhere")];
    let warning = "there are no CA certificates";
    let own = format!("http://{}", cloud.address);
    let ended = run_with(&config(&cloud, &own, "page_size: 1000"), &["once"], &nothing).await;
    assert_eq!(ended.code, Some(0), "plain HTTP needs no certificates: {}", ended.stderr);
    assert!(ended.stderr.contains(warning), "{}", ended.stderr);

    let endpoint = format!("https://localhost:{}", front.address.port());
    let ended = run_with(&config(&cloud, &endpoint, "page_size: 1000"), &["once"], &nothing).await;
    assert_eq!(ended.code, Some(1));
    assert!(ended.stderr.contains(warning) && ended.stderr.contains("invalid peer certificate"), "{}", ended.stderr);
    let ended = run_with(&config(&cloud, &endpoint, &front.trusted()), &["once"], &nothing).await;
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert!(!ended.stderr.contains(warning), "{}", ended.stderr);
}

#[tokio::test]
async fn proxies_come_from_the_environment_or_the_configuration() {
    let cloud = Cloud::new(&[]).await;
    let front = TlsFront::new(&cloud).await;
    let proxy = Proxy::to(front.address).await;
    let endpoint = format!("https://{NAME}");
    let config = |api: &str| config(&cloud, &endpoint, &format!("{}{api}", front.trusted()));
    let url = format!("http://{}", proxy.address);
    for name in ["HTTPS_PROXY", "https_proxy"] {
        let ended = run_with(&config(""), &["once"], &[(name, &*url)]).await;
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
        assert!(proxy.heads()[0].starts_with(&format!("CONNECT {NAME}:443 ")));
    }
    let without = [("HTTPS_PROXY", &*url), ("NO_PROXY", ".example")];
    let ended = run_with(&config(""), &["once"], &without).await;
    assert_eq!((ended.code, proxy.heads().len()), (Some(1), 0), "the host name does not exist");
    assert!(ended.stderr.contains("reason=network"), "{}", ended.stderr);

    let with_user = config(&format!(", proxy: 'http://user:hunter2@{}'", proxy.address));
    let elsewhere = [("HTTPS_PROXY", "http://127.0.0.1:1")];
    let ended = run_with(&with_user, &["once", "--log.level=debug"], &elsewhere).await;
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let head = proxy.heads().remove(0).to_ascii_lowercase();
    assert!(head.contains("proxy-authorization: basic dxnlcjpodw50zxiy"), "user:hunter2 in base64: {head}");
    assert!(!ended.stderr.contains("hunter2"), "{}", ended.stderr);

    let ended = run_with(&with_user.replace(&proxy.address.to_string(), "127.0.0.1:1"), &["once"], &[]).await;
    assert_eq!(ended.code, Some(1));
    assert!(!ended.stderr.contains("hunter2"), "{}", ended.stderr);
}

/// Otherwise, the HTTP client would ignore the variable and send signed requests past the proxy.
#[tokio::test]
async fn a_proxy_variable_that_cannot_be_read_stops_the_start() {
    let cloud = Cloud::new(&[]).await;
    let directory = tempfile::tempdir().unwrap();
    for value in [&b" "[..], b"http://DOMAIN\\user:hunter2@proxy:3128", b"http://pro\xffxy:3128"] {
        let mut command = command(&directory, &config(&cloud, "https://localhost:1", "page_size: 1000"), &["once"]);
        command.env("https_proxy", OsStr::from_bytes(value));
        let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
        let log = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{log}");
        assert!(log.contains("https_proxy: expected the URL of an HTTP proxy") && !log.contains("hunter2"), "{log}");
    }
    let variables = [("HTTPS_PROXY", "http://127.0.0.1:1"), ("NO_PROXY", "*.example.com")];
    let ended = run_with(&cloud.config(FAST), &["check"], &variables).await;
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let output = ended.stdout + &ended.stderr;
    assert!(output.contains("NO_PROXY: the entry \"*.example.com\" has no effect"), "{output}");
}

#[tokio::test]
async fn loopback_addresses_are_reached_without_a_proxy() {
    let cloud = Cloud::new(&[]).await;
    let proxy = Proxy::to(cloud.address).await;
    let url = format!("http://{}", proxy.address);
    let variables = ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy"].map(|name| (name, &*url));
    let agency = format!("ecs_agency: {{endpoint: 'http://{}'}}", cloud.address);
    let config = cloud.config_of(&["campaign"], &agency, &FAST.replace('}', &format!(", proxy: '{url}'}}")));
    let ended = run_with(&config, &["once"], &variables).await;
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert!(proxy.heads().is_empty());
}

#[tokio::test]
async fn online_prints_each_step_and_tries_each_project() {
    let cloud = Cloud::new(&["forbidden:project=live-commerce"]).await;
    let ended = run_with(&cloud.config(FAST), &["check", "--online"], &[]).await;
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(1), ""));
    let lines: Vec<&str> = ended.stdout.lines().skip_while(|line| !line.starts_with("http://")).collect();
    for (line, beginning) in lines[1..].iter().zip([
        "  ok    name           127.0.0.1",
        "  ok    TCP            127.0.0.1:",
        "  ok    HTTP           status 404 in ",
        "  ok    clock          in step with the service",
        "  ok    studio-prod    credentials main accepted, project 5f0d1e2c3b4a59687786a5b4c3d2e101, rows ",
        "  -     studio-prod    not in collect: packages: 8, requests a day 48",
        "  -     studio-prod    not in collect: sub_users: 3, requests a day 48",
        "  -     studio-prod    not in collect: sessions: ",
        "  -     studio-prod    not in collect: reconciliation: usage is compared with live_sessions LIVE_2D, videos ",
        "  -     studio-prod    sub-account isolation is off: this key sees the usage of all users",
        "  FAIL  live-commerce  permission: window today (",
        "  ok    campaign       credentials main accepted, ",
        "  -     campaign       not in collect: packages: 6, requests a day 48",
        "  -     campaign       not in collect: sub_users: 3, requests a day 48",
        "  -     campaign       not in collect: sessions: 0 live, ",
        "  -     campaign       not in collect: reconciliation: usage is compared with live_sessions LIVE_2D, videos ",
        "  -     campaign       sub-account isolation is off: this key sees the usage of all users",
    ]) {
        assert!(line.starts_with(beginning), "{line}");
    }
    assert_eq!(lines.len(), 18, "{lines:?}");
    assert!(lines[11].contains("HTTP 403 MSS.00000005: Forbidden (request id "), "{}", lines[11]);
    assert!(lines[11].contains("The user lacks permission"), "{}", lines[11]);
    let seen = cloud.simulator.seen();
    let requests = |recipient: &str| seen.iter().filter(|seen| seen.recipient == recipient).count();
    assert_eq!((requests(""), requests(&cloud.simulator.options().projects[1].id)), (1, 1), "nothing is tried again");

    let cloud = Cloud::new(&[]).await;
    assert_eq!(run_with(&cloud.config(FAST), &["check", "--online"], &[]).await.code, Some(0));
}

#[tokio::test]
async fn online_prints_what_is_kept_and_each_doubt() {
    let cloud = Cloud::new(&[]).await;
    let config = cloud.config_of(&["campaign"], &cloud.keys(), &format!("{FAST}\nwindows: [yesterday, 7d]"));
    let filtered = config.trim_end().trim_end_matches('}').to_owned() + ", business_types: [LIVE_2D]}\n";
    let ended = run_with(&filtered, &["check", "--online"], &[]).await;
    assert_eq!(ended.code, Some(0), "{}", ended.stdout);
    let line = |beginning: &str| ended.stdout.lines().find(|line| line.starts_with(beginning)).unwrap();
    assert!(line("  ok    campaign").contains(", kept 0, in "), "{}", ended.stdout);
    let doubt = line("  doubt campaign");
    assert!(doubt.contains("filter_matches_nothing: no row has the configured type \"LIVE_2D\": "), "{doubt}");
    assert!(doubt.contains("compare resource_types and business_types"), "{doubt}");
}

#[tokio::test]
async fn online_tries_no_refused_key_again() {
    let cloud = Cloud::new(&[]).await;
    let all = ["studio-prod", "live-commerce", "campaign"];
    let user = format!(
        "iam_user: {{domain: simulated, user: robot, password: hunter2, endpoint: 'http://{}'}}",
        cloud.address
    );
    for (credentials, place) in [("access_key: SIMULATEDACCESSKEY01, secret_key: hunter2", ""), (&user, "iam")] {
        let before = cloud.simulator.seen().len();
        let ended = run_with(&cloud.config_of(&all, credentials, FAST), &["check", "--online"], &[]).await;
        assert_eq!(ended.code, Some(1));
        assert_eq!(ended.stdout.matches("credentials: ").count(), 3, "{}", ended.stdout);
        assert_eq!(ended.stdout.matches("not sent: ").count(), 2, "{}", ended.stdout);
        assert_eq!(ended.stdout.contains("\nIAM at http://127.0.0.1:"), place == "iam", "{}", ended.stdout);
        assert!(!ended.stdout.contains("hunter2"), "{}", ended.stdout);
        let seen = cloud.simulator.seen().split_off(before);
        let refused: Vec<_> = seen.iter().filter(|seen| seen.status == Some(401)).collect();
        assert_eq!(refused.len(), 1, "{refused:?}");
        assert!(place.is_empty() || refused[0].recipient == place, "{refused:?}");
    }
}

#[tokio::test]
async fn online_prints_what_to_do_after_a_failed_step() {
    let cloud = Cloud::new(&[]).await;
    let front = TlsFront::new(&cloud).await;
    let (tls, plain) = (front.address.port(), cloud.address.port());
    for (endpoint, failure, advice) in [
        (
            "https://nowhere.example".to_owned(),
            "  FAIL  name      nowhere.example cannot be resolved",
            "Check the region or endpoint",
        ),
        ("http://127.0.0.1:1".to_owned(), "  FAIL  TCP       127.0.0.1:1: Connection refused", "security groups"),
        (format!("https://localhost:{tls}"), "  FAIL  TLS       localhost:", "set api.ca_file to the path of its CA"),
        (format!("https://localhost:{plain}"), "  FAIL  TLS       localhost:", "supports TLS 1.2 or later"),
    ] {
        let ended = run_with(&config(&cloud, &endpoint, "page_size: 1000"), &["check", "--online"], &[]).await;
        assert_eq!(ended.code, Some(1));
        let line = ended.stdout.lines().find(|line| line.contains("FAIL")).unwrap();
        assert!(line.starts_with(failure) && line.contains(advice), "{line}");
        assert!(ended.stdout.ends_with("  -     projects not tried: 1\n"), "{}", ended.stdout);
    }
    assert!(cloud.simulator.seen().is_empty());

    let proxy = Proxy::to(front.address).await;
    let url = format!("http://{}", proxy.address);
    let ended = run_with(
        &config(&cloud, &format!("https://{NAME}"), &front.trusted()),
        &["check", "--online"],
        &[("HTTPS_PROXY", &url)],
    )
    .await;
    assert_eq!(ended.code, Some(0), "{}", ended.stdout);
    assert!(ended.stdout.contains("  ok    name      proxy 127.0.0.1: 127.0.0.1\n"), "{}", ended.stdout);
    assert!(ended.stdout.contains("  ok    TLS       certificate trusted, status 404"), "{}", ended.stdout);
}

/// With a wrong clock, the gateway would refuse every signature, so the key is not tried.
#[tokio::test]
async fn online_finds_a_wrong_clock_before_it_uses_a_key() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let requests: Arc<Mutex<u32>> = Arc::default();
    let counter = Arc::clone(&requests);
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut head = [0; 4096];
            if stream.read(&mut head).await.unwrap() > 0 {
                *counter.lock().unwrap() += 1;
                let answer = "HTTP/1.1 404 Not Found\r\ndate: Sat, 08 Nov 2025 09:30:00 GMT\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";
                stream.write_all(answer.as_bytes()).await.unwrap();
            }
        }
    });
    let cloud = Cloud::new(&[]).await;
    let ended =
        run_with(&config(&cloud, &format!("http://{address}"), "page_size: 1000"), &["check", "--online"], &[]).await;
    assert_eq!(ended.code, Some(1));
    let line = ended.stdout.lines().find(|line| line.contains("FAIL")).unwrap();
    assert!(
        line.contains("clock") && line.contains("ahead of the service") && line.contains("Set the clock"),
        "{line}"
    );
    assert_eq!(*requests.lock().unwrap(), 1);
}
