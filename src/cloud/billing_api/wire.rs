//! Reads the JSON of ListFreeResourceInfos.
//!
//! Here `amount` is the amount that is left. In ListTenantResources, `amount` is the amount that was bought. So the two
//! share no struct.

use std::{cell::Cell, collections::BTreeSet, marker::PhantomData};

use chrono::{DateTime, Utc};
use rust_decimal::Decimal;
use serde::de::{IgnoredAny, MapAccess};

use super::measures::Measures;
use crate::{
    cloud::{
        json::{Entries, JsonFields, Raw, Unreadable, decimal, field, instant, integer, json_object, once, string},
        listing::{Entry, ListRow},
        secrets::Secrets,
    },
    usage::{Package, PackageKind},
};

/// A row of the list: a package of any service of the account.
#[derive(Debug, PartialEq)]
pub struct ListedPackage {
    id: String,
    product_id: String,
    free_resource_ids: Vec<String>,
    /// The code of the service, such as `hws.service.type.obs`; empty if there is none.
    pub service_type_code: String,
    /// `Err` if a value cannot be read. It becomes an error only if packages of this service are exported.
    details: Result<Details, Unreadable>,
}

#[derive(Debug, PartialEq)]
struct Details {
    status: Status,
    region: String,
    expiry: Option<DateTime<Utc>>,
    is_resettable: bool,
    /// The contents of the package: one resource for each kind of usage.
    resources: Vec<Resource>,
}

/// The states of a package (contract, 17).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Status {
    NotYetEffective,
    InEffect,
    UsedUp,
    Expired,
    Unsubscribed,
}

#[derive(Debug, PartialEq)]
struct Resource {
    left: Decimal,
    bought: Decimal,
    measure: i64,
}

/// The id of an order, and the id of a resource in it.
type ResourceId = (String, String);

/// The packages of these lists, one for each kind of usage. The lists of two enterprise projects can have a package in
/// common, which counts once. If several resources have the same order, the id of each package is `ORDER/RESOURCE`.
///
/// # Errors
/// If a value cannot be read, if an amount is beyond the range of decimals, or if one list has a resource twice.
pub fn united(lists: Vec<Vec<ListedPackage>>, measures: &Measures) -> Result<Vec<Package>, Unreadable> {
    // Packages that are not exported count, too. So the id of a package does not change when another package of its
    // order ends.
    let ids: BTreeSet<ResourceId> = lists.iter().flatten().flat_map(ListedPackage::resource_ids).collect();
    let is_alone = |order: &str| {
        let following = ids.range((order.to_owned(), String::new())..);
        following.take_while(|(other, _)| other == order).count() == 1
    };
    let mut known = BTreeSet::new();
    let mut all = Vec::new();
    for list in lists {
        let mut of_list = BTreeSet::new();
        for row in list {
            for ((order, resource), mut package) in row.packages(measures)? {
                let id = (order, resource);
                let (order, resource) = &id;
                if of_list.contains(&id) {
                    return Err(Unreadable(format!("the resource {resource} of the package {order} is there twice")));
                }
                if !is_alone(order) {
                    package.id = format!("{order}/{resource}");
                }
                if !known.contains(&id) {
                    all.push(package);
                }
                of_list.insert(id);
            }
        }
        known.append(&mut of_list);
    }
    Ok(all)
}

impl ListedPackage {
    /// Whether it is used up.
    pub fn is_used_up(&self) -> bool {
        self.details.as_ref().is_ok_and(|details| details.status == Status::UsedUp)
    }

    /// Whether it has ended.
    pub fn has_ended(&self) -> bool {
        self.details.as_ref().is_ok_and(|details| details.status == Status::Expired)
    }

    fn resource_ids(&self) -> impl Iterator<Item = ResourceId> {
        self.free_resource_ids.iter().map(|resource| (self.id.clone(), resource.clone()))
    }

