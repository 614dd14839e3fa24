//! The answers that a contract report can give. They are closed sets and rounded times, so that no text, usage, name or
//! id of the cloud gets into a report.

use std::fmt::{self, Display};

use chrono::FixedOffset;
use serde::{Serialize, Serializer};

/// The answer to one question.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Finding<T> {
    Known(T),
    Unknown(Unknown),
}

impl<T> Default for Finding<T> {
    fn default() -> Self {
        Finding::Unknown(Unknown::Stopped)
    }
}

impl<T> From<Result<T, Unknown>> for Finding<T> {
    fn from(result: Result<T, Unknown>) -> Self {
        match result {
            Ok(known) => Finding::Known(known),
            Err(reason) => Finding::Unknown(reason),
        }
    }
}

impl<T: Display> Display for Finding<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Finding::Known(known) => known.fmt(f),
            Finding::Unknown(reason) => write!(f, "unknown: {reason}"),
        }
    }
}

/// Declares an enumeration. JSON has its variants in snake case. `Display` writes them as texts for people.
macro_rules! closed_set {
    ($(#[$attribute:meta])* $name:ident { $($variant:ident => $text:literal,)+ }) => {
        $(#[$attribute])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
        #[serde(rename_all = "snake_case")]
        pub enum $name {
            $($variant,)+
        }

        impl Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(match self {
                    $($name::$variant => $text,)+
                })
            }
        }
    };
}

closed_set! {
    /// Why a question has no answer.
    Unknown {
        NoUsage => "there is no usage in the range",
        TooFewEntries => "the list has too few entries",
        OneRowPerBucket => "every bucket has one row",
        BucketsTooShort => "buckets are shorter than a day",
        UnreadableTimes => "a bucket has no time with a zone",
        NoTimeUnit => "no row is in MIN or HOUR",
        NotAllowed => "HTTP 403",
        NotThere => "HTTP 404",
        NoSuchEntry => "the list has no such entry",
        NoDays => "there is no --storage.path of an exporter that keeps days",
        AskedOnce => "no day has been asked for twice yet",
        NoUserIds => "user_ids is not configured",
        NoSubUsers => "the service lists no sub-users for this key",
        SingleUser => "the only configured user may be the only one with usage",
        Refused => "HTTP 400",
        Unreadable => "the answer cannot be read",
        Failed => "the service failed, or did not answer in time",
        OffsetNotUnderstood => "it is not known what offset counts",
        Incomplete => "the list could not be read to its end",
        Changed => "the usage changed between two requests",
        Ambiguous => "the answers fit several possibilities",
        Unexplained => "the answers fit no known possibility",
        Stopped => "no answer, because the requests stopped early",
    }
}

closed_set! {
    /// Why the requests of a project or an account stopped.
    Stop {
        Auth => "the key or token was refused, or is on hold",
        Forbidden => "the permission is missing",
        Throttled => "the service throttles",
        Network => "the connection failed",
        Requests => "the limit of requests was reached",
    }
}

/// The distance between two buckets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Width {
    Hour,
    Day,
    Week,
    Month,
    /// One bucket for the whole range, with its start as time.
    WholeRange,
    Minutes(i64),
}

impl Display for Width {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Width::Hour => f.write_str("one hour"),
            Width::Day => f.write_str("one day"),
            Width::Week => f.write_str("one week"),
            Width::Month => f.write_str("one month"),
            Width::WholeRange => f.write_str("the whole range, with its start as time"),
            Width::Minutes(minutes) => write!(f, "{minutes} minutes"),
        }
    }
}

/// The zone in which buckets begin at midnight, as an offset such as `+08:00`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BucketZone(pub FixedOffset);

impl Serialize for BucketZone {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

impl Display for BucketZone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "midnight in UTC{}", self.0)
    }
}

closed_set! {
    /// The form of a bucket's time.
    TimeFormat {
        Utc => "RFC 3339 in UTC, or a number",
        Offset => "RFC 3339 with an offset",
        Other => "no RFC 3339",
        Absent => "absent",
        Mixed => "several forms",
    }
}

closed_set! {
    /// The order of the buckets.
    Order {
        OldestFirst => "oldest first",
        NewestFirst => "newest first",
        Unordered => "none",
    }
}

closed_set! {
    /// What an offset counts.
    Counted {
        Buckets => "buckets",
        Rows => "rows",
    }
}

closed_set! {
    /// What the limit counts.
    LimitCounts {
        Buckets => "buckets",
        Rows => "rows",
        Nothing => "nothing: it is ignored",
    }
}

closed_set! {
    /// The number of the first entry.
    OffsetStart {
        Zero => "0",
        One => "1",
        Pages => "none: the offset numbers pages",
        Ignored => "none: the offset is ignored",
    }
}

/// The largest limit that has an effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Cap {
    /// Pages of so many entries were sent.
    AtLeast(usize),
    /// A larger limit gives a page of so many entries.
    LoweredTo(usize),
}

