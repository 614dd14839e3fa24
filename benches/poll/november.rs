//! A page of one November, for benchmarks without a service.

use super::page::{DAYS, bucket};

/// The page as the service writes it.
pub fn page() -> String {
    let buckets: Vec<String> = (1..=DAYS).map(|day| bucket(&format!("2025-11-{day:02}T00:00:00+08:00"), day)).collect();
    format!(r#"{{"count":{DAYS},"time_list":[{}]}}"#, buckets.join(","))
}
