//! Finds memory leaks of polling. After each round, in which every project is polled once, it counts the live bytes.
//! Fails if they grow.
//!
//! `cargo bench --bench soak -- 100` polls a thousand projects a hundred times instead of ten.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

#[path = "poll/exporter.rs"]
mod exporter;
#[path = "poll/page.rs"]
mod page;
#[path = "poll/server.rs"]
mod server;

use std::{
    alloc::System,
    process::ExitCode,
    sync::Arc,
    time::{Duration, Instant},
};

use chrono::Utc;
use metastudio_exporter::snapshot::{self, Target};
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};
use tokio::task::JoinSet;

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const PROJECTS: usize = 1000;
const ACCOUNTS: usize = 50;
const CONCURRENCY: usize = 32;
/// Number of polls of every project.
const ROUNDS: usize = 10;
/// Growth in bytes that is no leak: the buffers of connections and the lengths of queues vary.
const TOLERANCE: usize = 512 << 10;

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1).filter(|argument| argument != "--bench");
    let first = arguments.next();
    if first.as_deref() == Some(server::COMMAND) {
        server::run(Duration::ZERO);
        return ExitCode::SUCCESS;
    }
    let rounds = first.map_or(ROUNDS, |rounds| rounds.parse().unwrap());
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(soak(rounds))
}

async fn soak(rounds: usize) -> ExitCode {
    let mut server = server::Server::start(Duration::ZERO);
    let pollers = exporter::pollers(server.address, PROJECTS, ACCOUNTS).await;
    let targets = pollers.iter().map(|poller| Target::new(&*poller.project().name)).collect();
    let (mut writer, _reader) = snapshot::channel(targets);
    println!("### Memory over {} polls\n", rounds * PROJECTS);
    println!(
        "{PROJECTS} projects, {CONCURRENCY} at a time. Live bytes are the bytes that are still allocated after a round.\n"
    );
    println!("| polls | live bytes | allocations a poll | bytes allocated a poll |");
    println!("|---|---|---|---|");
    let mut live = Vec::new();
    let start = Instant::now();
    for round in 1..=rounds {
        let before = ALLOCATOR.stats();
        for (number, group) in pollers.chunks(CONCURRENCY).enumerate() {
            let mut polls = JoinSet::new();
            for (offset, poller) in group.iter().enumerate() {
                let poller = Arc::clone(poller);
                polls.spawn(async move { (offset, poller.poll(Utc::now()).await) });
            }
            for (offset, outcome) in polls.join_all().await {
                assert!(outcome.result.is_ok(), "{:?}", outcome.result);
                writer.record(number * CONCURRENCY + offset, outcome, None);
            }
        }
        let stats = ALLOCATOR.stats();
        live.push(stats.bytes_allocated - stats.bytes_deallocated);
        // Of many rounds, print the first one and about ten others.
        if rounds <= 20 || round == 1 || round % (rounds / 10) == 0 {
            let allocations = (stats.allocations - before.allocations) / PROJECTS;
            let bytes = (stats.bytes_allocated - before.bytes_allocated) / PROJECTS;
            println!("| {} | {} | {allocations} | {bytes} |", round * PROJECTS, live[round - 1]);
        }
    }
    // In the first rounds, connections are opened and queues reach their sizes.
    let settled = live[rounds / 5];
    let growth = live[rounds - 1].saturating_sub(settled);
    let (polls, connections, time) = ((rounds / 5 + 1) * PROJECTS, server.connections(), start.elapsed());
    println!("\nGrowth since {polls} polls: {growth} bytes; {connections} connections in all; {time:.1?}.\n");
    if growth > TOLERANCE {
        eprintln!("the live bytes grew by {growth}, which is more than {TOLERANCE}");
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}
