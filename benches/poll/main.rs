//! Measures polls: the processor time, compared with polls over bare sockets, and the duration, compared with the
//! network alone.
//!
//! `cargo bench --bench poll` prints Markdown. The peers take turns in each round, so that other load on the machine
//! affects all of them. The server is another process, so its work is not counted.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod bare;
mod exporter;
mod page;
mod server;
mod sum;

use std::{
    process::Command,
    sync::Arc,
    time::{Duration, Instant},
};

use chrono::Utc;
use metastudio_exporter::{
    polling::{Poller, once},
    snapshot::{self, Moment, Target},
};
use rustix::time::{ClockId, clock_gettime};
use tokio::{
    runtime::{Builder, Runtime},
    task::JoinSet,
};

use self::{
    exporter::{ACCESS_KEY, PROJECT_ID, SECRET_KEY},
    server::Server,
};

/// Many short rounds, so that other load on the machine affects all peers of a round.
const ROUNDS: usize = 21;
/// Polls of a peer in a round.
const POLLS: usize = 800;
const CONCURRENCY: usize = 32;

const BATCH_PROJECTS: usize = 1000;
const BATCH_ACCOUNTS: usize = 50;
const BATCH_ROUNDS: usize = 5;
const LATENCY: Duration = Duration::from_millis(100);

/// The Python interpreter with the official SDK, if it is installed.
const PYTHON: &str = "target/ci-venv/bin/python";
const PYTHON_POLLS: usize = 100;

/// The figures of one peer in one round.
struct Measured {
    polls: usize,
    processor: Duration,
    wall: Duration,
    connections: usize,
}

/// A program that polls, and its figures.
struct Peer {
    name: &'static str,
    /// The peer it is compared with.
    floor: &'static str,
    poll: Box<dyn FnMut() -> Option<Measured>>,
    rounds: Vec<Measured>,
}

fn main() {
    let mut arguments = std::env::args().skip(1);
    if arguments.next().as_deref() == Some(server::COMMAND) {
        let latency = arguments.next().unwrap().parse().unwrap();
        return server::run(Duration::from_millis(latency));
    }
    cost();
    batch();
}

/// Runs polls in this process, and returns their figures.
fn measure(server: &mut Server, polls: usize, run: impl FnOnce()) -> Measured {
    let connections = server.connections();
    let (processor, start) = (processor_time(), Instant::now());
    run();
    let (processor, wall) = (processor_time() - processor, start.elapsed());
    Measured { polls, processor, wall, connections: server.connections() - connections }
}

/// User and system time of all threads of this process.
fn processor_time() -> Duration {
    clock_gettime(ClockId::ProcessCPUTime).try_into().unwrap()
}

/// The kind of runtime that the exporter polls on.
fn one_thread() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

fn all_threads() -> Runtime {
    Builder::new_multi_thread().enable_all().build().unwrap()
}

/// The least possible work, but only for one poll at a time.
fn blocking() -> Box<dyn FnMut() -> Option<Measured>> {
    let mut server = Server::start(Duration::ZERO);
    let mut stream = None;
    Box::new(move || {
        let address = server.address;
        let run = || bare::poll_blocking(stream.get_or_insert_with(|| bare::connect_blocking(address)), POLLS);
        Some(measure(&mut server, POLLS, run))
    })
}

fn bare(concurrency: usize) -> Box<dyn FnMut() -> Option<Measured>> {
    let mut server = Server::start(Duration::ZERO);
    let runtime = one_thread();
    let mut streams = Vec::new();
    Box::new(move || {
        let address = server.address;
        let run = || {
            runtime.block_on(async {
                while streams.len() < concurrency {
                    streams.push(bare::connect(address).await);
                }
                let polls = streams.drain(..).map(|stream| bare::poll(stream, POLLS / concurrency));
                streams = polls.collect::<JoinSet<_>>().join_all().await;
            });
        };
        Some(measure(&mut server, POLLS, run))
    })
}

fn exporter(runtime: Runtime, concurrency: usize) -> Box<dyn FnMut() -> Option<Measured>> {
    let mut server = Server::start(Duration::ZERO);
    let pollers = runtime.block_on(exporter::pollers(server.address, concurrency, concurrency));
    Box::new(move || {
        let run = || runtime.block_on(poll(&pollers, POLLS / concurrency));
        Some(measure(&mut server, POLLS, run))
    })
}

/// Polls with all pollers at the same time, each of them `polls_each` times.
async fn poll(pollers: &[Arc<Poller>], polls_each: usize) {
    let mut tasks = JoinSet::new();
    for poller in pollers {
        let poller = Arc::clone(poller);
        tasks.spawn(async move {
            for _ in 0..polls_each {
                let windows = poller.poll(Utc::now()).await.result.unwrap();
                assert!(windows[0].tally.series().count() > 0);
            }
        });
    }
    tasks.join_all().await;
}

/// Polls each project once, as the command `once` does.
async fn poll_once(pollers: Vec<Arc<Poller>>, concurrency: usize) {
    let targets = pollers.iter().map(|poller| Target::new(&*poller.project().name)).collect();
    let (writer, _reader) = snapshot::channel(targets);
    assert!(once::run(pollers, Vec::new(), concurrency, writer, Moment::now).await, "a poll failed");
}

