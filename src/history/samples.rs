//! The samples that an exporter would have exposed in the past, as far as they can be known.
//!
//! The cloud says how much usage a day has now, and not what it said on that day. So only these samples can be known:
//!
//! | window | times |
//! |---|---|
//! | `yesterday`, `last_month` | all day, because the window had ended; and the last second of the whole range |
//! | `this_month`, `this_week` | the last second of each local day |
//! | `30d` and others of whole days | local midnight, unless a clock change makes the range begin at another time |
//! | `today`, `24h` and others of hours | none: only days are known |
//!
//! A window with a day that cannot be trusted has no sample. A type without usage is 0, from the day on which it was
//! first seen.

use std::{collections::BTreeMap, sync::Arc};

use chrono::{DateTime, Days, NaiveDate, TimeDelta, Utc};
use rust_decimal::Decimal;

use super::days::{KnownDays, happened, next_month};
use crate::{
    exposition::{PastProject, PastSeries, RECORDED_WINDOWS, Timeline},
    snapshot::Target,
    usage::{Bounds, Measure, Series, Tally, Window, nearest},
};

/// The seconds between two samples of a window that has ended.
pub type SampleStep = u32;

/// A value that holds at some times.
struct Span {
    times: Arc<[i64]>,
    tally: Tally,
    /// The last day in the value.
    last: NaiveDate,
}

/// The samples of a project in the month of `month`, within `range`.
pub fn of_month(
    target: Target,
    windows: &[Window],
    known: &KnownDays,
    month: NaiveDate,
    range: Bounds,
    step: SampleStep,
) -> PastProject {
    let mut past = PastProject { target, series: Vec::new(), recorded: Vec::new() };
    let first_seen = known.first_seen();
    let mut series: Vec<&Series> = first_seen.keys().copied().collect();
    series.sort_unstable();
    for window in windows {
        let days = happened(month, next_month(month), known.zone());
        let spans: Vec<Span> = days.filter_map(|day| span(*window, day, known, range, step)).collect();
        let is_seen = |series: &Series, span: &Span| first_seen.get(series).is_some_and(|first| *first <= span.last);
        for &series in &series {
            let value = |span: &Span| {
                let value = is_seen(series, span).then(|| span.tally.value(series))?;
                Some((value?, Arc::clone(&span.times)))
            };
            let timeline: Timeline = spans.iter().filter_map(value).collect();
            if !timeline.is_empty() {
                past.series.push(PastSeries { window: *window, series: series.clone(), timeline });
            }
        }
        if RECORDED_WINDOWS.contains(window) {
            let recorded = |span: &Span| Some((recorded(span, &first_seen)?, Arc::clone(&span.times)));
            let timeline: Timeline = spans.iter().filter_map(recorded).collect();
            if !timeline.is_empty() {
                past.recorded.push((*window, timeline));
            }
        }
    }
    past
}

/// The minutes of all series together; `None` if there is no series yet, or one lacks a value.
fn recorded(span: &Span, first_seen: &BTreeMap<&Series, NaiveDate>) -> Option<f64> {
    let seen = first_seen.iter().filter(|(_, first)| **first <= span.last).map(|(series, _)| *series);
    let mut minutes = seen.filter(|series| series.measure == Measure::Minutes).peekable();
    minutes.peek()?;
    let sum = minutes.try_fold(Decimal::ZERO, |sum, series| sum.checked_add(span.tally.exact(series)?));
    sum.map(nearest)
}

