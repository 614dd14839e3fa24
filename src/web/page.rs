//! The status page: every project, its last poll, and the usage of each window.

use std::fmt::Write;

use chrono::{DateTime, SecondsFormat, Utc};

use crate::snapshot::{LastPoll, Measure, Project, Snapshot, WindowUsage};

/// The page has one style sheet, within it, and nothing else: no scripts, no images, no frames.
pub(super) const CONTENT_SECURITY_POLICY: &str =
    "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

const STYLE: &str = "
:root { color-scheme: light dark; }
body { font: 1rem/1.5 system-ui, sans-serif; max-width: 70rem; margin: 2rem auto; padding: 0 1rem; }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; vertical-align: top; padding: .4rem .6rem; border-bottom: 1px solid #8886; }
.failed { color: #c33; }
";

/// Renders the page. Everything that comes from outside is escaped.
pub(super) fn render(snapshot: &Snapshot, telemetry_path: &str, now: DateTime<Utc>) -> String {
    let mut rows = String::new();
    for project in &snapshot.projects {
        let target = &project.target;
        // Writing to a String cannot fail.
        let _ = writeln!(
            rows,
            "<tr><td>{}</td><td>{}</td><td>{}</td><td>{}</td></tr>",
            escape(&target.name),
            escape(if target.region.is_empty() { &target.endpoint } else { &target.region }),
            last_poll(project, now),
            usage(project, now),
        );
    }
    format!(
        "<!DOCTYPE html>
<html lang=\"en\">
<head>
<meta charset=\"utf-8\">
<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">
<title>MetaStudio exporter</title>
<style>{STYLE}</style>
</head>
<body>
<h1>MetaStudio exporter</h1>
<p><a href=\"{}\">Metrics</a> · <a href=\"/-/ready\">Ready?</a> · <a href=\"/-/healthy\">Healthy?</a></p>
<table>
<thead><tr><th>Project</th><th>Region</th><th>Last poll</th><th>Minutes</th></tr></thead>
<tbody>
{rows}</tbody>
</table>
<p>Usage is polled and cached. The windows overlap: they are not to be added up.</p>
</body>
</html>
",
        escape(telemetry_path)
    )
}

fn last_poll(project: &Project, now: DateTime<Utc>) -> String {
    let Some(LastPoll { at, duration, failure, .. }) = &project.health.last else { return "not yet".to_owned() };
    let at_text = at.to_rfc3339_opts(SecondsFormat::Secs, true);
    let age = (now - at).num_seconds().max(0);
    let result = match failure {
        None => format!("succeeded in {:.1}s", duration.as_secs_f64()),
        Some(failure) => {
            format!("<span class=\"failed\">failed ({}): {}</span>", failure.reason, escape(&failure.message))
        }
    };
    format!("{at_text}, {age}s ago: {result}")
}

fn usage(project: &Project, now: DateTime<Utc>) -> String {
    let Some(usage) = project.usage_at(now) else { return "none known".to_owned() };
    let minutes = |window: &WindowUsage| {
        let series = usage.series.iter().filter(|series| series.measure == Measure::Minutes);
        series.map(|series| window.tally.value(series)).sum::<f64>()
    };
    let lines: Vec<String> =
        usage.windows.iter().map(|window| format!("{}: {:.1}", window.window, minutes(window))).collect();
    lines.join("<br>")
}

/// For text and quoted attributes.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            other => escaped.push(other),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::snapshot::{self, Target};

    #[test]
    fn what_comes_from_outside_is_escaped() {
        let target = Target {
            name: "<script>alert('&')</script>".into(),
            project_id: None,
            region: "\"><img src=x>".into(),
            endpoint: String::new(),
            labels: vec![],
            stale_after: Duration::ZERO,
            credentials: String::new(),
            budgets: vec![],
        };
        let (_writer, reader) = snapshot::channel(vec![target]);
        let html = render(&reader.load(), "/metrics", DateTime::UNIX_EPOCH);
        assert!(!html.contains("<script") && !html.contains("<img"), "{html}");
        assert!(html.contains("&lt;script&gt;alert(&#39;&amp;&#39;)"), "{html}");
    }
}
