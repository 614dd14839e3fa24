//! Reads the JSON of ShowUsageData into rows.
//!
//! The API page documents the shape. The table in 1.4 of the contract lists what else is accepted: numeric strings,
//! nulls, a single object instead of a list. A value that cannot be read is dropped and counted. It is never read as 0,
//! and the other values stay. Numbers have the digits that the cloud sent.

use std::{borrow::Cow, fmt, marker::PhantomData, sync::Arc};

use rust_decimal::{Decimal, prelude::ToPrimitive};
use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, SeqAccess, Visitor, value::MapAccessDeserializer},
};
use serde_json::{error::Category, value::RawValue};
use thiserror::Error;

use crate::usage::{Row, RowKey, Unit};

/// One page of an answer.
#[derive(Debug, Default, PartialEq)]
pub struct Page {
    /// `count`, which the API does not define further; `None` if absent or unreadable.
    pub count: Option<i64>,
    /// Whether `time_list` was there and not null.
    pub has_list: bool,
    /// Times of the entries of `time_list`. `limit` may count these.
    pub buckets: Vec<Option<Arc<str>>>,
    /// All rows of all buckets. `limit` may count these instead.
    pub rows: Vec<Row>,
    /// Values that could not be read.
    pub dropped_values: u64,
}

impl Page {
    /// Reads the body of a 200.
    ///
    /// # Errors
    /// If it is not JSON, or not an object of the documented shape: HTML, an empty body, `NaN`, a bare list, an object
    /// with neither `count` nor `time_list`.
    pub fn parse(body: &[u8]) -> Result<Page, Unreadable> {
        let Object(json): Object<PageJson> = match std::str::from_utf8(body) {
            Ok(text) => serde_json::from_str(text)?,
            // Bytes of another encoding are an error only in fields that are read.
            Err(_) => serde_json::from_slice(body)?,
        };
        let mut page = Page::default();
        page.count = integer(json.count, &mut page.dropped_values);
        if json.count.is_none() && json.time_list.is_none() {
            return Err(Unreadable("it has neither count nor time_list".to_owned()));
        }
        let list = json.time_list.flatten();
        page.has_list = list.is_some();
        let buckets = list.unwrap_or_default().0;
        page.buckets.reserve(buckets.len());
        page.rows.reserve(buckets.iter().map(|Object(bucket)| bucket.resources_usage.0.len()).sum());
        for Object(bucket) in buckets {
            let time: Option<Arc<str>> = text(bucket.time, &mut page.dropped_values).map(Arc::from);
            for Object(row) in bucket.resources_usage.0 {
                let row = row.into_row(time.clone(), &mut page.dropped_values);
                page.rows.push(row);
            }
            page.buckets.push(time);
        }
        Ok(page)
    }
}

/// Why a body is not usage data. Quotes nothing of the body.
#[derive(Debug, PartialEq, Error)]
#[error("{0}")]
pub struct Unreadable(String);

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
type Raw<'a> = Option<&'a RawValue>;

#[derive(Deserialize)]
struct PageJson<'a> {
    #[serde(borrow, default)]
    count: Raw<'a>,
    /// `Some(None)` is `null`.
    #[serde(borrow, default, deserialize_with = "present")]
    time_list: Option<Option<Many<BucketJson<'a>>>>,
}

fn present<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

#[derive(Default, Deserialize)]
struct BucketJson<'a> {
    #[serde(borrow, default)]
    time: Raw<'a>,
    #[serde(borrow, default)]
    resources_usage: Many<RowJson<'a>>,
}

#[derive(Default, Deserialize)]
struct RowJson<'a> {
    #[serde(borrow, default)]
    resource_type: Raw<'a>,
    #[serde(borrow, default)]
    business_type: Raw<'a>,
    #[serde(borrow, default)]
    number: Raw<'a>,
    #[serde(borrow, default)]
    usage: Raw<'a>,
    #[serde(borrow, default)]
    unit: Raw<'a>,
    #[serde(borrow, default)]
    sub_resource_type: Raw<'a>,
    #[serde(borrow, default)]
    is_sub_resource: Raw<'a>,
    #[serde(borrow, default)]
    charging_mode: Raw<'a>,
    #[serde(borrow, default)]
    resource_source: Raw<'a>,
}

