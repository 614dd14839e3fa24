//! The answers at each path, in each format and encoding, and the limits of a connection.

use std::{
    io::Read,
    net::SocketAddr,
    process::Command,
    sync::Arc,
    time::{Duration, Instant},
};

use flate2::read::GzDecoder;
use metastudio_exporter::{
    exposition::{Exposition, Format},
    server::{self, Limits, Server, WebPolicy},
    site::Routes,
    snapshot::{self, Moment, Target},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::JoinSet,
};
use tokio_util::sync::CancellationToken;

use crate::support::{Cloud, Daemon, FAST, TIMEOUT, client, sample, wait_for};

#[tokio::test]
async fn every_path_is_answered() {
    let cloud = Cloud::new(&["hang:times=1"]).await;
    let daemon = Daemon::start(&cloud.config(FAST), &["--web.telemetry-path=/m"]);
    assert_eq!(daemon.get("/-/healthy").await.0, 200);
    let (status, text) = daemon.get("/-/ready").await;
    assert_eq!((status, text.as_str()), (503, "Not ready: 0 of 3 projects have been polled.\n"));
    assert_eq!(daemon.get("/m").await.0, 200, "scrapes are answered from the start");
    daemon.ready().await;
    let (status, page) = daemon.get("/").await;
    assert!(status == 200 && page.contains("campaign") && page.contains("href=\"./m\""), "{page}");
    for path in ["/metrics", "/m/", "/-/", "/favicon.ico"] {
        assert_eq!(daemon.get(path).await.0, 404, "{path}");
    }
    for path in ["/m", "/", "/docs", "/docs/", "/docs/faq", "/-/healthy", "/-/ready"] {
        let response = client().post(daemon.url(path)).body("x").send().await.unwrap();
        assert_eq!((response.status().as_u16(), &response.headers()["allow"]), (405, &"GET, HEAD".parse().unwrap()));
        let get = client().get(daemon.url(path)).send().await.unwrap();
        let head = client().head(daemon.url(path)).send().await.unwrap();
        assert_eq!(head.status(), get.status());
        assert_eq!(head.headers()["content-type"], get.headers()["content-type"]);
        assert!(head.headers().contains_key("content-length"));
        assert!(head.bytes().await.unwrap().is_empty());
    }
    let metrics = daemon.get("/m").await.1;
    assert_eq!(sample(&metrics, "metastudio_exporter_http_requests_total{handler=\"other\",code=\"404\"}"), Some(4.0));
    for series in ["process_resident_memory_bytes", "process_cpu_seconds_total", "process_start_time_seconds"] {
        assert!(sample(&metrics, series) > Some(0.0), "{series}");
    }
}

#[tokio::test]
async fn format_and_encoding_are_negotiated() {
    let cloud = Cloud::new(&[]).await;
    let daemon = Daemon::start(&cloud.config(FAST), &[]);
    daemon.ready().await;
    let get = async |accept: &str, encoding: &str| {
        let request = client().get(daemon.url("/metrics")).header("accept", accept).header("accept-encoding", encoding);
        let response = request.send().await.unwrap();
        let headers = response.headers().clone();
        (headers, response.bytes().await.unwrap())
    };
    let (headers, plain) = get("*/*", "identity").await;
    assert_eq!(headers["content-type"], "text/plain; version=0.0.4; charset=utf-8");
    assert!(!headers.contains_key("content-encoding"));
    assert!(plain.starts_with(b"# HELP metastudio_exporter_build_info "));

    let (headers, body) = get("application/openmetrics-text;version=1.0.0,text/plain;q=0.5", "gzip").await;
    assert_eq!(headers["content-type"], "application/openmetrics-text; version=1.0.0; charset=utf-8");
    assert_eq!(headers["content-encoding"], "gzip");
    assert_eq!(headers["vary"], "Accept, Accept-Encoding");
    let mut text = String::new();
    GzDecoder::new(&body[..]).read_to_string(&mut text).unwrap();
    assert!(text.ends_with("# EOF\n"), "{text}");

    let lines = client().get(daemon.url("/metrics")).header("accept", "text/plain;q=0.5");
    let response = lines.header("accept", "application/openmetrics-text").send().await.unwrap();
    assert!(response.text().await.unwrap().ends_with("# EOF\n"), "several headers are one list");
}

