//! Tests of the whole process against the simulated cloud.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod billing;
mod canary;
mod command_line;
mod contract;
mod dead_mount;
mod endpoints;
mod failures;
mod life_cycle;
mod log;
mod numbers;
mod outbound;
mod packages;
mod past;
mod reconciliation;
mod reload;
mod services;
mod sessions;
mod sharding;
mod storage;
mod sub_users;
mod support;
mod systemd;
mod web_config;
