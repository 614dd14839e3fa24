//! The cloud seen from the other side: ShowUsageData as the contract describes it, with faults on demand.
//!
//! It shares no code with the client. In particular it checks signatures with its own reading of the signing guide
//! (`signature`): a verifier that used the signer's code would hide the signer's mistakes.

mod api;
pub mod faults;
pub mod history;
pub mod identity;
mod signature;

use std::{
    collections::HashMap,
    convert::Infallible,
    io,
    net::SocketAddr,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use chrono::{DateTime, Utc};
use http_body_util::{BodyExt, Full, combinators::UnsyncBoxBody};
use hyper::{
    Method, Request, Response, StatusCode,
    body::{Body, Frame, Incoming},
    header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderValue, LOCATION, RETRY_AFTER},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::{net::TcpListener, time::Instant};
use tokio_util::sync::CancellationToken;

use faults::{Fault, Kind};
use history::Project;
use identity::{Issued, User};

/// Consecutive failures after which a key is locked, and for how long (contract, 2.3, the stricter reading).
const FAILURES_TO_LOCK: u32 = 5;
const LOCKED_FOR: Duration = Duration::from_secs(5 * 60);

/// Where a node's agent answers; the platform tells its pods.
pub const POD_IDENTITY_PATH: &str = "/v1/pod-identity";

/// What `limit` and `offset` count; the contract does not know.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Paging {
    /// Entries of `time_list`.
    #[default]
    Buckets,
    /// Entries of `resources_usage`.
    Rows,
}

/// How the simulated cloud is set up.
#[derive(Clone, Debug)]
pub struct Options {
    /// The access key that exists.
    pub access_key: String,
    /// Its secret key.
    pub secret_key: String,
    /// A security token that must come with the keys, if they are to be temporary.
    pub security_token: Option<String>,
    /// An IAM token that is accepted in place of a signature, for every project.
    pub token: Option<String>,
    /// The IAM user that exists.
    pub user: User,
    /// How long the tokens and temporary keys live that it issues.
    pub lifetime: Duration,
    /// The projects that exist.
    pub projects: Vec<Project>,
    /// What goes wrong.
    pub faults: Vec<Fault>,
    /// What pages are made of.
    pub paging: Paging,
    /// The time.
    pub clock: fn() -> DateTime<Utc>,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            access_key: "SIMULATEDACCESSKEY01".to_owned(),
            secret_key: "simulated/Secret+Key000000000000000000001".to_owned(),
            security_token: None,
            token: None,
            user: User {
                domain: "simulated".to_owned(),
                name: "robot".to_owned(),
                password: "simulated-password".to_owned(),
            },
            lifetime: Duration::from_secs(24 * 60 * 60),
            projects: history::projects(),
            faults: Vec::new(),
            paging: Paging::default(),
            clock: Utc::now,
        }
    }
}

/// A request that came in, for those who watch.
#[derive(Clone, Debug)]
pub struct Seen {
    /// When.
    pub at: Instant,
    /// Path and query.
    pub target: String,
    /// The project's id; `iam`, `sts`, `metadata` or `pod-identity` for those services.
    pub project_id: String,
    /// When it was signed: the header `X-Sdk-Date`.
    pub signed: Option<String>,
    /// The status it was answered with; `None` where the fault gives none.
    pub status: Option<u16>,
}

/// A simulated cloud.
#[derive(Debug)]
pub struct Simulator {
    options: Options,
    /// A plain mutex: held to read or change a few words, never across an await.
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    seen: Vec<Seen>,
    /// How often each fault could have struck, in the order of the options.
    struck: Vec<u64>,
    /// Failures in a row and the end of the lock, by access key.
    failures: HashMap<String, (u32, Option<Instant>)>,
    issued: Issued,
}

/// An answer: JSON or some other text, or none at all.
enum Outcome {
    Json(StatusCode, Value),
    Token(StatusCode, Option<String>, Value),
    Raw(StatusCode, &'static str, String),
    Throttled(Option<u64>),
    Truncated(String),
    Redirect,
    Disconnect,
    Hang,
}

impl Simulator {
    /// A cloud of its own.
    pub fn new(options: Options) -> Arc<Self> {
        let state = Mutex::new(State { struck: vec![0; options.faults.len()], ..State::default() });
        Arc::new(Simulator { options, state })
    }

