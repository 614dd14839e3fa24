//! The reasons why a poll or a run of a collector fails: all values of the label `reason` of
//! `metastudio_poll_failures_total` and `metastudio_collector_failures_total`.

use std::fmt;

/// The reason why a poll or a run of a collector failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reason {
    /// The key or token was refused (HTTP 401), cannot be read, or is not used for a while after a refusal.
    Auth,
    /// The key works but lacks the permission (HTTP 403).
    Forbidden,
    /// The service rejected the request (other HTTP 4xx), or IAM gave no id for the project or account.
    BadRequest,
    /// Too many requests (HTTP 429).
    Throttled,
    /// The service failed (HTTP 5xx).
    Server,
    /// A request, a poll or a run ran out of time.
    Timeout,
    /// No answer: name resolution, connection or TLS failed, or the connection broke.
    Network,
    /// An answer that the API does not document, such as HTML, an empty body, a redirect or broken JSON; or one beyond
    /// a bound.
    Malformed,
    /// Answers that contradict each other or the request, so that the sums cannot be trusted.
    Inconsistent,
    /// The directory of `--storage.path` cannot be used.
    Storage,
    /// A defect of the exporter itself: the poll or run panicked.
    Internal,
}

impl Reason {
    /// Every reason, in the order in which they are exported.
    pub const ALL: [Reason; 11] = [
        Reason::Auth,
        Reason::Forbidden,
        Reason::BadRequest,
        Reason::Throttled,
        Reason::Server,
        Reason::Timeout,
        Reason::Network,
        Reason::Malformed,
        Reason::Inconsistent,
        Reason::Storage,
        Reason::Internal,
    ];

    /// The label value.
    pub fn as_str(self) -> &'static str {
        match self {
            Reason::Auth => "auth",
            Reason::Forbidden => "forbidden",
            Reason::BadRequest => "bad_request",
            Reason::Throttled => "throttled",
            Reason::Server => "server",
            Reason::Timeout => "timeout",
            Reason::Network => "network",
            Reason::Malformed => "malformed",
            Reason::Inconsistent => "inconsistent",
            Reason::Storage => "storage",
            Reason::Internal => "internal",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
