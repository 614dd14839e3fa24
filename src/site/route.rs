//! The routes: their paths, methods and label values, in one place.

use hyper::Method;

const STATUS_PAGE: &str = "/";
const DOCS: &str = "/docs";
const TABLE: &str = "/table";
const HEALTHY: &str = "/-/healthy";
const READY: &str = "/-/ready";
const RELOAD: &str = "/-/reload";

/// A page or an action of the exporter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route {
    /// The metrics, at the telemetry path.
    Metrics,
    /// The status page.
    StatusPage,
    /// The documentation of this version, and all paths below it.
    Docs,
    /// The table of a month of one project.
    Table,
    /// The liveness probe.
    Healthy,
    /// The readiness probe.
    Ready,
    /// The request to reload the configuration.
    Reload,
    /// Any other path.
    NotFound,
}

impl Route {
    /// The paths of the probes.
    pub const PROBES: [&str; 2] = [HEALTHY, READY];

    /// The route of a path, with the metrics at `telemetry_path`.
    pub fn parse(path: &str, telemetry_path: &str) -> Self {
        if path == telemetry_path {
            return Route::Metrics;
        }
        match path {
            STATUS_PAGE => Route::StatusPage,
            DOCS => Route::Docs,
            TABLE => Route::Table,
            HEALTHY => Route::Healthy,
            READY => Route::Ready,
            RELOAD => Route::Reload,
            _ if path.strip_prefix(DOCS).is_some_and(|below| below.starts_with('/')) => Route::Docs,
            _ => Route::NotFound,
        }
    }

    /// The label `handler` of `metastudio_exporter_http_requests_total`. Unknown paths share the value `other`, so that
    /// clients cannot create series.
    pub fn handler(self) -> &'static str {
        match self {
            Route::Metrics => "metrics",
            Route::StatusPage => STATUS_PAGE,
            Route::Docs => DOCS,
            Route::Table => TABLE,
            Route::Healthy => HEALTHY,
            Route::Ready => READY,
            Route::Reload => RELOAD,
            Route::NotFound => "other",
        }
    }

    /// The allowed methods, as a list and as the value of the header `Allow`; `None` for a path that is not found.
    pub(super) fn methods(self) -> Option<(&'static [Method], &'static str)> {
        match self {
            Route::Metrics | Route::StatusPage | Route::Docs | Route::Table | Route::Healthy | Route::Ready => {
                Some((&[Method::GET, Method::HEAD], "GET, HEAD"))
            }
            Route::Reload => Some((&[Method::POST, Method::PUT], "POST, PUT")),
            Route::NotFound => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fixed_path_is_its_own_label() {
        for path in [STATUS_PAGE, DOCS, TABLE, HEALTHY, READY, RELOAD] {
            assert_eq!(Route::parse(path, "/metrics").handler(), path);
        }
        assert_eq!(Route::parse("/metrics", "/metrics").handler(), "metrics");
        for path in ["/docs/", "/docs/README", "/docs/run/docker", "/docs//"] {
            assert_eq!(Route::parse(path, "/metrics"), Route::Docs, "{path}");
        }
        for path in ["", "/metrics/", "//", "/-/", "/docs-", "/docsx/", "/other"] {
            assert_eq!(Route::parse(path, "/metrics"), Route::NotFound, "{path}");
        }
    }

    #[test]
    fn the_header_allow_has_the_allowed_methods() {
        for path in ["/metrics", STATUS_PAGE, DOCS, TABLE, HEALTHY, READY, RELOAD] {
            let route = Route::parse(path, "/metrics");
            let (methods, allow) = route.methods().unwrap();
            let names: Vec<&str> = methods.iter().map(Method::as_str).collect();
            assert_eq!(names.join(", "), allow, "{route:?}");
        }
    }
}
