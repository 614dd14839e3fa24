//! The exporter's own pollers, made from a configuration. Only the rate limit is changed: it is so high that no poll
//! reaches it.

use std::{net::SocketAddr, path::Path, sync::Arc};

use chrono::Utc;
use metastudio_exporter::{
    config::{Config, Environment, load_text},
    polling::{Fleet, Poller},
};

use super::page::PAGE_SIZE;

/// The key and the project of all peers.
pub const ACCESS_KEY: &str = "BENCHMARKACCESSKEY";
pub const SECRET_KEY: &str = "benchmarksecretkeybenchmarksecretkey0000";
pub const PROJECT_ID: &str = "5f0d1e2c3b4a59687786a5b4c3d2e101";

/// A configuration of this many projects that share this many accounts. Each project has one window.
async fn config(address: SocketAddr, projects: usize, accounts: usize) -> Config {
    let mut text = format!("windows: [30d]\napi: {{page_size: {PAGE_SIZE}}}\ncredentials:\n");
    for account in 0..accounts {
        text += &format!("  account-{account}: {{access_key: {ACCESS_KEY}{account}, secret_key: {SECRET_KEY}}}\n");
    }
    text += "projects:\n";
    for project in 0..projects {
        let account = project % accounts;
        text += &format!(
            "  - {{name: project-{project}, endpoint: 'http://{address}', project_id: {PROJECT_ID}, \
             credentials: account-{account}}}\n"
        );
    }
    let loaded = load_text(text, Path::new("config.yaml"), &Environment::default()).await;
    let mut config = loaded.config.unwrap_or_else(|| panic!("{:?}", loaded.problems));
    // A rate limit that is never reached.
    config.api.requests_per_second = 1e9;
    config
}

/// Pollers for this many projects that share this many accounts. An account has at most three requests at a time.
pub async fn pollers(address: SocketAddr, projects: usize, accounts: usize) -> Vec<Arc<Poller>> {
    let config = config(address, projects, accounts).await;
    Fleet::new(config, &Environment::default(), Utc::now).unwrap().pollers().to_vec()
}
