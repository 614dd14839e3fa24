//! One HTTP exchange with the cloud: bounded in time and size, signed, throttled, and retried if a retry may help.

pub(super) mod exchange;
pub(super) mod http;
pub(super) mod reach;
pub(super) mod retry;
pub mod signing;
pub(super) mod task;
pub(super) mod throttle;
mod tls;
