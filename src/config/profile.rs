//! The format of the official SDK's credentials file, section `basic` (contract, 7.6).
//!
//! The SDK's reader interpolates values and fails on a `%`. The exporter reads values literally.

use std::{
    io,
    path::{Path, PathBuf},
};

use configparser::ini::Ini;
use secrecy::SecretString;
use thiserror::Error;

use super::secret;
use crate::file;

const SECTION: &str = "basic";

/// The keys of a profile.
#[derive(Debug)]
pub(crate) struct ProfileKeys {
    pub access_key: SecretString,
    pub secret_key: SecretString,
    /// The token that belongs to temporary keys.
    pub security_token: Option<SecretString>,
}

/// A file that cannot be used. The text holds no part of a value.
#[derive(Debug, Error)]
#[error("{}: {what}", path.display())]
pub(crate) struct ProfileError {
    path: PathBuf,
    what: String,
    is_missing: bool,
}

/// Reads the keys.
///
/// # Errors
/// If the file cannot be read, is not an INI file, or lacks a key.
pub(super) async fn read(path: &Path) -> Result<ProfileKeys, ProfileError> {
    let ini = load(path).await?;
    if !ini.get_map_ref().contains_key(SECTION) {
        return Err(error(path, format!("there is no section [{SECTION}]")));
    }
    let required = |key: &str| ini.get(SECTION, key).ok_or_else(|| error(path, missing(key, &ini)));
    let value =
        |key: &str, text: &str| secret::key(text).map_err(|fault| error(path, format!("{key} in [{SECTION}] {fault}")));
    // An empty token counts as absent, as in the environment (contract, 3.11).
    let security_token = ini.get(SECTION, "security_token").filter(|token| !token.trim().is_empty());
    Ok(ProfileKeys {
        access_key: value("ak", &required("ak")?)?,
        secret_key: value("sk", &required("sk")?)?,
        security_token: security_token.map(|token| value("security_token", &token)).transpose()?,
    })
}

/// Whether the file sets `project_id`, which the SDK would use.
pub(super) async fn names_a_project(path: &Path) -> bool {
    load(path).await.is_ok_and(|ini| ini.get(SECTION, "project_id").is_some_and(|id| !id.trim().is_empty()))
}

/// Whether the file exists. A damaged file counts, too: the exporter must not use the next source instead, because that
/// source may belong to another account.
pub(super) async fn is_present(path: &Path) -> bool {
    load(path).await.err().is_none_or(|error| !error.is_missing)
}

async fn load(path: &Path) -> Result<Ini, ProfileError> {
    let text = file::read_to_string(path).await;
    let text = text.map_err(|failure| ProfileError {
        is_missing: failure.kind() == io::ErrorKind::NotFound,
        ..error(path, format!("cannot be read: {failure}"))
    })?;
    let mut ini = Ini::new();
    ini.set_inline_comment_symbols(Some(&[]));
    // The parser's error gives the number of the line and quotes nothing of it.
    ini.read(text).map_err(|failure| error(path, format!("is not an INI file: {failure}")))?;
    Ok(ini)
}

fn error(path: &Path, what: String) -> ProfileError {
    ProfileError { path: path.to_owned(), what, is_missing: false }
}

fn missing(key: &str, ini: &Ini) -> String {
    let hint = match ini.get(SECTION, "idp_id") {
        Some(_) => ", and idp_id is not supported: configure credentials with oidc instead",
        None => "",
    };
    format!("{key} is missing in [{SECTION}]{hint}")
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret;

    use super::*;

    async fn read_text(text: &str) -> Result<[String; 3], String> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        let keys = read(file.path()).await.map_err(|error| error.to_string())?;
        let token = keys.security_token.map_or(String::new(), |token| token.expose_secret().to_owned());
        Ok([keys.access_key.expose_secret().to_owned(), keys.secret_key.expose_secret().to_owned(), token])
    }

    #[tokio::test]
    async fn values_are_read_as_they_are() {
        let text = "# a comment\n[global]\nak = other\nsk = other\n\n[basic]\nak = AK%1\nsk: \"s\\k;#%(x)s=\nsecurity_token = \n";
        assert_eq!(read_text(text).await.unwrap(), ["AK%1", "\"s\\k;#%(x)s=", ""]);
        let text = "[basic]\r\nak=A\r\nsk=S\r\nsecurity_token=T==\r\nproject_id=p\r\niam_endpoint=https://e\r\n";
        assert_eq!(read_text(text).await.unwrap(), ["A", "S", "T=="]);
    }

    #[tokio::test]
    async fn errors_name_the_key_and_show_no_value() {
        for (text, error) in [
            ("[global]\nak = hunter2\n", "there is no section [basic]"),
            ("[basic]\nak = hunter2\n", "sk is missing in [basic]"),
            ("[basic]\nak =\nsk = hunter2\n", "ak in [basic] is empty"),
            ("[basic]\nidp_id = i\nid_token_file = f\n", "idp_id is not supported"),
            ("[basic]\nhunter2\n", "ak is missing in [basic]"),
            ("[basic]\nak = 'hunter2'\nsk = s\n", "ak in [basic] is in quotes: remove them"),
            ("[basic]\nak = a\nsk = ${hunter2}\n", "sk in [basic] begins with $"),
            (
                "[basic]\nak = a\nsk = hunter2\u{200b}\n",
                "sk in [basic] begins or ends with a zero-width space (U+200B)",
            ),
            ("[basic]\nak = a b\nsk = hunter2\n", "ak in [basic] holds a line break or another character"),
            ("[basic\nak = hunter2\n", "is not an INI file: line 1"),
        ] {
            let found = read_text(text).await.unwrap_err();
            assert!(found.contains(error) && !found.contains("hunter2"), "{found}");
        }
        let nowhere = Path::new("/nowhere/credentials");
        assert!(read(nowhere).await.unwrap_err().to_string().starts_with("/nowhere/credentials: cannot be read"));
        assert!(!is_present(nowhere).await);
    }

    #[tokio::test]
    async fn a_damaged_file_does_not_give_way_to_other_keys() {
        let file = tempfile::NamedTempFile::new().unwrap();
        for text in ["", "[default]\nak = A\nsk = S\n", "\u{200b}[basic]\nak = A\nsk = S\n", "[basic"] {
            std::fs::write(file.path(), text).unwrap();
            assert!(is_present(file.path()).await && read(file.path()).await.is_err(), "{text:?}");
        }
        std::fs::write(file.path(), "\u{feff}[basic]\nak = A\nsk = S\n").unwrap();
        assert!(is_present(file.path()).await && read(file.path()).await.is_ok(), "a byte order mark");
    }
}
