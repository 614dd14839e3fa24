//! Project ids and temporary keys: accepted ones are complete and come from the answer. Errors about ids are short, and
//! errors about keys show no secret.
#![no_main]

use chrono::DateTime;
use libfuzzer_sys::fuzz_target;
use metastudio_exporter::cloud::fuzzing::{project_id, temporary_keys};
use serde_json::Value;

const SECRET: &str = "canary-4f7c";

fuzz_target!(|body: &[u8]| {
    match project_id(body, "cn-north-4") {
        Ok(id) => {
            assert!(id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit()), "{id}");
            assert!(strings(body).contains(&id));
        }
        Err(error) => assert!(error.report().len() < 600, "{error}"),
    }
    match temporary_keys(body, DateTime::UNIX_EPOCH) {
        Ok((keys, expires)) => {
            assert!(keys.len() == 3 && expires > Some(DateTime::UNIX_EPOCH));
            let strings = strings(body);
            assert!(keys.iter().all(|key| !key.is_empty() && strings.contains(key)));
        }
        Err(error) => assert!(!error.report().contains(SECRET), "{error}"),
    }
});

/// All strings of a JSON text.
fn strings(body: &[u8]) -> Vec<String> {
    fn collect(value: Value, found: &mut Vec<String>) {
        match value {
            Value::String(text) => found.push(text),
            Value::Array(values) => values.into_iter().for_each(|value| collect(value, found)),
            Value::Object(object) => object.into_iter().for_each(|(_, value)| collect(value, found)),
            _ => {}
        }
    }
    let mut found = Vec::new();
    collect(serde_json::from_slice(body).unwrap(), &mut found);
    found
}