/// The routes of an exporter without projects.
pub fn empty_routes() -> Routes {
    let (_, reader) = snapshot::channel(vec![]);
    Routes::new(Exposition::of_projects(reader.clone(), Moment::now), reader, Moment::now)
}

/// An exporter without projects on its own port, with limits short enough for a test.
async fn serve_empty(limits: Limits) -> (SocketAddr, CancellationToken) {
    serve(empty_routes(), limits).await
}

async fn serve(routes: Routes, limits: Limits) -> (SocketAddr, CancellationToken) {
    let listeners = server::bind(&["127.0.0.1:0".to_owned()]).await.unwrap();
    let address = listeners[0].local_addr().unwrap();
    let stop = CancellationToken::new();
    let policy = WebPolicy::load(None).await.unwrap();
    let server = Server::new(Arc::new(routes).service(), policy, limits);
    tokio::spawn(server.serve(listeners, stop.clone()));
    (address, stop)
}

#[tokio::test]
async fn the_exporter_is_not_ready_while_it_shuts_down() {
    let routes = empty_routes();
    let ready = async || routes.answer(&hyper::Request::get("/-/ready").body(()).unwrap()).await.status().as_u16();
    assert_eq!(ready().await, 200);
    routes.stop();
    assert_eq!(ready().await, 503);
}

#[tokio::test]
async fn the_exporter_survives_running_out_of_descriptors() {
    let cloud = Cloud::new(&[]).await;
    let daemon = Daemon::start_limited(&cloud.config(FAST), 40);
    daemon.ready().await;
    let mut connections = Vec::new();
    for _ in 0..60 {
        connections.push(TcpStream::connect(daemon.address).await.unwrap());
    }
    wait_for("the log", || daemon.log_text().contains("cannot accept connections").then_some(()));
    drop(connections);
    assert_eq!(daemon.get("/-/healthy").await.0, 200);
    let warnings = daemon.log_text().matches("cannot accept connections").count();
    assert!(warnings < 10, "it waits between two attempts: {warnings}");
}

const LONG_LIMITS: Limits = Limits { connections: 8, head: TIMEOUT, idle: TIMEOUT, total: TIMEOUT };
const SHORT: Duration = Duration::from_millis(300);
const REQUEST: &[u8] = b"GET /-/healthy HTTP/1.1\r\nHost: x\r\n\r\n";

/// Reads until the peer closes the connection. Returns the text and the duration.
async fn read_until_closed(stream: &mut TcpStream) -> (String, Duration) {
    let start = Instant::now();
    let mut bytes = Vec::new();
    let _ = tokio::time::timeout(TIMEOUT / 2, stream.read_to_end(&mut bytes)).await.expect("never closed");
    (String::from_utf8(bytes).unwrap(), start.elapsed())
}

#[tokio::test]
async fn a_connection_without_a_complete_head_is_closed() {
    let (address, _stop) = serve_empty(Limits { head: SHORT, ..LONG_LIMITS }).await;
    for begun in [&b""[..], b"GET / HT"] {
        let start = Instant::now();
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(begun).await.unwrap();
        read_until_closed(&mut stream).await;
        assert!(start.elapsed() >= SHORT);
    }
    // The same after a first request.
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(REQUEST).await.unwrap();
    stream.read_exact(&mut [0; 15]).await.unwrap();
    tokio::time::sleep(2 * SHORT).await;
    let start = Instant::now();
    stream.write_all(b"GET / HT").await.unwrap();
    read_until_closed(&mut stream).await;
    assert!(start.elapsed() >= SHORT);
}

