//! Reads the JSON of the cloud's answers. The rules are the same for all APIs.
//!
//! An absent value stays absent and is never read as 0. A value that is there but cannot be read is an error, because
//! an answer without it is not complete (`docs/numbers.md`, "Values"). Numbers have the digits that the cloud sent.
//! Entries of lists and bytes of values are bounded while they are read.

use std::{borrow::Cow, cell::Cell, fmt, marker::PhantomData};

use chrono::{DateTime, SecondsFormat, Utc};
use rust_decimal::{Decimal, prelude::ToPrimitive};
use serde::{
    Deserializer,
    de::{self, DeserializeSeed, MapAccess, SeqAccess, Visitor},
};
use serde_json::{error::Category, value::RawValue};
use thiserror::Error;

use super::secrets::MAX_TEXT;

/// Why a body cannot be read. It quotes nothing of the body but the ids and the status of packages.
#[derive(Debug, PartialEq, Error)]
#[error("{0}")]
pub struct Unreadable(pub(super) String);

impl From<serde_json::Error> for Unreadable {
    fn from(error: serde_json::Error) -> Self {
        let what = match error.classify() {
            Category::Syntax => "not JSON",
            Category::Eof => "incomplete JSON",
            Category::Data => "JSON of another shape",
            Category::Io => "unreadable",
        };
        Unreadable(format!("{what} at line {} column {}", error.line(), error.column()))
    }
}

/// The text of any JSON value. `null` is `None`.
pub(super) type Raw<'a> = Option<&'a RawValue>;

/// Reads the object that a body holds. `free` must be one more than the number of entries that its lists may have. If
/// it is 0 afterwards, the lists have more.
///
/// # Errors
/// If the body is not JSON, or not an object of the shape that is read.
pub(super) fn read<'de, T: JsonFields<'de>>(body: &'de [u8], free: &Cell<usize>) -> Result<T, Unreadable> {
    let object = match std::str::from_utf8(body) {
        Ok(text) => read_object(&mut serde_json::Deserializer::from_str(text), free),
        // Bytes that are not UTF-8 are an error only in fields that are read.
        Err(_) => read_object(&mut serde_json::Deserializer::from_slice(body), free),
    };
    Ok(object?)
}

fn read_object<'de, T: JsonFields<'de>, R: serde_json::de::Read<'de>>(
    json: &mut serde_json::Deserializer<R>,
    free: &Cell<usize>,
) -> Result<T, serde_json::Error> {
    let object = ObjectSeed(free, PhantomData).deserialize(&mut *json)?;
    json.end()?;
    Ok(object)
}

/// Reads a value; `None` if it is absent or null.
pub(super) fn field<'a, T>(
    name: &str,
    raw: Raw<'a>,
    read: impl FnOnce(&'a str) -> Option<T>,
) -> Result<Option<T>, Unreadable> {
    let Some(raw) = raw else { return Ok(None) };
    if raw.get().len() > MAX_TEXT {
        return Err(Unreadable(format!("{name} has more than {MAX_TEXT} bytes")));
    }
    let value = read(raw.get()).ok_or_else(|| Unreadable(format!("{name} has a value that cannot be read")))?;
    Ok(Some(value))
}

/// The text of a JSON string. The JSON is known to be valid.
pub(super) fn string(raw: &str) -> Option<Cow<'_, str>> {
    let inner = raw.strip_prefix('"')?.strip_suffix('"')?;
    if inner.contains('\\') { serde_json::from_str(raw).ok().map(Cow::Owned) } else { Some(inner.into()) }
}

/// The text of a time. A number below 100,000,000,000 (the year 5138) is Unix time in seconds, and any other number is
/// Unix time in milliseconds.
pub(super) fn time(raw: &str) -> Option<Cow<'_, str>> {
    if raw.starts_with('"') {
        return string(raw);
    }
    let number = decimal(raw)?.to_i64()?;
    let instant = if number < 100_000_000_000 {
        DateTime::from_timestamp(number, 0)
    } else {
        DateTime::from_timestamp_millis(number)
    };
    Some(instant?.to_rfc3339_opts(SecondsFormat::AutoSi, true).into())
}

/// A time with its zone. An empty text, 0 and 1970-01-01T00:00:00Z mean that there is no time: `Some(None)` (contract,
/// 12 and 17).
pub(super) fn instant(raw: &str) -> Option<Option<DateTime<Utc>>> {
    let text = time(raw)?;
    if text.is_empty() {
        return Some(None);
    }
    let instant = DateTime::parse_from_rfc3339(&text).ok()?.to_utc();
    Some(Some(instant).filter(|instant| *instant != DateTime::UNIX_EPOCH))
}

/// `true`, `false`, `1` or `0`, or one of these as a text.
pub(super) fn boolean(raw: &str) -> Option<bool> {
    match raw.trim_matches('"').to_ascii_lowercase().as_str() {
        "true" | "1" => Some(true),
        "false" | "0" => Some(false),
        _ => None,
    }
}

