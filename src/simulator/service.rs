//! Settings for everything that the API page leaves open. With them, a simulated cloud can be any service that keeps to
//! the words of the page.

use std::{fmt::Write, num::NonZeroUsize, str::FromStr};

use clap::{CommandFactory, Parser, ValueEnum};

/// A service: the default values, except for some settings. clap parses `NAME=VALUE,…`. The help shows the comments of
/// the fields and values.
///
/// ```
/// use metastudio_exporter::simulator::Service;
///
/// let service: Service = "counted=rows,cap=10".parse()?;
/// assert_eq!(service.cap.map(usize::from), Some(10));
/// # Ok::<(), String>(())
/// ```
#[derive(Clone, Debug, Default, Parser, PartialEq, Eq)]
#[command(no_binary_name = true, disable_help_flag = true)]
pub struct Service {
    /// What limit and offset count
    #[arg(long, value_enum, default_value_t)]
    pub counted: Counted,
    /// Lower a higher limit to this number in silence
    #[arg(long, value_name = "NUMBER")]
    pub cap: Option<NonZeroUsize>,
    /// What offset means
    #[arg(long, value_enum, default_value_t)]
    pub offset: Offset,
    /// What comes past the end of the list
    #[arg(long, value_enum, default_value_t)]
    pub past_end: PastEnd,
    /// What count is
    #[arg(long, value_enum, default_value_t)]
    pub count: Count,
    /// What time_list is
    #[arg(long, value_enum, default_value_t)]
    pub list: List,
    /// What changes in a list from one request for it to the next
    #[arg(long, value_enum, default_value_t)]
    pub changes: Changes,
    /// What a row of a bucket is
    #[arg(long, value_enum, default_value_t)]
    pub rows: Rows,
    /// The time of a bucket
    #[arg(long, value_enum, default_value_t)]
    pub time: Time,
    /// Append _v2 to the name of this field
    #[arg(long, value_name = "FIELD", value_parser = FIELDS)]
    pub renamed: Option<String>,
    /// Where an answer starts
    #[arg(long, value_enum, default_value_t)]
    pub start: Start,
    /// Where an answer ends
    #[arg(long, value_enum, default_value_t)]
    pub end: End,
    /// The zone of the times
    #[arg(long, value_enum, default_value_t)]
    pub zone: Zone,
    /// Answer only for the last days of a range, at most this number of days, without an error
    #[arg(long, value_name = "DAYS")]
    pub longest_range: Option<u16>,
    /// Keep usage for this number of days
    #[arg(long, value_name = "DAYS")]
    pub retention: Option<u16>,
    /// Refuse ranges that begin more than this number of days ago
    #[arg(long, value_name = "DAYS")]
    pub oldest: Option<u16>,
    /// The time that a bucket covers
    #[arg(long, value_enum, default_value_t)]
    pub buckets: Width,
    /// Where the first and the last bucket are cut
    #[arg(long, value_enum, default_value_t)]
    pub cut: Cut,
    /// How usage is written
    #[arg(long, value_enum, default_value_t)]
    pub usage: Usage,
    /// Rows to which the setting usage applies
    #[arg(long, value_enum, default_value_t)]
    pub usage_of: UsageOf,
    /// Rows for parts of a bundle, and how is_sub_resource is written
    #[arg(long, value_enum, default_value_t)]
    pub parts: Parts,
    /// A row in a unit that is not a time, in each bucket
    #[arg(long)]
    pub channels: bool,
    /// What user_id does
    #[arg(long, value_enum, default_value_t)]
    pub user_id: UserId,
    /// How ListTenantResources counts a package of 60 minutes
    #[arg(long, value_enum, default_value_t)]
    pub videopacket: Videopacket,
    /// Add this number of packages to each project
    #[arg(long, value_name = "NUMBER")]
    pub packages: Option<u16>,
    /// Add this number of sub-users to each project; each has used 95% of its quotas
    #[arg(long, value_name = "NUMBER")]
    pub users: Option<u16>,
    /// Add this number of live sessions that are billed on demand to each project, and the same number of waiting
    /// videos
    #[arg(long, value_name = "NUMBER")]
    pub sessions: Option<u16>,
    /// How long the added live sessions have been running
    #[arg(long, value_name = "HOURS")]
    pub session_hours: Option<u16>,
    /// How numbers of packages, sub-users, live sessions and videos are written
    #[arg(long, value_enum, default_value_t)]
    pub numbers: Numbers,
    /// How a list without packages, sub-users, live sessions or videos is written
    #[arg(long, value_enum, default_value_t)]
    pub empty: Empty,
    /// What the filter of states does
    #[arg(long, value_enum, default_value_t)]
    pub states: States,
    /// What the duration of a video is
    #[arg(long, value_enum, default_value_t)]
    pub durations: Durations,
    /// Sub-account isolation is on
    #[arg(long)]
    pub isolation: bool,
    /// How the billing service writes amounts
    #[arg(long, value_enum, default_value_t)]
    pub amounts: Amounts,
    /// Whether the billing service lists the units of all amounts
    #[arg(long, value_enum, default_value_t)]
    pub units: Units,
    /// Add this number of packages to the account, in the billing service
    #[arg(long, value_name = "NUMBER")]
    pub account_packages: Option<u16>,
}

