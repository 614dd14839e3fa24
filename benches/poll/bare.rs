//! The floor of the comparison: a poll over bare sockets. It signs and sums as the exporter does. It implements just
//! enough HTTP/1.1 for an answer of known length, without time limits, retries or error handling.

use std::{
    io::{Read, Write},
    net::SocketAddr,
};

use chrono::{DateTime, Duration, Utc};
use metastudio_exporter::{cloud::transport::signing, usage::timestamp};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::{
    exporter::{ACCESS_KEY, PROJECT_ID, SECRET_KEY},
    page::PAGE_SIZE,
    sum::parse_and_sum,
};

pub fn connect_blocking(address: SocketAddr) -> std::net::TcpStream {
    let stream = std::net::TcpStream::connect(address).unwrap();
    stream.set_nodelay(true).unwrap();
    stream
}

pub async fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).await.unwrap();
    stream.set_nodelay(true).unwrap();
    stream
}

/// Polls one after the other over one blocking socket. This is the least possible work.
pub fn poll_blocking(stream: &mut std::net::TcpStream, polls: usize) {
    let host = stream.peer_addr().unwrap().to_string();
    let mut answer = Vec::new();
    for _ in 0..polls {
        let (start, end) = range(Utc::now());
        stream.write_all(request(&host, start, end).as_bytes()).unwrap();
        answer.clear();
        let body = loop {
            let mut piece = [0; 16 << 10];
            let length = stream.read(&mut piece).unwrap();
            assert_ne!(length, 0, "the server closed the connection");
            answer.extend_from_slice(&piece[..length]);
            if let Some(body) = body(&answer) {
                break body;
            }
        };
        assert!(parse_and_sum(body).series().count() > 0);
    }
}

/// Polls one after the other over a tokio socket. Many sockets can poll at the same time. Returns the socket.
pub async fn poll(mut stream: TcpStream, polls: usize) -> TcpStream {
    let host = stream.peer_addr().unwrap().to_string();
    let mut answer = Vec::new();
    for _ in 0..polls {
        let (start, end) = range(Utc::now());
        stream.write_all(request(&host, start, end).as_bytes()).await.unwrap();
        answer.clear();
        answer.reserve(16 << 10);
        let body = loop {
            assert_ne!(stream.read_buf(&mut answer).await.unwrap(), 0, "the server closed the connection");
            if let Some(body) = body(&answer) {
                break body;
            }
        };
        assert!(parse_and_sum(body).series().count() > 0);
    }
    stream
}

/// The last thirty days.
fn range(now: DateTime<Utc>) -> (DateTime<Utc>, DateTime<Utc>) {
    (now - Duration::days(30), now)
}

fn request(host: &str, start: DateTime<Utc>, end: DateTime<Utc>) -> String {
    let limit = PAGE_SIZE.to_string();
    let (start, end) = (timestamp(start), timestamp(end));
    let query =
        signing::canonical_query(&[("start_time", &start), ("end_time", &end), ("limit", &limit), ("offset", "0")]);
    let path = format!("/v1/{PROJECT_ID}/data-analysis");
    let date = Utc::now().format("%Y%m%dT%H%M%SZ").to_string();
    let headers = [("host", host), ("x-project-id", PROJECT_ID), ("x-sdk-date", &date)];
    let signed = signing::Request { method: "GET", path: &path, query: &query, headers: &headers, body: b"" };
    let authorization = signing::authorization(ACCESS_KEY, SECRET_KEY, &date, &signed);
    format!(
        "GET {path}?{query} HTTP/1.1\r\nhost: {host}\r\nx-project-id: {PROJECT_ID}\r\nx-sdk-date: {date}\r\n\
         authorization: {authorization}\r\naccept: */*\r\n\r\n"
    )
}

/// The body, once all of it has arrived.
fn body(answer: &[u8]) -> Option<&[u8]> {
    let head = answer.windows(4).position(|end| end == b"\r\n\r\n")?;
    let text = std::str::from_utf8(&answer[..head]).unwrap();
    assert!(text.starts_with("HTTP/1.1 200 "), "{text}");
    let length = text.lines().find_map(|line| line.strip_prefix("Content-Length: ")).unwrap();
    answer.get(head + 4..head + 4 + length.parse::<usize>().unwrap())
}
