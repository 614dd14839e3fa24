//! The commands. Each command has a file with its flags and the code that runs it.
//!
//! Only this module imports all others: a command creates the parts that it needs and connects them.

pub(crate) mod backfill;
pub(crate) mod check;
mod configuration;
pub(crate) mod demo;
pub(crate) mod manual;
pub(crate) mod once;
mod past;
pub(crate) mod report;
pub(crate) mod serve;
mod signals;
pub(crate) mod simulate;

use std::io::Write;

use anyhow::Context;

/// Writes to standard output. A closed pipe is an error, where `println!` would panic.
fn print(text: &str) -> anyhow::Result<()> {
    std::io::stdout().write_all(text.as_bytes()).context("cannot write to standard output")
}
