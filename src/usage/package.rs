//! Packages: the bought or allocated amount, the used amount, and the end.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use rust_decimal::Decimal;

use super::{
    collector_doubt::{CollectorDoubt, CollectorDoubts},
    row::{Overflow, Unit},
    session::ChargingMode,
};

/// A package, or the part of a bundle (contract, 12 and 17).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Package {
    /// The API's `resource_id`, or the `order_instance_id` of the billing service.
    pub id: String,
    /// Its kind. Only packages of one kind are added up.
    pub kind: PackageKind,
    /// Whether it is a part of a bundle. A part repeats what its bundle holds, so it is in no sum (contract, 12).
    pub is_part: bool,
    /// The bought amount, in the unit of the kind; `None` if there is none, because the row is billed on demand.
    pub bought: Option<Decimal>,
    /// The used amount, in the unit of the kind. It may be more than the bought amount.
    pub used: Option<Decimal>,
    /// When it ends; `None` if no end is known.
    pub expiry: Option<DateTime<Utc>>,
    /// Whether it cannot be used now.
    pub is_frozen: bool,
    /// Whether the package becomes full again after a period. Its amounts are then those of one period.
    pub is_resettable: bool,
}

/// The properties that packages must share to be added up. Standard and Flexus minutes stay separate, and so do
/// sources: each is deducted from its own packages.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct PackageKind {
    /// The code of the product, such as `hws.resource.type.metastudio.avatarmodeling.videopacket`, or the code of the
    /// service in the billing service.
    pub resource_type: String,
    /// The type of business; one product can have packages of several types.
    pub business_type: String,
    /// The part of a bundle; empty for anything else.
    pub sub_resource_type: String,
    /// `PERIODIC`, `ONE_TIME` or `ON_DEMAND`.
    pub charging_mode: String,
    /// `PURCHASED`, `SP_ALLOCATED` or `ADMIN_ALLOCATED`.
    pub resource_source: String,
    /// The id of the product in the billing service; empty for a package of a project.
    pub product_id: String,
    /// The region in which a package of an account is valid; empty for a package of a project.
    pub region: String,
    /// The unit of its amounts; hours are converted to minutes. Only the unit shows whether amounts are minutes: the
    /// amount of a 60-minute package may be a number of packages (contract, 12).
    pub unit: Unit,
}

/// Amounts in one unit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PackageSums {
    /// Number of packages.
    pub packages: u64,
    /// The bought amount.
    pub bought: Decimal,
    /// The used amount.
    pub used: Decimal,
    /// The amount that is left in packages that are not frozen. Negative is overrun.
    pub left: Decimal,
}

impl Package {
    /// The amount that is left; negative if more was used than bought. `None` for a part of a bundle, or if the bought
    /// or the used amount is not known.
    pub fn left(&self) -> Option<Decimal> {
        if self.is_part { None } else { self.bought?.checked_sub(self.used?) }
    }
}

/// The sums of the packages of each kind. Parts of bundles and rows that lack an amount are left out. A row without a
/// bought amount is billed on demand and is no package. Packages that become full again are left out, too, because
/// their amounts are those of one period.
///
/// # Errors
/// If a sum is beyond the range of decimals.
pub fn package_sums(packages: &[Package]) -> Result<BTreeMap<PackageKind, PackageSums>, Overflow> {
    let mut sums: BTreeMap<PackageKind, PackageSums> = BTreeMap::new();
    for package in packages.iter().filter(|package| !package.is_part && !package.is_resettable) {
        let (Some(bought), Some(used)) = (package.bought, package.used) else { continue };
        let sum = sums.entry(package.kind.clone()).or_default();
        sum.packages += 1;
        sum.bought = sum.bought.checked_add(bought).ok_or(Overflow)?;
        sum.used = sum.used.checked_add(used).ok_or(Overflow)?;
        if !package.is_frozen {
            let left = package.left().ok_or(Overflow)?;
            sum.left = sum.left.checked_add(left).ok_or(Overflow)?;
        }
    }
    Ok(sums)
}

