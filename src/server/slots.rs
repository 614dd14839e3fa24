//! Slots for connections. A listener has a limited number of slots. If all slots are taken, the connection that has
//! been without a request for the longest time is closed, and the new connection gets its slot. Networks with more
//! than their share of the slots lose connections first. So a burst of connections from one network does not close the
//! connections of other clients.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use parking_lot::Mutex;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, sleep, timeout},
};
use tokio_util::sync::CancellationToken;

use super::{client_limit::network, limits::Limits};

/// Pause between two searches for an idle connection, while all connections have a request.
const SEARCH_INTERVAL: Duration = Duration::from_millis(100);

/// The share of one network is the number of all slots, divided by this number.
const SHARE_DIVISOR: usize = 4;

/// Minimum time between two warnings.
const WARNING_INTERVAL: Duration = Duration::from_secs(60);

/// The connections of a server, for its metrics. Clones count the same connections.
#[derive(Clone, Debug, Default)]
pub struct Connections {
    listeners: Arc<Mutex<Vec<Arc<Slots>>>>,
}

/// Numbers of connections, on all listeners together.
#[derive(Clone, Copy, Debug, Default)]
pub struct ConnectionCounts {
    /// Maximum number of open connections.
    pub limit: usize,
    /// Open connections without a request.
    pub idle: usize,
    /// Open connections with a request.
    pub active: usize,
    /// Connections that were closed for new ones.
    pub closed: u64,
}

/// The slots of one listener.
#[derive(Debug)]
pub(super) struct Slots {
    limit: usize,
    permits: Arc<Semaphore>,
    taken: Mutex<Vec<Arc<ConnectionUsage>>>,
    /// Number of connections that were closed for new ones.
    closed: AtomicU64,
    last_warning: Mutex<Option<Instant>>,
}

/// The network of a connection, its number of current requests, and the time since the last one. Requests of HTTP/2
/// overlap.
#[derive(Debug)]
pub(super) struct ConnectionUsage {
    network: IpAddr,
    state: Mutex<RequestState>,
    close: CancellationToken,
}

#[derive(Debug)]
struct RequestState {
    requests: usize,
    /// The end of the last request, or the start of the connection. Refused requests do not count.
    idle_since: Instant,
    /// Whether a request has been answered. Refused requests do not count.
    has_answered: bool,
}

/// The slot of one connection. Dropping this value frees the slot.
pub(super) struct Slot {
    pub usage: Arc<ConnectionUsage>,
    slots: Arc<Slots>,
    _permit: OwnedSemaphorePermit,
}

/// One request. Dropping this value ends the request.
pub(super) struct ActiveRequest {
    usage: Arc<ConnectionUsage>,
    /// Whether the policy has refused the request. A refused request does not make the idle time of its connection
    /// start again.
    pub is_refused: bool,
}

impl Connections {
    /// Adds a listener with this number of slots.
    pub(super) fn add(&self, limit: usize) -> Arc<Slots> {
        let slots = Arc::new(Slots::new(limit));
        self.listeners.lock().push(Arc::clone(&slots));
        slots
    }

    /// The current numbers.
    pub fn counts(&self) -> ConnectionCounts {
        let mut counts = ConnectionCounts::default();
        for slots in &*self.listeners.lock() {
            let taken = slots.taken.lock();
            let idle = taken.iter().filter(|usage| usage.idle_since().is_some()).count();
            counts.limit += slots.limit;
            counts.idle += idle;
            counts.active += taken.len() - idle;
            counts.closed += slots.closed.load(Ordering::Relaxed);
        }
        counts
    }
}

impl Slots {
    fn new(limit: usize) -> Self {
        let permits = Arc::new(Semaphore::new(limit));
        Slots { limit, permits, taken: Mutex::default(), closed: AtomicU64::new(0), last_warning: Mutex::default() }
    }

    /// Takes a slot for a new connection of a client. If all connections have a request, waits until one of them ends.
    pub async fn take(self: &Arc<Self>, client: IpAddr) -> Slot {
        let mut free = Arc::clone(&self.permits).try_acquire_owned().ok();
        let permit = loop {
            if let Some(permit) = free {
                break permit;
            }
            self.close_longest_idle();
            let next = timeout(SEARCH_INTERVAL, Arc::clone(&self.permits).acquire_owned()).await;
            free = next.ok().and_then(Result::ok);
        };
        let state = Mutex::new(RequestState { requests: 0, idle_since: Instant::now(), has_answered: false });
        let usage = Arc::new(ConnectionUsage { network: network(client), state, close: CancellationToken::new() });
        self.taken.lock().push(Arc::clone(&usage));
        Slot { usage, slots: Arc::clone(self), _permit: permit }
    }

