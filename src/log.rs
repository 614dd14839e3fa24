//! Log lines: the flags for their level and format, and their way to standard error.

mod line;
mod writer;

use clap::{Args, ValueEnum};
use tracing::level_filters::LevelFilter;
use tracing_subscriber::{Layer, filter::Targets, layer::SubscriberExt, util::SubscriberInitExt};

use self::line::LineLayer;
pub use self::{
    line::LogFormat,
    writer::{FlushOnDrop, LogWriter},
};

/// The log flags. They are the last ones in the `--help` of every command.
#[derive(Args, Clone, Copy, Debug)]
pub struct LogFlags {
    /// Minimum log level
    #[arg(long = "log.level", value_name = "LEVEL", default_value = "info", global = true, display_order = 900)]
    pub level: LogLevel,
    /// Log format
    #[arg(long = "log.format", value_name = "FORMAT", default_value = "logfmt", global = true, display_order = 901)]
    pub format: LogFormat,
}

/// The value of `--log.level`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[expect(missing_docs, reason = "the names are enough")]
pub enum LogLevel {
    Debug,
    Info,
    Warn,
    Error,
}

/// Sends the events of this crate to the writer, one line for each.
pub fn set_up(flags: LogFlags, writer: LogWriter) {
    let level = match flags.level {
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Error => LevelFilter::ERROR,
    };
    // Log only the events of this crate: libraries may log requests, which contain keys.
    let filter = Targets::new().with_target("metastudio_exporter", level);
    let lines = LineLayer { format: flags.format, writer };
    tracing_subscriber::registry().with(lines.with_filter(filter)).init();
}
