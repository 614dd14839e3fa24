//! The request rate of one account in one region, shared by all callers: the service throttles a tenant, not a
//! connection.
//!
//! Callers queue, and only the head of the queue waits for the next slot. So callers are served in order, and a caller
//! that gives up leaves no gap. (A common rate-limiting crate would wake all waiters at once, in no order.)

use std::time::Duration;

use parking_lot::Mutex;
use tokio::{
    sync::Semaphore,
    time::{Instant, sleep_until},
};

/// Spaces the requests of one account in one region.
#[derive(Debug)]
pub struct Throttle {
    spacing: Duration,
    /// Held by the head of the queue; tokio's semaphores are fair.
    head: Semaphore,
    /// Start of the next free slot.
    next: Mutex<Option<Instant>>,
}

impl Throttle {
    /// A throttle that admits `requests_per_second`, evenly spaced.
    pub fn new(requests_per_second: f64) -> Self {
        let spacing = Duration::try_from_secs_f64(1.0 / requests_per_second).unwrap_or(Duration::ZERO);
        Throttle { spacing, head: Semaphore::new(1), next: Mutex::new(None) }
    }

    /// Waits for the next slot. A caller that gives up while waiting takes none. Otherwise, after a reload that ends
    /// many polls, the next polls would wait for the slots of the ended ones.
    pub async fn turn(&self) {
        let _head = self.head.acquire().await;
        let now = Instant::now();
        let slot = self.next.lock().map_or(now, |next| next.max(now));
        if slot > now {
            // Only if needed: a timer takes at least a millisecond.
            sleep_until(slot).await;
        }
        *self.next.lock() = Some(slot + self.spacing);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tokio::{task::JoinSet, time::timeout};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn slots_are_evenly_spaced_and_in_order() {
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
        assert_eq!(idle.elapsed(), Duration::from_millis(200), "idle time does not allow a burst");
    }

    #[tokio::test(start_paused = true)]
    async fn a_caller_that_gives_up_takes_no_slot() {
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
