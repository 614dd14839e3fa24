//! Describes metric families to prometheus-client. A family without samples is left out, because prometheus-client
//! would print its HELP and TYPE.

use std::fmt;

use prometheus_client::{
    encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet},
    metrics::MetricType,
    registry::Unit,
};

/// Names and values in the order of the exposition.
pub(super) type Labels<'a> = Vec<(&'a str, String)>;

/// Name, unit and help of a family. The help has no quotes, backslashes or line breaks, because nothing escapes them.
#[derive(Clone, Copy)]
pub(super) struct Descriptor<'a> {
    pub name: &'a str,
    pub unit: Option<&'a Unit>,
    pub help: &'a str,
}

impl<'a> Descriptor<'a> {
    pub fn new(name: &'a str, help: &'a str) -> Self {
        Descriptor { name, unit: None, help }
    }

    pub fn unit(self, unit: &'a Unit) -> Self {
        Descriptor { unit: Some(unit), ..self }
    }

    pub fn gauges<'l>(
        self,
        encoder: &mut DescriptorEncoder<'_>,
        samples: impl IntoIterator<Item = (Labels<'l>, f64)>,
    ) -> fmt::Result {
        self.write(encoder, MetricType::Gauge, samples, |metric, value| {
            // Whole numbers without a fraction, as other exporters write them; floats hold them exactly up to 2^53.
            if value.trunc() == value && value.abs() < (1_i64 << 53) as f64 {
                metric.encode_gauge(&(value as i64))
            } else {
                metric.encode_gauge(&value)
            }
        })
    }

    pub fn counters<'l>(
        self,
        encoder: &mut DescriptorEncoder<'_>,
        samples: impl IntoIterator<Item = (Labels<'l>, u64)>,
    ) -> fmt::Result {
        self.write(encoder, MetricType::Counter, samples, |metric, value| {
            metric.encode_counter::<NoLabelSet, _, f64>(&value, None)
        })
    }

    pub fn infos<'l>(
        self,
        encoder: &mut DescriptorEncoder<'_>,
        samples: impl IntoIterator<Item = Labels<'l>>,
    ) -> fmt::Result {
        let mut samples = samples.into_iter().peekable();
        if samples.peek().is_none() {
            return Ok(());
        }
        let mut metric = encoder.encode_descriptor(self.name, self.help, self.unit, MetricType::Info)?;
        samples.try_for_each(|labels| metric.encode_info(&labels))
    }

    fn write<'l, T>(
        self,
        encoder: &mut DescriptorEncoder<'_>,
        kind: MetricType,
        samples: impl IntoIterator<Item = (Labels<'l>, T)>,
        write: impl Fn(&mut MetricEncoder<'_>, T) -> fmt::Result,
    ) -> fmt::Result {
        let mut samples = samples.into_iter().peekable();
        if samples.peek().is_none() {
            return Ok(());
        }
        let mut metric = encoder.encode_descriptor(self.name, self.help, self.unit, kind)?;
        samples.try_for_each(|(labels, value)| {
            // A sample without labels has no braces.
            if labels.is_empty() {
                write(&mut metric, value)
            } else {
                write(&mut metric.encode_family(&labels)?, value)
            }
        })
    }
}
