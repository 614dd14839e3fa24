//! SIGTERM and SIGINT.

use tokio::signal::unix::{Signal, SignalKind, signal};

/// The signals that end the program. Create it before anything else, so that even an early signal leads to an orderly
/// shutdown.
pub(super) struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    pub fn new() -> std::io::Result<Self> {
        Ok(Signals { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    /// Runs a step. If SIGTERM or SIGINT comes before its end, logs the shutdown and returns `None`. A step of the start
    /// may read files, and a file may be on a mount that hangs.
    pub async fn run_until_signal<T>(&mut self, step: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            output = step => Some(output),
            () = self.next() => {
                tracing::info!("shutting down");
                None
            }
        }
    }

    /// Waits for the next SIGTERM or SIGINT.
    pub async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}
