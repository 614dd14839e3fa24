//! Work that goes on when nobody waits for it any more.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use tokio::runtime::Handle;

/// A future that is finished in a task of its own if it is dropped before it is ready. Until then it is polled where it
/// stands, and costs no task.
pub(super) struct Detached<T: Send + 'static>(Option<Pin<Box<dyn Future<Output = T> + Send>>>);

impl<T: Send + 'static> Detached<T> {
    pub fn new(future: impl Future<Output = T> + Send + 'static) -> Self {
        Detached(Some(Box::pin(future)))
    }
}

impl<T: Send + 'static> Future for Detached<T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<T> {
        // Not in its place meanwhile: a future that panics must not be polled again.
        let Some(mut future) = self.0.take() else { return Poll::Pending };
        let poll = future.as_mut().poll(context);
        if poll.is_pending() {
            self.0 = Some(future);
        }
        poll
    }
}

impl<T: Send + 'static> Drop for Detached<T> {
    fn drop(&mut self) {
        // Without a runtime, the program ends.
        if let (Some(future), Ok(runtime)) = (self.0.take(), Handle::try_current()) {
            runtime.spawn(future);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::{sync::mpsc, time::timeout};

    use super::*;

    /// Waits for a word, and then says one.
    fn echo() -> (mpsc::Sender<()>, mpsc::Receiver<()>, Detached<()>) {
        let (question, mut asked) = mpsc::channel(1);
        let (says, answer) = mpsc::channel(2);
        let work = async move {
            asked.recv().await;
            says.send(()).await.unwrap();
        };
        (question, answer, Detached::new(work))
    }

    #[tokio::test]
    async fn what_is_dropped_is_finished_nonetheless() {
        let (question, mut answer, mut work) = echo();
        assert!(timeout(Duration::ZERO, &mut work).await.is_err(), "it waits");
        drop(work);
        question.send(()).await.unwrap();
        assert_eq!(timeout(Duration::from_secs(10), answer.recv()).await, Ok(Some(())));
    }

    #[tokio::test]
    async fn what_is_ready_is_not_done_again() {
        let (question, mut answer, mut work) = echo();
        question.send(()).await.unwrap();
        (&mut work).await;
        drop(work);
        assert_eq!(answer.recv().await, Some(()));
        assert_eq!(answer.recv().await, None, "said once");
    }
}