/// The value of a window on a day, with the times of that day at which it can be known.
fn span(window: Window, day: NaiveDate, known: &KnownDays, range: Bounds, step: SampleStep) -> Option<Span> {
    let zone = known.zone();
    let Bounds { start, end } = Bounds::of_day(day, zone);
    let local = |instant: DateTime<Utc>| zone.local(instant).date_naive();
    // The last second of the range always has a sample, even if no step falls on it, because alerts look back three
    // hours for a sample.
    let last = range.end - TimeDelta::seconds(1);
    let bounds = window.bounds(start, zone);
    let (first, after, times) = match window {
        Window::Today | Window::Hours(_) => return None,
        Window::Days(days) => {
            let first = day - Days::new(days.into());
            (first, day, if zone.midnight(first) == bounds.start { vec![start] } else { Vec::new() })
        }
        _ if window.has_ended() => {
            let steps = std::iter::successors(Some(start), |time| Some(*time + TimeDelta::seconds(step.into())));
            let steps = steps.take_while(|time| *time < end.min(last));
            let times = steps.chain((start <= last && last < end).then_some(last)).collect();
            (local(bounds.start), local(bounds.end), times)
        }
        _ => (local(bounds.start), day + Days::new(1), vec![end - TimeDelta::seconds(1)]),
    };
    let times: Vec<i64> = times.into_iter().filter(|time| range.contains(*time)).map(|time| time.timestamp()).collect();
    if times.is_empty() {
        return None;
    }
    let tally = known.sum(first, after)?;
    Some(Span { times: times.into(), tally, last: after - Days::new(1) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        history::days::{
            Day,
            tests::{date, day, known},
        },
        usage::Doubt,
    };

    fn at(text: &str) -> DateTime<Utc> {
        DateTime::parse_from_rfc3339(text).unwrap().to_utc()
    }

    /// The samples of a month as text: window, type, value, number of times, and the first and the last local time.
    fn samples(windows: &[&str], known: &KnownDays, month: &str) -> Vec<String> {
        let windows: Vec<Window> = windows.iter().map(|window| window.parse().unwrap()).collect();
        let range = Bounds { start: at("2020-01-01T00:00:00Z"), end: at("2030-01-01T00:00:00Z") };
        let past = of_month(Target::new("p"), &windows, known, date(month), range, 3600);
        let local = |time: &i64| {
            let instant = DateTime::from_timestamp(*time, 0).unwrap();
            known.zone().local(instant).format("%dT%H:%M:%S").to_string()
        };
        let line = &|name: &str, (value, times): &(f64, Arc<[i64]>)| {
            let (first, last) = (local(times.first().unwrap()), local(times.last().unwrap()));
            format!("{name} {value} {} {first} {last}", times.len())
        };
        let of_series = past.series.iter().flat_map(|past| {
            past.timeline.iter().map(|value| line(&format!("{} {}", past.window, past.series.business_type), value))
        });
        let of_rules = past
            .recorded
            .iter()
            .flat_map(|(window, values)| values.iter().map(move |value| line(&format!("recorded {window}"), value)));
        of_series.chain(of_rules).collect()
    }

    #[test]
    fn a_window_has_samples_when_its_value_was_certain() {
        let mut days = vec![("2025-09-30", day(&[("V", "0.1")]))];
        let dates: Vec<String> = (1..=31).map(|day| format!("2025-10-{day:02}")).collect();
        days.extend(dates.iter().map(|date| (date.as_str(), day(&[("V", "0.2")]))));
        let known = known("Asia/Shanghai", &days);
        let windows = ["today", "yesterday", "this_week", "this_month", "last_month", "2d", "24h"];
        let october = samples(&windows, &known, "2025-10-01");
        let has = |line: &str| assert!(october.contains(&line.to_owned()), "{line}: {october:#?}");
        // The last day of September may be partial, so it is in no window.
        has("yesterday V 0.2 24 02T00:00:00 02T23:00:00");
        has("yesterday V 0.2 24 31T00:00:00 31T23:00:00");
        has("this_month V 0.2 1 01T23:59:59 01T23:59:59");
        has("this_month V 6.2 1 31T23:59:59 31T23:59:59");
        has("2d V 0.4 1 03T00:00:00 03T00:00:00");
        has("this_week V 0.2 1 06T23:59:59 06T23:59:59");
        has("recorded yesterday 0.2 24 02T00:00:00 02T23:00:00");
        has("recorded this_month 6.2 1 31T23:59:59 31T23:59:59");
        for absent in ["yesterday V 0.1", "today", "24h", "last_month", "this_week V 0.2 1 01", "this_week V 0.4 1 02"]
        {
            assert!(october.iter().all(|line| !line.starts_with(absent)), "{absent}");
        }
        let november = samples(&windows, &known, "2025-11-01");
        assert_eq!(november[0], "yesterday V 0.2 24 01T00:00:00 01T23:00:00");
        assert!(november.contains(&"last_month V 6.2 24 30T00:00:00 30T23:00:00".to_owned()), "{november:#?}");
        assert!(november.iter().all(|line| !line.contains("this_month")), "{november:#?}");
    }

    #[test]
    fn a_type_is_zero_from_the_day_on_which_it_was_first_seen() {
        let mut known = known(
            "UTC",
            &[
                ("2025-11-01", day(&[("V", "1")])),
                ("2025-11-02", Day::default()),
                ("2025-11-03", day(&[("L", "5")])),
                ("2025-11-04", day(&[("V", "2")])),
            ],
        );
        known.note_used_before(date("2025-11-01"), DateTime::UNIX_EPOCH);
        let samples = samples(&["yesterday"], &known, "2025-11-01");
        let day = |number: u32| format!("24 {number:02}T00:00:00 {number:02}T23:00:00");
        let expected = [
            format!("yesterday L 5 {}", day(4)),
            format!("yesterday L 0 {}", day(5)),
            format!("yesterday V 1 {}", day(2)),
            format!("yesterday V 0 {}", day(3)),
            format!("yesterday V 0 {}", day(4)),
            format!("yesterday V 2 {}", day(5)),
            format!("recorded yesterday 1 {}", day(2)),
            format!("recorded yesterday 0 {}", day(3)),
            format!("recorded yesterday 5 {}", day(4)),
            format!("recorded yesterday 2 {}", day(5)),
        ];
        assert_eq!(samples, expected);
    }

    #[test]
    fn days_are_23_and_25_hours_long_when_clocks_change() {
        let used = || day(&[("V", "1")]);
        let mut known = known(
            "Europe/Berlin",
            &[
                ("2025-03-28", used()),
                ("2025-03-29", used()),
                ("2025-03-30", used()),
                ("2025-10-25", used()),
                ("2025-10-26", used()),
            ],
        );
        known.note_used_before(date("2025-03-01"), DateTime::UNIX_EPOCH);
        let march = samples(&["yesterday", "1d"], &known, "2025-03-01");
        assert!(march.contains(&"yesterday V 1 23 30T00:00:00 30T23:00:00".to_owned()), "{march:#?}");
        assert!(march.contains(&"1d V 1 1 30T00:00:00 30T00:00:00".to_owned()), "{march:#?}");
        assert!(!march.iter().any(|line| line.starts_with("1d V 1 1 31")), "its 24 hours begin at 23:00: {march:#?}");
        let october = samples(&["yesterday"], &known, "2025-10-01");
        assert!(october.contains(&"yesterday V 1 25 26T00:00:00 26T23:00:00".to_owned()), "{october:#?}");
    }

    #[test]
    fn a_value_that_is_missing_is_not_zero() {
        let mut lacking = day(&[("V", "1"), ("L", "1")]);
        let series = lacking.tally.parts().next().map(|(series, _, _)| series.clone()).unwrap();
        lacking.tally.add_part(series, None, true);
        let mut doubted = day(&[("V", "1"), ("L", "1")]);
        doubted.doubts.insert(Doubt::Misaligned, String::new());
        let mut known = known("UTC", &[("2025-11-01", lacking), ("2025-11-02", doubted)]);
        known.note_used_before(date("2025-11-01"), DateTime::UNIX_EPOCH);
        let samples = samples(&["yesterday", "this_month"], &known, "2025-11-01");
        let expected = ["yesterday V 1 24 02T00:00:00 02T23:00:00", "this_month V 1 1 01T23:59:59 01T23:59:59"];
        assert_eq!(samples, expected, "no L, no sum of the project, and nothing of the second day");
    }

    #[test]
    fn samples_end_before_the_end_of_the_range() {
        let mut known = known("UTC", &[("2025-11-01", day(&[("V", "1")])), ("2025-11-02", day(&[("V", "1")]))]);
        known.note_used_before(date("2025-11-01"), DateTime::UNIX_EPOCH);
        let range = Bounds { start: at("2025-11-02T05:30:00Z"), end: at("2025-11-02T08:00:00Z") };
        let windows = [Window::Yesterday, Window::ThisMonth];
        let past = of_month(Target::new("p"), &windows, &known, date("2025-11-01"), range, 3600);
        let times = ["06:00:00", "07:00:00", "07:59:59"].map(|time| at(&format!("2025-11-02T{time}Z")).timestamp());
        assert_eq!(past.series.len(), 1);
        assert_eq!(past.series[0].timeline, [(1.0, times.into())]);
        let range = Bounds { end: at("2025-11-02T07:00:01Z"), ..range };
        let past = of_month(Target::new("p"), &windows, &known, date("2025-11-01"), range, 3600);
        assert_eq!(past.series[0].timeline, [(1.0, times[..2].into())]);
    }
}
