//! Writes log lines to standard error.
//!
//! A command that ends by itself writes each line at once. It waits for the reader of standard error, so that no line
//! is lost. A daemon must poll and serve even if the reader has stopped. So its lines go to a queue, and a thread
//! writes them. If the queue is full, lines are dropped and counted.

use std::{
    io::{self, Write},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use parking_lot::{Condvar, Mutex};

/// Maximum size of the queue in bytes: about a thousand lines.
const QUEUE: usize = 256 << 10;

/// Time for the queued lines to be written when the program ends.
const FLUSH: Duration = Duration::from_secs(1);

/// The writer of all log lines. Clones share the queue.
#[derive(Clone, Debug, Default)]
pub struct LogWriter(Arc<SharedQueue>);

#[derive(Debug, Default)]
struct SharedQueue {
    /// `None` as long as lines are written at once.
    queue: Mutex<Option<Queue>>,
    /// Notified when lines have been queued, and when they have been written.
    changed: Condvar,
    /// Relaxed ordering, because no other data depends on it.
    dropped: Arc<AtomicU64>,
}

#[derive(Debug, Default)]
struct Queue {
    lines: Vec<u8>,
    /// Whether the thread is writing lines that it has taken.
    is_writing: bool,
    /// Number of lines that did not fit since the thread has last taken lines.
    overflow: u64,
}

/// When dropped, waits for a limited time until the queued lines are written.
#[derive(Debug)]
pub struct FlushOnDrop(pub LogWriter);

impl LogWriter {
    /// Queues all further lines. The caller no longer waits for the reader of standard error.
    ///
    /// # Errors
    /// The system is out of threads.
    pub fn start_queue(&self) -> io::Result<()> {
        let log = self.clone();
        thread::Builder::new().name("log".to_owned()).spawn(move || log.write_queue())?;
        self.0.queue.lock().get_or_insert_default();
        Ok(())
    }

    /// Number of lines that were dropped or could not be written.
    pub fn dropped(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.0.dropped)
    }

    /// Writes queued lines for ever.
    fn write_queue(&self) {
        loop {
            let (lines, overflow) = self.take();
            // One write for each line, so that other programs with the same pipe do not write in the middle of a line.
            for line in lines.split_inclusive(|byte| *byte == b'\n') {
                self.write_now(line);
            }
            if let Some(queue) = self.0.queue.lock().as_mut() {
                queue.is_writing = false;
            }
            self.0.changed.notify_all();
            if overflow > 0 {
                tracing::warn!(lines = overflow, "log lines were dropped, because standard error was not read");
            }
        }
    }

    /// Waits for lines and takes them, with the number of lines that did not fit.
    fn take(&self) -> (Vec<u8>, u64) {
        let mut guard = self.0.queue.lock();
        loop {
            if let Some(queue) = guard.as_mut()
                && !queue.lines.is_empty()
            {
                queue.is_writing = true;
                return (std::mem::take(&mut queue.lines), std::mem::take(&mut queue.overflow));
            }
            self.0.changed.wait(&mut guard);
        }
    }

    fn write_now(&self, line: &[u8]) {
        if io::stderr().write_all(line).is_err() {
            self.0.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Write for LogWriter {
    /// Takes one whole line: the log layer writes each line with a single call.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let mut guard = self.0.queue.lock();
        match guard.as_mut() {
            Some(queue) if queue.lines.len() + line.len() <= QUEUE => {
                queue.lines.extend_from_slice(line);
                self.0.changed.notify_all();
            }
            Some(queue) => {
                queue.overflow += 1;
                self.0.dropped.fetch_add(1, Ordering::Relaxed);
            }
            None => {
                drop(guard);
                self.write_now(line);
            }
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for FlushOnDrop {
    fn drop(&mut self) {
        let SharedQueue { queue, changed, .. } = &*self.0.0;
        let deadline = Instant::now() + FLUSH;
        let is_pending = |queue: &Option<Queue>| queue.as_ref().is_some_and(|q| q.is_writing || !q.lines.is_empty());
        let mut guard = queue.lock();
        while is_pending(&guard) && !changed.wait_until(&mut guard, deadline).timed_out() {}
    }
}
