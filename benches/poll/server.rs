//! The service: another process, so that its work is not counted. It answers after a delay, and counts its
//! connections. Each day in Beijing has the same usage in each answer; the first day is cut at the start of the range.

use std::{
    io::{BufRead, BufReader, Write},
    net::SocketAddr,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use chrono::{DateTime, Duration as Days, SecondsFormat, Utc};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

use super::page::{DAYS, bucket};

/// The argument that makes this program a server.
pub const COMMAND: &str = "serve-page";

/// A server in another process. Dropping it ends the process.
pub struct Server {
    pub address: SocketAddr,
    process: Child,
    questions: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Server {
    /// Starts this program as a server that waits for `latency` before each answer.
    pub fn start(latency: Duration) -> Self {
        let mut process = Command::new(std::env::current_exe().unwrap())
            .args([COMMAND, &latency.as_millis().to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (questions, answers) = (process.stdin.take().unwrap(), process.stdout.take().unwrap());
        let mut answers = BufReader::new(answers);
        let mut address = String::new();
        answers.read_line(&mut address).unwrap();
        Server { address: address.trim().parse().unwrap(), process, questions, answers }
    }

    /// Number of connections that the server has accepted so far.
    pub fn connections(&mut self) -> usize {
        writeln!(self.questions).unwrap();
        let mut answer = String::new();
        self.answers.read_line(&mut answer).unwrap();
        answer.trim().parse().unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Runs the server. It prints its address, and then the number of connections for each line that it reads.
pub fn run(latency: Duration) {
    let connections = Arc::new(AtomicUsize::new(0));
    std::thread::spawn({
        let connections = Arc::clone(&connections);
        move || {
            for _ in std::io::stdin().lines() {
                println!("{}", connections.load(Ordering::Relaxed));
            }
            // The benchmark has ended.
            std::process::exit(0);
        }
    });
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        println!("{}", listener.local_addr().unwrap());
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            connections.fetch_add(1, Ordering::Relaxed);
            tokio::spawn(serve(stream, latency));
        }
    });
}

async fn serve(mut stream: TcpStream, latency: Duration) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut request = Vec::new();
    loop {
        request.clear();
        while !request.ends_with(b"\r\n\r\n") {
            if stream.read_buf(&mut request).await? == 0 {
                return Ok(());
            }
        }
        if !latency.is_zero() {
            tokio::time::sleep(latency).await;
        }
        stream.write_all(answer(&String::from_utf8_lossy(&request)).as_bytes()).await?;
    }
}

/// The answer to a request.
fn answer(request: &str) -> String {
    let parameter = |name: &str| {
        let value = request.split(['?', '&', ' ']).find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='));
        value.map(|value| value.replace("%3A", ":"))
    };
    let time = |name: &str| DateTime::parse_from_rfc3339(&parameter(name).unwrap()).unwrap().to_utc();
    // The official SDK sends no offset.
    let number = |name: &str| parameter(name).map_or(0, |text| text.parse::<usize>().unwrap());
    let buckets = buckets(time("start_time"), time("end_time"));
    let page: Vec<&str> = buckets.iter().skip(number("offset")).take(number("limit")).map(String::as_str).collect();
    let body = format!(r#"{{"count":{},"time_list":[{}]}}"#, buckets.len(), page.join(","));
    format!(
        "HTTP/1.1 200 OK\r\nDate: Sat, 08 Nov 2025 09:30:00 GMT\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\nConnection: keep-alive\r\nServer: api-gateway\r\n\
         X-Request-Id: 53c2a0b46a9c4f0d8d0e5b7c1e2f3a4b\r\n\r\n{body}",
        body.len(),
    )
}

/// The days of a range.
fn buckets(start: DateTime<Utc>, end: DateTime<Utc>) -> Vec<String> {
    let day_of = |time: DateTime<Utc>| (time + Days::hours(8)).timestamp().div_euclid(86_400);
    let days = day_of(start)..=day_of(end - Days::seconds(1));
    let bucket = |day: i64| {
        let midnight = DateTime::from_timestamp(day * 86_400, 0).unwrap() - Days::hours(8);
        let time = midnight.max(start).to_rfc3339_opts(SecondsFormat::Secs, true);
        bucket(&time, day.unsigned_abs() as usize % DAYS + 1)
    };
    days.map(bucket).collect()
}
