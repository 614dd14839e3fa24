//! What is at which path.

use std::{
    io::Write,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use flate2::{Compression, write::GzEncoder};
use hyper::{
    Method, Request, Response, StatusCode,
    header::{
        ACCEPT, ACCEPT_ENCODING, ACCEPT_LANGUAGE, ALLOW, CONNECTION, CONTENT_ENCODING, CONTENT_LANGUAGE,
        CONTENT_LENGTH, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER, VARY,
        WWW_AUTHENTICATE, X_CONTENT_TYPE_OPTIONS,
    },
};
use tokio::{
    sync::{Mutex, mpsc, oneshot},
    task::spawn_blocking,
    time::Instant,
};

use super::{
    negotiate::{self, Language},
    page,
};
use crate::{
    exposition::{Body, Exposition, HttpRequests},
    server::Denied,
    snapshot::{Clock, Reader},
};

const PLAIN: &str = "text/plain; charset=utf-8";

/// The documentation of this very version.
const README: &str = include_str!("../../README.md");
const README_ZH_CN: &str = include_str!("../../README.zh-CN.md");

/// Everything the server answers from.
#[derive(Debug)]
pub struct Routes {
    /// The metrics.
    pub exposition: Exposition,
    /// What is known, for the page and for readiness.
    pub reader: Reader,
    /// The exporter's version, for the page.
    pub version: &'static str,
    /// Where the metrics are.
    pub telemetry_path: String,
    /// Counts what is answered.
    pub requests: Arc<HttpRequests>,
    /// Where requests to reload go; `None` where that is not allowed.
    pub reload: Option<mpsc::Sender<ReloadRequest>>,
    /// Whether the exporter is shutting down. Relaxed: a flag that nothing else hangs on.
    pub stopping: AtomicBool,
    /// Tells the page the time.
    pub clock: Clock,
    /// Held while a page is rendered: one at a time, lest pages take the processors from scrapes and polls.
    pub rendering: Arc<Mutex<()>>,
}

/// An answer before it is dressed in headers.
struct Answer {
    status: StatusCode,
    content_type: &'static str,
    body: Body,
    headers: Vec<(HeaderName, &'static str)>,
}

impl Answer {
    fn plain(status: StatusCode, text: &str) -> Self {
        Answer { status, content_type: PLAIN, body: text.as_bytes().to_vec().into(), headers: Vec::new() }
    }
}

/// Somebody wants the configuration to be loaded again.
#[derive(Debug)]
pub struct ReloadRequest {
    /// Told when that is done, or why not: then the old configuration is still in force.
    pub answer: oneshot::Sender<Result<(), String>>,
}

impl Routes {
    /// Answers a request. Its body is not read.
    pub async fn answer<B>(&self, request: &Request<B>) -> Response<Body> {
        let handler = self.handler(request.uri().path());
        let (methods, allow) = match handler {
            "/-/reload" => (&[Method::POST, Method::PUT], "POST, PUT"),
            _ => (&[Method::GET, Method::HEAD], "GET, HEAD"),
        };
        let answer = match handler {
            "other" => Answer::plain(StatusCode::NOT_FOUND, "Not found. The metrics are at the path that / names.\n"),
            _ if !methods.contains(request.method()) => Answer {
                headers: vec![(ALLOW, allow)],
                ..Answer::plain(StatusCode::METHOD_NOT_ALLOWED, &format!("Only {allow}.\n"))
            },
            "metrics" => self.metrics(request).await,
            "/" => self.page(request).await,
            "/docs" => docs(request),
            "/-/healthy" => self.healthy(),
            "/-/ready" => self.ready(),
            _ => self.reload().await,
        };
        self.requests.count(handler, answer.status.as_u16());
        respond(answer)
    }

    /// Answers a request that the guard does not let in.
    pub fn deny(&self, path: &str, denied: Denied) -> Response<Body> {
        let (answer, name, value) = match denied {
            Denied::Unauthorized => {
                let realm = HeaderValue::from_static("Basic realm=\"metastudio-exporter\", charset=\"UTF-8\"");
                (Answer::plain(StatusCode::UNAUTHORIZED, "Unauthorized.\n"), WWW_AUTHENTICATE, realm)
            }
            Denied::TooMany(wait) => {
                let seconds = HeaderValue::from(wait.as_secs().saturating_add(1));
                (Answer::plain(StatusCode::TOO_MANY_REQUESTS, "Too many requests.\n"), RETRY_AFTER, seconds)
            }
        };
        self.requests.count(self.handler(path), answer.status.as_u16());
        let mut response = respond(answer);
        response.headers_mut().insert(name, value);
        // Nobody who is not let in keeps a connection from others. (HTTP/2 has no such header, and hyper leaves it out.)
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        response
    }

    /// What stands for a path, in the metrics too.
    fn handler(&self, path: &str) -> &'static str {
        const OTHERS: [&str; 5] = ["/", "/docs", "/-/healthy", "/-/ready", "/-/reload"];
        if path == self.telemetry_path {
            return "metrics";
        }
        OTHERS.into_iter().find(|other| *other == path).unwrap_or("other")
    }

    async fn metrics<B>(&self, request: &Request<B>) -> Answer {
        let format = negotiate::format(&list(request, ACCEPT));
        let gzip = negotiate::gzip(&list(request, ACCEPT_ENCODING));
        let body = self.exposition.scrape(format, gzip).await;
        let mut headers = vec![(VARY, "Accept, Accept-Encoding")];
        headers.extend(gzip.then_some((CONTENT_ENCODING, "gzip")));
        Answer { status: StatusCode::OK, content_type: format.content_type(), body, headers }
    }

    async fn page<B>(&self, request: &Request<B>) -> Answer {
        let language = negotiate::language(&list(request, ACCEPT_LANGUAGE));
        let query = request.uri().query().unwrap_or_default().to_owned();
        let gzip = negotiate::gzip(&list(request, ACCEPT_ENCODING));
        let telemetry_path = self.telemetry_path.clone();
        let alone = Arc::clone(&self.rendering).lock_owned().await;
        let (snapshot, version, now) = (self.reader.load(), self.version, (self.clock)());
        // Of many projects it takes milliseconds, in which others are to be answered.
        let rendered = spawn_blocking(move || {
            let _alone = alone;
            let html = page::render(&snapshot, &query, language, &telemetry_path, version, now);
            let policy = (CONTENT_SECURITY_POLICY, page::CONTENT_SECURITY_POLICY.as_str());
            encoded("text/html; charset=utf-8", html, gzip, vec![policy, VARY_BY_LANGUAGE, in_language(language)])
        });
        let failed = |_| Answer::plain(StatusCode::INTERNAL_SERVER_ERROR, "The page could not be rendered.\n");
        rendered.await.unwrap_or_else(failed)
    }

    fn healthy(&self) -> Answer {
        if self.reader.is_stuck(Instant::now()) {
            let text = "Polling is stuck: no poll has ended for longer than poll.timeout allows.\n";
            return Answer::plain(StatusCode::SERVICE_UNAVAILABLE, text);
        }
        Answer::plain(StatusCode::OK, "Healthy.\n")
    }

    fn ready(&self) -> Answer {
        if self.stopping.load(Ordering::Relaxed) {
            return Answer::plain(StatusCode::SERVICE_UNAVAILABLE, "Shutting down.\n");
        }
        let snapshot = self.reader.load();
        if snapshot.is_ready() {
            return Answer::plain(StatusCode::OK, "Ready.\n");
        }
        let (tried, all) = (snapshot.tried(), snapshot.projects.len());
        Answer::plain(
            StatusCode::SERVICE_UNAVAILABLE,
            &format!("Not ready: {tried} of {all} projects have been polled.\n"),
        )
    }

    async fn reload(&self) -> Answer {
        let Some(reload) = &self.reload else {
            return Answer::plain(
                StatusCode::FORBIDDEN,
                "Start the exporter with --web.enable-lifecycle to allow this.\n",
            );
        };
        let (answer, answered) = oneshot::channel();
        let result = match reload.send(ReloadRequest { answer }).await {
            Ok(()) => answered.await.map_err(|_| ()),
            Err(_) => Err(()),
        };
        match result {
            Ok(Ok(())) => Answer::plain(StatusCode::OK, "Reloaded.\n"),
            Ok(Err(problems)) => Answer::plain(StatusCode::INTERNAL_SERVER_ERROR, &problems),
            Err(()) => Answer::plain(StatusCode::SERVICE_UNAVAILABLE, "Shutting down.\n"),
        }
    }
}

/// The documentation.
fn docs<B>(request: &Request<B>) -> Answer {
    let language = negotiate::language(&list(request, ACCEPT_LANGUAGE));
    let text = match language {
        Language::English => README,
        Language::Chinese => README_ZH_CN,
    };
    let gzip = negotiate::gzip(&list(request, ACCEPT_ENCODING));
    encoded(PLAIN, text.to_owned(), gzip, vec![VARY_BY_LANGUAGE, in_language(language)])
}

const VARY_BY_LANGUAGE: (HeaderName, &str) = (VARY, "Accept-Encoding, Accept-Language");

fn in_language(language: Language) -> (HeaderName, &'static str) {
    (CONTENT_LANGUAGE, language.tag())
}

/// A header that is a list: several lines of one name are one (RFC 9110, 5.3).
fn list<B>(request: &Request<B>, name: HeaderName) -> String {
    let values = request.headers().get_all(name).iter();
    values.filter_map(|value| value.to_str().ok()).collect::<Vec<_>>().join(",")
}

/// An answer, compressed if it is to be.
fn encoded(
    content_type: &'static str,
    text: String,
    gzip: bool,
    mut headers: Vec<(HeaderName, &'static str)>,
) -> Answer {
    let text = text.into_bytes();
    let compressed = gzip.then(|| compress(&text)).flatten();
    headers.extend(compressed.is_some().then_some((CONTENT_ENCODING, "gzip")));
    Answer { status: StatusCode::OK, content_type, body: compressed.unwrap_or(text).into(), headers }
}

fn respond(answer: Answer) -> Response<Body> {
    let length = HeaderValue::from(answer.body.length());
    let mut response = Response::new(answer.body);
    *response.status_mut() = answer.status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(answer.content_type));
    // Said here, because HEAD has the length and no body.
    headers.insert(CONTENT_LENGTH, length);
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.extend(answer.headers.into_iter().map(|(name, value)| (name, HeaderValue::from_static(value))));
    response
}

fn compress(text: &[u8]) -> Option<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::with_capacity(text.len() / 8), Compression::default());
    encoder.write_all(text).ok()?;
    encoder.finish().ok()
}
