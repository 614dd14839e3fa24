//! The billing service: the pay-per-use packages of the account, and the units of their amounts (contract, 17).

use chrono::{DateTime, Duration, Months, SecondsFormat, Utc};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    history::{self, SimulatedProject, UsagePattern},
    lists::{self, PageOfRows},
    packages::{end, start_of_month},
    service::{Amounts, Count, Empty, Service, Units},
};

/// An operation of the billing service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BillingOperation {
    Packages,
    Units,
}

impl BillingOperation {
    /// Every operation.
    pub const ALL: [BillingOperation; 2] = [BillingOperation::Packages, BillingOperation::Units];

    /// The operation with this path.
    pub fn of(path: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|operation| operation.path() == path)
    }

    /// The name in the documentation.
    pub fn name(self) -> &'static str {
        match self {
            BillingOperation::Packages => "ListFreeResourceInfos",
            BillingOperation::Units => "ListMeasureUnits",
        }
    }

    pub fn method(self) -> &'static str {
        match self {
            BillingOperation::Packages => "POST",
            BillingOperation::Units => "GET",
        }
    }

    fn path(self) -> &'static str {
        match self {
            BillingOperation::Packages => "/v3/payments/free-resources/query",
            BillingOperation::Units => "/v2/bases/measurements",
        }
    }
}

/// The id of an enterprise project with a package. An answer has the package only if the request names this id.
pub const ENTERPRISE_PROJECT: &str = "0f6c7a2e-1111-4a5b-8c3d-abcdef012345";

/// The product of the packages that are for all enterprise projects.
const FOR_ALL: &str = "OFFI000000000000000002";

/// The ids of units, as in the list of units. With `units=lacking`, the list does not have the last one.
const SECOND: u32 = 3;
const HOUR: u32 = 4;
const MINUTE: u32 = 5;
const GIGABYTE: u32 = 10;
const PIECE: u32 = 12;
const SET: u32 = 999;

/// The body of a request for packages. `null` and an empty text are the same as an absent field.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Query {
    limit: Option<usize>,
    offset: Option<usize>,
    status: Option<i64>,
    enterprise_project_id: Option<String>,
    service_type_code_list: Option<Vec<String>>,
}

/// One page of the packages, after `earlier` other requests for them.
///
/// # Errors
/// The name of the first parameter that is not valid.
pub(super) fn packages(
    projects: &[SimulatedProject],
    body: &[u8],
    service: &Service,
    now: DateTime<Utc>,
    earlier: u32,
) -> Result<Value, String> {
    let query: Query = serde_json::from_slice(body).map_err(|_| "body".to_owned())?;
    let limit = Some(query.limit.unwrap_or(10)).filter(|limit| (1..=1000).contains(limit)).ok_or("limit")?;
    let offset = Some(query.offset.unwrap_or(0)).filter(|offset| *offset < 1_000_000).ok_or("offset")?;
    let asked = query.enterprise_project_id.unwrap_or_default();
    let is_asked_for = |row: &Value| {
        let text = |name: &str| row.get(name).and_then(Value::as_str).unwrap_or_default();
        let codes = query.service_type_code_list.as_deref().unwrap_or_default();
        // The packages of one product are for all enterprise projects, so they are in each list.
        (text("enterprise_project_id") == asked || text("product_id") == FOR_ALL)
            && query.status.is_none_or(|status| row.get("status") == Some(&status.into()))
            && (codes.is_empty() || codes.iter().any(|code| code == text("service_type_code")))
    };
    let mut rows = rows(projects, service, now);
    rows.retain(is_asked_for);
    let PageOfRows { all, page } =
        lists::cut(service, rows, |number| further(service, number, "inserted"), earlier, limit, offset);
    let mut answer = serde_json::Map::new();
    if service.count != Count::Absent {
        answer.insert("total_count".to_owned(), all.into());
    }
    let list = match service.empty {
        Empty::Absent if page.is_empty() => None,
        Empty::Null if page.is_empty() => Some(Value::Null),
        _ => Some(page.into()),
    };
    answer.extend(list.map(|list| ("free_resource_packages".to_owned(), list)));
    Ok(answer.into())
}

