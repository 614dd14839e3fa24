//! The exporter's own polls: the pollers that a configuration makes, with nothing left out but the pace.

use std::{net::SocketAddr, path::Path, sync::Arc};

use chrono::Utc;
use metastudio_exporter::{
    config::{Config, Environment, load_text},
    polling::{Fleet, Poller},
};

use super::page::PAGE_SIZE;

/// What all peers sign with and ask for.
pub const ACCESS_KEY: &str = "BENCHMARKACCESSKEY";
pub const SECRET_KEY: &str = "benchmarksecretkeybenchmarksecretkey0000";
pub const PROJECT_ID: &str = "5f0d1e2c3b4a59687786a5b4c3d2e101";

/// A configuration of so many projects that share so many accounts, each project with one window.
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
    // No limit that would be felt.
    config.api.requests_per_second = 1e9;
    config
}

/// So many pollers, each with an account of its own: at most three requests of an account are under way at a time.
pub async fn pollers(address: SocketAddr, projects: usize, accounts: usize) -> Vec<Arc<Poller>> {
    let config = config(address, projects, accounts).await;
    Fleet::new(config, &Environment::default(), Utc::now).unwrap().pollers().to_vec()
}
