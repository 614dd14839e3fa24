//! A block of projects. If one project changes, all samples of its block are rendered again.

use std::sync::{Arc, Weak};

use chrono::{DateTime, TimeDelta, Utc};

use super::{
    encoding::{Encoded, Encoding},
    gzip::Encoder,
    lines::Lines,
    projects::{FAMILIES, ProjectView},
};
use crate::snapshot::ProjectStatus;

/// Number of projects in a block. Smaller blocks compress worse, larger ones take longer to render again.
pub(super) const BLOCK: usize = 32;

/// Owns the samples of its projects, in each encoding that has been asked for.
#[derive(Debug)]
pub(super) struct Block {
    /// Weak: an unused block must not keep old usage in memory.
    projects: Vec<Weak<ProjectStatus>>,
    pub validity: Validity,
    identity: Option<Vec<Encoded>>,
    deflate: Option<Vec<Encoded>>,
}

impl Block {
    /// A block without rendered samples.
    pub fn new(projects: &[Arc<ProjectStatus>], now: DateTime<Utc>) -> Self {
        let validity = projects.iter().fold(Validity::default(), |all, project| all.and(Validity::of(project, now)));
        Block { projects: projects.iter().map(Arc::downgrade).collect(), validity, identity: None, deflate: None }
    }

    /// Whether this block is still valid: it holds the same projects, unchanged, and `now` is in its validity.
    pub fn shows(&self, projects: &[Arc<ProjectStatus>], now: DateTime<Utc>) -> bool {
        let is_same =
            |(known, project): (&Weak<ProjectStatus>, &Arc<ProjectStatus>)| known.as_ptr() == Arc::as_ptr(project);
        self.validity.contains(now)
            && self.projects.len() == projects.len()
            && self.projects.iter().zip(projects).all(is_same)
    }

    /// The samples of each family. `projects` and `now` are ones that [`Self::shows`] accepts.
    pub fn samples(
        &mut self,
        encoding: Encoding,
        encoder: &mut Encoder,
        projects: &[Arc<ProjectStatus>],
        now: DateTime<Utc>,
    ) -> &mut [Encoded] {
        let samples = match encoding {
            Encoding::Identity => &mut self.identity,
            Encoding::Deflate => &mut self.deflate,
        };
        samples.get_or_insert_with(|| encode(encoder, projects, now))
    }
}

fn encode(encoder: &mut Encoder, projects: &[Arc<ProjectStatus>], now: DateTime<Utc>) -> Vec<Encoded> {
    let families = FAMILIES.iter().map(|family| {
        encoder.encode(|text| {
            for project in projects {
                let mut lines = Lines::new(text, &family.metadata, ("project", &project.target.name));
                (family.write)(&mut lines, &ProjectView::at(now, project));
            }
        })
    });
    families.collect()
}

/// The interval `(after, until]` in which samples stay the same if no project changes: usage becomes stale and tokens
/// expire with time. It has a beginning, because the clock can be set back.
#[derive(Clone, Copy, Debug)]
pub(super) struct Validity {
    after: DateTime<Utc>,
    until: DateTime<Utc>,
}

impl Default for Validity {
    fn default() -> Self {
        Validity { after: DateTime::<Utc>::MIN_UTC, until: DateTime::<Utc>::MAX_UTC }
    }
}

impl Validity {
    fn of(project: &ProjectStatus, now: DateTime<Utc>) -> Self {
        // At exactly this age usage is not stale yet.
        let stale_after = TimeDelta::from_std(project.target.stale_after).ok();
        let usage = project.usage.as_ref();
        let stale = usage.and_then(|usage| usage.at.checked_add_signed(stale_after?));
        // At exactly its expiry, a token counts as expired.
        let last = project.health.last.as_ref();
        let expiry = last.and_then(|last| last.credentials_expiry).map(|expiry| expiry - TimeDelta::nanoseconds(1));
        stale.into_iter().chain(expiry).fold(Validity::default(), |all, change| all.and(Validity::around(change, now)))
    }

    /// Samples change just after `change`. This is the interval before it or after it, whichever contains `now`.
    fn around(change: DateTime<Utc>, now: DateTime<Utc>) -> Self {
        if now <= change {
            Validity { until: change, ..Validity::default() }
        } else {
            Validity { after: change, ..Validity::default() }
        }
    }

    pub fn contains(self, now: DateTime<Utc>) -> bool {
        self.after < now && now <= self.until
    }

    /// The interval in which both are valid.
    pub fn and(self, other: Validity) -> Self {
        Validity { after: self.after.max(other.after), until: self.until.min(other.until) }
    }
}
