//! The answers of each route.

use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use bytes::Bytes;
use http_body_util::Empty;
use hyper::{
    HeaderMap, Request, Response, StatusCode,
    header::{ALLOW, CACHE_CONTROL, CONTENT_LANGUAGE, CONTENT_SECURITY_POLICY, HeaderValue, REFRESH, VARY},
    service::{Service, service_fn},
};
use tokio::{
    sync::{Mutex, mpsc, oneshot},
    task::spawn_blocking,
    time::Instant,
};

use super::{
    docs,
    negotiate::{self, Language},
    origin::is_foreign,
    page::{self, About, Query},
    pages::{PageCache, Variant},
    response::{HTML, encoded, plain},
    route::Route,
    table::{self, TableRequest},
};
use crate::{
    exposition::{Body, ConfigStatus, Exposition, HttpRequests},
    snapshot::{Moment, Reader},
};

/// Usage must not stay in caches: an old copy would look like the current usage.
const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");

/// Seconds until the browser loads the status page again. The same as the shortest `poll.interval`.
const REFRESH_SECONDS: &str = "60";

/// Answers the requests of all routes.
#[derive(Debug)]
pub struct Routes {
    exposition: Exposition,
    reader: Reader,
    clock: fn() -> Moment,
    telemetry_path: String,
    /// Index of this shard, from 0, and number of shards.
    shard: (u32, u32),
    /// `None` if the configuration cannot change.
    config: Option<Arc<ConfigStatus>>,
    requests: Arc<HttpRequests>,
    /// `None` if clients are not allowed to reload.
    reload: Option<mpsc::Sender<ReloadRequest>>,
    /// Accessed with relaxed ordering, because no other data depends on it.
    is_stopping: AtomicBool,
    /// `None` if no days are kept.
    tables: Option<mpsc::Sender<TableRequest>>,
    /// Locked while a status page is rendered: one at a time, so that pages leave processor time for scrapes and polls.
    pages: Arc<Mutex<PageCache>>,
}

/// A request to load the configuration again.
#[derive(Debug)]
pub struct ReloadRequest {
    /// Receives the result. After an error the old configuration is still in use.
    pub answer: oneshot::Sender<Result<(), String>>,
}

impl Routes {
    /// Creates the routes with the metrics at `/metrics`, without reload.
    pub fn new(exposition: Exposition, reader: Reader, clock: fn() -> Moment) -> Self {
        Routes {
            exposition,
            reader,
            clock,
            telemetry_path: "/metrics".to_owned(),
            shard: (0, 1),
            config: None,
            requests: Arc::default(),
            reload: None,
            is_stopping: AtomicBool::new(false),
            tables: None,
            pages: Arc::default(),
        }
    }

    /// Sets the path of the metrics.
    pub fn with_telemetry_path(mut self, path: impl Into<String>) -> Self {
        self.telemetry_path = path.into();
        self
    }

    /// Sets the index of this shard, from 0, and the number of shards, for the status page.
    pub fn with_shard(mut self, shard: (u32, u32)) -> Self {
        self.shard = shard;
        self
    }

    /// Shows on the status page whether the last reload failed.
    pub fn with_config(mut self, config: Arc<ConfigStatus>) -> Self {
        self.config = Some(config);
        self
    }

    /// Counts answers in `requests`.
    pub fn with_requests(mut self, requests: Arc<HttpRequests>) -> Self {
        self.requests = requests;
        self
    }

    /// Allows clients to reload; their requests go to `reload`.
    pub fn with_reload(mut self, reload: mpsc::Sender<ReloadRequest>) -> Self {
        self.reload = Some(reload);
        self
    }

    /// Serves tables of the days that are kept; requests for tables go to `tables`.
    pub fn with_tables(mut self, tables: mpsc::Sender<TableRequest>) -> Self {
        self.tables = Some(tables);
        self
    }

