//! The projects whose lists have a package. No document says whether a project's answer is that of its account, so two projects
//! may list the same packages (contract, 12).

use std::collections::{BTreeSet, HashMap, HashSet};

use parking_lot::Mutex;

use crate::{
    config::Project,
    usage::{Collector, Package},
};

/// The packages of the projects that share credentials, and so an account. All collectors of a fleet share it.
#[derive(Debug, Default)]
pub struct PackageOwners(Mutex<HashMap<String, Account>>);

#[derive(Debug, Default)]
struct Account {
    by_project: HashMap<String, BTreeSet<String>>,
    /// The projects of each package.
    by_package: HashMap<String, BTreeSet<String>>,
}

impl PackageOwners {
    /// Notes the packages of a project. Returns the first one that another project has, too, with that project.
    pub(super) fn note(&self, credentials: &str, project: &str, packages: &[Package]) -> Option<(String, String)> {
        let ids: BTreeSet<String> = packages.iter().map(|package| package.id.clone()).collect();
        let mut accounts = self.0.lock();
        let account = accounts.entry(credentials.to_owned()).or_default();
        account.forget(project);
        for id in &ids {
            account.by_package.entry(id.clone()).or_default().insert(project.to_owned());
        }
        let shared = ids.iter().find_map(|id| {
            let other = account.by_package.get(id)?.iter().find(|other| *other != project)?;
            Some((id.clone(), other.clone()))
        });
        account.by_project.insert(project.to_owned(), ids);
        shared
    }

    /// Forgets all projects but those of these that collect packages.
    pub fn retain(&self, projects: &[Project]) {
        let collects = |project: &&Project| project.collect.contains_key(&Collector::Packages);
        let kept: HashSet<(&str, &str)> =
            projects.iter().filter(collects).map(|project| (&*project.credentials, &*project.name)).collect();
        for (credentials, account) in &mut *self.0.lock() {
            let is_removed = |name: &&String| !kept.contains(&(&**credentials, &***name));
            let removed: Vec<String> = account.by_project.keys().filter(is_removed).cloned().collect();
            removed.iter().for_each(|name| account.forget(name));
        }
    }
}

impl Account {
    fn forget(&mut self, project: &str) {
        for id in self.by_project.remove(project).unwrap_or_default() {
            if let Some(projects) = self.by_package.get_mut(&id) {
                projects.remove(project);
                if projects.is_empty() {
                    self.by_package.remove(&id);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::usage::PackageKind;

    fn packages(ids: &[&str]) -> Vec<Package> {
        let package = |id: &&str| Package {
            id: (*id).to_owned(),
            kind: PackageKind::default(),
            is_part: false,
            bought: None,
            used: None,
            expiry: None,
            is_frozen: false,
            is_resettable: false,
        };
        ids.iter().map(package).collect()
    }

    #[test]
    fn a_package_of_two_projects_of_one_account_is_found_until_one_of_them_loses_it() {
        let owners = PackageOwners::default();
        let note = |credentials, project, ids: &[&str]| owners.note(credentials, project, &packages(ids));
        let shared = |id: &str, project: &str| Some((id.to_owned(), project.to_owned()));
        assert_eq!(note("main", "a", &["1", "2", "2"]), None, "one list may have an id several times");
        assert_eq!(note("other", "c", &["1"]), None, "another account");
        assert_eq!(note("main", "b", &["3", "2"]), shared("2", "a"));
        assert_eq!(note("main", "a", &["1", "2"]), shared("2", "b"));
        assert_eq!(note("main", "b", &["3"]), None);
        assert_eq!(note("main", "a", &["1", "2"]), None);
        assert_eq!(note("main", "b", &["1"]), shared("1", "a"));
        owners.retain(&[]);
        assert_eq!(note("main", "b", &["1"]), None, "the other project was removed");
        assert_eq!(owners.0.lock()["main"].by_package.len(), 1);
    }
}
