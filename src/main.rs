//! The binary: sets logging up, then runs the command.

use std::process::ExitCode;

use metastudio_exporter::{
    cli::Cli,
    log::{self, FlushOnDrop, LogWriter},
};

fn main() -> ExitCode {
    let cli = Cli::try_from_args(std::env::args_os()).unwrap_or_else(|error| error.exit());
    let log = LogWriter::default();
    let _flush = FlushOnDrop(log.clone());
    log::set_up(cli.log(), log.clone());
    // A panic goes to the log, in the same format as every other line.
    std::panic::set_hook(Box::new(|panic| tracing::error!("{panic}")));
    match run(cli, log) {
        Ok(code) => code,
        Err(error) => {
            tracing::error!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(cli: Cli, log: LogWriter) -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let result = runtime.block_on(cli.run(log));
    // Does not wait for threads that resolve a name or read a file: either may hang.
    runtime.shutdown_background();
    result
}
