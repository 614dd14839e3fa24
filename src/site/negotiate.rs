//! Content negotiation: the format, encoding and language that a client prefers, from `Accept`, `Accept-Encoding` and
//! `Accept-Language` with their q-values (RFC 9110, 12.5).

use hyper::{
    HeaderMap,
    header::{ACCEPT, ACCEPT_ENCODING, ACCEPT_LANGUAGE, HeaderName},
};

use crate::exposition::Format;

/// The header `Vary` of an answer whose format [`scrape`] chooses.
pub(super) const SCRAPE_VARY: &str = "Accept, Accept-Encoding";
/// The header `Vary` of an answer whose language [`page`] chooses.
pub(super) const PAGE_VARY: &str = "Accept-Encoding, Accept-Language";

/// A language of the pages for people.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Language {
    /// The default.
    English,
    /// Simplified Chinese.
    Chinese,
}

impl Language {
    /// The language tag (BCP 47), for the header `Content-Language` and for HTML.
    pub fn tag(self) -> &'static str {
        match self {
            Language::English => "en",
            Language::Chinese => "zh-CN",
        }
    }
}

/// The format of a scrape, and whether it is compressed with gzip.
pub(super) fn scrape(headers: &HeaderMap) -> (Format, bool) {
    (format(list(headers, ACCEPT)), gzip(list(headers, ACCEPT_ENCODING)))
}

/// The language of a page, and whether it is compressed with gzip.
pub(super) fn page(headers: &HeaderMap) -> (Language, bool) {
    (language(list(headers, ACCEPT_LANGUAGE)), gzip(list(headers, ACCEPT_ENCODING)))
}

/// An element of a list.
struct Element<'a> {
    /// Upper and lower case are the same.
    name: &'a str,
    version: Option<&'a str>,
    /// The q-value, from 0 to 1.
    weight: f64,
}

impl Element<'_> {
    fn is(&self, name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name)
    }
}

/// The elements of a header that is a list. Several headers of one name form one list (RFC 9110, 5.3).
fn list(headers: &HeaderMap, name: HeaderName) -> impl Iterator<Item = Element<'_>> {
    headers.get_all(name).into_iter().filter_map(|value| value.to_str().ok()).flat_map(elements)
}

/// The elements of a list. A q-value that does not parse counts as 0.
fn elements(list: &str) -> impl Iterator<Item = Element<'_>> {
    list.split(',').map(|element| {
        let mut parts = element.split(';').map(str::trim);
        let name = parts.next().unwrap_or_default();
        let (mut version, mut weight) = (None, None);
        for (name, value) in parts.filter_map(|part| part.split_once('=')) {
            let (name, value) = (name.trim(), value.trim().trim_matches('"'));
            if name.eq_ignore_ascii_case("version") {
                version.get_or_insert(value);
            } else if name.eq_ignore_ascii_case("q") {
                let parsed = value.parse().ok().filter(|weight| (0.0..=1.0).contains(weight));
                weight.get_or_insert(parsed.unwrap_or(0.0));
            }
        }
        Element { name, version, weight: weight.unwrap_or(1.0) }
    })
}

/// OpenMetrics if the client names it and gives it at least the weight of the text format. Otherwise the text format,
/// which every Prometheus understands.
fn format<'a>(accept: impl Iterator<Item = Element<'a>>) -> Format {
    let (mut openmetrics, mut text, mut text_rank) = (0.0_f64, 0.0, 0);
    for element in accept {
        let rank = match element.version {
            None | Some("1.0.0") if element.is("application/openmetrics-text") => {
                openmetrics = openmetrics.max(element.weight);
                continue;
            }
            None | Some("0.0.4") if element.is("text/plain") => 3,
            _ if element.is("text/*") => 2,
            _ if element.is("*/*") => 1,
            _ => continue,
        };
        // The most specific element decides the weight of the text format.
        if rank > text_rank || (rank == text_rank && element.weight > text) {
            (text_rank, text) = (rank, element.weight);
        }
    }
    if openmetrics > 0.0 && openmetrics >= text { Format::OpenMetrics } else { Format::Text }
}

