//! The latest known state of every project and account: immutable, and replaced as a whole after each poll and
//! each run of a collector.
//!
//! One [`Writer`] changes the snapshot, many [`Reader`]s read it. A reader sees all windows of a project from the same
//! poll. Sums stay until the next complete poll. [`ProjectStatus::usage_at`] hides them once they are too old, and
//! [`ProjectStatus::windows_at`] hides windows that have ended.
//!
//! ```
//! use std::time::Duration;
//!
//! use chrono::DateTime;
//! use metastudio_exporter::snapshot::{self, PollOutcome, Failure, Target};
//! use metastudio_exporter::usage::Reason;
//!
//! let (mut writer, reader) = snapshot::channel(vec![Target::new("studio")]);
//! let failure = Failure { reason: Reason::Timeout, message: "no answer".to_owned() };
//! writer.record(0, PollOutcome::new(DateTime::UNIX_EPOCH, Duration::from_secs(10), Err(failure)), None);
//! let project = &reader.load().projects[0];
//! assert_eq!((project.health.polls, project.usage.is_none()), (1, true));
//! ```

mod collected;
mod moment;
mod outcome;
mod project;
mod store;
mod target;
mod usage;

pub use self::{
    collected::{CollectorOutcome, CollectorStatus, Found, KeptDays, LastRun, Packages, SubUsers},
    moment::Moment,
    outcome::{Failure, PollOutcome, WindowUsage},
    project::{Health, LastPoll, ProjectStatus},
    store::{Reader, Snapshot, Writer, channel},
    target::Target,
    usage::{Usage, WindowValues},
};
