//! `demo`: the exporter and the simulated cloud in one process.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::PathBuf,
    process::ExitCode,
};

use anyhow::Context;
use clap::Args;
use tokio_util::sync::CancellationToken;

use super::{
    configuration::{ConfigSource, ValidConfig},
    print,
    serve::{Daemon, Listeners, WebFlags},
    signals::Signals,
    simulate,
};
use crate::{
    config::Environment,
    log::LogWriter,
    polling::fleet::Kept,
    simulator::{Fault, FaultKind, Options, Simulator, history::SimulatedProject},
};

/// Flags of `demo`. Unlike an exporter, the demo has no clients on other machines.
#[derive(Args, Debug)]
#[command(mut_arg("listen_addresses", |flag| flag.default_value("127.0.0.1:19677")))]
pub(crate) struct Demo {
    #[command(flatten)]
    web: WebFlags,
    /// Leave out the project whose polls fail, and exceed no budget: for pictures
    #[arg(long)]
    all_green: bool,
}

/// A project for which the key of the demo has no permission.
const FORBIDDEN: &str = "partner-studio";

impl Demo {
    /// Prints the addresses and some commands to try, and runs until a signal.
    pub async fn run(self, log: LogWriter) -> anyhow::Result<ExitCode> {
        let Demo { web, all_green } = self;
        let signals = Signals::new()?;
        let listeners = Listeners::new(&web).await?;
        let simulator = Simulator::new(if all_green { Options::default() } else { cloud_with_failure() });
        let stop = CancellationToken::new();
        let cloud = simulator.spawn(stop.clone()).await.context("cannot start the simulated cloud")?;

        // Loaded like any other configuration, with the same validation, but without variables of the environment.
        let settings = if all_green { green_settings } else { settings };
        let text = simulate::config(simulator.options(), cloud, settings);
        let source = ConfigSource::Text { text, name: PathBuf::from("demo.yaml") };
        let environment = Environment::default();
        let config = ValidConfig::new(source.load(&environment).await)?;
        let address = listeners.sockets.first().context("no listener")?.local_addr()?;
        // The demo serves even if standard output is closed.
        let _ = print(&introduction(address, &web.telemetry_path, cloud, all_green));
        // SIGHUP ends the demo, as it ends most programs when their terminal closes.
        let kept = Kept::default();
        let daemon = Daemon { source, config, web, listeners, environment, kept, signals, hangup: None, log };
        let result = daemon.run().await;
        stop.cancel();
        result
    }
}

/// The default cloud, and a project for which the key has no permission.
fn cloud_with_failure() -> Options {
    let mut options = Options::default();
    let id = "5f0d1e2c3b4a59687786a5b4c3d2e104".to_owned();
    options.projects.push(SimulatedProject { name: FORBIDDEN, id, usage: Vec::new() });
    options.faults.push(Fault { project: Some(FORBIDDEN.to_owned()), ..FaultKind::Forbidden.into() });
    options
}

/// The settings of a project: a failure is logged once an hour and not every minute.
fn settings(project: &str) -> &'static str {
    if project == FORBIDDEN { ", interval: 1h, collect: []" } else { simulate::budgets(project) }
}

/// The settings of a project with budgets that are never nearly spent.
fn green_settings(project: &str) -> &'static str {
    match project {
        "studio-prod" => ", budgets: [{window: this_month, minutes: 10000, business_type: VIDEO_2D}]",
        "live-commerce" => ", budgets: [{window: this_month, minutes: 40000}]",
        "campaign" => {
            ", windows: [today, yesterday, this_month, 30d], \
             budgets: [{window: this_month, minutes: 20000}, {window: 30d, minutes: 20000}]"
        }
        _ => "",
    }
}

