//! Windows: their names, and their bounds at any instant in any zone.
#![no_main]

use chrono::{DateTime, Days, FixedOffset, NaiveDate, TimeDelta, Utc};
use libfuzzer_sys::fuzz_target;
use metastudio_exporter::usage::{Window, Zone};

/// 1970 to 2199.
const SECONDS: i64 = 7_258_118_400;
/// From here on, no clock is set back into a day that has already ended.
const YEAR_2012: i64 = 1_325_376_000;

// The input is the second, the window and the zone, one on each line.
fuzz_target!(|input: &str| {
    let mut lines = input.split('\n');
    let mut line = || lines.next().unwrap_or_default();
    let second = line().parse::<i64>().unwrap_or_default().rem_euclid(SECONDS);
    let now = DateTime::from_timestamp(second, 0).unwrap();
    let (window, zone) = (line(), line());
    if let Ok(window) = window.parse::<Window>() {
        assert_eq!(window.to_string().parse(), Ok(window));
        check(window, now, &zone.parse().unwrap_or_else(|_| Zone::shanghai()));
    }
    if let Ok(known) = zone.parse::<Zone>() {
        assert!(known.to_string().eq_ignore_ascii_case(zone));
    }
    check_day(now, (second % 27) as i32 - 12);
});

fn check(window: Window, now: DateTime<Utc>, zone: &Zone) {
    let bounds = window.bounds(now, zone);
    assert!(bounds.start < bounds.end);
    let elapsed = bounds.elapsed(now);
    assert!(bounds.start == elapsed.start && elapsed.start < elapsed.end && elapsed.end <= bounds.end);
    if let Some(change) = window.changes_at(now, zone)
        && now.timestamp() >= YEAR_2012
    {
        assert!(now < change);
        assert_eq!(window.bounds(change - TimeDelta::seconds(1), zone), bounds);
        assert_ne!(window.bounds(change, zone), bounds);
    }
    assert_eq!(window.has_ended(), window.calendar().is_some() && bounds.end <= now);
}

/// Compares days with those of chrono, which knows offsets, but no zones.
fn check_day(now: DateTime<Utc>, hours: i32) {
    // The names of these zones have the opposite sign.
    let zone: Zone = format!("Etc/GMT{:+}", -hours).parse().unwrap();
    let offset = FixedOffset::east_opt(3600 * hours).unwrap();
    let day = now.with_timezone(&offset).date_naive();
    let midnight = |day: NaiveDate| day.and_hms_opt(0, 0, 0).unwrap().and_local_timezone(offset).unwrap().to_utc();
    let today = Window::Today.bounds(now, &zone);
    assert_eq!((today.start, today.end), (midnight(day), midnight(day + Days::new(1))));
    assert_eq!(Window::Yesterday.bounds(now, &zone).end, today.start);
}
