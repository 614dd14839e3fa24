//! `report`: the usage of a month, or of any days, as a table.

use std::process::ExitCode;

use anyhow::bail;
use chrono::Utc;
use clap::{Args, ValueEnum};

use super::{
    past::{DayRange, PastFlags, collect, load, parse_days},
    print,
};
use crate::{
    config::Environment,
    history::report::{ReportProject, csv, focus, json, markdown, rows},
};

/// Flags of `report`.
#[derive(Args, Debug)]
pub(crate) struct Report {
    #[command(flatten)]
    past: PastFlags,
    /// The month, such as 2026-10
    #[arg(long, value_name = "MONTH", value_parser = parse_days, required_unless_present = "from")]
    month: Option<DayRange>,
    /// First day, or month
    #[arg(long, value_name = "DAY", value_parser = parse_days, conflicts_with = "month", requires = "to")]
    from: Option<DayRange>,
    /// Last day, or month
    #[arg(long, value_name = "DAY", value_parser = parse_days, requires = "from")]
    to: Option<DayRange>,
    /// Format of the table
    #[arg(id = "report_format", long = "format", value_name = "TABLE", value_enum, default_value_t = TableFormat::Csv)]
    format: TableFormat,
}

/// The value of `--format`.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum TableFormat {
    /// Comma-separated values, one line for each project, day, type and user
    Csv,
    /// Tables for people, with sums
    Markdown,
    /// The same rows as JSON
    Json,
    /// The columns of FOCUS 1.0, as CSV; those that need prices are empty
    Focus,
}

impl Report {
    /// Prints the table. The exit code is 1 if a day is missing.
    pub async fn run(self, environment: Environment) -> anyhow::Result<ExitCode> {
        let days = match (self.month, self.from, self.to) {
            (Some(month), _, _) => month,
            (None, Some(from), Some(to)) => DayRange { first: from.first, end: to.end },
            _ => bail!("--month, or --from and --to are needed"),
        };
        let now = Utc::now();
        let config = load(&self.past, &environment).await?;
        let today = config.timezone.local(now).date_naive();
        // Only days that have ended have their whole usage.
        let days = DayRange { end: days.end.min(today), ..days };
        if days.first >= days.end {
            bail!("there is no day that has ended: the table begins on {}, and today is {today}", days.first);
        }
        let past = collect(config, &environment, self.past.storage.clone(), days, now).await?;
        let is_complete = past.log_missing();
        let projects: Vec<ReportProject<'_>> = past
            .projects
            .iter()
            .map(|past| ReportProject {
                name: &past.project.name,
                project_id: &past.project_id,
                region: &past.project.region,
                labels: &past.project.labels,
                known: &past.known,
                has_rest: past.project.user_ids.all().is_some(),
            })
            .collect();
        let rows = rows(&projects, days.first, days.end);
        print(&match self.format {
            TableFormat::Csv => csv(&rows),
            TableFormat::Markdown => markdown(&rows, days.first, days.end),
            TableFormat::Json => json(&rows),
            TableFormat::Focus => focus(&rows, &projects),
        })?;
        Ok(if is_complete { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}
