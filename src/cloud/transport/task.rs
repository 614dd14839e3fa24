//! Work that runs to its end even if its caller gives up.

use std::panic::resume_unwind;

/// Starts `work` as a task. The future waits for its result; if it is dropped, the task goes on. A panic of the task
/// becomes a panic of the caller that waits.
pub(crate) fn run_to_end<T: Send + 'static>(
    work: impl Future<Output = T> + Send + 'static,
) -> impl Future<Output = T> + Send + 'static {
    let task = tokio::spawn(work);
    async move {
        match task.await {
            Ok(result) => result,
            Err(error) => match error.try_into_panic() {
                Ok(panic) => resume_unwind(panic),
                // The task was cancelled because the runtime shuts down, which ends the caller, too.
                Err(_) => std::future::pending().await,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::{sync::oneshot, time::timeout};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_work_goes_on_when_the_caller_gives_up() {
        let (sender, receiver) = oneshot::channel();
        let work = run_to_end(async {
            tokio::time::sleep(Duration::from_secs(2)).await;
            sender.send("done").unwrap();
        });
        assert!(timeout(Duration::from_secs(1), work).await.is_err(), "the caller gives up");
        assert_eq!(receiver.await, Ok("done"));
    }

    #[tokio::test]
    async fn a_panic_reaches_the_caller() {
        let caller = tokio::spawn(async { run_to_end(async { panic!("defect") }).await });
        let panic = caller.await.unwrap_err().into_panic();
        assert_eq!(panic.downcast_ref::<&str>(), Some(&"defect"));
    }
}
