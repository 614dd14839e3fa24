//! Puts the pages of a list together and proves that nothing is missing. Each entry of these lists has a unique key,
//! unlike a row of usage.
//!
//! Each page after the first must begin with the last known entry. This shows whether the list has changed between two
//! pages, and whether the offset has another meaning. The list is complete if it has as many entries as `count` says,
//! or, without a `count`, if nothing follows its last entry. A page may be shorter than the limit, because the service
//! may lower the limit in silence (`docs/numbers.md`, "Paging").

mod page;

use std::collections::HashSet;

pub(super) use self::page::ListRow;
pub(crate) use self::page::{Entry, ListPage};
use super::error::Error;

/// The pages so far.
#[derive(Debug)]
pub(super) struct Listing<T: Entry> {
    entries: Vec<T>,
    keys: HashSet<T::Key>,
    count: Option<i64>,
    pages: usize,
}

impl<T: Entry> Listing<T> {
    pub fn new() -> Self {
        Listing { entries: Vec::new(), keys: HashSet::new(), count: None, pages: 0 }
    }

    /// The offset of the next page.
    pub fn offset(&self) -> usize {
        self.entries.len().saturating_sub(1)
    }

    /// Adds the page at [`Self::offset`]. Returns whether the list is complete.
    ///
    /// # Errors
    /// [`Error::Inconsistent`] if the page contradicts the earlier ones or itself; [`Error::BeyondBound`] if there are
    /// more than [`Entry::MAX_ENTRIES`].
    pub fn add(&mut self, page: ListPage<T>) -> Result<bool, Error> {
        let what = T::PLURAL;
        if self.pages > 0 && self.count != page.count {
            return Err(Error::Inconsistent(format!("the number of {what} changed between two pages")));
        }
        (self.pages, self.count) = (self.pages + 1, page.count);
        let mut entries = page.entries.into_iter();
        if let Some(known) = self.entries.last_mut() {
            match entries.next() {
                Some(again) if again.key() == known.key() => *known = again,
                _ => {
                    return Err(Error::Inconsistent(format!(
                        "a page of {what} does not begin where the last one ends"
                    )));
                }
            }
        }
        let before = self.entries.len();
        for entry in entries {
            if !self.keys.insert(entry.key()) {
                return Err(Error::Inconsistent(format!("two of the {what} are the same")));
            }
            self.entries.push(entry);
        }
        let known = self.entries.len();
        let most = T::MAX_ENTRIES;
        if known > most {
            return Err(Error::BeyondBound(format!("there are more than {most} {what}")));
        }
        let has_grown = known > before;
        match self.count.map(|count| usize::try_from(count).unwrap_or_default()) {
            None => Ok(!has_grown),
            Some(count) if count == known => Ok(true),
            Some(count) if count > known && has_grown => Ok(false),
            Some(count) => Err(Error::Inconsistent(format!("there are {known} {what}, but count says {count}"))),
        }
    }

