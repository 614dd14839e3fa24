//! Distributes the projects of a configuration over several processes, the shards.
//!
//! Rendezvous hashing: the number of a shard and the name of a project give a weight, and the shard with the greatest
//! weight polls the project. So shards need no coordination. Adding shard N + 1 moves about 1/(N + 1) of the projects,
//! all of them to the new shard.

use sha2::{Digest, Sha256};

/// One of several processes that share the projects of a configuration.
///
/// ```
/// use metastudio_exporter::config::Shard;
///
/// let shards = [Shard { index: 0, total: 2 }, Shard { index: 1, total: 2 }];
/// assert_eq!(shards.iter().filter(|shard| shard.has("studio")).count(), 1);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shard {
    /// The number of the shard, from 0.
    pub index: u32,
    /// The number of shards, at least 1.
    pub total: u32,
}

impl Shard {
    /// The only shard, with all projects and accounts.
    pub const ALL: Shard = Shard { index: 0, total: 1 };

    /// The number at the end of the host name of a StatefulSet's pod: 2 for `exporter-2`.
    pub fn ordinal(host_name: &str) -> Option<u32> {
        let (_, ordinal) = host_name.trim().split('.').next()?.rsplit_once('-')?;
        ordinal.parse().ok().filter(|_| ordinal.bytes().all(|byte| byte.is_ascii_digit()))
    }

    /// Whether this shard polls a project.
    pub fn has(self, project: &str) -> bool {
        // If weights are equal, the shard with the smallest index polls it. With 64 bits, that is a theoretical case.
        let owner = (0..self.total).max_by_key(|&index| (weight(index, project), std::cmp::Reverse(index)));
        owner == Some(self.index)
    }
}

/// This function must not change. Otherwise, shards of different versions would poll a project twice, or not at all.
fn weight(index: u32, project: &str) -> u64 {
    let hash = Sha256::new().chain_update(index.to_be_bytes()).chain_update(project).finalize();
    hash.iter().take(8).fold(0, |weight, byte| weight << 8 | u64::from(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owner(project: &str, total: u32) -> u32 {
        let owners: Vec<u32> = (0..total).filter(|&index| Shard { index, total }.has(project)).collect();
        assert_eq!(owners.len(), 1, "{project} of {total}");
        owners[0]
    }

    #[test]
    fn every_project_has_one_shard_in_all_versions() {
        // Computed with Python's hashlib.
        let owners = |total| ["studio-prod", "live-commerce", "campaign", "中文", ""].map(|name| owner(name, total));
        assert_eq!(owners(1), [0; 5]);
        assert_eq!(owners(3), [2, 2, 0, 0, 0]);
        assert_eq!(owners(10), [8, 7, 0, 3, 0]);
    }

    #[test]
    fn a_new_shard_gets_an_equal_part_and_no_other_project_moves() {
        let names: Vec<String> = (0..4000).map(|n| format!("project-{n}")).collect();
        for total in 1..8 {
            let mut counts = vec![0; total as usize + 1];
            for name in &names {
                let (before, after) = (owner(name, total), owner(name, total + 1));
                assert!(after == before || after == total, "{name} moved from {before} to {after} of {}", total + 1);
                counts[after as usize] += 1;
            }
            let share = names.len() / counts.len();
            assert!(counts.iter().all(|&count| count > share * 8 / 10 && count < share * 12 / 10), "{counts:?}");
        }
    }

    #[test]
    fn the_ordinal_is_at_the_end_of_the_host_name() {
        for (name, ordinal) in [("exporter-0", 0), ("a-b-12\n", 12), ("exporter-3.exporter.monitoring.svc", 3)] {
            assert_eq!(Shard::ordinal(name), Some(ordinal), "{name}");
        }
        for name in ["", "exporter", "exporter-", "exporter-7d9f", "exporter-+1", "7", "exporter-99999999999"] {
            assert_eq!(Shard::ordinal(name), None, "{name}");
        }
    }
}
