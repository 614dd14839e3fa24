//! The usage families of the past: OpenMetrics with timestamps, for `promtool tsdb create-blocks-from openmetrics`.
//!
//! Names and labels are the same as in the live families. Prometheus adds the labels `job` and `instance` to scraped
//! series, so this module writes both. The instance is `backfill`, so no series of the past is also a live series, and
//! all series of the past can be deleted together. Series of recording rules have no label `instance`.

use std::{
    io::{self, Write},
    sync::Arc,
};

use super::{
    format::Format,
    lines::{FirstLabels, Kind, Lines, Metadata, write_metadata},
    projects::{MINUTES, USAGE, usage_labels},
};
use crate::{
    snapshot::Target,
    usage::{Series, Window},
};

/// The values of a series in the order of their times, each with the Unix times at which it holds.
pub type Timeline = Vec<(f64, Arc<[i64]>)>;

/// The past of one project.
#[derive(Debug)]
pub struct PastProject {
    /// Its configuration.
    pub target: Target,
    /// Its series.
    pub series: Vec<PastSeries>,
    /// The minutes of all its series together in a window, as the recording rules sum them.
    pub recorded: Vec<(Window, Timeline)>,
}

/// One series of usage.
#[derive(Debug)]
pub struct PastSeries {
    /// The window.
    pub window: Window,
    /// The measure, and the labels other than the window.
    pub series: Series,
    /// Its values.
    pub timeline: Timeline,
}

/// How many series and samples were written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WrittenSamples {
    /// Series with a sample.
    pub series: u64,
    /// Samples.
    pub samples: u64,
}

/// The HELP of the series of recording rules. In Prometheus, these series have no HELP.
const RECORDED_HELP: &str = "Usage of the project in minutes, as the recording rule of the same name sums it.";

/// The windows for which the recording rules sum the minutes of a project.
pub const RECORDED_WINDOWS: [Window; 2] = [Window::Yesterday, Window::ThisMonth];

/// Writes all samples, sorted by series and then by time: promtool drops a sample that comes after a later one.
///
/// # Errors
/// `out` cannot be written.
pub fn write_past(out: &mut impl Write, projects: &[PastProject]) -> io::Result<WrittenSamples> {
    let mut past = PastWriter { out, buffer: Vec::new(), written: WrittenSamples::default() };
    for (metadata, is_wanted) in &USAGE {
        let mut is_first = true;
        for PastProject { target, series, .. } in projects {
            let first = past_labels(target);
            for PastSeries { window, series, timeline } in series.iter().filter(|past| is_wanted(&past.series.measure))
            {
                past.begin(metadata, &mut is_first);
                past.write(metadata, &first, usage_labels(&window.to_string(), series), timeline)?;
            }
        }
    }
    for window in RECORDED_WINDOWS {
        let name = format!("project:{}:{window}", MINUTES.name);
        let metadata = Metadata::new(Kind::Gauge, &name, RECORDED_HELP);
        let mut is_first = true;
        for PastProject { target, recorded, .. } in projects {
            let first = FirstLabels::new([("project", target.name.as_str())]);
            for (_, timeline) in recorded.iter().filter(|(recorded, _)| *recorded == window) {
                past.begin(&metadata, &mut is_first);
                past.write(&metadata, &first, [], timeline)?;
            }
        }
    }
    past.out.write_all(b"# EOF\n")?;
    Ok(past.written)
}

/// The labels that a scraped series of a project has. Prometheus sets `job` and `instance` itself, and renames
/// configured labels of these names.
fn past_labels(target: &Target) -> FirstLabels {
    let renamed = |name: &str| match name {
        "job" => "exported_job".to_owned(),
        "instance" => "exported_instance".to_owned(),
        name => name.to_owned(),
    };
    let configured: Vec<(String, &str)> =
        target.set_labels().map(|(name, value)| (renamed(name), value.as_str())).collect();
    let first = [("project", target.name.as_str()), ("job", "metastudio"), ("instance", "backfill")];
    FirstLabels::new(first.into_iter().chain(configured.iter().map(|(name, value)| (name.as_str(), *value))))
}

struct PastWriter<'a, W> {
    out: &'a mut W,
    buffer: Vec<u8>,
    written: WrittenSamples,
}

