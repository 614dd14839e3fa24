//! The links between pages of projects.

use super::query::Query;

/// Number of pages before the current one, and after it, that have a link. The first and the last page always have a
/// link.
const NEIGHBOURS: usize = 2;

/// The links to other pages.
pub(super) struct Pager {
    pub previous: Option<String>,
    /// The first and the last page, and the pages near the current one.
    pub links: Vec<PageLink>,
    pub next: Option<String>,
    /// Numbers of the first and the last project of the page.
    pub range: (usize, usize),
}

/// A link to a page.
pub(super) struct PageLink {
    pub number: usize,
    pub address: String,
    pub is_current: bool,
    /// Whether pages without a link are before it.
    pub follows_gap: bool,
}

impl Pager {
    /// The links for this number of projects; `None` if there is only one page.
    pub fn new(query: &Query, count: usize, page_size: usize) -> Option<Self> {
        let (current, last) = (query.page, count.saturating_sub(1) / page_size);
        let address = |page: usize| Query { page, ..query.clone() }.address();
        let is_linked = |page: &usize| *page == 0 || *page == last || page.abs_diff(current) <= NEIGHBOURS;
        let link = |page: usize| PageLink {
            number: page + 1,
            address: address(page),
            is_current: page == current,
            follows_gap: page > 0 && !is_linked(&(page - 1)),
        };
        (last > 0).then(|| Pager {
            previous: current.checked_sub(1).map(address),
            links: (0..=last).filter(is_linked).map(link).collect(),
            next: (current < last).then(|| address(current + 1)),
            range: (current * page_size + 1, ((current + 1) * page_size).min(count)),
        })
    }
}
