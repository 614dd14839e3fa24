//! `demo`: the exporter on a simulated cloud, in one process.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::Path,
    process::ExitCode,
};

use anyhow::Context;
use tokio_util::sync::CancellationToken;

use super::{
    in_force, print,
    serve::{self, Signals},
    simulate,
};
use crate::{
    cli::Demo,
    config::{self, Environment},
    simulator::{Options, Simulator},
};

/// Runs until a signal; says on standard output where to look and what to try.
pub(super) async fn run(flags: &Demo, environment: Environment) -> anyhow::Result<ExitCode> {
    let signals = Signals::new()?;
    let listeners = serve::listen(&flags.web).await?;
    let simulator = Simulator::new(Options::default());
    let stop = CancellationToken::new();
    let cloud = simulator.spawn(stop.clone()).await.context("cannot start the simulated cloud")?;

    // The same way in as every configuration, and so the same checks; but nothing from outside changes the demo.
    let text = simulate::config(&simulator, &cloud);
    let in_force = in_force(config::load_text(text, Path::new("demo.yaml"), &Environment::default()).await)?;
    let address = listeners.first().context("no listener")?.local_addr()?;
    // Nobody reading along is no reason not to serve.
    let _ = print(&welcome(address, &flags.web.telemetry_path, cloud));
    let result = serve::until_signal(in_force, &flags.web, listeners, environment, signals).await;
    stop.cancel();
    result
}

fn welcome(mut address: SocketAddr, telemetry_path: &str, cloud: SocketAddr) -> String {
    if address.ip().is_unspecified() {
        address.set_ip(IpAddr::V4(Ipv4Addr::LOCALHOST));
    }
    format!(
        "
The demo runs: three projects of a simulated cloud (at http://{cloud}), polled every minute.

  status page  http://{address}/
  metrics      http://{address}{telemetry_path}

Try next:
  curl -s http://{address}{telemetry_path} | grep '^metastudio_usage_minutes'
  curl -s http://{address}{telemetry_path} | promtool check metrics

Let Prometheus scrape it (prometheus.yml):
  scrape_configs: [{{job_name: metastudio, static_configs: [{{targets: ['{address}']}}]}}]
and ask it which project will exceed 6000 minutes this month:
  sum by (project, window) (metastudio_usage_minutes{{window=\"this_month\"}})
    * on (project, window) (metastudio_window_end_timestamp_seconds - metastudio_window_start_timestamp_seconds)
    / on (project, window) (time() - metastudio_window_start_timestamp_seconds) > 6000

Ctrl-C ends it.

"
    )
}
