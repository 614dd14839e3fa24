//! What has been proven of the service of a project.

use chrono::{DateTime, TimeDelta, Utc};

use crate::cloud::usage_api::{Alignment, Service};

/// The time after which everything is proven again.
const RENEWAL: TimeDelta = TimeDelta::days(1);

/// What has been proven of the service of a project, so that later polls need fewer requests.
#[derive(Clone, Debug, Default)]
pub struct Proofs {
    /// Its pages.
    pub service: Service,
    /// Whether the users that are asked for get answers of their own.
    pub users_have_effect: bool,
    /// Whether the longest window is as large as its two halves.
    pub halves_agree: bool,
    /// Its buckets.
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
