//! The table of the metric families of sub-users.

use rust_decimal::Decimal;

use super::{
    family::{Family, ProjectView, gauge},
    lines::Lines,
};
use crate::{
    snapshot::{Found, SubUsers},
    usage::{Collector, Quota, QuotaType, nearest},
};

/// The families of sub-users.
pub(super) static FAMILIES: &[Family] = &[
    gauge(
        "metastudio_users",
        "Sub-users of the account, as of the last complete run of the collector.",
        |lines, view| {
            if let Some(found) = found(view) {
                lines.count([COLLECTOR], found.list.len() as u64);
            }
        },
    ),
    gauge("metastudio_users_used_minutes", "Minutes that all sub-users have used.", |lines, view| {
        sums(lines, view, true);
    })
    .unit("minutes"),
    gauge("metastudio_users_used", "Images or voices that all sub-users have used.", |lines, view| {
        sums(lines, view, false);
    }),
    gauge(
        "metastudio_user_quota_minutes",
        "Minutes that the sub-user may use. Absent if they are not limited.",
        |lines, view| quotas(lines, view, true, |quota| quota.limit),
    )
    .unit("minutes"),
    gauge(
        "metastudio_user_used_minutes",
        "Minutes that the sub-user has used. The service does not say since when.",
        |lines, view| quotas(lines, view, true, |quota| quota.used),
    )
    .unit("minutes"),
    gauge(
        "metastudio_user_quota",
        "Images or voices that the sub-user may use. Absent if they are not limited.",
        |lines, view| quotas(lines, view, false, |quota| quota.limit),
    ),
    gauge("metastudio_user_used", "Images or voices that the sub-user has used.", |lines, view| {
        quotas(lines, view, false, |quota| quota.used);
    }),
];

const COLLECTOR: (&str, &str) = ("collector", "sub_users");

fn found<'a>(view: &ProjectView<'a>) -> Option<&'a SubUsers> {
    match view.found(Collector::SubUsers)? {
        Found::SubUsers(found) => Some(found),
        _ => None,
    }
}

/// Writes how much all users have used of each type: if `in_minutes`, of types in minutes, otherwise of other types.
fn sums(lines: &mut Lines<'_>, view: &ProjectView<'_>, in_minutes: bool) {
    let sums = found(view).into_iter().flat_map(|found| &found.used);
    for (quota_type, used) in sums.filter(|(quota_type, _)| quota_type.is_in_minutes() == in_minutes) {
        lines.sample([COLLECTOR, resource_type(*quota_type)], nearest(*used));
    }
}

/// Writes one amount of each user that has series of its own.
fn quotas(lines: &mut Lines<'_>, view: &ProjectView<'_>, in_minutes: bool, amount: fn(&Quota) -> Option<Decimal>) {
    let users = found(view).into_iter().flat_map(|found| &found.list).take(view.project.target.user_series);
    for user in users {
        for (quota_type, quota) in user.quotas.iter().filter(|(of, _)| of.is_in_minutes() == in_minutes) {
            if let Some(amount) = amount(quota) {
                lines.sample([COLLECTOR, resource_type(*quota_type), ("user_id", &user.id)], nearest(amount));
            }
        }
    }
}

fn resource_type(quota_type: QuotaType) -> (&'static str, &'static str) {
    ("resource_type", quota_type.as_str())
}
