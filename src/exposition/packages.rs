//! The table of the metric families of packages.

use rust_decimal::Decimal;

use super::{
    family::{Family, ProjectView, gauge, seconds},
    lines::Lines,
};
use crate::{
    snapshot::{Found, Packages},
    usage::{Package, PackageKind, PackageSums, Unit, nearest},
};

/// The families of packages.
pub(super) static FAMILIES: &[Family] = &[
    gauge(
        "metastudio_packages",
        "Packages by kind, as of the last complete run of the collector. Parts of bundles, packages that become full again, \
         and packages without a bought or used amount are left out.",
        |lines, view| {
            each_sum(view, |kind, sums| lines.count(labels(view, kind).chain([("unit", unit(kind))]), sums.packages))
        },
    )
    .of_accounts(),
    gauge(
        "metastudio_packages_bought_minutes",
        "Bought minutes of the packages of this kind.",
        |lines, view| sums(lines, view, true, |sums| sums.bought),
    )
    .unit("minutes")
    .of_accounts(),
    gauge("metastudio_packages_used_minutes", "Minutes of these packages that are used.", |lines, view| {
        sums(lines, view, true, |sums| sums.used);
    })
    .unit("minutes")
    .of_accounts(),
    gauge(
        "metastudio_packages_left_minutes",
        "Minutes of these packages that are left and can be used: without frozen packages. Negative is overrun.",
        |lines, view| sums(lines, view, true, |sums| sums.left),
    )
    .unit("minutes")
    .of_accounts(),
    gauge(
        "metastudio_packages_bought",
        "Bought amount of the packages of this kind, in a unit other than time.",
        |lines, view| sums(lines, view, false, |sums| sums.bought),
    )
    .of_accounts(),
    gauge("metastudio_packages_used", "Used amount of these packages, in a unit other than time.", |lines, view| {
        sums(lines, view, false, |sums| sums.used);
    })
    .of_accounts(),
    gauge(
        "metastudio_packages_left",
        "Amount of these packages that is left and can be used, in a unit other than time. Negative is overrun.",
        |lines, view| sums(lines, view, false, |sums| sums.left),
    )
    .of_accounts(),
    gauge("metastudio_package_bought_minutes", "Bought minutes of the package.", |lines, view| {
        amounts(lines, view, true, |package| package.bought);
    })
    .unit("minutes")
    .of_accounts(),
    gauge("metastudio_package_used_minutes", "Minutes of the package that are used.", |lines, view| {
        amounts(lines, view, true, |package| package.used);
    })
    .unit("minutes")
    .of_accounts(),
    gauge(
        "metastudio_package_left_minutes",
        "Minutes of the package that are left. Negative is overrun. Absent for a part of a bundle.",
        |lines, view| amounts(lines, view, true, Package::left),
    )
    .unit("minutes")
    .of_accounts(),
    gauge(
        "metastudio_package_bought",
        "Bought amount of the package, in a unit other than time.",
        |lines, view| amounts(lines, view, false, |package| package.bought),
    )
    .of_accounts(),
    gauge("metastudio_package_used", "Used amount of the package, in a unit other than time.", |lines, view| {
        amounts(lines, view, false, |package| package.used);
    })
    .of_accounts(),
    gauge(
        "metastudio_package_left",
        "Amount of the package that is left, in a unit other than time. Negative is overrun.",
        |lines, view| amounts(lines, view, false, Package::left),
    )
    .of_accounts(),
    gauge(
        "metastudio_package_expiry_timestamp_seconds",
        "Unix time at which the package ends. Absent if no end is known.",
        |lines, view| {
            for package in packages(view) {
                if let Some(expiry) = package.expiry {
                    lines.sample(of_package(view, package), seconds(expiry));
                }
            }
        },
    )
    .unit("seconds")
    .of_accounts(),
    gauge("metastudio_package_frozen", "Whether the package is frozen, so that it cannot be used.", |lines, view| {
        for package in packages(view) {
            lines.count(of_package(view, package), u64::from(package.is_frozen));
        }
    })
    .of_accounts(),
];

fn is_in_minutes(kind: &PackageKind) -> bool {
    !matches!(kind.unit, Unit::Other(_))
}

fn found<'a>(view: &ProjectView<'a>) -> Option<&'a Packages> {
    match view.found(view.project.target.package_collector())? {
        Found::Packages(found) => Some(found),
        _ => None,
    }
}

/// The packages with series of their own.
fn packages<'a>(view: &ProjectView<'a>) -> impl Iterator<Item = &'a Package> + use<'a> {
    found(view).into_iter().flat_map(|found| &found.list).take(view.project.target.package_series)
}

/// Writes one amount of each package: if `in_minutes`, of packages in minutes, otherwise of packages in other units.
fn amounts(lines: &mut Lines<'_>, view: &ProjectView<'_>, in_minutes: bool, amount: fn(&Package) -> Option<Decimal>) {
    for package in packages(view).filter(|package| is_in_minutes(&package.kind) == in_minutes) {
        if let Some(amount) = amount(package) {
            lines.sample(of_package(view, package).chain(other_unit(&package.kind)), nearest(amount));
        }
    }
}

fn each_sum(view: &ProjectView<'_>, mut write: impl FnMut(&PackageKind, &PackageSums)) {
    let sums = found(view).into_iter().flat_map(|found| &found.sums);
    sums.for_each(|(kind, sums)| write(kind, sums));
}

/// Writes one sum of each kind of package: if `in_minutes`, of kinds in minutes, otherwise of kinds in other units.
fn sums(lines: &mut Lines<'_>, view: &ProjectView<'_>, in_minutes: bool, amount: fn(&PackageSums) -> Decimal) {
    each_sum(view, |kind, sums| {
        if is_in_minutes(kind) == in_minutes {
            lines.sample(labels(view, kind).chain(other_unit(kind)), nearest(amount(sums)));
        }
    });
}

fn of_package<'a>(view: &ProjectView<'_>, package: &'a Package) -> impl Iterator<Item = (&'a str, &'a str)> + use<'a> {
    let resettable = if package.is_resettable { "true" } else { "" };
    let own = [("package", package.id.as_str()), ("resettable", resettable)];
    own.into_iter().chain(labels(view, &package.kind))
}

fn labels<'a>(view: &ProjectView<'_>, kind: &'a PackageKind) -> impl Iterator<Item = (&'a str, &'a str)> + use<'a> {
    let PackageKind {
        resource_type,
        business_type,
        sub_resource_type,
        charging_mode,
        resource_source,
        product_id,
        region,
        unit: _,
    } = kind;
    let labels = [
        ("collector", view.project.target.package_collector().as_str()),
        ("resource_type", resource_type),
        ("business_type", business_type),
        ("sub_resource_type", sub_resource_type),
        ("charging_mode", charging_mode),
        ("resource_source", resource_source),
        ("product_id", product_id),
        ("region", region),
    ];
    labels.into_iter()
}

/// The label of a unit other than minutes. Minutes have no label, because they are in the name of the metric.
fn other_unit(kind: &PackageKind) -> Option<(&str, &str)> {
    Some(("unit", unit(kind))).filter(|_| !is_in_minutes(kind))
}

fn unit(kind: &PackageKind) -> &str {
    match &kind.unit {
        Unit::Minutes => "MIN",
        Unit::Hours => "HOUR",
        Unit::Other(unit) => unit,
    }
}
