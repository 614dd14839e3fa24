//! What talks to Huawei Cloud: a query for usage goes in, rows or a typed error come out.
//!
//! [`usage_api`] asks for pages until the answer is complete, over a [`client`] that signs every attempt afresh
//! ([`signing`]), retries what is worth it ([`retry`]), keeps to a rate ([`throttle`]) and never lets a refused key
//! be tried until the account locks it ([`lockout`]). [`wire`] is the JSON as it comes.

pub mod client;
pub mod credentials;
mod detached;
pub mod error;
mod exchange;
pub mod lockout;
pub mod pages;
mod project_id;
pub mod reach;
pub mod retry;
pub mod signing;
pub mod throttle;
mod tls;
pub mod usage_api;
pub mod wire;

pub use client::{Client, Connector};
pub use error::Error;
pub use usage_api::{Answer, UsageQuery};
