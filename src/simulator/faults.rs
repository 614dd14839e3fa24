//! Faults that a simulated cloud produces on demand.

use std::str::FromStr;

/// A fault, and the requests that it applies to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The fault.
    pub kind: FaultKind,
    /// Match only requests to this recipient: the name or id of a project, a service such as `iam`, or
    /// an operation such as `ListTenantResources`.
    pub project: Option<String>,
    /// Apply to at most this many requests.
    pub times: Option<u64>,
    /// Skip this many matching requests first.
    pub after: u64,
}

/// A kind of fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultKind {
    /// 429, with or without the header `Retry-After`.
    Throttle {
        /// In seconds.
        retry_after: Option<u64>,
    },
    /// 500.
    ServerError,
    /// 403.
    Forbidden,
    /// 404, as in a region without the operation.
    NotFound,
    /// No answer is ever sent.
    Hang,
    /// The connection is closed without an answer.
    Disconnect,
    /// The connection is closed after half of the body.
    Truncate,
    /// 200 and an HTML page.
    Html,
    /// 200 and an empty body.
    Empty,
    /// 302.
    Redirect,
    /// 401, with a message that repeats the request, including its keys (contract, 2.1).
    Echo,
}

impl Fault {
    /// The syntax of a fault.
    const SYNTAX: &'static str = "KIND[:project=NAME][,times=N][,after=N][,retry_after=SECONDS], where KIND is one of \
        throttle, server-error, forbidden, not-found, hang, disconnect, truncate, html, empty, redirect, echo";
}

impl From<FaultKind> for Fault {
    fn from(kind: FaultKind) -> Self {
        Fault { kind, project: None, times: None, after: 0 }
    }
}

impl FromStr for Fault {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (kind, options) = text.split_once(':').unwrap_or((text, ""));
        let (mut project, mut times, mut after, mut retry_after) = (None, None, 0, None);
        for option in options.split(',').filter(|option| !option.is_empty()) {
            let number = |value: &str| value.parse::<u64>().map_err(|_| format!("{value:?} is not a number"));
            match option.split_once('=') {
                Some(("project", value)) => project = Some(value.to_owned()),
                Some(("times", value)) => times = Some(number(value)?),
                Some(("after", value)) => after = number(value)?,
                Some(("retry_after", value)) if kind == "throttle" => retry_after = Some(number(value)?),
                _ => return Err(format!("unknown option {option:?}; expected {}", Fault::SYNTAX)),
            }
        }
        let kind = match kind {
            "throttle" => FaultKind::Throttle { retry_after },
            "server-error" => FaultKind::ServerError,
            "forbidden" => FaultKind::Forbidden,
            "not-found" => FaultKind::NotFound,
            "hang" => FaultKind::Hang,
            "disconnect" => FaultKind::Disconnect,
            "truncate" => FaultKind::Truncate,
            "html" => FaultKind::Html,
            "empty" => FaultKind::Empty,
            "redirect" => FaultKind::Redirect,
            "echo" => FaultKind::Echo,
            _ => return Err(format!("unknown fault {kind:?}; expected {}", Fault::SYNTAX)),
        };
        Ok(Fault { kind, project, times, after })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_are_parsed() {
        assert_eq!("hang".parse(), Ok(Fault::from(FaultKind::Hang)));
        let fault = Fault {
            kind: FaultKind::Throttle { retry_after: Some(7) },
            project: Some("campaign".to_owned()),
            times: Some(2),
            after: 3,
        };
        assert_eq!("throttle:times=2,after=3,project=campaign,retry_after=7".parse(), Ok(fault));
        for wrong in ["", "hnag", "hang:often", "hang:times=x", "hang:retry_after=1"] {
            assert!(wrong.parse::<Fault>().is_err(), "{wrong}");
        }
    }
}
