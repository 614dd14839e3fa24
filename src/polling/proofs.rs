//! Facts that have been proven about the service of a project.

use chrono::{DateTime, TimeDelta, Utc};

use crate::cloud::usage_api::{Alignment, Service};

/// The time after which everything is proven again.
const RENEWAL: TimeDelta = TimeDelta::days(1);

/// Facts that have been proven about the service of a project, so that later polls need fewer requests.
#[derive(Clone, Debug, Default)]
pub struct Proofs {
    /// About its pages.
    pub service: Service,
    /// Whether `user_id` has an effect on answers.
    pub users_have_effect: bool,
    /// Whether the two halves of the longest window have no more usage than the window.
    pub halves_agree: bool,
    /// About the times of its buckets.
    pub alignment: Alignment,
    since: Option<DateTime<Utc>>,
}

impl Proofs {
    /// Forgets everything once a day, because a service can change.
    pub fn renew(&mut self, now: DateTime<Utc>) {
        if self.since.is_none_or(|since| (now - since).abs() >= RENEWAL) {
            *self = Proofs { since: Some(now), ..Proofs::default() };
        }
    }
}
