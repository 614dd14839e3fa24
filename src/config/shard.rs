//! Which projects are this process' own, where several share one configuration.
//!
//! Rendezvous hashing: each shard draws a weight for a project from both their names, and the heaviest has it. So all
//! shards agree without talking to each other, and one shard more takes its part from all others and moves nothing
//! else.

use sha2::{Digest, Sha256};

use super::Config;

/// One of several processes that share the projects of a configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shard {
    /// Which one, from 0.
    pub index: u32,
    /// Of how many, at least 1.
    pub total: u32,
}

impl Shard {
    /// The only one.
    pub const ALL: Shard = Shard { index: 0, total: 1 };

    /// The index at the end of the host name of a StatefulSet's pod: 2 for `exporter-2`.
    pub fn ordinal(host_name: &str) -> Option<u32> {
        let (_, ordinal) = host_name.trim().split('.').next()?.rsplit_once('-')?;
        ordinal.parse().ok().filter(|_| ordinal.bytes().all(|byte| byte.is_ascii_digit()))
    }

    /// Whether a project is polled by this shard.
    pub fn has(self, project: &str) -> bool {
        // The first of those that weigh the same; 64 bits make that a theoretical case.
        let heaviest = (0..self.total).max_by_key(|&index| (weight(index, project), std::cmp::Reverse(index)));
        heaviest == Some(self.index)
    }
}

/// Never to be changed: shards of two versions would poll a project twice, or not at all.
fn weight(index: u32, project: &str) -> u64 {
    let hash = Sha256::new().chain_update(index.to_be_bytes()).chain_update(project).finalize();
    hash.iter().take(8).fold(0, |weight, byte| weight << 8 | u64::from(*byte))
}

impl Config {
    /// Keeps what is the shard's.
    pub fn keep(&mut self, shard: Shard) {
        self.projects.retain(|project| shard.has(&project.name));
        self.shards = shard.total;
    }
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
    fn every_project_has_one_shard_that_never_changes() {
        // Computed with Python's hashlib.
        let owners = |total| ["studio-prod", "live-commerce", "campaign", "中文", ""].map(|name| owner(name, total));
        assert_eq!(owners(1), [0; 5]);
        assert_eq!(owners(3), [2, 2, 0, 0, 0]);
        assert_eq!(owners(10), [8, 7, 0, 3, 0]);
    }

    #[test]
    fn one_shard_more_takes_its_part_and_moves_nothing_else() {
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
    fn the_ordinal_of_a_pod() {
        for (name, ordinal) in [("exporter-0", 0), ("a-b-12\n", 12), ("exporter-3.exporter.monitoring.svc", 3)] {
            assert_eq!(Shard::ordinal(name), Some(ordinal), "{name}");
        }
        for name in ["", "exporter", "exporter-", "exporter-7d9f", "exporter-+1", "7", "exporter-99999999999"] {
            assert_eq!(Shard::ordinal(name), None, "{name}");
        }
    }
}
