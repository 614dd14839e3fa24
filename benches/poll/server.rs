//! The service: another process, so that its work is not counted. It answers every request with the same page after a
//! delay, and counts its connections.

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

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

use super::page::page;

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
    let body = page();
    let answer = format!(
        "HTTP/1.1 200 OK\r\nDate: Sat, 08 Nov 2025 09:30:00 GMT\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\nConnection: keep-alive\r\nServer: api-gateway\r\n\
         X-Request-Id: 53c2a0b46a9c4f0d8d0e5b7c1e2f3a4b\r\n\r\n{body}",
        body.len(),
    );
    let answer: Arc<[u8]> = answer.into_bytes().into();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        println!("{}", listener.local_addr().unwrap());
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            connections.fetch_add(1, Ordering::Relaxed);
            tokio::spawn(serve(stream, Arc::clone(&answer), latency));
        }
    });
}

async fn serve(mut stream: TcpStream, answer: Arc<[u8]>, latency: Duration) -> std::io::Result<()> {
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
        stream.write_all(&answer).await?;
    }
}
