//! The API gateway of the simulated cloud: applies the faults, checks tokens and signatures, and routes each
//! request to its service.

use std::{collections::HashMap, time::Duration};

use bytes::Bytes;
use hyper::{
    Method, Request, StatusCode,
    header::{HeaderName, HeaderValue, LOCATION, RETRY_AFTER},
};
use parking_lot::Mutex;
use tokio::time::Instant;

use super::{
    api,
    billing::{self, BillingOperation},
    faults::FaultKind,
    identity::{self, IssuedCredentials},
    operations::Operation,
    options::Options,
    reply::Reply,
    signature,
};

/// Consecutive failures that lock a key, and how long it stays locked (contract, 2.3, the stricter reading).
const FAILURES_TO_LOCK: u32 = 5;
const LOCKED_FOR: Duration = Duration::from_secs(5 * 60);

/// The path of the node agent that gives credentials to pods. In a real cluster, an environment variable tells pods
/// this path.
const POD_IDENTITY_PATH: &str = "/v1/pod-identity";

#[derive(Debug)]
pub(super) struct Gateway {
    options: Options,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// How many requests each fault has matched, in the order of the options.
    matched: Vec<u64>,
    /// How many requests have asked for each list.
    asked: HashMap<String, u32>,
    /// Failures by access key.
    failures: HashMap<String, Failures>,
    issued: IssuedCredentials,
}

#[derive(Debug, Default)]
struct Failures {
    consecutive: u32,
    locked_until: Option<Instant>,
}

/// The name for the recipient of a request: a project id, or one of [`SERVICES`](super::options::SERVICES).
pub(super) fn recipient(path: &str) -> &str {
    match path {
        "/v3/auth/tokens" | "/v3/projects" | "/v3/auth/domains" => "iam",
        path if BillingOperation::of(path).is_some() => "bss",
        "/v5/agencies/assume-with-oidc" => "sts",
        POD_IDENTITY_PATH => "pod-identity",
        "/meta-data/latest/api/token" | "/openstack/latest/securitykey" => "metadata",
        _ => api::project_id(path).or_else(|| Some(Operation::of(path)?.0)).unwrap_or_default(),
    }
}

impl Gateway {
    pub fn new(options: Options) -> Self {
        let state = Mutex::new(State { matched: vec![0; options.faults.len()], ..State::default() });
        Gateway { options, state }
    }

    pub fn options(&self) -> &Options {
        &self.options
    }

    pub fn reply(&self, request: &Request<Bytes>) -> Reply {
        let recipient = recipient(request.uri().path());
        let fault = self.next_fault(recipient, request.uri().path());
        fault
            .and_then(|fault| fault_reply(fault, request))
            .or_else(|| self.identity_services(request))
            .or_else(|| self.billing(request, fault))
            .unwrap_or_else(|| self.of_project(request, recipient, fault))
    }

    /// The first fault that applies to this request.
    fn next_fault(&self, recipient: &str, path: &str) -> Option<FaultKind> {
        let of_billing = || BillingOperation::of(path).map(BillingOperation::name);
        let operation = Operation::of(path).map(|(_, operation)| operation.name).or_else(of_billing);
        let project = self.options.projects.iter().find(|project| project.id == recipient);
        let name = project.map(|project| project.name.as_str());
        let mut state = self.state.lock();
        for (fault, matched) in self.options.faults.iter().zip(&mut state.matched) {
            let is_wanted = |wanted| wanted == recipient || [name, operation].contains(&Some(wanted));
            if fault.project.as_deref().is_none_or(is_wanted) {
                let before = *matched;
                *matched += 1;
                if before >= fault.after && fault.times.is_none_or(|times| before < fault.after + times) {
                    return Some(fault.kind);
                }
            }
        }
        None
    }

    /// Counts a request for a list. Returns the number of earlier requests for the same list.
    fn next_request_for(&self, list: String) -> u32 {
        let mut state = self.state.lock();
        let asked = state.asked.entry(list).or_default();
        *asked += 1;
        *asked - 1
    }

    /// The operations of MetaStudio.
    fn of_project(&self, request: &Request<Bytes>, project_id: &str, fault: Option<FaultKind>) -> Reply {
        let path = request.uri().path();
        let operation = Operation::of(path).map(|(_, operation)| operation);
        if request.method() != Method::GET || !(operation.is_some() || api::project_id(path).is_some()) {
            return not_found();
        }
        if let Err(reason) = self.authenticate(request) {
            return Reply::error(StatusCode::UNAUTHORIZED, "APIGW.0301", &reason);
        }
        let token = request.headers().get("x-auth-token").and_then(|token| token.to_str().ok());
        let is_foreign = token.is_some_and(|token| {
            self.state.lock().issued.project_of(token).is_some_and(|issued_for| issued_for != project_id)
        });
        let Some(project) = self.options.projects.iter().find(|project| project.id == project_id && !is_foreign) else {
            let message = "urlTenantId is not equal tokenTenantId";
            return Reply::error(StatusCode::BAD_REQUEST, "MSS.00010009", message);
        };
        let query = request.uri().query().unwrap_or_default();
        let (service, now) = (&self.options.service, (self.options.clock)());
        let answer = if let Some(operation) = operation {
            let earlier = self.next_request_for(format!("{project_id} {}", operation.name));
            operation.answer(project, query, service, now, earlier)
        } else {
            let earlier = self.next_request_for(format!("{project_id} {}", api::list_of(query, service)));
            api::show_usage_data(project, query, service, now, earlier)
        };
        match answer {
            Ok(answer) => {
                let reply = Reply::json(StatusCode::OK, &answer);
                if fault == Some(FaultKind::Truncate) { reply.truncated() } else { reply }
            }
            Err(name) => Reply::error(StatusCode::BAD_REQUEST, "MSS.00000003", &format!("Invalid parameter: {name}")),
        }
    }

