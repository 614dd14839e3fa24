//! One HTTP exchange with the cloud: bounded in time and size, signed, paced, and retried where a retry may help.

pub(super) mod exchange;
pub mod reach;
pub mod retry;
pub mod signing;
pub(super) mod task;
pub mod throttle;
pub(super) mod tls;