impl RowJson<'_> {
    fn into_row(self, time: Option<Arc<str>>, dropped: &mut u64) -> Row {
        let unit = Unit::from_api(text(self.unit, dropped).as_deref());
        let mut label = |raw| text(raw, dropped).map_or_else(String::new, Cow::into_owned);
        let key = RowKey {
            time,
            resource_type: label(self.resource_type),
            business_type: label(self.business_type),
            unit,
            sub_resource_type: label(self.sub_resource_type),
            charging_mode: label(self.charging_mode),
            resource_source: label(self.resource_source),
            is_sub_resource: boolean(self.is_sub_resource, dropped),
        };
        Row { key, usage: decimal(self.usage, dropped), number: integer(self.number, dropped) }
    }
}

fn text<'a>(raw: Raw<'a>, dropped: &mut u64) -> Option<Cow<'a, str>> {
    read(raw, dropped, string)
}

/// The text of a JSON string. The JSON is known to be valid.
fn string(raw: &str) -> Option<Cow<'_, str>> {
    let inner = raw.strip_prefix('"')?.strip_suffix('"')?;
    if inner.contains('\\') { serde_json::from_str(raw).ok().map(Cow::Owned) } else { Some(inner.into()) }
}

fn boolean(raw: Raw<'_>, dropped: &mut u64) -> bool {
    let flag = read(raw, dropped, |raw| match raw.trim_matches('"') {
        "true" => Some(true),
        "false" => Some(false),
        _ => None,
    });
    flag.unwrap_or(false)
}

fn decimal(raw: Raw<'_>, dropped: &mut u64) -> Option<Decimal> {
    read(raw, dropped, |raw| {
        let text = if raw.starts_with('"') { string(raw)? } else { raw.into() };
        parse_decimal(text.trim())
    })
}

fn integer(raw: Raw<'_>, dropped: &mut u64) -> Option<i64> {
    let before = *dropped;
    let value = decimal(raw, dropped)?;
    let integer = value.is_integer().then(|| value.to_i64()).flatten();
    if integer.is_none() {
        *dropped = before + 1;
    }
    integer
}

fn read<'a, T>(raw: Raw<'a>, dropped: &mut u64, parse: impl FnOnce(&'a str) -> Option<T>) -> Option<T> {
    let raw = raw?;
    let value = parse(raw.get());
    *dropped += u64::from(value.is_none());
    value
}

/// A decimal number as JSON writes it, exact to 28 digits; `None` for any other text, and beyond 7.9 × 10^28.
fn parse_decimal(text: &str) -> Option<Decimal> {
    let is_number = |byte: u8| byte.is_ascii_digit() || b"+-.eE".contains(&byte);
    if !text.bytes().all(is_number) {
        return None; // the library would read 1_000, too
    }
    if !text.contains(['e', 'E']) {
        return text.parse().ok();
    }
    let is_tiny = || text.contains("e-") || text.contains("E-");
    match Decimal::from_scientific_lossy(text) {
        // Too small to change a sum visibly.
        Err(rust_decimal::Error::ScaleExceedsMaximumPrecision(_)) if is_tiny() => Some(Decimal::ZERO),
        value => value.ok(),
    }
}

/// Accepts only an object: serde would also read a struct from a list.
struct Object<T>(T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ObjectVisitor<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for ObjectVisitor<T> {
            type Value = Object<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
                T::deserialize(MapAccessDeserializer::new(map)).map(Object)
            }
        }

        deserializer.deserialize_map(ObjectVisitor(PhantomData))
    }
}

/// A list of objects. `null` is an empty list, and a bare object is a list of one. `null` in a list is an empty
/// entry, because the cloud may count it as one.
struct Many<T>(Vec<Object<T>>);

impl<T> Default for Many<T> {
    fn default() -> Self {
        Many(Vec::new())
    }
}

