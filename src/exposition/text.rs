//! Rewrites OpenMetrics as Prometheus' text format 0.0.4.
//!
//! The samples are the same bytes; only the metadata differ. A counter's family is named with `_total`, an info is a
//! gauge named with `_info`, `unknown` is `untyped`, and UNIT and EOF do not exist.

/// Rewrites the output of prometheus-client.
pub(super) fn from_openmetrics(openmetrics: &str) -> String {
    let mut text = String::with_capacity(openmetrics.len());
    let mut lines = openmetrics.lines().peekable();
    while let Some(line) = lines.next() {
        let mut words = line.splitn(4, ' ');
        match (words.next(), words.next(), words.next(), words.next()) {
            (Some("#"), Some("EOF"), ..) | (Some("#"), Some("UNIT"), ..) => {}
            // The type of a HELP line is in the next line.
            (Some("#"), Some(word @ ("HELP" | "TYPE")), Some(name), Some(rest)) => {
                let kind = if word == "TYPE" {
                    rest
                } else {
                    lines.peek().and_then(|next| next.rsplit(' ').next()).unwrap_or("")
                };
                let (suffix, kind_in_text) = match kind {
                    "counter" => ("_total", "counter"),
                    "info" => ("_info", "gauge"),
                    "unknown" => ("", "untyped"),
                    other => ("", other),
                };
                let rest = if word == "TYPE" { kind_in_text } else { rest };
                text.extend(["# ", word, " ", name, suffix, " ", rest, "\n"]);
            }
            _ => text.extend([line, "\n"]),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_metadata_differ() {
        let openmetrics = "\
# HELP a_seconds How long.
# TYPE a_seconds counter
# UNIT a_seconds seconds
a_seconds_total{x=\"# TYPE y info\"} 1
# HELP b A thing.
# TYPE b info
b_info{v=\"1\"} 1
# HELP c It is a counter
# TYPE c gauge
c 1.5
# HELP d D.
# TYPE d unknown
d 1
# EOF
";
        let text = "\
# HELP a_seconds_total How long.
# TYPE a_seconds_total counter
a_seconds_total{x=\"# TYPE y info\"} 1
# HELP b_info A thing.
# TYPE b_info gauge
b_info{v=\"1\"} 1
# HELP c It is a counter
# TYPE c gauge
c 1.5
# HELP d D.
# TYPE d untyped
d 1
";
        assert_eq!(from_openmetrics(openmetrics), text);
    }
}
