//! Windows of time: the range that `today` or `30d` covers at a given instant in a given time zone.

use std::{fmt, ops::Range, str::FromStr};

use chrono::{DateTime, Datelike, Days, Duration, Months, NaiveDate, Utc};
use thiserror::Error;

use super::zone::Zone;

/// The longest rolling window, in hours: a leap year.
const MAX_HOURS: u32 = 366 * 24;

/// A named range of time that moves with the clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Window {
    /// From the last local midnight to the next one.
    Today,
    /// The local day before today.
    Yesterday,
    /// From Monday's midnight to the next Monday's.
    ThisWeek,
    /// The local calendar month.
    ThisMonth,
    /// The local calendar month before this one.
    LastMonth,
    /// Rolling: a number of hours, ending now.
    Hours(u32),
    /// Rolling: a number of days of 24 hours each, ending now.
    Days(u32),
}

/// A window that begins and ends at local midnights: one row of the table of windows.
pub struct CalendarWindow {
    window: Window,
    /// The name in the configuration and in the label `window`.
    pub name: &'static str,
    /// The name on the status page, in English.
    pub english: &'static str,
    /// The name on the status page, in Chinese.
    pub chinese: &'static str,
    /// The first day of the window and the first day after it, when `today` is the current day.
    days: fn(today: NaiveDate) -> Range<NaiveDate>,
}

/// All calendar windows. A new one needs a variant of [`Window`] and a row here.
const CALENDAR: &[CalendarWindow] = &[
    CalendarWindow {
        window: Window::Today,
        name: "today",
        english: "today",
        chinese: "今天",
        days: |today| today..today + Days::new(1),
    },
    CalendarWindow {
        window: Window::Yesterday,
        name: "yesterday",
        english: "yesterday",
        chinese: "昨天",
        days: |today| today - Days::new(1)..today,
    },
    CalendarWindow {
        window: Window::ThisWeek,
        name: "this_week",
        english: "this week",
        chinese: "本周",
        days: |today| {
            let monday = today - Days::new(today.weekday().num_days_from_monday().into());
            monday..monday + Days::new(7)
        },
    },
    CalendarWindow {
        window: Window::ThisMonth,
        name: "this_month",
        english: "this month",
        chinese: "本月",
        days: |today| first_of_month(today)..first_of_month(today) + Months::new(1),
    },
    CalendarWindow {
        window: Window::LastMonth,
        name: "last_month",
        english: "last month",
        chinese: "上月",
        days: |today| first_of_month(today) - Months::new(1)..first_of_month(today),
    },
];

/// The first day of the month of a day.
pub fn first_of_month(day: NaiveDate) -> NaiveDate {
    day.with_day(1).unwrap_or(day)
}

/// A text that is not the name of a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("{}", Window::expected())]
pub struct NotAWindow;

impl Window {
    /// The names of all calendar windows.
    pub fn calendar_names() -> Vec<&'static str> {
        CALENDAR.iter().map(|row| row.name).collect()
    }

    /// The valid names, for messages.
    pub fn expected() -> String {
        format!(
            "{}, or a number of hours or days from 1h to {MAX_HOURS}h and 1d to {}d, such as 24h or 30d",
            Self::calendar_names().join(", "),
            MAX_HOURS / 24
        )
    }

    /// The row of this window in the table of calendar windows; `None` for a rolling window.
    pub fn calendar(self) -> Option<&'static CalendarWindow> {
        CALENDAR.iter().find(|row| row.window == self)
    }

    /// Whether the whole window is always in the past, such as `yesterday`.
    pub fn has_ended(self) -> bool {
        let today = NaiveDate::default();
        self.calendar().is_some_and(|row| (row.days)(today).end <= today)
    }

    /// Length of a rolling window; `None` for a calendar window.
    fn rolling(self) -> Option<Duration> {
        match self {
            Window::Hours(hours) => Some(Duration::hours(hours.into())),
            Window::Days(days) => Some(Duration::hours(24 * i64::from(days))),
            // Listed, so that the compiler asks for the length of a new rolling window.
            Window::Today | Window::Yesterday | Window::ThisWeek | Window::ThisMonth | Window::LastMonth => None,
        }
    }

    /// The window's nominal bounds at `now`: `this_month` ends where the month ends, a rolling window ends now.
    ///
    /// Days begin at the zone's [`Zone::midnight`], so that they follow each other without gap or overlap.
    pub fn bounds(self, now: DateTime<Utc>, zone: &Zone) -> Bounds {
        match self.calendar() {
            Some(calendar) => {
                let Range { start, end } = (calendar.days)(zone.local(now).date_naive());
                Bounds { start: zone.midnight(start), end: zone.midnight(end) }
            }
            None => Bounds { start: now - self.rolling().unwrap_or_default(), end: now },
        }
    }

    /// The first midnight after `now` at which the window gets other bounds; `None` for a rolling window, which moves
    /// all the time.
    pub fn changes_at(self, now: DateTime<Utc>, zone: &Zone) -> Option<DateTime<Utc>> {
        let days = self.calendar()?.days;
        let today = zone.local(now).date_naive();
        let next = today.iter_days().skip(1).find(|day| days(*day) != days(today))?;
        Some(zone.midnight(next))
    }
}

