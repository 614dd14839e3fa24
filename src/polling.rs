//! Polls every project: [`schedule`] says when, [`poller`] how; [`change`] says what a new configuration means for it.

pub mod change;
pub mod fleet;
pub mod poller;
pub mod schedule;

pub use change::Change;
pub use fleet::Fleet;
pub use poller::Poller;
pub use schedule::{NewPlan, Plan, Planned};
