//! The metrics of the process, with the names that all Prometheus client libraries use.

use std::{
    fmt,
    fs::File,
    os::unix::fs::{FileExt, MetadataExt},
};

use procfs::{
    FromRead, ProcResult,
    process::{Process, StatM},
};
use prometheus_client::{collector::Collector, encoding::DescriptorEncoder, registry::Unit};
use rustix::{
    process::{Resource, getrlimit},
    time::{ClockId, clock_gettime},
};

use super::descriptor::Descriptor;

/// Reads `/proc/self` at each scrape.
#[derive(Debug)]
pub(super) struct ProcessCollector {
    /// `None` without `/proc`: then these metrics are left out, as other client libraries do.
    source: Option<ProcFiles>,
}

impl ProcessCollector {
    pub fn new() -> Self {
        ProcessCollector { source: ProcFiles::open().ok() }
    }
}

impl Collector for ProcessCollector {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let Some(Ok((cpu_seconds, gauges))) = self.source.as_ref().map(ProcFiles::read) else { return Ok(()) };
        Descriptor::new("process_cpu", "Total user and system CPU time spent.")
            .unit(&Unit::Seconds)
            .counter(&mut encoder, cpu_seconds)?;
        gauges.into_iter().try_for_each(|(descriptor, value)| descriptor.gauge(&mut encoder, value))
    }
}

/// Values that stay the same while the process runs: its start time, and open files that are read at each scrape.
///
/// Each reading is a single system call, because rendering and parsing `/proc/self/stat` would cost more than the rest
/// of a small scrape.
#[derive(Debug)]
struct ProcFiles {
    process: Process,
    /// `/proc/self/statm`: the memory in pages.
    memory: File,
    /// `/proc/self/task`, the directory of the threads.
    threads: File,
    start_seconds: f64,
}

impl ProcFiles {
    fn open() -> ProcResult<Self> {
        let process = Process::myself()?;
        let start_ticks = process.stat()?.starttime as f64;
        let start_seconds = procfs::boot_time_secs()? as f64 + start_ticks / procfs::ticks_per_second() as f64;
        let (memory, threads) = (File::open("/proc/self/statm")?, File::open("/proc/self/task")?);
        Ok(ProcFiles { process, memory, threads, start_seconds })
    }

    /// Processor time in seconds, and the gauges.
    fn read(&self) -> ProcResult<(f64, [(Descriptor, f64); 7])> {
        let mut line = [0; 128];
        let length = self.memory.read_at(&mut line, 0)?;
        let pages = StatM::from_read(line.get(..length).unwrap_or_default())?;
        let in_bytes = |pages: u64| (pages * procfs::page_size()) as f64;
        // A directory has a link for itself, one from its parent, and one for each directory in it.
        let threads = self.threads.metadata()?.nlink().saturating_sub(2);
        let limit = |resource| getrlimit(resource).current.unwrap_or(u64::MAX) as f64;
        let cpu = clock_gettime(ClockId::ProcessCPUTime);
        let count = Descriptor::new;
        let bytes = |name, help| Descriptor::new(name, help).unit(&Unit::Bytes);
        let seconds = |name, help| Descriptor::new(name, help).unit(&Unit::Seconds);
        let gauges = [
            (count("process_open_fds", "Number of open file descriptors."), self.process.fd_count()? as f64),
            (count("process_max_fds", "Maximum number of open file descriptors."), limit(Resource::Nofile)),
            (bytes("process_virtual_memory", "Virtual memory size."), in_bytes(pages.size)),
            (bytes("process_virtual_memory_max", "Maximum amount of virtual memory available."), limit(Resource::As)),
            (bytes("process_resident_memory", "Resident memory size."), in_bytes(pages.resident)),
            (seconds("process_start_time", "Start time of the process since the Unix epoch."), self.start_seconds),
            (count("process_threads", "Number of OS threads in the process."), threads as f64),
        ];
        Ok((cpu.tv_sec as f64 + cpu.tv_nsec as f64 / 1e9, gauges))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_readings_are_those_of_proc_stat() {
        let source = ProcFiles::open().unwrap();
        let readings = || {
            let stat = source.process.stat().unwrap();
            let cpu_seconds = (stat.utime + stat.stime) as f64 / procfs::ticks_per_second() as f64;
            // Listing the directory opens one more file.
            let files = std::fs::read_dir("/proc/self/fd").unwrap().count() - 1;
            (cpu_seconds, stat.rss * procfs::page_size(), [files as u64, stat.vsize, stat.num_threads as u64])
        };
        // Other tests use files, memory and threads meanwhile, so some readings differ.
        let is_same = (0..1000).any(|_| {
            let (before, resident, others) = readings();
            let (cpu_seconds, gauges) = source.read().unwrap();
            let (after, ..) = readings();
            assert!((before - 0.02..=after + 0.02).contains(&cpu_seconds), "{before} {cpu_seconds} {after}");
            let gauge = |name| gauges.iter().find(|(descriptor, _)| descriptor.name == name).unwrap().1 as u64;
            // The kernel counts resident pages for each processor, and /proc/self/stat does not wait for all counts.
            gauge("process_resident_memory").abs_diff(resident) < 1 << 20
                && others == ["process_open_fds", "process_virtual_memory", "process_threads"].map(gauge)
        });
        assert!(is_same);
    }
}
