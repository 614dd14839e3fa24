//! A thread of its own for what nobody waits for.

use std::{io, thread};

use tokio::{runtime::Builder, sync::oneshot};

/// Runs work, and all tasks that it spawns, on a thread and runtime of its own, so that neither it nor the answers to
/// clients wait for the other. One thread for all polls: handing them from thread to thread costs more than it gains
/// (`benches/poll`).
///
/// The receiver tells that the work has ended by itself; dropping it ends the work.
///
/// # Errors
/// The system gives no thread, or no more file descriptors.
pub(super) fn run<T: Send + 'static>(
    work: impl Future<Output = T> + Send + 'static,
) -> io::Result<oneshot::Receiver<T>> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let (mut sender, receiver) = oneshot::channel();
    thread::Builder::new().name("background".to_owned()).spawn(move || {
        runtime.block_on(async {
            tokio::select! {
                ended = work => drop(sender.send(ended)),
                () = sender.closed() => {}
            }
        });
        // A name that is being looked up must not hold up the end.
        runtime.shutdown_background();
    })?;
    Ok(receiver)
}
