//! The id of the project that bears its region's name, which every account has; asked of IAM where none is configured.
//!
//! Source of the facts: contract, section 6. Unlike the SDK, which takes whatever single project comes, only one that
//! is enabled and really has that name will do.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use serde::Deserialize;
use tokio::{sync::Semaphore, time::Instant};

use crate::{cloud::error::Error, usage::Reason};

/// How long a failure stands for everybody who asks.
const PAUSE: Duration = Duration::from_secs(60);

/// An id that is looked up once, by whoever needs it first.
#[derive(Debug)]
pub struct ProjectId {
    /// A plain mutex: held to read or change these few words, never across an await.
    state: Mutex<State>,
    /// Held by the one who looks it up.
    looking: Semaphore,
}

#[derive(Debug, Default)]
struct State {
    known: Option<Arc<str>>,
    failed: Option<(Instant, Arc<Error>)>,
}

#[derive(Deserialize)]
struct Document {
    projects: Vec<Project>,
}

#[derive(Deserialize)]
struct Project {
    id: String,
    name: String,
    #[serde(default = "yes")]
    enabled: bool,
}

fn yes() -> bool {
    true
}

impl ProjectId {
    pub fn new() -> Arc<Self> {
        Arc::new(ProjectId { state: Mutex::default(), looking: Semaphore::new(1) })
    }

    /// The id, if it is known.
    pub fn known(&self) -> Option<Arc<str>> {
        self.lock().known.clone()
    }

    /// The id, looked up if it is not known.
    ///
    /// # Errors
    /// Why it could not be found, by whoever looked last.
    pub async fn get(&self, look_up: impl Future<Output = Result<Arc<str>, Error>>) -> Result<Arc<str>, Error> {
        // The semaphore is never closed.
        let _looking = self.looking.acquire().await;
        {
            let state = self.lock();
            match (&state.known, &state.failed) {
                (Some(id), _) => return Ok(Arc::clone(id)),
                (None, Some((at, error))) if at.elapsed() < PAUSE => return Err(Error::Source(Arc::clone(error))),
                _ => {}
            }
        }
        match look_up.await {
            Ok(id) => {
                *self.lock() = State { known: Some(Arc::clone(&id)), failed: None };
                Ok(id)
            }
            // Of one key, which may be another one the next time.
            Err(error) if error.reason() == Reason::Auth => Err(error),
            Err(error) => {
                let error = Arc::new(error);
                self.lock().failed = Some((Instant::now(), Arc::clone(&error)));
                Err(Error::Source(error))
            }
        }
    }

    /// Forgets the id, because the service says that it is another account's: the keys may be another account's now.
    pub fn forget(&self) {
        self.lock().known = None;
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Finds the project of a region in IAM's list of projects.
///
/// # Errors
/// [`Error::NoProject`] where there is none or more than one; [`Error::Malformed`] where it is not such a list.
pub fn of_region(list: &[u8], region: &str) -> Result<Arc<str>, Error> {
    let document: Result<Document, _> = serde_json::from_slice(list);
    let document =
        document.map_err(|_| Error::Malformed("IAM sent no list of projects that can be read".to_owned()))?;
    let mut projects: Vec<Project> =
        document.projects.into_iter().filter(|project| project.enabled && project.name == region).collect();
    match (projects.pop(), projects.as_slice()) {
        (None, _) => {
            Err(Error::NoProject(format!("IAM knows no enabled project named {region} for these credentials")))
        }
        (Some(project), []) => Ok(project.id.into()),
        (Some(last), others) => {
            let ids: Vec<&str> = others.iter().chain([&last]).map(|project| &*project.id).collect();
            Err(Error::NoProject(format!("there are several projects named {region}: {}", ids.join(", "))))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(list: &str) -> Result<String, String> {
        let id = of_region(list.as_bytes(), "cn-north-4");
        id.map(|id| id.to_string()).map_err(|error| error.to_string())
    }

    #[test]
    fn only_an_enabled_project_of_that_name_will_do() {
        let list = r#"{"links":{},"projects":[
            {"id":"off","name":"cn-north-4","enabled":false},
            {"id":"sub","name":"cn-north-4_team","enabled":true},
            {"id":"right","name":"cn-north-4","domain_id":"d"}]}"#;
        assert_eq!(found(list).unwrap(), "right");
        let error = found(r#"{"projects":[{"id":"sub","name":"cn-north-4_team","enabled":true}]}"#).unwrap_err();
        assert!(error.contains("no enabled project named cn-north-4") && error.contains("Set project_id"), "{error}");
        let error = found(r#"{"projects":[{"id":"a","name":"cn-north-4"},{"id":"b","name":"cn-north-4"}]}"#);
        assert!(error.unwrap_err().contains("several projects named cn-north-4: a, b"));
        assert!(found("{}").unwrap_err().contains("no list of projects"));
    }

    #[tokio::test(start_paused = true)]
    async fn it_is_looked_up_once_and_again_a_while_after_a_failure() {
        let id = ProjectId::new();
        let fails = id.get(async { Err(Error::NoProject("none".to_owned())) });
        assert!(fails.await.is_err() && id.known().is_none());
        let shared = id.get(async { panic!("not at once") }).await.unwrap_err();
        assert!(shared.to_string().starts_with("none") && shared.reason() == Reason::BadRequest, "{shared}");
        tokio::time::advance(PAUSE).await;
        assert_eq!(&*id.get(async { Ok("right".into()) }).await.unwrap(), "right");
        assert_eq!(&*id.get(async { panic!("not again") }).await.unwrap(), "right");
        id.forget();
        assert_eq!(&*id.get(async { Ok("other".into()) }).await.unwrap(), "other");
    }
}
