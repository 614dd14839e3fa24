//! The past: the usage of whole local days, kept over restarts, as samples with timestamps and as a table.
//!
//! - [`days`] has the known days of a project, and says which sums of days can be trusted;
//! - [`ledger`] keeps the days in a file;
//! - [`latest`] is the last complete usage of each project, in the same file;
//! - [`samples`] turns days into the series that the exporter would have exposed;
//! - [`report`] writes days as a table.
//!
//! A day is in the ledger with its complete answer, or not at all.

pub mod days;
pub mod latest;
pub mod ledger;
pub mod report;
pub mod samples;
mod stored;
