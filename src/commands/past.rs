//! What `backfill` and `report` share: their flags, and the days of all projects, from the ledger and from the cloud.

use std::{
    collections::{BTreeMap, BTreeSet},
    hash::{BuildHasher, Hasher, RandomState},
    io::{IsTerminal, Write},
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
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
    cloud::{Client, Connector, Lockout, project_api},
    config::{Config, Environment, Project},
    history::{
        asking::{DaysQuery, Learnt, Step},
        days::{Day, KnownDays, UsedBefore, first_of_month, happened, next_month},
        ledger::{Identity, Ledger, LedgerError},
        report::DayList,
    },
    polling::fleet::{api, clients},
    storage::{Storage, StorageError},
    usage::{Bounds, Reason, Zone},
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

/// A day is asked for again if it was asked for sooner than this after its end: usage may be metered late.
const SETTLED: TimeDelta = TimeDelta::hours(48);
/// But not within this time, so that a command that is run again writes the same values.
const REPEATED: TimeDelta = TimeDelta::hours(6);

/// After so many failed queries in a row, a project is given up.
const MOST_FAILURES: usize = 3;

/// The time limit for looking a project id up.
const TIMEOUT: Duration = Duration::from_secs(60);

/// A first day, and the first day that is too late.
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
    /// Empty if it could not be looked up.
    pub project_id: String,
    pub known: KnownDays,
    /// Days that the cloud did not give, and the reason for people.
    pub missing: Option<(Vec<NaiveDate>, String)>,
    /// Days from this one back are too far back for the service.
    pub too_far_back: Option<NaiveDate>,
    pub requests: u64,
}

impl Past {
    /// Logs what is missing, a line for each project. Returns whether nothing is.
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

/// The configuration with the projects that are asked for.
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

/// The days of all projects: those of the ledger in `directory`, and the others from the cloud.
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
        let collecting = Collecting {
            client,
            project: project.clone(),
            zone: config.timezone.clone(),
            page_size: config.api.page_size,
            ledger: ledger.clone(),
            days,
            now,
            meter: Arc::clone(&meter),
        };
        let slots = Arc::clone(&slots);
        tasks.spawn(async move {
            let _slot = slots.acquire().await;
            (index, collecting.run().await)
        });
    }
    let mut collected = BTreeMap::new();
    let mut progress = Progress::new(Arc::clone(&meter));
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

/// The state of the keys, so that a refused key is not tried by each run. It is not that of an exporter, which locks its
/// directory as long as it runs.
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

/// The state of a project while its days are collected.
struct State {
    /// Its key in the ledger.
    identity: String,
    known: KnownDays,
    /// The days to ask for.
    due: BTreeSet<NaiveDate>,
    learnt: Learnt,
    /// Why days are missing.
    reason: Option<String>,
    too_far_back: Option<NaiveDate>,
}

/// Collects the days of one project.
struct Collecting {
    client: Client,
    project: Project,
    zone: Zone,
    page_size: usize,
    ledger: Option<Ledger>,
    days: DayRange,
    now: DateTime<Utc>,
    meter: Arc<Meter>,
}

impl Collecting {
    async fn run(self) -> Result<ProjectPast, LedgerError> {
        let mut learnt = Learnt::default();
        let looked_up =
            project_api::project_id(&self.client, Instant::now() + TIMEOUT, &mut learnt.progress.counters).await;
        let project_id = match looked_up {
            Ok(id) => id,
            Err(error) => {
                let days = happened(self.days.first, self.days.end, &self.zone).collect();
                let known = KnownDays::new(self.zone.clone(), BTreeMap::new(), UsedBefore::new());
                let missing = Some((days, error.report()));
                let project_id = String::new();
                return Ok(ProjectPast {
                    project: self.project,
                    project_id,
                    known,
                    missing,
                    too_far_back: None,
                    requests: learnt.progress.counters.requests(),
                });
            }
        };
        let identity = self.identity(&project_id);
        let known = self.load(&identity).await?;
        let due = self.due(&known);
        self.meter.total.fetch_add(due.len(), Ordering::Relaxed);
        let mut state = State { identity, known, due, learnt, reason: None, too_far_back: None };
        self.ask(&project_id, &mut state).await?;
        let State { known, due, learnt, reason, too_far_back, .. } = state;
        Ok(ProjectPast {
            project: self.project,
            project_id: project_id.to_string(),
            known,
            missing: reason.filter(|_| !due.is_empty()).map(|reason| (due.into_iter().collect(), reason)),
            too_far_back,
            requests: learnt.progress.counters.requests(),
        })
    }

    fn identity(&self, project_id: &str) -> String {
        let endpoint = self.project.endpoint.to_string();
        let identity = Identity {
            endpoint: &endpoint,
            project_id,
            user_ids: &self.project.user_ids,
            app_user_id: self.project.app_user_id.as_deref(),
            types: [&self.project.resource_types, &self.project.business_types],
            zone: &self.zone,
        };
        identity.key()
    }

    async fn load(&self, identity: &str) -> Result<KnownDays, LedgerError> {
        let Some(ledger) = self.ledger.clone() else {
            return Ok(KnownDays::new(self.zone.clone(), BTreeMap::new(), UsedBefore::new()));
        };
        let (identity, zone) = (identity.to_owned(), self.zone.clone());
        blocking(move || ledger.known(&identity, &zone)).await
    }

