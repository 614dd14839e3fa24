//! The HTTP server: what is known, for Prometheus ([`routes`]) and for people (`page`).
//!
//! Nothing here can cause a call to the cloud.

mod negotiate;
mod page;
pub mod routes;
pub mod server;
mod timed_io;

pub use routes::Site;
