//! The past: the usage of whole local days, kept over restarts, as samples with timestamps and as a table.
//!
//! - [`days`] has the known days of a project, and says which sums of days can be trusted;
//! - [`ledger`] keeps the days in a file;
//! - [`asking`] asks the cloud for days that are not in the ledger;
//! - [`samples`] turns days into the series that the exporter would have exposed;
//! - [`report`] writes days as a table.
//!
//! A day is in the ledger with its complete answer, or not at all.

pub mod asking;
pub mod days;
pub mod ledger;
pub mod report;
pub mod samples;
