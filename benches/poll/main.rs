//! What a poll costs: processor time against the same poll over bare sockets, and time against that of the network.
//!
//! `cargo bench --bench poll` prints Markdown. The peers take turns, round after round, so that whatever else the
//! machine does hits all of them; the server is another process, and its work is not counted.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod bare;
mod exporter;
mod page;
mod server;

use std::{
    process::Command,
    sync::Arc,
    time::{Duration, Instant},
};

use chrono::Utc;
use metastudio_exporter::{
    polling::{Poller, schedule},
    snapshot::{self, Target},
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

const ROUNDS: usize = 7;
/// Polls of a peer in a round.
const POLLS: usize = 3_200;
const CONCURRENCY: usize = 32;

const BATCH_PROJECTS: usize = 1000;
const BATCH_ACCOUNTS: usize = 50;
const BATCH_ROUNDS: usize = 5;
const LATENCY: Duration = Duration::from_millis(100);

/// The official SDK, where it is installed.
const PYTHON: &str = "target/ci-venv/bin/python";
const PYTHON_POLLS: usize = 200;

/// What one peer did in one round.
struct Measured {
    polls: usize,
    processor: Duration,
    wall: Duration,
    connections: usize,
}

/// One who polls, and all that was measured of it.
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

/// Runs something in this process and says what it cost.
fn measure(server: &mut Server, polls: usize, run: impl FnOnce()) -> Measured {
    let connections = server.connections();
    let (processor, start) = (processor_time(), Instant::now());
    run();
    let (processor, wall) = (processor_time() - processor, start.elapsed());
    Measured { polls, processor, wall, connections: server.connections() - connections }
}

/// Of all threads of this process, user and system.
fn processor_time() -> Duration {
    clock_gettime(ClockId::ProcessCPUTime).try_into().unwrap()
}

fn one_thread() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

/// As the program runs.
fn all_threads() -> Runtime {
    Builder::new_multi_thread().enable_all().build().unwrap()
}

fn exporter(runtime: Runtime, concurrency: usize) -> Box<dyn FnMut() -> Option<Measured>> {
    let mut server = Server::start(Duration::ZERO);
    let pollers = runtime.block_on(exporter::pollers(server.address, concurrency, concurrency));
    Box::new(move || {
        let run = || runtime.block_on(poll(&pollers, POLLS / concurrency));
        Some(measure(&mut server, POLLS, run))
    })
}

/// Polls with all pollers at the same time, each so many times.
async fn poll(pollers: &[Arc<Poller>], polls_each: usize) {
    let mut tasks = JoinSet::new();
    for poller in pollers {
        let poller = Arc::clone(poller);
        tasks.spawn(async move {
            for _ in 0..polls_each {
                let windows = poller.poll().await.result.unwrap();
                assert!(windows[0].tally.series().count() > 0);
            }
        });
    }
    tasks.join_all().await;
}

/// Polls each project once, as the command `once` does.
async fn poll_once(pollers: Vec<Arc<Poller>>, concurrency: usize) {
    let targets = pollers.iter().map(|poller| Target::from(poller.project())).collect();
    let (writer, _reader) = snapshot::channel(targets);
    assert!(schedule::run_once(pollers, concurrency, writer, Utc::now).await, "a poll failed");
}

fn cost() {
    const ONE: &str = "bare socket, one at a time";
    const MANY: &str = "bare sockets, 32 at a time on one thread";
    let mut for_one = Server::start(Duration::ZERO);
    let mut for_many = Server::start(Duration::ZERO);
    let bare_one = move || {
        let address = for_one.address;
        Some(measure(&mut for_one, POLLS, || bare::poll_blocking(address, POLLS)))
    };
    let runtime = one_thread();
    let bare_many = move || {
        let address = for_many.address;
        let polls = (0..CONCURRENCY).map(|_| bare::poll(address, POLLS / CONCURRENCY));
        let run = || drop(runtime.block_on(async { polls.collect::<JoinSet<()>>().join_all().await }));
        Some(measure(&mut for_many, POLLS, run))
    };
    let mut peers = [
        Peer::new(ONE, ONE, Box::new(bare_one)),
        Peer::new("exporter, one at a time", ONE, exporter(all_threads(), 1)),
        Peer::new("exporter, one at a time on one thread", ONE, exporter(one_thread(), 1)),
        Peer::new(MANY, MANY, Box::new(bare_many)),
        Peer::new("exporter, 32 at a time", MANY, exporter(all_threads(), CONCURRENCY)),
        Peer::new("exporter, 32 at a time on one thread", MANY, exporter(one_thread(), CONCURRENCY)),
        Peer::new("official SDK for Python, one at a time", ONE, Box::new(python(Server::start(Duration::ZERO)))),
    ];
    for round in 0..=ROUNDS {
        for peer in &mut peers {
            let measured = (peer.poll)();
            // The first round warms up; it is also the one that opens the exporter's connections.
            if round > 0 || peer.name.starts_with("exporter") {
                peer.rounds.extend(measured);
            }
        }
    }
    println!("### Processor time of a poll\n");
    println!("Sign, request, parse and sum one page of {} days x 4 rows; medians of {ROUNDS} rounds of", page::DAYS);
    println!("{POLLS} polls. Connections are those of all rounds.\n");
    println!("| peer | CPU a poll | spread | x floor | wall a poll | connections |");
    println!("|---|---|---|---|---|---|");
    for peer in &peers {
        let Some(floor) = peers.iter().find(|other| other.name == peer.floor) else { continue };
        peer.print(floor.processor().1);
    }
    println!();
}

/// Polls with the official SDK, in a process that says how much processor time its polls took.
fn python(mut server: Server) -> impl FnMut() -> Option<Measured> {
    move || {
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
    }
}

impl Peer {
    fn new(name: &'static str, floor: &'static str, poll: Box<dyn FnMut() -> Option<Measured>>) -> Self {
        Peer { name, floor, poll, rounds: Vec::new() }
    }

    /// Microseconds of processor time a poll: least, median and most.
    fn processor(&self) -> (f64, f64, f64) {
        spread(self.timed().map(|round| micros(round.processor, round.polls)))
    }

    /// The rounds after the one that warms up.
    fn timed(&self) -> impl Iterator<Item = &Measured> {
        self.rounds.iter().rev().take(ROUNDS)
    }

    fn print(&self, floor: f64) {
        if self.rounds.is_empty() {
            println!("| {} | not installed | | | | |", self.name);
            return;
        }
        let (least, median, most) = self.processor();
        let (_, wall, _) = spread(self.timed().map(|round| micros(round.wall, round.polls)));
        let connections: usize = self.rounds.iter().map(|round| round.connections).sum();
        let times = median / floor;
        println!(
            "| {} | {median:.1} µs | {least:.1} to {most:.1} | {times:.2} | {wall:.1} µs | {connections} |",
            self.name
        );
    }
}

fn micros(time: Duration, polls: usize) -> f64 {
    time.as_secs_f64() * 1e6 / polls as f64
}

/// Least, median and most.
fn spread(values: impl Iterator<Item = f64>) -> (f64, f64, f64) {
    let mut sorted: Vec<f64> = values.collect();
    sorted.sort_by(f64::total_cmp);
    (sorted[0], sorted[sorted.len() / 2], sorted[sorted.len() - 1])
}

/// Many projects, each polled once, by a service that takes its time.
fn batch() {
    let mut rounds = Vec::new();
    for _ in 0..BATCH_ROUNDS {
        let mut server = Server::start(LATENCY);
        let runtime = all_threads();
        let pollers = runtime.block_on(exporter::pollers(server.address, BATCH_PROJECTS, BATCH_ACCOUNTS));
        let run = || runtime.block_on(poll_once(pollers, CONCURRENCY));
        rounds.push(measure(&mut server, BATCH_PROJECTS, run));
    }
    let ideal = (LATENCY * BATCH_PROJECTS.div_ceil(CONCURRENCY) as u32).as_secs_f64();
    let (least, median, most) = spread(rounds.iter().map(|round| round.wall.as_secs_f64()));
    let (_, processor, _) = spread(rounds.iter().map(|round| micros(round.processor, round.polls)));
    let connections: Vec<String> = rounds.iter().map(|round| round.connections.to_string()).collect();
    println!("### {BATCH_PROJECTS} projects, {LATENCY:?} latency, {CONCURRENCY} at a time\n");
    println!("Each project once, as `once` does, with {BATCH_ACCOUNTS} accounts; {BATCH_ROUNDS} rounds, each with new");
    println!("connections. The network alone takes {ideal:.1} s.\n");
    println!("| wall | spread | x network | CPU a poll | connections, each round |");
    println!("|---|---|---|---|---|");
    let times = median / ideal;
    let connections = connections.join(", ");
    println!("| {median:.3} s | {least:.3} to {most:.3} | {times:.3} | {processor:.1} µs | {connections} |\n");
}
