//! `demo`: the exporter on a simulated cloud, in one process.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::PathBuf,
    process::ExitCode,
};

use anyhow::Context;
use tokio_util::sync::CancellationToken;

use super::{
    Origin, print,
    serve::{self, Listeners, Signals},
    simulate, valid,
};
use crate::{
    cli::Demo,
    config::Environment,
    simulator::{Options, Simulator},
};

/// Runs until a signal; says on standard output where to look and what to try.
pub(super) async fn run(flags: &Demo) -> anyhow::Result<ExitCode> {
    let signals = Signals::new()?;
    let entrance = Listeners::new(&flags.web).await?;
    let simulator = Simulator::new(Options::default());
    let stop = CancellationToken::new();
    let cloud = simulator.spawn(stop.clone()).await.context("cannot start the simulated cloud")?;

    // The same way in as every configuration, and so the same checks; but nothing from outside changes the demo.
    let origin = Origin::Text { text: simulate::config(&simulator, &cloud), name: PathBuf::from("demo.yaml") };
    let environment = Environment::default();
    let valid = valid(origin.load(&environment).await)?;
    let address = entrance.listeners.first().context("no listener")?.local_addr()?;
    // Nobody reading along is no reason not to serve.
    let _ = print(&welcome(address, &flags.web.telemetry_path, cloud));
    // SIGHUP ends it, as it ends other programs whose terminal is closed.
    let result = serve::until_signal(origin, valid, &flags.web, entrance, environment, signals, None).await;
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
