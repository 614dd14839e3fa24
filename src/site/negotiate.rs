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
    (format(&list(headers, ACCEPT)), gzip(&list(headers, ACCEPT_ENCODING)))
}

/// The language of a page, and whether it is compressed with gzip.
pub(super) fn page(headers: &HeaderMap) -> (Language, bool) {
    (language(&list(headers, ACCEPT_LANGUAGE)), gzip(&list(headers, ACCEPT_ENCODING)))
}

/// The value of a header that is a list. Several headers of one name form one list (RFC 9110, 5.3).
fn list(headers: &HeaderMap, name: HeaderName) -> String {
    let values = headers.get_all(name).iter();
    values.filter_map(|value| value.to_str().ok()).collect::<Vec<_>>().join(",")
}

/// An element of a list.
struct Element<'a> {
    /// In lower case.
    name: String,
    parameters: Vec<(&'a str, &'a str)>,
    /// The q-value, from 0 to 1.
    weight: f64,
}

impl Element<'_> {
    fn version(&self) -> Option<&str> {
        self.parameters.iter().find(|(name, _)| name.eq_ignore_ascii_case("version")).map(|(_, value)| *value)
    }
}

/// The elements of a list. A q-value that does not parse counts as 0.
fn elements(value: &str) -> impl Iterator<Item = Element<'_>> {
    value.split(',').map(|element| {
        let mut parts = element.split(';').map(str::trim);
        let name = parts.next().unwrap_or_default().to_ascii_lowercase();
        let (weights, parameters): (Vec<_>, Vec<_>) = parts
            .filter_map(|part| part.split_once('='))
            .map(|(name, value)| (name.trim(), value.trim().trim_matches('"')))
            .partition(|(name, _)| name.eq_ignore_ascii_case("q"));
        let weight = weights.first().map_or(Some(1.0), |(_, value)| value.parse::<f64>().ok());
        let weight = weight.filter(|weight| (0.0..=1.0).contains(weight)).unwrap_or(0.0);
        Element { name, parameters, weight }
    })
}

/// OpenMetrics if the client names it and gives it at least the weight of the text format. Otherwise the text format,
/// which every Prometheus understands.
fn format(accept: &str) -> Format {
    let (mut openmetrics, mut text, mut text_rank) = (0.0_f64, 0.0, 0);
    for element in elements(accept) {
        let rank = match (element.name.as_str(), element.version()) {
            ("application/openmetrics-text", None | Some("1.0.0")) => {
                openmetrics = openmetrics.max(element.weight);
                continue;
            }
            ("text/plain", None | Some("0.0.4")) => 3,
            ("text/*", _) => 2,
            ("*/*", _) => 1,
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
fn gzip(accept_encoding: &str) -> bool {
    let weight = |names: &[&str]| {
        elements(accept_encoding)
            .filter(|element| names.contains(&element.name.as_str()))
            .map(|element| element.weight)
            .last()
    };
    let gzip = weight(&["gzip", "x-gzip"]).or_else(|| weight(&["*"])).unwrap_or(0.0);
    gzip > 0.0 && gzip >= weight(&["identity"]).unwrap_or(0.0)
}

/// The language with the highest weight; the first one of several with the same weight.
fn language(accept_language: &str) -> Language {
    let mut best = (Language::English, 0.0);
    for element in elements(accept_language) {
        let language = match element.name.split('-').next() {
            Some("en") => Language::English,
            Some("zh") => Language::Chinese,
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
            assert_eq!(language(accept), Language::Chinese, "{accept}");
        }
        for accept in ["", "*", "en", "fr", "en-GB, zh;q=0.9", "en, zh", "zh;q=0", "zhx", "zh;q=high"] {
            assert_eq!(language(accept), Language::English, "{accept}");
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
            assert_eq!(format(accept), Format::OpenMetrics, "{accept}");
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
            assert_eq!(format(accept), Format::Text, "{accept}");
        }
    }

    #[test]
    fn gzip_only_where_the_client_prefers_it() {
        for accept in ["gzip", "GZIP", "deflate, gzip;q=0.5", "*", "x-gzip", "identity;q=0.5, gzip"] {
            assert!(gzip(accept), "{accept}");
        }
        for accept in ["", "identity", "gzip;q=0", "*, gzip;q=0", "deflate", "identity, gzip;q=0.5", "gzipped"] {
            assert!(!gzip(accept), "{accept}");
        }
    }
}
