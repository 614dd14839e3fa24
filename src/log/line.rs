//! Log lines: the same keys and values in each format, with the names that Prometheus uses since version 3.0.

use std::{
    fmt::{Debug, Write},
    io,
};

use chrono::{SecondsFormat, Utc};
use clap::ValueEnum;
use tracing::{
    Event, Subscriber,
    field::{Field, Visit},
};
use tracing_subscriber::{Layer, layer::Context};

use crate::text::invisible;

/// The value of `--log.format`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[expect(missing_docs, reason = "the names are enough")]
pub enum LogFormat {
    Logfmt,
    Json,
}

/// Writes a line for each event.
pub(super) struct LineLayer<W> {
    pub format: LogFormat,
    pub writer: W,
}

impl<S: Subscriber, W: io::Write + Clone + 'static> Layer<S> for LineLayer<W> {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut line = Line { format: self.format, text: String::new() };
        line.add_text("time", &Utc::now().to_rfc3339_opts(SecondsFormat::Millis, true));
        line.add_text("level", event.metadata().level().as_str());
        event.record(&mut line);
        // Standard error may be closed. Then the failure cannot be reported.
        let _ = self.writer.clone().write_all(line.end().as_bytes());
    }
}

struct Line {
    format: LogFormat,
    text: String,
}

impl Line {
    /// Adds a value as it is. A text that needs quotes already has them.
    fn add(&mut self, key: &str, value: &str) {
        let (start, separator) = match self.format {
            LogFormat::Logfmt => ("", " "),
            LogFormat::Json => ("{", ","),
        };
        self.text += if self.text.is_empty() { start } else { separator };
        // tracing gives this name to the text of an event.
        let key = if key == "message" { "msg" } else { key };
        // Writing to a text does not fail.
        let _ = match self.format {
            LogFormat::Logfmt => write!(self.text, "{key}={value}"),
            LogFormat::Json => write!(self.text, "\"{key}\":{value}"),
        };
    }

    fn add_text(&mut self, key: &str, value: &str) {
        let is_plain = |character: char| !matches!(character, ' ' | '=' | '"' | '\\') && invisible(character).is_none();
        if self.format == LogFormat::Logfmt && !value.is_empty() && value.chars().all(is_plain) {
            self.add(key, value);
        } else {
            self.add(key, &quoted(value));
        }
    }

    fn end(mut self) -> String {
        self.text += if self.format == LogFormat::Json { "}\n" } else { "\n" };
        self.text
    }
}

impl Visit for Line {
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.add(field.name(), &value.to_string());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.add(field.name(), &value.to_string());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.add(field.name(), &value.to_string());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.add(field.name(), &value.to_string());
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.add_text(field.name(), value);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.add_text(field.name(), &format!("{value:?}"));
    }
}

/// The text as a JSON string, which readers of logfmt understand, too. Invisible characters are escaped, because some
/// of them control a terminal.
fn quoted(text: &str) -> String {
    let mut quoted = "\"".to_owned();
    for character in text.chars() {
        match character {
            '"' | '\\' => quoted.extend(['\\', character]),
            '\n' => quoted += "\\n",
            _ if invisible(character).is_some() => {
                for unit in character.encode_utf16(&mut [0; 2]) {
                    let _ = write!(quoted, "\\u{unit:04x}");
                }
            }
            _ => quoted.push(character),
        }
    }
    quoted + "\""
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, sync::Arc};

    use parking_lot::Mutex;
    use serde_json::Value;
    use tracing_subscriber::layer::SubscriberExt;

    use super::*;

    /// Keeps what is written.
    #[derive(Clone, Default)]
    struct Memory(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Memory {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// The lines of the events of `log` in a format, without their time.
    fn lines(format: LogFormat, log: impl FnOnce()) -> String {
        let writer = Memory::default();
        let lines = LineLayer { format, writer: writer.clone() };
        tracing::subscriber::with_default(tracing_subscriber::registry().with(lines), log);
        let text = String::from_utf8(writer.0.lock().clone()).unwrap();
        let time = match format {
            LogFormat::Logfmt => "time=YYYY-MM-DDThh:mm:ss.mmmZ ",
            LogFormat::Json => r#"{"time":"YYYY-MM-DDThh:mm:ss.mmmZ","#,
        };
        text.lines().map(|line| line.split_at(time.len()).1.to_owned() + "\n").collect()
    }

    fn log() {
        tracing::info!(address = %"127.0.0.1:1", path = "/metrics", tls = false, "listening");
        tracing::warn!(project = "数字 人", requests = 3_u64, duration = 0.25, error = ?Some(1), "poll failed: {}", "a\n\"b\"");
        tracing::error!(empty = "", path = r"a\b", bidi = "a\u{202e}\u{1b}[1m\u{9b}\t\u{e0041}", below = -1_i64, "");
        tracing::debug!(a = "b=c", "one");
    }

    #[test]
    fn logfmt_has_the_names_of_prometheus() {
        let expected = concat!(
            "level=INFO msg=listening address=127.0.0.1:1 path=/metrics tls=false\n",
            "level=WARN msg=\"poll failed: a\\n\\\"b\\\"\" project=\"数字 人\" requests=3 duration=0.25 error=Some(1)\n",
            "level=ERROR msg=\"\" empty=\"\" path=\"a\\\\b\" ",
            "bidi=\"a\\u202e\\u001b[1m\\u009b\\u0009\\udb40\\udc41\" below=-1\n",
            "level=DEBUG msg=one a=\"b=c\"\n",
        );
        assert_eq!(lines(LogFormat::Logfmt, log), expected);
    }

    /// Reads a line of logfmt.
    fn read(mut line: &str) -> BTreeMap<String, String> {
        let mut pairs = BTreeMap::new();
        while let Some((key, rest)) = line.split_once('=') {
            let (value, end) = if rest.starts_with('"') {
                let mut values = serde_json::Deserializer::from_str(rest).into_iter::<String>();
                (values.next().unwrap().unwrap(), values.byte_offset())
            } else {
                let end = rest.find(' ').unwrap_or(rest.len());
                (rest.split_at(end).0.to_owned(), end)
            };
            pairs.insert(key.trim_start().to_owned(), value);
            line = rest.split_at(end).1;
        }
        pairs
    }

    #[test]
    fn json_has_the_keys_and_values_of_logfmt() {
        let (logfmt, json) = (lines(LogFormat::Logfmt, log), lines(LogFormat::Json, log));
        assert_eq!(json.lines().count(), 4);
        for (logfmt, json) in logfmt.lines().zip(json.lines()) {
            let object: BTreeMap<String, Value> = serde_json::from_str(&format!("{{{json}")).unwrap();
            let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            let pairs: BTreeMap<String, String> =
                object.iter().map(|(key, value)| (key.clone(), text(value))).collect();
            assert_eq!(read(logfmt), pairs);
        }
        let numbers = "\"requests\":3,\"duration\":0.25,\"error\":\"Some(1)\"}\n";
        assert!(json.contains(numbers), "{json}");
    }
}