/// The fields of an answer.
const FIELDS: [&str; 8] =
    ["time_list", "time", "resources_usage", "resource_type", "business_type", "usage", "number", "unit"];

impl Service {
    /// The settings as a table, each with its values.
    pub fn help() -> String {
        let mut text = "Settings of --service, which can be combined; the first value is the default:\n".to_owned();
        for setting in Self::command().get_arguments() {
            let (name, meaning) = (setting.get_id(), setting.get_help().cloned().unwrap_or_default());
            let name = name.as_str().replace('_', "-");
            let values = setting.get_possible_values();
            if !setting.get_action().takes_values() {
                let _ = writeln!(text, "\n  {name}  {meaning}");
            } else if values.iter().any(|value| value.get_help().is_some()) {
                let _ = writeln!(text, "\n  {name}=  {meaning}");
                for value in values {
                    let _ = writeln!(
                        text,
                        "      {:<14} {}",
                        value.get_name(),
                        value.get_help().cloned().unwrap_or_default()
                    );
                }
            } else {
                let placeholder =
                    setting.get_value_names().and_then(|names| names.first()).cloned().unwrap_or_default();
                let _ = writeln!(text, "\n  {name}={placeholder}  {meaning}");
                let names: Vec<&str> = values.iter().map(|value| value.get_name()).collect();
                if !names.is_empty() {
                    let _ = writeln!(text, "      {}", names.join(", "));
                }
            }
        }
        text
    }
}

impl FromStr for Service {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let settings = text.split(',').filter(|setting| !setting.is_empty()).map(|setting| format!("--{setting}"));
        Self::try_parse_from(settings).map_err(|error| {
            let message = error.to_string();
            let what = message.split("\n\n").next().unwrap_or_default();
            what.trim_start_matches("error: ").trim_end().replace("'--", "'")
        })
    }
}

/// What limit and offset count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Counted {
    /// entries of time_list
    #[default]
    Buckets,
    /// rows of all entries
    Rows,
}

/// What offset means.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Offset {
    /// number of the first entry, from 0
    #[default]
    FromZero,
    /// number of the first entry, from 1; 0 is the same as 1
    FromOne,
    /// number of the page, from 0
    Pages,
    /// nothing: every page is the first one
    Ignored,
    /// nothing, and limit means nothing either: every page is the whole list
    Everything,
}

/// What comes past the end of the list.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum PastEnd {
    /// a page without entries
    #[default]
    Nothing,
    /// null in place of the list
    Null,
    /// HTTP 400
    Error,
    /// the last page again
    LastPage,
}

/// What count is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Count {
    /// the number of all entries, as limit counts them
    #[default]
    Entries,
    /// the number of all buckets
    Buckets,
    /// the number of all rows
    Rows,
    /// the number of different types
    Types,
    /// the number of entries of this page
    Page,
    /// absent
    Absent,
    /// always 0
    Zero,
    /// the number of all entries, as a text
    Text,
    /// the number of all entries, with the first page only
    FirstPage,
}

/// What time_list is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum List {
    /// the entries of the page
    #[default]
    Sent,
    /// empty, although count counts entries
    Empty,
    /// null, although count counts entries
    Null,
    /// a full page of new entries at any offset
    Endless,
}

/// What changes in a list from one request for it to the next.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Changes {
    /// nothing
    #[default]
    Nothing,
    /// the order of all entries
    Order,
    /// the first entry is deleted
    Deleted,
    /// an entry is inserted before the first one
    Inserted,
    /// the first entry becomes the last one
    Moved,
    /// usage: each video on a Sunday grows by 0.01
    Grown,
}

/// What a row of a bucket is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Rows {
    /// a type
    #[default]
    Types,
    /// a video: rows have the same type
    Videos,
    /// a type in a quality; the quality is in a field that is not documented
    Qualities,
}

/// The time of a bucket.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Time {
    /// its start, as a text
    #[default]
    Text,
    /// its start, as a number of seconds
    Seconds,
    /// its start, as a number of milliseconds
    Milliseconds,
    /// the start of the query: all times are equal
    Query,
}

