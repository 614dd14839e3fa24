//! Runs every poll and every collector once.

use std::sync::Arc;

use tokio::{sync::Semaphore, task::JoinSet};

use super::{
    collecting::Collecting,
    pollable::{Pollable, log_poll, poll_isolated},
};
use crate::snapshot::{Moment, Writer};

/// Polls every project once, `concurrency` projects at a time, and runs their collectors. Then runs the collectors of
/// the accounts. Returns whether all polls succeeded.
pub async fn run<P: Pollable>(
    pollers: Vec<Arc<P>>,
    accounts: Vec<Arc<Collecting>>,
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
            let outcome = poll_isolated(Arc::clone(&poller), clock()).await;
            let mut collected = Vec::new();
            for collecting in poller.collectors() {
                let outcome = Arc::clone(collecting).run(clock()).await;
                collecting.log(&outcome);
                collected.push(outcome);
            }
            (index, poller, outcome, collected)
        });
    }
    let mut all_succeeded = true;
    while let Some(Ok((index, poller, outcome, collected))) = polls.join_next().await {
        all_succeeded &= outcome.result.is_ok();
        log_poll(poller.name(), &outcome, false);
        writer.record(index, outcome, None);
        collected.into_iter().for_each(|outcome| writer.record_collector(index, outcome));
    }
    // Accounts come last: a key that only the billing service refuses must not be on hold for projects.
    let mut runs = JoinSet::new();
    for (index, collecting) in accounts.into_iter().enumerate() {
        let slots = Arc::clone(&slots);
        runs.spawn(async move {
            let _slot = slots.acquire().await;
            let outcome = Arc::clone(&collecting).run(clock()).await;
            collecting.log(&outcome);
            (index, outcome)
        });
    }
    while let Some(Ok((index, outcome))) = runs.join_next().await {
        writer.record_account(index, outcome);
    }
    // A project whose task panicked has not been recorded.
    all_succeeded && writer.is_ready()
}