    /// The packages of this row, one for each kind of usage. Empty if the row is not yet in effect, has expired or was
    /// unsubscribed.
    fn packages(self, measures: &Measures) -> Result<Vec<(ResourceId, Package)>, Unreadable> {
        let ListedPackage { id, product_id, free_resource_ids, service_type_code, details } = self;
        let Details { status, region, expiry, is_resettable, resources } = details?;
        match status {
            Status::InEffect | Status::UsedUp => {}
            Status::NotYetEffective | Status::Expired | Status::Unsubscribed => return Ok(Vec::new()),
        }
        let package = |(resource_id, Resource { left, bought, measure }): (String, Resource)| {
            let amount = |amount| {
                let too_large = || Unreadable("an amount is beyond the range of decimals".to_owned());
                measures.amount(measure, amount).ok_or_else(too_large)
            };
            let (bought, left) = (amount(bought)?, amount(left)?);
            let package = Package {
                id: id.clone(),
                kind: PackageKind {
                    resource_type: service_type_code.clone(),
                    product_id: product_id.clone(),
                    region: region.clone(),
                    unit: measures.unit(measure),
                    ..PackageKind::default()
                },
                is_part: false,
                bought: Some(bought),
                used: bought.checked_sub(left),
                expiry,
                is_frozen: false,
                is_resettable,
            };
            Ok(((id.clone(), resource_id), package))
        };
        free_resource_ids.into_iter().zip(resources).map(package).collect()
    }
}

#[derive(Default)]
pub(super) struct PackageJson<'a> {
    order_instance_id: Option<Raw<'a>>,
    product_id: Option<Raw<'a>>,
    expire_time: Option<Raw<'a>>,
    status: Option<Raw<'a>>,
    service_type_code: Option<Raw<'a>>,
    region_code: Option<Raw<'a>>,
    quota_reuse_mode: Option<Raw<'a>>,
    free_resources: Option<Option<Vec<ResourceJson<'a>>>>,
}

impl<'de> JsonFields<'de> for PackageJson<'de> {
    /// Other fields are not read. Some of them are names, which depend on the language that is asked for.
    fn read<A: MapAccess<'de>>(mut object: A, free: &Cell<usize>) -> Result<Self, A::Error> {
        let mut row = PackageJson::default();
        while let Some(name) = object.next_key::<String>()? {
            let field = match name.as_str() {
                "order_instance_id" => &mut row.order_instance_id,
                "product_id" => &mut row.product_id,
                "expire_time" => &mut row.expire_time,
                "status" => &mut row.status,
                "service_type_code" => &mut row.service_type_code,
                "region_code" => &mut row.region_code,
                "quota_reuse_mode" => &mut row.quota_reuse_mode,
                "free_resources" => {
                    once(&mut row.free_resources, object.next_value_seed(Entries(free, PhantomData))?)?;
                    continue;
                }
                _ => {
                    object.next_value::<IgnoredAny>()?;
                    continue;
                }
            };
            once(field, object.next_value()?)?;
        }
        Ok(row)
    }
}

json_object! {
    struct ResourceJson<'a> {
        free_resource_id: Raw<'a>,
        amount: Raw<'a>,
        original_amount: Raw<'a>,
        measure_id: Raw<'a>,
    }
}

impl<'de> ListRow<'de> for PackageJson<'de> {
    type Entry = ListedPackage;

    const LIST: &'static str = "free_resource_packages";

    const COUNT: &'static str = "total_count";

    fn entry(self, secrets: &Secrets) -> Result<ListedPackage, Unreadable> {
        let text = |name, raw| -> Result<String, Unreadable> {
            Ok(field(name, raw, string)?.map_or_else(String::new, |text| secrets.label(text).into_owned()))
        };
        let id = text("order_instance_id", self.order_instance_id.flatten())?;
        if id.is_empty() {
            return Err(Unreadable("it has no order_instance_id".to_owned()));
        }
        let resources = self.free_resources.flatten().unwrap_or_default();
        let ids = resources.iter().map(|resource| text("free_resource_id", resource.free_resource_id));
        let free_resource_ids = ids.collect::<Result<Vec<_>, _>>()?;
        let has_ids = free_resource_ids.iter().all(|id| !id.is_empty());
        let details = || {
            if !has_ids {
                return Err(Unreadable(format!("a resource of the package {id} has no free_resource_id")));
            }
            Ok(Details {
                status: status(self.status.flatten())?,
                region: text("region_code", self.region_code.flatten())?,
                expiry: field("expire_time", self.expire_time.flatten(), instant)?.flatten(),
                is_resettable: field("quota_reuse_mode", self.quota_reuse_mode.flatten(), integer)? == Some(1),
                resources: resources.iter().map(resource).collect::<Result<_, _>>()?,
            })
        };
        let details = details();
        Ok(ListedPackage {
            product_id: text("product_id", self.product_id.flatten())?,
            free_resource_ids,
            service_type_code: text("service_type_code", self.service_type_code.flatten())?,
            details,
            id,
        })
    }
}

