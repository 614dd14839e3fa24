//! The pay-per-use packages of an account.

use std::{collections::BTreeSet, sync::Arc};

use chrono::{DateTime, TimeDelta, Utc};
use parking_lot::Mutex;
use rust_decimal::Decimal;

use super::{packages::order, source::Source};
use crate::{
    cloud::{
        Error,
        billing_api::{self, ListedPackage, Measures, PackagesQuery},
        lists::PagedList,
    },
    config::Account,
    snapshot::Packages,
    usage::{CollectorDoubt, CollectorDoubts, Package, PackageKind, package_doubts, package_sums},
};

/// The list of units is asked for again after this time.
const KEEP_MEASURES: TimeDelta = TimeDelta::days(1);

/// A line of the log has at most this many codes of services.
const LOGGED_CODES: usize = 50;

/// The account whose packages are collected, and facts that are known about the billing service.
#[derive(Debug)]
pub(super) struct Billing {
    account: Account,
    /// The units, and when they were asked for.
    measures: Mutex<Option<(DateTime<Utc>, Arc<Measures>)>>,
    /// The codes of services that were logged.
    codes: Mutex<BTreeSet<String>>,
}

impl Billing {
    pub fn new(account: Account) -> Self {
        Billing { account, measures: Mutex::default(), codes: Mutex::default() }
    }

    /// Collects the packages outside of enterprise projects, and the packages of each configured enterprise project.
    pub async fn collect(&self, source: Source<'_>) -> Result<(Packages, CollectorDoubts), Error> {
        let Source { mut call, project_id: account_id, now } = source;
        let known =
            self.measures.lock().clone().filter(|(at, _)| (TimeDelta::zero()..KEEP_MEASURES).contains(&(now - *at)));
        let measures = match known {
            Some((_, measures)) => measures,
            None => {
                let measures = Arc::new(billing_api::measures(account_id, &mut call).await?);
                *self.measures.lock() = Some((now, Arc::clone(&measures)));
                measures
            }
        };
        let mut lists = Vec::new();
        let projects = self.account.enterprise_project_ids.iter().map(|id| Some(id.as_str()));
        for enterprise_project in [None].into_iter().chain(projects) {
            let query = PackagesQuery { account_id, enterprise_project };
            lists.push(query.all(&mut call).await?);
        }
        self.log_new_codes(&lists);
        let nothing_kept = self.nothing_kept(&lists);
        lists.iter_mut().for_each(|list| list.retain(|package| self.account.keeps(&package.service_type_code)));
        let united = billing_api::united(lists, &measures);
        let united = united.map_err(|cause| Error::Malformed(format!("a list of packages: {cause}")))?;
        let mut list = without_replaced(united);
        let sums = package_sums(&list)?;
        let mut doubts = package_doubts(&list, &sums);
        doubts.extend(nothing_kept.map(|seen| (CollectorDoubt::FilterMatchesNothing, seen)));
        list.sort_by_cached_key(|package| order(package, now));
        Ok((Packages { list, sums }, doubts))
    }

    /// A text with the codes of services, if there are packages and none belongs to a configured service.
    fn nothing_kept(&self, lists: &[Vec<ListedPackage>]) -> Option<String> {
        let codes: BTreeSet<&str> = lists.iter().flatten().map(|package| package.service_type_code.as_str()).collect();
        if codes.is_empty() || codes.iter().any(|code| self.account.keeps(code)) {
            return None;
        }
        let shown: Vec<&str> = codes.into_iter().take(LOGGED_CODES).collect();
        Some(format!("the account has packages, but only of other services: {}", shown.join(" ")))
    }

    /// Logs each code of a service once. The code of MetaStudio is not documented, so the log shows whether the filter
    /// fits.
    fn log_new_codes(&self, lists: &[Vec<ListedPackage>]) {
        let mut known = self.codes.lock();
        let codes: BTreeSet<&str> = lists.iter().flatten().map(|package| package.service_type_code.as_str()).collect();
        let new: Vec<&str> = codes.into_iter().filter(|code| !known.contains(*code)).collect();
        if new.is_empty() {
            return;
        }
        let kept = new.iter().filter(|code| self.account.keeps(code)).count();
        let shown: Vec<&str> = new.iter().copied().take(LOGGED_CODES).collect();
        let (account, codes) = (&self.account.name, shown.join(" "));
        tracing::info!(
            account,
            codes,
            kept,
            "the account has packages of these services; service_types says which are kept"
        );
        known.extend(new.into_iter().map(str::to_owned));
    }
}

/// Leaves a used-up package out while another one of its kind has something left. The service lists a used-up package
/// until it ends, but such a package is no reason to buy more. An overrun stays, because it may be billed on demand. A
/// used-up package also stays if only another product has something left: the product decides what the minutes are for.
fn without_replaced(mut all: Vec<Package>) -> Vec<Package> {
    let has_left = |package: &&Package| package.left().is_some_and(|left| left > Decimal::ZERO);
    let remaining = all.iter().filter(has_left).filter(|package| !package.is_resettable);
    let remaining: BTreeSet<PackageKind> = remaining.map(|package| package.kind.clone()).collect();
    let is_replaced = |package: &Package| {
        !package.is_resettable && package.left() == Some(Decimal::ZERO) && remaining.contains(&package.kind)
    };
    all.retain(|package| !is_replaced(package));
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::usage::Unit;

    fn package(id: &str, region: &str, used: i64) -> Package {
        Package {
            id: id.to_owned(),
            kind: PackageKind {
                product_id: "video".to_owned(),
                region: region.to_owned(),
                unit: Unit::Minutes,
                ..PackageKind::default()
            },
            is_part: false,
            bought: Some(10.into()),
            used: Some(used.into()),
            expiry: None,
            is_frozen: false,
            is_resettable: false,
        }
    }

    fn shown(all: Vec<Package>) -> Vec<String> {
        without_replaced(all).into_iter().map(|package| package.id).collect()
    }

    #[test]
    fn a_used_up_package_is_shown_until_another_one_has_something_left() {
        let (old, new) = (package("old", "r", 10), package("new", "r", 1));
        assert_eq!(shown(vec![old.clone(), package("older", "r", 10)]), ["old", "older"], "nothing is left");
        assert_eq!(shown(vec![old.clone(), new.clone()]), ["new"]);
        let overrun = package("overrun", "r", 11);
        assert_eq!(shown(vec![overrun, old.clone(), new.clone()]), ["overrun", "new"], "an overrun is always shown");
        let pieces = PackageKind { unit: Unit::Other("pieces".to_owned()), ..new.kind.clone() };
        let live = PackageKind { product_id: "live".to_owned(), ..new.kind.clone() };
        let of_kind = |kind| Package { kind, ..new.clone() };
        for other in [package("new", "another", 1), of_kind(pieces), of_kind(live)] {
            let kind = other.kind.clone();
            assert_eq!(shown(vec![old.clone(), other]), ["old", "new"], "{kind:?} is for something else");
        }
        let resettable = Package { is_resettable: true, ..new };
        assert_eq!(shown(vec![old.clone(), resettable.clone()]), ["old", "new"], "it has something left only now");
        let full = Package { used: Some(10.into()), ..resettable };
        assert_eq!(shown(vec![full, package("b", "r", 0)]), ["new", "b"], "it becomes full again");
    }
}
