//! Why a request failed: status, code and request id, the label `reason`, and advice for the person on call.
//!
//! `Display` says what failed, without the causes: those are in `source()`. [`Error::report`] joins both and adds what
//! to do.

use std::{error::Error as StdError, fmt, io, sync::Arc, time::Duration};

use thiserror::Error;

use crate::usage::{Overflow, Reason};

/// The minimum time until a collector repeats an operation that the service has refused. A poll waits as long before it
/// asks for the list of sub-users again.
pub(crate) const AFTER_REFUSAL: Duration = Duration::from_secs(60 * 60);

/// Any error that caused one of ours.
pub(crate) type Cause = Box<dyn StdError + Send + Sync>;

/// Returns what to do about a refusal. Each operation has its own function; `None` means the general advice.
pub(crate) type Advice = fn(&Refusal) -> Option<&'static str>;

/// The failure of a request, or of the query that it belongs to.
#[derive(Debug, Error)]
pub enum Error {
    /// A part of the credentials is missing or unusable.
    #[error(transparent)]
    Credentials(Cause),
    /// Several callers get the same failure: they waited for the same request, or called soon after it failed.
    #[error(transparent)]
    Shared(Arc<Error>),
    /// The source of these credentials gave no identity.
    #[error("credentials {name}")]
    Unavailable {
        /// Name of the credentials in the configuration.
        name: String,
        /// The failure of the source.
        source: Arc<Error>,
    },
    /// The request was not sent: this key was refused, or got no answers, a short while ago.
    #[error(
        "not sent: the key or password was refused a short while ago, or got no answer. More failures would lock it for \
         5 minutes. Next try in {}s, or as soon as it changes",
        .0.as_secs()
    )]
    KeyHeld(Duration),
    /// The request to IAM was not sent: IAM has refused this password before.
    #[error(
        "not sent: IAM refused this password for this project, and it has never worked. More failures would lock the \
         user. It is tried again when the password or the project changes, or after a restart, once the hold has ended"
    )]
    WrongPassword,
    /// No project with the name of the region was found, so the project id is unknown.
    #[error("{0}")]
    NoProject(String),
    /// IAM names no account, or several, so the account id is unknown.
    #[error("{0}")]
    NoAccount(String),
    /// The service answered with an error status.
    #[error(transparent)]
    Refused(Box<Refusal>),
    /// The request or the poll ran out of time.
    #[error("{0}")]
    Timeout(String),
    /// The answer is large, and another one is in memory. The request is sent again in its turn.
    #[error("the answer is large, and another large one was still being read")]
    LargeAnswer,
    /// No answer, or only a part of one.
    #[error(transparent)]
    Network(NetworkError),
    /// An answer that differs from what the API documents.
    #[error("unexpected answer: {0}")]
    Malformed(String),
    /// More rows, texts or series than the exporter takes ([the bounds](../../../docs/numbers.md#bounds)). The text
    /// says what to do.
    #[error("beyond a bound: {0}")]
    BeyondBound(String),
    /// Answers that contradict each other or the request.
    #[error("inconsistent answers: {0}. The values of the last complete poll stay in use")]
    Inconsistent(String),
}

impl From<Overflow> for Error {
    fn from(overflow: Overflow) -> Self {
        Error::Malformed(overflow.to_string())
    }
}

impl Error {
    /// The `reason` label.
    pub fn reason(&self) -> Reason {
        match self {
            Error::Credentials(_) | Error::KeyHeld(_) | Error::WrongPassword => Reason::Auth,
            Error::NoProject(_) | Error::NoAccount(_) => Reason::BadRequest,
            Error::Shared(error) | Error::Unavailable { source: error, .. } => error.reason(),
            Error::Refused(refusal) => refusal.reason(),
            Error::Timeout(_) | Error::LargeAnswer => Reason::Timeout,
            Error::Network(error) if error.is_timeout => Reason::Timeout,
            Error::Network(_) => Reason::Network,
            Error::Malformed(_) | Error::BeyondBound(_) => Reason::Malformed,
            Error::Inconsistent(_) => Reason::Inconsistent,
        }
    }