/// The units, with names in the language that is asked for.
pub(super) fn units(language: &str, service: &Service) -> Value {
    let unit = |(id, english, chinese, abbreviation, kind): (u32, &str, &str, &str, u32)| {
        let name = if language == "en_US" { english } else { chinese };
        json!({"measure_id": id, "measure_name": name, "abbreviation": abbreviation, "measure_type": kind})
    };
    let units = [
        (0, "Day", "天", "d", 2),
        (1, "CNY", "元", "Y", 1),
        (SECOND, "Second", "秒", "s", 2),
        (HOUR, "Hour", "小时", "h", 2),
        (MINUTE, "Minute", "分钟", "min", 22),
        (GIGABYTE, "GB", "GB", "G", 3),
        (PIECE, "Piece", "个", "", 12),
        (17, "GB", "GB", "GB", 7),
        (SET, "Set", "套", "", 12),
    ];
    let is_listed = |(id, ..): &(u32, &str, &str, &str, u32)| service.units == Units::Listed || *id != SET;
    json!({"measure_units": units.into_iter().filter(is_listed).map(unit).collect::<Vec<_>>()})
}

/// The fields in which packages differ.
struct Package<'a> {
    id: &'a str,
    product: &'a str,
    name: &'a str,
    status: u32,
    effective: DateTime<Utc>,
    expiry: String,
    /// Left and bought, as decimal numbers, with the id of their unit.
    resources: &'a [(&'a str, &'a str, u32)],
    /// Fields that only some packages have: those of another service or an enterprise project, of a bundle, or of a
    /// package that becomes full again.
    fields: Value,
}

impl Package<'_> {
    fn json(&self, service: &Service) -> Value {
        let amount = |text: &str| match service.amounts {
            Amounts::Text => Some(Value::from(text)),
            Amounts::Number => Some(serde_json::from_str(text).unwrap_or_default()),
            Amounts::Words => Some("many".into()),
            Amounts::Absent => None,
        };
        let resource = |(index, (left, bought, measure)): (usize, &(&str, &str, u32))| {
            let mut resource = json!({
                "free_resource_id": format!("{}-f{index}", self.id),
                "usage_type_name": "Duration",
                "measure_id": measure,
            });
            if let Some(resource) = resource.as_object_mut() {
                resource.extend(amount(left).map(|amount| ("amount".to_owned(), amount)));
                resource.extend(amount(bought).map(|amount| ("original_amount".to_owned(), amount)));
            }
            resource
        };
        let time = |time: DateTime<Utc>| time.to_rfc3339_opts(SecondsFormat::Secs, true);
        let mut row = json!({
            "order_instance_id": format!("01154-{}-0", self.id),
            "order_id": format!("CS{}", self.id),
            "product_id": self.product,
            "product_name": self.name,
            "enterprise_project_id": null,
            "enterprise_project_scope": 0,
            "effective_time": time(self.effective),
            "expire_time": self.expiry,
            "status": self.status,
            "service_type_code": "hws.service.type.metastudio",
            "service_type_name": "MetaStudio",
            "region_code": "cn-north-4",
            "source_type": 0,
            "bundle_type": "ATOMIC_PKG",
            "quota_reuse_mode": 2,
            "free_resources": self.resources.iter().enumerate().map(resource).collect::<Vec<_>>(),
        });
        if let (Some(row), Value::Object(fields)) = (row.as_object_mut(), self.fields.clone()) {
            row.extend(fields);
        }
        row
    }
}

