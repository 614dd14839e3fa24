//! The usage of a project in one range of time: all queries for the range, summed in one tally.
//!
//! The range may be a window of a poll or a past day: nothing here reads the current time.

use std::collections::BTreeSet;

use tokio::time::Instant;

use crate::{
    cloud::{
        Client, Error, UsageQuery,
        usage_api::{self, Doubt, timestamp},
    },
    config::Project,
    usage::{Bounds, Counters, DaySums, Days, Row, RowCounters, Tally, Zone},
};

/// Counters and current query of a running poll. They stay available when the poll fails or times out.
#[derive(Debug, Default)]
pub struct Progress {
    /// Requests so far.
    pub counters: Counters,
    /// The current query, for the error message.
    pub query: String,
}

/// The project whose usage is asked for. [`super::fleet::clients`] gives its client, and
/// [`crate::cloud::project_api::project_id`] its id.
#[derive(Debug)]
pub struct RangeQuery<'a> {
    /// The client of the project.
    pub client: &'a Client,
    /// The configuration of the project: its users, its types and the third-party user.
    pub project: &'a Project,
    /// Its id, configured or looked up.
    pub project_id: &'a str,
    /// Entries per page of an answer, the API's `limit`.
    pub page_size: usize,
    /// Deadline for all requests together.
    pub deadline: Instant,
}

/// The complete usage of a range.
#[derive(Debug, Default)]
pub struct RangeUsage {
    /// The sums.
    pub tally: Tally,
    /// Minutes of each day, if days were requested and the answer distinguishes them.
    pub days: Option<Days>,
    /// Rows and values that are not in the sums.
    pub rows: RowCounters,
    /// Anything that the operator should check.
    pub doubts: BTreeSet<Doubt>,
}

impl RangeQuery<'_> {
    /// Asks for the usage in `range`: one query for each configured user, or one for all users. With a zone, the
    /// minutes of each local day are summed, too. `name` begins the error messages.
    ///
    /// # Errors
    /// Any [`Error`] of a query, because a sum that lacks an answer is too small. [`Error::Malformed`] if a sum exceeds
    /// the range of decimal arithmetic.
    pub async fn sum(
        &self,
        range: Bounds,
        zone: Option<&Zone>,
        name: &str,
        progress: &mut Progress,
    ) -> Result<RangeUsage, Error> {
        let mut usage = RangeUsage::default();
        let mut days = zone.map(|zone| DaySums::new(range, zone.clone()));
        let all_users = [None];
        let users: Vec<Option<&str>> = self.project.user_ids.iter().map(|id| Some(id.as_str())).collect();
        for &user_id in if users.is_empty() { &all_users[..] } else { &users } {
            let of_user = user_id.map_or_else(String::new, |id| format!(" of user {id}"));
            progress.query = format!("{name} ({} to {}){of_user}", timestamp(range.start), timestamp(range.end));
            let query = UsageQuery {
                project_id: self.project_id,
                range,
                user_id,
                app_user_id: self.project.app_user_id.as_deref(),
                page_size: self.page_size,
            };
            let answer = usage_api::fetch(self.client, &query, self.deadline, &mut progress.counters).await?;
            usage.rows += answer.counters;
            usage.doubts.extend(answer.doubts);
            for row in &answer.rows {
                if !keeps(self.project, row) {
                    usage.rows.filtered += 1;
                    continue;
                }
                usage.tally.add(row, user_id).map_err(|overflow| Error::Malformed(overflow.to_string()))?;
                days.iter_mut().for_each(|days| days.add(row));
            }
        }
        usage.days = days.and_then(DaySums::finish);
        Ok(usage)
    }
}

/// Whether the configuration includes the types of a row.
fn keeps(project: &Project, row: &Row) -> bool {
    let has = |list: &[String], value: &String| list.is_empty() || list.contains(value);
    has(&project.resource_types, &row.key.resource_type) && has(&project.business_types, &row.key.business_type)
}
