//! Source: the credentials file of the official SDK (contract, 7.6).

use std::path::PathBuf;

use crate::config::{
    environment::Environment,
    fields::{Field, Fields},
    profile::{self, ProfileError, ProfileKeys},
    read::Section,
};

/// The path of the file, instead of the one in the home directory.
const FILE_VARIABLE: &str = "HUAWEICLOUD_SDK_CREDENTIALS_FILE";
const FILE_IN_HOME: &str = ".huaweicloud/credentials";

/// The credentials file of the official SDK.
#[derive(Clone, Debug, PartialEq)]
pub struct Profile {
    /// The path of the file. It is read whenever the keys are needed.
    pub path: PathBuf,
}

impl Profile {
    /// Reads the keys.
    ///
    /// # Errors
    /// As for [`profile::read`].
    pub(crate) async fn read(&self) -> Result<ProfileKeys, ProfileError> {
        profile::read(&self.path).await
    }
}

pub(super) fn read(section: &mut Section<'_>, environment: &Environment) -> Option<Profile> {
    let mut section = section.get("profile")?.section();
    let path = section.get("file").and_then(|node| node.file_path()).or_else(|| default_path(environment));
    if path.is_none() {
        section.problem(format!("expected file: PATH, because HOME is not set and the default is ~/{FILE_IN_HOME}"));
    }
    section.finish();
    Some(Profile { path: path.unwrap_or_else(|| FILE_IN_HOME.into()) })
}

/// A file that [`FILE_VARIABLE`] names must exist. The one in the home directory may be missing.
pub(super) async fn find(environment: &Environment) -> Option<Profile> {
    let path = default_path(environment)?;
    let is_configured = environment.has(FILE_VARIABLE) || profile::is_present(&path).await;
    is_configured.then_some(Profile { path })
}

pub(super) fn fields(profile: &Profile) -> Fields<'_> {
    vec![("profile", Field::Section(vec![("file", Field::ProfileFile(&profile.path))]))]
}

fn default_path(environment: &Environment) -> Option<PathBuf> {
    let named = environment.get(FILE_VARIABLE).map(PathBuf::from);
    named.or_else(|| Some(PathBuf::from(environment.get("HOME")?).join(FILE_IN_HOME)))
}