    /// The hyper service that answers requests.
    pub fn service(
        self: Arc<Self>,
    ) -> impl Service<Request<Empty<Bytes>>, Response = Response<Body>, Error = Infallible, Future: Send>
    + Send
    + Sync
    + 'static {
        service_fn(move |request: Request<Empty<Bytes>>| {
            let routes = Arc::clone(&self);
            async move { Ok(routes.answer(&request).await) }
        })
    }

    /// Counts an answer under its handler. The caller also counts the server's own answers, such as 401.
    pub fn count(&self, path: &str, status: StatusCode) {
        self.requests.count(self.route(path).handler(), status.as_u16());
    }

    /// Makes the readiness probe fail, because the exporter shuts down.
    pub fn stop(&self) {
        self.is_stopping.store(true, Ordering::Relaxed);
    }

    /// Answers a request.
    pub async fn answer<B>(&self, request: &Request<B>) -> Response<Body> {
        let route = self.route(request.uri().path());
        if let Some((methods, allow)) = route.methods()
            && !methods.contains(request.method())
        {
            let text = format!("Method not allowed. Allowed methods: {allow}.\n");
            let mut response = plain(StatusCode::METHOD_NOT_ALLOWED, &text);
            response.headers_mut().insert(ALLOW, HeaderValue::from_static(allow));
            return response;
        }
        match route {
            Route::Metrics => self.metrics(request.headers()).await,
            Route::StatusPage => self.status_page(request.uri().query(), request.headers()).await,
            Route::Docs => docs::answer(request.uri().path(), request.headers()),
            Route::Table => self.table(request.uri().query()).await,
            Route::Healthy => self.healthy(),
            Route::Ready => self.ready(),
            Route::Reload if is_foreign(request) => {
                plain(StatusCode::FORBIDDEN, "Pages of another origin may not reload the configuration.\n")
            }
            Route::Reload => self.reload().await,
            Route::NotFound => plain(StatusCode::NOT_FOUND, "Not found. The page at / links to the metrics.\n"),
        }
    }

    fn route(&self, path: &str) -> Route {
        Route::parse(path, &self.telemetry_path)
    }

    async fn metrics(&self, headers: &HeaderMap) -> Response<Body> {
        let (format, gzip) = negotiate::scrape(headers);
        let mut response = encoded(format.content_type(), self.exposition.scrape(format, gzip).await, gzip);
        let headers = response.headers_mut();
        headers.insert(VARY, HeaderValue::from_static(negotiate::SCRAPE_VARY));
        headers.insert(CACHE_CONTROL, NO_STORE);
        response
    }

    async fn status_page(&self, query: Option<&str>, headers: &HeaderMap) -> Response<Body> {
        let (language, gzip) = negotiate::page(headers);
        let query = Query::parse(query.unwrap_or_default());
        let refreshes = query.refreshes();
        let about = About {
            telemetry_path: self.telemetry_path.clone(),
            shard: self.shard,
            old_config_loaded_at: self.config.as_ref().and_then(|config| config.old_config_loaded_at()),
        };
        let variant = Variant { query, language, gzip, about };
        let mut pages = Arc::clone(&self.pages).lock_owned().await;
        let (snapshot, now) = (self.reader.load(), (self.clock)());
        let body = match pages.get(&variant, &snapshot, now) {
            Some(body) => Ok(body),
            // Rendering many projects takes milliseconds, so it must not block other answers.
            None => spawn_blocking(move || pages.render(variant, &snapshot, now)).await,
        };
        let Ok(body) = body else {
            return plain(StatusCode::INTERNAL_SERVER_ERROR, "The page could not be rendered.\n");
        };
        let mut response = in_language(encoded(HTML, body, gzip), language);
        response.headers_mut().insert(CACHE_CONTROL, NO_STORE);
        if refreshes {
            // Without a URL, the browser loads the same address with its query.
            response.headers_mut().insert(REFRESH, HeaderValue::from_static(REFRESH_SECONDS));
        }
        if let Ok(policy) = HeaderValue::from_str(&page::CONTENT_SECURITY_POLICY) {
            response.headers_mut().insert(CONTENT_SECURITY_POLICY, policy);
        }
        response
    }

    async fn table(&self, query: Option<&str>) -> Response<Body> {
        match table::table(query, self.tables.as_ref()).await {
            Ok((csv, month)) => table::answer(self.pages.lock().await.keep(&csv), month),
            Err(response) => response,
        }
    }

    fn healthy(&self) -> Response<Body> {
        if self.reader.is_stuck(Instant::now()) {
            let text = "Polling is stuck: no poll has ended for longer than poll.timeout allows.\n";
            return plain(StatusCode::SERVICE_UNAVAILABLE, text);
        }
        plain(StatusCode::OK, "Healthy.\n")
    }

    fn ready(&self) -> Response<Body> {
        if self.is_stopping.load(Ordering::Relaxed) {
            return plain(StatusCode::SERVICE_UNAVAILABLE, "Shutting down.\n");
        }
        let snapshot = self.reader.load();
        if snapshot.is_ready() {
            return plain(StatusCode::OK, "Ready.\n");
        }
        let (tried, all) = (snapshot.tried(), snapshot.projects.len());
        plain(StatusCode::SERVICE_UNAVAILABLE, &format!("Not ready: {tried} of {all} projects have been polled.\n"))
    }

    async fn reload(&self) -> Response<Body> {
        let Some(reload) = &self.reload else {
            let text = "Reloading is not allowed. Start the exporter with --web.enable-lifecycle to allow it.\n";
            return plain(StatusCode::FORBIDDEN, text);
        };
        let (answer, answered) = oneshot::channel();
        let result = match reload.send(ReloadRequest { answer }).await {
            Ok(()) => answered.await.ok(),
            Err(_) => None,
        };
        match result {
            Some(Ok(())) => plain(StatusCode::OK, "Reloaded.\n"),
            Some(Err(problems)) => plain(StatusCode::INTERNAL_SERVER_ERROR, &problems),
            None => plain(StatusCode::SERVICE_UNAVAILABLE, "Shutting down.\n"),
        }
    }
}

fn in_language(mut response: Response<Body>, language: Language) -> Response<Body> {
    let headers = response.headers_mut();
    headers.insert(VARY, HeaderValue::from_static(negotiate::PAGE_VARY));
    headers.insert(CONTENT_LANGUAGE, HeaderValue::from_static(language.tag()));
    response
}