impl<'de, T: Deserialize<'de> + Default> Deserialize<'de> for Many<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ManyVisitor<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de> + Default> Visitor<'de> for ManyVisitor<T> {
            type Value = Many<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of objects")
            }

            fn visit_unit<E>(self) -> Result<Self::Value, E> {
                Ok(Many::default())
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
                T::deserialize(MapAccessDeserializer::new(map)).map(|one| Many(vec![Object(one)]))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
                let mut many = Many::default();
                while let Some(element) = list.next_element::<Option<Object<T>>>()? {
                    many.0.push(element.unwrap_or(Object(T::default())));
                }
                Ok(many)
            }
        }

        deserializer.deserialize_any(ManyVisitor(PhantomData))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(body: &str) -> Page {
        Page::parse(body.as_bytes()).unwrap()
    }

    fn row(fields: &str) -> (Row, u64) {
        let page = parse(&format!(r#"{{"time_list":[{{"resources_usage":[{{{fields}}}]}}]}}"#));
        assert_eq!(page.rows.len(), 1);
        (page.rows[0].clone(), page.dropped_values)
    }

    fn usage(value: &str) -> (Option<String>, u64) {
        let (row, dropped) = row(&format!(r#""usage":{value}"#));
        (row.usage.map(|usage| usage.to_string()), dropped)
    }

    #[test]
    fn reads_the_documented_shape() {
        let page = parse(
            r#"{"count":2,"time_list":[{"time":"2025-11-01T00:00:00Z","resources_usage":[
                {"resource_type":"video_time_2d_model","business_type":"VIDEO_2D","number":4,"usage":12.50,"unit":"MIN"},
                {"business_type":"LIVE_2D","number":1,"usage":3.25,"unit":"HOUR"}]}]}"#,
        );
        assert_eq!(page.count, Some(2));
        assert_eq!(page.buckets, [Some("2025-11-01T00:00:00Z".into())]);
        assert_eq!(page.dropped_values, 0);
        let [video, live] = &page.rows[..] else { panic!("{:?}", page.rows) };
        assert_eq!(video.key.time.as_deref(), Some("2025-11-01T00:00:00Z"));
        assert_eq!(video.key.resource_type, "video_time_2d_model");
        assert_eq!((video.usage.unwrap().to_string().as_str(), video.number), ("12.50", Some(4)));
        assert_eq!((live.key.resource_type.as_str(), &live.key.unit), ("", &Unit::Hours));
        assert!(!live.key.is_sub_resource);
    }

    #[test]
    fn numbers_are_read_as_the_contract_says() {
        let some = |text: &str| (Some(text.to_owned()), 0);
        assert_eq!(usage("7.25"), some("7.25"));
        assert_eq!(usage(r#"" 7.25 ""#), some("7.25"), "numeric strings, trimmed");
        assert_eq!(usage("-3"), some("-3"), "negative values are kept");
        assert_eq!(usage("0.1"), some("0.1"), "the cloud's own digits");
        assert_eq!(usage("1.5E2"), some("150"));
        assert_eq!(usage("1.0E-5"), some("0.000010"));
        assert_eq!(usage("1e-400"), some("0"));
        assert_eq!(usage("null"), (None, 0), "null is absent, never 0");
        for dropped in ["true", "1E400", r#""n/a""#, r#""""#, r#""NaN""#, r#""1_000""#, "[]", "{}", "1e30"] {
            assert_eq!(usage(dropped), (None, 1), "{dropped}");
        }
    }

    #[test]
    fn integers_may_be_strings_or_integral_floats() {
        let count = |value: &str| {
            let page = parse(&format!(r#"{{"count":{value},"time_list":[]}}"#));
            (page.count, page.dropped_values)
        };
        assert_eq!(count("12"), (Some(12), 0));
        assert_eq!(count(r#""12""#), (Some(12), 0));
        assert_eq!(count("12.0"), (Some(12), 0));
        assert_eq!(count("12.7"), (None, 1));
        assert_eq!(count(r#""abc""#), (None, 1));
        assert_eq!(count("1e20"), (None, 1));
        assert_eq!(parse(r#"{"time_list":[]}"#).count, None);
    }

    #[test]
    fn one_unreadable_value_does_not_affect_the_others() {
        let (row, dropped) =
            row(r#""resource_type":5,"business_type":"VIDEO_2D","number":"many","usage":7,"unit":null"#);
        assert_eq!(dropped, 2);
        assert_eq!((row.key.resource_type.as_str(), row.key.business_type.as_str()), ("", "VIDEO_2D"));
        assert_eq!((row.number, row.usage), (None, Some(Decimal::from(7))));
        assert_eq!(row.key.unit, Unit::Other("unknown".into()));
    }

    #[test]
    fn the_hostile_example_of_the_contract_is_accepted() {
        let page = parse(
            r#"{"count":"3","trace":"x","time_list":[{"time":"2025-11-01T00:00:00+08:00","resources_usage":[
                {"resource_type":"hws.resource.type.metastudio.modeling.avatarlive.channel","business_type":"CHAT_2D",
                 "amount":"10","usage":"2.5","unit":"CHANNEL","charging_mode":"PERIODIC"},
                {"resource_type":null,"business_type":"VIDEO_2D","number":null,"usage":7,"unit":null},
                {"business_type":"VIDEO_2D","number":"many","usage":true,"unit":"FURLONG"}]},
                {"time":null,"resources_usage":null}]}"#,
        );
        assert_eq!((page.count, page.buckets.len(), page.rows.len(), page.dropped_values), (Some(3), 2, 3, 2));
        assert_eq!(page.rows[0].number, None, "amount is not number");
        assert_eq!(page.rows[0].key.charging_mode, "PERIODIC");
    }

    #[test]
    fn lists_may_be_absent_null_or_a_single_object() {
        for (body, has_list) in [
            (r#"{"count":0}"#, false),
            (r#"{"count":"0","time_list":null}"#, false),
            (r#"{"time_list":null}"#, false),
            (r#"{"time_list":[]}"#, true),
        ] {
            let page = parse(body);
            assert_eq!((page.buckets.len(), page.has_list), (0, has_list), "{body}");
        }
        let page = parse(r#"{"time_list":{"time":"t","resources_usage":{"usage":1,"is_sub_resource":true}}}"#);
        assert_eq!((page.buckets.len(), page.rows.len()), (1, 1));
        assert!(page.rows[0].key.is_sub_resource);
        let page = parse(r#"{"time_list":[null,{"resources_usage":[null,{"usage":1}]}]}"#);
        assert_eq!((page.buckets.len(), page.rows.len()), (2, 2), "null is an empty entry");
    }

    #[test]
    fn any_other_shape_is_an_error() {
        let bodies = [
            "",
            " ",
            "[]",
            "[3,[]]",
            "null",
            "<html></html>",
            r#""text""#,
            "7",
            r#"{"count":NaN}"#,
            r#"{"count":1"#,
            r#"{"x":Infinity}"#,
            r#"{"time_list":"none"}"#,
            r#"{"time_list":[5]}"#,
            r#"{"time_list":[[1,[]]]}"#,
            r#"{"time_list":[{"resources_usage":[{"usage":1,"usage":2}]}]}"#,
            r#"{"time_list":[]} {}"#,
            "{}",
            r#"{"error_code":"MSS.00000004","error_msg":"Internal Error"}"#,
        ];
        for body in bodies {
            assert!(Page::parse(body.as_bytes()).is_err(), "{body}");
        }
    }

    #[test]
    fn texts_are_read_with_their_escapes() {
        let (row, dropped) =
            row(r#""resource_type":"a\"\u00e9\n","business_type":"é","unit":"\u0047B","usage":"\u0037""#);
        assert_eq!((row.key.resource_type.as_str(), row.key.business_type.as_str(), dropped), ("a\"é\n", "é", 0));
        assert_eq!((row.key.unit, row.usage), (Unit::Other("GB".into()), Some(Decimal::from(7))));
        let (row, dropped) = self::row(r#""resource_type":"\ud800","business_type":"b""#);
        assert_eq!((row.key.resource_type.as_str(), row.key.business_type.as_str(), dropped), ("", "b", 1));
    }

    #[test]
    fn bytes_that_are_not_utf_8_are_ignored_in_unread_fields() {
        let unread = Page::parse(b"{\"trace\":\"\xff\",\"time_list\":[{\"time\":\"t\"}]}").unwrap();
        assert_eq!(unread.buckets, [Some("t".into())]);
        assert!(Page::parse(b"{\"time_list\":[{\"time\":\"\xff\"}]}").is_err());
    }

    #[test]
    fn the_reason_quotes_nothing_of_the_body() {
        for body in [r#""secret""#, r#"{"time_list":"secret"}"#, r#"{"secret"}"#, "secret"] {
            let error = Page::parse(body.as_bytes()).unwrap_err().to_string();
            assert!(!error.contains("secret"), "{error}");
        }
    }
}
