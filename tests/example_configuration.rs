//! `config.example.yaml` loads, and shows the defaults that the code has.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

use std::path::Path;

use metastudio_exporter::config::{Config, Environment, Shard, effective, load, load_text};

fn environment() -> Environment {
    ["CLOUD_SDK_AK", "CLOUD_SDK_SK"].map(|name| (name.to_owned(), "value".to_owned())).into_iter().collect()
}

async fn load_minimal(text: &str) -> Config {
    let loaded = load_text(text.to_owned(), Path::new("minimal.yaml"), &environment()).await;
    loaded.config.unwrap_or_else(|| panic!("{:?}", loaded.problems))
}

#[tokio::test]
async fn the_example_has_the_defaults() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("config.example.yaml");
    let example = load(&path, &environment(), Shard::ALL).await;
    assert!(example.problems.is_empty(), "{:?}", example.problems);
    let minimal = "
credentials: {main: {access_key: {env: CLOUD_SDK_AK}, secret_key: {env: CLOUD_SDK_SK}}}
projects: [{name: studio-prod, region: cn-north-4, project_id: 0123456789abcdef0123456789abcdef}]
";
    let printed = effective::to_yaml(&example.config.unwrap());
    assert_eq!(printed, effective::to_yaml(&load_minimal(minimal).await));
}

#[test]
fn the_example_shows_every_key_there_is() {
    let example = include_str!("../config.example.yaml");
    let printed = include_str!(
        "../src/config/snapshots/metastudio_exporter__config__effective__tests__the_printed_configuration_loads_again_and_shows_no_secret.snap"
    );
    let keys =
        printed.lines().filter_map(|line| line.trim_start_matches(['-', ' ']).split_once(':')).map(|(key, _)| key);
    for key in keys.filter(|key| !["source", "expression", "temporary", "env", "team"].contains(key)) {
        assert!(example.contains(&format!("{key}:")), "{key}");
    }
}