impl Display for Cap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Cap::AtLeast(entries) => write!(f, "at least {entries}"),
            Cap::LoweredTo(entries) => write!(f, "{entries}: a larger limit is lowered without an error"),
        }
    }
}

closed_set! {
    /// What `count` counts.
    CountMeaning {
        Buckets => "all buckets",
        Rows => "all rows",
        Types => "all resource and business types",
        BucketsOfPage => "the buckets of the page",
        RowsOfPage => "the rows of the page",
        Absent => "absent, or no integer",
        Other => "something else",
    }
}

closed_set! {
    /// What a request past the end returns.
    PastEnd {
        EmptyList => "an empty list",
        NoList => "no list",
        Refused => "HTTP 400",
        LastEntries => "the last entries again",
        FirstEntries => "the first entries again",
        WholeList => "the whole list again",
    }
}

/// Ranges in days.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct LongestRange {
    /// The longest range that was accepted.
    pub accepted_days: u32,
    /// The shortest range that was refused with HTTP 400.
    pub refused_days: Option<u32>,
}

impl Display for LongestRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} days accepted{}", self.accepted_days, refused(self.refused_days))
    }
}

fn refused(days: Option<u32>) -> String {
    days.map_or_else(String::new, |days| format!(", {days} days refused"))
}

closed_set! {
    /// Whether a bucket that begins at the end of the range is in the answer.
    RangeEnd {
        Exclusive => "exclusive",
        Inclusive => "inclusive",
    }
}

closed_set! {
    /// Whether a request is accepted.
    Acceptance {
        Accepted => "accepted",
        Refused => "HTTP 400",
    }
}

/// Ages in days.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Reach {
    /// The age of the oldest usage that was found.
    pub usage_days: Option<u32>,
    /// The oldest age that was accepted. The answer may have been empty.
    pub accepted_days: Option<u32>,
    /// The youngest age that was refused with HTTP 400.
    pub refused_days: Option<u32>,
}

impl Display for Reach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.usage_days {
            Some(days) => write!(f, "usage of {days} days ago")?,
            None => f.write_str("no old usage found")?,
        }
        if self.accepted_days > self.usage_days {
            write!(f, ", no usage but accepted up to {} days ago", self.accepted_days.unwrap_or_default())?;
        }
        f.write_str(&refused(self.refused_days))
    }
}

/// The age of the newest usage.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Newest {
    WithinHours(u32),
    OverHours(u32),
}

impl Display for Newest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Newest::WithinHours(hours) => write!(f, "at most {hours} h old"),
            Newest::OverHours(hours) => write!(f, "over {hours} h old"),
        }
    }
}

/// The longest time after the end of a day at which its usage still changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum LastChange {
    /// So many hours after the end of the day, rounded up.
    WithinHours(u32),
    /// No known day has changed.
    None,
}

impl Display for LastChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LastChange::WithinHours(hours) => write!(f, "at most {hours} h after its end"),
            LastChange::None => f.write_str("none was seen"),
        }
    }
}

closed_set! {
    /// How the usage of two halves of a range compares with the usage of the whole range.
    Halves {
        Equal => "as much as the whole",
        More => "more than the whole",
        Less => "less than the whole",
    }
}

closed_set! {
    /// What the parameter `unit` does.
    UnitEffect {
        Filters => "filters rows",
        Converts => "converts rows",
        Nothing => "nothing",
        Refused => "HTTP 400",
    }
}

closed_set! {
    /// How many rows have a field.
    Presence {
        EveryRow => "in every row",
        SomeRows => "in some rows",
        NoRow => "absent",
    }
}

impl Presence {
    /// `with` and `without`: whether there are rows with the field, and rows without it. `None` if there are no rows.
    pub fn of(with: bool, without: bool) -> Option<Self> {
        match (with, without) {
            (false, false) => None,
            (true, false) => Some(Presence::EveryRow),
            (true, true) => Some(Presence::SomeRows),
            (false, true) => Some(Presence::NoRow),
        }
    }
}

closed_set! {
    /// What the parameter `user_id` does.
    UserEffect {
        Filters => "filters rows",
        Nothing => "nothing: every user has the usage of all",
    }
}

closed_set! {
    /// What the `count` of a list of packages, users, sessions or videos counts.
    ListCount {
        Entries => "all entries",
        EntriesOfPage => "the entries of the page",
        Absent => "absent",
        Other => "something else",
    }
}

closed_set! {
    /// Whether a list has entries of a kind.
    Seen {
        Seen => "listed",
        NotSeen => "none in the first entries of the list",
    }
}

closed_set! {
    /// The unit of a package of 60 minutes.
    MinutesPackage {
        Minutes => "minutes",
        Packages => "packages",
        Other => "another one",
    }
}

closed_set! {
    /// What the parameter `state` does.
    StateEffect {
        Filters => "filters entries",
        Nothing => "nothing: entries of other states come, too",
    }
}
