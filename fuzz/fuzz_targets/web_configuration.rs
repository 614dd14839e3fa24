//! A web configuration file: either it has a problem or it can be used. A file without keys has a problem.
#![no_main]

use libfuzzer_sys::{Corpus, fuzz_target};
use metastudio_exporter::server::config::load_web;
use metastudio_exporter_fuzz::{block_on, file};

/// A bcrypt hash is a secret, too. This one is in the seeds.
const HASH: &str = "DRwdtvKMtBWpPTl6wmPyjOhZ0Mug1oRCnFKzdVqrZPQWs7fq9hRzS";

fuzz_target!(|text: &[u8]| -> Corpus {
    if text.windows(4).any(|part| part == b"/dev") || text.windows(5).any(|part| part == b"/proc") {
        return Corpus::Reject;
    }
    let path = file(text);
    let loaded = block_on(load_web(path));
    assert_eq!(loaded.config.is_some(), loaded.problems.is_empty());
    for problem in &loaded.problems {
        let problem = problem.to_string();
        assert!(!problem.contains(HASH), "{problem}");
    }
    if loaded.config.is_some() {
        assert!(text.iter().any(u8::is_ascii_alphabetic), "a file without keys");
    }
    assert_eq!(block_on(load_web(path)).fingerprint, loaded.fingerprint);
    Corpus::Keep
});
