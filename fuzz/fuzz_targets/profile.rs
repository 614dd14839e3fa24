//! The credentials file of the SDK: if it is accepted, it has both keys. An error shows no part of a value.
#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;
use metastudio_exporter::config::{Environment, load_text};
use metastudio_exporter_fuzz::{block_on, file};

const SECRET: &str = "canary-4f7c";

fuzz_target!(|text: &[u8]| {
    let path = file(text);
    let config = format!(
        "credentials: {{main: {{profile: {{file: {}}}}}}}\nprojects: [{{name: studio, region: cn-north-4}}]\n",
        path.display()
    );
    let loaded = block_on(load_text(config, Path::new("/nowhere/config.yaml"), &Environment::default()));
    for problem in &loaded.problems {
        assert!(!problem.to_string().contains(SECRET), "{problem}");
    }
    if loaded.config.is_some() {
        let text = std::str::from_utf8(text).unwrap().to_lowercase();
        assert!(text.contains("[basic]"));
        for key in ["ak", "sk"] {
            // The parser ends a key at the first = or :.
            let values = text.lines().filter_map(|line| line.split_once(['=', ':']));
            let mut values = values.filter(|(name, _)| name.trim() == key).map(|(_, value)| value.trim());
            assert!(values.any(|value| !value.is_empty()), "{key}");
        }
    }
});
