//! The files that a web configuration names.

use std::{collections::BTreeMap, path::Path};

use secrecy::{ExposeSecret, SecretSlice};
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::file;

/// Keys of `tls_server_config` that name files.
const KEYS: [&str; 3] = ["cert_file", "key_file", "client_ca_file"];

/// File contents by name; `Err` is the reason why a file cannot be read.
pub(super) struct Files(BTreeMap<String, Result<SecretSlice<u8>, String>>);

impl Files {
    /// Reads all named files and adds them to `digest`. Relative paths start at `directory`.
    pub async fn read(tree: &Value, directory: &Path, digest: &mut Sha256) -> Self {
        let mut files = BTreeMap::new();
        for key in KEYS {
            let name = tree.pointer(&format!("/tls_server_config/{key}")).and_then(Value::as_str);
            let Some(name) = name.filter(|name| !files.contains_key(*name)) else { continue };
            let content = file::read(&directory.join(name)).await;
            let content = content.map(SecretSlice::from).map_err(|error| error.to_string());
            let (is_readable, bytes) = match &content {
                Ok(bytes) => (1, bytes.expose_secret()),
                Err(error) => (0, error.as_bytes()),
            };
            digest.update([is_readable]);
            digest.update(bytes.len().to_be_bytes());
            digest.update(bytes);
            files.insert(name.to_owned(), content);
        }
        Files(files)
    }

    pub fn content(&self, name: &str) -> Option<&Result<SecretSlice<u8>, String>> {
        self.0.get(name)
    }
}