fn status(raw: Raw<'_>) -> Result<Status, Unreadable> {
    match required("status", raw, integer)? {
        0 => Ok(Status::NotYetEffective),
        1 => Ok(Status::InEffect),
        2 => Ok(Status::UsedUp),
        3 => Ok(Status::Expired),
        4 => Ok(Status::Unsubscribed),
        other => Err(Unreadable(format!("a package has the status {other}, which is not known"))),
    }
}

fn resource(json: &ResourceJson<'_>) -> Result<Resource, Unreadable> {
    Ok(Resource {
        left: required("amount", json.amount, decimal)?,
        bought: required("original_amount", json.original_amount, decimal)?,
        measure: required("measure_id", json.measure_id, integer)?,
    })
}

/// Reads a value that must be there: without it, it is not known how much of the package can be used.
fn required<'a, T>(name: &str, raw: Raw<'a>, read: impl FnOnce(&'a str) -> Option<T>) -> Result<T, Unreadable> {
    field(name, raw, read)?.ok_or_else(|| Unreadable(format!("a package has no {name}")))
}

impl Entry for ListedPackage {
    const PLURAL: &'static str = "packages";

    const LIMIT: usize = 1_000;

    const MAX_OBJECTS: usize = 10 * Self::LIMIT;

    /// Packages of all services stay listed for 18 months after their end.
    const MAX_ENTRIES: usize = 20_000;

    type Key = (String, String, Vec<String>);

    fn key(&self) -> Self::Key {
        (self.id.clone(), self.product_id.clone(), self.free_resource_ids.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{cloud::listing::ListPage, usage::Unit};

    fn parse(body: &str, secrets: &Secrets) -> Result<ListPage<ListedPackage>, Unreadable> {
        ListPage::read::<PackageJson<'_>>(body.as_bytes(), secrets)
    }

    fn measures() -> Measures {
        let body =
            br#"{"measure_units":[{"measure_id":6,"measure_name":"Minute"},{"measure_id":4,"measure_name":"Hour"}]}"#;
        Measures::parse(body, &Secrets::default()).unwrap()
    }

    /// A row with the fields `package`, and with one resource with the fields `resource`.
    fn row(package: &str, resource: &str) -> String {
        format!(
            r#"{{"order_instance_id":"o","product_id":"p","service_type_code":"hws.service.type.metastudio",{package},
                "free_resources":[{{"free_resource_id":"f",{resource}}}]}}"#
        )
    }

    const SOUND: &str = r#""amount":"1","original_amount":"2","measure_id":6"#;

