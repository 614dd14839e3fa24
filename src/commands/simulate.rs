//! `simulate`: run only the simulated cloud, for an exporter or any other client.

use std::{net::SocketAddr, process::ExitCode};

use anyhow::{Context, anyhow};
use clap::Args;
use tokio_util::sync::CancellationToken;

use super::{print, signals::Signals};
use crate::{
    server,
    simulator::{Fault, Options, Service, Simulator, history},
};

/// Flags of `simulate`.
#[derive(Args, Debug)]
#[command(after_long_help = Service::help())]
pub(crate) struct Simulate {
    /// Address to listen on: HOST:PORT, or :PORT for all interfaces
    #[arg(long = "web.listen-address", value_name = "ADDR", default_value = "127.0.0.1:19678")]
    listen_address: String,
    /// Fault to simulate, repeatable: KIND or KIND:OPTION=VALUE,…; KIND is throttle, server-error, forbidden,
    /// not-found, hang, disconnect, truncate, html, empty, redirect or echo; OPTION is project (a name, an operation
    /// such as ListTenantResources, bss, iam, sts, metadata or pod-identity), times (maximum number of requests that
    /// get the fault), after (number of matching requests to skip first) or retry_after (seconds, only for throttle)
    #[arg(long = "fault", value_name = "FAULT")]
    faults: Vec<String>,
    /// Behaviour of the simulated service where the API page leaves it open, repeatable: NAME=VALUE,…; the names and
    /// values are listed below
    #[arg(long = "service", value_name = "SETTINGS")]
    services: Vec<String>,
    /// Number of projects, from 1 to 1000: the three default ones, and copies with other ids and usage
    #[arg(long, value_name = "NUMBER", default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..=1000))]
    projects: u16,
}

impl Simulate {
    /// Prints a configuration for the simulated cloud, and serves until a signal.
    pub async fn run(self) -> anyhow::Result<ExitCode> {
        let parse = |fault: &String| fault.parse::<Fault>().map_err(|error| anyhow!("--fault {fault}: {error}"));
        let faults = self.faults.iter().map(parse).collect::<Result<Vec<_>, _>>()?;
        let service = self.services.join(",");
        let service = service.parse::<Service>().map_err(|error| anyhow!("--service {service}: {error}"))?;
        let options = Options { faults, service, projects: history::copies(self.projects), ..Options::default() };
        options.check_faults().map_err(|error| anyhow!("--fault: {error}"))?;
        let mut signals = Signals::new()?;
        let simulator = Simulator::new(options);
        let addresses = std::slice::from_ref(&self.listen_address);
        let Some(listeners) = signals.run_until_signal(server::bind(addresses)).await else {
            return Ok(ExitCode::SUCCESS);
        };
        let listener = listeners?.into_iter().next().context("no listener")?;
        let address = listener.local_addr()?;
        let config = config(simulator.options(), address, budgets);
        print(&format!("The simulated cloud is at http://{address}\n\nA configuration for it:\n\n{config}"))?;

        let served = signals.run_until_signal(simulator.serve(listener, CancellationToken::new())).await;
        served.transpose()?;
        Ok(ExitCode::SUCCESS)
    }
}

/// The configuration of an exporter for all projects and the account of a simulated cloud at `address`. `settings`
/// gives further keys of a project.
pub(super) fn config(options: &Options, address: SocketAddr, settings: fn(&str) -> &'static str) -> String {
    let mut text = format!(
        "poll: {{interval: 1m}}\n\
         api: {{requests_per_second: 1000}}\n\
         collect: all\n\
         credentials:\n\
         \x20 simulated: {{access_key: {}, secret_key: {}}}\n\
         projects:\n",
        options.access_key, options.secret_key
    );
    for project in &options.projects {
        text += &format!(
            "  - {{name: {}, region: cn-north-4, endpoint: 'http://{address}', project_id: {}{}}}\n",
            project.name,
            project.id,
            settings(&project.name)
        );
    }
    text + &format!(
        "accounts:\n  - {{name: {}, endpoint: 'http://{address}', domain_id: {}}}\n",
        options.user.domain, options.account_id
    )
}

/// Budgets for the default projects. `campaign` always exceeds its budget of 30 days. It exceeds its budget of the
/// month before the month ends.
pub(super) fn budgets(project: &str) -> &'static str {
    match project {
        "studio-prod" => ", budgets: [{window: this_month, minutes: 6000, business_type: VIDEO_2D}]",
        "live-commerce" => ", budgets: [{window: this_month, minutes: 30000}]",
        "campaign" => {
            ", windows: [today, yesterday, this_month, 30d], \
             budgets: [{window: this_month, minutes: 6000}, {window: 30d, minutes: 5000}]"
        }
        _ => "",
    }
}
