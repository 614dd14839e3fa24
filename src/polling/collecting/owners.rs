//! The projects that list a package. No document says whether a project lists its own packages or those of its account.
//! So two projects may list the same packages (contract, 12).

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    time::Duration,
};

use chrono::{DateTime, Utc};
use parking_lot::Mutex;

use crate::{
    config::Project,
    snapshot::Target,
    usage::{Collector, Package},
};

/// The packages of all projects, shared by the collectors of a fleet. Packages of different accounts never have the
/// same id.
#[derive(Debug, Default)]
pub struct PackageOwners(Mutex<Lists>);

#[derive(Debug, Default)]
struct Lists {
    /// The packages of each project, and when they were listed.
    by_project: HashMap<String, (DateTime<Utc>, BTreeSet<String>)>,
    /// The projects of each package.
    by_package: HashMap<String, BTreeSet<String>>,
}

impl PackageOwners {
    /// Notes the packages of a project, as of `now`. Returns the first package that another project lists, too, with
    /// the name of that project.
    pub(super) fn note(
        &self,
        project: &str,
        packages: &[Package],
        now: DateTime<Utc>,
        interval: Duration,
    ) -> Option<(String, String)> {
        let ids: BTreeSet<String> = packages.iter().map(|package| package.id.clone()).collect();
        let mut lists = self.0.lock();
        lists.forget(project);
        for id in &ids {
            lists.by_package.entry(id.clone()).or_default().insert(project.to_owned());
        }
        let is_current = |other: &String| {
            let listed = lists.by_project.get(other).map(|(at, _)| *at);
            // If a list is old, its project is perhaps no longer allowed to list packages.
            listed.is_some_and(|at| now < at + Target::stale_after_runs(interval))
        };
        let shared = ids.iter().find_map(|id| {
            let other = lists.by_package.get(id)?.iter().find(|other| *other != project && is_current(other))?;
            Some((id.clone(), other.clone()))
        });
        lists.by_project.insert(project.to_owned(), (now, ids));
        shared
    }

    /// Keeps the projects of this list that collect packages, and forgets all others.
    pub fn retain(&self, projects: &[Project]) {
        let collects = |project: &&Project| project.collect.contains_key(&Collector::Packages);
        let kept: HashSet<&str> = projects.iter().filter(collects).map(|project| &*project.name).collect();
        let mut lists = self.0.lock();
        let removed: Vec<String> =
            lists.by_project.keys().filter(|name| !kept.contains(name.as_str())).cloned().collect();
        removed.iter().for_each(|name| lists.forget(name));
    }
}

impl Lists {
    fn forget(&mut self, project: &str) {
        for id in self.by_project.remove(project).unwrap_or_default().1 {
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
    fn a_package_of_two_projects_is_found_until_one_of_them_loses_it() {
        let owners = PackageOwners::default();
        let at = |minute: i64| DateTime::from_timestamp(minute * 60, 0).unwrap();
        let note_at = |minute, project, ids: &[&str]| {
            owners.note(project, &packages(ids), at(minute), Duration::from_secs(30 * 60))
        };
        let note = |project, ids: &[&str]| note_at(0, project, ids);
        let shared = |id: &str, project: &str| Some((id.to_owned(), project.to_owned()));
        assert_eq!(note("a", &["1", "2", "2"]), None, "one list may have an id several times");
        assert_eq!(note("c", &["9"]), None);
        assert_eq!(note("b", &["3", "2"]), shared("2", "a"));
        assert_eq!(note("a", &["1", "2"]), shared("2", "b"));
        assert_eq!(note("b", &["3"]), None);
        assert_eq!(note("a", &["1", "2"]), None);
        assert_eq!(note_at(89, "b", &["1"]), shared("1", "a"));
        assert_eq!(note_at(90, "b", &["1"]), None, "the other list is too old");
        assert_eq!(note_at(90, "a", &["1"]), shared("1", "b"));
        owners.retain(&[]);
        assert_eq!(note_at(90, "b", &["1"]), None, "the other project was removed");
        assert_eq!(owners.0.lock().by_package.len(), 1);
    }
}
