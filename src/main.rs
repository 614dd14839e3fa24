//! The binary: sets logging up, then runs the command.

use std::process::ExitCode;

use metastudio_exporter::cli::{Cli, LogFlags, LogFormat, LogLevel};
use tracing::level_filters::LevelFilter;
use tracing_subscriber::{Layer, filter::Targets, fmt, layer::SubscriberExt, util::SubscriberInitExt};

fn main() -> ExitCode {
    let cli = Cli::try_from_args(std::env::args_os()).unwrap_or_else(|error| error.exit());
    set_up_logging(cli.log());
    // A panic goes to the log, in the same format as every other line.
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
    let result = runtime.block_on(cli.run());
    // Does not wait for threads that resolve a name or read a file: either may hang.
    runtime.shutdown_background();
    result
}

fn set_up_logging(log: LogFlags) {
    let level = match log.level {
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Error => LevelFilter::ERROR,
    };
    // Log only the events of this crate: libraries may log requests, which contain keys.
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
