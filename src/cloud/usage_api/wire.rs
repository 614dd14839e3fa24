//! Reads the JSON of ShowUsageData into rows.
//!
//! The API page documents the shape. The table in 1.4 of the contract lists what else is accepted: numeric strings,
//! nulls, a single object instead of a list. An absent value stays absent and is never read as 0. A value that is there
//! but cannot be read is an error, because a sum without it is not complete (`docs/numbers.md`, "Values"). Numbers
//! have the digits that the cloud sent.

use std::{borrow::Cow, cell::Cell, marker::PhantomData, sync::Arc};

use chrono::{DateTime, Utc};
use serde::{
    Deserialize,
    de::{IgnoredAny, MapAccess},
};

use crate::{
    cloud::{
        json::{
            self, Entries, JsonFields, Raw, Unreadable, boolean, decimal, field, integer, json_object, once, string,
            time,
        },
        secrets::Secrets,
    },
    usage::{Row, RowKey, Unit},
};

/// Maximum number of buckets and rows of a page together: 20 for each entry of the largest page. An account uses fewer
/// than 20 types, and their rows are in one bucket. A service that counts buckets sends fewer rows if `api.page_size`
/// is smaller.
pub(super) const MAX_ENTRIES: usize = 20_000;

/// One page of an answer.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Page {
    /// `count`, which the API does not define further; `None` if absent or not an integer.
    pub count: Option<i64>,
    /// Whether `time_list` was there and not null.
    pub has_list: bool,
    /// The entries of `time_list`. `limit` may count these, or their rows.
    pub buckets: Vec<Bucket>,
}

/// An entry of `time_list`: the usage that begins at a time.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Bucket {
    /// Its `time`; a number is written as RFC 3339.
    pub time: Option<Arc<str>>,
    /// Whether `resources_usage` was there. It may be null.
    pub has_list: bool,
    /// Its rows.
    pub rows: Vec<Row>,
}

impl Bucket {
    /// Its start; `None` if it has no time with a zone.
    pub fn start(&self) -> Option<DateTime<Utc>> {
        start_of_bucket(self.time.as_deref())
    }
}

/// The start of the bucket with this `time`; `None` if that is no time with a zone.
pub fn start_of_bucket(time: Option<&str>) -> Option<DateTime<Utc>> {
    DateTime::parse_from_rfc3339(time?).ok().map(|time| time.to_utc())
}

impl Page {
    /// Reads the body of a 200.
    ///
    /// # Errors
    /// If it is not JSON, or not an object of the documented shape: HTML, an empty body, `NaN`, a bare list, an object
    /// with neither `count` nor `time_list`. If a value of a row cannot be read or has more than 256 bytes. If there
    /// are more than 20,000 buckets and rows.
    pub fn parse(body: &[u8]) -> Result<Page, Unreadable> {
        let free = Cell::new(MAX_ENTRIES + 1);
        let json: Result<PageJson<'_>, _> = json::read(body, &free);
        if free.get() == 0 {
            return Err(Unreadable(format!("it has more than {MAX_ENTRIES} buckets and rows; lower api.page_size")));
        }
        let json = json?;
        if json.count.is_none() && json.time_list.is_none() {
            return Err(Unreadable("it has neither count nor time_list".to_owned()));
        }
        let list = json.time_list.flatten();
        let has_list = list.is_some();
        let buckets = list.unwrap_or_default().into_iter().enumerate();
        let buckets = buckets.map(|(index, bucket)| {
            bucket.read().map_err(|Unreadable(what)| Unreadable(format!("entry {} of time_list: {what}", index + 1)))
        });
        // `count` is in no sum. If it cannot be read, it proves nothing.
        Ok(Page {
            count: field("count", json.count, integer).unwrap_or_default(),
            has_list,
            buckets: buckets.collect::<Result<_, _>>()?,
        })
    }
}

