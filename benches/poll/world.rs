//! A snapshot of polled projects with three windows each.

use std::time::Duration;

use chrono::{DateTime, Utc};
use metastudio_exporter::{
    snapshot::{self, PollOutcome, Reader, Target, WindowUsage, Writer},
    usage::{Operation, Tally, Window, Zone},
};

pub fn now() -> DateTime<Utc> {
    DateTime::from_timestamp(1_764_547_200, 0).unwrap()
}

/// This many projects, each polled once.
pub fn world(count: usize, tally: &Tally) -> (Writer, Reader) {
    let target = |number| Target {
        project_id: Some("5f0d1e2c3b4a59687786a5b4c3d2e101".to_owned()),
        region: "cn-north-4".to_owned(),
        endpoint: "https://metastudio.cn-north-4.myhuaweicloud.com".to_owned(),
        labels: vec![("team".to_owned(), "marketing".to_owned())],
        stale_after: Duration::from_secs(900),
        credentials: "main".to_owned(),
        ..Target::new(format!("project-{number:05}"))
    };
    let (mut writer, reader) = snapshot::channel((0..count).map(target).collect());
    (0..count).for_each(|index| poll(&mut writer, index, tally));
    (writer, reader)
}

/// Records one more poll of a project.
pub fn poll(writer: &mut Writer, index: usize, tally: &Tally) {
    let usage = |window: Window| {
        let bounds = window.bounds(now(), &Zone::shanghai());
        WindowUsage { window, bounds, changes_at: None, tally: tally.clone(), days: None }
    };
    let windows = [Window::Today, Window::Yesterday, Window::ThisMonth].map(usage).to_vec();
    let mut outcome = PollOutcome::new(now(), Duration::from_millis(300), Ok(windows));
    for _ in 0..3 {
        outcome.counters.count_request(Operation::ShowUsageData, Some(200), Duration::from_millis(100));
    }
    writer.record(index, outcome, None);
}
