//! The HTTP server: what is known, for Prometheus ([`routes`]) and for people (`page`), behind a [`guard`] that knows
//! about TLS, users and rates.
//!
//! No scrape can cause a call to the cloud; all that goes out of here is a request to load the configuration again.

mod auth;
mod client_certificate;
pub mod guard;
mod negotiate;
mod page;
mod rate_limit;
pub mod routes;
pub mod server;
mod timed_io;
mod tls;

pub use guard::Guard;
pub use routes::{ReloadRequest, Site};
