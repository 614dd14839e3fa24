//! The limits of a server.

use std::time::Duration;

/// The number of connections, and their time limits by phase. The defaults suit Prometheus: few clients, a scrape every
/// few seconds or minutes.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// The maximum number of connections for each listener. If more clients connect, the connections that have been
    /// without a request for the longest time are closed. The connections of a network that has more than a quarter of
    /// the maximum are closed first.
    pub connections: usize,
    /// From the start of a connection, or the first byte of a request, to the end of the request's head.
    pub head: Duration,
    /// Between two requests. Longer than usual scrape intervals, so that connections are reused.
    pub idle: Duration,
    /// From the end of a request's head to the last byte of the answer.
    pub total: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            connections: 512,
            head: Duration::from_secs(10),
            idle: Duration::from_secs(180),
            total: Duration::from_secs(60),
        }
    }
}
