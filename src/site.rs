//! What is answered at which path: metrics for Prometheus ([`routes`]), a status page for people (`page`), probes.
//!
//! No request can cause a call to the cloud. A request to reload is the only thing that leaves this module.

mod negotiate;
mod page;
pub mod routes;

pub use routes::{ReloadRequest, Routes};
