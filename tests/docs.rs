//! The documentation as pages: every link of every page has an answer.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    io::Read,
    path::Path,
    time::Duration,
};

use chrono::DateTime;
use flate2::read::GzDecoder;
use http_body_util::BodyExt;
use hyper::{HeaderMap, Request};
use metastudio_exporter::{
    exposition::Exposition,
    site::Routes,
    snapshot::{self, Failure, Moment, PollOutcome, Target},
    usage::Reason,
};
use reqwest::Url;

fn now() -> Moment {
    DateTime::UNIX_EPOCH.into()
}

/// An exporter whose only project fails, so that its card has links to runbooks.
fn routes() -> Routes {
    let (mut writer, reader) = snapshot::channel(vec![Target::new("studio")]);
    let failure = Failure { reason: Reason::Forbidden, message: "HTTP 403".to_owned() };
    writer.record(0, PollOutcome::new(now(), Duration::from_secs(1), Err(failure)), None);
    Routes::new(Exposition::of_projects(reader.clone(), now), reader, now)
}

async fn get(routes: &Routes, path: &str, headers: &[(&str, &str)]) -> (u16, HeaderMap, Vec<u8>) {
    let request = headers.iter().fold(Request::get(path), |request, (name, value)| request.header(*name, *value));
    let (head, body) = routes.answer(&request.body(()).unwrap()).await.into_parts();
    let bytes = body.collect().await.unwrap().to_bytes();
    assert_eq!(head.headers["content-length"], bytes.len().to_string(), "{path}");
    (head.status.as_u16(), head.headers, bytes.to_vec())
}

/// The values of an attribute.
fn values(html: &str, attribute: &str) -> Vec<String> {
    let start = format!(" {attribute}=\"");
    let values = html.split(&start).skip(1).map(|rest| rest.split('"').next().unwrap());
    values.map(|value| value.replace("&#38;", "&").replace("&amp;", "&")).collect()
}

/// All answers that a crawler gets, by path. The crawler starts at the status page.
async fn crawl(routes: &Routes, language: &str) -> BTreeMap<String, (HeaderMap, String)> {
    let mut found: BTreeMap<String, (HeaderMap, String)> = BTreeMap::new();
    // Links, each with its page, and the anchors that they expect.
    let mut links = vec![("start".to_owned(), Url::parse("http://exporter/prefix/").unwrap())];
    let mut anchors = Vec::new();
    while let Some((from, link)) = links.pop() {
        if link.host_str() != Some("exporter") {
            continue;
        }
        // The exporter is behind a proxy that adds a prefix to all paths.
        let path = link.path().strip_prefix("/prefix").unwrap_or_else(|| panic!("{from}: {link}")).to_owned();
        anchors.extend(link.fragment().map(|anchor| (from.clone(), path.clone(), anchor.to_owned())));
        // Each path is requested once, because the status page links to itself with many queries.
        if found.contains_key(&path) {
            continue;
        }
        let (status, headers, body) = get(routes, &path, &[("accept-language", language)]).await;
        assert_eq!(status, 200, "{from}: {link}");
        let text = String::from_utf8(body).unwrap();
        if headers["content-type"].to_str().unwrap().starts_with("text/html") {
            let targets = values(&text, "href").into_iter().chain(values(&text, "src"));
            links.extend(targets.map(|target| (path.clone(), link.join(&target).unwrap())));
        }
        found.insert(path, (headers, text));
    }
    for (from, path, anchor) in anchors {
        // Addresses percent-encode letters that are not ASCII.
        let anchor = percent_encoding::percent_decode_str(&anchor).decode_utf8().unwrap().into_owned();
        let ids: BTreeSet<String> = values(&found[&path].1, "id").into_iter().collect();
        assert!(ids.contains(&anchor), "{from}: {path}#{anchor} is none of {ids:?}");
    }
    found
}

/// The pages that must be there, in both languages, by their paths.
fn expected_pages() -> Vec<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut pages = vec!["/docs/README".to_owned(), "/docs/README.zh-CN".to_owned(), "/docs/CHANGELOG".to_owned()];
    for (folder, address) in [("docs", ""), ("docs/run", "run/"), ("deploy/runbooks", "deploy/runbooks/")] {
        for entry in fs::read_dir(root.join(folder)).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            pages.extend(name.strip_suffix(".md").map(|name| format!("/docs/{address}{name}")));
        }
    }
    pages
}

#[tokio::test]
async fn every_link_of_every_page_has_an_answer() {
    let routes = routes();
    let pages = expected_pages();
    assert!(pages.len() > 40, "{pages:?}");
    for language in ["en", "zh-CN"] {
        let found = crawl(&routes, language).await;
        for page in pages.iter().chain(["/docs/config.example.yaml", "/metrics", "/-/ready"].map(str::to_owned).iter())
        {
            assert!(found.contains_key(page), "{language}: no page links to {page}");
        }
        let rules = &found["/docs/deploy/prometheus/metastudio.rules.yml"];
        assert_eq!(rules.0["content-type"], "text/plain; charset=utf-8");
        assert_eq!(rules.1, include_str!("../deploy/prometheus/metastudio.rules.yml"));
        let status_page = &found["/"].1;
        let runbook = if language == "en" { "MetaStudioPollRefused\"" } else { "MetaStudioPollRefused.zh-CN\"" };
        assert!(status_page.contains(&format!("./docs/deploy/runbooks/{runbook}")), "{status_page}");
    }
}

