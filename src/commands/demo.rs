//! `demo`: the exporter and the simulated cloud in one process.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::PathBuf,
    process::ExitCode,
    sync::Arc,
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
    simulator::{Options, Simulator},
};

/// Flags of `demo`.
#[derive(Args, Debug)]
pub(crate) struct Demo {
    #[command(flatten)]
    web: WebFlags,
}

impl Demo {
    /// Prints the addresses and some commands to try, and runs until a signal.
    pub async fn run(self, log: LogWriter) -> anyhow::Result<ExitCode> {
        let web = self.web;
        let signals = Signals::new()?;
        let listeners = Listeners::new(&web).await?;
        let simulator = Simulator::new(Options::default());
        let stop = CancellationToken::new();
        let cloud = simulator.spawn(stop.clone()).await.context("cannot start the simulated cloud")?;

        // Loaded like any other configuration, with the same validation, but without variables of the environment.
        let source =
            ConfigSource::Text { text: simulate::config(simulator.options(), cloud), name: PathBuf::from("demo.yaml") };
        let environment = Environment::default();
        let config = ValidConfig::new(source.load(&environment).await)?;
        let address = listeners.sockets.first().context("no listener")?.local_addr()?;
        // The demo serves even if standard output is closed.
        let _ = print(&introduction(address, &web.telemetry_path, cloud));
        // SIGHUP ends the demo, as it ends most programs when their terminal closes.
        let lockout = Arc::default();
        let daemon = Daemon { source, config, web, listeners, environment, lockout, signals, hangup: None, log };
        let result = daemon.run().await;
        stop.cancel();
        result
    }
}

fn introduction(mut address: SocketAddr, telemetry_path: &str, cloud: SocketAddr) -> String {
    if address.ip().is_unspecified() {
        address.set_ip(IpAddr::V4(Ipv4Addr::LOCALHOST));
    }
    format!(
        "
The demo polls three projects of a simulated cloud (at http://{cloud}) every minute.

  status page  http://{address}/
  metrics      http://{address}{telemetry_path}

Try next:
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
