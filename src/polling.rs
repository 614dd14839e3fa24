//! Polls every project: [`schedule`] says when, [`poller`] how.

pub mod poller;
pub mod schedule;

pub use poller::Poller;
