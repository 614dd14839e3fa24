//! The last complete usage of each project, which is shown at once after a restart.

use std::{collections::BTreeMap, str::FromStr};

use chrono::{DateTime, NaiveDate, Utc};
use serde::{Deserialize, Serialize};

use super::stored::{StoredSeries, restore_doubts, store_doubts};
use crate::{
    snapshot::{Moment, Usage, WindowValues},
    usage::{Bounds, Days, Series},
};

/// The JSON form of the usage of a project. Values are the shortest decimal texts of floats.
#[derive(Deserialize, Serialize)]
struct Stored {
    query: String,
    at: DateTime<Utc>,
    series: Vec<StoredSeries>,
    windows: Vec<StoredWindow>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    doubts: BTreeMap<String, String>,
}

#[derive(Deserialize, Serialize)]
struct StoredWindow {
    window: String,
    start: DateTime<Utc>,
    end: DateTime<Utc>,
    changes_at: Option<DateTime<Utc>>,
    /// A value for each series.
    values: Vec<Option<String>>,
    /// The first day, and the minutes of each day.
    days: Option<(NaiveDate, Vec<String>)>,
}

/// The JSON form of the usage of a project. `query` identifies its configured query.
pub fn write(usage: &Usage, query: &str) -> String {
    let window = |values: &WindowValues| StoredWindow {
        window: values.window.to_string(),
        start: values.bounds.start,
        end: values.bounds.end,
        changes_at: values.changes_at,
        values: (0..usage.series.len()).map(|index| values.value(index).map(|value| value.to_string())).collect(),
        days: values.days.as_ref().map(|days| (days.first, days.minutes.iter().map(f64::to_string).collect())),
    };
    let stored = Stored {
        query: query.to_owned(),
        at: usage.at.utc,
        series: usage.series.iter().map(StoredSeries::from).collect(),
        windows: usage.windows.iter().map(window).collect(),
        doubts: store_doubts(&usage.doubts),
    };
    // Texts and numbers always become JSON.
    serde_json::to_string(&stored).unwrap_or_default()
}

/// Reads the usage of a project. `None` if it answers another query, is not valid, or is from the future. Usage from
/// the future would become stale too late.
pub fn read(text: &str, query: &str, now: Moment) -> Option<Usage> {
    let stored: Stored = serde_json::from_str(text).ok()?;
    if stored.query != query || stored.at > now.utc {
        return None;
    }
    let at = Moment { utc: stored.at, steady: now.steady - (now.utc - stored.at) };
    let series = stored.series.into_iter().map(Series::from).collect();
    let windows: Option<Vec<WindowValues>> = stored.windows.into_iter().map(window).collect();
    Usage::restored(at, series, windows?, restore_doubts(stored.doubts)?)
}

fn window(StoredWindow { window, start, end, changes_at, values, days }: StoredWindow) -> Option<WindowValues> {
    let value = |text: Option<String>| match text {
        Some(text) => f64::from_str(&text).ok().map(Some),
        None => Some(None),
    };
    let values: Option<Vec<Option<f64>>> = values.into_iter().map(value).collect();
    let days = match days {
        Some((first, minutes)) => {
            let minutes: Option<Vec<f64>> = minutes.iter().map(|text| f64::from_str(text).ok()).collect();
            Some(Days { first, minutes: minutes? })
        }
        None => None,
    };
    Some(WindowValues::new(window.parse().ok()?, Bounds { start, end }, changes_at, values?, days))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rust_decimal::Decimal;

    use super::*;
    use crate::{
        history::days::tests::date,
        snapshot::{self, PollOutcome, Target, WindowUsage},
        usage::{Doubt, Doubts, Measure, Tally},
    };

    fn at() -> DateTime<Utc> {
        "2026-11-30T12:00:00.123456Z".parse().unwrap()
    }

    /// The usage of a project that was polled.
    fn polled(windows: Vec<WindowUsage>, doubts: Doubts) -> Usage {
        let (mut writer, reader) = snapshot::channel(vec![Target::new("p")]);
        writer.record(0, PollOutcome { doubts, ..PollOutcome::new(at(), Default::default(), Ok(windows)) }, None);
        reader.load().projects[0].usage.clone().unwrap()
    }

    /// All that is shown of a window.
    fn shown(usage: &Usage) -> Vec<String> {
        let window = |values: &WindowValues| {
            let series: Vec<_> = usage.of(values).collect();
            format!("{:?} {:?} {:?} {:?} {series:?}", values.window, values.bounds, values.changes_at, values.days)
        };
        usage.windows.iter().map(window).collect()
    }

    fn window(name: &str, parts: &[(u8, Option<Decimal>, bool)]) -> WindowUsage {
        let mut tally = Tally::default();
        for (index, sum, lacks_value) in parts {
            let measure = match index % 4 {
                0 => Measure::Minutes,
                1 => Measure::Number,
                2 => Measure::Other("GB".to_owned()),
                _ => Measure::Other("unknown".to_owned()),
            };
            let user_id = (index % 3 == 0).then(|| format!("u{index}"));
            let (resource_type, business_type) = (format!("r{}", index / 4), "b".to_owned());
            tally.add_part(Series { measure, resource_type, business_type, user_id }, *sum, *lacks_value);
        }
        let bounds = Bounds { start: at() - chrono::TimeDelta::hours(12), end: at() };
        let days = Some(Days { first: date("2026-11-29"), minutes: vec![0.1 + 0.2, 1e21] });
        WindowUsage { window: name.parse().unwrap(), bounds, changes_at: Some(at()), tally, days }
    }

    proptest! {
        #[test]
        fn everything_that_is_shown_is_shown_again(
            [first, second] in prop::array::uniform2(prop::collection::vec(
                (0_u8..12, prop::option::of((any::<i64>(), 0_u32..20).prop_map(|(value, scale)| Decimal::new(value, scale))),
                 any::<bool>()),
                0..12,
            ))
        ) {
            let doubts = Doubts::from([(Doubt::Negative, "\"odd\"\n".to_owned())]);
            let usage = polled(vec![window("today", &first), window("30d", &second)], doubts);
            let again = read(&write(&usage, "q"), "q", at().into()).unwrap();
            prop_assert_eq!(&again.series, &usage.series);
            prop_assert_eq!(shown(&again), shown(&usage));
            prop_assert_eq!((&again.doubts, again.at.utc), (&usage.doubts, usage.at.utc));
        }
    }

    #[test]
    fn usage_of_another_query_or_another_form_is_not_read() {
        let text = write(&polled(vec![window("today", &[])], Doubts::new()), "one");
        let read = |text: &str, query: &str| read(text, query, at().into());
        assert!(read(&text, "one").is_some() && read(&text, "two").is_none());
        assert!(super::read(&text, "one", (at() - chrono::TimeDelta::seconds(1)).into()).is_none());
        for broken in [
            "",
            "{}",
            text.trim_start_matches('{'),
            &text.replace("today", "tomorrow"),
            &text.replace("\"values\":[]", "\"values\":[null]"),
        ] {
            assert!(read(broken, "one").is_none(), "{broken}");
        }
    }
}
