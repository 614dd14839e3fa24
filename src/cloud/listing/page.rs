//! Reads the JSON of one page of a list: an object with `count` and one list of rows.

use std::{cell::Cell, hash::Hash, marker::PhantomData};

use serde::de::{IgnoredAny, MapAccess};

use crate::cloud::{
    json::{self, Entries, JsonFields, Raw, Unreadable, field, integer, once},
    secrets::Secrets,
};

/// Entries per page: the maximum of all MetaStudio operations other than ShowUsageData (contract, 12).
pub const LIMIT: usize = 100;

/// Maximum number of entries of a list, because each entry may have its own series.
pub const MAX_ENTRIES: usize = 2_000;

/// An entry of a list.
pub trait Entry: Send {
    /// The plural noun for the entries, such as "packages".
    const PLURAL: &'static str;

    /// Entries per page.
    const LIMIT: usize = LIMIT;

    /// Maximum number of JSON objects on a page: its entries, and the objects in their lists.
    const MAX_OBJECTS: usize = Self::LIMIT;

    /// Maximum number of entries of a list.
    const MAX_ENTRIES: usize = MAX_ENTRIES;

    /// The identity of an entry. No two entries of a list share a key, and a key stays the same while the values of its
    /// entry change.
    type Key: Eq + Hash + Send;

    /// The key of this entry.
    fn key(&self) -> Self::Key;
}

/// One page of a list.
#[derive(Debug, PartialEq)]
pub struct ListPage<T> {
    /// The number of entries of the whole list, if the service says it.
    pub count: Option<i64>,
    pub entries: Vec<T>,
}

/// A row of the JSON, which becomes an entry.
pub trait ListRow<'de>: JsonFields<'de> {
    type Entry: Entry;

    /// The name of the JSON field that holds the list.
    const LIST: &'static str;

    /// The name of the JSON field that holds the number of all entries.
    const COUNT: &'static str = "count";

    /// The entry of this row.
    fn entry(self, secrets: &Secrets) -> Result<Self::Entry, Unreadable>;
}

impl<T: Entry> ListPage<T> {
    /// Reads the body of a 200.
    ///
    /// # Errors
    /// If the body is not a list of these entries, or if a row cannot be read.
    pub fn read<'a, R: ListRow<'a, Entry = T>>(body: &'a [u8], secrets: &Secrets) -> Result<Self, Unreadable> {
        let free = Cell::new(T::MAX_OBJECTS + 1);
        let json: Result<ListJson<'a, R>, _> = json::read(body, &free);
        let rows = json.as_ref().ok().and_then(|json| json.rows.as_ref()?.as_ref()).map_or(0, Vec::len);
        if rows > T::LIMIT {
            return Err(Unreadable(format!("it has more than {} {}", T::LIMIT, T::PLURAL)));
        }
        if free.get() == 0 {
            let objects = if T::MAX_OBJECTS == T::LIMIT { T::PLURAL } else { "objects in its lists" };
            return Err(Unreadable(format!("it has more than {} {objects}", T::MAX_OBJECTS)));
        }
        let json = json?;
        let count = field(R::COUNT, json.count, integer)?;
        if count.is_none() && json.rows.is_none() {
            return Err(Unreadable(format!("it has neither {} nor {}", R::COUNT, R::LIST)));
        }
        let read = |(index, row): (usize, R)| {
            let entry = row.entry(secrets);
            entry.map_err(|Unreadable(what)| Unreadable(format!("entry {} of {}: {what}", index + 1, R::LIST)))
        };
        let rows = json.rows.flatten().unwrap_or_default();
        Ok(ListPage { count, entries: rows.into_iter().enumerate().map(read).collect::<Result<_, _>>()? })
    }
}

struct ListJson<'a, R> {
    count: Raw<'a>,
    rows: Option<Option<Vec<R>>>,
}

impl<R> Default for ListJson<'_, R> {
    fn default() -> Self {
        ListJson { count: None, rows: None }
    }
}

impl<'de, R: ListRow<'de>> JsonFields<'de> for ListJson<'de, R> {
    fn read<A: MapAccess<'de>>(mut object: A, free: &Cell<usize>) -> Result<Self, A::Error> {
        let (mut count, mut rows) = (None, None);
        while let Some(name) = object.next_key::<String>()? {
            match name.as_str() {
                name if name == R::COUNT => once(&mut count, object.next_value()?)?,
                name if name == R::LIST => once(&mut rows, object.next_value_seed(Entries(free, PhantomData))?)?,
                _ => drop(object.next_value::<IgnoredAny>()?),
            }
        }
        Ok(ListJson { count: count.flatten(), rows })
    }
}