impl<W: Write> PastWriter<'_, W> {
    /// Writes the metadata before the first sample of a family.
    fn begin(&mut self, metadata: &Metadata<'_>, is_first: &mut bool) {
        if std::mem::take(is_first) {
            write_metadata(&mut self.buffer, Format::OpenMetrics, metadata);
        }
    }

    fn write<'l>(
        &mut self,
        metadata: &Metadata<'_>,
        first: &FirstLabels,
        labels: impl IntoIterator<Item = (&'l str, &'l str)>,
        timeline: &Timeline,
    ) -> io::Result<()> {
        let samples = Lines::new(&mut self.buffer, metadata, first).samples_at(labels, timeline);
        self.written.series += u64::from(samples > 0);
        self.written.samples += samples;
        self.out.write_all(&self.buffer)?;
        self.buffer.clear();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::usage::Measure;

    fn project(name: &str, labels: &[(&str, &str)]) -> PastProject {
        let mut target = Target::new(name);
        target.labels = labels.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let series = |measure, business_type: &str| Series {
            measure,
            resource_type: "r".to_owned(),
            business_type: business_type.to_owned(),
            user_id: None,
        };
        let past = |window, series, timeline| PastSeries { window, series, timeline };
        PastProject {
            target,
            series: vec![
                past(Window::Yesterday, series(Measure::Minutes, "V"), vec![(0.5, [1, 2].into()), (3.0, [3].into())]),
                past(Window::Yesterday, series(Measure::Other("GB".into()), ""), vec![(1.0, [1].into())]),
                past(Window::ThisMonth, series(Measure::Minutes, "V"), vec![(7.0, [9].into())]),
            ],
            recorded: vec![(Window::ThisMonth, vec![(7.0, [9].into())])],
        }
    }

    #[test]
    fn samples_are_sorted_by_series_and_have_the_labels_of_scraped_ones() {
        let mut out = Vec::new();
        let labels = [("job", "x"), ("none", ""), ("team", "a\"b")];
        let written = write_past(&mut out, &[project("p", &labels), project("q", &[])]).unwrap();
        let text = String::from_utf8(out).unwrap();
        let lines: Vec<&str> = text.lines().filter(|line| !line.starts_with("# HELP")).collect();
        let p = r#"project="p",job="metastudio",instance="backfill",exported_job="x",team="a\"b""#;
        let q = r#"project="q",job="metastudio",instance="backfill""#;
        let of = |labels: &str| {
            let types = r#"resource_type="r",business_type="V",user_id="""#;
            let minutes = "metastudio_usage_minutes";
            vec![
                format!("{minutes}{{{labels},window=\"yesterday\",{types}}} 0.5 1"),
                format!("{minutes}{{{labels},window=\"yesterday\",{types}}} 0.5 2"),
                format!("{minutes}{{{labels},window=\"yesterday\",{types}}} 3 3"),
                format!("{minutes}{{{labels},window=\"this_month\",{types}}} 7 9"),
            ]
        };
        let other = |labels: &str| {
            let types = r#"window="yesterday",resource_type="r",business_type="",user_id="",unit="GB""#;
            format!("metastudio_usage_other{{{labels},{types}}} 1 1")
        };
        let recorded = "project:metastudio_usage_minutes:this_month";
        let mut expected = vec![
            "# TYPE metastudio_usage_minutes gauge".to_owned(),
            "# UNIT metastudio_usage_minutes minutes".to_owned(),
        ];
        expected.extend(of(p).into_iter().chain(of(q)));
        expected.push("# TYPE metastudio_usage_other gauge".to_owned());
        expected.extend([other(p), other(q), format!("# TYPE {recorded} gauge")]);
        expected.extend(["p", "q"].map(|name| format!("{recorded}{{project=\"{name}\"}} 7 9")));
        expected.push("# EOF".to_owned());
        assert_eq!(lines, expected);
        assert_eq!(written, WrittenSamples { series: 8, samples: 12 });
    }

    /// If the rules file renames a series or adds labels to it, the live series no longer continues the backfilled one.
    #[test]
    fn the_rules_record_these_series() {
        let rules = include_str!("../../deploy/prometheus/metastudio.rules.yml");
        for window in RECORDED_WINDOWS {
            let rule = format!("      - record: project:{}:{window}\n        expr: sum by (project) (", MINUTES.name);
            assert!(rules.contains(&rule), "{rule}");
        }
    }
}