/// A number, or a text that holds one.
pub(super) fn decimal(raw: &str) -> Option<Decimal> {
    let text = if raw.starts_with('"') { string(raw)? } else { raw.into() };
    parse_decimal(text.trim())
}

/// An integer. `3.0` is an integer, too.
pub(super) fn integer(raw: &str) -> Option<i64> {
    decimal(raw).filter(Decimal::is_integer)?.to_i64()
}

/// A decimal number as JSON writes it. `None` for any other text, and for a number with more digits than a [`Decimal`]
/// holds (28), unless the other digits are zeros.
fn parse_decimal(text: &str) -> Option<Decimal> {
    let is_number = |byte: u8| byte.is_ascii_digit() || b"+-.eE".contains(&byte);
    if !text.bytes().all(is_number) {
        return None; // the library would read 1_000, too
    }
    let (digits, exponent) = text.split_once(['e', 'E']).map_or((text, None), |(digits, exp)| (digits, Some(exp)));
    let significant = if digits.contains('.') { digits.trim_end_matches('0').trim_end_matches('.') } else { digits };
    let exact = Decimal::from_str_exact(digits).or_else(|_| Decimal::from_str_exact(significant)).ok()?;
    match exponent {
        Some(exponent) if !exact.is_zero() => Decimal::from_scientific(&format!("{significant}e{exponent}")).ok(),
        Some(exponent) => exponent.parse::<i64>().is_ok().then_some(exact),
        None => Some(exact),
    }
}

/// A JSON object with the fields that are read. `free` counts down with each entry of a list, as in [`read`].
pub(crate) trait JsonFields<'de>: Default {
    fn read<A: MapAccess<'de>>(object: A, free: &Cell<usize>) -> Result<Self, A::Error>;
}

/// Declares an object whose fields are all [`Raw`]. An object with a list implements [`JsonFields`] itself, because
/// serde would read the list without counting its entries.
macro_rules! json_object {
    (
        $(#[doc = $doc:literal])*
        $visibility:vis struct $name:ident<'a $(, const $parameter:ident: bool)?> { $($field:ident: Raw<'a>,)+ }
    ) => {
        $(#[doc = $doc])*
        #[derive(Default, serde::Deserialize)]
        $visibility struct $name<'a $(, const $parameter: bool)?> {
            $(#[serde(borrow, default)] $field: Raw<'a>,)+
        }

        impl<'de $(, const $parameter: bool)?> $crate::cloud::json::JsonFields<'de> for $name<'de $(, $parameter)?> {
            fn read<A: serde::de::MapAccess<'de>>(object: A, _: &std::cell::Cell<usize>) -> Result<Self, A::Error> {
                serde::Deserialize::deserialize(serde::de::value::MapAccessDeserializer::new(object))
            }
        }
    };
}
pub(super) use json_object;

/// Sets a field. A second value for the same field is an error.
pub(super) fn once<T, E: de::Error>(field: &mut Option<T>, value: T) -> Result<(), E> {
    match field.replace(value) {
        None => Ok(()),
        Some(_) => Err(E::custom("a field that is there twice")),
    }
}

/// Reads one object. A list is an error here, although serde would read a struct from a list. `null` is an empty
/// object, because the cloud may count it as an entry.
pub(super) struct ObjectSeed<'c, T>(pub &'c Cell<usize>, pub PhantomData<T>);

impl<'de, T: JsonFields<'de>> DeserializeSeed<'de> for ObjectSeed<'_, T> {
    type Value = T;

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<T, D::Error> {
        json.deserialize_any(self)
    }
}

impl<'de, T: JsonFields<'de>> Visitor<'de> for ObjectSeed<'_, T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_unit<E>(self) -> Result<T, E> {
        Ok(T::default())
    }

    fn visit_map<A: MapAccess<'de>>(self, object: A) -> Result<T, A::Error> {
        T::read(object, self.0)
    }
}

/// Reads a list of objects. `null` is `None`, and a bare object is a list of one.
pub(super) struct Entries<'c, T>(pub &'c Cell<usize>, pub PhantomData<T>);

impl<T> Entries<'_, T> {
    /// Counts one entry, before it is stored.
    fn take_place<E: de::Error>(&self) -> Result<(), E> {
        self.0.set(self.0.get().saturating_sub(1));
        if self.0.get() == 0 { Err(E::custom("too many entries")) } else { Ok(()) }
    }
}

impl<'de, T: JsonFields<'de>> DeserializeSeed<'de> for Entries<'_, T> {
    type Value = Option<Vec<T>>;

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<Self::Value, D::Error> {
        json.deserialize_any(self)
    }
}

impl<'de, T: JsonFields<'de>> Visitor<'de> for Entries<'_, T> {
    type Value = Option<Vec<T>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of objects")
    }

    fn visit_unit<E: de::Error>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_map<A: MapAccess<'de>>(self, object: A) -> Result<Self::Value, A::Error> {
        self.take_place()?;
        T::read(object, self.0).map(|one| Some(vec![one]))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = list.next_element_seed(ObjectSeed(self.0, PhantomData))? {
            self.take_place()?;
            entries.push(entry);
        }
        Ok(Some(entries))
    }
}
