//! The contract report, as lines for people and as JSON for an issue.

use std::{
    fmt::{Display, Write},
    io,
    path::Path,
};

use anyhow::Context;
use serde::Serialize;

use super::findings::{
    Acceptance, BucketZone, Cap, CountMeaning, Counted, Finding, Halves, LastChange, LimitCounts, LongestRange, Newest,
    OffsetStart, Order, PastEnd, Presence, RangeEnd, Reach, Stop, TimeFormat, UnitEffect, Unknown, UserEffect, Width,
};

/// Version of the JSON.
const FORMAT: u32 = 1;

/// The reports of all projects.
#[derive(Debug, Serialize)]
pub struct Report {
    format: u32,
    exporter: &'static str,
    projects: Vec<ProjectReport>,
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
}

/// Declares the questions, each with its text for people.
macro_rules! questions {
    ($($field:ident: $answer:ty => $text:literal,)+) => {
        /// The answers to all questions. A question that was not asked is [`Unknown::Stopped`].
        #[derive(Debug, Default, Serialize)]
        pub struct Findings {
            $(pub $field: Finding<$answer>,)+
        }

        impl Findings {
            /// No question has an answer, for the same reason.
            pub fn all(reason: Unknown) -> Self {
                Findings { $($field: Finding::Unknown(reason),)+ }
            }

            fn lines(&self) -> Vec<(&'static str, &dyn Display)> {
                vec![$(($text, &self.$field),)+]
            }
        }
    };
}

questions! {
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

impl ProjectReport {
    /// Aligned lines, without the name of the project.
    pub fn lines(&self) -> String {
        let mut text = String::new();
        let lines = self.findings.lines();
        let width = lines.iter().map(|(question, _)| question.len()).max().unwrap_or_default();
        for (question, answer) in lines {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "  {question:width$}  {answer}");
        }
        if let Some(stop) = self.stopped {
            let _ = writeln!(text, "  {:width$}  {stop}", "stopped early");
        }
        text
    }
}

impl Report {
    pub fn new(projects: Vec<ProjectReport>) -> Self {
        Report { format: FORMAT, exporter: env!("CARGO_PKG_VERSION"), projects }
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
