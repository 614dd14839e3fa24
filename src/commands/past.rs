//! The code that `backfill` and `report` share: their flags, and the days of all projects, from the ledger and from the
//! cloud.

use std::{
    collections::BTreeMap,
    io::{IsTerminal, Write},
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use anyhow::bail;
use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use clap::Args;
use tokio::{
    sync::Semaphore,
    task::{JoinSet, spawn_blocking},
    time::{Instant, interval},
};

use super::configuration::{ConfigFlags, ConfigSource, ValidConfig};
use crate::{
    cloud::{Connector, Lockout},
    config::{Config, Environment, Project},
    history::{
        days::{KnownDays, happened, next_month},
        ledger::{Ledger, LedgerError},
        report::DayList,
    },
    polling::{
        Learnt,
        fleet::{api, clients},
        past::{Known, Meter, PastDays, PastError},
    },
    storage::{Storage, StorageError},
    usage::Bounds,
};

/// The flags that `backfill` and `report` share.
#[derive(Args, Debug)]
pub(super) struct PastFlags {
    #[command(flatten)]
    config: ConfigFlags,
    /// Keep complete days in this directory, so that no day is asked for twice; an exporter may use the same one
    #[arg(long = "storage.path", value_name = "DIR")]
    pub storage: Option<PathBuf>,
    /// Only this project, repeatable
    #[arg(long = "project", value_name = "NAME")]
    projects: Vec<String>,
}

/// An answer for a day is final if it came at least this long after the end of the day, because usage may be metered
/// late. Otherwise, the day is asked for again.
const CHANGES_WITHIN: TimeDelta = TimeDelta::hours(48);
/// A day is not asked for again within this time, so that a command that is run again writes the same values.
const ASK_AGAIN_AFTER: TimeDelta = TimeDelta::hours(6);

/// The days from `first` to the day before `end`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct DayRange {
    pub first: NaiveDate,
    pub end: NaiveDate,
}

/// Parses a month, such as `2026-10`, or a day, such as `2026-10-05`.
pub(super) fn parse_days(text: &str) -> Result<DayRange, String> {
    let month = format!("{text}-01").parse::<NaiveDate>().ok().map(|first| (first, next_month(first)));
    let day = || text.parse::<NaiveDate>().ok().and_then(|day| Some((day, day.succ_opt()?)));
    let range = month.or_else(day).filter(|_| matches!(text.len(), 7 | 10));
    range
        .map(|(first, end)| DayRange { first, end })
        .ok_or_else(|| "expected a month or a day, such as 2026-10 or 2026-10-05".to_owned())
}

/// The projects with their days.
pub(super) struct Past {
    pub config: Config,
    pub projects: Vec<ProjectPast>,
}

/// One project and its known days.
pub(super) struct ProjectPast {
    pub project: Project,
    /// Empty if the id could not be looked up.
    pub project_id: String,
    pub known: KnownDays,
    /// The days without an answer of the cloud, and the reason, as a text for people.
    pub missing: Option<(Vec<NaiveDate>, String)>,
    /// The service refuses this day and all days before it, because they are too far back.
    pub too_far_back: Option<NaiveDate>,
    pub requests: u64,
}

impl Past {
    /// Logs the missing days and the days that are too far back, by project. Returns whether no day is missing.
    pub fn log_missing(&self) -> bool {
        let mut is_complete = true;
        for ProjectPast { project, known, missing, too_far_back, .. } in &self.projects {
            let name = &project.name;
            if let Some(day) = too_far_back {
                tracing::warn!(
                    project = name,
                    "the service refuses {day}: that day and the days before it are too far back"
                );
            }
            if let Some((days, reason)) = missing {
                is_complete = false;
                tracing::error!(project = name, "no usage of {}: {reason}", DayList(days, known.zone()));
            }
        }
        is_complete
    }
}

/// The configuration, with the projects of `--project` only.
pub(super) async fn load(flags: &PastFlags, environment: &Environment) -> anyhow::Result<Config> {
    let source = ConfigSource::of(&flags.config, environment)?;
    let mut config = ValidConfig::new(source.load(environment).await)?.config;
    if let Some(unknown) = flags.projects.iter().find(|name| config.projects.iter().all(|known| known.name != **name)) {
        bail!("--project {unknown}: the configuration has no such project");
    }
    if !flags.projects.is_empty() {
        config.projects.retain(|project| flags.projects.contains(&project.name));
    }
    Ok(config)
}

