//! Threads beside the one that serves.

use std::thread;

use anyhow::Context;
use tokio::{runtime::Builder, sync::oneshot};

/// Runs work, and all tasks that it spawns, on a thread and runtime of its own, so that neither it nor the rest of the
/// program waits for the other. One thread is enough for all polls: to hand them from thread to thread costs more than
/// it gains (`benches/poll`).
///
/// The receiver tells that the work has ended by itself; dropping it ends the work.
///
/// # Errors
/// The system gives no thread, or no more file descriptors.
pub(super) fn run<T: Send + 'static>(
    name: &str,
    work: impl Future<Output = T> + Send + 'static,
) -> anyhow::Result<oneshot::Receiver<T>> {
    let failed = || format!("cannot start the thread for {name}");
    let runtime = Builder::new_current_thread().enable_all().build().with_context(failed)?;
    let (mut sender, receiver) = oneshot::channel();
    let thread = thread::Builder::new().name(name.to_owned()).spawn(move || {
        runtime.block_on(async {
            tokio::select! {
                ended = work => drop(sender.send(ended)),
                () = sender.closed() => {}
            }
        });
        // A name that is being looked up must not hold up the end.
        runtime.shutdown_background();
    });
    thread.with_context(failed)?;
    Ok(receiver)
}
