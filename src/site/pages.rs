//! The status pages that clients are reading. Clients that ask for the same page within one second share its bytes.

use std::sync::{Arc, Weak};

use chrono::{DateTime, Utc};

use super::{
    negotiate::Language,
    page::{self, About, Query},
    response::compress,
};
use crate::{
    exposition::{AnswersBeingRead, Body},
    snapshot::{Moment, Snapshot},
};

/// What a client asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Variant {
    pub query: Query,
    pub language: Language,
    pub gzip: bool,
    pub about: About,
}

/// The latest page, and all pages that clients are still reading.
#[derive(Debug, Default)]
pub(super) struct PageCache {
    latest: Option<RenderedPage>,
    being_read: AnswersBeingRead,
}

/// A rendered page.
#[derive(Debug)]
struct RenderedPage {
    variant: Variant,
    /// Weak, so that old usage does not stay in memory.
    snapshot: Weak<Snapshot>,
    /// The time of the rendering. The page is current only in this second, because it shows ages in seconds.
    at: DateTime<Utc>,
    body: Body,
}

impl PageCache {
    /// The latest page, if it is this variant for this snapshot and second.
    pub fn get(&self, variant: &Variant, snapshot: &Arc<Snapshot>, now: Moment) -> Option<Body> {
        let page = self.latest.as_ref()?;
        let is_current = page.variant == *variant
            && page.snapshot.as_ptr() == Arc::as_ptr(snapshot)
            && page.at.timestamp() == now.utc.timestamp();
        is_current.then(|| page.body.clone())
    }

    /// A body with a text that clients do not share, such as a table.
    pub fn keep(&mut self, text: &str) -> Body {
        self.being_read.body(text.as_bytes())
    }

    /// Renders a page.
    pub fn render(&mut self, variant: Variant, snapshot: &Arc<Snapshot>, now: Moment) -> Body {
        let html = page::render(snapshot, &variant.query, variant.language, &variant.about, now);
        let body =
            if variant.gzip { self.being_read.body(&compress(&html)) } else { self.being_read.body(html.as_bytes()) };
        let snapshot = Arc::downgrade(snapshot);
        self.latest = Some(RenderedPage { variant, snapshot, at: now.utc, body: body.clone() });
        body
    }
}
