//! The command line, with the dotted flag names of the Prometheus world.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

/// What `--version` prints after the name.
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
    args_conflicts_with_subcommands = true,
    after_help = "Without a command: serve. Try `metastudio-exporter demo`: it needs no account and no configuration."
)]
pub struct Cli {
    /// Flags of `serve`, where no command is named.
    #[command(flatten)]
    pub serve: Serve,
    /// The command.
    #[command(subcommand)]
    pub command: Option<Command>,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Poll the projects and serve their metrics (the default)
    Serve(Serve),
    /// Validate the configuration: print every problem, or what it will cost in API requests
    Check(Check),
    /// Poll every project once and print the metrics; not more often than every 5 minutes, lest a refused key be locked
    Once(Once),
    /// Run a simulated cloud to point an exporter at
    Simulate(Simulate),
    /// Run the exporter on a simulated cloud: no account, no configuration
    Demo(Demo),
}

/// Flags of `serve`.
#[derive(Args, Debug)]
pub struct Serve {
    #[command(flatten)]
    #[expect(missing_docs, reason = "the flags have their own")]
    pub config: ConfigFile,
    #[command(flatten)]
    #[expect(missing_docs, reason = "the flags have their own")]
    pub web: Web,
    #[command(flatten)]
    #[expect(missing_docs, reason = "the flags have their own")]
    pub log: Log,
    /// Validate the configuration and exit, as `check` does
    #[arg(long = "config.check")]
    pub check: bool,
}

/// Flags of `check`.
#[derive(Args, Debug)]
pub struct Check {
    #[command(flatten)]
    #[expect(missing_docs, reason = "the flags have their own")]
    pub config: ConfigFile,
    /// Validate this web configuration, too
    #[arg(long = "web.config.file", value_name = "PATH")]
    pub web_config_file: Option<PathBuf>,
    /// Print the effective configuration, secrets redacted
    #[arg(long, conflicts_with = "online")]
    pub print: bool,
    /// Try every endpoint, key and project for real, with one request each; not more often than every 5 minutes, lest a
    /// refused key be locked
    #[arg(long)]
    pub online: bool,
    #[command(flatten)]
    #[expect(missing_docs, reason = "the flags have their own")]
    pub log: Log,
}

/// Flags of `once`.
#[derive(Args, Debug)]
pub struct Once {
    #[command(flatten)]
    #[expect(missing_docs, reason = "the flags have their own")]
    pub config: ConfigFile,
    /// How to print the metrics; the textfile collector wants text
    #[arg(id = "output_format", long = "format", value_name = "FORMAT", value_enum, default_value_t = OutputFormat::Text)]
    pub format: OutputFormat,
    #[command(flatten)]
    #[expect(missing_docs, reason = "the flags have their own")]
    pub log: Log,
}

/// Flags of `simulate`.
#[derive(Args, Debug)]
pub struct Simulate {
    /// Where to listen: HOST:PORT, or :PORT for all interfaces
    #[arg(long = "web.listen-address", value_name = "ADDR", default_value = "127.0.0.1:19678")]
    pub listen_address: String,
    /// What goes wrong, repeatable: KIND or KIND:OPTION=VALUE,…; KIND is throttle,
    /// server-error, forbidden, hang, disconnect, truncate, html, empty, redirect, endless-pages, ignore-offset, odd-rows or echo; OPTION is project (a name, iam, sts,
    /// metadata or pod-identity), times, after or retry_after
    #[arg(long = "fault", value_name = "FAULT")]
    pub faults: Vec<String>,
    /// What limit and offset count
    #[arg(long, value_enum, default_value_t = PagingArg::Buckets)]
    pub paging: PagingArg,
    #[command(flatten)]
    #[expect(missing_docs, reason = "the flags have their own")]
    pub log: Log,
}

/// Flags of `demo`.
#[derive(Args, Debug)]
pub struct Demo {
    #[command(flatten)]
    #[expect(missing_docs, reason = "the flags have their own")]
    pub web: Web,
    #[command(flatten)]
    #[expect(missing_docs, reason = "the flags have their own")]
    pub log: Log,
}

/// Where the configuration is, and how much of it counts.
#[derive(Args, Debug)]
pub struct ConfigFile {
    /// The configuration file
    #[arg(long = "config.file", value_name = "PATH", default_value = "config.yaml")]
    pub file: PathBuf,
    /// Poll only part INDEX, from 0, of TOTAL parts of the projects; auto/TOTAL takes INDEX from the host name of a
    /// StatefulSet's pod
    #[arg(long, value_name = "INDEX/TOTAL", default_value = "0/1", value_parser = shard)]
    pub shard: ShardArg,
}

/// `--shard`.
#[derive(Clone, Copy, Debug)]
pub struct ShardArg {
    /// Which part; `None` is for the host name to say.
    pub index: Option<u32>,
    /// Of how many.
    pub total: u32,
}

