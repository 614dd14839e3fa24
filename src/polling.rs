//! Polling: the schedule of polls, the poll of one project, and the change to a new configuration.
//!
//! A [`Fleet`] holds the pollers of a configuration. The [`schedule`] runs each of them once per interval. A reload
//! gives the schedule a new [`Plan`]. Only a complete poll changes the usage.
//!
//! `windows` and [`range`] ask for the usage of a poll. `collecting` runs the collectors. [`past`] and `asking` ask for
//! days that have ended.

mod answer;
mod asking;
pub mod change;
mod collecting;
pub mod fleet;
pub mod once;
pub mod past;
mod pollable;
mod poller;
pub mod proofs;
pub mod range;
pub mod schedule;
pub mod sub_users;
mod windows;

pub use self::{
    asking::Learnt,
    change::Change,
    collecting::{Collecting, PackageOwners},
    fleet::Fleet,
    pollable::Pollable,
    poller::Poller,
    schedule::{NewPlan, Plan, Planned},
};
