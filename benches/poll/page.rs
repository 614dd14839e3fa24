//! The answer that every peer gets: thirty days, four rows each.

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

/// The page as the service writes it.
pub fn page() -> String {
    let mut buckets = Vec::new();
    for day in 1..=DAYS {
        let mut rows = Vec::new();
        for (kind, (resource_type, business_type, unit)) in KINDS.iter().enumerate() {
            let mut row = format!(r#"{{"resource_type":"{resource_type}","business_type":"{business_type}","#);
            let _ = write!(row, r#""number":{},"usage":{day}.{kind}5,"unit":"{unit}"}}"#, day * 3 + kind);
            rows.push(row);
        }
        let rows = rows.join(",");
        buckets.push(format!(r#"{{"time":"2025-11-{day:02}T00:00:00+08:00","resources_usage":[{rows}]}}"#));
    }
    format!(r#"{{"count":{DAYS},"time_list":[{}]}}"#, buckets.join(","))
}
