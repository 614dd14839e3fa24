//! Instruction counts of a poll and of a scrape. Each has a limit, and exceeding it is a failure. Instructions are
//! counted and not timed, so a busy machine gives the same result.
//!
//! Needs valgrind and `cargo install gungraun-runner` in the version of `Cargo.lock`. The limits are about 5 % above
//! the counts of a release build on x86-64. Lower them after an improvement. Raise them only with a reason, such as a
//! new compiler.
#![allow(clippy::unwrap_used, missing_docs)]

#[path = "poll/november.rs"]
mod november;
#[path = "poll/page.rs"]
mod page;
#[path = "poll/signature.rs"]
mod signature;
#[path = "poll/sum.rs"]
mod sum;
#[path = "poll/world.rs"]
mod world;

use std::hint::black_box;

use gungraun::{Callgrind, EventKind, LibraryBenchmarkConfig, library_benchmark, library_benchmark_group, main};
use metastudio_exporter::{
    exposition::{Exposition, Format},
    usage::Tally,
};

use self::world::now;

const SIGN: u64 = 103_500;
const PARSE_AND_SUM: u64 = 1_071_000;
const RENDER: u64 = 2_650_000;

fn at_most(instructions: u64) -> LibraryBenchmarkConfig {
    let mut callgrind = Callgrind::with_args(["--cache-sim=no"]);
    callgrind.hard_limits([(EventKind::Ir, instructions)]);
    let mut config = LibraryBenchmarkConfig::default();
    config.tool(callgrind);
    config
}

#[library_benchmark(config = at_most(SIGN))]
fn sign() -> String {
    signature::sign()
}

// A page of thirty days with four rows each.
#[library_benchmark(config = at_most(PARSE_AND_SUM))]
#[bench::page(setup = november::page)]
fn parse_and_sum(page: String) -> (String, Tally) {
    let tally = sum::parse_and_sum(black_box(page.as_bytes()));
    (page, tally)
}

fn exposition() -> Exposition {
    let (_, reader) = world::world(20, &sum::parse_and_sum(november::page().as_bytes()));
    Exposition::of_projects(reader, || now().into())
}

#[library_benchmark(config = at_most(RENDER))]
#[bench::projects(setup = exposition)]
fn render(exposition: Exposition) -> (Exposition, String) {
    let text = exposition.render(black_box(Format::OpenMetrics));
    (exposition, text)
}

library_benchmark_group!(name = poll, benchmarks = [sign, parse_and_sum]);
library_benchmark_group!(name = scrape, benchmarks = [render]);
main!(library_benchmark_groups = [poll, scrape]);
