//! Keeps what a source has given until it is about to expire, and renews it once for everybody.
//!
//! "About to expire" and "still good" are told apart: while one caller renews, the others go on with the old one, and
//! if renewing fails, so does everybody, as long as it is good. A source is asked once a minute at the most.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{sync::Semaphore, time::Instant};

use super::Identity;
use crate::cloud::error::Error;

/// The least time between two times a source is asked.
const PAUSE: Duration = Duration::from_secs(60);

/// What a source gives.
#[derive(Clone, Debug)]
pub(super) struct Fetched {
    pub identity: Identity,
    /// How long it is good from now on.
    pub lifetime: Duration,
}

/// One identity, of one source and one scope.
#[derive(Debug)]
pub(super) struct Cache {
    /// How long before its end an identity is renewed.
    margin: Duration,
    /// A plain mutex: held to read or change these few words, never across an await.
    state: Mutex<State>,
    /// Held by the one who asks the source.
    renewing: Semaphore,
}

#[derive(Debug, Default)]
struct State {
    current: Option<Current>,
    /// When the source was last asked, and what went wrong, if anything.
    asked: Option<(Instant, Option<Arc<Error>>)>,
}

#[derive(Debug)]
struct Current {
    identity: Identity,
    end: Instant,
}

impl Cache {
    pub fn new(margin: Duration) -> Self {
        Cache { margin, state: Mutex::default(), renewing: Semaphore::new(1) }
    }

    /// The identity in force, fetched if there is none or it is about to expire.
    ///
    /// # Errors
    /// Why the source gave none, if what it gave before is no longer good.
    pub async fn get(&self, fetch: impl AsyncFnOnce() -> Result<Fetched, Error>) -> Result<Identity, Error> {
        if let Some(identity) = self.good_for(self.margin) {
            return Ok(identity);
        }
        let _renewing = match (self.renewing.try_acquire(), self.good_for(Duration::ZERO)) {
            (Ok(permit), _) => permit,
            (Err(_), Some(identity)) => return Ok(identity),
            // The semaphore is never closed.
            (Err(_), None) => {
                self.renewing.acquire().await.map_err(|_| Error::Credentials("the cache is closed".to_owned()))?
            }
        };
        // Somebody else may have asked meanwhile.
        if let Some(identity) = self.good_for(self.margin) {
            return Ok(identity);
        }
        if let Some(failure) = self.recent_failure() {
            return self.good_for(Duration::ZERO).ok_or(Error::Source(failure));
        }
        let start = Instant::now();
        match fetch().await {
            Ok(fetched) => {
                let current = Current { identity: fetched.identity.clone(), end: start + fetched.lifetime };
                *self.lock() = State { current: Some(current), asked: Some((start, None)) };
                Ok(fetched.identity)
            }
            Err(error) => {
                let failure = Arc::new(error);
                self.lock().asked = Some((start, Some(Arc::clone(&failure))));
                let identity = self.good_for(Duration::ZERO).ok_or(Error::Source(Arc::clone(&failure)))?;
                tracing::warn!(error = %failure, "credentials could not be renewed; the old ones are still good");
                Ok(identity)
            }
        }
    }

    /// Forgets the identity, because the service refused it; unless the source gave it a moment ago.
    pub fn reject(&self) {
        let mut state = self.lock();
        if state.asked.as_ref().is_none_or(|(at, _)| at.elapsed() >= PAUSE) {
            state.current = None;
        }
    }

    /// When the identity in force ends.
    pub fn end(&self) -> Option<Instant> {
        self.lock().current.as_ref().map(|current| current.end)
    }

    fn good_for(&self, margin: Duration) -> Option<Identity> {
        let state = self.lock();
        let current = state.current.as_ref().filter(|current| Instant::now() + margin < current.end)?;
        Some(current.identity.clone())
    }

    fn recent_failure(&self) -> Option<Arc<Error>> {
        let state = self.lock();
        let (at, failure) = state.asked.as_ref()?;
        failure.clone().filter(|_| at.elapsed() < PAUSE)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use secrecy::ExposeSecret;
    use tokio::time::{advance, sleep};

    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);
    const MARGIN: Duration = Duration::from_secs(600);

    /// A source whose n-th answer is the token `n`, good for an hour; or an error.
    #[derive(Default)]
    struct Source {
        asked: AtomicUsize,
        fails: std::sync::atomic::AtomicBool,
    }

