//! Time limits of a connection.

use std::time::Duration;

/// Time limits of a connection, by phase. The defaults suit Prometheus: few clients, a scrape every few seconds or
/// minutes.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// From the start of a connection, or the first byte of a request, to the end of the request's head.
    pub head: Duration,
    /// Between two requests. Longer than usual scrape intervals, so that connections are reused.
    pub idle: Duration,
    /// From the end of a request's head to the last byte of the answer.
    pub total: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Limits { head: Duration::from_secs(10), idle: Duration::from_secs(180), total: Duration::from_secs(60) }
    }
}
