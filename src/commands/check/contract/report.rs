//! The contract report, as lines for people and as JSON for an issue.

use std::{
    fmt::{Display, Write},
    io,
    path::Path,
};

use anyhow::Context;
use serde::Serialize;

use super::findings::{
    Acceptance, BucketZone, Cap, CountMeaning, Counted, Finding, Halves, LastChange, LimitCounts, ListCount,
    LongestRange, MinutesPackage, Newest, OffsetStart, Order, PastEnd, Presence, RangeEnd, Reach, Seen, StateEffect,
    Stop, TimeFormat, UnitEffect, Unknown, UserEffect, Width,
};

/// Version of the JSON.
const FORMAT: u32 = 1;

/// The reports of all projects and accounts.
#[derive(Debug, Serialize)]
pub struct ContractReport {
    format: u32,
    exporter: &'static str,
    projects: Vec<ProjectReport>,
    accounts: Vec<AccountReport>,
}

/// The report of one project.
#[derive(Debug, Serialize)]
pub struct ProjectReport {
    /// Its number in the configuration, from 1 on.
    pub project: usize,
    /// The requests for this report.
    pub requests: u64,
    /// Why not all questions were asked.
    pub stopped: Option<Stop>,
    pub findings: Findings,
    /// The findings about packages, sub-users, live sessions and videos.
    pub lists: ListFindings,
}

/// The report of one account of the billing service.
#[derive(Debug, Serialize)]
pub struct AccountReport {
    /// Its number in the configuration, from 1 on.
    pub account: usize,
    /// The requests for this report.
    pub requests: u64,
    /// Why not all questions were asked.
    pub stopped: Option<Stop>,
    pub findings: AccountFindings,
}

/// The answers to some questions.
pub trait Answers {
    /// No question has an answer, for this reason.
    fn all(reason: Unknown) -> Self;

    /// Each question with its answer, for people.
    fn lines(&self) -> Vec<(&'static str, &dyn Display)>;
}

/// Declares the questions, each with its text for people.
macro_rules! questions {
    ($(#[$attribute:meta])* $name:ident { $($field:ident: $answer:ty => $text:literal,)+ }) => {
        $(#[$attribute])*
        #[derive(Debug, Default, Serialize)]
        pub struct $name {
            $(pub $field: Finding<$answer>,)+
        }

        impl Answers for $name {
            fn all(reason: Unknown) -> Self {
                $name { $($field: Finding::Unknown(reason),)+ }
            }

            fn lines(&self) -> Vec<(&'static str, &dyn Display)> {
                vec![$(($text, &self.$field),)+]
            }
        }
    };
}

questions! {
    /// The answers to the questions about usage. A question that was not asked is [`Unknown::Stopped`].
    Findings {
        bucket_width: Width => "distance between buckets",
        bucket_zone: BucketZone => "buckets begin at",
        time_format: TimeFormat => "form of a bucket's time",
        order: Order => "order of buckets",
        limit_counts: LimitCounts => "limit counts",
        limit_cap: Cap => "largest limit",
        offset_counts: Counted => "offset counts",
        offset_start: OffsetStart => "first entry has offset",
        count_counts: CountMeaning => "field count counts",
        past_end: PastEnd => "past the end comes",
        range_end: RangeEnd => "end of a range",
        future_end: Acceptance => "end in the future",
        longest_range: LongestRange => "longest range",
        reach: Reach => "oldest answers",
        newest: Newest => "newest usage",
        last_change: LastChange => "last change of a day",
        halves: Halves => "halves of a range have",
        unit: UnitEffect => "parameter unit",
        number: Presence => "field number",
        user_id: UserEffect => "parameter user_id",
    }
}

questions! {
    /// The answers to the questions about packages, sub-users, live sessions and videos.
    ListFindings {
        packages_count: ListCount => "packages: field count counts",
        packages_limit: Cap => "packages: largest limit",
        packages_offset: OffsetStart => "packages: first entry has offset",
        packages_ended: Seen => "packages that have ended",
        packages_used_up: Seen => "packages that are used up",
        packages_overrun: Seen => "packages that are overrun",
        packages_endless: Seen => "packages without an end",
        packages_of_60_minutes: MinutesPackage => "unit of a package of 60 minutes",
        users_count: ListCount => "users: field count counts",
        users_limit: Cap => "users: largest limit",
        users_offset: OffsetStart => "users: first entry has offset",
        users_usage: Presence => "users: field usage",
        sessions_count: ListCount => "sessions: field count counts",
        sessions_limit: Cap => "sessions: largest limit",
        sessions_offset: OffsetStart => "sessions: first entry has offset",
        sessions_state: StateEffect => "sessions: parameter state",
        sessions_source: Presence => "sessions: source of running ones",
        videos_count: ListCount => "videos: field count counts",
        videos_limit: Cap => "videos: largest limit",
        videos_offset: OffsetStart => "videos: first entry has offset",
        videos_state: StateEffect => "videos: parameter state",
    }
}

questions! {
    /// The answers to the questions about the packages of an account, outside of enterprise projects.
    AccountFindings {
        count: ListCount => "packages: field total_count counts",
        limit: Cap => "packages: largest limit",
        offset: OffsetStart => "packages: first entry has offset",
        used_up: Seen => "packages that are used up",
        ended: Seen => "packages that have ended",
        of_metastudio: Seen => "a service code with metastudio",
    }
}

impl ProjectReport {
    /// Aligned lines, without the name of the project.
    pub fn lines(&self) -> String {
        aligned(&[self.findings.lines(), self.lists.lines()].concat(), self.stopped)
    }
}

impl AccountReport {
    /// Aligned lines, without the name of the account.
    pub fn lines(&self) -> String {
        aligned(&self.findings.lines(), self.stopped)
    }
}

fn aligned(lines: &[(&str, &dyn Display)], stopped: Option<Stop>) -> String {
    let mut text = String::new();
    let width = lines.iter().map(|(question, _)| question.len()).max().unwrap_or_default();
    for (question, answer) in lines {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "  {question:width$}  {answer}");
    }
    if let Some(stop) = stopped {
        let _ = writeln!(text, "  {:width$}  {stop}", "stopped early");
    }
    text
}

impl ContractReport {
    pub fn new(projects: Vec<ProjectReport>, accounts: Vec<AccountReport>) -> Self {
        ContractReport { format: FORMAT, exporter: env!("CARGO_PKG_VERSION"), projects, accounts }
    }

    /// Writes the report as JSON. The file is replaced as a whole, or not at all.
    pub async fn write(&self, path: &Path) -> anyhow::Result<()> {
        let json = format!("{}\n", serde_json::to_string_pretty(self)?);
        replace(path, &json).await.with_context(|| format!("cannot write the contract report to {}", path.display()))
    }
}

async fn replace(path: &Path, text: &str) -> io::Result<()> {
    // A rename would replace a device such as /dev/stdout.
    if tokio::fs::metadata(path).await.is_ok_and(|metadata| !metadata.is_file()) {
        return Err(io::Error::other("it is not a regular file"));
    }
    let mut partial = path.as_os_str().to_owned();
    partial.push(format!(".{}.partial", std::process::id()));
    let written = async {
        tokio::fs::write(&partial, text).await?;
        tokio::fs::rename(&partial, path).await
    };
    let result = written.await;
    if result.is_err() {
        // The first error is the one to report.
        let _ = tokio::fs::remove_file(&partial).await;
    }
    result
}