/// Where an answer starts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Start {
    /// at start_time
    #[default]
    Exact,
    /// 90 days before end_time, if start_time is later
    Ignored,
}

/// Where an answer ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum End {
    /// at end_time
    #[default]
    Exclusive,
    /// with the bucket that contains end_time or begins at it
    Inclusive,
}

/// The zone of the times.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Zone {
    /// UTC, as written
    #[default]
    Utc,
    /// the range is read as Beijing time, eight hours earlier
    LocalRange,
    /// the range and the times of the answer are Beijing time, written with Z
    Local,
}

/// The time that a bucket covers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Width {
    /// a day in Beijing
    #[default]
    Days,
    /// an hour
    Hours,
    /// a day in UTC
    UtcDays,
    /// a week in Beijing, from Monday
    Weeks,
    /// a month in Beijing
    Months,
}

/// Where the first and the last bucket are cut.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Cut {
    /// at the range
    #[default]
    Range,
    /// at the range, but the time of the first bucket is its start before the range
    Usage,
    /// nowhere: a bucket that overlaps the range comes whole
    Never,
}

/// How usage is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Usage {
    /// a number
    #[default]
    Number,
    /// a number in quotes
    Text,
    /// "1,234.5"
    Thousands,
    /// "n/a"
    Words,
    /// 1e30
    Huge,
    /// true
    True,
    /// absent
    Absent,
    /// null
    Null,
}

/// Rows to which the setting `usage` applies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum UsageOf {
    /// all rows
    #[default]
    All,
    /// the first row of the list
    First,
}

/// Rows for parts of a bundle, one in each bucket, and how `is_sub_resource` is written in these and in other rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Parts {
    /// there are none
    #[default]
    Absent,
    /// true and false
    Boolean,
    /// 1 and 0
    Number,
    /// "1" and "0"
    Digit,
    /// "True" and "False"
    Word,
    /// "yes" and "no"
    Unreadable,
}

/// What user_id does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum UserId {
    /// selects the usage of the user
    #[default]
    Selects,
    /// nothing
    Ignored,
}

/// How a package of 60 minutes is counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Videopacket {
    /// as one package
    #[default]
    Packages,
    /// as 60 minutes
    Minutes,
}

/// How numbers of lists are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Numbers {
    /// with decimals, such as 3.0
    #[default]
    Decimals,
    /// without decimals if there are none
    Integers,
    /// in quotes
    Texts,
    /// as a word, which is no number
    Words,
}

/// How an empty list is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Empty {
    /// as an empty list
    #[default]
    List,
    /// absent
    Absent,
    /// null
    Null,
}

/// What the filter of states does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum States {
    /// selects live sessions and videos
    #[default]
    Selects,
    /// nothing
    Ignored,
}

/// What the duration of a video is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Durations {
    /// seconds
    #[default]
    Seconds,
    /// minutes
    Minutes,
    /// absent
    Absent,
}

/// How amounts of packages are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Amounts {
    /// in quotes
    #[default]
    Text,
    /// as a number
    Number,
    /// as a word, which is no number
    Words,
    /// absent
    Absent,
}

/// Whether the list of units is complete.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Units {
    /// yes
    #[default]
    Listed,
    /// one is not in the list
    Lacking,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_combined() {
        assert_eq!("".parse(), Ok(Service::default()));
        let service =
            Service { cap: NonZeroUsize::new(10), past_end: PastEnd::LastPage, channels: true, ..Service::default() };
        assert_eq!("cap=10,past-end=last-page,channels".parse(), Ok(service));
    }

    #[test]
    fn an_error_names_what_is_possible() {
        let error = |text: &str| text.parse::<Service>().unwrap_err();
        let wrong = error("counted=days");
        assert!(wrong.contains("'days' for 'counted <COUNTED>'") && wrong.contains("buckets, rows"), "{wrong}");
        assert_eq!(error("colour=red"), "unexpected argument 'colour' found");
        for wrong in ["cap=0", "cap=many", "renamed=colour", "channels=2", "counted", "cap=1,cap=2"] {
            assert!(!error(wrong).contains('\n') || error(wrong).contains("possible values"), "{}", error(wrong));
        }
    }

    #[test]
    fn the_help_has_every_setting_and_value() {
        let help = Service::help();
        for line in [
            "  counted=  What limit and offset count\n      buckets        entries of time_list\n",
            "  cap=NUMBER  Lower a higher limit to this number in silence\n",
            "      time_list, time, ",
            "  channels  A row",
            "  user-id=  What user_id does\n",
        ] {
            assert!(help.contains(line), "{line}: {help}");
        }
        assert_eq!(help.matches("\n\n").count(), Service::command().get_arguments().count());
    }
}