    /// The billing service. It answers for an account. The header `X-Domain-Id` must have the id of this account, and a
    /// token must be issued for the account.
    fn billing(&self, request: &Request<Bytes>, fault: Option<FaultKind>) -> Option<Reply> {
        let operation = BillingOperation::of(request.uri().path())?;
        let header = |name| request.headers().get(name).and_then(|value: &HeaderValue| value.to_str().ok());
        if request.method().as_str() != operation.method() {
            return Some(Reply::error(StatusCode::METHOD_NOT_ALLOWED, "APIG.0102", "The method is not allowed."));
        }
        let is_unsigned = header("authorization").is_some_and(|signature| !signature.contains("x-domain-id"));
        let authenticated =
            if is_unsigned { Err("x-domain-id is not signed".to_owned()) } else { self.authenticate(request) };
        if let Err(reason) = authenticated {
            return Some(Reply::error(StatusCode::UNAUTHORIZED, "APIG.0301", &reason));
        }
        let account_id = self.options.account_id.as_str();
        let token = header("x-auth-token").filter(|token| self.options.token.as_deref() != Some(token));
        let is_foreign = token
            .is_some_and(|token| self.state.lock().issued.project_of(token).is_some_and(|issued| issued != account_id));
        if is_foreign || header("x-domain-id") != Some(account_id) || header("x-project-id").is_some() {
            return Some(Reply::error(StatusCode::FORBIDDEN, "CBC.0151", "Access denied."));
        }
        let (service, now) = (&self.options.service, (self.options.clock)());
        let answer = match operation {
            BillingOperation::Units => {
                Ok(billing::units(header("x-language").unwrap_or("zh_CN"), &self.options.service))
            }
            BillingOperation::Packages => {
                let earlier = self.next_request_for(operation.name().to_owned());
                billing::packages(&self.options.projects, request.body(), service, now, earlier)
            }
        };
        Some(match answer {
            Ok(answer) => {
                let reply = Reply::json(StatusCode::OK, &answer);
                if fault == Some(FaultKind::Truncate) { reply.truncated() } else { reply }
            }
            Err(name) => Reply::error(StatusCode::BAD_REQUEST, "CBC.0100", &format!("Parameter error: {name}")),
        })
    }

    /// IAM, STS, the metadata service and the node agent.
    fn identity_services(&self, request: &Request<Bytes>) -> Option<Reply> {
        let now = (self.options.clock)();
        let lifetime = chrono::Duration::from_std(self.options.lifetime).unwrap_or_default();
        let header = |name| request.headers().get(name).map(HeaderValue::as_bytes);
        let reply = match (request.method(), request.uri().path()) {
            (&Method::POST, "/v3/auth/tokens") => {
                let default_project = self.options.projects.first().map_or("", |project| &project.id);
                let user = &self.options.user;
                let answer = self.state.lock().issued.token(
                    user,
                    default_project,
                    &self.options.account_id,
                    request.body(),
                    now,
                    lifetime,
                );
                let (status, token, body) = answer;
                let reply = Reply::json(status, &body);
                match token {
                    Some(token) => reply.with_header(HeaderName::from_static("x-subject-token"), &token),
                    None => reply,
                }
            }
            (&Method::GET, "/v3/projects") => match self.authenticate(request) {
                Ok(()) => {
                    let name = request.uri().query().and_then(|query| query.strip_prefix("name="));
                    Reply::json(StatusCode::OK, &identity::projects(&self.options.projects, name))
                }
                Err(reason) => Reply::error(StatusCode::UNAUTHORIZED, "APIGW.0301", &reason),
            },
            (&Method::GET, "/v3/auth/domains") => match self.authenticate(request) {
                Ok(()) => {
                    Reply::json(StatusCode::OK, &identity::domains(&self.options.account_id, &self.options.user.domain))
                }
                Err(reason) => Reply::error(StatusCode::UNAUTHORIZED, "APIGW.0301", &reason),
            },
            (&Method::POST, "/v5/agencies/assume-with-oidc") => {
                let (status, body) = self.state.lock().issued.assume_with_oidc(request.body(), now, lifetime);
                Reply::json(status, &body)
            }
            (&Method::POST, POD_IDENTITY_PATH) => {
                let (status, body) = self.state.lock().issued.pod_identity(header("authorization"), now, lifetime);
                Reply::json(status, &body)
            }
            (&Method::PUT, "/meta-data/latest/api/token") => {
                Reply::text(StatusCode::OK, "text/plain", identity::METADATA_TOKEN)
            }
            (&Method::GET, "/openstack/latest/securitykey") => {
                if header("x-metadata-token") == Some(identity::METADATA_TOKEN.as_bytes()) {
                    Reply::json(StatusCode::OK, &self.state.lock().issued.security_key(now, lifetime))
                } else {
                    Reply::error(StatusCode::UNAUTHORIZED, "401", "The token is missing.")
                }
            }
            _ => return None,
        };
        Some(reply)
    }