    /// Answers requests until `stop`.
    ///
    /// # Errors
    /// If connections cannot be accepted.
    pub async fn serve(self: Arc<Self>, listener: TcpListener, stop: CancellationToken) -> io::Result<()> {
        loop {
            let (stream, _) = tokio::select! {
                () = stop.cancelled() => return Ok(()),
                accepted = listener.accept() => accepted?,
            };
            let simulator = Arc::clone(&self);
            let stop = stop.clone();
            tokio::spawn(async move {
                let service = service_fn(|request| Arc::clone(&simulator).answer(request));
                let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
                tokio::select! {
                    // Clients that break off, and faults that do: nothing to say.
                    _ = connection => {}
                    () = stop.cancelled() => {}
                }
            });
        }
    }

    /// Binds a free port of this machine, and serves there until `stop`.
    ///
    /// # Errors
    /// If there is no port to be had.
    pub async fn spawn(self: &Arc<Self>, stop: CancellationToken) -> io::Result<SocketAddr> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        tokio::spawn(Arc::clone(self).serve(listener, stop));
        Ok(address)
    }

    /// What the cloud is set up with.
    pub fn options(&self) -> &Options {
        &self.options
    }

    /// The requests so far.
    pub fn seen(&self) -> Vec<Seen> {
        self.lock().seen.clone()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn answer(
        self: Arc<Self>,
        request: Request<Incoming>,
    ) -> Result<Response<UnsyncBoxBody<Bytes, io::Error>>, io::Error> {
        let (parts, body) = request.into_parts();
        let body = body.collect().await.map_err(io::Error::other)?.to_bytes();
        let request = Request::from_parts(parts, body);
        let target = request.uri().path_and_query().map_or("", |target| target.as_str()).to_owned();
        let project_id = place(request.uri().path()).to_owned();
        let signed = request.headers().get("x-sdk-date").and_then(|date| Some(date.to_str().ok()?.to_owned()));
        let outcome = self.outcome(&request, &project_id);
        let request_id = {
            let mut state = self.lock();
            let status = match &outcome {
                Outcome::Json(status, _) | Outcome::Token(status, ..) | Outcome::Raw(status, ..) => {
                    Some(status.as_u16())
                }
                Outcome::Throttled(_) => Some(429),
                Outcome::Truncated(_) => Some(200),
                Outcome::Redirect => Some(302),
                Outcome::Disconnect | Outcome::Hang => None,
            };
            state.seen.push(Seen { at: Instant::now(), target, project_id, signed, status });
            format!("{:032x}", state.seen.len())
        };
        let json = "application/json";
        let (status, content_type, body) = match outcome {
            Outcome::Json(status, value) => (status, json, value.to_string()),
            Outcome::Token(status, token, value) => {
                let mut response = response(status, json, full(value.to_string()), &request_id);
                if let Some(token) = token.and_then(|token| HeaderValue::from_str(&token).ok()) {
                    response.headers_mut().insert("x-subject-token", token);
                }
                return Ok(response);
            }
            Outcome::Raw(status, content_type, text) => (status, content_type, text),
            Outcome::Throttled(retry_after) => {
                let body = error(
                    "APIGW.0308",
                    "The throttling threshold has been reached: policy user over ratelimit,limit:10,time:1 second",
                );
                let mut response = response(StatusCode::TOO_MANY_REQUESTS, json, full(body.to_string()), &request_id);
                if let Some(seconds) = retry_after {
                    response.headers_mut().insert(RETRY_AFTER, seconds.into());
                }
                return Ok(response);
            }
            Outcome::Truncated(body) => {
                let length = body.len();
                let half = body.get(..length / 2).unwrap_or_default().to_owned();
                let mut response =
                    response(StatusCode::OK, json, Truncated(Some(half.into())).boxed_unsync(), &request_id);
                response.headers_mut().insert(CONTENT_LENGTH, length.into());
                return Ok(response);
            }
            Outcome::Redirect => {
                let mut response = response(StatusCode::FOUND, "text/html", full(String::new()), &request_id);
                response.headers_mut().insert(LOCATION, HeaderValue::from_static("/login"));
                return Ok(response);
            }
            Outcome::Disconnect => return Err(io::ErrorKind::ConnectionReset.into()),
            Outcome::Hang => return std::future::pending().await,
        };
        Ok(response(status, content_type, full(body), &request_id))
    }

    fn outcome(&self, request: &Request<Bytes>, project_id: &str) -> Outcome {
        let fault = self.strike(project_id);
        match fault {
            Some(Kind::Throttle { retry_after }) => return Outcome::Throttled(retry_after),
            Some(Kind::ServerError) => {
                return Outcome::Json(StatusCode::INTERNAL_SERVER_ERROR, error("MSS.00000004", "Internal Error"));
            }
            Some(Kind::Forbidden) => {
                return Outcome::Json(StatusCode::FORBIDDEN, error("MSS.00000005", "Forbidden"));
            }
            Some(Kind::Echo) => {
                let headers: String =
                    request.headers().iter().map(|(name, value)| format!("{name}:{value:?} ")).collect();
                let body = String::from_utf8_lossy(request.body());
                let message = format!("verify aksk signature fail, canonical request: {headers}{body}");
                return Outcome::Json(StatusCode::UNAUTHORIZED, error("APIGW.0301", &message));
            }
            Some(Kind::Hang) => return Outcome::Hang,
            Some(Kind::Disconnect) => return Outcome::Disconnect,
            Some(Kind::Redirect) => return Outcome::Redirect,
            Some(Kind::Html) => {
                return Outcome::Raw(StatusCode::OK, "text/html", "<html><title>Sign in</title></html>".to_owned());
            }
            Some(Kind::Empty) => return Outcome::Raw(StatusCode::OK, "application/json", String::new()),
            _ => {}
        }
        if let Some(outcome) = self.credentials(request) {
            return outcome;
        }
        if request.method() != Method::GET || api::project_id(request.uri().path()).is_none() {
            return Outcome::Json(
                StatusCode::NOT_FOUND,
                error("APIGW.0101", "The API does not exist or has not been published."),
            );
        }
        if let Err(reason) = self.authenticate(request) {
            return Outcome::Json(StatusCode::UNAUTHORIZED, error("APIGW.0301", &reason));
        }
        let token = request.headers().get("x-auth-token").and_then(|token| token.to_str().ok());
        let is_foreign = token.is_some_and(|token| {
            self.lock().issued.project_of(token).is_some_and(|issued_for| issued_for != project_id)
        });
        let Some(project) = self.options.projects.iter().find(|project| project.id == project_id && !is_foreign) else {
            return Outcome::Json(
                StatusCode::BAD_REQUEST,
                error("MSS.00010009", "urlTenantId is not equal tokenTenantId"),
            );
        };
        let query = request.uri().query().unwrap_or_default();
        match api::show_usage_data(project, query, self.options.paging, fault) {
            Ok(answer) if fault == Some(Kind::Truncate) => Outcome::Truncated(answer.to_string()),
            Ok(answer) => Outcome::Json(StatusCode::OK, answer),
            Err(what) => {
                let message = format!("Invalid parameter: {what}");
                Outcome::Json(StatusCode::BAD_REQUEST, error("MSS.00000003", &message))
            }
        }
    }

    /// Answers for IAM, STS, the metadata service and the agent of a node.
    fn credentials(&self, request: &Request<Bytes>) -> Option<Outcome> {
        let now = (self.options.clock)();
        let lifetime = chrono::Duration::from_std(self.options.lifetime).unwrap_or_default();
        match (request.method(), request.uri().path()) {
            (&Method::POST, "/v3/auth/tokens") => {
                let default_project = self.options.projects.first().map_or("", |project| &project.id);
                let user = &self.options.user;
                let answer = self.lock().issued.token(user, default_project, request.body(), now, lifetime);
                let (status, token, body) = answer;
                Some(Outcome::Token(status, token, body))
            }
            (&Method::GET, "/v3/projects") => {
                if let Err(reason) = self.authenticate(request) {
                    return Some(Outcome::Json(StatusCode::UNAUTHORIZED, error("APIGW.0301", &reason)));
                }
                let name = request.uri().query().and_then(|query| query.strip_prefix("name="));
                Some(Outcome::Json(StatusCode::OK, identity::projects(&self.options.projects, name)))
            }
            (&Method::POST, "/v5/agencies/assume-with-oidc") => {
                let (status, body) = self.lock().issued.assume_with_oidc(request.body(), now, lifetime);
                Some(Outcome::Json(status, body))
            }
            (&Method::POST, POD_IDENTITY_PATH) => {
                let token = request.headers().get("authorization").map(HeaderValue::as_bytes);
                let (status, body) = self.lock().issued.pod_identity(token, now, lifetime);
                Some(Outcome::Json(status, body))
            }
            (&Method::PUT, "/meta-data/latest/api/token") => {
                Some(Outcome::Raw(StatusCode::OK, "text/plain", identity::METADATA_TOKEN.to_owned()))
            }
            (&Method::GET, "/openstack/latest/securitykey") => {
                let token = request.headers().get("x-metadata-token").map(HeaderValue::as_bytes);
                if token != Some(identity::METADATA_TOKEN.as_bytes()) {
                    return Some(Outcome::Json(StatusCode::UNAUTHORIZED, error("401", "The token is missing.")));
                }
                Some(Outcome::Json(StatusCode::OK, self.lock().issued.security_key(now, lifetime)))
            }
            _ => None,
        }
    }

    /// The first fault that strikes this request, if one does.
    fn strike(&self, project_id: &str) -> Option<Kind> {
        let name = self.options.projects.iter().find(|project| project.id == project_id).map(|project| project.name);
        let mut state = self.lock();
        for (fault, struck) in self.options.faults.iter().zip(&mut state.struck) {
            let is_meant = fault.project.as_deref().is_none_or(|meant| meant == project_id || Some(meant) == name);
            if is_meant {
                let nth = *struck;
                *struck += 1;
                if nth >= fault.after && fault.times.is_none_or(|times| nth < fault.after + times) {
                    return Some(fault.kind);
                }
            }
        }
        None
    }

    /// Checks the token or the signature, and locks a key that fails too often.
    fn authenticate<B>(&self, request: &Request<B>) -> Result<(), String> {
        if let Some(token) = request.headers().get("x-auth-token") {
            let given = token.to_str().unwrap_or_default();
            let is_right =
                self.options.token.as_deref() == Some(given) || self.lock().issued.project_of(given).is_some();
            return is_right
                .then_some(())
                .ok_or_else(|| "Incorrect IAM authentication information: decrypt token fail".to_owned());
        }
        let access_key =
            signature::access_key(request).ok_or("Incorrect IAM authentication information: x-auth-token not found")?;
        let now = Instant::now();
        let locked = |until: Option<Instant>| until.is_some_and(|until| now < until);
        let message = |what: &str| format!("Incorrect IAM authentication information: {what}");
        if self.lock().failures.get(&access_key).is_some_and(|(_, until)| locked(*until)) {
            return Err(message("AK access failed to reach the limit,forbidden."));
        }
        let temporary = self.lock().issued.keys_of(&access_key).cloned();
        let verdict = if let Some((secret_key, token)) = temporary {
            signature::verify(request, &secret_key, Some(&token), (self.options.clock)())
        } else if access_key == self.options.access_key {
            let token = self.options.security_token.as_deref();
            signature::verify(request, &self.options.secret_key, token, (self.options.clock)())
        } else {
            Err("Get secretKey failed, ak not exist".to_owned())
        };
        let mut state = self.lock();
        let entry = state.failures.entry(access_key).or_default();
        match verdict {
            Ok(()) => {
                *entry = (0, None);
                Ok(())
            }
            Err(what) => {
                entry.0 += 1;
                if entry.0 >= FAILURES_TO_LOCK {
                    *entry = (0, Some(now + LOCKED_FOR));
                }
                Err(message(&what))
            }
        }
    }
}

/// Whom a request is about, for faults and for those who watch: a project's id, or the name of a service.
fn place(path: &str) -> &str {
    match path {
        "/v3/auth/tokens" | "/v3/projects" => "iam",
        "/v5/agencies/assume-with-oidc" => "sts",
        POD_IDENTITY_PATH => "pod-identity",
        "/meta-data/latest/api/token" | "/openstack/latest/securitykey" => "metadata",
        _ => api::project_id(path).unwrap_or_default(),
    }
}

fn error(code: &str, message: &str) -> Value {
    json!({"error_code": code, "error_msg": message})
}

fn full(text: String) -> UnsyncBoxBody<Bytes, io::Error> {
    Full::new(Bytes::from(text)).map_err(|never: Infallible| match never {}).boxed_unsync()
}

fn response(
    status: StatusCode,
    content_type: &'static str,
    body: UnsyncBoxBody<Bytes, io::Error>,
    request_id: &str,
) -> Response<UnsyncBoxBody<Bytes, io::Error>> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    if let Ok(id) = HeaderValue::from_str(request_id) {
        response.headers_mut().insert("x-request-id", id);
    }
    response
}

/// A body that breaks off.
struct Truncated(Option<Bytes>);

impl Body for Truncated {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        let next = self.0.take().map(Frame::data).ok_or_else(|| io::ErrorKind::ConnectionReset.into());
        Poll::Ready(Some(next))
    }
}
