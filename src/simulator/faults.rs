//! What can go wrong, on demand.

use std::str::FromStr;

/// A fault and whom it strikes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// What goes wrong.
    pub kind: Kind,
    /// Only for the project of this name or id.
    pub project: Option<String>,
    /// Only so often.
    pub times: Option<u64>,
    /// Only after so many requests it would have struck.
    pub after: u64,
}

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// 429, with `Retry-After` where seconds are given.
    Throttle {
        /// Seconds.
        retry_after: Option<u64>,
    },
    /// 500.
    ServerError,
    /// 403.
    Forbidden,
    /// No answer ever.
    Hang,
    /// The connection is closed in place of an answer.
    Disconnect,
    /// The connection is closed in the middle of the body.
    Truncate,
    /// 200 and a page of HTML.
    Html,
    /// 200 and no body.
    Empty,
    /// 302.
    Redirect,
    /// Every page is full of new rows.
    EndlessPages,
    /// The offset is ignored: every page is the first.
    IgnoreOffset,
    /// Besides the true rows: a bundle's part, a unit that is not a time, values that cannot be read.
    OddRows,
    /// 401, with a message that repeats the request as it came, keys and all (contract, 2.1).
    Echo,
}

impl Fault {
    /// How a fault is written.
    pub const SYNTAX: &'static str = "KIND[:project=NAME][,times=N][,after=N][,retry_after=SECONDS], where KIND is one of \
        throttle, server-error, forbidden, hang, disconnect, truncate, html, empty, redirect, endless-pages, ignore-offset, odd-rows, echo";
}

impl From<Kind> for Fault {
    fn from(kind: Kind) -> Self {
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
            "throttle" => Kind::Throttle { retry_after },
            "server-error" => Kind::ServerError,
            "forbidden" => Kind::Forbidden,
            "hang" => Kind::Hang,
            "disconnect" => Kind::Disconnect,
            "truncate" => Kind::Truncate,
            "html" => Kind::Html,
            "empty" => Kind::Empty,
            "redirect" => Kind::Redirect,
            "endless-pages" => Kind::EndlessPages,
            "ignore-offset" => Kind::IgnoreOffset,
            "odd-rows" => Kind::OddRows,
            "echo" => Kind::Echo,
            _ => return Err(format!("unknown fault {kind:?}; expected {}", Fault::SYNTAX)),
        };
        Ok(Fault { kind, project, times, after })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_are_read() {
        assert_eq!("hang".parse(), Ok(Fault::from(Kind::Hang)));
        let fault = Fault {
            kind: Kind::Throttle { retry_after: Some(7) },
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
