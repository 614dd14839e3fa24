//! Packages as bars.

use rust_decimal::{Decimal, prelude::ToPrimitive};

use super::{
    budget::{Level, UsedBar, WARNING},
    clock::LocalClock,
    number::{grouped, percent},
    texts::Texts,
};
use crate::{
    snapshot::{Found, Moment, ProjectStatus},
    usage::{Package, PackageKind, Readings, Unit},
};

/// Maximum number of packages on a card. Packages that end in the future come first, the earliest end first.
const SHOWN: usize = 10;

/// The packages of a project.
#[derive(Default)]
pub(super) struct ShownPackages {
    pub bars: Vec<PackageBar>,
    /// Number of further packages.
    pub further: usize,
}

/// A package as a bar.
pub(super) struct PackageBar {
    pub id: String,
    /// Type of business, product and region of the package.
    pub kind: String,
    pub used: String,
    pub bought: String,
    pub unit: String,
    /// The amount that is left, the end, the time until it is used up at this pace, and whether it is frozen.
    pub notes: Vec<String>,
    pub level: Level,
    pub bar: UsedBar,
}

impl ShownPackages {
    /// The packages of the last complete run, even if they are stale.
    pub fn of(project: &ProjectStatus, clock: &LocalClock<'_>, texts: &Texts, now: Moment) -> Self {
        let collector = project.target.package_collector();
        let Some(status) = project.collectors.get(&collector) else { return Self::default() };
        let Some((_, found)) = &status.found else { return Self::default() };
        let Found::Packages(packages) = &**found else { return Self::default() };
        let is_old = project.found_at(collector, now).is_none();
        let bar = |package: &Package| {
            let readings = status.readings.get(&(package.id.clone(), package.kind.clone()));
            PackageBar::new(package, readings, is_old, clock, texts)
        };
        let mut bars: Vec<_> = packages.list.iter().filter_map(bar).collect();
        let further = bars.len().saturating_sub(SHOWN);
        bars.truncate(SHOWN);
        ShownPackages { bars, further }
    }
}

impl PackageBar {
    /// `None` for a part of a bundle, and for a row without a bought or used amount. A row without a bought amount is
    /// billed on demand. If `is_old`, the metrics no longer have the package.
    fn new(
        package: &Package,
        readings: Option<&Readings>,
        is_old: bool,
        clock: &LocalClock<'_>,
        texts: &Texts,
    ) -> Option<Self> {
        let (bought, used, left) = (package.bought?, package.used?, package.left()?);
        let (part, whole) = (used.to_f64()?, bought.to_f64().filter(|bought| *bought > 0.0)?);
        let share = part / whole;
        let lasts = readings.and_then(|readings| readings.lasts(left)).filter(|_| left > Decimal::ZERO);
        let runs_out = lasts.filter(|lasts| package.expiry.is_none_or(|end| *lasts < end - clock.now));
        let unit = match &package.kind.unit {
            Unit::Other(unit) => unit.as_str(),
            Unit::Minutes | Unit::Hours => texts.minutes,
        };
        let end = package.expiry.map(|end| texts.end(&clock.time(end).text, end - clock.now));
        let notes = [
            package.is_frozen.then(|| texts.frozen.to_owned()),
            package.is_resettable.then(|| texts.of_this_period.to_owned()),
            Some(texts.left(&format!("{} {unit}", grouped(left.normalize())))),
            runs_out.map(|lasts| texts.used_up_in(lasts)),
            end,
        ];
        let PackageKind { business_type, resource_type, product_id, region, .. } = &package.kind;
        let product = resource_type.rsplit("metastudio.").next().unwrap_or_default();
        let kind = [business_type, product, product_id, region].into_iter().filter(|part| !part.is_empty());
        Some(PackageBar {
            id: package.id.clone(),
            kind: kind.collect::<Vec<_>>().join(" · "),
            used: grouped(used.normalize()),
            bought: grouped(bought.normalize()),
            unit: unit.to_owned(),
            notes: notes.into_iter().flatten().collect(),
            level: match share {
                _ if is_old => Level::Old,
                _ if package.is_frozen => Level::Spent,
                1.0.. => Level::Spent,
                WARNING.. => Level::Near,
                _ if runs_out.is_some() => Level::Near,
                _ => Level::Fine,
            },
            bar: UsedBar::new(share, percent(part, whole), None),
        })
    }
}
