//! Polling: when each project is polled, one poll of one project, and the step from one configuration to the next.
//!
//! A [`Fleet`] holds the pollers of a configuration. The [`schedule`] polls each of them once per interval, and a
//! reload hands it a new [`Plan`]. A poll is complete or it changes no usage.

pub mod change;
pub mod fleet;
pub mod once;
mod pollable;
mod poller;
pub mod range;
pub mod schedule;

pub use self::{
    change::Change,
    fleet::Fleet,
    pollable::Pollable,
    poller::Poller,
    schedule::{NewPlan, Plan, Planned},
};
