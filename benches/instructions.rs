//! How many instructions the parts of a poll and of a scrape take, each with a limit: more is a failure, on a busy
//! machine too, since nothing is timed.
//!
//! Needs valgrind and `cargo install gungraun-runner` in the version of `Cargo.lock`. The limits lie about 5 % above
//! what x86-64 takes with the optimisations of a release: lower them after an improvement, and raise them only with a
//! reason, of which a new compiler is one.
#![allow(clippy::unwrap_used, missing_docs)]

#[path = "poll/page.rs"]
mod page;

use std::{collections::BTreeMap, hint::black_box, time::Duration};

use chrono::{DateTime, Utc};
use gungraun::{Callgrind, EventKind, LibraryBenchmarkConfig, library_benchmark, library_benchmark_group, main};
use metastudio_exporter::{
    cloud::{
        pages::Pages,
        signing::{self, Payload},
        wire::Page,
    },
    exposition::{Exposition, Format},
    snapshot::{self, Attempt, Ignored, Target, WindowUsage},
    usage::{Tally, Window},
};

const SIGN: u64 = 98_000;
const PARSE_AND_SUM: u64 = 793_000;
const RENDER: u64 = 4_190_000;

fn at_most(instructions: u64) -> LibraryBenchmarkConfig {
    let mut callgrind = Callgrind::with_args(["--cache-sim=no"]);
    callgrind.hard_limits([(EventKind::Ir, instructions)]);
    let mut config = LibraryBenchmarkConfig::default();
    config.tool(callgrind);
    config
}

fn now() -> DateTime<Utc> {
    DateTime::from_timestamp(1_764_547_200, 0).unwrap()
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

/// Twenty projects with three windows each.
fn world() -> Exposition {
    let target = |number| Target {
        name: format!("project-{number}"),
        project_id: Some("5f0d1e2c3b4a59687786a5b4c3d2e101".to_owned()),
        region: "cn-north-4".to_owned(),
        endpoint: "https://metastudio.cn-north-4.myhuaweicloud.com".to_owned(),
        labels: vec![("team".to_owned(), "marketing".to_owned())],
        stale_after: Duration::from_secs(900),
        credentials: "main".to_owned(),
        budgets: Vec::new(),
    };
    let targets: Vec<Target> = (0..20).map(target).collect();
    let (mut writer, reader) = snapshot::channel(targets);
    let tally = tally(&page::page());
    for index in 0..20 {
        let usage = |window: Window| {
            let bounds = window.bounds(now(), chrono_tz::Asia::Shanghai);
            WindowUsage { window, bounds, tally: tally.clone(), days: None }
        };
        let windows = [Window::Today, Window::Yesterday, Window::ThisMonth].map(usage);
        writer.record(
            index,
            Attempt {
                at: now(),
                duration: Duration::from_millis(300),
                result: Ok(windows.to_vec()),
                requests: BTreeMap::from([(Some(200), 3)]),
                request_durations: vec![Duration::from_millis(100); 3],
                retries: 0,
                ignored: Ignored::default(),
                project_id: None,
                credentials_expiry: None,
            },
            None,
        );
    }
    Exposition::of_projects(reader, now)
}

#[library_benchmark(config = at_most(RENDER))]
#[bench::projects(setup = world)]
fn render(exposition: Exposition) -> (Exposition, String) {
    let text = exposition.render(black_box(Format::OpenMetrics));
    (exposition, text)
}

library_benchmark_group!(name = poll, benchmarks = [sign, parse_and_sum]);
library_benchmark_group!(name = scrape, benchmarks = [render]);
main!(library_benchmark_groups = [poll, scrape]);
