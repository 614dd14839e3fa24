//! metastudio-exporter: usage of Huawei Cloud MetaStudio as Prometheus metrics.
//!
//! ```sh
//! cargo run --release -- demo    # a simulated cloud and the exporter: no account, no configuration
//! ```
//!
//! Data flows through the modules in this order:
//!
//! ```text
//! config ──► cloud ──► polling ──► snapshot ──► exposition ──► site ──► server
//!                                              (a scrape only reads)
//! usage: the types that these modules share
//! ```
//!
//! [`storage`] keeps files in a directory over restarts. [`cloud`] notes there which keys are on hold. `file` reads
//! files with limits of size and time.
//!
//! 1. [`config`] reads the projects to poll, their credentials and their windows.
//! 2. [`cloud`] calls the API. It signs, paces and retries each request. It returns complete answers or an error.
//! 3. [`usage`] is the domain: windows, rows, units, exact sums. It uses no clock, network or files.
//! 4. [`polling`] polls each project once per interval. One poll asks for all windows.
//! 5. [`snapshot`] holds the latest state of every project. Polls and collectors replace it as a whole.
//! 6. [`exposition`] renders the snapshot as OpenMetrics or text, and [`site`] answers requests with it.
//! 7. [`server`] accepts connections: TLS, users, limits. It serves any hyper service and does not depend on metrics.
//!
//! A collector asks for more than the usage of a poll, at an interval of its own: packages, sub-users, live sessions,
//! the usage of days that have ended. An account has no usage and no polls, only a collector that asks the billing
//! service. [`polling`] runs the polls and the collectors.
//!
//! [`history`] keeps the past in a file over restarts: complete days, and the last usage of each project. It turns days
//! into samples for `backfill` and into tables for `report`.
//!
//! A scrape cannot cause an API call: `exposition`, `site` and `server` cannot import `cloud` or `polling`.
//! `tests/architecture.rs` has the table of allowed imports, and checks every file. `commands` has the commands of the
//! command line in [`cli`]: each creates the parts that it needs and connects them. [`log`] writes the log lines.
//! [`simulator`] is a simulated cloud for the demo and the tests.
//!
//! Further reading in the repository: [CONTRIBUTING](../../../CONTRIBUTING.md) says how to add a metric, window,
//! credential source, API or command. The [contract](../../../docs/contract.md) has each fact about the cloud's API
//! with its source.

pub mod config;
mod file;
pub mod storage;
mod text;

pub mod usage;

pub mod cloud;
pub mod polling;
pub mod snapshot;

pub mod exposition;
pub mod history;
pub mod server;
pub mod site;

pub mod cli;
mod commands;
pub mod log;

pub mod simulator;