impl FromStr for Window {
    type Err = NotAWindow;

    fn from_str(text: &str) -> Result<Self, NotAWindow> {
        if let Some(row) = CALENDAR.iter().find(|row| row.name == text) {
            return Ok(row.window);
        }
        let count = |digits: &str, hours: u32| {
            let count = digits.parse::<u32>().ok().filter(|_| digits.bytes().all(|byte| byte.is_ascii_digit()));
            count.filter(|&count| count >= 1 && count <= MAX_HOURS / hours).ok_or(NotAWindow)
        };
        match (text.strip_suffix('h'), text.strip_suffix('d')) {
            (Some(digits), _) => count(digits, 1).map(Window::Hours),
            (_, Some(digits)) => count(digits, 24).map(Window::Days),
            _ => Err(NotAWindow),
        }
    }
}

impl fmt::Display for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Window::Hours(hours) => write!(f, "{hours}h"),
            Window::Days(days) => write!(f, "{days}d"),
            calendar => f.write_str(calendar.calendar().map_or("", |row| row.name)),
        }
    }
}

/// A half-open range of time: the start belongs to it, the end does not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// The first instant.
    pub start: DateTime<Utc>,
    /// The first instant after the range.
    pub end: DateTime<Utc>,
}

impl Bounds {
    /// The range of a local day. It is empty for a day that never happened, because the zone moved across the date
    /// line.
    pub fn of_day(day: NaiveDate, zone: &Zone) -> Bounds {
        Bounds { start: zone.midnight(day), end: zone.midnight(day + Days::new(1)) }
    }

    /// Whether an instant belongs to the range.
    pub fn contains(&self, instant: DateTime<Utc>) -> bool {
        self.start <= instant && instant < self.end
    }

