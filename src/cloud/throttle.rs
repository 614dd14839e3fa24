//! A rate that all callers keep together: the service throttles a tenant, not a connection.
//!
//! Callers reserve slots on one evenly spaced line and sleep until theirs: first come, first served, however many
//! wait. (The rate-limiting crate at hand wakes all waiters at once and has no order among them.)

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::time::{Instant, sleep_until};

/// The pace of one account in one region.
#[derive(Debug)]
pub struct Throttle {
    spacing: Duration,
    /// When the next free slot begins. A plain mutex, because it is held for two additions and never across an await.
    next: Mutex<Option<Instant>>,
}

impl Throttle {
    /// A throttle that lets through so many requests a second, at even distances.
    pub fn new(requests_per_second: f64) -> Self {
        let spacing = Duration::try_from_secs_f64(1.0 / requests_per_second).unwrap_or(Duration::ZERO);
        Throttle { spacing, next: Mutex::new(None) }
    }

    /// Waits for the caller's turn. A caller that gives up while waiting leaves its slot unused.
    pub async fn turn(&self) {
        let slot = {
            let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
            let now = Instant::now();
            let slot = next.map_or(now, |next| next.max(now));
            *next = Some(slot + self.spacing);
            slot
        };
        sleep_until(slot).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn turns_come_in_order_and_evenly() {
        let throttle = Throttle::new(5.0);
        let start = Instant::now();
        let waits = (0..4).map(|_| async {
            throttle.turn().await;
            start.elapsed().as_millis()
        });
        let mut turns = Vec::new();
        for wait in waits {
            turns.push(wait.await);
        }
        assert_eq!(turns, [0, 200, 400, 600]);

        tokio::time::sleep(Duration::from_secs(60)).await;
        let idle = Instant::now();
        throttle.turn().await;
        assert_eq!(idle.elapsed(), Duration::ZERO, "an idle account does not wait");
        throttle.turn().await;
        assert_eq!(idle.elapsed(), Duration::from_millis(200), "nor has it saved up a burst");
    }
}
