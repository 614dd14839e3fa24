//! The metrics of the process, with the names that all Prometheus client libraries use.

use std::fmt;

use procfs::{ProcResult, WithCurrentSystemInfo, process::Process};
use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, NoLabelSet},
    metrics::MetricType,
    registry::Unit,
};
use rustix::process::{Resource, getrlimit};

use super::descriptor::Descriptor;

/// Reads `/proc/self` at each scrape.
#[derive(Debug)]
pub(super) struct ProcessCollector {
    /// Start of the process, which is read once; `None` without `/proc`.
    start_seconds: Option<f64>,
}

impl ProcessCollector {
    pub fn new() -> Self {
        ProcessCollector { start_seconds: start_seconds().ok() }
    }
}

struct Readings {
    cpu_seconds: f64,
    open_fds: f64,
    max_fds: f64,
    virtual_bytes: f64,
    virtual_max_bytes: f64,
    resident_bytes: f64,
    threads: f64,
}

impl Collector for ProcessCollector {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let encoder = &mut encoder;
        // Without /proc these metrics are left out, as other client libraries do.
        let (Some(start_seconds), Ok(readings)) = (self.start_seconds, read()) else { return Ok(()) };
        let mut cpu = encoder.encode_descriptor(
            "process_cpu",
            "Total user and system CPU time spent.",
            Some(&Unit::Seconds),
            MetricType::Counter,
        )?;
        cpu.encode_counter::<NoLabelSet, _, f64>(&readings.cpu_seconds, None)?;
        let gauges = [
            ("process_open_fds", None, "Number of open file descriptors.", readings.open_fds),
            ("process_max_fds", None, "Maximum number of open file descriptors.", readings.max_fds),
            ("process_virtual_memory", Some(&Unit::Bytes), "Virtual memory size.", readings.virtual_bytes),
            (
                "process_virtual_memory_max",
                Some(&Unit::Bytes),
                "Maximum amount of virtual memory available.",
                readings.virtual_max_bytes,
            ),
            ("process_resident_memory", Some(&Unit::Bytes), "Resident memory size.", readings.resident_bytes),
            (
                "process_start_time",
                Some(&Unit::Seconds),
                "Start time of the process since the Unix epoch.",
                start_seconds,
            ),
            ("process_threads", None, "Number of OS threads in the process.", readings.threads),
        ];
        gauges.into_iter().try_for_each(|(name, unit, help, value)| {
            Descriptor { name, unit, help }.gauges(encoder, [(vec![], value)])
        })
    }
}

fn start_seconds() -> ProcResult<f64> {
    let ticks = Process::myself()?.stat()?.starttime as f64;
    Ok(procfs::boot_time_secs()? as f64 + ticks / procfs::ticks_per_second() as f64)
}

fn read() -> ProcResult<Readings> {
    let process = Process::myself()?;
    let stat = process.stat()?;
    // One system call each, because reading and parsing /proc/self/limits costs more.
    let limit = |resource| getrlimit(resource).current.unwrap_or(u64::MAX) as f64;
    Ok(Readings {
        cpu_seconds: (stat.utime + stat.stime) as f64 / procfs::ticks_per_second() as f64,
        open_fds: process.fd_count()? as f64,
        max_fds: limit(Resource::Nofile),
        virtual_bytes: stat.vsize as f64,
        virtual_max_bytes: limit(Resource::As),
        resident_bytes: stat.rss_bytes().get() as f64,
        threads: stat.num_threads as f64,
    })
}
