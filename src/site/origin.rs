//! Whether a page of another origin made the browser send a request.

use hyper::{
    Request,
    header::{HOST, HeaderValue, ORIGIN},
};

/// Whether the headers `Origin` and `Sec-Fetch-Site` say that a page of another origin caused the request. Browsers set
/// these headers; other programs do not.
pub(super) fn is_foreign<B>(request: &Request<B>) -> bool {
    let headers = request.headers();
    let is_cross_site = headers.get_all("sec-fetch-site").iter().any(|site| site != "same-origin" && site != "none");
    let authority = request.uri().authority().map(|authority| authority.as_str().as_bytes());
    let host = headers.get(HOST).map(HeaderValue::as_bytes).or(authority);
    let is_own = |origin: &HeaderValue| {
        let authority = origin.to_str().ok().and_then(|origin| origin.split_once("://"));
        authority.is_some_and(|(_, authority)| host.is_some_and(|host| host.eq_ignore_ascii_case(authority.as_bytes())))
    };
    is_cross_site || !headers.get_all(ORIGIN).iter().all(is_own)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn foreign(uri: &str, headers: &[(&str, &str)]) -> bool {
        let request = headers.iter().fold(Request::post(uri), |request, (name, value)| request.header(*name, *value));
        is_foreign(&request.body(()).unwrap())
    }

    #[test]
    fn requests_of_other_origins_are_recognised() {
        let host = ("host", "exporter:19677");
        for own in [
            &[host][..],
            &[host, ("origin", "http://exporter:19677")],
            &[host, ("origin", "https://Exporter:19677"), ("sec-fetch-site", "same-origin")],
            &[host, ("sec-fetch-site", "none")],
        ] {
            assert!(!foreign("/-/reload", own), "{own:?}");
        }
        for other in [
            &[host, ("origin", "http://evil")][..],
            &[host, ("origin", "http://exporter")],
            &[host, ("origin", "null")],
            &[host, ("origin", "http://exporter:19677"), ("origin", "http://evil")],
            &[host, ("sec-fetch-site", "cross-site")],
            &[host, ("sec-fetch-site", "same-site")],
            &[("origin", "http://exporter")],
        ] {
            assert!(foreign("/-/reload", other), "{other:?}");
        }
        // HTTP/2 has the host in the address.
        assert!(!foreign("https://exporter/-/reload", &[("origin", "https://exporter")]));
        assert!(foreign("https://exporter/-/reload", &[("origin", "https://evil")]));
    }
}
