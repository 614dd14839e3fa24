//! Private readers of the cloud's answers, for the targets in `fuzz`.

use chrono::DateTime;
use hyper::HeaderMap;
use reqwest::StatusCode;
use secrecy::SecretString;

use super::{error::Error, project_api, secrets::Secrets, transport::exchange::Response};

pub use super::credentials::fuzzing::temporary_keys;

fn hidden(secret: &str) -> Secrets {
    [&SecretString::from(secret)].into_iter().collect()
}

/// The error for an answer with another status than 200.
pub fn refusal(status: StatusCode, headers: HeaderMap, body: Vec<u8>, secret: &str) -> Error {
    let response = Response { status, headers, body: Ok(body), secrets: hidden(secret) };
    response.error(StatusCode::OK, DateTime::UNIX_EPOCH, |_| None)
}

/// A message and a label of the cloud, as they are shown.
pub fn shown(text: &str, secret: &str) -> [String; 2] {
    let secrets = hidden(secret);
    [secrets.shown(text), secrets.label(text.into()).into_owned()]
}

/// The id of the project of a region, from the list that IAM sent.
///
/// # Errors
/// As `project_api::of_region`.
pub fn project_id(list: &[u8], region: &str) -> Result<String, Error> {
    project_api::of_region(list, region).map(|id| id.to_string())
}
