//! The HTTP server: listeners, TLS, client certificates, users, limits and time-outs, as the web configuration file says.

mod basic_auth;
mod client_certificate;
pub mod config;
mod listen;
mod policy;
mod rate_limit;
mod timed_io;
mod tls;

pub use self::{
    listen::{CONNECTIONS, LIMITS, Limits, Server, bind},
    policy::{Denied, WebPolicy},
};
