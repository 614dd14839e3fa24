//! The pages of the exporter: metrics for Prometheus, a status page for people, probes, and the request to reload.
//!
//! This module cannot call the cloud. A request to reload goes through a channel to the code that loads the
//! configuration.
//!
//! ```
//! use metastudio_exporter::site::Route;
//!
//! assert_eq!(Route::parse("/m", "/m"), Route::Metrics);
//! assert_eq!(Route::parse("/", "/m"), Route::StatusPage);
//! assert_eq!(Route::parse("/metrics", "/m"), Route::NotFound);
//! assert_eq!(Route::parse("/metrics", "/m").handler(), "other");
//! ```

mod docs;
mod negotiate;
mod origin;
mod page;
mod pages;
mod response;
mod route;
mod routes;
mod table;

pub use self::{
    route::Route,
    routes::{ReloadRequest, Routes},
    table::TableRequest,
};
