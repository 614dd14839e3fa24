//! A token bucket: each request takes one token, and one token is added every interval.

use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use super::config::RateLimit;

/// Allows `burst` requests at once, and then one every interval.
#[derive(Debug)]
pub(super) struct TokenBucket {
    limit: RateLimit,
    /// When the bucket will be full again.
    full_at: Mutex<Option<Instant>>,
}

impl TokenBucket {
    pub fn new(limit: RateLimit) -> Self {
        TokenBucket { limit, full_at: Mutex::new(None) }
    }

    /// Takes a token.
    ///
    /// # Errors
    /// If the bucket is empty: the time until the next token.
    pub fn take(&self, now: Instant) -> Result<(), Duration> {
        let RateLimit { interval, burst } = self.limit;
        let mut full_at = self.full_at.lock();
        let missing = full_at.map_or(Duration::ZERO, |at| at.saturating_duration_since(now));
        let capacity = interval.saturating_mul(burst - 1);
        match missing.checked_sub(capacity) {
            Some(wait) if !wait.is_zero() => Err(wait),
            _ => {
                *full_at = now.checked_add(missing + interval);
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_and_then_one_every_interval() {
        let second = Duration::from_secs(1);
        let bucket = TokenBucket::new(RateLimit { interval: second, burst: 3 });
        let start = Instant::now();
        let taken = |after: Duration| bucket.take(start + after).is_ok();
        assert_eq!([0, 0, 0, 0].map(|_| taken(Duration::ZERO)), [true, true, true, false]);
        assert_eq!(bucket.take(start + second / 4), Err(second * 3 / 4));
        assert_eq!([taken(second), taken(second)], [true, false]);
        assert_eq!(
            [9, 9, 9, 9].map(|after| taken(second * after)),
            [true, true, true, false],
            "no more than the burst"
        );
    }
}