    /// The packages of lists with these rows.
    fn read_lists(lists: &[&str]) -> Result<Vec<Package>, Unreadable> {
        let page = |rows: &&str| parse(&format!(r#"{{"free_resource_packages":[{rows}]}}"#), &Secrets::default());
        let pages = lists.iter().map(page).collect::<Result<Vec<_>, _>>()?;
        united(pages.into_iter().map(|page| page.entries).collect(), &measures())
    }

    fn read(row: &str) -> Result<Vec<Package>, Unreadable> {
        read_lists(&[row])
    }

    /// A row in effect, with this order and these resources.
    fn row_of(order: &str, resources: &[&str]) -> String {
        let resource = |id: &&str| format!(r#"{{"free_resource_id":"{id}",{SOUND}}}"#);
        let resources: Vec<String> = resources.iter().map(resource).collect();
        let resources = resources.join(",");
        format!(r#"{{"order_instance_id":"{order}","product_id":"p","status":1,"free_resources":[{resources}]}}"#)
    }

    fn ids(lists: &[&str]) -> Vec<String> {
        read_lists(lists).unwrap().into_iter().map(|package| package.id).collect()
    }

    #[test]
    fn reads_the_example_of_the_contract() {
        let body = r#"{"total_count":1,"free_resource_packages":[{"order_instance_id":"01154-000000000-0","product_id":"OFFI000000000000000000","product_name":"Video production 1000 min","effective_time":"2025-09-10T08:00:00Z","expire_time":"2026-09-10T15:59:59Z","status":1,"service_type_code":"hws.service.type.metastudio","region_code":"cn-north-4","bundle_type":"ATOMIC_PKG","quota_reuse_mode":2,"free_resources":[{"free_resource_id":"f1","usage_type_name":"duration","amount":"12.123456789012345678","original_amount":"1000","measure_id":6}]}]}"#;
        let page = parse(body, &Secrets::default()).unwrap();
        assert_eq!(page.count, Some(1));
        let mut packages = united(vec![page.entries], &measures()).unwrap();
        let package = packages.remove(0);
        assert_eq!(package.id, "01154-000000000-0");
        assert_eq!(package.left().unwrap().to_string(), "12.123456789012345678", "amount is what is left");
        assert_eq!(package.used.unwrap().to_string(), "987.876543210987654322");
        assert_eq!(package.bought, Some(1000.into()));
        assert_eq!(package.expiry.unwrap().to_rfc3339(), "2026-09-10T15:59:59+00:00");
        let kind = PackageKind {
            resource_type: "hws.service.type.metastudio".to_owned(),
            product_id: "OFFI000000000000000000".to_owned(),
            region: "cn-north-4".to_owned(),
            unit: Unit::Minutes,
            ..PackageKind::default()
        };
        assert_eq!((package.kind, package.is_resettable, package.is_frozen), (kind, false, false));
        assert!(packages.is_empty());
    }

    #[test]
    fn only_packages_in_effect_and_used_up_ones_are_shown() {
        let shown = |status: &str| read(&row(&format!(r#""status":{status}"#), SOUND)).map(|packages| packages.len());
        for (status, number) in [("0", 0), ("1", 1), ("\"1\"", 1), ("2", 1), ("3", 0), ("4", 0)] {
            assert_eq!(shown(status).unwrap(), number, "{status}");
        }
        assert_eq!(shown("5").unwrap_err().to_string(), "a package has the status 5, which is not known");
        assert_eq!(shown("null").unwrap_err().to_string(), "a package has no status");
    }

    #[test]
    fn amounts_are_texts_or_numbers_and_keep_all_digits() {
        let left = |amount: &str, measure: &str| {
            let resource = format!(r#""amount":{amount},"original_amount":10,"measure_id":{measure}"#);
            let package = read(&row(r#""status":1"#, &resource)).unwrap().remove(0);
            (package.left().unwrap().normalize().to_string(), package.kind.unit)
        };
        assert_eq!(left("\"9.123456789012345678\"", "6"), ("9.123456789012345678".to_owned(), Unit::Minutes));
        assert_eq!(left("9.5", "\"6\""), ("9.5".to_owned(), Unit::Minutes));
        assert_eq!(left("0.25", "4"), ("15".to_owned(), Unit::Minutes));
        assert_eq!(left("\"3\"", "99"), ("3".to_owned(), Unit::Other("measure_99".to_owned())));
        assert_eq!(left("\"-1\"", "6").0, "-1", "an overrun");
    }

    #[test]
    fn a_package_that_becomes_full_again_is_marked() {
        let is_resettable = |mode: &str| {
            read(&row(&format!(r#""status":1,"quota_reuse_mode":{mode}"#), SOUND)).unwrap().remove(0).is_resettable
        };
        assert_eq!(["1", "2", "null"].map(is_resettable), [true, false, false]);
    }

    #[test]
    fn each_kind_of_usage_is_a_package() {
        let row = r#"{"order_instance_id":"o","status":1,"free_resources":[
            {"free_resource_id":"f1","amount":"1","original_amount":"2","measure_id":6},
            {"free_resource_id":"f2","amount":"3","original_amount":"4","measure_id":1}]}"#;
        let ids: Vec<_> = read(row).unwrap().into_iter().map(|package| package.id).collect();
        assert_eq!(ids, ["o/f1", "o/f2"]);
        for none in
            [r#"{"order_instance_id":"o","status":1}"#, r#"{"order_instance_id":"o","status":1,"free_resources":null}"#]
        {
            assert_eq!(read(none).unwrap(), [], "{none}");
        }
    }

    /// Otherwise two series would have the same labels.
    #[test]
    fn packages_of_one_order_have_different_ids() {
        let rows = [row_of("o", &["f1"]), row_of("o", &["f2"]), row_of("another", &["f1"])].join(",");
        assert_eq!(ids(&[&rows]), ["o/f1", "o/f2", "another"]);
        assert_eq!(ids(&[&row_of("o", &["f1"]), &row_of("o", &["f2"])]), ["o/f1", "o/f2"], "in two lists");
        let ended = row_of("o", &["f2"]).replace(r#""status":1"#, r#""status":3"#);
        assert_eq!(ids(&[&format!("{},{ended}", row_of("o", &["f1"]))]), ["o/f1"], "when one has ended");
    }

    #[test]
    fn only_what_is_in_several_lists_counts_once() {
        let (one, two) = (row_of("o", &["f1", "f2"]), row_of("another", &["f1"]));
        assert_eq!(ids(&[&format!("{one},{two}"), &two, &one]), ["o/f1", "o/f2", "another"]);
        for twice in [row_of("o", &["f1", "f1"]), [one, row_of("o", &["f2", "f3"])].join(",")] {
            let error = read(&twice).unwrap_err().to_string();
            assert!(error.ends_with("of the package o is there twice"), "{error}");
        }
    }

    #[test]
    fn what_cannot_be_read_is_an_error() {
        for (package, resource, message) in [
            (r#""status":1"#, r#""original_amount":"2","measure_id":6"#, "a package has no amount"),
            (r#""status":1"#, r#""amount":"2","measure_id":6"#, "a package has no original_amount"),
            (r#""status":1"#, r#""amount":"2","original_amount":"2""#, "a package has no measure_id"),
            (r#""status":1"#, r#""amount":"many","original_amount":"2","measure_id":6"#, "amount has a value that"),
            (r#""status":"on""#, SOUND, "status has a value that"),
            (r#""status":1,"expire_time":"2025-11-29 15:59:59""#, SOUND, "expire_time has a value that"),
        ] {
            let error = read(&row(package, resource)).unwrap_err().to_string();
            assert!(error.contains(message), "{package} {resource}: {error}");
        }
        let error = |body: &str| parse(body, &Secrets::default()).unwrap_err().to_string();
        assert_eq!(error("{}"), "it has neither total_count nor free_resource_packages");
        assert!(error(r#"{"free_resource_packages":[{"status":1}]}"#).ends_with("it has no order_instance_id"));
        let rows = |number: usize| vec![r#"{"order_instance_id":"o"}"#; number].join(",");
        let page = |number| format!(r#"{{"free_resource_packages":[{}]}}"#, rows(number));
        assert_eq!(parse(&page(1000), &Secrets::default()).unwrap().entries.len(), 1000);
        assert_eq!(error(&page(1001)), "it has more than 1000 packages");
        let resources = vec!["{}"; 10_000].join(",");
        let package = format!(r#"{{"order_instance_id":"o","free_resources":[{resources}]}}"#);
        let page = format!(r#"{{"free_resource_packages":[{package}]}}"#);
        assert_eq!(error(&page), "it has more than 10000 objects in its lists");
    }

    #[test]
    fn faults_of_packages_of_other_services_do_not_count() {
        let row = r#"{"order_instance_id":"o","service_type_code":"hws.service.type.obs","status":9,
            "free_resources":[{"free_resource_id":"f","amount":"?"}]}"#;
        let page = parse(&format!(r#"{{"free_resource_packages":[{row}]}}"#), &Secrets::default()).unwrap();
        assert_eq!(page.entries[0].service_type_code, "hws.service.type.obs");
    }

    #[test]
    fn an_absent_list_is_empty_and_labels_show_no_secret() {
        for empty in [r#"{"total_count":0}"#, r#"{"total_count":0,"free_resource_packages":null}"#] {
            assert_eq!(parse(empty, &Secrets::default()).unwrap(), ListPage { count: Some(0), entries: vec![] });
        }
        let secrets: Secrets = [&secrecy::SecretString::from("hunter2".to_owned())].into_iter().collect();
        let body = r#"{"free_resource_packages":[{"order_instance_id":"hunter2","product_id":"hunter2","region_code":"hunter2",
            "service_type_code":"hunter2","status":1,"free_resources":[{"free_resource_id":"hunter2"}]}]}"#;
        let page = parse(body, &secrets).unwrap();
        assert!(!format!("{page:?}").contains("hunter2"), "{page:?}");
    }
}