fn introduction(mut address: SocketAddr, telemetry_path: &str, cloud: SocketAddr, all_green: bool) -> String {
    if address.ip().is_unspecified() {
        address.set_ip(IpAddr::V4(Ipv4Addr::LOCALHOST));
    }
    let trouble = if all_green {
        String::new()
    } else {
        format!(
            "The project campaign exceeds a budget. Polls of {FORBIDDEN} fail, because the key has no permission there.\n"
        )
    };
    format!(
        "
The demo polls the projects of a simulated cloud (at http://{cloud}) every minute.
{trouble}
  status page  http://{address}/
  metrics      http://{address}{telemetry_path}

Try next:
  curl -s http://{address}{telemetry_path} | grep '^metastudio_up'
  curl -s http://{address}{telemetry_path} | grep '^metastudio_usage_minutes'
  curl -s http://{address}{telemetry_path} | grep '^metastudio_budget_minutes'

To scrape it with Prometheus (prometheus.yml):
  scrape_configs: [{{job_name: metastudio, static_configs: [{{targets: ['{address}']}}]}}]
Then query the projects that will exceed 6000 minutes this month:
  sum by (project, window) (
    max by (project, window, resource_type, business_type, user_id) (metastudio_usage_minutes{{window=\"this_month\"}})
  )
    * on (project, window) (
      max by (project, window) (metastudio_window_end_timestamp_seconds)
        - max by (project, window) (metastudio_window_start_timestamp_seconds)
    )
    / on (project, window) (time() - max by (project, window) (metastudio_window_start_timestamp_seconds))
    > 6000

Press Ctrl-C to end the demo.

"
    )
}

#[cfg(test)]
mod tests {
    use chrono::{DateTime, Duration, Utc};
    use clap::FromArgMatches;

    use super::*;
    use crate::{
        config::Project,
        simulator::history::{self, UsagePattern},
    };

    fn parse(flags: &[&str]) -> Demo {
        let command = Demo::augment_args(clap::Command::new("demo"));
        Demo::from_arg_matches(&command.get_matches_from(["demo"].iter().chain(flags))).unwrap()
    }

    /// The most minutes that a project uses in 30 days of 2026, of one day in each month.
    fn most_minutes(project: &str) -> f64 {
        let projects = cloud_with_failure().projects;
        let project = projects.iter().find(|other| other.name == project).unwrap();
        let first: DateTime<Utc> = "2025-12-31T16:00:00Z".parse().unwrap();
        let ends = (1..=12).map(|month| first + Duration::days(30 * month));
        let minutes = |end: DateTime<Utc>| {
            let of_pattern = |pattern: &UsagePattern| {
                let factor = if pattern.unit == "HOUR" { 60.0 } else { 1.0 };
                let events = history::events(&project.id, pattern, end - Duration::days(30), end);
                events.map(|event| event.hundredths as f64 / 100.0 * factor).sum::<f64>()
            };
            project.usage.iter().map(of_pattern).sum()
        };
        ends.map(minutes).fold(0.0, f64::max)
    }

    /// The projects of the demo, and the part of its smallest budget that each uses.
    async fn shares(all_green: bool) -> Vec<(String, Option<f64>)> {
        let (options, settings): (_, fn(&str) -> &'static str) =
            if all_green { (Options::default(), green_settings) } else { (cloud_with_failure(), settings) };
        let text = simulate::config(&options, (Ipv4Addr::LOCALHOST, 1).into(), settings);
        let source = ConfigSource::Text { text, name: PathBuf::from("demo.yaml") };
        let config = ValidConfig::new(source.load(&Environment::default()).await).unwrap().config;
        let share = |project: &Project| {
            let budgets = project.budgets.iter().map(|budget| budget.minutes);
            let smallest = budgets.reduce(f64::min)?;
            Some(most_minutes(&project.name) / smallest)
        };
        config.projects.iter().map(|project| (project.name.clone(), share(project))).collect()
    }

    #[test]
    fn only_this_machine_reaches_the_demo_unless_an_address_is_given() {
        assert_eq!(parse(&[]).web.listen_addresses, ["127.0.0.1:19677"]);
        assert_eq!(parse(&["--web.listen-address=:1"]).web.listen_addresses, [":1"]);
    }

    #[tokio::test]
    async fn one_project_exceeds_its_budget_and_with_all_green_none() {
        let shares_of_demo = shares(false).await;
        let campaign = shares_of_demo.iter().find(|(name, _)| name == "campaign").unwrap();
        assert!(campaign.1 > Some(1.3), "{shares_of_demo:?}");
        assert!(shares_of_demo.contains(&(FORBIDDEN.to_owned(), None)));
        let green = shares(true).await;
        assert_eq!(green.len(), 3);
        assert!(green.iter().all(|(_, share)| share.is_some_and(|share| share < 0.7)), "{green:?}");
    }
}
