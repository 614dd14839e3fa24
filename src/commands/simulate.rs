//! `simulate`: a cloud to point an exporter, or any other client, at.

use std::process::ExitCode;

use anyhow::{Context, anyhow};
use tokio_util::sync::CancellationToken;

use super::{print, serve::Signals};
use crate::{
    cli::{PagingArg, Simulate},
    server,
    simulator::{Fault, Options, Paging, Simulator},
};

/// Serves until a signal; says on standard output how to be its client.
pub(super) async fn run(flags: &Simulate) -> anyhow::Result<ExitCode> {
    let faults =
        flags.faults.iter().map(|fault| fault.parse::<Fault>().map_err(|error| anyhow!("--fault {fault}: {error}")));
    let options = Options {
        faults: faults.collect::<Result<_, _>>()?,
        paging: match flags.paging {
            PagingArg::Buckets => Paging::Buckets,
            PagingArg::Rows => Paging::Rows,
        },
        ..Options::default()
    };
    let bound = server::bind(std::slice::from_ref(&flags.listen_address)).await;
    let listeners = bound.map_err(|(address, error)| anyhow!("cannot listen on {address}: {error}"))?;
    let listener = listeners.into_iter().next().context("no listener")?;
    let address = listener.local_addr()?;
    let simulator = Simulator::new(options);
    let config = config(&simulator, &address);
    print(&format!("A simulated MetaStudio is at http://{address}\n\nA configuration for it:\n\n{config}"))?;

    let stop = CancellationToken::new();
    let mut signals = Signals::new()?;
    tokio::select! {
        served = simulator.serve(listener, stop) => served?,
        () = signals.next() => {}
    }
    Ok(ExitCode::SUCCESS)
}

/// The configuration of an exporter for all projects of a simulated cloud at `address`.
pub(super) fn config(simulator: &Simulator, address: &std::net::SocketAddr) -> String {
    let options = simulator.options();
    let mut text = format!(
        "poll: {{interval: 1m}}\n\
         api: {{requests_per_second: 1000}}\n\
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
            budgets(project.name)
        );
    }
    text
}

/// Budgets for the projects of the demo. The campaign exceeds its own: that of the last 30 days always, and that of the
/// month before its end.
fn budgets(project: &str) -> &'static str {
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
