//! ListProjects of IAM: finds the id of the project with the name of the region. Every account has such a
//! project.
//!
//! `GET /v3/projects` (contract, section 6). The SDK accepts any project if it is the only one. The exporter accepts
//! only an enabled project with that name.

use std::sync::Arc;

use serde::Deserialize;
use tokio::{sync::oneshot, time::timeout_at};

use super::{
    account_api,
    client::{ApiRequest, Call, Client},
    error::{Error, Refusal},
};
use crate::usage::{Counters, Operation, Reason, is_project_id};

#[derive(Deserialize)]
struct ProjectsJson {
    projects: Vec<ProjectJson>,
}

#[derive(Deserialize)]
struct ProjectJson {
    id: String,
    name: String,
    #[serde(default = "yes")]
    enabled: bool,
}

/// The most ids that a message lists.
const LISTED_IDS: usize = 5;

fn yes() -> bool {
    true
}

/// The id of the client's project: configured, or issued with the token, or looked up once for all projects with the
/// same credentials and region. For the client of an account, the id of the account.
///
/// # Errors
/// If it could not be looked up. A failure of the look-up, other than [`Reason::Auth`], is kept for a minute for all of
/// these projects.
pub async fn project_id(call: &mut Call<'_>) -> Result<Arc<str>, Error> {
    let deadline = call.deadline;
    let (sender, mut counted) = oneshot::channel();
    let look_up = |client: Client| async move {
        let mut counters = Counters::default();
        let mut call = Call { client: &client, deadline, counters: &mut counters };
        let found = timeout_at(deadline, look_up(&mut call)).await;
        // The receiver is gone if the poll has ended.
        let _ = sender.send(counters);
        found.unwrap_or_else(|_| Err(Error::Timeout("the id could not be looked up in time".to_owned())))
    };
    let id = call.client.project_id(look_up).await;
    if let Ok(look_up) = counted.try_recv() {
        *call.counters += look_up;
    }
    id
}

async fn look_up(call: &mut Call<'_>) -> Result<Arc<str>, Error> {
    let client = call.client;
    if client.is_of_account() {
        return account_api::look_up(call).await;
    }
    let memory = client.new_answer();
    let request = ApiRequest {
        query: &[("name", client.region())],
        advice,
        ..ApiRequest::get(Operation::ListProjects, client.iam_endpoint(), "/v3/projects", &memory)
    };
    let success = call.send(request).await?;
    of_region(&success.body, client.region())
}

fn advice(refusal: &Refusal) -> Option<&'static str> {
    match refusal.reason() {
        Reason::Forbidden => {
            Some("The user may not list projects: set project_id, or grant it iam:projects:listProjects")
        }
        Reason::BadRequest => Some("Set project_id, or check api.iam_endpoint"),
        _ => None,
    }
}

/// Finds the id of the project with the name of the region in the list that IAM sent.
///
/// # Errors
/// [`Error::NoProject`] if there is no such project or more than one; [`Error::Malformed`] if the list cannot be read.
pub(super) fn of_region(list: &[u8], region: &str) -> Result<Arc<str>, Error> {
    let list: Result<ProjectsJson, _> = serde_json::from_slice(list);
    let list = list.map_err(|_| Error::Malformed("IAM sent no list of projects that can be read".to_owned()))?;
    let mut projects: Vec<ProjectJson> =
        list.projects.into_iter().filter(|project| project.enabled && project.name == region).collect();
    // The id becomes part of a path, and of messages.
    if !projects.iter().all(|project| is_project_id(&project.id)) {
        let text = format!("IAM sent an id of the project {region} that is not 32 hexadecimal digits");
        return Err(Error::Malformed(text));
    }
    match (projects.pop(), projects.as_slice()) {
        (None, _) => Err(Error::NoProject(format!("IAM has no enabled project named {region} for these credentials"))),
        (Some(project), []) => Ok(project.id.into()),
        (Some(last), others) => {
            let ids: Vec<&str> = others.iter().chain([&last]).map(|project| &*project.id).take(LISTED_IDS).collect();
            Err(Error::NoProject(format!("there are several projects named {region}: {}", ids.join(", "))))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(list: &str) -> Result<String, String> {
        let id = of_region(list.as_bytes(), "cn-north-4");
        id.map(|id| id.to_string()).map_err(|error| error.report())
    }

    #[test]
    fn only_an_enabled_project_with_that_name_is_found() {
        let id = |digit: &str| digit.repeat(32);
        let list = r#"{"links":{},"projects":[
            {"id":"off","name":"cn-north-4","enabled":false},
            {"id":"sub","name":"cn-north-4_team","enabled":true},
            {"id":"ID","name":"cn-north-4","domain_id":"d"}]}"#;
        assert_eq!(found(&list.replace("ID", &id("a"))).unwrap(), id("a"));
        for wrong in [String::new(), "../admin".to_owned(), "a".repeat(31), "a".repeat(1_000_000), id("g")] {
            let error = found(&list.replace("ID", &wrong)).unwrap_err();
            assert!(error.contains("is not 32 hexadecimal digits") && error.len() < 300, "{error}");
        }
        let error = found(r#"{"projects":[{"id":"sub","name":"cn-north-4_team","enabled":true}]}"#).unwrap_err();
        assert!(error.contains("no enabled project named cn-north-4") && error.contains("Set project_id"), "{error}");
        let two = r#"{"projects":[{"id":"A","name":"cn-north-4"},{"id":"B","name":"cn-north-4"}]}"#;
        let error = found(&two.replace('A', &id("a")).replace('B', &id("b"))).unwrap_err();
        assert!(error.contains(&format!("several projects named cn-north-4: {}, {}", id("a"), id("b"))), "{error}");
        assert!(found("{}").unwrap_err().contains("no list of projects"));
    }
}
