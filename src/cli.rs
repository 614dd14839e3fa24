//! The command line: which command runs, and how it logs.
//!
//! The flags of a command are defined beside the code that uses them, in `commands`. The log flags
//! are the same for all commands. They may be before or after the name of the command.

use std::{ffi::OsString, process::ExitCode};

use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand, error::ErrorKind, parser::ValueSource};

use crate::{
    commands::{
        backfill::Backfill, check::Check, demo::Demo, manual::Manual, once::Once, report::Report, serve::Serve,
        simulate::Simulate,
    },
    config::Environment,
    log::{LogFlags, LogWriter},
};

/// The output of `--version` after the name.
const LONG_VERSION: &str = concat!(
    env!("CARGO_PKG_VERSION"),
    "\nrevision: ",
    env!("BUILD_REVISION"),
    "\nbuilt:    ",
    env!("BUILD_DATE"),
    "\nrustc:    ",
    env!("BUILD_RUSTC"),
);

/// Prometheus exporter for the usage of Huawei Cloud MetaStudio.
#[derive(Debug, Parser)]
#[command(
    name = "metastudio-exporter",
    version,
    long_version = LONG_VERSION,
    after_help = "The default command is serve. `metastudio-exporter demo` needs no account and no configuration."
)]
pub struct Cli {
    #[command(flatten)]
    log: LogFlags,
    /// Flags of `serve`, for a command line without a command.
    #[command(flatten)]
    serve: Serve,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Poll the projects and serve their metrics (the default)
    Serve(Serve),
    /// Validate the configuration: print every problem, or the number of API requests a day if it is valid
    Check(Check),
    /// Poll every project once and print the metrics. Run it at most once every 5 minutes: more frequent attempts with
    /// a wrong key can get the key locked
    Once(Once),
    /// Write the usage of past months as OpenMetrics files, for Prometheus or VictoriaMetrics
    Backfill(Backfill),
    /// Print the usage of a month by project, day, type and user, as a table
    Report(Report),
    /// Run only the simulated cloud, as an endpoint for an exporter
    Simulate(Simulate),
    /// Run the exporter on a simulated cloud: no account, no configuration
    Demo(Demo),
    /// Write the man pages and the shell completions
    #[command(hide = true)]
    Manual(Manual),
}

impl Cli {
    /// Parses the command line. The first argument is the name of the program.
    ///
    /// # Errors
    /// The command line is not valid, or it has `--help` or `--version`. [`clap::Error::exit`] prints the error or the
    /// requested text.
    pub fn try_from_args(args: impl IntoIterator<Item = impl Into<OsString> + Clone>) -> Result<Self, clap::Error> {
        let mut command = Self::command();
        let matches = command.try_get_matches_from_mut(args)?;
        // Checked here and not by clap: its `args_conflicts_with_subcommands` would also refuse the log flags.
        if let Some(name) = matches.subcommand_name() {
            let flags = Serve::augment_args(clap::Command::new("serve"));
            let given =
                |flag: &&clap::Arg| matches.value_source(flag.get_id().as_str()) == Some(ValueSource::CommandLine);
            if let Some(flag) = flags.get_arguments().find(given) {
                let long = flag.get_long().unwrap_or_default();
                let message = format!("--{long} cannot be before the command; flags of {name} come after it");
                return Err(command.error(ErrorKind::ArgumentConflict, message));
            }
        }
        Self::from_arg_matches(&matches)
    }

    /// The log flags.
    pub fn log(&self) -> LogFlags {
        self.log
    }

    /// Runs the command. A daemon queues its log lines.
    ///
    /// # Errors
    /// The reason for exit code 1. The caller logs it.
    pub async fn run(self, log: LogWriter) -> anyhow::Result<ExitCode> {
        let environment = Environment::of_process();
        match self.command.unwrap_or(Command::Serve(self.serve)) {
            Command::Serve(serve) => serve.run(environment, log).await,
            Command::Check(check) => check.run(&environment).await,
            Command::Once(once) => once.run(environment).await,
            Command::Backfill(backfill) => backfill.run(environment).await,
            Command::Report(report) => report.run(environment).await,
            Command::Simulate(simulate) => simulate.run().await,
            Command::Demo(demo) => demo.run(log).await,
            Command::Manual(manual) => manual.run(Self::command()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::{LogFormat, LogLevel};

    fn parse(arguments: &[&str]) -> Result<Cli, clap::Error> {
        Cli::try_from_args(["x"].iter().chain(arguments))
    }

    #[test]
    fn clap_finds_no_error_in_the_definition() {
        Cli::command().debug_assert();
    }

    #[test]
    fn flags_of_serve_work_without_a_command() {
        let cli = parse(&["--web.listen-address=:1", "--web.listen-address", "[::1]:2", "--config.check"]).unwrap();
        assert!(cli.command.is_none() && cli.serve.check);
        assert_eq!(cli.serve.web.listen_addresses, [":1", "[::1]:2"]);
        let named = parse(&["serve", "--config.file", "a.yaml"]).unwrap();
        assert!(matches!(named.command, Some(Command::Serve(serve)) if serve.config.file.as_os_str() == "a.yaml"));
        for wrong in [&["--web.telemetry-path=/"][..], &["--nonsense"], &["--log.level=loud"]] {
            assert_eq!(parse(wrong).unwrap_err().exit_code(), 2, "{wrong:?}");
        }
    }

    #[test]
    fn log_flags_work_before_and_after_every_command() {
        for command in ["serve", "check", "once", "simulate", "demo"] {
            for arguments in [
                ["--log.level=debug", "--log.format=json", command],
                [command, "--log.level=debug", "--log.format=json"],
            ] {
                let LogFlags { level, format } = parse(&arguments).unwrap().log();
                assert_eq!((level, format), (LogLevel::Debug, LogFormat::Json), "{arguments:?}");
            }
        }
        assert_eq!(parse(&["--log.level=warn", "--config.check"]).unwrap().log().level, LogLevel::Warn);
        assert_eq!(parse(&["--log.level=warn", "check", "--log.level=error"]).unwrap().log().level, LogLevel::Error);
        assert_eq!(parse(&["check"]).unwrap().log().level, LogLevel::Info);
    }

    #[test]
    fn flags_of_serve_before_a_command_are_refused() {
        for flag in [
            "--web.listen-address=:1",
            "--config.file=config.yaml",
            "--config.check",
            "--shard=0/1",
            "--storage.path=a",
        ] {
            for command in ["serve", "check", "demo"] {
                let error = parse(&["--log.level=debug", flag, command]).unwrap_err();
                assert_eq!(error.exit_code(), 2);
                let long = flag.split('=').next().unwrap();
                let expected = format!("{long} cannot be before the command; flags of {command} come after it");
                assert!(error.to_string().contains(&expected), "{error}");
            }
        }
    }
}
