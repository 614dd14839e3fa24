//! Writes the lines of a metric family. Its samples are the same bytes in both formats; its metadata are not.

use std::sync::Arc;

use super::format::Format;
use crate::usage::Histogram;

/// Types of metric families.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Counter,
    Gauge,
    Histogram,
    Info,
}

/// The metadata of a metric family: HELP, TYPE and UNIT.
#[derive(Clone, Copy)]
pub(super) struct Metadata<'a> {
    /// With the unit, without a suffix of samples such as `_total`.
    pub name: &'a str,
    pub kind: Kind,
    pub unit: Option<&'static str>,
    /// Without quotes, backslashes and line breaks, because nothing escapes them.
    pub help: &'static str,
}

impl<'a> Metadata<'a> {
    pub const fn new(kind: Kind, name: &'a str, help: &'static str) -> Self {
        Metadata { name, kind, unit: None, help }
    }

    pub const fn unit(self, unit: &'static str) -> Self {
        Metadata { unit: Some(unit), ..self }
    }
}

/// Appends the metadata lines of a family.
pub(super) fn write_metadata(out: &mut Vec<u8>, format: Format, metadata: &Metadata<'_>) {
    let Metadata { name, kind, unit, help } = metadata;
    let (suffix, kind) = match (format, kind) {
        (Format::OpenMetrics, Kind::Counter) => ("", "counter"),
        (Format::OpenMetrics, Kind::Info) => ("", "info"),
        (Format::Text, Kind::Counter) => ("_total", "counter"),
        (Format::Text, Kind::Info) => ("_info", "gauge"),
        (_, Kind::Gauge) => ("", "gauge"),
        (_, Kind::Histogram) => ("", "histogram"),
    };
    let mut line = |words: &[&str]| words.iter().for_each(|word| out.extend_from_slice(word.as_bytes()));
    line(&["# HELP ", name, suffix, " ", help, "\n", "# TYPE ", name, suffix, " ", kind, "\n"]);
    if let (Format::OpenMetrics, Some(unit)) = (format, unit) {
        line(&["# UNIT ", name, " ", unit, "\n"]);
    }
}

/// The beginning of a set of labels, which many samples share: `{project="a"`.
pub(super) struct FirstLabels(Vec<u8>);

impl FirstLabels {
    /// At least one label is needed.
    pub fn new<'l>(labels: impl IntoIterator<Item = (&'l str, &'l str)>) -> Self {
        let mut written = Vec::new();
        for (name, value) in labels {
            let before = if written.is_empty() { b'{' } else { b',' };
            write_label(&mut written, before, name, value);
        }
        FirstLabels(written)
    }
}

/// Writes sample lines of one family that share their first labels.
///
/// Label values are escaped as both formats require: backslash, quote and line feed (OpenMetrics 1.0.0, ABNF of
/// `escaped-string`).
pub(super) struct Lines<'a> {
    out: &'a mut Vec<u8>,
    name: &'a str,
    suffix: &'static str,
    first: &'a FirstLabels,
}

impl<'a> Lines<'a> {
    /// Appends to `out`.
    pub fn new(out: &'a mut Vec<u8>, metadata: &Metadata<'a>, first: &'a FirstLabels) -> Self {
        let suffix = match metadata.kind {
            Kind::Counter => "_total",
            Kind::Info => "_info",
            Kind::Gauge | Kind::Histogram => "",
        };
        Lines { out, name: metadata.name, suffix, first }
    }

