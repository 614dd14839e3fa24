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
    /// Show no failing project and no exceeded budget, for pictures
    #[arg(long)]
    all_green: bool,
}

/// A project for which the key of the demo has no permission.
const FORBIDDEN: &str = "partner-studio";

impl Demo {
    /// Prints the addresses and some commands to try, and runs until a signal.
    pub async fn run(self, log: LogWriter) -> anyhow::Result<ExitCode> {
        let Demo { web, all_green } = self;
        let mut signals = Signals::new()?;
        let Some(listeners) = signals.run_until_signal(Listeners::new(&web)).await else {
            return Ok(ExitCode::SUCCESS);
        };
        let listeners = listeners?;
        let simulator = Simulator::new(simulated(all_green));
        let stop = CancellationToken::new();
        let cloud = simulator.spawn(stop.clone()).await.context("cannot start the simulated cloud")?;

        // Loaded like any other configuration, with the same validation, but without variables of the environment.
        let settings = if all_green { green_settings } else { settings };
        let text = simulate::config(simulator.options(), cloud, settings) + SHARED_BUDGET;
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

/// The default cloud. Unless `all_green` is set, it also has a project for which the key has no permission.
fn simulated(all_green: bool) -> Options {
    let mut options = Options::default();
    if all_green {
        return options;
    }
    let id = "5f0d1e2c3b4a59687786a5b4c3d2e104".to_owned();
    options.projects.push(SimulatedProject { name: FORBIDDEN.to_owned(), id, usage: Vec::new() });
    options.faults.push(Fault { project: Some(FORBIDDEN.to_owned()), ..FaultKind::Forbidden.into() });
    options
}

/// A budget of several projects. Much of it is always left.
const SHARED_BUDGET: &str = "budgets:\n  - {name: all-studios, projects: [studio-prod, live-commerce, campaign], \
                             window: this_month, minutes: 80000}\n";

/// The settings of a project. The project without permission is polled once an hour, so that its failure is not logged
/// every minute. One project shows its users.
fn settings(project: &str) -> &'static str {
    match project {
        FORBIDDEN => ", interval: 1h, collect: []",
        "live-commerce" => ", user_ids: all, budgets: [{window: this_month, minutes: 30000}]",
        _ => simulate::budgets(project),
    }
}

/// The settings of a project. Much of each budget is always left.
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
    let failures = if all_green {
        String::new()
    } else {
        format!(
            "The project campaign exceeds a budget. Polls of {FORBIDDEN} fail, because the key has no permission there.\n"
        )
    };
    format!(
        "
The demo polls a simulated cloud (at http://{cloud}) every minute.
{failures}
  status page  http://{address}/
  metrics      http://{address}{telemetry_path}

Try next:
  curl -s http://{address}{telemetry_path} | grep '^metastudio_up'
  curl -s http://{address}{telemetry_path} | grep '^metastudio_usage_minutes'
  curl -s http://{address}{telemetry_path} | grep '^metastudio_budget_minutes'

To scrape it with Prometheus (prometheus.yml):
  scrape_configs: [{{job_name: metastudio, static_configs: [{{targets: ['{address}']}}]}}]
Then query the projects that will exceed 6000 minutes this month:
  max by (project, window) (
    sum without (resource_type, business_type, user_id) (metastudio_usage_minutes{{window=\"this_month\"}})
  )
    * on (project, window) (
      max by (project, window) (metastudio_window_end_timestamp_seconds)
        - max by (project, window) (metastudio_window_start_timestamp_seconds)
    )
    / on (project, window)
      clamp_min(time() - max by (project, window) (metastudio_window_start_timestamp_seconds), 86400)
    > 6000

Press Ctrl-C to end the demo.

"
    )
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use chrono::{DateTime, Duration, Utc};
    use clap::FromArgMatches;

    use super::*;
    use crate::{
        config::CoveringBudget,
        simulator::history::{self, UsagePattern},
        usage::{Bounds, Budget, Zone},
    };

    fn parse(flags: &[&str]) -> Demo {
        let command = Demo::augment_args(clap::Command::new("demo"));
        Demo::from_arg_matches(&command.get_matches_from(["demo"].iter().chain(flags))).unwrap()
    }

    /// Moments in each month of 2026, in Beijing: its start, an hour later, its middle, and the end of its day 28.
    fn moments() -> Vec<DateTime<Utc>> {
        let start = |month| format!("2026-{month:02}-01T00:00:00+08:00").parse::<DateTime<Utc>>().unwrap();
        let hours = [0, 1, 14 * 24, 27 * 24 + 23];
        (1..=12).flat_map(|month| hours.map(|hours| start(month) + Duration::hours(hours))).collect()
    }

    /// The usage that a budget counts at a moment, as a share of the budget.
    fn share(project: &SimulatedProject, budget: &Budget, zone: &Zone, at: DateTime<Utc>) -> f64 {
        let Bounds { start, end } = budget.window.bounds(at, zone).elapsed(at);
        let is_counted = |pattern: &&UsagePattern| {
            let Budget { resource_type, business_type, user_id, .. } = budget;
            assert_eq!((resource_type, user_id), (&None, &None), "no budget of the demo has these selectors");
            business_type.as_ref().is_none_or(|selected| selected == pattern.business_type)
        };
        let minutes = |pattern: &UsagePattern| {
            let factor = if pattern.unit == "HOUR" { 60.0 } else { 1.0 };
            let events = history::events(&project.id, pattern, start, end);
            events.map(|event| event.hundredths as f64 / 100.0 * factor).sum::<f64>()
        };
        project.usage.iter().filter(is_counted).map(minutes).sum::<f64>() / budget.minutes
    }

    fn extremes(all: impl Iterator<Item = f64>) -> (f64, f64) {
        all.fold((f64::MAX, 0.0_f64), |(least, most), it| (least.min(it), most.max(it)))
    }

    /// The least and the greatest used share of each budget of the demo, by project and window.
    async fn shares(all_green: bool) -> BTreeMap<(String, String), (f64, f64)> {
        let options = simulated(all_green);
        let settings = if all_green { green_settings } else { settings };
        let text = simulate::config(&options, (Ipv4Addr::LOCALHOST, 1).into(), settings) + SHARED_BUDGET;
        let source = ConfigSource::Text { text, name: PathBuf::from("demo.yaml") };
        let config = ValidConfig::new(source.load(&Environment::default()).await).unwrap().config;
        assert_eq!(config.projects.len(), options.projects.len());
        let mut shares = BTreeMap::new();
        for project in &config.projects {
            let simulated = options.projects.iter().find(|other| other.name == project.name).unwrap();
            for budget in &project.budgets {
                let all = moments().into_iter().map(|at| share(simulated, budget, &Zone::shanghai(), at));
                shares.insert((project.name.clone(), budget.window.to_string()), extremes(all));
            }
        }
        for CoveringBudget { budget, projects } in &config.budgets {
            let simulated = || options.projects.iter().filter(|project| projects.contains(&project.name));
            let together = |at| simulated().map(|one| share(one, &budget.limit, &Zone::shanghai(), at)).sum();
            let all = moments().into_iter().map(together);
            shares.insert((budget.name.clone(), budget.limit.window.to_string()), extremes(all));
        }
        shares
    }

    #[test]
    fn only_this_machine_reaches_the_demo_unless_an_address_is_given() {
        assert_eq!(parse(&[]).web.listen_addresses, ["127.0.0.1:19677"]);
        assert_eq!(parse(&["--web.listen-address=:1"]).web.listen_addresses, [":1"]);
    }

    /// Otherwise the memory of a demo would grow with each poll.
    #[tokio::test]
    async fn the_simulated_cloud_keeps_no_requests() {
        for all_green in [false, true] {
            let (simulator, stop) = (Simulator::new(simulated(all_green)), CancellationToken::new());
            let address = simulator.spawn(stop.clone()).await.unwrap();
            let client = reqwest::Client::builder().no_proxy().build().unwrap();
            for number in 1..=3 {
                let answer = client.get(format!("http://{address}/v3/projects")).send().await.unwrap();
                let id = answer.headers()["x-request-id"].to_str().unwrap();
                assert_eq!(u64::from_str_radix(id, 16), Ok(number), "each request has its own id");
            }
            assert!(simulator.seen().is_empty());
            stop.cancel();
        }
    }

    #[tokio::test]
    async fn one_project_exceeds_a_budget_at_any_moment_and_with_all_green_none_does() {
        let key = |project: &str, window: &str| (project.to_owned(), window.to_owned());
        let mut shares_of_demo = shares(false).await;
        let (least, _) = shares_of_demo.remove(&key("campaign", "30d")).unwrap();
        assert!(least > 1.3, "{least}");
        let (least, most) = shares_of_demo.remove(&key("campaign", "this_month")).unwrap();
        assert!(least == 0.0 && most > 1.0, "only late in a month: {least} {most}");
        assert_eq!(shares_of_demo.len(), 3);
        assert!(shares_of_demo.values().all(|(_, most)| *most < 1.0), "{shares_of_demo:?}");
        let green = shares(true).await;
        assert_eq!(green.len(), 5);
        assert!(green.values().all(|(_, most)| (0.2..0.7).contains(most)), "{green:?}");
    }
}
