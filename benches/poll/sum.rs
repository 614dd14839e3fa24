//! The parsing and summing of an answer.

use metastudio_exporter::{
    cloud::usage_api::{Service, pages::Pages, wire::Page},
    usage::Tally,
};

use super::page::PAGE_SIZE;

/// Parses the first page of an answer, and sums its rows.
pub fn parse_and_sum(page: &[u8]) -> Tally {
    let mut pages = Pages::new(PAGE_SIZE, 100_000, Service::default());
    pages.add(Page::parse(page).unwrap()).unwrap();
    let (answer, _) = pages.finish().unwrap();
    let mut tally = Tally::default();
    for row in &answer.rows {
        tally.add(row, None).unwrap();
    }
    tally
}