/// Whether the client accepts gzip and does not prefer an uncompressed answer.
fn gzip<'a>(accept_encoding: impl Iterator<Item = Element<'a>>) -> bool {
    let (mut gzip, mut other, mut identity) = (None, 0.0, 0.0);
    for element in accept_encoding {
        if element.is("gzip") || element.is("x-gzip") {
            gzip = Some(element.weight);
        } else if element.is("*") {
            other = element.weight;
        } else if element.is("identity") {
            identity = element.weight;
        }
    }
    let gzip = gzip.unwrap_or(other);
    gzip > 0.0 && gzip >= identity
}

/// The language with the highest weight; the first one of several with the same weight.
fn language<'a>(accept_language: impl Iterator<Item = Element<'a>>) -> Language {
    let mut best = (Language::English, 0.0);
    for element in accept_language {
        let primary = element.name.split('-').next().unwrap_or_default();
        let language = match primary {
            _ if primary.eq_ignore_ascii_case("en") => Language::English,
            _ if primary.eq_ignore_ascii_case("zh") => Language::Chinese,
            _ => continue,
        };
        if element.weight > best.1 {
            best = (language, element.weight);
        }
    }
    best.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_language_that_the_client_prefers() {
        for accept in
            ["zh", "zh-CN,zh;q=0.9,en;q=0.8", "fr, zh-Hant;q=0.1", "en;q=0.5, ZH-cn", "zh, en", "en;q=0, zh;q=0.1"]
        {
            assert_eq!(language(elements(accept)), Language::Chinese, "{accept}");
        }
        for accept in ["", "*", "en", "fr", "en-GB, zh;q=0.9", "en, zh", "zh;q=0", "zhx", "zh;q=high"] {
            assert_eq!(language(elements(accept)), Language::English, "{accept}");
        }
    }

    #[test]
    fn the_format_that_the_client_prefers() {
        let openmetrics = [
            "application/openmetrics-text;version=1.0.0",
            "application/openmetrics-text",
            "Application/OpenMetrics-Text; Version=\"1.0.0\"; charset=utf-8",
            // Prometheus 2.42 and 3.5
            "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,\
             text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
            "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,\
             application/openmetrics-text;version=0.0.1;q=0.4,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.3,\
             text/plain;version=0.0.4;q=0.2,*/*;q=0.1",
            "text/plain;q=0.5,application/openmetrics-text;q=0.5",
            "text/plain;q=0.1, */*;q=0.9, application/openmetrics-text;q=0.5",
        ];
        for accept in openmetrics {
            assert_eq!(format(elements(accept)), Format::OpenMetrics, "{accept}");
        }
        let text = [
            "",
            "*/*",
            "text/html,application/xhtml+xml,*/*;q=0.8",
            "text/plain",
            "application/openmetrics-text;q=0.4,text/plain;version=0.0.4;q=0.5",
            "application/openmetrics-text;q=0,text/plain;q=0.1",
            "application/openmetrics-text;version=0.0.1",
            "application/openmetrics-text;version=2.0.0",
            "application/openmetrics-text;q=high",
            "application/openmetrics-text;q=0.5,*/*",
            ";;;,,,q=1",
        ];
        for accept in text {
            assert_eq!(format(elements(accept)), Format::Text, "{accept}");
        }
    }

    #[test]
    fn gzip_only_where_the_client_prefers_it() {
        for accept in ["gzip", "GZIP", "deflate, gzip;q=0.5", "*", "x-gzip", "identity;q=0.5, gzip"] {
            assert!(gzip(elements(accept)), "{accept}");
        }
        for accept in ["", "identity", "gzip;q=0", "*, gzip;q=0", "deflate", "identity, gzip;q=0.5", "gzipped"] {
            assert!(!gzip(elements(accept)), "{accept}");
        }
    }
}
