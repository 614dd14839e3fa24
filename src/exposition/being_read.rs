//! Answers that clients are still reading, within a budget of bytes.
//!
//! A client that reads slowly keeps an old rendering in memory. If there are many such clients, and the content changes
//! between their requests, the renderings that they keep fill the memory. So the oldest ones are cut off.

use std::{
    collections::VecDeque,
    sync::{Arc, Weak},
};

use super::{body::Body, pieces::Pieces};

/// Maximum number of bytes of all renderings that are being read.
const BUDGET: usize = 5 << 20;

/// This many of the newest renderings are never cut off: one snapshot has two formats in two encodings.
const NEWEST: usize = 4;

/// The renderings that are being read, from the oldest to the newest.
#[derive(Debug, Default)]
pub struct AnswersBeingRead {
    /// Weak, so that a rendering is freed when its last reader has ended.
    renderings: VecDeque<Weak<Pieces>>,
}

impl AnswersBeingRead {
    /// A body with these bytes. It is cut off when newer ones need the memory.
    pub fn body(&mut self, bytes: &[u8]) -> Body {
        let pieces = Arc::new(Pieces::copy(bytes));
        self.add(&pieces);
        Body::new(Vec::new(), pieces, Vec::new())
    }

    /// Adds the newest rendering. Above the budget, the oldest ones are withdrawn from their readers.
    pub(super) fn add(&mut self, newest: &Arc<Pieces>) {
        self.renderings.retain(|rendering| rendering.strong_count() > 0);
        self.renderings.push_back(Arc::downgrade(newest));
        let length = |rendering: &Weak<Pieces>| rendering.upgrade().map_or(0, |pieces| pieces.digest.length);
        let mut total: usize = self.renderings.iter().map(length).sum();
        while total > BUDGET && self.renderings.len() > NEWEST {
            let Some(oldest) = self.renderings.pop_front().and_then(|oldest| oldest.upgrade()) else { continue };
            total -= oldest.digest.length.min(total);
            oldest.withdraw();
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Buf;

    use super::*;

    /// Reads the rest of a body; `None` if it is cut off.
    fn read(mut body: Body) -> Option<usize> {
        let mut length = 0;
        while let Some(batch) = body.take() {
            length += batch.remaining();
        }
        (body.length() == 0).then_some(length)
    }

    #[test]
    fn the_oldest_bodies_are_cut_off_above_the_budget() {
        let mut being_read = AnswersBeingRead::default();
        let bytes = vec![0; BUDGET / 8];
        let mut bodies: Vec<Body> = (0..10).map(|_| being_read.body(&bytes)).collect();
        assert!(bodies[0].take().is_none(), "withdrawn before its first piece");
        let whole: Vec<bool> = bodies.into_iter().map(|body| read(body) == Some(bytes.len())).collect();
        assert_eq!(whole, [false, false, true, true, true, true, true, true, true, true]);
    }

    #[test]
    fn bodies_that_have_ended_do_not_count() {
        let mut being_read = AnswersBeingRead::default();
        let bytes = vec![0; BUDGET / 2];
        let first = being_read.body(&bytes);
        for _ in 0..20 {
            assert_eq!(read(being_read.body(&bytes)), Some(bytes.len()));
        }
        assert_eq!(read(first), Some(bytes.len()));
    }

    #[test]
    fn the_newest_bodies_may_exceed_the_budget() {
        let mut being_read = AnswersBeingRead::default();
        let bytes = vec![0; BUDGET];
        let bodies: Vec<Body> = (0..=NEWEST).map(|_| being_read.body(&bytes)).collect();
        let whole: Vec<bool> = bodies.into_iter().map(|body| read(body).is_some()).collect();
        assert_eq!(whole, [false, true, true, true, true]);
    }
}
