//! The days of the answer that every peer gets: thirty, with four rows each.

use std::fmt::Write;

/// Maximum number of entries of a page.
pub const PAGE_SIZE: usize = 1000;

/// Days in the page, which are the entries of its list.
pub const DAYS: usize = 30;

/// The types of usage: each day has one row of each.
const KINDS: [(&str, &str, &str); 4] = [
    ("hws.resource.type.metastudio.modeling.avatarvideo.2d", "VIDEO_2D", "MIN"),
    ("hws.resource.type.metastudio.modeling.avatarlive.channel", "LIVE_2D", "HOUR"),
    ("hws.resource.type.metastudio.chat", "CHAT_2D", "MIN"),
    ("hws.resource.type.metastudio.voice", "VOICE_CLONE", "NUM"),
];

/// A bucket with the usage of a day.
pub fn bucket(time: &str, day: usize) -> String {
    let mut rows = Vec::new();
    for (kind, (resource_type, business_type, unit)) in KINDS.iter().enumerate() {
        let mut row = format!(r#"{{"resource_type":"{resource_type}","business_type":"{business_type}","#);
        let _ = write!(row, r#""number":{},"usage":{day}.{kind}5,"unit":"{unit}"}}"#, day * 3 + kind);
        rows.push(row);
    }
    format!(r#"{{"time":"{time}","resources_usage":[{}]}}"#, rows.join(","))
}