/// The packages of the account. The first one has minutes, which the last project with usage consumes. The others are
/// one of each kind that the documents leave open.
fn rows(projects: &[SimulatedProject], service: &Service, now: DateTime<Utc>) -> Vec<Value> {
    let month = start_of_month(now);
    let user = projects.iter().rfind(|project| !project.usage.is_empty());
    let used = user.map_or(0, |project| minutes_of(project, month.to_utc(), now));
    let bought: i64 = 600_000;
    let left = format!("{}.{:02}", (bought - used).max(0) / 100, (bought - used).max(0) % 100);
    let in_a_year = end(month + Months::new(12));
    let soon = end((now + Duration::days(20)).with_timezone(&month.timezone()));
    let standard = ["OFFI000000000000000001", "Video production 6,000 minutes"];
    let package = |id, [product, name]: [&'static str; 2], status, resources, fields| {
        let (effective, expiry) = (month.to_utc(), in_a_year.clone());
        Package { id, product, name, status, effective, expiry, resources, fields }
    };
    let [flexus, hourly] =
        [[FOR_ALL, "Flexus video 10 hours"], ["OFFI000000000000000003", "Live streaming 100 minutes a month"]];
    let status = if used >= bought { 2 } else { 1 };
    let minutes = [(left.as_str(), "6000", MINUTE)];
    let packages = [
        package("301381337", standard, status, &minutes, json!({})),
        Package { expiry: soon, ..package("301381338", flexus, 1, &[("9.123456789012345678", "10", HOUR)], json!({})) },
        package("301381339", hourly, 1, &[("40.5", "100", MINUTE)], json!({"quota_reuse_mode": 1})),
        // Several kinds of usage. The list of units may lack the unit of one of them.
        package(
            "301381340",
            ["OFFI000000000000000004", "Bundle"],
            1,
            &[("3000", "3600", SECOND), ("7", "8", SET), ("2", "3", PIECE)],
            json!({"bundle_type": "BUNDLE_PKG"}),
        ),
        package("301381341", standard, 0, &[("6000", "6000", MINUTE)], json!({})),
        // Used up, but another package of the same product always has an amount left.
        package("301381342", flexus, 2, &[("0", "10", HOUR)], json!({})),
        package("301381343", standard, 3, &[("11", "6000", MINUTE)], json!({})),
        package("301381344", standard, 4, &[("12", "6000", MINUTE)], json!({})),
        package(
            "301381345",
            ["OFFI603857789081714713", "OBS 100 GB"],
            1,
            &[("100", "100", GIGABYTE)],
            json!({"service_type_code": "hws.service.type.obs", "service_type_name": "OBS"}),
        ),
        package(
            "301381346",
            ["OFFI000000000000000005", "Video production 500 minutes"],
            1,
            &[("250", "500", MINUTE)],
            json!({"enterprise_project_id": ENTERPRISE_PROJECT, "enterprise_project_scope": 1}),
        ),
    ];
    let further_ones =
        (0..u32::from(service.account_packages.unwrap_or_default())).map(|number| further(service, number, "further"));
    packages.iter().map(|package| package.json(service)).chain(further_ones).collect()
}

/// Hundredths of minutes that a project has used.
fn minutes_of(project: &SimulatedProject, start: DateTime<Utc>, now: DateTime<Utc>) -> i64 {
    let of_pattern = |pattern: &UsagePattern| {
        let factor = if pattern.unit == "HOUR" { 60 } else { 1 };
        history::events(&project.id, pattern, start, now).map(|event| event.hundredths * factor).sum::<i64>()
    };
    project.usage.iter().map(of_pattern).sum()
}

fn further(service: &Service, number: u32, id: &str) -> Value {
    let package = Package {
        id: &format!("{id}{number}"),
        product: "OFFI000000000000000009",
        name: "Further package",
        status: 1,
        effective: DateTime::UNIX_EPOCH,
        expiry: "2099-12-31T15:59:59Z".to_owned(),
        resources: &[("7.5", "10", MINUTE)],
        fields: json!({}),
    };
    package.json(service)
}
