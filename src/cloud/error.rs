//! Why a request failed, for the person on call: what, with which status, code and request id, and what to do.

use std::{sync::Arc, time::Duration};

use thiserror::Error;

use crate::usage::Reason;

/// Who was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Service {
    /// MetaStudio.
    MetaStudio,
    /// IAM, for a token.
    Iam,
    /// IAM, for the id of a project.
    Projects,
    /// The metadata service of an ECS instance, for keys.
    Metadata,
    /// STS, for keys.
    Sts,
    /// The agent of a CCE node, for keys.
    PodIdentity,
}

/// An answer with an error status.
///
/// Source: contract, 2.1 to 2.3. The status counts first, because the meaning of the service's codes differs between
/// its API groups.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Who refused.
    pub service: Service,
    /// The HTTP status.
    pub status: u16,
    /// The cloud's `error_code`; the status where it sent none.
    pub code: String,
    /// The cloud's `error_msg`, cut short and without anything secret.
    pub message: String,
    /// `X-Request-Id` of the answer, or its body's `request_id`.
    pub request_id: Option<String>,
    /// How long the service asks to wait (`Retry-After`).
    pub retry_after: Option<Duration>,
    /// How far the local clock is ahead of the service's, in seconds, where that may be why it refused.
    pub clock_ahead: Option<i64>,
}

/// A request, or the whole query it belongs to, failed.
///
/// The texts have no apostrophes: logfmt would show them escaped.
#[derive(Debug, Error)]
pub enum Error {
    /// Something that credentials are made of is missing or unusable.
    #[error("{0}")]
    Credentials(String),
    /// What went wrong when the source was last asked.
    #[error("{0}")]
    Source(Arc<Error>),
    /// There are no credentials to ask with.
    #[error("credentials {name}: {error}")]
    Unavailable {
        /// Their name in the configuration.
        name: String,
        /// Why.
        error: Arc<Error>,
    },
    /// A request was not sent, because the service refused this key a short while ago.
    #[error(
        "not asked: the key or password was refused a short while ago, or got no answer, and more failures would lock it \
         for 5 minutes; next try in {}s, or as soon as it changes. Check the key of these credentials",
        .0.as_secs()
    )]
    KeyHeld(Duration),
    /// IAM was not asked, because it refused this password before.
    #[error(
        "not asked: IAM refused this password for this project, it never worked, and more failures would lock the user; \
         it is tried again when the password or the project changes, or after a restart. Check the domain, user and \
         password, and that the user has a role in the project"
    )]
    WrongPassword,
    /// The project cannot be told by its region.
    #[error("{0}. Set project_id (console: My Credentials)")]
    NoProject(String),
    /// The service answered with an error status.
    #[error("HTTP {} {}: {}{}. {}", .0.status, .0.code, .0.message, request_id(.0), remedy(.0))]
    Refused(Box<Refusal>),
    /// The request or the poll ran out of time.
    #[error("{0}")]
    Timeout(String),
    /// No answer, or only a part of one.
    #[error("{0}. Check name resolution, routes, firewalls and the proxy between here and the endpoint")]
    Network(String),
    /// An answer that is not what the API documents.
    #[error("unexpected answer: {0}. Check the endpoint, and that no proxy or portal answers for it")]
    Malformed(String),
    /// Pages that contradict each other.
    #[error("inconsistent pages: {0}. The values of the last complete poll stay in force")]
    Inconsistent(String),
}

impl Error {
    /// The `reason` label.
    pub fn reason(&self) -> Reason {
        match self {
            Error::Credentials(_) | Error::KeyHeld(_) | Error::WrongPassword => Reason::Auth,
            Error::NoProject(_) => Reason::BadRequest,
            Error::Source(error) | Error::Unavailable { error, .. } => error.reason(),
            Error::Refused(refusal) => refusal.reason(),
            Error::Timeout(_) => Reason::Timeout,
            Error::Network(_) => Reason::Network,
            Error::Malformed(_) => Reason::Malformed,
            Error::Inconsistent(_) => Reason::Inconsistent,
        }
    }

    /// Whether the same request may well succeed a little later.
    pub fn is_transient(&self) -> bool {
        match self {
            Error::Refused(refusal) => matches!(refusal.status, 408 | 429 | 500 | 502 | 503 | 504),
            Error::Timeout(_) | Error::Network(_) => true,
            Error::Credentials(_)
            | Error::Source(_)
            | Error::Unavailable { .. }
            | Error::KeyHeld(_)
            | Error::WrongPassword
            | Error::NoProject(_)
            | Error::Malformed(_)
            | Error::Inconsistent(_) => false,
        }
    }

    /// Whether the service did not accept the key or token, which counts towards locking it.
    pub fn is_key_refused(&self) -> bool {
        matches!(self, Error::Refused(refusal) if refusal.is_key_refused())
    }

    /// Whether the project id belongs to another account than the key.
    pub fn is_foreign_project(&self) -> bool {
        matches!(self, Error::Refused(refusal) if refusal.has_code("00010009"))
    }
}

impl Refusal {
    fn reason(&self) -> Reason {
        match self.status {
            401 => Reason::Auth,
            400 if self.has_code("00010008") || self.has_code("00010009") => Reason::Auth,
            403 if self.has_code("000000004") => Reason::Auth,
            403 => Reason::Forbidden,
            408 => Reason::Timeout,
            429 => Reason::Throttled,
            400..=499 => Reason::BadRequest,
            500..=599 => Reason::Server,
            _ => Reason::Malformed,
        }
    }