    /// A line with the first labels and `labels`.
    pub fn sample<'l>(&mut self, labels: impl IntoIterator<Item = (&'l str, &'l str)>, value: f64) {
        self.labels(self.suffix, labels);
        self.number(value);
    }

    /// Like [`Self::sample`], for an integer.
    pub fn count<'l>(&mut self, labels: impl IntoIterator<Item = (&'l str, &'l str)>, value: u64) {
        self.labels(self.suffix, labels);
        self.integer(value);
    }

    /// The lines of a histogram, each with the first labels and `label`.
    pub fn histogram(&mut self, label: (&str, &str), histogram: &Histogram) {
        const BOUNDS: [&str; Histogram::BOUNDS.len() + 1] =
            ["0.05", "0.1", "0.25", "0.5", "1.0", "2.5", "5.0", "10.0", "+Inf"];
        let mut count = 0;
        for (bound, of_bucket) in BOUNDS.into_iter().zip(histogram.counts) {
            count += of_bucket;
            self.labels("_bucket", [label, ("le", bound)]);
            self.integer(count);
        }
        self.labels("_sum", [label]);
        self.number(histogram.sum);
        self.labels("_count", [label]);
        self.integer(count);
    }

    /// The lines of one series. `values` has each value with the Unix times at which the series has it. Returns the
    /// number of lines.
    pub fn samples_at<'l>(
        &mut self,
        labels: impl IntoIterator<Item = (&'l str, &'l str)>,
        values: &[(f64, Arc<[i64]>)],
    ) -> u64 {
        let start = self.out.len();
        self.labels(self.suffix, labels);
        let series = self.out.split_off(start);
        let mut count = 0;
        for (value, times) in values {
            for time in times.iter() {
                self.out.extend_from_slice(&series);
                self.digits(*value);
                self.out.push(b' ');
                self.out.extend_from_slice(itoa::Buffer::new().format(*time).as_bytes());
                self.out.push(b'\n');
                count += 1;
            }
        }
        count
    }

    fn labels<'l>(&mut self, suffix: &str, labels: impl IntoIterator<Item = (&'l str, &'l str)>) {
        self.out.extend_from_slice(self.name.as_bytes());
        self.out.extend_from_slice(suffix.as_bytes());
        self.out.extend_from_slice(&self.first.0);
        for (name, value) in labels {
            write_label(self.out, b',', name, value);
        }
        self.out.extend_from_slice(b"} ");
    }

    fn number(&mut self, value: f64) {
        self.digits(value);
        self.out.push(b'\n');
    }

    /// Whole numbers without a fraction, as other exporters write them; floats hold them exactly up to 2^53.
    fn digits(&mut self, value: f64) {
        if value.trunc() == value && value.abs() < (1_i64 << 53) as f64 {
            self.out.extend_from_slice(itoa::Buffer::new().format(value as i64).as_bytes());
        } else {
            self.out.extend_from_slice(dtoa::Buffer::new().format(value).as_bytes());
        }
    }

    fn integer(&mut self, value: u64) {
        self.out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
        self.out.push(b'\n');
    }
}

fn write_label(out: &mut Vec<u8>, before: u8, name: &str, value: &str) {
    out.push(before);
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"=\"");
    write_escaped(out, value);
    out.push(b'"');
}

fn write_escaped(out: &mut Vec<u8>, value: &str) {
    let is_special = |byte: &u8| matches!(byte, b'\\' | b'"' | b'\n');
    if !value.as_bytes().iter().any(is_special) {
        out.extend_from_slice(value.as_bytes());
        return;
    }
    for byte in value.bytes() {
        match byte {
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\\' | b'"' => out.extend_from_slice(&[b'\\', byte]),
            other => out.push(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bucket_labels_are_the_bounds() {
        let mut out = Vec::new();
        let first = FirstLabels::new([("project", "p")]);
        Lines::new(&mut out, &Metadata::new(Kind::Histogram, "x", ""), &first)
            .histogram(("api", "a"), &Histogram::default());
        let text = String::from_utf8(out).unwrap();
        let bounds = text.lines().filter_map(|line| line.split("le=\"").nth(1)?.split('"').next()?.parse::<f64>().ok());
        assert_eq!(bounds.collect::<Vec<_>>(), [&Histogram::BOUNDS[..], &[f64::INFINITY]].concat());
    }
}
