//! Polls every project once.

use std::sync::Arc;

use tokio::{sync::Semaphore, task::JoinSet};

use super::pollable::{Pollable, log_poll, poll_isolated};
use crate::snapshot::{Moment, Writer};

/// Polls every project once, `concurrency` at a time, and returns whether all polls succeeded.
pub async fn run<P: Pollable>(
    pollers: Vec<Arc<P>>,
    concurrency: usize,
    mut writer: Writer,
    clock: fn() -> Moment,
) -> bool {
    let slots = Arc::new(Semaphore::new(concurrency));
    let mut polls = JoinSet::new();
    for (index, poller) in pollers.into_iter().enumerate() {
        let slots = Arc::clone(&slots);
        polls.spawn(async move {
            let _slot = slots.acquire().await;
            (index, Arc::clone(&poller), poll_isolated(poller, clock()).await)
        });
    }
    let mut all_succeeded = true;
    while let Some(Ok((index, poller, outcome))) = polls.join_next().await {
        all_succeeded &= outcome.result.is_ok();
        log_poll(poller.name(), &outcome, false);
        writer.record(index, outcome, None);
    }
    // A project whose task panicked has not been recorded.
    all_succeeded && writer.is_ready()
}
