//! Keeps a fetched value, and fetches it once for all callers.
//!
//! A value is renewed some time before it expires. The old value stays in use meanwhile. If the renewal fails, the old
//! value stays in use until it expires. Each fetch runs as a task of its own, so its result is kept even if the caller
//! gives up.

use std::{sync::Arc, time::Duration};

use parking_lot::Mutex;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::Instant,
};

use crate::cloud::{error::Error, transport::task::run_to_end};

/// The minimum time between two fetches. After a failed fetch, callers without a valid value get its error during this
/// time.
pub(crate) const PAUSE: Duration = Duration::from_secs(60);

/// A value that is fetched when it is needed.
#[derive(Debug)]
pub(crate) struct Cache<T> {
    /// The value is renewed this long before it expires.
    margin: Duration,
    /// Whether a failure is kept for [`PAUSE`]. Otherwise, the next caller may fetch at once.
    is_failure_kept: fn(&Error) -> bool,
    state: Mutex<CacheState<T>>,
    /// One permit, held by the task that fetches.
    fetching: Arc<Semaphore>,
}

#[derive(Debug)]
struct CacheState<T> {
    current: Option<Current<T>>,
    /// Start of the current fetch, or else end of the last one. `None` allows a fetch at once.
    fetched: Option<Instant>,
    /// The error of the last fetch.
    failure: Option<Arc<Error>>,
}

#[derive(Debug)]
struct Current<T> {
    value: T,
    /// `None` means never.
    expires: Option<Instant>,
}

impl<T> Default for CacheState<T> {
    fn default() -> Self {
        CacheState { current: None, fetched: None, failure: None }
    }
}

/// A value, and how long it is valid; `None` means for ever.
type Fetched<T> = (T, Option<Duration>);