    /// Whether the same request may succeed a little later.
    pub(crate) fn is_transient(&self) -> bool {
        match self {
            Error::Refused(refusal) => refusal.is_throttled() || matches!(refusal.status, 408 | 500 | 502 | 503 | 504),
            Error::Timeout(_) | Error::Network(_) => true,
            Error::Credentials(_)
            | Error::Shared(_)
            | Error::Unavailable { .. }
            | Error::KeyHeld(_)
            | Error::WrongPassword
            | Error::NoProject(_)
            | Error::NoAccount(_)
            | Error::LargeAnswer
            | Error::Malformed(_)
            | Error::BeyondBound(_)
            | Error::Inconsistent(_) => false,
        }
    }

    /// Whether a request was sent and no answer came. Without a connection, nothing was sent.
    pub(crate) fn is_unanswered(&self) -> bool {
        match self {
            Error::Timeout(_) => true,
            Error::Network(error) => error.is_connected,
            _ => false,
        }
    }

    /// Whether the service refused the key or token, which counts towards locking it.
    pub(crate) fn is_key_refused(&self) -> bool {
        matches!(self, Error::Refused(refusal) if refusal.is_key_refused())
    }

    /// Whether the key may not use the operation, or the service does not know it.
    pub(crate) fn is_operation_refused(&self) -> bool {
        matches!(
            self,
            Error::Refused(refusal) if matches!(refusal.status, 403 | 404) && refusal.reason() != Reason::Throttled
        )
    }

    /// Whether the project id belongs to another account than the key.
    pub(crate) fn is_foreign_project(&self) -> bool {
        matches!(self, Error::Refused(refusal) if refusal.has_code("00010009"))
    }

    /// Whether the service refuses a parameter. The reason may be a range that is too long, or that begins too long
    /// ago.
    pub(crate) fn is_range_refused(&self) -> bool {
        matches!(self, Error::Refused(refusal) if refusal.status == 400 && refusal.has_code("00000003"))
    }

    /// A refusal, for the tests of other modules.
    #[cfg(test)]
    pub(crate) fn refusal(status: u16, code: &str, message: &str) -> Self {
        Error::Refused(Box::new(Refusal {
            status,
            code: code.to_owned(),
            message: message.to_owned(),
            request_id: Some("rid".to_owned()),
            retry_after: None,
            clock_ahead: None,
            advice: |_| None,
        }))
    }

    /// The complete message: the failure, its causes, and what to do.
    pub fn report(&self) -> String {
        let text = with_causes(self);
        match self.advice() {
            Some(advice) => format!("{text}. {advice}"),
            None => text,
        }
    }

    fn advice(&self) -> Option<String> {
        let advice = match self {
            Error::Shared(error) | Error::Unavailable { source: error, .. } => return error.advice(),
            Error::Refused(refusal) => return Some(refusal.advice()),
            Error::KeyHeld(_) => "Check the key of these credentials",
            Error::WrongPassword => "Check the domain, user and password, and that the user has a role in the project",
            Error::NoProject(_) => "Set project_id (console: My Credentials)",
            Error::NoAccount(_) => "Set domain_id of the account (console: My Credentials, Account ID)",
            Error::Network(error) if !error.is_timeout => {
                "Check name resolution, routes, firewalls and the proxy between here and the endpoint"
            }
            Error::Malformed(_) => "Check the endpoint, and that no proxy or login portal answers in its place",
            Error::Credentials(_)
            | Error::Timeout(_)
            | Error::LargeAnswer
            | Error::Network(_)
            | Error::BeyondBound(_)
            | Error::Inconsistent(_) => return None,
        };
        Some(advice.to_owned())
    }
}

/// An error and all its causes, each text once.
pub(crate) fn with_causes(error: &dyn StdError) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let inner_text = inner.to_string();
        if !text.contains(&inner_text) {
            text = format!("{text}: {inner_text}");
        }
        cause = inner.source();
    }
    text
}

/// A connection that could not be made, or that broke.
#[derive(Debug)]
pub struct NetworkError {
    host: String,
    /// Without its URL, which may hold a secret.
    error: Cause,
    is_timeout: bool,
    /// Whether a connection was made, including the proxy and TLS if they are used.
    is_connected: bool,
}

