//! What the first scrape after a change costs, and one when nothing has changed: processor time of the process.
//!
//! `cargo bench --bench rendering` prints Markdown. The network is not part of it.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, missing_docs)]

#[path = "poll/page.rs"]
mod page;
#[path = "poll/world.rs"]
mod world;

use std::time::Duration;

use metastudio_exporter::{
    cloud::{pages::Pages, wire::Page},
    exposition::{Exposition, Format},
    usage::Tally,
};
use rustix::time::{ClockId, clock_gettime};

use self::world::now;

const ROUNDS: usize = 15;

fn main() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    println!("### The first scrape after a change\n");
    println!("CPU in ms, median of {ROUNDS} (smallest and largest), OpenMetrics.\n");
    println!("| projects | series | encoding | bytes | nothing changed | one project changed | all changed |");
    println!("|---:|---:|---|---:|---:|---:|---:|");
    for count in [300, 3_000, 10_000] {
        for gzip in [true, false] {
            runtime.block_on(measure(count, gzip));
        }
    }
}

async fn measure(count: usize, gzip: bool) {
    let mut pages = Pages::new(1000, now());
    pages.add(Page::parse(page::page().as_bytes()).unwrap()).unwrap();
    let mut tally = Tally::default();
    pages.answer.rows.iter().for_each(|row| tally.add(row, None).unwrap());
    let (mut writer, reader) = world::world(count, &tally);
    let exposition = Exposition::of_projects(reader, now);
    let text = exposition.render(Format::OpenMetrics);
    let series = text.lines().filter(|line| !line.starts_with('#')).count();
    let scrape = async || {
        let before = processor();
        let length = exposition.scrape(Format::OpenMetrics, gzip).await.length();
        (processor() - before, length)
    };
    let length = scrape().await.1;
    let mut measured = [const { Vec::new() }; 3];
    for round in 0..ROUNDS {
        measured[0].push(scrape().await.0);
        world::poll(&mut writer, round * 7919 % count, &tally);
        measured[1].push(scrape().await.0);
        (0..count).for_each(|index| world::poll(&mut writer, index, &tally));
        measured[2].push(scrape().await.0);
    }
    let encoding = if gzip { "gzip" } else { "identity" };
    let [nothing, one, all] = measured.map(spread);
    println!("| {count} | {series} | {encoding} | {length} | {nothing} | {one} | {all} |");
}

fn spread(mut times: Vec<Duration>) -> String {
    times.sort();
    let ms = |time: Duration| time.as_secs_f64() * 1e3;
    format!("{:.2} ({:.2}–{:.2})", ms(times[times.len() / 2]), ms(times[0]), ms(times[times.len() - 1]))
}

fn processor() -> Duration {
    Duration::try_from(clock_gettime(ClockId::ProcessCPUTime)).unwrap()
}
