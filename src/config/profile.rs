//! The official SDK's credentials file, section `basic`.
//!
//! Source: contract, 7.6. The SDK's reader interpolates, so that a `%` breaks it; here a value is what is written.

use std::{io, path::PathBuf};

use configparser::ini::Ini;
use secrecy::SecretString;
use thiserror::Error;

use super::{Environment, Profile, file, secret::printable};

/// Names another file than the one in the home directory.
pub(super) const VARIABLE: &str = "HUAWEICLOUD_SDK_CREDENTIALS_FILE";
const SECTION: &str = "basic";

/// The keys of a profile.
#[derive(Debug)]
pub struct ProfileKeys {
    /// AK.
    pub access_key: SecretString,
    /// SK.
    pub secret_key: SecretString,
    /// The token that belongs to temporary keys.
    pub security_token: Option<SecretString>,
}

/// A profile that cannot be used. Never holds any part of a value.
#[derive(Debug, Error)]
#[error("{}: {what}", path.display())]
pub struct ProfileError {
    path: PathBuf,
    what: String,
    is_missing: bool,
}

impl Profile {
    /// Where the file is by default: where the SDK's variable says, or in the home directory.
    pub(super) fn of_environment(environment: &Environment) -> Option<Self> {
        let named = environment.get(VARIABLE).map(PathBuf::from);
        let path = named.or_else(|| Some(PathBuf::from(environment.get("HOME")?).join(".huaweicloud/credentials")));
        path.map(|path| Profile { path })
    }

    /// Reads the keys.
    ///
    /// # Errors
    /// If the file cannot be read, is no INI file, or lacks a key.
    pub async fn read(&self) -> Result<ProfileKeys, ProfileError> {
        let ini = self.load().await?;
        if !ini.get_map_ref().contains_key(SECTION) {
            return Err(self.error(format!("there is no section [{SECTION}]")));
        }
        let required = |key: &str| ini.get(SECTION, key).ok_or_else(|| self.error(missing(key, &ini)));
        let value = |key: &str, text: &str| {
            printable(text)
                .ok_or_else(|| self.error(format!("{key} in [{SECTION}] is empty or holds a space or break")))
        };
        // As in the environment, an empty token is none (contract, 3.11).
        let security_token = ini.get(SECTION, "security_token").filter(|token| !token.trim().is_empty());
        Ok(ProfileKeys {
            access_key: value("ak", &required("ak")?)?,
            secret_key: value("sk", &required("sk")?)?,
            security_token: security_token.map(|token| value("security_token", &token)).transpose()?,
        })
    }

    /// Whether the file names a project, which would be the SDK's.
    pub(super) async fn names_a_project(&self) -> bool {
        self.load().await.is_ok_and(|ini| ini.get(SECTION, "project_id").is_some_and(|id| !id.trim().is_empty()))
    }

    /// Whether the file is there and has keys of projects; a file that cannot be read is there.
    pub(super) async fn is_there(&self) -> bool {
        match self.load().await {
            Ok(ini) => ini.get_map_ref().contains_key(SECTION),
            Err(error) => !error.is_missing,
        }
    }

    async fn load(&self) -> Result<Ini, ProfileError> {
        let text = file::read_to_string(&self.path).await;
        let text = text.map_err(|error| ProfileError {
            is_missing: error.kind() == io::ErrorKind::NotFound,
            ..self.error(format!("cannot be read: {error}"))
        })?;
        let mut ini = Ini::new();
        ini.set_inline_comment_symbols(Some(&[]));
        // The reader says which line, and nothing of what is there.
        ini.read(text).map_err(|error| self.error(format!("is not an INI file: {error}")))?;
        Ok(ini)
    }

    fn error(&self, what: String) -> ProfileError {
        ProfileError { path: self.path.clone(), what, is_missing: false }
    }
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

    async fn read(text: &str) -> Result<[String; 3], String> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        let profile = Profile { path: file.path().to_owned() };
        let keys = profile.read().await.map_err(|error| error.to_string())?;
        let token = keys.security_token.map_or(String::new(), |token| token.expose_secret().to_owned());
        Ok([keys.access_key.expose_secret().to_owned(), keys.secret_key.expose_secret().to_owned(), token])
    }

    #[tokio::test]
    async fn values_are_what_is_written() {
        let text = "# a comment\n[global]\nak = other\nsk = other\n\n[basic]\nak = AK%1\nsk: \"s\\k;#%(x)s=\nsecurity_token = \n";
        assert_eq!(read(text).await.unwrap(), ["AK%1", "\"s\\k;#%(x)s=", ""]);
        let text = "[basic]\r\nak=A\r\nsk=S\r\nsecurity_token=T==\r\nproject_id=p\r\niam_endpoint=https://e\r\n";
        assert_eq!(read(text).await.unwrap(), ["A", "S", "T=="]);
    }

    #[tokio::test]
    async fn what_is_missing_is_said_and_nothing_is_shown() {
        for (text, error) in [
            ("[global]\nak = hunter2\n", "there is no section [basic]"),
            ("[basic]\nak = hunter2\n", "sk is missing in [basic]"),
            ("[basic]\nak =\nsk = hunter2\n", "ak in [basic] is empty"),
            ("[basic]\nidp_id = i\nid_token_file = f\n", "idp_id is not supported"),
            ("[basic]\nhunter2\n", "ak is missing in [basic]"),
            ("[basic\nak = hunter2\n", "is not an INI file: line 1"),
        ] {
            let found = read(text).await.unwrap_err();
            assert!(found.contains(error) && !found.contains("hunter2"), "{found}");
        }
        let nowhere = Profile { path: "/nowhere/credentials".into() };
        assert!(nowhere.read().await.unwrap_err().to_string().starts_with("/nowhere/credentials: cannot be read"));
        assert!(!nowhere.is_there().await);
    }
}