/// Where to serve.
#[derive(Args, Debug)]
pub struct Web {
    /// Where to listen, repeatable: HOST:PORT, or :PORT for all interfaces, IPv6 included
    #[arg(long = "web.listen-address", value_name = "ADDR", default_value = ":19677")]
    pub listen_addresses: Vec<String>,
    /// Where the metrics are
    #[arg(long = "web.telemetry-path", value_name = "PATH", default_value = "/metrics", value_parser = telemetry_path)]
    pub telemetry_path: String,
    /// TLS, users, headers and a rate limit, in the format of the exporter-toolkit
    #[arg(long = "web.config.file", value_name = "PATH")]
    pub config_file: Option<PathBuf>,
    /// Answer /-/healthy and /-/ready without a user, for probes; a client certificate is asked for all the same
    #[arg(long = "web.health-without-auth")]
    pub health_without_auth: bool,
    /// Listen on the sockets that systemd passes instead of the addresses
    #[arg(long = "web.systemd-socket")]
    pub systemd_socket: bool,
    /// Allow POST and PUT of /-/reload; SIGHUP reloads in any case
    #[arg(long = "web.enable-lifecycle")]
    pub enable_lifecycle: bool,
}

/// What to log, to standard error.
#[derive(Args, Clone, Copy, Debug)]
pub struct Log {
    /// What is worth a line
    #[arg(long = "log.level", value_name = "LEVEL", value_enum, default_value_t = LogLevel::Info)]
    pub level: LogLevel,
    /// How a line looks
    #[arg(long = "log.format", value_name = "FORMAT", value_enum, default_value_t = LogFormat::Logfmt)]
    pub format: LogFormat,
}

/// `--log.level`.
#[derive(Clone, Copy, Debug, ValueEnum)]
#[expect(missing_docs, reason = "the names say it")]
pub enum LogLevel {
    Debug,
    Info,
    Warn,
    Error,
}

/// `--log.format`.
#[derive(Clone, Copy, Debug, ValueEnum)]
#[expect(missing_docs, reason = "the names say it")]
pub enum LogFormat {
    Logfmt,
    Json,
}

/// `--format`.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum OutputFormat {
    /// OpenMetrics 1.0.0
    Openmetrics,
    /// Prometheus' text format 0.0.4
    Text,
}

/// `--paging`.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum PagingArg {
    /// Entries of time_list
    Buckets,
    /// Rows
    Rows,
}

fn shard(text: &str) -> Result<ShardArg, String> {
    let expected = "expected INDEX/TOTAL with INDEX less than TOTAL, such as 0/3, or auto/TOTAL; TOTAL is 1000 at most";
    let (index, total) = text.split_once('/').ok_or(expected)?;
    let total = total.parse().ok().filter(|total| (1..=1000).contains(total)).ok_or(expected)?;
    let index = match index {
        "auto" => None,
        index => Some(index.parse().ok().filter(|index| *index < total).ok_or(expected)?),
    };
    Ok(ShardArg { index, total })
}

fn telemetry_path(text: &str) -> Result<String, String> {
    let is_taken = text == "/" || text == "/docs" || text.starts_with("/-/");
    if text.starts_with('/') && !is_taken && !text.contains(['?', '#', ' ']) {
        Ok(text.to_owned())
    } else {
        Err("expected a path such as /metrics, other than /, /docs and what begins with /-/".to_owned())
    }
}

impl Cli {
    /// The flags of the log, whatever the command.
    pub fn log(&self) -> Log {
        match &self.command {
            None => self.serve.log,
            Some(Command::Serve(command)) => command.log,
            Some(Command::Check(command)) => command.log,
            Some(Command::Once(command)) => command.log,
            Some(Command::Simulate(command)) => command.log,
            Some(Command::Demo(command)) => command.log,
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_definition_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn flags_of_serve_work_without_naming_it() {
        let cli =
            Cli::try_parse_from(["x", "--web.listen-address=:1", "--web.listen-address", "[::1]:2", "--config.check"]);
        let cli = cli.unwrap();
        assert!(cli.command.is_none() && cli.serve.check);
        assert_eq!(cli.serve.web.listen_addresses, [":1", "[::1]:2"]);
        let named = Cli::try_parse_from(["x", "serve", "--config.file", "a.yaml"]).unwrap();
        assert!(matches!(named.command, Some(Command::Serve(serve)) if serve.config.file.as_os_str() == "a.yaml"));
        for wrong in [&["x", "--web.telemetry-path=/"][..], &["x", "--nonsense"], &["x", "--log.level=loud"]] {
            assert_eq!(Cli::try_parse_from(wrong).unwrap_err().exit_code(), 2);
        }
    }
}
