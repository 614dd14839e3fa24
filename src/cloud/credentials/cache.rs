//! Keeps what a source has given until it is about to expire, and renews it once for everybody.
//!
//! "About to expire" and "still good" are told apart: what is still good is used while it is renewed, and if that
//! fails, for as long as it lasts. A source is asked once a minute at the most, in a task of its own: what comes of it
//! is known even if the poll that asked has run out of time.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use chrono::{DateTime, Utc};
use tokio::{sync::Semaphore, time::Instant};

use super::Identity;
use crate::cloud::error::Error;

/// The least time between two times a source is asked.
pub(super) const PAUSE: Duration = Duration::from_secs(60);

/// What a source gives.
#[derive(Clone, Debug)]
pub(super) struct Fetched {
    pub identity: Identity,
    /// When it expires, by the source's clock.
    pub expires: DateTime<Utc>,
    /// How long that is from now on, by ours.
    pub lifetime: Duration,
    /// The project it is for, where the source says so.
    pub project_id: Option<Arc<str>>,
}

/// One identity, of one source and one scope.
#[derive(Debug)]
pub(super) struct Cache {
    /// How long before its end an identity is renewed.
    margin: Duration,
    /// A plain mutex: held to read or change these few words, never across an await.
    state: Mutex<State>,
    /// Held by the task that asks the source.
    renewing: Arc<Semaphore>,
}

#[derive(Debug, Default)]
struct State {
    current: Option<Current>,
    /// When the source was last asked.
    asked: Option<Instant>,
    /// What went wrong then, if anything.
    failure: Option<Arc<Error>>,
}

#[derive(Debug)]
struct Current {
    identity: Identity,
    end: Instant,
    expires: DateTime<Utc>,
    project_id: Option<Arc<str>>,
}

impl Cache {
    pub fn new(margin: Duration) -> Arc<Self> {
        Arc::new(Cache { margin, state: Mutex::default(), renewing: Arc::new(Semaphore::new(1)) })
    }

    /// The identity in force, fetched if there is none; if it is about to expire, it is renewed meanwhile.
    ///
    /// # Errors
    /// Why the source gave none, if what it gave before is no longer good.
    pub async fn get(
        self: &Arc<Self>,
        fetch: impl Future<Output = Result<Fetched, Error>> + Send + 'static,
    ) -> Result<Identity, Arc<Error>> {
        if let Some(identity) = self.good_for(self.margin) {
            return Ok(identity);
        }
        let renewal = Arc::clone(&self.renewing).try_acquire_owned().ok().filter(|_| self.may_ask()).map(|permit| {
            let cache = Arc::clone(self);
            self.lock().asked = Some(Instant::now());
            tokio::spawn(async move {
                let result = fetch.await;
                cache.record(result);
                drop(permit);
            })
        });
        if let Some(identity) = self.good_for(Duration::ZERO) {
            return Ok(identity);
        }
        match renewal {
            // A panic there leaves what was known before.
            Some(renewal) => drop(renewal.await),
            // Somebody else asks.
            None => drop(self.renewing.acquire().await),
        }
        self.good_for(Duration::ZERO).ok_or_else(|| {
            let failure = self.lock().failure.clone();
            failure.unwrap_or_else(|| Arc::new(Error::Credentials("the source gave nothing".to_owned())))
        })
    }

    /// Forgets the identity, because the service refused it; unless the source gave it a moment ago.
    pub fn reject(&self) {
        if self.may_ask() {
            self.lock().current = None;
        }
    }

    /// When the identity in force expires.
    pub fn expires(&self) -> Option<DateTime<Utc>> {
        self.lock().current.as_ref().map(|current| current.expires)
    }

    /// The project that the identity in force is for.
    pub fn project_id(&self) -> Option<Arc<str>> {
        self.lock().current.as_ref()?.project_id.clone()
    }

    fn record(&self, result: Result<Fetched, Error>) {
        let result = result.and_then(|fetched| match fetched.lifetime {
            Duration::ZERO => Err(Error::Credentials(format!(
                "what the source gave expired at {} already: is the clock of this machine right?",
                fetched.expires
            ))),
            _ => Ok(fetched),
        });
        let is_good = self.good_for(Duration::ZERO).is_some();
        let mut state = self.lock();
        match result {
            Ok(Fetched { identity, expires, lifetime, project_id }) => {
                state.current = Some(Current { identity, end: Instant::now() + lifetime, expires, project_id });
                state.failure = None;
            }
            Err(error) => {
                if is_good {
                    tracing::warn!(%error, "credentials could not be renewed; the old ones are still good");
                }
                state.failure = Some(Arc::new(error));
            }
        }
    }

    fn good_for(&self, margin: Duration) -> Option<Identity> {
        let state = self.lock();
        let current = state.current.as_ref().filter(|current| Instant::now() + margin < current.end)?;
        Some(current.identity.clone())
    }

    fn may_ask(&self) -> bool {
        self.lock().asked.is_none_or(|asked| asked.elapsed() >= PAUSE)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use secrecy::ExposeSecret;
    use tokio::time::{advance, sleep, timeout};

    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);
    const MARGIN: Duration = Duration::from_secs(600);
    const SECOND: Duration = Duration::from_secs(1);