    impl Source {
        async fn fetch(&self) -> Result<Fetched, Error> {
            let number = self.asked.fetch_add(1, Ordering::Relaxed) + 1;
            sleep(Duration::from_secs(1)).await;
            if self.fails.load(Ordering::Relaxed) {
                return Err(Error::Network("down".to_owned()));
            }
            Ok(Fetched { identity: Identity::Token(number.to_string().into()), lifetime: HOUR })
        }

        fn asked(&self) -> usize {
            self.asked.load(Ordering::Relaxed)
        }
    }

    async fn token(cache: &Cache, source: &Source) -> Result<String, String> {
        match cache.get(|| source.fetch()).await {
            Ok(Identity::Token(token)) => Ok(token.expose_secret().to_owned()),
            Ok(Identity::Keys { .. }) => Err("keys".to_owned()),
            Err(error) => Err(error.to_string()),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn it_is_kept_until_it_is_about_to_expire() {
        let (cache, source) = (Cache::new(MARGIN), Source::default());
        assert_eq!(token(&cache, &source).await.unwrap(), "1");
        advance(HOUR - MARGIN - Duration::from_secs(3)).await;
        assert_eq!(token(&cache, &source).await.unwrap(), "1");
        advance(Duration::from_secs(3)).await;
        assert_eq!(token(&cache, &source).await.unwrap(), "2");
        assert_eq!(source.asked(), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn a_hundred_callers_cause_one_renewal() {
        let (cache, source) = (Arc::new(Cache::new(MARGIN)), Arc::new(Source::default()));
        for expected in ["1", "2"] {
            let callers: Vec<_> = (0..100)
                .map(|_| {
                    let (cache, source) = (Arc::clone(&cache), Arc::clone(&source));
                    tokio::spawn(async move { token(&cache, &source).await.unwrap() })
                })
                .collect();
            for caller in callers {
                caller.await.unwrap();
            }
            assert_eq!(token(&cache, &source).await.unwrap(), expected);
            advance(HOUR).await;
        }
        assert_eq!(source.asked(), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn while_one_renews_the_others_go_on_with_the_old_one() {
        let (cache, source) = (Arc::new(Cache::new(MARGIN)), Arc::new(Source::default()));
        token(&cache, &source).await.unwrap();
        advance(HOUR - MARGIN).await;
        let renewing = tokio::spawn({
            let (cache, source) = (Arc::clone(&cache), Arc::clone(&source));
            async move { token(&cache, &source).await.unwrap() }
        });
        tokio::task::yield_now().await;
        let start = Instant::now();
        assert_eq!(token(&cache, &source).await.unwrap(), "1");
        assert_eq!(start.elapsed(), Duration::ZERO);
        assert_eq!(renewing.await.unwrap(), "2");
    }

    #[tokio::test(start_paused = true)]
    async fn the_old_one_is_used_while_renewing_fails_and_it_is_good() {
        let (cache, source) = (Cache::new(MARGIN), Source::default());
        token(&cache, &source).await.unwrap();
        source.fails.store(true, Ordering::Relaxed);
        advance(HOUR - MARGIN).await;
        assert_eq!(token(&cache, &source).await.unwrap(), "1");
        assert_eq!(token(&cache, &source).await.unwrap(), "1");
        assert_eq!(source.asked(), 2, "and the source is left alone for a minute");
        advance(PAUSE).await;
        assert_eq!(token(&cache, &source).await.unwrap(), "1");
        assert_eq!(source.asked(), 3);
        advance(MARGIN).await;
        assert!(token(&cache, &source).await.unwrap_err().contains("down"), "it is no longer good");
        assert!(token(&cache, &source).await.unwrap_err().contains("down"));
        assert_eq!(source.asked(), 4);
        source.fails.store(false, Ordering::Relaxed);
        advance(PAUSE).await;
        assert_eq!(token(&cache, &source).await.unwrap(), "5");
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_refused_is_fetched_anew_but_not_at_once() {
        let (cache, source) = (Cache::new(MARGIN), Source::default());
        token(&cache, &source).await.unwrap();
        cache.reject();
        assert_eq!(token(&cache, &source).await.unwrap(), "1");
        advance(PAUSE).await;
        cache.reject();
        assert_eq!(token(&cache, &source).await.unwrap(), "2");
    }
}