    /// The entries of a complete list.
    pub fn finish(self) -> Vec<T> {
        self.entries
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{
        page::{LIMIT, MAX_ENTRIES},
        *,
    };

    /// An entry with a value that grows while pages are asked for.
    #[derive(Clone, Copy, Debug, PartialEq)]
    struct Item(u64, usize);

    impl Entry for Item {
        const PLURAL: &'static str = "items";

        type Key = u64;

        fn key(&self) -> u64 {
            self.0
        }
    }

    /// A simulated service. The documentation leaves these properties open.
    #[derive(Clone, Debug)]
    struct Service {
        length: usize,
        cap: usize,
        has_count: bool,
        fault: Fault,
    }

    #[derive(Clone, Copy, Debug, PartialEq)]
    enum Fault {
        None,
        /// The offset counts pages.
        Pages,
        /// The offset counts from one.
        FromOne,
        Ignored,
        /// One entry is removed before each later page.
        Removed,
        /// One entry is inserted at the front before each later page.
        Inserted,
        /// The count is one too low.
        Low,
        /// The count is one too high.
        High,
    }

    /// Asks for pages until the list is complete or refused. Returns the ids or the error, and the number of requests.
    fn ask(service: &Service) -> (Result<Vec<u64>, Error>, usize) {
        let mut listing = Listing::new();
        let mut list: Vec<u64> = (100..).take(service.length).collect();
        for request in 1.. {
            let offset = match service.fault {
                Fault::Pages => listing.offset() * service.cap,
                Fault::FromOne => listing.offset().saturating_sub(1),
                Fault::Ignored => 0,
                _ => listing.offset(),
            };
            match (request, service.fault) {
                (2.., Fault::Removed) if !list.is_empty() => drop(list.remove(0)),
                (2.., Fault::Inserted) => list.insert(0, 100 - request as u64),
                _ => {}
            }
            let count =
                list.len() as i64 + i64::from(service.fault == Fault::High) - i64::from(service.fault == Fault::Low);
            let entries = list.iter().skip(offset).take(service.cap.min(LIMIT));
            let entries = entries.map(|id| Item(*id, request)).collect();
            match listing.add(ListPage { count: service.has_count.then_some(count), entries }) {
                Ok(true) => return (Ok(listing.finish().iter().map(|item| item.0).collect()), request),
                Ok(false) => {}
                Err(error) => return (Err(error), request),
            }
        }
        unreachable!()
    }

    const SOUND: Service = Service { length: 250, cap: 100, has_count: true, fault: Fault::None };

    #[test]
    fn a_list_on_one_page_with_a_count_costs_one_request() {
        for length in [0, 1, 99, 100] {
            let (result, requests) = ask(&Service { length, ..SOUND });
            assert_eq!((result.unwrap().len(), requests), (length, 1));
        }
        let (result, requests) = ask(&Service { length: 7, has_count: false, ..SOUND });
        assert_eq!((result.unwrap().len(), requests), (7, 2), "nothing follows its last entry");
    }

    #[test]
    fn each_contradiction_is_refused() {
        for (fault, message) in [
            (Fault::Pages, "does not begin where"),
            (Fault::FromOne, "does not begin where"),
            (Fault::Ignored, "does not begin where"),
            (Fault::Removed, "changed between two pages"),
            (Fault::Inserted, "changed between two pages"),
            (Fault::Low, "there are 250 items, but count says 249"),
            (Fault::High, "there are 250 items, but count says 251"),
        ] {
            let error = ask(&Service { fault, ..SOUND }).0.unwrap_err().to_string();
            assert!(error.contains(message), "{fault:?}: {error}");
        }
        for fault in [Fault::Removed, Fault::Inserted] {
            let error = ask(&Service { fault, has_count: false, ..SOUND }).0.unwrap_err().to_string();
            assert!(error.contains("does not begin where"), "{fault:?}: {error}");
        }
        let twice = ListPage { count: None, entries: vec![Item(1, 0), Item(2, 0), Item(1, 0)] };
        assert!(Listing::new().add(twice).unwrap_err().to_string().contains("two of the items are the same"));
        let many = ask(&Service { length: MAX_ENTRIES + 1, ..SOUND });
        assert!(many.0.unwrap_err().to_string().contains("more than 2000 items"));
    }

    #[test]
    fn the_value_of_an_entry_on_two_pages_is_the_later_one() {
        let mut listing = Listing::new();
        assert!(!listing.add(ListPage { count: Some(2), entries: vec![Item(1, 1)] }).unwrap());
        assert!(listing.add(ListPage { count: Some(2), entries: vec![Item(1, 2), Item(2, 2)] }).unwrap());
        assert_eq!(listing.finish(), [Item(1, 2), Item(2, 2)]);
    }

    proptest! {
        /// A sound service is never refused. Any other list is complete or refused.
        #[test]
        fn nothing_is_missing_and_sound_services_are_not_refused(
            length in 0_usize..400,
            cap in 1_usize..150,
            has_count: bool,
            fault in prop::sample::select(vec![
                Fault::None, Fault::Pages, Fault::FromOne, Fault::Ignored, Fault::Removed, Fault::Inserted, Fault::High,
            ]),
        ) {
            // If a service caps pages at one entry, each page holds only the overlap.
            prop_assume!(cap > 1 || length < 2);
            let fault = if fault == Fault::High && !has_count { Fault::None } else { fault };
            let (result, _) = ask(&Service { length, cap, has_count, fault });
            match result {
                Ok(found) if fault == Fault::None => prop_assert_eq!(found.len(), length),
                // A fault may go unnoticed only if no entry is missing.
                Ok(found) => prop_assert!(found.len() == length, "{} of {length} with {fault:?}", found.len()),
                Err(error) => prop_assert!(fault != Fault::None, "{}", error),
            }
        }
    }
}
