//! Private readers of the cloud's answers, for the targets in `fuzz`.

use chrono::DateTime;
use hyper::HeaderMap;
use reqwest::StatusCode;
use secrecy::SecretString;

use super::{
    billing_api::{self, Measures},
    error::Error,
    jobs_api,
    json::Unreadable,
    listing::ListPage,
    project_api, quotas_api, resources_api,
    secrets::Secrets,
    transport::exchange::Response,
};
use crate::usage::{Job, LiveSession, Package, SubUser, Video};

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

/// The entries of a page.
fn entries<T>(page: Result<ListPage<T>, Unreadable>) -> Option<Vec<T>> {
    page.ok().map(|page| page.entries)
}

/// The packages of a page of ListTenantResources; `None` if it cannot be read.
pub fn packages(body: &[u8], secret: &str) -> Option<Vec<Package>> {
    entries(resources_api::page(body, &hidden(secret)))
}

/// The sub-users of a page of ListUserQuotas; `None` if it cannot be read.
pub fn sub_users(body: &[u8], secret: &str) -> Option<Vec<SubUser>> {
    entries(quotas_api::page(body, &hidden(secret)))
}

/// The live sessions of a page of ListSmartLiveJobs; `None` if it cannot be read.
pub fn sessions(body: &[u8]) -> Option<Vec<LiveSession>> {
    entries(jobs_api::sessions_page(body, &Secrets::default()))
}

/// The videos of a page of ListDigitalHumanVideo; `None` if it cannot be read.
pub fn videos(body: &[u8]) -> Option<Vec<Video>> {
    entries(jobs_api::videos_page(body, &Secrets::default()))
}

/// The live sessions of a page of ListSmartLiveJobs, with their duration and end; `None` if it cannot be read.
pub fn live_jobs(body: &[u8]) -> Option<Vec<Job>> {
    entries(jobs_api::live_jobs_page(body, &Secrets::default()))
}

/// The videos of a page of ListDigitalHumanVideo, with their duration and end; `None` if it cannot be read.
pub fn video_jobs(body: &[u8]) -> Option<Vec<Job>> {
    entries(jobs_api::video_jobs_page(body, &Secrets::default()))
}

/// The packages of a page of ListFreeResourceInfos, with the units that the service sent; `None` if one cannot be read.
pub fn account_packages(list: &[u8], units: &[u8], secret: &str) -> Option<Vec<Package>> {
    let secrets = hidden(secret);
    let measures = Measures::parse(units, &secrets).ok()?;
    billing_api::united(vec![entries(billing_api::page(list, &secrets))?], &measures).ok()
}