    /// Checks the token or the signature, and locks a key that fails too often.
    fn authenticate(&self, request: &Request<Bytes>) -> Result<(), String> {
        let message = |reason: &str| format!("Incorrect IAM authentication information: {reason}");
        if let Some(token) = request.headers().get("x-auth-token") {
            let token = token.to_str().unwrap_or_default();
            let is_right =
                self.options.token.as_deref() == Some(token) || self.state.lock().issued.project_of(token).is_some();
            return if is_right { Ok(()) } else { Err(message("decrypt token fail")) };
        }
        let access_key = signature::access_key(request).ok_or_else(|| message("x-auth-token not found"))?;
        let now = Instant::now();
        let locked_until = |state: &State| state.failures.get(&access_key).and_then(|failures| failures.locked_until);
        if locked_until(&self.state.lock()).is_some_and(|until| now < until) {
            return Err(message("AK access failed to reach the limit,forbidden."));
        }
        let verdict = self.verify(request, &access_key);
        let mut state = self.state.lock();
        let failures = state.failures.entry(access_key).or_default();
        match verdict {
            Ok(()) => {
                *failures = Failures::default();
                Ok(())
            }
            Err(reason) => {
                failures.consecutive += 1;
                if failures.consecutive >= FAILURES_TO_LOCK {
                    *failures = Failures { consecutive: 0, locked_until: Some(now + LOCKED_FOR) };
                }
                Err(message(&reason))
            }
        }
    }

    /// Checks the signature with the secret key that belongs to the access key, whether permanent or issued.
    fn verify(&self, request: &Request<Bytes>, access_key: &str) -> Result<(), String> {
        let now = (self.options.clock)();
        let issued = self.state.lock().issued.keys_of(access_key).cloned();
        if let Some((secret_key, token)) = issued {
            signature::verify(request, &secret_key, Some(&token), now)
        } else if access_key == self.options.access_key {
            signature::verify(request, &self.options.secret_key, self.options.security_token.as_deref(), now)
        } else {
            Err("Get secretKey failed, ak not exist".to_owned())
        }
    }
}

/// The reply that a fault gives. `None` for the fault that cuts the usual answer.
fn fault_reply(fault: FaultKind, request: &Request<Bytes>) -> Option<Reply> {
    let reply = match fault {
        FaultKind::Throttle { retry_after } => {
            let message =
                "The throttling threshold has been reached: policy user over ratelimit,limit:10,time:1 second";
            let reply = Reply::error(StatusCode::TOO_MANY_REQUESTS, "APIGW.0308", message);
            match retry_after {
                Some(seconds) => reply.with_header(RETRY_AFTER, &seconds.to_string()),
                None => reply,
            }
        }
        FaultKind::ServerError => Reply::error(StatusCode::INTERNAL_SERVER_ERROR, "MSS.00000004", "Internal Error"),
        FaultKind::Forbidden => Reply::error(StatusCode::FORBIDDEN, "MSS.00000005", "Forbidden"),
        FaultKind::NotFound => not_found(),
        FaultKind::Echo => {
            let headers: String = request.headers().iter().map(|(name, value)| format!("{name}:{value:?} ")).collect();
            let body = String::from_utf8_lossy(request.body());
            let message = format!("verify aksk signature fail, canonical request: {headers}{body}");
            Reply::error(StatusCode::UNAUTHORIZED, "APIGW.0301", &message)
        }
        FaultKind::Hang => Reply::Hang,
        FaultKind::Disconnect => Reply::Disconnect,
        FaultKind::Redirect => Reply::text(StatusCode::FOUND, "text/html", "").with_header(LOCATION, "/login"),
        FaultKind::Html => Reply::text(StatusCode::OK, "text/html", "<html><title>Sign in</title></html>"),
        FaultKind::Empty => Reply::text(StatusCode::OK, "application/json", ""),
        FaultKind::Truncate => return None,
    };
    Some(reply)
}

fn not_found() -> Reply {
    Reply::error(StatusCode::NOT_FOUND, "APIGW.0101", "The API does not exist or has not been published.")
}