    fn is_key_refused(&self) -> bool {
        // 00010009 (another tenant's project id) says nothing against the key. The nine digits are no slip (contract, 2.2).
        self.status == 401
            || (self.status == 403 && self.has_code("000000004"))
            || (self.status == 400 && self.has_code("00010008"))
    }

    /// Products with a gateway of their own say `APIG.` for `APIGW.`: the digits count.
    fn has_code(&self, digits: &str) -> bool {
        self.code.rsplit('.').next() == Some(digits)
    }
}

fn request_id(refusal: &Refusal) -> String {
    refusal.request_id.as_ref().map_or_else(String::new, |id| format!(" (request id {id})"))
}

fn remedy(refusal: &Refusal) -> String {
    if let Some(seconds) = refusal.clock_ahead {
        let way = if seconds > 0 { "ahead of" } else { "behind" };
        let off = seconds.unsigned_abs();
        return format!(
            "The clock of this machine is {off}s {way} that of the service, which refuses more than 900s: set the clock"
        );
    }
    let text = match refusal.reason() {
        _ if refusal.service == Service::Metadata => "Check that this is an ECS instance and has an agency",
        _ if refusal.service == Service::PodIdentity => {
            "Check that the service account of this pod is associated with an agency, and that the cluster has the add-on"
        }
        Reason::Auth | Reason::BadRequest | Reason::Forbidden if refusal.service == Service::Sts => {
            "Check the URNs of provider and agency, that the agency trusts this token, and that the token is fresh"
        }
        Reason::Forbidden if refusal.service == Service::Projects => {
            "The user may not list projects: set project_id, or grant it iam:projects:listProjects"
        }
        Reason::BadRequest if refusal.service == Service::Projects => "Set project_id, or check api.iam_endpoint",
        Reason::Auth | Reason::BadRequest | Reason::Forbidden if refusal.service == Service::Iam => {
            "Check the domain, user and password, that the user may log in without MFA, and the project id"
        }
        Reason::Auth if refusal.has_code("00010009") => {
            "The project id belongs to another account than the key: check project_id and credentials"
        }
        Reason::Auth if refusal.message.contains("reach the limit") => {
            "The account has locked this key for 5 minutes after repeated failures: find out who else uses it"
        }
        Reason::Auth if refusal.has_code("0307") => "The token has expired or belongs to another region: renew it",
        Reason::Auth => {
            "Check the access key, secret key or token, and that they belong to the account of this project"
        }
        Reason::Forbidden => "The user lacks permission: grant it the access policy of MetaStudio in this project",
        Reason::Throttled => "Lower api.requests_per_second or raise poll.interval if this goes on",
        Reason::Server => "The service has a fault: if it lasts, report it with the request id",
        Reason::BadRequest if refusal.status == 404 => "Check the region or endpoint, and the project id",
        Reason::BadRequest => "Check the windows (the service may limit how far back they reach) and the project id",
        _ => "Check that the endpoint is that of MetaStudio",
    };
    text.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(status: u16, code: &str, message: &str) -> Error {
        Error::Refused(Box::new(Refusal {
            service: Service::MetaStudio,
            status,
            code: code.to_owned(),
            message: message.to_owned(),
            request_id: Some("rid".to_owned()),
            retry_after: None,
            clock_ahead: None,
        }))
    }

    #[test]
    fn status_first_then_code() {
        let cases = [
            (401, "APIGW.0301", Reason::Auth, false, true),
            (401, "MSS.00000003", Reason::Auth, false, true),
            (400, "MSS.00000003", Reason::BadRequest, false, false),
            (400, "MSS.00010008", Reason::Auth, false, true),
            (400, "MSS.00010009", Reason::Auth, false, false),
            (403, "MSS.00000001", Reason::Forbidden, false, false),
            (403, "MSS.000000004", Reason::Auth, false, true),
            (404, "APIGW.0101", Reason::BadRequest, false, false),
            (405, "APIG.0501", Reason::BadRequest, false, false),
            (429, "APIGW.0308", Reason::Throttled, true, false),
            (500, "MSS.00000004", Reason::Server, true, false),
            (501, "501", Reason::Server, false, false),
            (503, "APIGW.0613", Reason::Server, true, false),
        ];
        for (status, code, reason, transient, key_refused) in cases {
            let error = refused(status, code, "m");
            assert_eq!(error.reason(), reason, "{status} {code}");
            assert_eq!(error.is_transient(), transient, "{status} {code}");
            assert_eq!(error.is_key_refused(), key_refused, "{status} {code}");
        }
    }

    #[test]
    fn says_what_failed_and_what_to_do() {
        let error = refused(401, "APIGW.0301", "AK access failed to reach the limit,forbidden.").to_string();
        assert!(error.starts_with("HTTP 401 APIGW.0301: AK access failed"), "{error}");
        assert!(error.contains("(request id rid)"), "{error}");
        assert!(error.contains("locked this key for 5 minutes"), "{error}");
        let error = refused(400, "MSS.00010009", "m").to_string();
        assert!(error.contains("belongs to another account"), "{error}");
    }
}