/// The test reads the names of the runbooks from the templates, because a page without problems links to none.
#[tokio::test]
async fn the_runbooks_of_the_status_page_exist() {
    let code = [include_str!("../src/site/page/card.html"), include_str!("../src/site/page/status.html")].concat();
    let mut named: Vec<&str> = code.split("runbook(\"").skip(1).map(|rest| rest.split('"').next().unwrap()).collect();
    assert!(named.len() >= 3, "{named:?}");
    named.extend(["MetaStudioPollRefused", "MetaStudioPollFailing"]);
    let routes = routes();
    for name in named {
        for ending in ["", ".zh-CN"] {
            let path = format!("/docs/deploy/runbooks/{name}{ending}");
            assert_eq!(get(&routes, &path, &[]).await.0, 200, "{path}");
        }
    }
}

#[tokio::test]
async fn a_page_is_html_in_its_language_with_a_strict_policy() {
    let routes = routes();
    for (path, accepted, language) in [
        ("/docs/", "en", "en"),
        ("/docs/", "zh-CN", "zh-CN"),
        ("/docs/README", "zh-CN", "en"),
        ("/docs/README.zh-CN", "en", "zh-CN"),
        ("/docs/faq", "zh-CN", "en"),
    ] {
        let (status, headers, body) = get(&routes, path, &[("accept-language", accepted)]).await;
        let html = String::from_utf8(body).unwrap();
        assert_eq!((status, headers["content-language"].to_str().unwrap()), (200, language), "{path}");
        assert!(html.contains(&format!("<html lang=\"{language}\">")), "{html}");
        assert_eq!(headers["content-type"], "text/html; charset=utf-8");
        assert_eq!(headers["x-content-type-options"], "nosniff");
        let policy = headers["content-security-policy"].to_str().unwrap();
        assert!(policy.starts_with("default-src 'none'; style-src 'self'; base-uri 'none'"), "{policy}");
        assert!(!html.contains("<script") && !html.contains("<img") && !html.contains(" style="), "{html}");
        let vary = if path == "/docs/" { "Accept-Encoding, Accept-Language" } else { "Accept-Encoding" };
        assert_eq!(headers["vary"], vary, "{path}");
    }
    let (_, headers, css) = get(&routes, "/docs/style.css", &[]).await;
    assert_eq!(headers["content-type"], "text/css; charset=utf-8");
    assert_eq!(css, include_bytes!("../src/site/page/style.css"));
}

/// A proxy may add a prefix to the path, so the address is relative.
#[tokio::test]
async fn the_path_without_a_slash_leads_to_the_pages() {
    let (status, headers, _) = get(&routes(), "/docs", &[]).await;
    assert_eq!((status, headers["location"].to_str().unwrap()), (307, "docs/"));
    for path in ["/docs/nothing", "/docs//", "/docs/README.md", "/docs/../Cargo.toml", "/docs/src/lib.rs"] {
        assert_eq!(get(&routes(), path, &[]).await.0, 404, "{path}");
    }
}

#[tokio::test]
async fn both_encodings_have_the_same_text() {
    let routes = routes();
    for path in ["/docs/", "/docs/faq.zh-CN", "/docs/config.example.yaml"] {
        let (_, headers, plain) = get(&routes, path, &[("accept-encoding", "identity")]).await;
        assert!(!headers.contains_key("content-encoding"));
        let (_, headers, gzip) = get(&routes, path, &[("accept-encoding", "gzip")]).await;
        assert_eq!(headers["content-encoding"], "gzip");
        let mut text = Vec::new();
        GzDecoder::new(&*gzip).read_to_end(&mut text).unwrap();
        assert_eq!(text, plain, "{path}");
        assert!(gzip.len() * 2 < plain.len(), "{path}");
    }
}

/// Tables, code and characters with a meaning in HTML.
#[tokio::test]
async fn markdown_becomes_html() {
    let routes = routes();
    let html = async |path: &str| String::from_utf8(get(&routes, path, &[]).await.2).unwrap();
    let contract = html("/docs/contract").await;
    for part in ["<table>", "<th>", "<pre tabindex=\"0\"><code>", "app/&lt;uuid&gt;", "(744 &lt; 1000)"] {
        assert!(contract.contains(part), "{part}: {contract}");
    }
    // Files that are not served are named, without a link.
    let grafana = html("/docs/grafana/README").await;
    assert!(grafana.contains("<p>generate.py writes the files"), "{grafana}");
}
