//! One poll in a separate task, and its line in the log.

use std::{future::Future, sync::Arc, time::Duration};

use chrono::{DateTime, Utc};
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;

use super::{collecting::Collecting, poller::Poller};
use crate::{
    snapshot::{Failure, Moment, PollOutcome},
    usage::Reason,
};

/// The poller of a project: a [`Poller`], or a test's substitute.
pub trait Pollable: Send + Sync + 'static {
    /// The project's name.
    fn name(&self) -> &str;
    /// Name of the group that shares one request rate. The polls of a group are spread over the interval.
    fn group(&self) -> String;
    /// The time from one poll to the next.
    fn interval(&self) -> Duration;
    /// The collectors that run beside the polls.
    fn collectors(&self) -> &[Arc<Collecting>] {
        &[]
    }
    /// Polls once, as of `now`.
    fn poll(&self, now: DateTime<Utc>) -> impl Future<Output = PollOutcome> + Send;
}

impl Pollable for Poller {
    fn name(&self) -> &str {
        &self.project().name
    }

    fn group(&self) -> String {
        format!("{}@{}", self.project().credentials, self.project().endpoint.host)
    }

    fn interval(&self) -> Duration {
        self.project().interval
    }

    fn collectors(&self) -> &[Arc<Collecting>] {
        Poller::collectors(self)
    }

    fn poll(&self, now: DateTime<Utc>) -> impl Future<Output = PollOutcome> + Send {
        Poller::poll(self, now)
    }
}

/// Polls in a separate task, so that a panic fails this poll only.
pub(super) async fn poll_isolated<P: Pollable>(poller: Arc<P>, now: Moment) -> PollOutcome {
    let start = Instant::now();
    let task = AbortOnDropHandle::new(tokio::spawn(async move { poller.poll(now.utc).await }));
    let outcome = task.await.unwrap_or_else(|error| {
        let message = format!("a defect of the exporter, please report it: {error}");
        PollOutcome::new(now.utc, start.elapsed(), Err(Failure { reason: Reason::Internal, message }))
    });
    PollOutcome { at: now, ..outcome }
}

/// Logs a poll. A success after a success is logged at level debug only.
pub(super) fn log_poll(project: &str, outcome: &PollOutcome, was_failing: bool) {
    let seconds = outcome.duration.as_secs_f64();
    let (requests, retries) = (outcome.counters.requests(), outcome.counters.retries());
    match &outcome.result {
        Err(failure) => tracing::warn!(
            project,
            reason = failure.reason.as_str(),
            requests,
            retries,
            duration = seconds,
            error = failure.message,
            "poll failed"
        ),
        Ok(_) if was_failing => tracing::info!(project, requests, duration = seconds, "poll succeeded again"),
        Ok(_) => tracing::debug!(project, requests, retries, duration = seconds, "poll succeeded"),
    }
}