/// The doubts about these packages. `sums` are the sums of these packages.
pub fn package_doubts(packages: &[Package], sums: &BTreeMap<PackageKind, PackageSums>) -> CollectorDoubts {
    // Rows that are billed on demand have no bought amount, and parts are in no sum (contract, 12).
    let is_counted = |package: &&Package| {
        !package.is_part && ChargingMode::from_api(&package.kind.charging_mode) != ChargingMode::OnDemand
    };
    let counted = || packages.iter().filter(is_counted);
    let missing = counted().find_map(|package| match (package.bought, package.used) {
        (Some(_), None) => Some((package, "used")),
        (None, _) if sums.contains_key(&package.kind) => Some((package, "bought")),
        _ => None,
    });
    let without_unit = counted().find(|package| package.bought.is_some() && package.kind.unit.is_unknown());
    let is_negative = |amount: Option<Decimal>| amount.is_some_and(|amount| amount < Decimal::ZERO);
    let negative = counted().find(|package| is_negative(package.bought) || is_negative(package.used));
    let mut doubts = CollectorDoubts::new();
    if let Some((Package { id, .. }, which)) = missing {
        doubts.insert(CollectorDoubt::ValueMissing, format!("the package {id} has no {which} amount"));
    }
    if let Some(Package { id, .. }) = without_unit {
        doubts.insert(
            CollectorDoubt::UnknownUnit,
            format!("the package {id} has no unit, or one that the service does not list"),
        );
    }
    if let Some(Package { id, .. }) = negative {
        doubts.insert(CollectorDoubt::Negative, format!("the package {id} has a negative amount"));
    }
    doubts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn package(bought: Option<i64>, used: Option<i64>) -> Package {
        Package {
            id: "r".to_owned(),
            kind: PackageKind { unit: Unit::Minutes, ..PackageKind::default() },
            is_part: false,
            bought: bought.map(Decimal::from),
            used: used.map(Decimal::from),
            expiry: None,
            is_frozen: false,
            is_resettable: false,
        }
    }

    #[test]
    fn what_is_left_is_not_clamped_and_only_known_if_both_amounts_are() {
        let left = |bought, used| package(bought, used).left();
        assert_eq!(left(Some(10), Some(12)), Some(Decimal::from(-2)));
        assert_eq!([left(None, Some(1)), left(Some(1), None)], [None, None]);
        assert_eq!(Package { is_part: true, ..package(Some(10), Some(1)) }.left(), None);
    }

    #[test]
    fn parts_resettable_and_on_demand_rows_are_in_no_sum_and_frozen_packages_are_not_left() {
        let packages = [
            package(Some(10), Some(12)),
            package(Some(100), Some(1)),
            package(None, Some(7)),
            Package { is_part: true, ..package(Some(5), Some(5)) },
            Package { is_resettable: true, ..package(Some(9), Some(3)) },
            Package { is_frozen: true, ..package(Some(50), Some(20)) },
            Package { kind: PackageKind::default(), ..package(Some(3), Some(0)) },
        ];
        let sums = package_sums(&packages).unwrap();
        let sum = |packages, bought: i64, used: i64, left: i64| PackageSums {
            packages,
            bought: bought.into(),
            used: used.into(),
            left: left.into(),
        };
        let minutes = PackageKind { unit: Unit::Minutes, ..PackageKind::default() };
        let expected = [(minutes, sum(3, 160, 33, 97)), (PackageKind::default(), sum(1, 3, 0, 3))];
        assert_eq!(sums, BTreeMap::from(expected));
    }

    fn doubts(packages: &[Package]) -> Vec<String> {
        let doubts = package_doubts(packages, &package_sums(packages).unwrap());
        doubts.into_iter().map(|(doubt, seen)| format!("{doubt}: {seen}")).collect()
    }

    #[test]
    fn a_package_without_an_amount_that_others_of_its_kind_have_is_doubted() {
        let sound = package(Some(10), Some(12));
        let named = |id: &str, package: Package| Package { id: id.to_owned(), ..package };
        let empty = Vec::<String>::new();
        assert_eq!(doubts(&[sound.clone(), package(Some(-0), Some(0))]), empty);
        let unused = named("unused", package(Some(5), None));
        assert_eq!(doubts(std::slice::from_ref(&unused)), ["value_missing: the package unused has no used amount"]);
        let unbought = named("unbought", package(None, Some(3)));
        assert_eq!(doubts(std::slice::from_ref(&unbought)), empty, "its kind may have no amounts");
        assert_eq!(
            doubts(&[sound.clone(), unbought.clone()]),
            ["value_missing: the package unbought has no bought amount"]
        );
        for mode in ["ON_DEMAND", "ONDEMAND"] {
            let on_demand = |mut package: Package| {
                package.kind.charging_mode = mode.to_owned();
                package
            };
            let rows = [on_demand(sound.clone()), on_demand(unbought.clone()), on_demand(unused.clone())];
            assert_eq!(doubts(&rows), empty, "{mode}");
        }
        assert_eq!(doubts(&[sound, Package { is_part: true, ..unused }]), empty, "parts are in no sum");
    }

    #[test]
    fn a_package_without_a_unit_or_with_a_negative_amount_is_doubted() {
        let without_unit = Package { kind: PackageKind::default(), ..package(Some(1), Some(0)) };
        assert_eq!(
            doubts(std::slice::from_ref(&without_unit)),
            ["unknown_unit: the package r has no unit, or one that the service does not list"]
        );
        let unlisted = Package {
            kind: PackageKind { unit: Unit::of_unknown_id(7), ..PackageKind::default() },
            ..without_unit.clone()
        };
        assert_eq!(doubts(std::slice::from_ref(&unlisted)), doubts(std::slice::from_ref(&without_unit)));
        assert_eq!(doubts(&[Package { bought: None, ..without_unit }]), Vec::<String>::new());
        for negative in [package(Some(-1), Some(0)), package(Some(1), Some(-1)), package(None, Some(-1))] {
            assert_eq!(
                doubts(std::slice::from_ref(&negative)),
                ["negative: the package r has a negative amount"],
                "{negative:?}"
            );
        }
    }
}
