//! `backfill`: the usage of the past as OpenMetrics files, for Prometheus and VictoriaMetrics.

mod blocks;
mod manifest;
mod push;

use std::{
    fs::{self, File},
    io::{BufWriter, Write},
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use anyhow::{Context, bail};
use chrono::{DateTime, NaiveDate, SubsecRound, TimeDelta, Utc};
use clap::Args;
use reqwest::Url;

use self::manifest::{Manifest, MonthFile, ProjectSummary};
use super::{
    past::{DayRange, Past, PastFlags, ProjectPast, collect, load, parse_days},
    print,
};
use crate::{
    config::Environment,
    exposition::write_past,
    history::{days::next_month, samples},
    polling::fleet::target,
    usage::{Bounds, Zone, first_of_month, timestamp},
};

/// Prometheus still changes the last hours, so blocks must not reach into them (documentation of Prometheus,
/// "Storage").
const MIN_AGE: TimeDelta = TimeDelta::hours(3);

/// The longest step: the alerts look back three hours for a sample.
const LONGEST_STEP: u64 = 3 * 60 * 60;

/// The name of a file is the month between these two texts.
const PREFIX: &str = "metastudio-";
const SUFFIX: &str = ".om";

/// Flags of `backfill`.
#[derive(Args, Debug)]
pub(crate) struct Backfill {
    #[command(flatten)]
    past: PastFlags,
    /// First day or month, such as 2025-11
    #[arg(long, value_name = "DAY", value_parser = parse_days)]
    from: DayRange,
    /// Last day or month, or the time of the first sample that Prometheus has scraped, such as
    /// 2026-11-30T09:00:00+08:00. The default is three hours ago, which is also the latest possible time
    #[arg(long, value_name = "TIME", value_parser = parse_end)]
    to: Option<To>,
    /// Time between two samples of yesterday and last_month, from 1m to 3h
    #[arg(long, value_name = "DURATION", default_value = "1h", value_parser = parse_step)]
    step: samples::SampleStep,
    /// Write one file for each month into this directory, and manifest.json with the numbers of samples. Month files of an
    /// earlier run are replaced or removed
    #[arg(long, value_name = "DIR")]
    output: PathBuf,
    /// Make blocks in the subdirectory blocks of --output with promtool, if it is installed, and compare the numbers of
    /// samples
    #[arg(long)]
    verify: bool,
    /// Send the files to VictoriaMetrics at this address, and compare the number of samples that it has
    #[arg(long, value_name = "URL", value_parser = push::parse_url)]
    push: Option<Url>,
}

/// The value of `--to`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum To {
    Days(DayRange),
    Time(DateTime<Utc>),
}

fn parse_end(text: &str) -> Result<To, String> {
    let time = DateTime::parse_from_rfc3339(text).map(|time| To::Time(time.to_utc()));
    time.or_else(|_| parse_days(text).map(To::Days)).map_err(|error| format!("{error}, or a time with a zone"))
}

fn parse_step(text: &str) -> Result<samples::SampleStep, String> {
    let duration = humantime::parse_duration(text).ok();
    let seconds = duration.filter(|step| *step == Duration::from_secs(step.as_secs())).map(|step| step.as_secs());
    let step = seconds.filter(|seconds| (60..=LONGEST_STEP).contains(seconds));
    step.and_then(|step| step.try_into().ok()).ok_or_else(|| "expected whole seconds from 1m to 3h".to_owned())
}

