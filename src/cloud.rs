//! What talks to Huawei Cloud: a query for usage goes in, rows or a typed error come out.
//!
//! [`usage_api`] asks for pages until the answer is complete, over a [`client`] that signs every attempt afresh
//! ([`signing`]), retries what is worth it ([`retry`]), keeps to a rate ([`throttle`]) and never lets a refused key
//! be tried until the account locks it ([`lockout`]). [`wire`] is the JSON as it comes.

pub mod client;
pub mod credentials;
pub mod error;
pub mod transport;
pub mod usage_api;

pub use client::{Client, Connector, SetupError};
pub use error::Error;
pub use usage_api::{Answer, UsageQuery};