/// RFC 9112, 3.2. HTTP/1.0 has no header `Host`.
#[tokio::test]
async fn a_request_needs_one_host() {
    let (address, _stop) = serve_empty(LONG_LIMITS).await;
    for (head, status) in [
        ("HTTP/1.1\r\nHost: x\r\nConnection: close", 200),
        ("HTTP/1.0", 200),
        ("HTTP/1.1", 400),
        ("HTTP/1.1\r\nHost: x\r\nHost: x", 400),
        ("HTTP/1.0\r\nHost: x\r\nHost: y", 400),
    ] {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(format!("GET /metrics {head}\r\n\r\n").as_bytes()).await.unwrap();
        let (answer, _) = read_until_closed(&mut stream).await;
        assert_eq!(answer.split(' ').nth(1), Some(&*status.to_string()), "{head:?}: {answer}");
    }
}

#[tokio::test]
async fn usage_is_not_stored_in_caches() {
    let routes = empty_routes();
    for path in ["/metrics", "/"] {
        let response = routes.answer(&hyper::Request::get(path).body(()).unwrap()).await;
        assert_eq!(response.headers()["cache-control"], "no-store", "{path}");
    }
}

#[tokio::test]
async fn a_page_of_another_origin_may_not_reload() {
    let cloud = Cloud::new(&[]).await;
    let daemon = Daemon::start(&cloud.config(FAST), &["--web.enable-lifecycle"]);
    let own = format!("http://{}", daemon.address);
    for (name, value, status) in [
        ("origin", "https://evil.example", 403),
        ("sec-fetch-site", "cross-site", 403),
        ("origin", &*own, 200),
        ("sec-fetch-site", "same-origin", 200),
    ] {
        let answer = client().post(daemon.url("/-/reload")).header(name, value).send().await.unwrap();
        assert_eq!(answer.status(), status, "{name}: {value}");
    }
}

#[tokio::test]
async fn an_idle_connection_is_kept_and_then_closed() {
    let (address, _stop) = serve_empty(Limits { head: SHORT, idle: 8 * SHORT, ..LONG_LIMITS }).await;
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(REQUEST).await.unwrap();
    let mut answer = [0; 15];
    stream.read_exact(&mut answer).await.unwrap();
    // Longer than the limit of a head, shorter than the idle limit: the connection stays open.
    tokio::time::sleep(2 * SHORT).await;
    stream.write_all(REQUEST).await.unwrap();
    let (rest, took) = read_until_closed(&mut stream).await;
    assert!(rest.contains("HTTP/1.1 200 OK"), "the second request is answered: {rest}");
    assert!(took >= 7 * SHORT, "{took:?}");
}

#[tokio::test]
async fn a_client_that_does_not_read_is_cut_off() {
    // The answers to all these requests do not fit in the buffers of both sockets.
    let (address, _stop) = serve_empty(Limits { total: SHORT, ..LONG_LIMITS }).await;
    let mut stream = TcpStream::connect(address).await.unwrap();
    let pipelined = REQUEST.repeat(200_000);
    let result = tokio::time::timeout(TIMEOUT / 2, stream.write_all(&pipelined)).await;
    assert!(result.expect("the server neither reads nor closes").is_err(), "the connection was not cut off");
}

/// Routes with many megabytes of metrics, which do not fit in the buffers of both sockets, and their length.
async fn large_routes() -> (Routes, usize) {
    let target = |n: usize| Target { region: "cn-north-4".to_owned(), ..Target::new(format!("project-{n:05}")) };
    let (_, reader) = snapshot::channel((0..6_000).map(target).collect());
    let exposition = Exposition::of_projects(reader.clone(), Moment::now);
    let length = exposition.scrape(Format::Text, false).await.length();
    assert!(length > 10_000_000, "{length}");
    (Routes::new(exposition, reader, Moment::now), length)
}

