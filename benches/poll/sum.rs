//! The parsing and summing of an answer.

use chrono::{DateTime, Utc};
use metastudio_exporter::{
    cloud::usage_api::{pages::Pages, wire::Page},
    usage::Tally,
};

use super::page::PAGE_SIZE;

/// Parses the only page of an answer that arrived at `now`, and sums its rows.
pub fn parse_and_sum(page: &[u8], now: DateTime<Utc>) -> Tally {
    let mut pages = Pages::new(PAGE_SIZE, now);
    pages.add(Page::parse(page).unwrap()).unwrap();
    let mut tally = Tally::default();
    for row in &pages.answer.rows {
        tally.add(row, None).unwrap();
    }
    tally
}
