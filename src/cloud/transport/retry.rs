//! How long to wait before the next attempt, and when to give up.

use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};
use tokio::time::Instant;

use crate::cloud::error::Error;

/// A longer `Retry-After` is cut to this: the next poll comes soon enough.
const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(60);

/// The retries that one request has left.
#[derive(Debug)]
pub(crate) struct Retries {
    delays: ExponentialBackoff,
    throttled: ExponentialBackoff,
    deadline: Instant,
}

impl Retries {
    /// At most `max` retries, all before `deadline`.
    pub fn new(max: usize, deadline: Instant) -> Self {
        let backoff = |first, last| {
            ExponentialBuilder::default()
                .with_min_delay(Duration::from_millis(first))
                .with_max_delay(Duration::from_millis(last))
                .with_max_times(max)
                .with_jitter()
                .build()
        };
        // Huawei's advice for APIGW.0308 is to wait 2 to 5 s (contract, 2.3); jitter at most doubles the delays.
        Retries { delays: backoff(250, 4_000), throttled: backoff(2_000, 2_500), deadline }
    }

    /// The wait before the next attempt after `error`; `None` if there must be no further attempt.
    pub fn after(&mut self, error: &Error) -> Option<Duration> {
        if !error.is_transient() {
            return None;
        }
        // Each retry takes one delay from both lists, so the total is `max` and not twice `max`.
        let (delay, throttled) = (self.delays.next()?, self.throttled.next()?);
        let delay = match error {
            Error::Refused(refusal) if refusal.retry_after.is_some() => {
                refusal.retry_after.map(|wait| wait.min(LONGEST_RETRY_AFTER).max(delay))?
            }
            Error::Refused(refusal) if refusal.is_throttled() && refusal.message.contains("1 minute") => {
                LONGEST_RETRY_AFTER
            }
            Error::Refused(refusal) if refusal.is_throttled() => throttled,
            _ => delay,
        };
        // A wait beyond the deadline would only replace this error by a timeout.
        (Instant::now() + delay < self.deadline).then_some(delay)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cloud::error::Refusal;

    fn refused(status: u16, retry_after: Option<u64>, message: &str) -> Error {
        refused_with_code(status, &status.to_string(), retry_after, message)
    }

    fn refused_with_code(status: u16, code: &str, retry_after: Option<u64>, message: &str) -> Error {
        Error::Refused(Box::new(Refusal {
            status,
            code: code.to_owned(),
            message: message.to_owned(),
            request_id: None,
            retry_after: retry_after.map(Duration::from_secs),
            clock_ahead: None,
            advice: |_| None,
        }))
    }

    fn in_a_minute() -> Instant {
        Instant::now() + Duration::from_secs(61)
    }

    #[tokio::test(start_paused = true)]
    async fn the_number_of_retries_is_limited() {
        let mut retries = Retries::new(3, in_a_minute());
        let waits: Vec<Duration> = (0..5).map_while(|_| retries.after(&refused(500, None, ""))).collect();
        assert_eq!(waits.len(), 3);
        for (wait, least) in waits.iter().zip([250, 500, 1_000]) {
            let range = Duration::from_millis(least)..=Duration::from_millis(2 * least);
            assert!(range.contains(wait), "{wait:?} is not in {range:?}");
        }
        assert_eq!(Retries::new(3, in_a_minute()).after(&refused(403, None, "")), None);
        assert_eq!(Retries::new(0, in_a_minute()).after(&refused(500, None, "")), None);
    }

    #[tokio::test(start_paused = true)]
    async fn the_wait_is_as_long_as_the_service_asks() {
        let after = |error| Retries::new(3, in_a_minute()).after(&error);
        assert_eq!(after(refused(429, Some(7), "")), Some(Duration::from_secs(7)));
        assert_eq!(after(refused(503, Some(3600), "")), Some(LONGEST_RETRY_AFTER), "capped");
        assert!(after(refused(429, None, "")).is_some_and(|wait| (2..=5).contains(&wait.as_secs())));
        assert_eq!(after(refused(429, None, "limit:10,time:1 minute")), Some(LONGEST_RETRY_AFTER));
    }

    /// No document of the billing service says with which status it sends the code 0308 (contract, 17).
    #[tokio::test(start_paused = true)]
    async fn the_wait_after_throttling_does_not_depend_on_the_status() {
        for (status, code) in [(429, "429"), (429, "APIGW.0308"), (403, "APIGW.0308"), (500, "APIG.0308")] {
            let after = |message| {
                let error = refused_with_code(status, code, None, message);
                Retries::new(3, in_a_minute()).after(&error)
            };
            assert!(after("").is_some_and(|wait| (2..=5).contains(&wait.as_secs())), "{status} {code}");
            assert_eq!(after("limit:10,time:1 minute"), Some(LONGEST_RETRY_AFTER), "{status} {code}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn no_retry_is_made_after_the_deadline() {
        let mut retries = Retries::new(3, Instant::now() + Duration::from_secs(5));
        assert_eq!(retries.after(&refused(429, Some(6), "")), None);
    }
}
