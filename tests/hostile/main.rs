//! Hostile clients and a hostile cloud at the same time, against one exporter: its memory stays bounded, good scrapes are
//! answered, and polls of good projects succeed. Two other exporters, without TLS, have clients that read nothing.
//!
//! `HOSTILE_SECONDS` is the minimum duration for each exporter. The defaults suit CI. `METASTUDIO_EXPORTER` names a
//! release build to test.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod clients;
mod cloud;
mod exporter;

use std::{
    sync::LazyLock,
    time::{Duration, Instant},
};

use self::{
    clients::{Hostile, NO_READERS, WITH_TLS},
    cloud::Answer,
    exporter::{Exporter, PROGRAM},
};

/// What is asserted of the tested program.
struct Bounds {
    /// Maximum resident memory in MiB. The Helm chart gives the exporter 128 MiB.
    memory: u64,
    /// Maximum time of a good scrape.
    scrape: Duration,
}

/// The bounds of a release build, or of a debug build. The program that [`PROGRAM`] names is a release build. A debug
/// build takes 17 MiB more from the start, and it reads, renders and encrypts several times more slowly.
static BOUNDS: LazyLock<Bounds> = LazyLock::new(|| match std::env::var_os(PROGRAM) {
    None if cfg!(debug_assertions) => Bounds { memory: 96 + 17, scrape: Duration::from_secs(15) },
    _ => Bounds { memory: 96, scrape: Duration::from_secs(5) },
});

/// Number of projects with hostile answers. It equals `poll.concurrency`, so the exporter can poll all of them at once.
const HOSTILE_PROJECTS: usize = 8;

/// Projects whose polls change the answer, while clients read nothing.
#[derive(Clone, Copy)]
struct Changing {
    projects: usize,
    /// Maximum number of requests a second. With it, the first polls of all projects take at least 10 s: the time in
    /// which all clients connect.
    requests: usize,
    /// A function of the number of a project that gives the id of this project in the cloud.
    id: fn(usize) -> usize,
}

/// Many small projects, and a few with as many types as a project may have. A metric family of the latter has megabytes.
const CHANGING: [Changing; 2] = [
    Changing { projects: 500, requests: 50, id: |number| 100 + number },
    Changing { projects: 40, requests: 8, id: |_| Answer::MostTypes.id() },
];