#[tokio::test]
async fn a_slow_reader_is_cut_off_in_the_middle_of_an_answer() {
    let (routes, length) = large_routes().await;
    let (address, _stop) = serve(routes, Limits { total: 10 * SHORT, ..LONG_LIMITS }).await;
    let mut slow = TcpStream::connect(address).await.unwrap();
    slow.write_all(b"GET /metrics HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    // The client reads the beginning, and then nothing.
    slow.read_exact(&mut [0; 400_000]).await.unwrap();
    tokio::time::sleep(30 * SHORT).await;
    let mut rest = Vec::new();
    let read = tokio::time::timeout(TIMEOUT, slow.read_to_end(&mut rest)).await.expect("the connection was kept");
    assert!(read.is_err() || rest.len() + 400_000 < length, "not cut off, {} bytes", rest.len());
    // A client that reads gets the whole answer.
    let all = client().get(format!("http://{address}/metrics")).send().await.unwrap().bytes().await.unwrap();
    assert_eq!(all.len(), length);
}

/// A client that reads only the beginning of a long answer.
async fn busy(address: SocketAddr) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(b"GET /metrics HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    stream.read_exact(&mut [0; 15]).await.unwrap();
    stream
}

#[tokio::test]
async fn a_connection_with_a_request_keeps_its_slot() {
    let (address, _stop) = serve(large_routes().await.0, Limits { connections: 1, ..LONG_LIMITS }).await;
    let first = busy(address).await;
    let mut second = TcpStream::connect(address).await.unwrap();
    second.write_all(REQUEST).await.unwrap();
    let mut answer = [0; 15];
    let early = tokio::time::timeout(2 * SHORT, second.read_exact(&mut answer)).await;
    assert!(early.is_err(), "the second waits");
    drop(first);
    tokio::time::timeout(TIMEOUT, second.read_exact(&mut answer)).await.unwrap().unwrap();
    assert_eq!(&answer, b"HTTP/1.1 200 OK");
}

#[tokio::test]
async fn the_longest_idle_connection_is_closed_for_a_new_one() {
    let (address, _stop) = serve(large_routes().await.0, Limits { connections: 3, ..LONG_LIMITS }).await;
    let connect = async |text: &[u8]| {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(text).await.unwrap();
        // The server accepts this connection before the next one.
        tokio::time::sleep(SHORT / 3).await;
        stream
    };
    let is_open = async |stream: &mut TcpStream| {
        let mut bytes = [0; 1 << 10];
        loop {
            match tokio::time::timeout(SHORT, stream.read(&mut bytes)).await {
                Ok(Ok(0) | Err(_)) => break false,
                Ok(Ok(_)) => {}
                Err(_) => break true,
            }
        }
    };
    // `busy` is the oldest connection. `kept` sends its request after `half` has begun its own.
    let mut busy = busy(address).await;
    let mut kept = connect(b"").await;
    let mut half = connect(b"GET /-/healthy HT").await;
    kept.write_all(REQUEST).await.unwrap();
    assert!(is_open(&mut kept).await);
    let mut new = connect(REQUEST).await;
    assert!(is_open(&mut new).await, "a new connection is served");
    assert!(!is_open(&mut half).await, "the one that sent half a head was idle for the longest time");
    assert!(is_open(&mut kept).await, "a connection that is reused stays");
    busy.read_exact(&mut vec![0; 10_000_000]).await.unwrap();
}

/// A client such as `nc -N` closes its sending direction as soon as it has sent the request.
#[tokio::test]
async fn a_client_that_only_closes_its_direction_gets_the_whole_answer() {
    let cloud = Cloud::new(&[]).await;
    let daemon = Daemon::start(&cloud.config(FAST), &[]);
    daemon.ready().await;
    let mut clients = JoinSet::new();
    for number in 0..200 {
        let encoding = ["identity", "gzip"][number % 2];
        let connection = ["keep-alive", "close"][number / 2 % 2];
        let head = format!("Host: x\r\nAccept-Encoding: {encoding}\r\nConnection: {connection}\r\n\r\n");
        let address = daemon.address;
        clients.spawn(async move {
            let mut stream = TcpStream::connect(address).await.unwrap();
            stream.write_all(format!("GET /metrics HTTP/1.1\r\n{head}").as_bytes()).await.unwrap();
            stream.shutdown().await.unwrap();
            let mut answer = Vec::new();
            tokio::time::timeout(TIMEOUT, stream.read_to_end(&mut answer)).await.expect("left open").unwrap();
            let end = answer.windows(4).position(|bytes| bytes == b"\r\n\r\n").unwrap_or_default();
            let head = String::from_utf8_lossy(&answer[..end]).to_lowercase();
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
            length.is_some_and(|length: usize| length > 1000 && answer.len() == end + 4 + length)
        });
    }
    let whole = clients.join_all().await.into_iter().filter(|is_whole| *is_whole).count();
    assert_eq!(whole, 200);
}

/// Idle clients of each kind take all connections of the daemon, and do so again.
#[tokio::test]
async fn idle_connections_do_not_keep_a_scrape_out() {
    let cloud = Cloud::new(&[]).await;
    let daemon = Daemon::start(&cloud.config(FAST), &[]);
    daemon.ready().await;
    let mut idle = Vec::new();
    for round in 1..=2 {
        for number in 0..520 {
            let mut stream = TcpStream::connect(daemon.address).await.unwrap();
            stream.write_all([b"".as_slice(), REQUEST, b"GET /metrics HT"][number % 3]).await.unwrap();
            idle.push(stream);
        }
        let start = Instant::now();
        let metrics = daemon.metrics().await;
        assert!(start.elapsed() < Duration::from_secs(2), "{:?}", start.elapsed());
        let closed = sample(&metrics, "metastudio_exporter_connections_closed_total").unwrap();
        // The connections of this test, minus the maximum number of connections.
        let excess = f64::from(520 * round - 512);
        assert!((excess..=excess + 10.0).contains(&closed), "round {round}: {closed}");
        let [active, idle] = ["active", "idle"]
            .map(|state| sample(&metrics, &format!("metastudio_exporter_connections{{state=\"{state}\"}}")).unwrap());
        assert!(active >= 1.0 && idle > 500.0, "the scrape is active, the others are idle: {active}, {idle}");
        assert!(active + idle <= sample(&metrics, "metastudio_exporter_max_connections").unwrap());
    }
    let warnings = daemon.log_text().matches("too many connections").count();
    assert_eq!(warnings, 1, "at most one in a minute");
}

#[tokio::test]
async fn a_port_without_an_address_means_all_interfaces() {
    let listeners = server::bind(&[":0".to_owned()]).await.unwrap();
    let address = listeners[0].local_addr().unwrap();
    assert!(address.ip().is_unspecified());
    if address.is_ipv6() {
        assert!(!socket2::SockRef::from(&listeners[0]).only_v6().unwrap(), "it also serves IPv4");
    }
    TcpStream::connect(("127.0.0.1", address.port())).await.unwrap();
    if address.is_ipv6() {
        TcpStream::connect(("::1", address.port())).await.unwrap();
    }
    let taken = server::bind(&[format!("127.0.0.1:{}", address.port())]).await;
    let again = server::bind(&[format!(":{}", address.port())]).await;
    assert!(taken.is_err() || again.is_err(), "a used port is an error");
}

/// Runs the test above in a network namespace whose IPv6 sockets do not serve IPv4 by default.
#[test]
fn all_interfaces_include_ipv4_where_bindv6only_is_set() {
    let in_namespace = |command: &str| {
        let set = format!("ip link set lo up && echo 1 > /proc/sys/net/ipv6/bindv6only && {command}");
        Command::new("unshare").args(["-rn", "sh", "-c", &set]).arg(std::env::current_exe().unwrap()).output()
    };
    if !in_namespace("true").is_ok_and(|output| output.status.success()) {
        eprintln!("skipped: no network namespaces, no program ip, or no IPv6");
        return;
    }
    let test = "endpoints::a_port_without_an_address_means_all_interfaces";
    let output = in_namespace(&format!("exec \"$0\" --exact {test}")).unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success() && text.contains("1 passed"), "{text}");
}
