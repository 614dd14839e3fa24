//! Sub-users: what each may use, and what it has used.

use std::collections::BTreeMap;

use rust_decimal::Decimal;

use super::{
    collector_doubt::{CollectorDoubt, CollectorDoubts},
    row::Overflow,
};

/// The resource types that quotas limit (contract, 13). Those of minutes come first.
const RESOURCE_TYPES: [&str; 8] = [
    "video_time_2d_model",
    "video_time_flexus_2d_model",
    "modeling_count_2d_model",
    "modeling_count_2d_model_flexus",
    "voice_clone_basic",
    "voice_clone_middle",
    "voice_clone_advance",
    "voice_clone_flexus",
];

/// A resource type that quotas limit. The same name is in the rows of usage.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct QuotaType(&'static str);

impl QuotaType {
    /// All types.
    pub fn all() -> impl Iterator<Item = Self> {
        RESOURCE_TYPES.into_iter().map(QuotaType)
    }

    /// The name in the API.
    pub fn as_str(self) -> &'static str {
        self.0
    }

    /// Whether the amounts are minutes. Others are numbers of images or voices.
    pub fn is_in_minutes(self) -> bool {
        self.0.starts_with("video_time")
    }
}

/// A sub-user of the account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubUser {
    /// The API's `user_id`; empty for usage that no user accounts for.
    pub id: String,
    /// The quotas and what is used, by type.
    pub quotas: BTreeMap<QuotaType, Quota>,
}

/// The limit of a sub-user for one type, and the used amount.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Quota {
    /// The limit; `None` if there is none.
    pub limit: Option<Decimal>,
    /// The used amount; `None` if the service gives none. The documents do not say since when it counts.
    pub used: Option<Decimal>,
}

impl SubUser {
    /// The largest used part of a quota; 0 without one. A quota of 0 that is used counts as the largest.
    pub fn largest_part(&self) -> Decimal {
        let part = |quota: &Quota| {
            let (limit, used) = (quota.limit?, quota.used?);
            if used.is_zero() { None } else { Some(used.checked_div(limit).unwrap_or(Decimal::MAX)) }
        };
        self.quotas.values().filter_map(part).max().unwrap_or_default()
    }
}

/// The used amounts of all sub-users together, by type. A type without a used amount is left out.
///
/// # Errors
/// If a sum is beyond the range of decimals.
pub fn used_by_all(users: &[SubUser]) -> Result<BTreeMap<QuotaType, Decimal>, Overflow> {
    let mut sums: BTreeMap<QuotaType, Decimal> = BTreeMap::new();
    for (quota_type, quota) in users.iter().flat_map(|user| &user.quotas) {
        if let Some(used) = quota.used {
            let sum = sums.entry(*quota_type).or_default();
            *sum = sum.checked_add(used).ok_or(Overflow)?;
        }
    }
    Ok(sums)
}

/// The doubts about these sub-users.
pub fn sub_user_doubts(users: &[SubUser]) -> CollectorDoubts {
    let is_negative = |quota: &Quota| quota.used.is_some_and(|used| used < Decimal::ZERO);
    let negative = users.iter().find_map(|user| {
        let (quota_type, _) = user.quotas.iter().find(|(_, quota)| is_negative(quota))?;
        Some(format!("the sub-user {:?} has used a negative amount of {}", user.id, quota_type.as_str()))
    });
    negative.map(|seen| (CollectorDoubt::Negative, seen)).into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(quotas: &[(Option<i64>, Option<i64>)]) -> SubUser {
        let quota = |(limit, used): &(Option<i64>, Option<i64>)| Quota {
            limit: limit.map(Into::into),
            used: used.map(Into::into),
        };
        SubUser { id: "u".to_owned(), quotas: QuotaType::all().zip(quotas.iter().map(quota)).collect() }
    }

    #[test]
    fn the_largest_part_is_that_of_a_quota() {
        let part = |quotas: &[_]| user(quotas).largest_part();
        assert_eq!(part(&[(Some(100), Some(20)), (Some(10), Some(9)), (None, Some(1000))]), Decimal::new(9, 1));
        assert_eq!(part(&[(None, Some(7)), (Some(5), None), (Some(0), Some(0))]), Decimal::ZERO);
        assert_eq!(part(&[(Some(0), Some(1))]), Decimal::MAX);
    }

    #[test]
    fn sums_have_what_is_known() {
        let users = [user(&[(None, Some(5)), (Some(3), None)]), user(&[(Some(7), Some(6))])];
        let [minutes, _] = [0, 1].map(|index| QuotaType::all().nth(index).unwrap());
        assert_eq!(used_by_all(&users).unwrap(), BTreeMap::from([(minutes, Decimal::from(11))]));
        let huge = SubUser { quotas: [(minutes, Quota { limit: None, used: Some(Decimal::MAX) })].into(), ..user(&[]) };
        assert!(used_by_all(&[huge.clone(), huge]).is_err());
        let negative = sub_user_doubts(&[user(&[]), user(&[(None, Some(0)), (Some(1), Some(-1))])]);
        let seen = "the sub-user \"u\" has used a negative amount of video_time_flexus_2d_model";
        assert_eq!(negative, BTreeMap::from([(CollectorDoubt::Negative, seen.to_owned())]));
        assert!(sub_user_doubts(&users).is_empty());
        assert!(QuotaType::all().take(2).all(QuotaType::is_in_minutes));
        assert!(!QuotaType::all().skip(2).any(QuotaType::is_in_minutes));
    }
}