impl Page {
    /// Removes secrets from all texts.
    pub(super) fn hide(&mut self, secrets: &Secrets) {
        let hide = |text: &mut String| {
            if let Cow::Owned(hidden) = secrets.label(text.as_str().into()) {
                *text = hidden;
            }
        };
        for bucket in &mut self.buckets {
            let hidden_time = match bucket.time.as_deref().map(|time| secrets.label(time.into())) {
                Some(Cow::Owned(hidden)) => Some(Arc::from(hidden)),
                _ => None,
            };
            if hidden_time.is_some() {
                bucket.time.clone_from(&hidden_time);
                bucket.rows.iter_mut().for_each(|row| row.key.time.clone_from(&hidden_time));
            }
            for row in &mut bucket.rows {
                let key = &mut row.key;
                for text in [
                    &mut key.resource_type,
                    &mut key.business_type,
                    &mut key.sub_resource_type,
                    &mut key.charging_mode,
                    &mut key.resource_source,
                ] {
                    hide(text);
                }
                if let Unit::Other(unit) = &mut key.unit {
                    hide(unit);
                }
            }
        }
    }
}

/// A list as it was sent: absent, `Some(None)` if it was null, or its entries.
type SentList<T> = Option<Option<Vec<T>>>;

#[derive(Default)]
struct PageJson<'a> {
    count: Raw<'a>,
    time_list: SentList<BucketJson<'a>>,
}

#[derive(Default)]
struct BucketJson<'a> {
    time: Raw<'a>,
    resources_usage: SentList<RowJson<'a>>,
}

impl BucketJson<'_> {
    fn read(self) -> Result<Bucket, Unreadable> {
        let time: Option<Arc<str>> = field("time", self.time, time)?.map(Arc::from);
        let has_list = self.resources_usage.is_some();
        let rows = self.resources_usage.flatten().unwrap_or_default();
        let rows = rows.into_iter().map(|row| row.read(time.clone())).collect::<Result<_, _>>()?;
        Ok(Bucket { time, has_list, rows })
    }
}

json_object! {
    struct RowJson<'a> {
        resource_type: Raw<'a>,
        business_type: Raw<'a>,
        number: Raw<'a>,
        usage: Raw<'a>,
        unit: Raw<'a>,
        sub_resource_type: Raw<'a>,
        is_sub_resource: Raw<'a>,
        charging_mode: Raw<'a>,
        resource_source: Raw<'a>,
    }
}

impl RowJson<'_> {
    fn read(self, time: Option<Arc<str>>) -> Result<Row, Unreadable> {
        let label = |name, raw| -> Result<String, Unreadable> {
            Ok(field(name, raw, string)?.map_or_else(String::new, Cow::into_owned))
        };
        let key = RowKey {
            time,
            resource_type: label("resource_type", self.resource_type)?,
            business_type: label("business_type", self.business_type)?,
            unit: Unit::from_api(field("unit", self.unit, string)?.as_deref()),
            sub_resource_type: label("sub_resource_type", self.sub_resource_type)?,
            charging_mode: label("charging_mode", self.charging_mode)?,
            resource_source: label("resource_source", self.resource_source)?,
            is_sub_resource: field("is_sub_resource", self.is_sub_resource, boolean)?.unwrap_or(false),
        };
        Ok(Row { key, usage: field("usage", self.usage, decimal)?, number: field("number", self.number, integer)? })
    }
}

