//! The page of an answer: what limit, offset and count mean, and how the list changes between two requests.

use std::{
    collections::BTreeSet,
    hash::{DefaultHasher, Hash, Hasher},
};

use serde_json::{Value, json};

use super::{
    buckets::Bucket,
    parameters::Parameters,
    service::{Changes, Count, Counted, List, Offset, PastEnd, Service},
};

/// What limit and offset count: a bucket or a row.
#[derive(Clone)]
struct Entry {
    /// The number of its bucket.
    bucket: usize,
    time: Value,
    rows: Vec<Value>,
}

/// One page of the buckets.
///
/// # Errors
/// `offset`, if it is past the end and the service refuses such an offset.
pub(super) fn page(
    buckets: Vec<Bucket>,
    parameters: &Parameters,
    service: &Service,
    earlier: u32,
) -> Result<Value, String> {
    let mut entries = entries(buckets, service.counted);
    change(&mut entries, service.changes, earlier);
    let limit = service.cap.map_or(parameters.limit, |cap| parameters.limit.min(cap.into()));
    let (mut start, limit) = match service.offset {
        Offset::FromZero => (parameters.offset, limit),
        Offset::FromOne => (parameters.offset.saturating_sub(1), limit),
        Offset::Pages => (parameters.offset.saturating_mul(limit), limit),
        Offset::Ignored => (0, limit),
        Offset::Everything => (0, entries.len()),
    };
    let mut is_null = service.list == List::Null;
    if start > 0 && start >= entries.len() {
        match service.past_end {
            PastEnd::Nothing => {}
            PastEnd::Null => is_null = true,
            PastEnd::Error => return Err("offset".to_owned()),
            PastEnd::LastPage => start = entries.len().saturating_sub(1) / limit * limit,
        }
    }
    let page: Vec<&Entry> = entries.iter().skip(start).take(limit).collect();
    let mut answer = json!({"time_list": time_list(&page)});
    if is_null {
        answer = json!({"time_list": null});
    } else if service.list == List::Empty {
        answer = json!({"time_list": []});
    }
    if let (Some(count), Some(answer)) =
        (count(&entries, page.len(), parameters, service.count), answer.as_object_mut())
    {
        answer.insert("count".to_owned(), count);
    }
    if let Some(name) = &service.renamed {
        rename(&mut answer, name);
    }
    Ok(answer)
}

fn entries(buckets: Vec<Bucket>, counted: Counted) -> Vec<Entry> {
    let mut entries = Vec::new();
    for (bucket, Bucket { time, rows }) in buckets.into_iter().enumerate() {
        match counted {
            Counted::Buckets => entries.push(Entry { bucket, time, rows }),
            Counted::Rows => {
                entries.extend(rows.into_iter().map(|row| Entry { bucket, time: time.clone(), rows: vec![row] }));
            }
        }
    }
    entries
}

/// Applies the changes of `earlier` requests to the list.
fn change(entries: &mut Vec<Entry>, changes: Changes, earlier: u32) {
    let times = usize::try_from(earlier).unwrap_or(usize::MAX).min(entries.len());
    match changes {
        // The buckets already have the grown usage.
        Changes::Nothing | Changes::Grown => {}
        Changes::Order => entries.sort_by_cached_key(|entry| {
            let mut hasher = DefaultHasher::new();
            (earlier, entry.bucket, entry.rows.first().map(Value::to_string)).hash(&mut hasher);
            hasher.finish()
        }),
        Changes::Deleted => drop(entries.drain(..times)),
        Changes::Moved => entries.rotate_left(times),
        Changes::Inserted => {
            let Some(first) = entries.first().cloned() else { return };
            for number in 1..=times {
                let row = json!({"business_type": "INSERTED", "number": 1, "usage": number, "unit": "MIN"});
                entries.insert(0, Entry { bucket: usize::MAX - number, rows: vec![row], ..first.clone() });
            }
        }
    }
}

/// The entries as JSON. Adjacent rows of the same bucket are written as one bucket.
fn time_list(page: &[&Entry]) -> Vec<Value> {
    let buckets = page.chunk_by(|one, other| one.bucket == other.bucket);
    let json = |bucket: &[&Entry]| {
        let rows: Vec<&Value> = bucket.iter().flat_map(|entry| &entry.rows).collect();
        json!({"time": bucket.first().map(|entry| &entry.time), "resources_usage": rows})
    };
    buckets.map(json).collect()
}

fn count(entries: &[Entry], on_page: usize, parameters: &Parameters, count: Count) -> Option<Value> {
    let rows = || entries.iter().flat_map(|entry| &entry.rows);
    let types = || rows().map(|row| [&row["resource_type"], &row["business_type"]].map(Value::to_string));
    let number = match count {
        Count::Absent => return None,
        Count::FirstPage if parameters.offset > 0 => return None,
        Count::Text => return Some(entries.len().to_string().into()),
        Count::Entries | Count::FirstPage => entries.len(),
        Count::Buckets => entries.iter().map(|entry| entry.bucket).collect::<BTreeSet<_>>().len(),
        Count::Rows => rows().count(),
        Count::Types => types().collect::<BTreeSet<_>>().len(),
        Count::Page => on_page,
        Count::Zero => 0,
    };
    Some(number.into())
}

/// Appends `_v2` to the name of a field, in the whole answer.
fn rename(value: &mut Value, name: &str) {
    match value {
        Value::Array(list) => list.iter_mut().for_each(|value| rename(value, name)),
        Value::Object(object) => {
            object.values_mut().for_each(|value| rename(value, name));
            if let Some(value) = object.remove(name) {
                object.insert(format!("{name}_v2"), value);
            }
        }
        _ => {}
    }
}