    /// The days to ask for.
    fn due(&self, known: &KnownDays) -> BTreeSet<NaiveDate> {
        let is_due = |day: &NaiveDate| {
            let Some(known) = known.get(*day) else { return true };
            let end = Bounds::of_day(*day, &self.zone).end;
            known.asked < end + SETTLED && self.now > known.asked + REPEATED
        };
        happened(self.days.first, self.days.end, &self.zone).filter(is_due).collect()
    }

    /// Asks for the days that are due, the newest month first, and keeps each part that is complete.
    async fn ask(&self, project_id: &str, state: &mut State) -> Result<(), LedgerError> {
        let query = DaysQuery {
            source: &self.client,
            project: &self.project,
            project_id,
            page_size: self.page_size,
            zone: &self.zone,
            seed: RandomState::new().build_hasher().finish(),
        };
        let mut failures = 0;
        for part in parts(&state.due, &self.zone) {
            match self.ask_part(&query, &part, state).await? {
                None => failures = 0,
                Some(Step::TooFarBack(day)) => {
                    // Days before it that failed are too far back, too.
                    state.due.retain(|due| *due > day);
                    state.too_far_back = Some(day);
                    return Ok(());
                }
                Some(Step::Failed(error)) => {
                    failures += 1;
                    let text = format!("{}: {}", state.learnt.progress.query, error.report());
                    tracing::warn!(project = self.project.name, "{text}");
                    state.reason = Some(text);
                    if matches!(error.reason(), Reason::Auth | Reason::Forbidden) || failures == MOST_FAILURES {
                        return Ok(());
                    }
                }
                Some(Step::Complete(_)) => {}
            }
        }
        self.ask_before(&query, state).await
    }

    /// Asks for consecutive days. Returns the last step, if they are not all complete.
    async fn ask_part(
        &self,
        query: &DaysQuery<'_, Client>,
        part: &[NaiveDate],
        state: &mut State,
    ) -> Result<Option<Step>, LedgerError> {
        let requests = |learnt: &Learnt| learnt.progress.counters.requests();
        let mut asking = query.begin(part, self.now, &mut state.learnt);
        loop {
            let before = requests(&state.learnt);
            let step = asking.next(&mut state.learnt).await;
            self.meter.requests.fetch_add(requests(&state.learnt) - before, Ordering::Relaxed);
            let Some(Step::Complete(days)) = step else { return Ok(step) };
            self.meter.done.fetch_add(days.len(), Ordering::Relaxed);
            state.due.retain(|day| !days.contains_key(day));
            state.known.extend(days.clone());
            self.keep(&state.identity, days).await?;
        }
    }

    /// If a day is not known to be whole, asks whether there is usage before it.
    async fn ask_before(&self, query: &DaysQuery<'_, Client>, state: &mut State) -> Result<(), LedgerError> {
        let is_unproven = |day: &NaiveDate| state.known.get(*day).is_some() && !state.known.is_whole(*day);
        let Some(day) = happened(self.days.first, self.days.end, &self.zone).find(is_unproven) else { return Ok(()) };
        match query.has_usage_before(day, &mut state.learnt).await {
            Ok(true) => {
                state.known.note_used_before(day, self.now);
                self.keep_used_before(&state.identity, day).await?;
            }
            Ok(false) => {}
            Err(error) => tracing::warn!(
                project = self.project.name,
                "it is not known whether there is usage before {day}, so that day may be partial: {}",
                error.report()
            ),
        }
        Ok(())
    }

    async fn keep(&self, identity: &str, days: BTreeMap<NaiveDate, Day>) -> Result<(), LedgerError> {
        let Some(ledger) = self.ledger.clone().filter(|_| !days.is_empty()) else { return Ok(()) };
        let identity = identity.to_owned();
        blocking(move || ledger.keep(&identity, &days)).await
    }

    async fn keep_used_before(&self, identity: &str, day: NaiveDate) -> Result<(), LedgerError> {
        let Some(ledger) = self.ledger.clone() else { return Ok(()) };
        let (identity, now) = (identity.to_owned(), self.now);
        blocking(move || ledger.keep_used_before(&identity, day, now)).await
    }
}

/// Runs work with the file of the ledger on a thread for blocking work.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, LedgerError> + Send + 'static,
) -> Result<T, LedgerError> {
    match spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}

/// Consecutive days of one month each, the newest first.
fn parts(days: &BTreeSet<NaiveDate>, zone: &Zone) -> Vec<Vec<NaiveDate>> {
    let mut parts: Vec<Vec<NaiveDate>> = Vec::new();
    for day in days {
        match parts.last_mut() {
            Some(part)
                if part.last().is_some_and(|last| {
                    first_of_month(*last) == first_of_month(*day) && happened(*last, *day, zone).count() == 1
                }) =>
            {
                part.push(*day);
            }
            _ => parts.push(vec![*day]),
        }
    }
    parts.reverse();
    parts
}

/// What has been done by all projects.
#[derive(Debug, Default)]
struct Meter {
    total: AtomicUsize,
    done: AtomicUsize,
    requests: AtomicU64,
}

/// Shows how far the work is: a line that is written over on a terminal, lines of the log otherwise.
struct Progress {
    meter: Arc<Meter>,
    start: Instant,
    interval: tokio::time::Interval,
    is_terminal: bool,
}

impl Progress {
    fn new(meter: Arc<Meter>) -> Self {
        let is_terminal = std::io::stderr().is_terminal();
        let period = if is_terminal { Duration::from_millis(500) } else { Duration::from_secs(30) };
        Progress { meter, start: Instant::now(), interval: interval(period), is_terminal }
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