/// Minimum duration for each exporter: `HOSTILE_SECONDS`, or this default.
fn duration(default: u64) -> Duration {
    Duration::from_secs(std::env::var("HOSTILE_SECONDS").map_or(default, |seconds| seconds.parse().unwrap()))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hostile_clients_and_a_hostile_cloud_exceed_no_bound() {
    // The exporter disconnects clients after 60 s if they do not read.
    let end = Instant::now() + duration(65);
    let cloud = cloud::serve().await;
    let exporter = Exporter::start(&config(cloud, None));
    // From here on, the exporter remembers the password.
    exporter.scrape(&exporter.client()).await;
    let scrapes = tokio::spawn(scrape_each_second(exporter.clone()));
    let clients = Hostile::start(&exporter, &WITH_TLS);
    let (mut round, mut peaks) = (0, Vec::new());
    while round == 0 || Instant::now() < end {
        for answer in Answer::ALL {
            exporter.reset_peak();
            let name = format!("{answer:?}-{round}");
            exporter.reload(&config(cloud, Some((answer, &name)))).await;
            exporter.wait_for_polls(&name, HOSTILE_PROJECTS, answer.is_accepted()).await;
            let peak = exporter.peak();
            println!("{name}: at most {peak} MiB, then {} MiB", exporter.memory());
            peaks.push((peak, name));
        }
        round += 1;
    }
    assert!(!scrapes.is_finished(), "{:?}", scrapes.await);
    scrapes.abort();
    clients.assert_active();
    exporter.assert_alive();
    peaks.retain(|(peak, _)| *peak >= BOUNDS.memory);
    assert!(peaks.is_empty(), "more than {} MiB: {peaks:?}", BOUNDS.memory);
}

/// While the 500 clients connect, the first polls of the projects end, and each of them changes the answer. So many
/// clients keep bytes that no other client keeps.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_that_read_nothing_exceed_no_bound() {
    let cloud = cloud::serve().await;
    for changing in CHANGING {
        let end = Instant::now() + duration(20);
        let exporter = Exporter::start_plain(&changing.config(cloud));
        let _clients = Hostile::start(&exporter, &NO_READERS);
        let (mut most_active, mut series) = (0, 0);
        while Instant::now() < end {
            let start = Instant::now();
            let metrics = exporter.scrape(&exporter.client()).await;
            assert!(start.elapsed() < BOUNDS.scrape, "a scrape took {:?}", start.elapsed());
            let active =
                metrics.lines().find_map(|l| l.strip_prefix("metastudio_exporter_connections{state=\"active\"} "));
            most_active = most_active.max(active.unwrap().parse().unwrap());
            series = metrics.lines().filter(|line| !line.starts_with('#')).count();
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        exporter.assert_alive();
        println!("{series} series, {most_active} unread answers: at most {} MiB", exporter.peak());
        // An answer that the kernel has taken as a whole is no longer active.
        assert!(most_active > 300, "the exporter has kept only {most_active} answers");
        assert!(exporter.peak() < BOUNDS.memory, "{series} series: {} MiB", exporter.peak());
    }
}

impl Changing {
    fn config(self, cloud: std::net::SocketAddr) -> String {
        let mut text = format!("api: {{requests_per_second: {}}}\n", self.requests);
        text += "windows: [today]\npoll: {interval: 1m}\n";
        text += "credentials: {main: {access_key: ACCESSKEY, secret_key: SECRETKEY}}\nprojects:\n";
        for number in 0..self.projects {
            let id = (self.id)(number);
            text += &format!("  - {{name: p{number}, endpoint: 'http://{cloud}', project_id: '{id:032x}'}}\n");
        }
        text
    }
}

/// Two good projects, and eight projects with the same hostile answer. The eight have a new key each time, because a
/// key is on hold after four requests without an answer.
fn config(cloud: std::net::SocketAddr, hostile: Option<(Answer, &str)>) -> String {
    let project = |name: &str, credentials: &str, id: usize| {
        format!(
            "  - {{name: {name}, credentials: {credentials}, endpoint: 'http://{cloud}', project_id: '{id:032x}'}}\n"
        )
    };
    let key = hostile.map_or("none", |(_, name)| name);
    let mut text = "api: {requests_per_second: 1000, max_retries: 0}\n\
                    windows: [today]\n\
                    poll: {timeout: 5m}\n\
                    credentials:\n  main: {access_key: ACCESSKEY, secret_key: SECRETKEY}\n"
        .to_owned();
    text += &format!("  other: {{access_key: {key}, secret_key: SECRETKEY}}\nprojects:\n");
    text += &project("good-1", "main", 0);
    text += &project("good-2", "main", 0);
    if let Some((answer, name)) = hostile {
        (1..=HOSTILE_PROJECTS).for_each(|number| text += &project(&format!("{name}-{number}"), "other", answer.id()));
    }
    text
}

/// Scrapes over a connection that is kept, and over a new one. Ends only with a panic.
async fn scrape_each_second(exporter: Exporter) {
    let kept = exporter.client();
    loop {
        for client in [&kept, &exporter.client()] {
            let start = Instant::now();
            let metrics = exporter.scrape(client).await;
            assert!(start.elapsed() < BOUNDS.scrape, "a scrape took {:?}", start.elapsed());
            for project in ["good-1", "good-2"] {
                let tried = format!("metastudio_polls_total{{project=\"{project}\"}} 0\n");
                let is_up = format!("metastudio_up{{project=\"{project}\"}} 1\n");
                assert!(metrics.contains(&tried) || metrics.contains(&is_up), "{project} fails");
            }
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}
