//! The memory of answers. Small answers are read at once. Large answers take turns: only one of them is in memory at a
//! time, however many clients poll.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use tokio::sync::{OnceCell, OwnedSemaphorePermit, Semaphore};

/// Maximum size of a small answer, in bytes of memory: about a thousand rows.
const SMALL: usize = 512 << 10;

/// Bytes of memory that a row takes without its texts. Each JSON object may be a row.
const ROW: usize = 256;

/// Gives large answers their turns: one at a time, in the order of their requests.
#[derive(Clone, Debug)]
pub struct LargeAnswers(Arc<Semaphore>);

impl Default for LargeAnswers {
    fn default() -> Self {
        LargeAnswers(Arc::new(Semaphore::new(1)))
    }
}

impl LargeAnswers {
    /// The memory of a new answer of at most `max_rows` rows.
    pub fn answer(&self, max_rows: usize) -> AnswerMemory {
        AnswerMemory { large_answers: self.clone(), max_rows, used: Arc::default(), turn: Arc::default() }
    }
}

/// The memory of one answer, with all of its pages. Its turn ends when the last clone is dropped.
#[derive(Clone, Debug)]
pub struct AnswerMemory {
    large_answers: LargeAnswers,
    /// Maximum number of rows of the answer, over all of its pages.
    pub max_rows: usize,
    used: Arc<AtomicUsize>,
    turn: Arc<OnceCell<OwnedSemaphorePermit>>,
}

/// An answer of any number of rows. It takes turns with no other answer.
impl Default for AnswerMemory {
    fn default() -> Self {
        LargeAnswers::default().answer(usize::MAX)
    }
}

impl AnswerMemory {
    /// Counts a part of a body, and the rows that it may have. Returns whether there is memory for it: the answer is
    /// small, or has the turn, or takes it now.
    pub fn has_room(&self, part: &[u8]) -> bool {
        let rows = part.iter().filter(|byte| **byte == b'{').count();
        let added = part.len() + rows * ROW;
        let used = added + self.used.fetch_add(added, Ordering::Relaxed);
        if used <= SMALL || self.turn.initialized() {
            return true;
        }
        let free = Arc::clone(&self.large_answers.0).try_acquire_owned();
        free.is_ok_and(|turn| self.turn.set(turn).is_ok())
    }

    /// Waits for the turn. From then on, [`Self::has_room`] is true.
    pub async fn turn(&self) {
        let turn = || Arc::clone(&self.large_answers.0).acquire_owned();
        // The semaphore is never closed, so this does not fail.
        let _ = self.turn.get_or_try_init(turn).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn large_answers_take_turns_and_small_ones_do_not_wait() {
        let large_answers = LargeAnswers::default();
        let (first, second, small) = (large_answers.answer(0), large_answers.answer(0), large_answers.answer(0));
        assert!(first.has_room(&[0; SMALL]) && second.has_room(&[0; SMALL]), "both are small so far");
        assert!(first.has_room(&[0]) && first.has_room(&[0; SMALL]), "it has the turn");
        assert!(!second.has_room(&[0]) && small.has_room(&[0; SMALL]));
        let waiting = tokio::spawn(async move {
            second.turn().await;
            second.has_room(&[0])
        });
        let page = first.clone();
        drop(first);
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished(), "the rows of the first one are still in memory");
        drop(page);
        assert!(waiting.await.unwrap());
    }

    #[test]
    fn many_short_rows_are_a_large_answer() {
        let large_answers = LargeAnswers::default();
        let rows = b"{},".repeat(SMALL / ROW);
        assert!(large_answers.answer(0).has_room(&rows), "the turn is free");
        let first = large_answers.answer(0);
        assert!(first.has_room(&rows) && !large_answers.answer(0).has_room(&rows));
    }
}
