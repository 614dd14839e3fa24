//! Starts threads besides the one that serves.

use std::thread;

use anyhow::Context;
use tokio::{runtime::Builder, sync::oneshot};

/// Runs work, and all tasks that it spawns, on its own thread and runtime. The work and the rest of the program cannot
/// block each other. One thread is enough for all polls: moving tasks between threads costs more than it gains
/// (`benches/poll`).
///
/// The receiver yields the output when the work ends by itself. Dropping the receiver ends the work.
///
/// # Errors
/// The system is out of threads or file descriptors.
pub(super) fn spawn<T: Send + 'static>(
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
        // Does not wait for threads that resolve a name, because they may hang.
        runtime.shutdown_background();
    });
    thread.with_context(failed)?;
    Ok(receiver)
}