/// The days of all projects. Days that are not in the ledger in `directory` come from the cloud.
///
/// # Errors
/// The connections cannot be set up, or the ledger cannot be used.
pub(super) async fn collect(
    config: Config,
    environment: &Environment,
    directory: Option<PathBuf>,
    days: DayRange,
    now: DateTime<Utc>,
) -> anyhow::Result<Past> {
    let connector = Connector::new(api(&config), Utc::now, lockout(directory.clone()).await?)?;
    let ledger = match directory {
        Some(directory) => Some(spawn_blocking(move || Ledger::open(&directory, now)).await??),
        None => None,
    };
    let slots = Arc::new(Semaphore::new(config.poll.concurrency));
    let meter = Arc::new(Meter::default());
    let mut tasks = JoinSet::new();
    for (index, (project, client)) in clients(&connector, &config, environment)?.into_iter().enumerate() {
        let past = PastDays::new(client, project, &config, ledger.clone());
        let (slots, meter) = (Arc::clone(&slots), Arc::clone(&meter));
        tasks.spawn(async move {
            let _slot = slots.acquire().await;
            (index, project_past(past, days, now, &meter).await)
        });
    }
    let mut collected = BTreeMap::new();
    let mut progress = ProgressLine::new(Arc::clone(&meter));
    while !tasks.is_empty() {
        tokio::select! {
            Some(ended) = tasks.join_next() => {
                let (index, past) = ended?;
                collected.insert(index, past?);
            }
            () = progress.tick() => {}
        }
    }
    progress.end();
    Ok(Past { config, projects: collected.into_values().collect() })
}

/// The days of one project.
async fn project_past(
    past: PastDays,
    days: DayRange,
    now: DateTime<Utc>,
    meter: &Meter,
) -> Result<ProjectPast, LedgerError> {
    let mut learnt = Learnt::default();
    let is_due = |known: &KnownDays, date: NaiveDate| {
        let Some(day) = known.get(date) else { return true };
        let end = Bounds::of_day(date, past.zone()).end;
        day.asked < end + CHANGES_WITHIN && now > day.asked + ASK_AGAIN_AFTER
    };
    let ran = past.run(now, days.first..days.end, is_due, &mut learnt, meter).await;
    let (requests, project) = (learnt.progress.counters.requests(), past.project().clone());
    let known = match ran {
        Ok(known) => known,
        Err(PastError::Ledger(error)) => return Err(error),
        Err(error) => {
            let missing = happened(days.first, days.end, past.zone()).collect();
            let missing = Some((missing, error.to_string()));
            let known = past.nothing_known();
            return Ok(ProjectPast {
                project,
                project_id: String::new(),
                known,
                missing,
                too_far_back: None,
                requests,
            });
        }
    };
    let Known { project_id, identity: _, days, missing, failure, too_far_back } = known;
    let missing = failure.filter(|_| !missing.is_empty()).map(|failed| (Vec::from_iter(missing), failed.to_string()));
    Ok(ProjectPast { project, project_id, known: days, missing, too_far_back, requests })
}

/// Which keys are on hold, so that not every run tries a refused key. The folder `past` keeps this state apart from the
/// state of an exporter, because an exporter locks its directory as long as it runs.
async fn lockout(directory: Option<PathBuf>) -> anyhow::Result<Arc<Lockout>> {
    let Some(directory) = directory else { return Ok(Arc::default()) };
    let open = move || match Storage::open(&directory.join("past")) {
        Ok(storage) => Lockout::stored(Arc::new(storage), Utc::now),
        Err(StorageError::InUse(_)) => {
            tracing::info!("another backfill or report uses the same directory: each counts its own refusals of a key");
            Ok(Lockout::default())
        }
        Err(error) => Err(error),
    };
    Ok(Arc::new(spawn_blocking(open).await??))
}

/// Shows the progress: on a terminal as one line that is overwritten, otherwise as lines of the log.
struct ProgressLine {
    meter: Arc<Meter>,
    start: Instant,
    interval: tokio::time::Interval,
    is_terminal: bool,
}

impl ProgressLine {
    fn new(meter: Arc<Meter>) -> Self {
        let is_terminal = std::io::stderr().is_terminal();
        let period = if is_terminal { Duration::from_millis(500) } else { Duration::from_secs(30) };
        ProgressLine { meter, start: Instant::now(), interval: interval(period), is_terminal }
    }

    async fn tick(&mut self) {
        self.interval.tick().await;
        let text = self.text();
        if self.is_terminal {
            let _ = write!(std::io::stderr(), "\r\x1b[K{text}");
        } else if self.meter.done.load(Ordering::Relaxed) > 0 {
            tracing::info!("{text}");
        }
    }

    fn text(&self) -> String {
        let load = |counter: &AtomicUsize| counter.load(Ordering::Relaxed);
        let (done, total) = (load(&self.meter.done), load(&self.meter.total));
        let requests = self.meter.requests.load(Ordering::Relaxed);
        let seconds = self.start.elapsed().as_secs_f64();
        let mut text = format!("{done} of {total} days, {:.1} requests/s", requests as f64 / seconds.max(0.001));
        if done > 0 {
            let left = Duration::from_secs((seconds * (total.saturating_sub(done)) as f64 / done as f64) as u64);
            text += &format!(", {} left", humantime::format_duration(left));
        }
        text
    }

    fn end(&self) {
        if self.is_terminal {
            let _ = write!(std::io::stderr(), "\r\x1b[K");
        }
        if self.meter.done.load(Ordering::Relaxed) > 0 {
            tracing::info!("{}", self.text());
        }
    }
}
