//! Describes metric families to prometheus-client.

use std::fmt;

use prometheus_client::{
    encoding::{DescriptorEncoder, EncodeCounterValue, EncodeLabelSet, NoLabelSet},
    metrics::MetricType,
    registry::Unit,
};

/// Name, unit and help of a family. The help has no quotes, backslashes or line breaks, because nothing escapes them.
#[derive(Clone, Copy)]
pub(super) struct Descriptor {
    pub name: &'static str,
    pub unit: Option<&'static Unit>,
    pub help: &'static str,
}

impl Descriptor {
    pub fn new(name: &'static str, help: &'static str) -> Self {
        Descriptor { name, unit: None, help }
    }

    pub fn unit(self, unit: &'static Unit) -> Self {
        Descriptor { unit: Some(unit), ..self }
    }

    /// Writes one sample without labels.
    pub fn gauge(self, encoder: &mut DescriptorEncoder<'_>, value: f64) -> fmt::Result {
        let mut metric = encoder.encode_descriptor(self.name, self.help, self.unit, MetricType::Gauge)?;
        // Whole numbers without a fraction, as other exporters write them; floats hold them exactly up to 2^53.
        if value.trunc() == value && value.abs() < (1_i64 << 53) as f64 {
            metric.encode_gauge(&(value as i64))
        } else {
            metric.encode_gauge(&value)
        }
    }

    /// Writes a sample for each set of labels.
    pub fn gauges(
        self,
        encoder: &mut DescriptorEncoder<'_>,
        samples: impl IntoIterator<Item = (impl EncodeLabelSet, usize)>,
    ) -> fmt::Result {
        let mut metric = encoder.encode_descriptor(self.name, self.help, self.unit, MetricType::Gauge)?;
        samples.into_iter().try_for_each(|(labels, value)| metric.encode_family(&labels)?.encode_gauge(&(value as u64)))
    }

    /// Writes one sample without labels.
    pub fn counter(self, encoder: &mut DescriptorEncoder<'_>, value: impl EncodeCounterValue) -> fmt::Result {
        encoder
            .encode_descriptor(self.name, self.help, self.unit, MetricType::Counter)?
            .encode_counter::<NoLabelSet, _, f64>(&value, None)
    }

    /// Writes a sample for each set of labels. A family without samples is left out, because prometheus-client would
    /// print its HELP and TYPE.
    pub fn counters(
        self,
        encoder: &mut DescriptorEncoder<'_>,
        samples: impl IntoIterator<Item = (impl EncodeLabelSet, u64)>,
    ) -> fmt::Result {
        let mut samples = samples.into_iter().peekable();
        if samples.peek().is_none() {
            return Ok(());
        }
        let mut metric = encoder.encode_descriptor(self.name, self.help, self.unit, MetricType::Counter)?;
        samples.try_for_each(|(labels, value)| {
            metric.encode_family(&labels)?.encode_counter::<NoLabelSet, _, f64>(&value, None)
        })
    }

    /// Writes one sample with these labels.
    pub fn info(self, encoder: &mut DescriptorEncoder<'_>, labels: &impl EncodeLabelSet) -> fmt::Result {
        encoder.encode_descriptor(self.name, self.help, self.unit, MetricType::Info)?.encode_info(labels)
    }
}
