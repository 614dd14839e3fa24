//! A configuration file: either it has an error or it can be used. The effective configuration loads again and stays the
//! same, and nothing shows a secret.
#![no_main]

use std::path::Path;

use libfuzzer_sys::{Corpus, fuzz_target};
use metastudio_exporter::config::{Config, Environment, Loaded, effective, load_text};
use metastudio_exporter_fuzz::block_on;

const SECRET: &str = "canary-4f7c";

fuzz_target!(|text: &str| -> Corpus {
    // Skip texts with the secret itself, and texts that may name a file of /dev or /proc: reading one may block.
    if text.contains(SECRET) || text.contains("/dev") || text.contains("/proc") {
        return Corpus::Reject;
    }
    let Some(config) = checked(text).config else { return Corpus::Keep };
    let yaml = shown(&config);
    let Some(again) = checked(&yaml).config else { panic!("{yaml}\n{:?}", checked(&yaml).problems) };
    assert_eq!(shown(&again), yaml);
    Corpus::Keep
});

fn checked(text: &str) -> Loaded {
    let environment: Environment = [("SECRET".to_owned(), SECRET.to_owned())].into_iter().collect();
    let loaded = block_on(load_text(text.to_owned(), Path::new("/nowhere/config.yaml"), &environment));
    assert_eq!(loaded.config.is_some(), loaded.errors().next().is_none());
    for problem in &loaded.problems {
        let problem = problem.to_string();
        assert!(!problem.contains(SECRET), "{problem}");
    }
    loaded
}

fn shown(config: &Config) -> String {
    let yaml = effective::to_yaml(config);
    assert!(!yaml.contains(SECRET));
    yaml
}
