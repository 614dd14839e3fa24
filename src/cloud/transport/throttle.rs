//! A rate that all callers keep together: the service throttles a tenant, not a connection.
//!
//! Callers stand in one line, and only its head waits for the next slot: first come, first served, however many wait,
//! and who gives up leaves no gap. (The rate-limiting crate at hand wakes all waiters at once and has no order among
//! them.)

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{
    sync::Semaphore,
    time::{Instant, sleep_until},
};

/// The pace of one account in one region.
#[derive(Debug)]
pub struct Throttle {
    spacing: Duration,
    /// Held by the head of the line; tokio's semaphores are fair.
    head: Semaphore,
    /// When the next slot begins. A plain mutex, because it is held to read or set it and never across an await.
    next: Mutex<Option<Instant>>,
}

impl Throttle {
    /// A throttle that lets through so many requests a second, at even distances.
    pub fn new(requests_per_second: f64) -> Self {
        let spacing = Duration::try_from_secs_f64(1.0 / requests_per_second).unwrap_or(Duration::ZERO);
        Throttle { spacing, head: Semaphore::new(1), next: Mutex::new(None) }
    }

    /// Waits for the caller's turn. A caller that gives up while waiting takes no slot: a reload that ends many polls
    /// must not slow down those that follow.
    pub async fn turn(&self) {
        // The semaphore is never closed.
        let _head = self.head.acquire().await;
        let now = Instant::now();
        let slot = self.next().map_or(now, |next| next.max(now));
        if slot > now {
            // Not for a slot that is here already: a timer takes a millisecond at the least.
            sleep_until(slot).await;
        }
        *self.next() = Some(slot + self.spacing);
    }

    fn next(&self) -> MutexGuard<'_, Option<Instant>> {
        self.next.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tokio::{task::JoinSet, time::timeout};

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

    #[tokio::test(start_paused = true)]
    async fn who_gives_up_takes_no_turn() {
        let throttle = Arc::new(Throttle::new(5.0));
        let start = Instant::now();
        throttle.turn().await;
        let give_up = |throttle: Arc<Throttle>| async move {
            timeout(Duration::from_millis(100), throttle.turn()).await.is_err()
        };
        let given_up: JoinSet<bool> = (0..100).map(|_| give_up(Arc::clone(&throttle))).collect();
        assert!(!given_up.join_all().await.contains(&false));
        throttle.turn().await;
        assert_eq!(start.elapsed(), Duration::from_millis(200));
    }
}