    /// A source whose n-th answer, a second after it is asked, is the token `n`, good for an hour; or an error.
    #[derive(Default)]
    struct Source {
        asked: AtomicUsize,
        fails: std::sync::atomic::AtomicBool,
    }

    impl Source {
        async fn fetch(self: Arc<Self>, lifetime: Duration) -> Result<Fetched, Error> {
            let number = self.asked.fetch_add(1, Ordering::Relaxed) + 1;
            sleep(SECOND).await;
            if self.fails.load(Ordering::Relaxed) {
                return Err(Error::Network("down".to_owned()));
            }
            let identity = Identity::Token(number.to_string().into());
            Ok(Fetched { identity, expires: DateTime::UNIX_EPOCH, lifetime, project_id: None })
        }

        fn asked(&self) -> usize {
            self.asked.load(Ordering::Relaxed)
        }
    }

    async fn token_for(cache: &Arc<Cache>, source: &Arc<Source>, lifetime: Duration) -> Result<String, String> {
        match cache.get(Arc::clone(source).fetch(lifetime)).await {
            Ok(Identity::Token(token)) => Ok(token.expose_secret().to_owned()),
            Ok(Identity::Keys { .. }) => Err("keys".to_owned()),
            Err(error) => Err(error.to_string()),
        }
    }

    async fn token(cache: &Arc<Cache>, source: &Arc<Source>) -> Result<String, String> {
        token_for(cache, source, HOUR).await
    }

    fn world() -> (Arc<Cache>, Arc<Source>) {
        (Cache::new(MARGIN), Arc::default())
    }

    #[tokio::test(start_paused = true)]
    async fn it_is_kept_until_it_is_about_to_expire_and_used_while_it_is_renewed() {
        let (cache, source) = world();
        assert_eq!(token(&cache, &source).await.unwrap(), "1");
        advance(HOUR - MARGIN - SECOND).await;
        assert_eq!(token(&cache, &source).await.unwrap(), "1");
        assert_eq!(source.asked(), 1);
        advance(SECOND).await;
        let start = Instant::now();
        assert_eq!(token(&cache, &source).await.unwrap(), "1", "renewed meanwhile");
        assert_eq!(start.elapsed(), Duration::ZERO);
        sleep(2 * SECOND).await;
        assert_eq!(token(&cache, &source).await.unwrap(), "2");
        assert_eq!(source.asked(), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn a_hundred_callers_cause_one_request() {
        let (cache, source) = world();
        for expected in ["1", "2"] {
            let callers: Vec<_> = (0..100)
                .map(|_| {
                    let (cache, source) = (Arc::clone(&cache), Arc::clone(&source));
                    tokio::spawn(async move { token(&cache, &source).await.unwrap() })
                })
                .collect();
            for caller in callers {
                assert_eq!(caller.await.unwrap(), expected);
            }
            advance(2 * HOUR).await;
        }
        assert_eq!(source.asked(), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn a_caller_that_gives_up_does_not_lose_the_answer() {
        let (cache, source) = world();
        assert!(timeout(SECOND / 2, token(&cache, &source)).await.is_err());
        assert_eq!(token(&cache, &source).await.unwrap(), "1");
        assert_eq!(source.asked(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn the_old_one_is_used_while_renewing_fails_and_it_is_good() {
        let (cache, source) = world();
        token(&cache, &source).await.unwrap();
        source.fails.store(true, Ordering::Relaxed);
        advance(HOUR - MARGIN).await;
        for asked in [2, 2, 3] {
            assert_eq!(token(&cache, &source).await.unwrap(), "1");
            sleep(2 * SECOND).await;
            assert_eq!(source.asked(), asked, "once a minute at the most");
            advance(PAUSE / 2).await;
        }
        advance(MARGIN).await;
        assert!(token(&cache, &source).await.unwrap_err().contains("down"), "it is no longer good");
        assert!(token(&cache, &source).await.unwrap_err().contains("down"));
        assert_eq!(source.asked(), 4);
        source.fails.store(false, Ordering::Relaxed);
        advance(PAUSE).await;
        assert_eq!(token(&cache, &source).await.unwrap(), "5");
    }

    #[tokio::test(start_paused = true)]
    async fn what_hardly_lives_is_not_asked_for_over_and_over() {
        let (cache, source) = world();
        for _ in 0..10 {
            assert_eq!(token_for(&cache, &source, MARGIN).await.unwrap(), "1");
        }
        assert_eq!(source.asked(), 1);
        let (cache, source) = world();
        for _ in 0..3 {
            let error = token_for(&cache, &source, Duration::ZERO).await.unwrap_err();
            assert!(error.contains("is the clock of this machine right?"), "{error}");
        }
        assert_eq!(source.asked(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_refused_is_fetched_anew_but_not_at_once() {
        let (cache, source) = world();
        token(&cache, &source).await.unwrap();
        cache.reject();
        assert_eq!(token(&cache, &source).await.unwrap(), "1");
        advance(PAUSE).await;
        cache.reject();
        assert_eq!(token(&cache, &source).await.unwrap(), "2");
    }
}