impl<T: Clone + Send + 'static> Cache<T> {
    pub fn new(margin: Duration, is_failure_kept: fn(&Error) -> bool) -> Arc<Self> {
        Arc::new(Cache { margin, is_failure_kept, state: Mutex::default(), fetching: Arc::new(Semaphore::new(1)) })
    }

    /// The value. Fetches it if there is none; renews it in the background if it is about to expire.
    ///
    /// # Errors
    /// The error of the last fetch, if there is no valid value.
    pub async fn get<F>(self: &Arc<Self>, fetch: impl FnOnce() -> F) -> Result<T, Arc<Error>>
    where
        F: Future<Output = Result<Fetched<T>, Error>> + Send + 'static,
    {
        if let Some(value) = self.valid_for(self.margin) {
            return Ok(value);
        }
        let valid = self.valid_for(Duration::ZERO);
        let permit = match (Arc::clone(&self.fetching).try_acquire_owned(), &valid) {
            (Ok(permit), _) => Some(permit),
            (Err(_), Some(_)) => None,
            (Err(_), None) => Arc::clone(&self.fetching).acquire_owned().await.ok(),
        };
        let fetching = permit.filter(|_| self.may_fetch()).map(|permit| Arc::clone(self).start(fetch(), permit));
        // Another caller may have fetched a value while this caller waited.
        match (valid.or_else(|| self.valid_for(Duration::ZERO)), fetching) {
            // A fetch that was started goes on in the background.
            (Some(value), _) => Ok(value),
            (None, Some(fetching)) => fetching.await,
            (None, None) => Err(self.failure()),
        }
    }

    /// The value that was fetched last, even if it has expired.
    pub fn last(&self) -> Option<T> {
        self.state.lock().current.as_ref().map(|current| current.value.clone())
    }

    /// Forgets the value and the last failure: the next caller fetches.
    pub fn forget(&self) {
        *self.state.lock() = CacheState::default();
    }

    /// Forgets the value because the service refused it, unless it was fetched a moment ago.
    pub fn reject(&self) {
        if self.may_fetch() {
            self.forget();
        }
    }

    /// Starts a task that fetches and keeps the result. No other caller fetches meanwhile.
    fn start(
        self: Arc<Self>,
        fetch: impl Future<Output = Result<Fetched<T>, Error>> + Send + 'static,
        permit: OwnedSemaphorePermit,
    ) -> impl Future<Output = Result<T, Arc<Error>>> + Send + 'static {
        self.state.lock().fetched = Some(Instant::now());
        run_to_end(async move {
            let result = self.keep(fetch.await);
            drop(permit);
            result
        })
    }

    fn keep(&self, result: Result<Fetched<T>, Error>) -> Result<T, Arc<Error>> {
        let now = Instant::now();
        let valid = self.valid_for(Duration::ZERO);
        let mut state = self.state.lock();
        match result {
            Ok((value, lifetime)) => {
                let expires = lifetime.map(|lifetime| now + lifetime);
                let current = Current { value: value.clone(), expires };
                *state = CacheState { current: Some(current), fetched: Some(now), failure: None };
                Ok(value)
            }
            Err(error) => {
                if valid.is_some() {
                    let error = error.report();
                    tracing::warn!(error, "credentials could not be renewed; the old ones are still valid");
                }
                state.fetched = (self.is_failure_kept)(&error).then_some(now);
                let error = Arc::new(error);
                state.failure = Some(Arc::clone(&error));
                Err(error)
            }
        }
    }

    fn valid_for(&self, margin: Duration) -> Option<T> {
        let state = self.state.lock();
        let is_valid = |current: &&Current<T>| current.expires.is_none_or(|expires| Instant::now() + margin < expires);
        state.current.as_ref().filter(is_valid).map(|current| current.value.clone())
    }

    fn may_fetch(&self) -> bool {
        self.state.lock().fetched.is_none_or(|fetched| fetched.elapsed() >= PAUSE)
    }

    fn failure(&self) -> Arc<Error> {
        let failure = self.state.lock().failure.clone();
        failure.unwrap_or_else(|| Arc::new(Error::Credentials("the source gave no value".into())))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

    use tokio::time::{advance, sleep, timeout};

    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);
    const MARGIN: Duration = Duration::from_secs(600);
    const SECOND: Duration = Duration::from_secs(1);

    /// A source that takes a second for each fetch. The n-th fetch returns the number n, or an error.
    #[derive(Default)]
    struct Source {
        fetches: AtomicUsize,
        fails: AtomicBool,
    }

    impl Source {
        async fn fetch(self: Arc<Self>, lifetime: Option<Duration>) -> Result<Fetched<usize>, Error> {
            let number = self.fetches.fetch_add(1, Ordering::Relaxed) + 1;
            sleep(SECOND).await;
            if self.fails.load(Ordering::Relaxed) {
                return Err(Error::Timeout("down".to_owned()));
            }
            Ok((number, lifetime))
        }

        fn fetches(&self) -> usize {
            self.fetches.load(Ordering::Relaxed)
        }

        fn fail(&self, fails: bool) {
            self.fails.store(fails, Ordering::Relaxed);
        }
    }

    async fn get_for(
        cache: &Arc<Cache<usize>>,
        source: &Arc<Source>,
        lifetime: Option<Duration>,
    ) -> Result<usize, String> {
        let value = cache.get(|| Arc::clone(source).fetch(lifetime)).await;
        value.map_err(|error| error.to_string())
    }

    async fn get(cache: &Arc<Cache<usize>>, source: &Arc<Source>) -> Result<usize, String> {
        get_for(cache, source, Some(HOUR)).await
    }

    fn cache_and_source() -> (Arc<Cache<usize>>, Arc<Source>) {
        (Cache::new(MARGIN, |_| true), Arc::default())
    }

    #[tokio::test(start_paused = true)]
    async fn a_value_is_used_while_it_is_renewed() {
        let (cache, source) = cache_and_source();
        assert_eq!(get(&cache, &source).await, Ok(1));
        advance(HOUR - MARGIN - SECOND).await;
        assert_eq!(get(&cache, &source).await, Ok(1));
        assert_eq!(source.fetches(), 1);
        advance(SECOND).await;
        let start = Instant::now();
        assert_eq!(get(&cache, &source).await, Ok(1), "renewed in the background");
        assert_eq!(start.elapsed(), Duration::ZERO);
        sleep(2 * SECOND).await;
        assert_eq!(get(&cache, &source).await, Ok(2));
        assert_eq!(source.fetches(), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn a_value_without_expiry_is_fetched_once() {
        let (cache, source) = cache_and_source();
        assert_eq!((get_for(&cache, &source, None).await, cache.last()), (Ok(1), Some(1)));
        advance(1000 * HOUR).await;
        assert_eq!(get_for(&cache, &source, None).await, Ok(1));
        cache.forget();
        assert_eq!(cache.last(), None);
        assert_eq!(get_for(&cache, &source, None).await, Ok(2), "fetched again at once");
    }

    #[tokio::test(start_paused = true)]
    async fn a_hundred_callers_cause_one_fetch() {
        let (cache, source) = cache_and_source();
        for expected in [1, 2] {
            let callers: Vec<_> = (0..100)
                .map(|_| {
                    let (cache, source) = (Arc::clone(&cache), Arc::clone(&source));
                    tokio::spawn(async move { get(&cache, &source).await })
                })
                .collect();
            for caller in callers {
                assert_eq!(caller.await.unwrap(), Ok(expected));
            }
            advance(2 * HOUR).await;
        }
        assert_eq!(source.fetches(), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn a_caller_that_gives_up_does_not_lose_the_value() {
        let (cache, source) = cache_and_source();
        assert!(timeout(SECOND / 2, get(&cache, &source)).await.is_err());
        assert_eq!(get(&cache, &source).await, Ok(1));
        assert_eq!(source.fetches(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn the_old_value_is_used_until_it_expires_if_the_renewal_fails() {
        let (cache, source) = cache_and_source();
        assert_eq!(get(&cache, &source).await, Ok(1));
        source.fail(true);
        advance(HOUR - MARGIN).await;
        for fetches in [2, 2, 3] {
            assert_eq!(get(&cache, &source).await, Ok(1));
            sleep(2 * SECOND).await;
            assert_eq!(source.fetches(), fetches, "at most once a minute");
            advance(PAUSE / 2).await;
        }
        advance(MARGIN).await;
        assert_eq!(get(&cache, &source).await, Err("down".to_owned()), "it has expired");
        assert_eq!(get(&cache, &source).await, Err("down".to_owned()));
        assert_eq!(source.fetches(), 4);
        source.fail(false);
        advance(PAUSE).await;
        assert_eq!(get(&cache, &source).await, Ok(5));
    }

    #[tokio::test(start_paused = true)]
    async fn after_a_failure_that_is_not_kept_the_next_caller_fetches() {
        let (_, source) = cache_and_source();
        let cache = Cache::new(MARGIN, |_| false);
        source.fail(true);
        let [first, second] = [(); 2].map(|()| {
            let (cache, source) = (Arc::clone(&cache), Arc::clone(&source));
            tokio::spawn(async move { get(&cache, &source).await })
        });
        assert_eq!(first.await.unwrap(), Err("down".to_owned()));
        source.fail(false);
        assert_eq!(second.await.unwrap(), Ok(2), "the caller that waited fetches, too");
    }

    #[tokio::test(start_paused = true)]
    async fn a_short_lived_value_is_not_fetched_over_and_over() {
        let (cache, source) = cache_and_source();
        for _ in 0..10 {
            assert_eq!(get_for(&cache, &source, Some(MARGIN)).await, Ok(1));
        }
        assert_eq!(source.fetches(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_rejected_value_is_fetched_again_but_not_at_once() {
        let (cache, source) = cache_and_source();
        assert_eq!(get(&cache, &source).await, Ok(1));
        cache.reject();
        assert_eq!(get(&cache, &source).await, Ok(1));
        advance(PAUSE).await;
        cache.reject();
        assert_eq!(get(&cache, &source).await, Ok(2));
    }
}