impl<'de> JsonFields<'de> for PageJson<'de> {
    fn read<A: MapAccess<'de>>(mut object: A, free: &Cell<usize>) -> Result<Self, A::Error> {
        let (mut count, mut time_list) = (None, None);
        while let Some(name) = object.next_key::<PageField>()? {
            match name {
                PageField::Count => once(&mut count, object.next_value()?)?,
                PageField::TimeList => once(&mut time_list, object.next_value_seed(Entries(free, PhantomData))?)?,
                PageField::Other => {
                    object.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(PageJson { count: count.flatten(), time_list })
    }
}

impl<'de> JsonFields<'de> for BucketJson<'de> {
    fn read<A: MapAccess<'de>>(mut object: A, free: &Cell<usize>) -> Result<Self, A::Error> {
        let (mut time, mut resources_usage) = (None, None);
        while let Some(name) = object.next_key::<BucketField>()? {
            match name {
                BucketField::Time => once(&mut time, object.next_value()?)?,
                BucketField::ResourcesUsage => {
                    once(&mut resources_usage, object.next_value_seed(Entries(free, PhantomData))?)?
                }
                BucketField::Other => {
                    object.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(BucketJson { time: time.flatten(), resources_usage })
    }
}

#[derive(Deserialize)]
#[serde(field_identifier, rename_all = "snake_case")]
enum PageField {
    Count,
    TimeList,
    #[serde(other)]
    Other,
}

#[derive(Deserialize)]
#[serde(field_identifier, rename_all = "snake_case")]
enum BucketField {
    Time,
    ResourcesUsage,
    #[serde(other)]
    Other,
}

#[cfg(test)]
mod tests {
    use rust_decimal::Decimal;

    use super::*;
    use crate::cloud::secrets::MAX_TEXT;

    fn parse(body: &str) -> Page {
        Page::parse(body.as_bytes()).unwrap()
    }

    fn error(body: &str) -> String {
        Page::parse(body.as_bytes()).unwrap_err().to_string()
    }

    fn with_row(fields: &str) -> String {
        format!(r#"{{"time_list":[{{"resources_usage":[{{{fields}}}]}}]}}"#)
    }

    fn row(fields: &str) -> Row {
        parse(&with_row(fields)).buckets[0].rows[0].clone()
    }

    fn usage(value: &str) -> Option<String> {
        row(&format!(r#""usage":{value}"#)).usage.map(|usage| usage.to_string())
    }

    #[test]
    fn reads_the_documented_shape() {
        let page = parse(
            r#"{"count":2,"time_list":[{"time":"2025-11-01T00:00:00Z","resources_usage":[
                {"resource_type":"video_time_2d_model","business_type":"VIDEO_2D","number":4,"usage":12.50,"unit":"MIN"},
                {"business_type":"LIVE_2D","number":1,"usage":3.25,"unit":"HOUR"}]}]}"#,
        );
        assert_eq!(page.count, Some(2));
        let [bucket] = &page.buckets[..] else { panic!("{:?}", page.buckets) };
        assert_eq!(bucket.time, Some("2025-11-01T00:00:00Z".into()));
        let [video, live] = &bucket.rows[..] else { panic!("{:?}", bucket.rows) };
        assert_eq!(video.key.time, bucket.time);
        assert_eq!(video.key.resource_type, "video_time_2d_model");
        assert_eq!((video.usage.unwrap().to_string().as_str(), video.number), ("12.50", Some(4)));
        assert_eq!((live.key.resource_type.as_str(), &live.key.unit), ("", &Unit::Hours));
        assert!(!live.key.is_sub_resource);
    }

    #[test]
    fn numbers_are_read_to_the_last_digit_or_not_at_all() {
        for (value, read) in [
            ("7.25", "7.25"),
            (r#"" 7.25 ""#, "7.25"),
            ("-3", "-3"),
            ("0.1", "0.1"),
            ("1.5E2", "150"),
            ("1.5E+2", "150"),
            ("1.0E-5", "0.00001"),
            ("0e-400", "0"),
            ("7.2500000000000000000000000000000000", "7.25"),
            ("1234567890123456789012345.678", "1234567890123456789012345.678"),
        ] {
            assert_eq!(usage(value).as_deref(), Some(read), "{value}");
        }
        assert_eq!(usage("null"), None, "null is absent, never 0");
        let unreadable = [
            "true",
            "1E400",
            "1e-400",
            r#""n/a""#,
            r#""""#,
            r#""NaN""#,
            r#""1_000""#,
            r#""1,234.5""#,
            "[]",
            "{}",
            "1e30",
            "0.12345678901234567890123456789",
            "12345678901234567890123456789012",
        ];
        for value in unreadable {
            assert_eq!(
                error(&with_row(&format!(r#""usage":{value}"#))),
                "entry 1 of time_list: usage has a value that cannot be read",
                "{value}"
            );
        }
    }

    #[test]
    fn integers_may_be_strings_or_integral_floats() {
        let count = |value: &str| parse(&format!(r#"{{"count":{value},"time_list":[]}}"#)).count;
        for twelve in ["12", r#""12""#, "12.0"] {
            assert_eq!(count(twelve), Some(12));
            assert_eq!(row(&format!(r#""number":{twelve}"#)).number, Some(12));
        }
        for other in ["12.7", r#""abc""#, "1e20", "true"] {
            assert_eq!(count(other), None, "an unreadable count proves nothing");
            assert!(error(&with_row(&format!(r#""number":{other}"#))).contains("number"), "{other}");
        }
        assert_eq!(parse(r#"{"time_list":[]}"#).count, None);
    }

    #[test]
    fn flags_and_texts_that_cannot_be_read_are_errors() {
        for (value, is_part) in [
            ("true", true),
            ("false", false),
            ("1", true),
            ("0", false),
            (r#""1""#, true),
            (r#""True""#, true),
            (r#""FALSE""#, false),
            ("null", false),
        ] {
            assert_eq!(row(&format!(r#""is_sub_resource":{value}"#)).key.is_sub_resource, is_part, "{value}");
        }
        for field in [
            r#""is_sub_resource":2"#,
            r#""is_sub_resource":"yes""#,
            r#""is_sub_resource":"""#,
            r#""resource_type":5"#,
            r#""business_type":["VIDEO_2D"]"#,
            r#""unit":60"#,
            r#""charging_mode":{}"#,
        ] {
            let name = field.split('"').nth(1).unwrap();
            assert!(error(&with_row(field)).contains(name), "{field}");
        }
    }

    #[test]
    fn a_time_may_be_a_number() {
        let time = |value: &str| parse(&format!(r#"{{"time_list":[{{"time":{value}}}]}}"#)).buckets[0].time.clone();
        for (value, read) in [
            ("1761955200", "2025-11-01T00:00:00Z"),
            ("1761955200000", "2025-11-01T00:00:00Z"),
            ("1761955200.0", "2025-11-01T00:00:00Z"),
            (r#""2025-11-01""#, "2025-11-01"),
        ] {
            assert_eq!(time(value).as_deref(), Some(read), "{value}");
        }
        assert_eq!(time("null"), None);
        for unreadable in ["true", "[]", "1e20"] {
            assert!(error(&format!(r#"{{"time_list":[{{"time":{unreadable}}}]}}"#)).contains("time has a value"));
        }
    }

    #[test]
    fn the_hostile_example_of_the_contract_is_accepted() {
        let page = parse(
            r#"{"count":"3","trace":"x","time_list":[{"time":"2025-11-01T00:00:00+08:00","resources_usage":[
                {"resource_type":"hws.resource.type.metastudio.modeling.avatarlive.channel","business_type":"CHAT_2D",
                 "amount":"10","usage":"2.5","unit":"CHANNEL","charging_mode":"PERIODIC"},
                {"resource_type":null,"business_type":"VIDEO_2D","number":null,"usage":7,"unit":null}]},
                {"time":null,"resources_usage":null}]}"#,
        );
        let rows: Vec<usize> = page.buckets.iter().map(|bucket| bucket.rows.len()).collect();
        assert_eq!((page.count, rows), (Some(3), vec![2, 0]));
        let first = &page.buckets[0].rows[0];
        assert_eq!(first.number, None, "amount is not number");
        assert_eq!(first.key.charging_mode, "PERIODIC");
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
        assert!(page.buckets[0].rows[0].key.is_sub_resource);
        let page = parse(r#"{"time_list":[null,{"resources_usage":[null,{"usage":1}]},{"resources_usage":null}]}"#);
        let shape: Vec<_> = page.buckets.iter().map(|bucket| (bucket.has_list, bucket.rows.len())).collect();
        assert_eq!(shape, [(false, 0), (true, 2), (true, 0)], "null is an empty entry");
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
        let row = row(r#""resource_type":"a\"\u00e9\n","business_type":"é","unit":"\u0047B","usage":"\u0037""#);
        assert_eq!((row.key.resource_type.as_str(), row.key.business_type.as_str()), ("a\"é\n", "é"));
        assert_eq!((row.key.unit, row.usage), (Unit::Other("GB".into()), Some(Decimal::from(7))));
        assert!(error(&with_row(r#""resource_type":"\ud800""#)).contains("resource_type"));
    }

    #[test]
    fn bytes_that_are_not_utf_8_are_ignored_in_unread_fields() {
        let unread = Page::parse(b"{\"trace\":\"\xff\",\"time_list\":[{\"time\":\"t\"}]}").unwrap();
        assert_eq!(unread.buckets[0].time, Some("t".into()));
        assert!(Page::parse(b"{\"time_list\":[{\"time\":\"\xff\"}]}").is_err());
    }

    #[test]
    fn the_entries_of_a_page_are_limited_while_they_are_read() {
        let list = |entry: &str, count: usize| vec![entry; count].join(",");
        let buckets = |entry: &str, count| format!(r#"{{"time_list":[{}]}}"#, list(entry, count));
        let rows = |entry: &str, count| {
            format!(r#"{{"time_list":[{{"resources_usage":{{}}}},{{"resources_usage":[{}]}}]}}"#, list(entry, count))
        };
        let limit = "it has more than 20000 buckets and rows; lower api.page_size";
        for entry in ["{}", "null"] {
            assert_eq!(parse(&buckets(entry, MAX_ENTRIES)).buckets.len(), MAX_ENTRIES);
            assert_eq!(error(&buckets(entry, MAX_ENTRIES + 1)), limit);
            // Two buckets and the row of the first one count, too.
            assert_eq!(parse(&rows(entry, MAX_ENTRIES - 3)).buckets[1].rows.len(), MAX_ENTRIES - 3);
            assert_eq!(error(&rows(entry, MAX_ENTRIES - 2)), limit);
        }
        let endless = rows("{}", MAX_ENTRIES);
        assert_eq!(error(endless.strip_suffix("]}]}").unwrap()), limit, "what follows is not read");
        assert_eq!(error(&buckets(r#"{"resources_usage":{}}"#, MAX_ENTRIES)), limit, "a bare object is a row");
    }

    #[test]
    fn a_field_of_a_bucket_that_is_there_twice_is_an_error() {
        for body in [
            r#"{"count":1,"count":null,"time_list":[]}"#,
            r#"{"time_list":[],"time_list":null}"#,
            r#"{"time_list":[{"time":"a","time":null}]}"#,
            r#"{"time_list":[{"resources_usage":null,"resources_usage":[]}]}"#,
        ] {
            assert!(error(body).starts_with("JSON of another shape"), "{body}");
        }
    }

    #[test]
    fn values_are_limited_in_length() {
        let quoted = |length: usize| format!("\"{}\"", "a".repeat(length - 2));
        for name in ["resource_type", "business_type", "unit", "sub_resource_type", "charging_mode", "resource_source"]
        {
            let with_length = |length| with_row(&format!("\"{name}\":{}", quoted(length)));
            assert_eq!(parse(&with_length(MAX_TEXT)).buckets[0].rows.len(), 1);
            assert_eq!(
                error(&with_length(MAX_TEXT + 1)),
                format!("entry 1 of time_list: {name} has more than 256 bytes")
            );
        }
        let long = "0".repeat(MAX_TEXT + 1);
        assert!(error(&with_row(&format!(r#""usage":1.{long}"#))).contains("usage has more than 256 bytes"));
        assert!(error(&with_row(&format!(r#""number":1.{long}"#))).contains("number has more than 256 bytes"));
        assert!(error(&format!(r#"{{"time_list":[{{"time":"{long}"}}]}}"#)).contains("time has more than 256 bytes"));
    }

    #[test]
    fn no_text_of_a_page_shows_a_secret() {
        let texts = r#""resource_type":"a","business_type":"\u0061b","unit":"ca","sub_resource_type":"a","charging_mode":"a",
            "resource_source":"a""#;
        let mut page = parse(&format!(r#"{{"time_list":[{{"time":"a","resources_usage":[{{{texts}}}]}}]}}"#));
        page.hide(&[&"a".into()].into_iter().collect());
        let bucket = &page.buckets[0];
        let key = &bucket.rows[0].key;
        assert_eq!((bucket.time.as_deref(), key.time.as_deref()), (Some("<secret>"), Some("<secret>")));
        assert_eq!((&*key.business_type, &key.unit), ("<secret>b", &Unit::Other("c<secret>".to_owned())));
        for text in [&key.resource_type, &key.sub_resource_type, &key.charging_mode, &key.resource_source] {
            assert_eq!(text, "<secret>");
        }
    }

    #[test]
    fn the_reason_quotes_nothing_of_the_body() {
        let value = with_row(r#""usage":"secret""#);
        for body in [r#""secret""#, r#"{"time_list":"secret"}"#, r#"{"secret"}"#, "secret", &value] {
            let error = Page::parse(body.as_bytes()).unwrap_err().to_string();
            assert!(!error.contains("secret"), "{error}");
        }
    }
}