impl NetworkError {
    pub(crate) fn new(host: &str, error: reqwest::Error) -> Self {
        let (is_timeout, is_connected) = (error.is_timeout(), !error.is_connect());
        NetworkError { host: host.to_owned(), is_timeout, is_connected, error: error.without_url().into() }
    }

    /// Whether the certificate of the server was refused.
    pub(crate) fn is_certificate_refused(&self) -> bool {
        is_invalid_certificate(&*self.error)
    }
}

fn is_invalid_certificate(error: &(dyn StdError + 'static)) -> bool {
    if let Some(error) = error.downcast_ref::<rustls::Error>() {
        return matches!(error, rustls::Error::InvalidCertificate(_));
    }
    // The method `source` of an I/O error skips the error that it wraps.
    match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
        Some(wrapped) => is_invalid_certificate(wrapped),
        None => error.source().is_some_and(is_invalid_certificate),
    }
}

impl fmt::Display for NetworkError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.host, self.error)
    }
}

/// `Display` already prints `error`. So `source` skips it and returns its cause; otherwise it would be printed twice.
impl StdError for NetworkError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.error.source()
    }
}

/// The connections to the cloud cannot be set up as configured.
#[derive(Debug, Error)]
pub enum SetupError {
    /// The CA file holds an unusable certificate.
    #[error("api.ca_file")]
    Ca(#[source] Cause),
    /// The proxy is unusable.
    #[error("api.proxy")]
    Proxy(#[from] reqwest::Error),
}

/// An answer with an error status.
///
/// Source: contract, 2.1 to 2.3. The status counts first, because the meaning of the service's codes differs between
/// its API groups.
#[derive(Clone, Debug, Error)]
#[error("HTTP {status} {code}: {message}{}", in_parentheses(.request_id.as_deref()))]
pub struct Refusal {
    pub(crate) status: u16,
    /// The cloud's `error_code`; the status if it sent none.
    pub(crate) code: String,
    /// The cloud's `error_msg`, shortened and without secrets.
    pub(crate) message: String,
    /// `X-Request-Id` or `X-IAM-Trace-Id` of the answer, or its body's `request_id`.
    pub(crate) request_id: Option<String>,
    /// How long the service asks to wait (`Retry-After`).
    pub(crate) retry_after: Option<Duration>,
    /// Local clock minus service clock, in seconds. `None` if the clock cannot be the reason for the refusal.
    pub(crate) clock_ahead: Option<i64>,
    /// The operation's own advice about this refusal.
    pub(crate) advice: Advice,
}

/// The request id, to be appended to a message.
pub(crate) fn in_parentheses(request_id: Option<&str>) -> String {
    request_id.map_or_else(String::new, |id| format!(" (request id {id})"))
}

impl Refusal {
    pub(crate) fn reason(&self) -> Reason {
        match self.status {
            _ if self.is_throttled() => Reason::Throttled,
            401 => Reason::Auth,
            400 if self.has_code("00010008") || self.has_code("00010009") => Reason::Auth,
            403 if self.has_code("000000004") => Reason::Auth,
            403 => Reason::Forbidden,
            408 => Reason::Timeout,
            400..=499 => Reason::BadRequest,
            500..=599 => Reason::Server,
            _ => Reason::Malformed,
        }
    }

    /// The documentation of the billing service names the code 0308, but no status (contract, 17).
    pub(crate) fn is_throttled(&self) -> bool {
        self.status == 429 || self.has_code("0308")
    }

    fn is_key_refused(&self) -> bool {
        // 00010009 (another tenant's project id) does not mean that the key is wrong. 000000004 really has nine digits
        // (contract, 2.2).
        self.status == 401
            || (self.status == 403 && self.has_code("000000004"))
            || (self.status == 400 && self.has_code("00010008"))
    }

    /// Compares the digits only: products with a gateway of their own write `APIG.` instead of `APIGW.`.
    fn has_code(&self, digits: &str) -> bool {
        self.code.rsplit('.').next() == Some(digits)
    }

    fn advice(&self) -> String {
        if let Some(seconds) = self.clock_ahead {
            let direction = if seconds > 0 { "ahead of" } else { "behind" };
            let difference = seconds.unsigned_abs();
            return format!(
                "The clock of this machine is {difference}s {direction} the clock of the service. The service refuses a \
                 difference of more than 900s. Set the clock of this machine"
            );
        }
        (self.advice)(self).unwrap_or_else(|| self.general_advice()).to_owned()
    }

    fn general_advice(&self) -> &'static str {
        match self.reason() {
            Reason::Auth if self.has_code("00010009") => {
                "The project id belongs to another account than the key: check project_id and credentials"
            }
            Reason::Auth if self.message.contains("reach the limit") => {
                "The account has locked this key for 5 minutes after repeated failures: find the programs that use it"
            }
            Reason::Auth if self.has_code("0307") => "The token has expired or belongs to another region: renew it",
            Reason::Auth => {
                "Check the access key, secret key or token, and that they belong to the account of this project"
            }
            Reason::Forbidden => "The user lacks permission: grant it access to this API in this project",
            Reason::Throttled => "Lower api.requests_per_second or raise poll.interval if this continues",
            Reason::Server => "The service has a fault: if it lasts, report it to Huawei Cloud with the request id",
            _ => "Check the region or endpoint, and the project id",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(status: u16, code: &str, message: &str) -> Error {
        Error::refusal(status, code, message)
    }

    #[test]
    fn the_reason_follows_from_the_status_then_the_code() {
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
            (403, "APIG.0308", Reason::Throttled, true, false),
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
    fn a_report_has_the_failure_and_the_advice() {
        let error = refused(401, "APIGW.0301", "AK access failed to reach the limit,forbidden.").report();
        assert!(error.starts_with("HTTP 401 APIGW.0301: AK access failed"), "{error}");
        assert!(error.contains("(request id rid)"), "{error}");
        assert!(error.contains("locked this key for 5 minutes"), "{error}");
        let error = refused(400, "MSS.00010009", "m").report();
        assert!(error.contains("belongs to another account"), "{error}");
    }

    /// As main prints it: `Display`, then the sources.
    fn printed_by_anyhow(error: Error) -> String {
        format!("{:#}", anyhow::Error::from(error))
    }

    fn unavailable(error: Error) -> Error {
        Error::Unavailable { name: "main".to_owned(), source: Arc::new(Error::Shared(Arc::new(error))) }
    }

    #[test]
    fn causes_are_sources_and_are_printed_once() {
        let error = io::Error::new(io::ErrorKind::ConnectionRefused, "refused by the test");
        let error =
            NetworkError { host: "host".to_owned(), error: Box::new(error), is_timeout: false, is_connected: false };
        let error = unavailable(Error::Network(error));
        assert!(
            error.report().starts_with("credentials main: host: refused by the test. Check name"),
            "{}",
            error.report()
        );
        assert!(error.source().is_some());
        assert_eq!(printed_by_anyhow(error), "credentials main: host: refused by the test");

        let error = unavailable(refused(401, "APIGW.0301", "m"));
        let report = error.report();
        assert!(report.starts_with("credentials main: HTTP 401 APIGW.0301: m (request id rid). Check"), "{report}");
        assert_eq!(printed_by_anyhow(error), "credentials main: HTTP 401 APIGW.0301: m (request id rid)");
        let error = SetupError::Ca("BadEncoding".into());
        assert_eq!(format!("{:#}", anyhow::Error::from(error)), "api.ca_file: BadEncoding");
    }

    #[test]
    fn a_refused_certificate_is_found_among_the_causes() {
        #[derive(Debug, Error)]
        #[error("outer")]
        struct Outer(#[source] io::Error);

        let network =
            |error: Cause| NetworkError { host: String::new(), error, is_timeout: false, is_connected: false };
        // As the HTTP client and its TLS connector wrap it.
        let wrapped = |error: rustls::Error| network(Box::new(Outer(io::Error::other(io::Error::other(error)))));
        let unknown_issuer = rustls::Error::InvalidCertificate(rustls::CertificateError::UnknownIssuer);
        assert!(wrapped(unknown_issuer).is_certificate_refused());
        assert!(!wrapped(rustls::Error::DecryptError).is_certificate_refused());
        assert!(!network("certificate".into()).is_certificate_refused(), "no text is searched");
    }
}