impl Backfill {
    /// Writes the files and prints what to do with them. The exit code is 1 if a day is missing, or if the numbers of
    /// samples differ.
    pub async fn run(self, environment: Environment) -> anyhow::Result<ExitCode> {
        let now = Utc::now().trunc_subsecs(0);
        let config = load(&self.past, &environment).await?;
        let range = self.range(now, &config.timezone)?;
        create(&self.output)?;
        let directory = self.past.storage.as_ref().unwrap_or(&self.output).clone();
        // The days that have ended before the end of the range.
        let last = config.timezone.local(range.end).date_naive();
        let days = DayRange { first: self.from.first, end: last };
        let past = collect(config, &environment, Some(directory), days, now).await?;
        let is_complete = past.log_missing();
        let manifest = self.write(&past, range, now)?;
        print(&self.instructions(&manifest, now, range))?;
        let mut is_verified = true;
        if self.verify {
            is_verified &= blocks::verify(&self.output, &manifest.paths(&self.output), &manifest).await?;
        }
        if let Some(url) = &self.push {
            is_verified &= push::push(url, &manifest.paths(&self.output), &manifest, range).await?;
        }
        Ok(if is_complete && is_verified { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }

    /// The times at which there can be samples.
    fn range(&self, now: DateTime<Utc>, zone: &Zone) -> anyhow::Result<Bounds> {
        let latest = now - MIN_AGE;
        let end = match self.to {
            None => latest,
            Some(To::Time(time)) => time.trunc_subsecs(0),
            Some(To::Days(days)) => zone.midnight(days.end),
        };
        let range = Bounds { start: zone.midnight(self.from.first), end: end.min(latest) };
        if range.start >= range.end {
            bail!(
                "--from {} is not before the end of the samples, {}: use an earlier --from",
                self.from.first,
                zone.local(range.end)
            );
        }
        Ok(range)
    }

    /// Writes a file for each month that has samples, and the manifest at last.
    fn write(&self, past: &Past, range: Bounds, now: DateTime<Utc>) -> anyhow::Result<Manifest> {
        let zone = &past.config.timezone;
        let last = zone.local(range.end - TimeDelta::seconds(1)).date_naive();
        let mut files = Vec::new();
        let mut month = first_of_month(self.from.first);
        while month <= last {
            files.extend(self.write_month(past, range, month)?);
            month = next_month(month);
        }
        remove_others(&self.output, &files)?;
        let manifest = Manifest {
            version: 1,
            created: timestamp(now),
            range: [timestamp(range.start), timestamp(range.end)],
            step_seconds: self.step,
            samples: files.iter().map(|file| file.samples).sum(),
            files,
            projects: past.projects.iter().map(ProjectSummary::of).collect(),
        };
        let text = serde_json::to_string_pretty(&manifest)? + "\n";
        replace(&self.output.join("manifest.json"), |file| Ok(file.write_all(text.as_bytes())?))?;
        Ok(manifest)
    }

    fn write_month(&self, past: &Past, range: Bounds, month: NaiveDate) -> anyhow::Result<Option<MonthFile>> {
        let of_project = |ProjectPast { project, known, .. }: &ProjectPast| {
            let target = target(project, &past.config);
            // The days of a listed user are complete. With `user_ids: all`, only the days of all users together are
            // complete.
            let together = project.user_ids.all().map(|_| known.without_users());
            let known = together.as_ref().unwrap_or(known);
            samples::of_month(target, &project.windows, known, month, range, self.step)
        };
        let projects: Vec<_> = past.projects.iter().map(of_project).collect();
        let name = month.format("%Y-%m").to_string();
        let file_name = format!("{PREFIX}{name}{SUFFIX}");
        let path = self.output.join(&file_name);
        if projects.iter().all(|project| project.series.is_empty() && project.recorded.is_empty()) {
            return Ok(None);
        }
        let mut written = None;
        replace(&path, |file| {
            written = Some(write_past(file, &projects)?);
            Ok(())
        })?;
        let written = written.unwrap_or_default();
        Ok(Some(MonthFile { file: file_name, month: name, series: written.series, samples: written.samples }))
    }

    /// The text that says what to do with the files.
    fn instructions(&self, manifest: &Manifest, now: DateTime<Utc>, range: Bounds) -> String {
        let Manifest { samples, files, .. } = manifest;
        let output = self.output.display();
        if files.is_empty() {
            return "No usage of this time is known, so no samples were written.\n".to_owned();
        }
        let retention = (now - range.start).num_days() + 5;
        let months: Vec<&str> = files.iter().map(|file| file.month.as_str()).collect();
        format!(
            "Wrote {samples} samples to {} files in {output}.\n\n\
             1. Before you import anything: Prometheus must keep data for {retention} days. Otherwise it deletes older blocks \
             within a minute.\n\n\
             \x20    --storage.tsdb.retention.time={retention}d\n\n\
             2. Make the blocks. The column NUM SAMPLES must add up to {samples}.\n\n\
             \x20    for month in {}; do\n\
             \x20      promtool tsdb create-blocks-from --max-block-duration={} openmetrics '{output}'/metastudio-$month.om \
             '{output}'/blocks\n\
             \x20    done\n\n\
             3. Move the directories in {output}/blocks into the data directory of Prometheus, on the same file system and \
             with its owner. It loads them within a minute.\n\n\
             To undo the import, delete the series with instance=\"backfill\", and the series of the recording rules in this \
             time.\n",
            files.len(),
            months.join(" "),
            blocks::MAX_DURATION,
        )
    }
}

fn create(directory: &Path) -> anyhow::Result<()> {
    fs::create_dir_all(directory).with_context(|| format!("cannot create --output {}", directory.display()))
}

/// Removes the files of earlier runs that are not in the manifest.
fn remove_others(directory: &Path, files: &[MonthFile]) -> anyhow::Result<()> {
    for entry in fs::read_dir(directory)? {
        let name = entry?.file_name();
        let text = name.to_string_lossy();
        let is_ours = text.starts_with(PREFIX) && text.ends_with(SUFFIX);
        if is_ours && files.iter().all(|file| file.file != text) {
            fs::remove_file(directory.join(&name)).with_context(|| format!("cannot remove {text}"))?;
        }
    }
    Ok(())
}

/// Writes a file under another name and renames it, so that a file is complete or not there.
fn replace(path: &Path, write: impl FnOnce(&mut BufWriter<File>) -> anyhow::Result<()>) -> anyhow::Result<()> {
    let failed = || format!("cannot write {}", path.display());
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(".new");
    let mut file = BufWriter::new(File::create(&temporary).with_context(failed)?);
    write(&mut file).with_context(failed)?;
    file.into_inner().map_err(|error| error.into_error()).and_then(|file| file.sync_all()).with_context(failed)?;
    fs::rename(&temporary, path).with_context(failed)
}