    /// The part of the range that has passed at `now`. Only this part is queried, because the documentation of the API
    /// does not say whether an end in the future is accepted. It is at least one second long, the API's finest step.
    pub fn elapsed(&self, now: DateTime<Utc>) -> Bounds {
        let end = self.end.min(now.max(self.start + Duration::seconds(1)));
        Bounds { start: self.start, end }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn utc(text: &str) -> DateTime<Utc> {
        DateTime::parse_from_rfc3339(text).unwrap().to_utc()
    }

    fn at(window: &str, now: &str, zone: &str) -> (String, String) {
        let zone: Zone = zone.parse().unwrap();
        let bounds = window.parse::<Window>().unwrap().bounds(utc(now), &zone);
        let local = |instant| zone.local(instant).to_rfc3339();
        (local(bounds.start), local(bounds.end))
    }

    fn pair(start: &str, end: &str) -> (String, String) {
        (start.to_owned(), end.to_owned())
    }

    #[test]
    fn calendar_windows_follow_the_zone() {
        let shanghai = "Asia/Shanghai";
        // Sunday 2025-11-30 in UTC is already Monday 2025-12-01 in Shanghai.
        let now = "2025-11-30T16:30:00Z";
        let expected = [
            ("today", "2025-12-01T00:00:00+08:00", "2025-12-02T00:00:00+08:00"),
            ("yesterday", "2025-11-30T00:00:00+08:00", "2025-12-01T00:00:00+08:00"),
            ("this_week", "2025-12-01T00:00:00+08:00", "2025-12-08T00:00:00+08:00"),
            ("this_month", "2025-12-01T00:00:00+08:00", "2026-01-01T00:00:00+08:00"),
            ("last_month", "2025-11-01T00:00:00+08:00", "2025-12-01T00:00:00+08:00"),
            ("36h", "2025-11-29T12:30:00+08:00", "2025-12-01T00:30:00+08:00"),
            ("7d", "2025-11-24T00:30:00+08:00", "2025-12-01T00:30:00+08:00"),
        ];
        for (window, start, end) in expected {
            assert_eq!(at(window, now, shanghai), pair(start, end), "{window}");
        }
    }

    #[test]
    fn calendar_windows_change_at_a_midnight() {
        let zone: Zone = "Asia/Shanghai".parse().unwrap();
        let changes_at = |window: &str, now: &str| {
            let change = window.parse::<Window>().unwrap().changes_at(utc(now), &zone);
            change.map(|change| zone.local(change).to_rfc3339())
        };
        // Friday.
        for (window, change) in [
            ("today", "2025-11-29T00:00:00+08:00"),
            ("yesterday", "2025-11-29T00:00:00+08:00"),
            ("this_week", "2025-12-01T00:00:00+08:00"),
            ("this_month", "2025-12-01T00:00:00+08:00"),
            ("last_month", "2025-12-01T00:00:00+08:00"),
        ] {
            assert_eq!(changes_at(window, "2025-11-28T12:00:00Z").as_deref(), Some(change), "{window}");
        }
        assert_eq!(changes_at("today", "2025-11-28T16:00:00Z").as_deref(), Some("2025-11-30T00:00:00+08:00"));
        assert_eq!(changes_at("24h", "2025-11-28T12:00:00Z"), None);
    }

    #[test]
    fn days_are_23_and_25_hours_long_when_clocks_change() {
        let berlin = "Europe/Berlin";
        assert_eq!(
            at("today", "2025-03-30T12:00:00Z", berlin),
            pair("2025-03-30T00:00:00+01:00", "2025-03-31T00:00:00+02:00")
        );
        let length = |now| {
            let day = Window::Today.bounds(utc(now), &berlin.parse().unwrap());
            (day.end - day.start).num_hours()
        };
        assert_eq!(length("2025-03-30T12:00:00Z"), 23);
        assert_eq!(length("2025-10-26T12:00:00Z"), 25);
        assert_eq!(length("2025-06-01T12:00:00Z"), 24);
    }

    #[test]
    fn a_day_without_midnight_starts_at_the_first_instant_after_the_clock_change() {
        let cairo = "Africa/Cairo"; // clocks go from 00:00 to 01:00 on the last Friday of April
        assert_eq!(
            at("today", "2025-04-25T12:00:00Z", cairo),
            pair("2025-04-25T01:00:00+03:00", "2025-04-26T00:00:00+03:00")
        );
        let apia = "Pacific/Apia"; // 2011-12-30 never happened
        assert_eq!(
            at("today", "2011-12-30T09:59:59Z", apia),
            pair("2011-12-29T00:00:00-10:00", "2011-12-31T00:00:00+14:00")
        );
    }

    #[test]
    fn the_first_of_two_midnights_counts() {
        let havana = "America/Havana"; // clocks go from 01:00 back to 00:00 on the first Sunday of November
        assert_eq!(
            at("today", "2025-11-02T12:00:00Z", havana),
            pair("2025-11-02T00:00:00-04:00", "2025-11-03T00:00:00-05:00")
        );
    }

    #[test]
    fn month_ends_and_leap_years() {
        let zone = "UTC";
        let month = |now| at("last_month", now, zone);
        assert_eq!(month("2024-03-31T23:59:59Z"), pair("2024-02-01T00:00:00+00:00", "2024-03-01T00:00:00+00:00"));
        assert_eq!(month("2025-01-01T00:00:00Z"), pair("2024-12-01T00:00:00+00:00", "2025-01-01T00:00:00+00:00"));
    }

    #[test]
    fn every_calendar_window_has_one_row() {
        for window in [Window::Today, Window::Yesterday, Window::ThisWeek, Window::ThisMonth, Window::LastMonth] {
            assert_eq!(CALENDAR.iter().filter(|row| row.window == window).count(), 1, "{window:?}");
        }
        for row in CALENDAR {
            assert!(row.window.rolling().is_none() && !row.english.is_empty() && !row.chinese.is_empty());
            assert_eq!(row.name.parse(), Ok(row.window));
        }
    }

    #[test]
    fn messages_list_every_name() {
        let expected = "today, yesterday, this_week, this_month, last_month, or a number of hours or days from 1h to \
                        8784h and 1d to 366d, such as 24h or 30d";
        assert_eq!(NotAWindow.to_string(), expected);
    }

    #[test]
    fn valid_names_are_parsed_and_others_refused() {
        for name in ["today", "yesterday", "this_week", "this_month", "last_month", "1h", "8784h", "1d", "366d"] {
            assert_eq!(name.parse::<Window>().unwrap().to_string(), name);
        }
        for name in ["", "h", "0h", "-1d", "+1d", "367d", "8785h", "1w", "Today", "24 h", "1.5h", "１d"] {
            assert_eq!(name.parse::<Window>(), Err(NotAWindow), "{name}");
        }
    }

    #[test]
    fn only_the_elapsed_part_is_queried() {
        let zone = "UTC".parse().unwrap();
        let now = utc("2025-11-08T09:30:00Z");
        let elapsed = Window::Today.bounds(now, &zone).elapsed(now);
        assert_eq!((elapsed.start, elapsed.end), (utc("2025-11-08T00:00:00Z"), now));
        let whole = Window::Yesterday.bounds(now, &zone);
        assert_eq!(whole.elapsed(now), whole);
        let midnight = utc("2025-11-08T00:00:00Z");
        let first = Window::Today.bounds(midnight, &zone).elapsed(midnight);
        assert_eq!(first.end, utc("2025-11-08T00:00:01Z"), "never an empty range");
    }

    /// All names in the time zone database.
    fn zones() -> impl Strategy<Value = String> {
        let names: Vec<String> =
            jiff::tz::TimeZoneDatabase::bundled().available().map(|name| name.to_string()).collect();
        assert!(names.len() > 500, "{names:?}");
        prop::sample::select(names)
    }

    proptest! {
        /// From 2012 on: before 2012, Newfoundland set its clocks back at 00:01, into a day that had already ended.
        #[test]
        fn windows_partition_time(zone in zones(), second in 1_325_376_000_i64..4_102_444_800) {
            let zone: Zone = zone.parse().unwrap();
            let now = DateTime::from_timestamp(second, 0).unwrap();
            let of = |window: Window| window.bounds(now, &zone);
            let today = of(Window::Today);
            prop_assert!(today.start <= now && now < today.end, "{today:?} does not contain {now}");
            prop_assert_eq!(of(Window::Yesterday).end, today.start);
            prop_assert_eq!(of(Window::LastMonth).end, of(Window::ThisMonth).start);
            for window in CALENDAR.iter().map(|row| row.window) {
                let change = window.changes_at(now, &zone).unwrap();
                let before = window.bounds(change - Duration::seconds(1), &zone);
                prop_assert_eq!(before, of(window), "{} until {}", window, change);
                prop_assert_ne!(before, window.bounds(change, &zone), "{} from {}", window, change);
                prop_assert_eq!(window.has_ended(), before.end <= now, "{}", window);
            }
            prop_assert_eq!(Window::Today.bounds(today.end, &zone).start, today.end);

            // The days of the month, one after the other, are the month.
            let month = of(Window::ThisMonth);
            let mut at = month.start;
            while at < month.end {
                let day = Window::Today.bounds(at, &zone);
                prop_assert_eq!(day.start, at);
                at = day.end;
            }
            prop_assert_eq!(at, month.end);
        }
    }
}
