//! How many instructions the parts of a poll and of a scrape take, each with a limit: more is a failure, on a busy
//! machine too, since nothing is timed.
//!
//! Needs valgrind and `cargo install gungraun-runner` in the version of `Cargo.lock`. The limits lie about 5 % above
//! what x86-64 takes with the optimisations of a release: lower them after an improvement, and raise them only with a
//! reason, of which a new compiler is one.
#![allow(clippy::unwrap_used, missing_docs)]

#[path = "poll/page.rs"]
mod page;
#[path = "poll/world.rs"]
mod world;

use std::hint::black_box;

use gungraun::{Callgrind, EventKind, LibraryBenchmarkConfig, library_benchmark, library_benchmark_group, main};
use metastudio_exporter::{
    cloud::{
        pages::Pages,
        signing::{self, Payload},
        wire::Page,
    },
    exposition::{Exposition, Format},
    usage::Tally,
};

use self::world::now;

const SIGN: u64 = 103_500;
const PARSE_AND_SUM: u64 = 851_000;
const RENDER: u64 = 2_723_000;

fn at_most(instructions: u64) -> LibraryBenchmarkConfig {
    let mut callgrind = Callgrind::with_args(["--cache-sim=no"]);
    callgrind.hard_limits([(EventKind::Ir, instructions)]);
    let mut config = LibraryBenchmarkConfig::default();
    config.tool(callgrind);
    config
}

#[library_benchmark(config = at_most(SIGN))]
fn sign() -> String {
    let query = signing::canonical_query(black_box(&[
        ("start_time", "2025-11-01T00:00:00Z"),
        ("end_time", "2025-12-01T00:00:00Z"),
        ("limit", "1000"),
        ("offset", "0"),
    ]));
    let headers = [
        ("x-project-id", "5f0d1e2c3b4a59687786a5b4c3d2e101"),
        ("host", "metastudio.cn-north-4.myhuaweicloud.com"),
        ("x-sdk-date", "20251201T000000Z"),
    ];
    let request = signing::Request {
        method: "GET",
        path: "/v1/5f0d1e2c3b4a59687786a5b4c3d2e101/data-analysis",
        query: &query,
        headers: black_box(&headers),
        payload: Payload::Signed(b""),
    };
    signing::authorization("BENCHMARKACCESSKEY", "benchmarksecretkeybenchmarksecretkey0000", headers[2].1, &request)
}

// A page of thirty days with four rows each.
#[library_benchmark(config = at_most(PARSE_AND_SUM))]
#[bench::page(setup = page::page)]
fn parse_and_sum(page: String) -> (String, Tally) {
    let tally = tally(black_box(&page));
    (page, tally)
}

fn tally(page: &str) -> Tally {
    let mut pages = Pages::new(1000, now());
    pages.add(Page::parse(page.as_bytes()).unwrap()).unwrap();
    let mut tally = Tally::default();
    for row in &pages.answer.rows {
        tally.add(row, None).unwrap();
    }
    tally
}

fn exposition() -> Exposition {
    let (_, reader) = world::world(20, &tally(&page::page()));
    Exposition::of_projects(reader, now)
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
