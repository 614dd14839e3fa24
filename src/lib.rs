//! metastudio-exporter: usage of Huawei Cloud MetaStudio as Prometheus metrics.
//!
//! Data flows through the rooms in the order in which they stand below:
//!
//! 1. [`config`] says which projects to poll, with which keys, over which windows of time.
//! 2. [`polling`] decides when: each project once per interval, on its own, whatever happens to the others.
//! 3. [`cloud`] asks ShowUsageData for a window, signs, retries, pages, and hands back rows, complete or not at all.
//! 4. [`usage`] is what those rows mean: windows, units, exact sums.
//! 5. [`snapshot`] keeps what is known of every project: immutable, swapped whole.
//! 6. [`exposition`] writes the snapshot down as OpenMetrics or text; [`site`] hands that to whoever scrapes.
//!
//! A scrape only reads: `site` and `exposition` cannot reach the cloud. [`commands`] wires the rooms together for
//! each subcommand of [`cli`], and [`simulator`] is a cloud to try them on.

pub mod cli;
pub mod commands;
pub mod config;

pub mod usage;

pub mod cloud;
pub mod polling;
pub mod snapshot;

pub mod exposition;
pub mod server;
pub mod site;

pub mod simulator;
