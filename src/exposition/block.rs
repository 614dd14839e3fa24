//! A block of projects, or of accounts. If one project changes, all samples of its block are rendered again.

use std::sync::{Arc, Weak};

use chrono::{DateTime, TimeDelta, Utc};

use super::{
    encoding::{EncodedText, Encoding},
    families::{families, needs_collectors},
    family::ProjectView,
    gzip::Encoder,
    lines::{FirstLabels, Lines},
    projects::{first_labels, first_labels_with_account},
};
use crate::snapshot::{Moment, ProjectStatus};

/// Number of projects in a block. Smaller blocks compress worse, larger ones take longer to render again.
pub(super) const BLOCK: usize = 32;

/// Owns the samples of its projects, in each encoding that has been asked for.
#[derive(Debug)]
pub(super) struct Block {
    /// Weak: an unused block must not keep old usage in memory.
    projects: Vec<Weak<ProjectStatus>>,
    pub validity: Validity,
    identity: Option<Vec<EncodedText>>,
    deflate: Option<Vec<EncodedText>>,
}

impl Block {
    /// A block without rendered samples.
    pub fn new(projects: &[Arc<ProjectStatus>], now: Moment) -> Self {
        let validity = projects.iter().fold(Validity::default(), |all, project| all.and(Validity::of(project, now)));
        Block { projects: projects.iter().map(Arc::downgrade).collect(), validity, identity: None, deflate: None }
    }

    /// Whether this block is still valid: it holds the same projects, unchanged, and `now` is in its validity.
    pub fn shows(&self, projects: &[Arc<ProjectStatus>], now: Moment) -> bool {
        let is_same =
            |(known, project): (&Weak<ProjectStatus>, &Arc<ProjectStatus>)| known.as_ptr() == Arc::as_ptr(project);
        self.validity.contains(now)
            && self.projects.len() == projects.len()
            && self.projects.iter().zip(projects).all(is_same)
    }

    /// The samples of each family. [`Self::shows`] must accept `projects` and `now`.
    pub fn samples(
        &mut self,
        encoding: Encoding,
        encoder: &mut Encoder,
        projects: &[Arc<ProjectStatus>],
        now: Moment,
    ) -> &mut [EncodedText] {
        let samples = match encoding {
            Encoding::Identity => &mut self.identity,
            Encoding::Deflate => &mut self.deflate,
        };
        samples.get_or_insert_with(|| encode(encoder, projects, now))
    }
}

fn encode(encoder: &mut Encoder, projects: &[Arc<ProjectStatus>], now: Moment) -> Vec<EncodedText> {
    let first: Vec<FirstLabels> = projects.iter().map(|project| first_labels(&project.target)).collect();
    let with_account: Vec<FirstLabels> =
        projects.iter().map(|project| first_labels_with_account(&project.target)).collect();
    let views: Vec<ProjectView<'_>> = projects.iter().map(|project| ProjectView::at(now, project)).collect();
    let has_collectors = views.iter().any(ProjectView::has_collectors);
    let families = families().enumerate().map(|(index, family)| {
        encoder.encode(|text| {
            if needs_collectors(index) && !has_collectors {
                return;
            }
            let first = if family.is_of_accounts { &with_account } else { &first };
            let shown = |view: &ProjectView<'_>| family.is_of_accounts || view.project.target.account.is_empty();
            for (view, first) in views.iter().zip(first).filter(|(view, _)| shown(view)) {
                let mut lines = Lines::new(text, &family.metadata, first);
                (family.write)(&mut lines, view);
            }
        })
    });
    families.collect()
}

/// The interval in which samples stay the same if no project changes. It ends when usage becomes stale, a window ends
/// or a token expires. On the wall clock it is `(after, until]`. The start is needed, because the wall clock can be set
/// back.
#[derive(Clone, Copy, Debug)]
pub(super) struct Validity {
    after: DateTime<Utc>,
    until: DateTime<Utc>,
    steady_until: DateTime<Utc>,
}

impl Default for Validity {
    fn default() -> Self {
        let (after, never) = (DateTime::<Utc>::MIN_UTC, DateTime::<Utc>::MAX_UTC);
        Validity { after, until: never, steady_until: never }
    }
}

impl Validity {
    fn of(project: &ProjectStatus, now: Moment) -> Self {
        let usage = project.usage.as_ref();
        let ages = [project.target.stale_after, project.target.renewed_within];
        // At exactly this age usage is not stale yet, and the next poll is not overdue.
        let steady = ages.into_iter().filter_map(|age| {
            let change = usage?.at.steady.checked_add_signed(TimeDelta::from_std(age).ok()?)?;
            (now.steady <= change).then_some(change)
        });
        let collected = project.collectors.iter().filter_map(|(collector, status)| {
            let (at, _) = status.found.as_ref()?;
            let stale_after = TimeDelta::from_std(project.target.collected_stale_after(*collector)).ok()?;
            let change = at.steady.checked_add_signed(stale_after)?;
            (now.steady <= change).then_some(change)
        });
        let expiry = project.health.last.as_ref().and_then(|last| last.credentials_expiry);
        let ends = usage.into_iter().flat_map(|usage| &usage.windows).filter_map(|window| window.changes_at);
        // At exactly its expiry, a token counts as expired. At exactly its end, a window has ended.
        let changes = expiry.into_iter().chain(ends).map(|change| change - TimeDelta::nanoseconds(1));
        let validity = Validity {
            steady_until: steady.chain(collected).min().unwrap_or(DateTime::<Utc>::MAX_UTC),
            ..Validity::default()
        };
        changes.fold(validity, |all, change| all.and(Validity::around(change, now.utc)))
    }

    /// Samples change just after `change`. Of the intervals before and after this change, returns the one that contains
    /// `now`.
    fn around(change: DateTime<Utc>, now: DateTime<Utc>) -> Self {
        if now <= change {
            Validity { until: change, ..Validity::default() }
        } else {
            Validity { after: change, ..Validity::default() }
        }
    }

    pub fn contains(self, now: Moment) -> bool {
        self.after < now.utc && now.utc <= self.until && now.steady <= self.steady_until
    }

    /// The interval in which both are valid.
    pub fn and(self, other: Validity) -> Self {
        Validity {
            after: self.after.max(other.after),
            until: self.until.min(other.until),
            steady_until: self.steady_until.min(other.steady_until),
        }
    }
}
