//! Processor time of a poll without the network, and of a scrape without the connection.
//!
//! It is the time of all threads of this process, so other load on the machine changes it less than elapsed time.
//! `cargo bench --bench parts` runs all benchmarks, `cargo bench --bench parts -- gzip` those with "gzip" in their
//! name.
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

use std::{hint::black_box, time::Duration};

use criterion::{
    BatchSize, Criterion, criterion_group, criterion_main,
    measurement::{Measurement, ValueFormatter, WallTime},
};
use metastudio_exporter::exposition::{Exposition, Format};
use rustix::time::{ClockId, clock_gettime};

use self::world::now;

/// Number of projects when all of them change.
const ALL: usize = 3_000;
/// Number of projects when one of them changes.
const MANY: usize = 10_000;

/// Processor time of this process: all threads, user and system.
struct ProcessorTime;

impl Measurement for ProcessorTime {
    type Intermediate = Duration;
    type Value = Duration;

    fn start(&self) -> Duration {
        clock_gettime(ClockId::ProcessCPUTime).try_into().unwrap()
    }

    fn end(&self, start: Duration) -> Duration {
        self.start() - start
    }

    fn add(&self, one: &Duration, other: &Duration) -> Duration {
        *one + *other
    }

    fn zero(&self) -> Duration {
        Duration::ZERO
    }

    fn to_f64(&self, value: &Duration) -> f64 {
        WallTime.to_f64(value)
    }

    fn formatter(&self) -> &dyn ValueFormatter {
        WallTime.formatter()
    }
}

fn poll(criterion: &mut Criterion<ProcessorTime>) {
    let mut group = criterion.benchmark_group("poll");
    group.bench_function("sign a request", |bench| bench.iter(signature::sign));
    let page = november::page();
    let name = format!("parse and sum a page of {} rows", 4 * page::DAYS);
    group.bench_function(name, |bench| bench.iter(|| sum::parse_and_sum(black_box(page.as_bytes()))));
}

/// The first scrape after polls of one project or of all.
fn scrape(criterion: &mut Criterion<ProcessorTime>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let tally = sum::parse_and_sum(november::page().as_bytes());
    let mut group = criterion.benchmark_group("scrape");
    group.sample_size(20);
    for (count, changed) in [(MANY, 1), (ALL, ALL)] {
        for encoding in ["gzip", "identity"] {
            let (mut writer, reader) = world::world(count, &tally);
            let exposition = Exposition::of_projects(reader, || now().into());
            let text = exposition.render(Format::OpenMetrics);
            let series = text.lines().filter(|line| !line.starts_with('#')).count();
            let scrape = || runtime.block_on(exposition.scrape(Format::OpenMetrics, encoding == "gzip")).length();
            scrape();
            let mut polled = 0;
            let mut change = || {
                for _ in 0..changed {
                    // A prime step, so that changed projects are in different blocks.
                    polled += 7919;
                    world::poll(&mut writer, polled % count, &tally);
                }
            };
            let name = format!("{encoding} of {count} projects ({series} series), {changed} changed");
            group.bench_function(name, |bench| bench.iter_batched(&mut change, |()| scrape(), BatchSize::PerIteration));
        }
    }
}

criterion_group!(name = parts; config = Criterion::default().with_measurement(ProcessorTime); targets = poll, scrape);
criterion_main!(parts);