fn cost() {
    const BLOCKING: &str = "blocking bare socket, one at a time";
    const ONE: &str = "bare socket, one at a time";
    const MANY: &str = "bare sockets, 32 at a time";
    let mut peers = [
        Peer::new(BLOCKING, BLOCKING, blocking()),
        Peer::new(ONE, ONE, bare(1)),
        Peer::new("exporter, one at a time", ONE, exporter(one_thread(), 1)),
        Peer::new(MANY, MANY, bare(CONCURRENCY)),
        Peer::new("exporter, 32 at a time", MANY, exporter(one_thread(), CONCURRENCY)),
        Peer::new("exporter, 32 at a time on all cores", MANY, exporter(all_threads(), CONCURRENCY)),
        Peer::new("official SDK for Python, one at a time", BLOCKING, python()),
    ];
    // The additional round is not counted: the first round opens the connections.
    for _ in 0..=ROUNDS {
        for peer in &mut peers {
            peer.rounds.extend((peer.poll)());
        }
    }
    println!("### Processor time of a poll\n");
    println!("A poll signs, requests, parses and sums one page of {} days x 4 rows. Figures are medians,", page::DAYS);
    println!(
        "with quartiles, of {ROUNDS} rounds of {POLLS} polls. The floor is the peer with bare sockets in the same round."
    );
    println!("Connections are counted over all rounds. All peers poll on one thread, as the program does,");
    println!("except the exporter on all cores.\n");
    println!("| peer | CPU a poll, µs | x floor | wall a poll, µs | connections |");
    println!("|---|---:|---:|---:|---:|");
    for peer in &peers {
        let Some(floor) = peers.iter().find(|other| other.name == peer.floor) else { continue };
        peer.print(floor);
    }
    println!();
}

/// Polls with the official SDK, in a process that prints the processor time and the duration of its polls.
fn python() -> Box<dyn FnMut() -> Option<Measured>> {
    let mut server = Server::start(Duration::ZERO);
    Box::new(move || {
        let connections = server.connections();
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/poll/sdk.py");
        let polls = PYTHON_POLLS.to_string();
        let endpoint = format!("http://{}", server.address);
        let output =
            Command::new(PYTHON).args([script, &endpoint, PROJECT_ID, ACCESS_KEY, SECRET_KEY, &polls]).output();
        let output = output.ok().filter(|output| output.status.success())?;
        let text = String::from_utf8(output.stdout).unwrap();
        let mut seconds = text.split_whitespace().map(|word| Duration::from_secs_f64(word.parse().unwrap()));
        let (processor, wall) = (seconds.next()?, seconds.next()?);
        Some(Measured { polls: PYTHON_POLLS, processor, wall, connections: server.connections() - connections })
    })
}

impl Peer {
    fn new(name: &'static str, floor: &'static str, poll: Box<dyn FnMut() -> Option<Measured>>) -> Self {
        Peer { name, floor, poll, rounds: Vec::new() }
    }

    /// The counted rounds, in reverse order.
    fn timed(&self) -> impl Iterator<Item = &Measured> {
        self.rounds.iter().rev().take(ROUNDS)
    }

    /// Microseconds of processor time a poll, for each counted round.
    fn processor(&self) -> impl Iterator<Item = f64> {
        self.timed().map(|round| micros(round.processor, round.polls))
    }

    fn print(&self, floor: &Peer) {
        if self.rounds.is_empty() {
            println!("| {} | not installed | | | |", self.name);
            return;
        }
        let cost = spread(self.processor(), 1);
        let times = spread(self.processor().zip(floor.processor()).map(|(own, floor)| own / floor), 2);
        let wall = spread(self.timed().map(|round| micros(round.wall, round.polls)), 1);
        let connections: usize = self.rounds.iter().map(|round| round.connections).sum();
        println!("| {} | {cost} | {times} | {wall} | {connections} |", self.name);
    }
}

fn micros(time: Duration, polls: usize) -> f64 {
    time.as_secs_f64() * 1e6 / polls as f64
}

/// The median, with the quartiles.
fn spread(values: impl Iterator<Item = f64>, digits: usize) -> String {
    let mut sorted: Vec<f64> = values.collect();
    sorted.sort_by(f64::total_cmp);
    let [lower, median, upper] = [1, 2, 3].map(|quarter| sorted[sorted.len() * quarter / 4]);
    format!("{median:.digits$} ({lower:.digits$}–{upper:.digits$})")
}

/// Polls each of many projects once. The service has latency.
fn batch() {
    let mut rounds = Vec::new();
    for _ in 0..BATCH_ROUNDS {
        let mut server = Server::start(LATENCY);
        let runtime = one_thread();
        let pollers = runtime.block_on(exporter::pollers(server.address, BATCH_PROJECTS, BATCH_ACCOUNTS));
        let run = || runtime.block_on(poll_once(pollers, CONCURRENCY));
        rounds.push(measure(&mut server, BATCH_PROJECTS, run));
    }
    let ideal = (LATENCY * BATCH_PROJECTS.div_ceil(CONCURRENCY) as u32).as_secs_f64();
    let wall = spread(rounds.iter().map(|round| round.wall.as_secs_f64()), 3);
    let times = spread(rounds.iter().map(|round| round.wall.as_secs_f64() / ideal), 3);
    let processor = spread(rounds.iter().map(|round| micros(round.processor, round.polls)), 1);
    let connections: Vec<String> = rounds.iter().map(|round| round.connections.to_string()).collect();
    println!("### {BATCH_PROJECTS} projects, {LATENCY:?} latency, {CONCURRENCY} at a time\n");
    println!("Each project is polled once, as `once` does, with {BATCH_ACCOUNTS} accounts.");
    println!(
        "There are {BATCH_ROUNDS} rounds, each with new connections. The network alone takes {ideal:.1} s for one request of each project. The first\n\
         poll of a project sends further requests, which prove how the service pages and counts.\n"
    );
    println!("| wall, s | x network | CPU a poll, µs | connections, each round |");
    println!("|---|---|---|---|");
    let connections = connections.join(", ");
    println!("| {wall} | {times} | {processor} | {connections} |\n");
}
