//! A snapshot of projects with three windows each, as the exporter has it after its polls.

use std::{collections::BTreeMap, time::Duration};

use chrono::{DateTime, Utc};
use metastudio_exporter::{
    snapshot::{self, Attempt, Ignored, Reader, Target, WindowUsage, Writer},
    usage::{Tally, Window, Zone},
};

pub fn now() -> DateTime<Utc> {
    DateTime::from_timestamp(1_764_547_200, 0).unwrap()
}

/// So many projects, each polled once.
pub fn world(count: usize, tally: &Tally) -> (Writer, Reader) {
    let target = |number| Target {
        name: format!("project-{number:05}"),
        project_id: Some("5f0d1e2c3b4a59687786a5b4c3d2e101".to_owned()),
        region: "cn-north-4".to_owned(),
        endpoint: "https://metastudio.cn-north-4.myhuaweicloud.com".to_owned(),
        labels: vec![("team".to_owned(), "marketing".to_owned())],
        stale_after: Duration::from_secs(900),
        credentials: "main".to_owned(),
        budgets: Vec::new(),
    };
    let (mut writer, reader) = snapshot::channel((0..count).map(target).collect());
    (0..count).for_each(|index| poll(&mut writer, index, tally));
    (writer, reader)
}

/// Polls a project once more.
pub fn poll(writer: &mut Writer, index: usize, tally: &Tally) {
    let usage = |window: Window| {
        let bounds = window.bounds(now(), &Zone::shanghai());
        WindowUsage { window, bounds, tally: tally.clone(), days: None }
    };
    let attempt = Attempt {
        at: now(),
        duration: Duration::from_millis(300),
        result: Ok([Window::Today, Window::Yesterday, Window::ThisMonth].map(usage).to_vec()),
        requests: BTreeMap::from([(Some(200), 3)]),
        request_durations: vec![Duration::from_millis(100); 3],
        retries: 0,
        ignored: Ignored::default(),
        project_id: None,
        credentials_expiry: None,
    };
    writer.record(index, attempt, None);
}