    /// Closes the connection that has been without a request for the longest time. Connections of networks with more
    /// than their share of the slots are closed before all others. A request begins when its head is complete.
    pub fn close_longest_idle(&self) {
        self.warn();
        let mut taken = self.taken.lock();
        let mut counts: HashMap<IpAddr, usize> = HashMap::new();
        taken.iter().for_each(|usage| *counts.entry(usage.network).or_default() += 1);
        let is_within_share = |usage: &ConnectionUsage| {
            counts.get(&usage.network).is_none_or(|count| *count <= self.limit / SHARE_DIVISOR)
        };
        let idle = taken
            .iter()
            .enumerate()
            .filter_map(|(index, usage)| Some((is_within_share(usage), usage.idle_since()?, index)));
        if let Some((.., index)) = idle.min() {
            taken.swap_remove(index).close.cancel();
            self.closed.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn warn(&self) {
        let mut last = self.last_warning.lock();
        if last.is_none_or(|last| last.elapsed() >= WARNING_INTERVAL) {
            *last = Some(Instant::now());
            tracing::warn!(limit = self.limit, "too many connections: idle ones are closed for new ones");
        }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.slots.taken.lock().retain(|usage| !Arc::ptr_eq(usage, &self.usage));
    }
}

impl ConnectionUsage {
    /// Returns when the connection must be closed for a new one.
    pub async fn closed(&self) {
        self.close.cancelled().await;
    }

    /// A request has begun.
    pub fn begin(&self) {
        self.state.lock().requests += 1;
    }

    /// A request has ended.
    pub fn end(&self) {
        let mut state = self.state.lock();
        state.requests = state.requests.saturating_sub(1);
        state.idle_since = Instant::now();
        state.has_answered = true;
    }

    /// A request has ended with a refusal.
    fn end_refused(&self) {
        let mut state = self.state.lock();
        state.requests = state.requests.saturating_sub(1);
    }

    /// Returns when there has been no request for longer than the limits allow.
    pub async fn idle_for_too_long(&self, limits: Limits) {
        while let Some(rest) = self.rest(limits) {
            sleep(rest).await;
        }
    }

    /// The remaining time for which the connection may stay idle; `None` if no time remains.
    fn rest(&self, limits: Limits) -> Option<Duration> {
        let state = self.state.lock();
        if state.requests > 0 {
            // Answers have their own time limit. The idle time is checked again after `limits.head`.
            return Some(limits.head);
        }
        let limit = if state.has_answered { limits.idle } else { limits.head };
        limit.checked_sub(state.idle_since.elapsed())
    }

    /// `None` while a request is answered.
    fn idle_since(&self) -> Option<Instant> {
        let state = self.state.lock();
        (state.requests == 0).then_some(state.idle_since)
    }
}

impl ActiveRequest {
    pub fn new(usage: &Arc<ConnectionUsage>) -> Self {
        usage.begin();
        ActiveRequest { usage: Arc::clone(usage), is_refused: false }
    }
}

impl Drop for ActiveRequest {
    fn drop(&mut self) {
        if self.is_refused { self.usage.end_refused() } else { self.usage.end() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(last: u8) -> IpAddr {
        [192, 0, 2, last].into()
    }

    /// Takes slots one after the other, for clients whose addresses end with these numbers. Returns the indexes of the
    /// connections that are closed at the end.
    async fn closed(limit: usize, clients: &[u8]) -> Vec<usize> {
        let slots = Arc::new(Slots::new(limit));
        let mut taken: Vec<Option<Slot>> = Vec::new();
        for last in clients {
            let taking = tokio::spawn({
                let (slots, client) = (Arc::clone(&slots), client(*last));
                async move { slots.take(client).await }
            });
            while !taking.is_finished() {
                tokio::time::advance(Duration::from_millis(1)).await;
                // A closed connection frees its slot.
                let is_closed = |slot: &Slot| slot.usage.close.is_cancelled();
                taken.iter_mut().for_each(|slot| drop(slot.take_if(|slot| is_closed(slot))));
            }
            taken.push(Some(taking.await.unwrap()));
        }
        taken.iter().enumerate().filter(|(_, slot)| slot.is_none()).map(|(index, _)| index).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn a_burst_of_one_network_closes_its_own_connections() {
        assert_eq!(closed(8, &[1, 2, 2, 2, 2, 2, 2, 2, 2, 2]).await, [1, 2], "not the first one");
    }

    #[tokio::test(start_paused = true)]
    async fn without_such_a_network_the_longest_idle_connection_is_closed() {
        assert_eq!(closed(8, &[1, 2, 3, 4, 5, 6, 7, 8, 9, 1, 1]).await, [0, 1, 2]);
    }
}
