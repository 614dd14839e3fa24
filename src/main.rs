//! The binary: logging, then the command.

use std::process::ExitCode;

use clap::Parser;
use metastudio_exporter::{
    cli::{Cli, Log, LogFormat, LogLevel},
    commands,
};
use tracing::level_filters::LevelFilter;
use tracing_subscriber::{Layer, filter::Targets, fmt, layer::SubscriberExt, util::SubscriberInitExt};

fn main() -> ExitCode {
    let cli = Cli::parse();
    set_up_logging(cli.log());
    // A panic is a line of the log like any other.
    std::panic::set_hook(Box::new(|panic| tracing::error!("{panic}")));
    match run(cli) {
        Ok(code) => code,
        Err(error) => {
            tracing::error!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(cli: Cli) -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let result = runtime.block_on(commands::run(cli));
    // A name that is being looked up, or a file on a dead mount, must not hold up the end.
    runtime.shutdown_background();
    result
}

fn set_up_logging(log: Log) {
    let level = match log.level {
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Error => LevelFilter::ERROR,
    };
    // Only our own words: what libraries say at these levels may hold requests, and requests hold keys.
    let filter = Targets::new().with_target("metastudio_exporter", level);
    let layer = match log.format {
        LogFormat::Logfmt => tracing_logfmt::builder()
            .with_target(false)
            .layer()
            .with_writer(std::io::stderr)
            .with_filter(filter)
            .boxed(),
        LogFormat::Json => fmt::layer()
            .json()
            .flatten_event(true)
            .with_target(false)
            .with_writer(std::io::stderr)
            .with_filter(filter)
            .boxed(),
    };
    tracing_subscriber::registry().with(layer).init();
}
