//! Texts of the cloud: no secret is shown, in any form in which JSON can write it, and messages stay short.
#![no_main]

use libfuzzer_sys::fuzz_target;
use metastudio_exporter::cloud::fuzzing::shown;

// The first line of the input is the secret.
fuzz_target!(|input: &str| {
    let Some((secret, text)) = input.split_once('\n') else { return };
    // Skip a secret that may be a part of the mark `<secret>`, and a secret that may contain this mark.
    let secret = secret.trim();
    if secret.len() < 9 || secret.contains(['<', '>']) {
        return;
    }
    let json = serde_json::to_string(secret).unwrap();
    for text in [text.to_owned(), format!("{text}{secret}{text}"), format!("{secret}{json}")] {
        let [message, label] = shown(&text, &format!("{secret} "));
        assert!(message.chars().count() <= 256 * "<secret>".len() + 1);
        for shown in [message, label] {
            assert!(!shown.contains(char::is_control), "{shown:?}");
            assert!(!shown.contains(secret) && !shown.contains(&json), "{shown:?}");
        }
    }
});
