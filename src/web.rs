//! The HTTP server: what is known, for Prometheus ([`routes`]) and for people (`page`).
//!
//! No scrape can cause a call to the cloud; all that goes out of here is a request to load the configuration again.

mod negotiate;
mod page;
pub mod routes;
pub mod server;
mod timed_io;

pub use routes::{ReloadRequest, Site};
