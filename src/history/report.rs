//! The usage of days as a table: exact decimals, with the usage that no user accounts for, and with the doubts.

use std::{
    collections::BTreeMap,
    fmt::{self, Display, Write},
};

use chrono::NaiveDate;
use rust_decimal::Decimal;
use serde::Serialize;

use super::days::{Day, KnownDays, happened, next_month};
use crate::usage::{Bounds, Measure, Series, Zone, first_of_month, timestamp};

/// A project in a report.
#[derive(Debug)]
pub struct ReportProject<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its id, if it is known.
    pub project_id: &'a str,
    /// Its region; empty where only an endpoint is configured.
    pub region: &'a str,
    /// Its configured labels.
    pub labels: &'a BTreeMap<String, String>,
    /// Its days.
    pub known: &'a KnownDays,
    /// Whether `user_ids: all` is configured: series without a user then have the usage that no user accounts for.
    pub has_rest: bool,
}

/// A row: one series on one day, or a day without a known answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ReportRow<'a> {
    /// The project.
    pub project: &'a str,
    /// The local day.
    pub day: NaiveDate,
    /// Type of resource; empty if the API gives none.
    pub resource_type: &'a str,
    /// Type of business; empty if the API gives none.
    pub business_type: &'a str,
    /// The user; empty if no users are configured, and for usage that is not attributed.
    pub user_id: &'a str,
    /// `minutes`, `number` or the unit of the API; empty if the day is missing.
    pub unit: &'a str,
    /// The exact usage; `None` if it is not known.
    pub usage: Option<String>,
    /// Remarks that limit how far the row can be trusted, from a closed set: `missing`, `maybe_partial`,
    /// `value_missing`, `not_attributed`, and the doubts of metastudio_poll_doubts.
    pub remarks: Vec<&'static str>,
}

/// The rows of all projects, from `first` to the day before `end`, sorted by project, day and series.
pub fn rows<'a>(projects: &[ReportProject<'a>], first: NaiveDate, end: NaiveDate) -> Vec<ReportRow<'a>> {
    let mut rows = Vec::new();
    for project in projects {
        for date in happened(first, end, project.known.zone()) {
            let row = |series: Option<&'a Series>, usage, remarks| ReportRow {
                project: project.name,
                day: date,
                resource_type: series.map_or("", |series| &series.resource_type),
                business_type: series.map_or("", |series| &series.business_type),
                user_id: series.and_then(|series| series.user_id.as_deref()).unwrap_or_default(),
                unit: series.map_or("", |series| unit(&series.measure)),
                usage,
                remarks,
            };
            let Some(day) = project.known.get(date) else {
                rows.push(row(None, None, vec!["missing"]));
                continue;
            };
            let remarks = remarks(project.known, date, day);
            // A service need not send numbers.
            let needed = |(series, sum, _): &(&Series, Option<Decimal>, bool)| {
                sum.is_some() || series.measure != Measure::Number
            };
            for (series, _, _) in day.tally.parts().filter(needed) {
                let usage = day.tally.exact(series);
                let rest = (project.has_rest && series.user_id.is_none()).then_some("not_attributed");
                if rest.is_some() && usage.is_some_and(|usage| usage.is_zero()) {
                    continue;
                }
                let missing = usage.is_none().then_some("value_missing");
                let remarks = remarks.iter().copied().filter(|known| Some(*known) != missing).chain(missing);
                rows.push(row(Some(series), usage.map(text), remarks.chain(rest).collect()));
            }
            for (series, rest) in not_attributed(day) {
                let remarks = remarks.iter().copied().chain(["not_attributed"]).collect();
                rows.push(row(Some(series), Some(text(rest)), remarks));
            }
        }
    }
    rows
}

fn unit(measure: &Measure) -> &str {
    match measure {
        Measure::Minutes => "minutes",
        Measure::Number => "number",
        Measure::Other(unit) => unit,
    }
}

fn text(sum: Decimal) -> String {
    sum.normalize().to_string()
}

fn remarks(known: &KnownDays, date: NaiveDate, day: &Day) -> Vec<&'static str> {
    let doubts = day.doubts.keys().map(|doubt| doubt.as_str());
    (!known.is_whole(date)).then_some("maybe_partial").into_iter().chain(doubts).collect()
}

/// The usage of all users without the usage of the configured users; series with nothing left are not in it.
fn not_attributed(day: &Day) -> Vec<(&Series, Decimal)> {
    let Some(all) = &day.all_users else { return Vec::new() };
    let of_users = |series: &Series| {
        let is_same = |own: &&Series| own.series_type() == series.series_type();
        let own = day.tally.parts().map(|(own, _, _)| own).filter(is_same);
        own.filter_map(|own| day.tally.exact(own)).fold(Decimal::ZERO, Decimal::saturating_add)
    };
    let rest = |series| Some((series, all.exact(series)?.saturating_sub(of_users(series))));
    all.parts().filter_map(|(series, _, _)| rest(series)).filter(|(_, rest)| !rest.is_zero()).collect()
}

const COLUMNS: [&str; 8] = ["project", "day", "resource_type", "business_type", "user_id", "unit", "usage", "remarks"];

impl ReportRow<'_> {
    fn cells(&self) -> [String; 8] {
        [
            self.project.to_owned(),
            self.day.to_string(),
            self.resource_type.to_owned(),
            self.business_type.to_owned(),
            self.user_id.to_owned(),
            self.unit.to_owned(),
            self.usage.clone().unwrap_or_default(),
            self.remarks.join(" "),
        ]
    }
}

/// The rows as CSV (RFC 4180), with a header.
pub fn csv(rows: &[ReportRow<'_>]) -> String {
    let mut text = csv_line(&COLUMNS);
    rows.iter().for_each(|row| text += &csv_line(&row.cells()));
    text
}

fn csv_line(cells: &[impl Display]) -> String {
    let quoted = |cell: &dyn Display| {
        let cell = cell.to_string();
        if cell.contains([',', '"', '\n', '\r']) { format!("\"{}\"", cell.replace('"', "\"\"")) } else { cell }
    };
    cells.iter().map(|cell| quoted(cell)).collect::<Vec<_>>().join(",") + "\n"
}

/// The rows as JSON. Decimals are texts, because many readers of JSON round numbers.
pub fn json(rows: &[ReportRow<'_>]) -> String {
    // Texts and dates always become JSON.
    serde_json::to_string_pretty(&serde_json::json!({ "rows": rows })).unwrap_or_default() + "\n"
}

/// The sums of the range and all rows, as tables of Markdown.
pub fn markdown(rows: &[ReportRow<'_>], first: NaiveDate, end: NaiveDate) -> String {
    let last = end.pred_opt().unwrap_or(end);
    let mut text = format!("# Usage from {first} to {last}\n\n## Sums\n\n");
    let titles = ["project", "resource_type", "business_type", "user_id", "unit", "usage", "remarks"];
    text += &table_head(&titles);
    for ((project, resource, business, user, unit), sum) in sums(rows) {
        text += &table_line(&[project, resource, business, user, unit, &sum.usage(), &sum.remarks.join(" ")]);
    }
    text += "\n## Days\n\n";
    text += &table_head(&COLUMNS);
    rows.iter().for_each(|row| text += &table_line(&row.cells()));
    text
}

/// A sum of rows. The usage is `None` if one of the rows has no usage.
struct Sum {
    usage: Option<Decimal>,
    remarks: Vec<&'static str>,
}

impl Sum {
    fn usage(&self) -> String {
        self.usage.map(text).unwrap_or_default()
    }
}

type SumKey<'a> = (&'a str, &'a str, &'a str, &'a str, &'a str);

fn sums<'a>(rows: &[ReportRow<'a>]) -> BTreeMap<SumKey<'a>, Sum> {
    let mut sums: BTreeMap<SumKey<'a>, Sum> = BTreeMap::new();
    for row in rows {
        // Usage that is not attributed has a line of its own.
        let user = if row.remarks.contains(&"not_attributed") { "(not attributed)" } else { row.user_id };
        let key = (row.project, row.resource_type, row.business_type, user, row.unit);
        let sum = sums.entry(key).or_insert(Sum { usage: Some(Decimal::ZERO), remarks: Vec::new() });
        let usage = row.usage.as_ref().and_then(|usage| usage.parse().ok());
        sum.usage = sum.usage.zip(usage).and_then(|(sum, usage): (Decimal, Decimal)| sum.checked_add(usage));
        for remark in &row.remarks {
            if !sum.remarks.contains(remark) {
                sum.remarks.push(remark);
            }
        }
    }
    sums
}

fn table_head(titles: &[&str]) -> String {
    table_line(titles) + &"|---".repeat(titles.len()) + "|\n"
}

fn table_line(cells: &[impl Display]) -> String {
    let mut line = String::new();
    for cell in cells {
        let cell = cell.to_string().replace('|', "\\|").replace('\n', " ");
        // Writing to a String cannot fail.
        let _ = write!(line, "| {cell} ");
    }
    line + "|\n"
}

/// All columns of FOCUS 1.0, and three own columns. There are no prices, so some columns are always empty.
const FOCUS: [&str; 46] = [
    "AvailabilityZone",
    "BilledCost",
    "BillingAccountId",
    "BillingAccountName",
    "BillingCurrency",
    "BillingPeriodEnd",
    "BillingPeriodStart",
    "ChargeCategory",
    "ChargeClass",
    "ChargeDescription",
    "ChargeFrequency",
    "ChargePeriodEnd",
    "ChargePeriodStart",
    "CommitmentDiscountCategory",
    "CommitmentDiscountId",
    "CommitmentDiscountName",
    "CommitmentDiscountStatus",
    "CommitmentDiscountType",
    "ConsumedQuantity",
    "ConsumedUnit",
    "ContractedCost",
    "ContractedUnitPrice",
    "EffectiveCost",
    "InvoiceIssuerName",
    "ListCost",
    "ListUnitPrice",
    "PricingCategory",
    "PricingQuantity",
    "PricingUnit",
    "ProviderName",
    "PublisherName",
    "RegionId",
    "RegionName",
    "ResourceId",
    "ResourceName",
    "ResourceType",
    "ServiceCategory",
    "ServiceName",
    "SkuId",
    "SkuPriceId",
    "SubAccountId",
    "SubAccountName",
    "Tags",
    "x_BusinessType",
    "x_UserId",
    "x_Remarks",
];

/// The rows of usage in the columns of FOCUS, as CSV. Rows without a known usage, and numbers of videos or live
/// sessions, are left out.
pub fn focus(rows: &[ReportRow<'_>], projects: &[ReportProject<'_>]) -> String {
    let mut text = csv_line(&FOCUS);
    for row in rows.iter().filter(|row| row.unit != "number") {
        let Some(usage) = &row.usage else { continue };
        let Some(project) = projects.iter().find(|project| project.name == row.project) else { continue };
        let zone = project.known.zone();
        let day = Bounds::of_day(row.day, zone);
        let month = Bounds { start: zone.midnight(first_of_month(row.day)), end: zone.midnight(next_month(row.day)) };
        let cell = |column| match column {
            "BillingPeriodEnd" => timestamp(month.end),
            "BillingPeriodStart" => timestamp(month.start),
            "ChargeCategory" => "Usage".to_owned(),
            "ChargeDescription" => format!("{} {}", row.business_type, row.resource_type).trim().to_owned(),
            "ChargeFrequency" => "Usage-Based".to_owned(),
            "ChargePeriodEnd" => timestamp(day.end),
            "ChargePeriodStart" => timestamp(day.start),
            "ConsumedQuantity" => usage.clone(),
            "ConsumedUnit" => if row.unit == "minutes" { "Minutes" } else { row.unit }.to_owned(),
            "InvoiceIssuerName" | "ProviderName" | "PublisherName" => "Huawei Cloud".to_owned(),
            "RegionId" => project.region.to_owned(),
            "ResourceType" => row.resource_type.to_owned(),
            "ServiceCategory" => "Media".to_owned(),
            "ServiceName" => "MetaStudio".to_owned(),
            "SubAccountId" => project.project_id.to_owned(),
            "SubAccountName" => row.project.to_owned(),
            // A map of texts always becomes JSON.
            "Tags" => serde_json::to_string(project.labels).unwrap_or_default(),
            "x_BusinessType" => row.business_type.to_owned(),
            "x_UserId" => row.user_id.to_owned(),
            "x_Remarks" => row.remarks.join(" "),
            _ => String::new(),
        };
        text += &csv_line(&FOCUS.map(cell));
    }
    text
}

/// A list of days for messages.
pub struct DayList<'a>(pub &'a [NaiveDate], pub &'a Zone);

impl fmt::Display for DayList<'_> {
    /// Consecutive days as `FIRST to LAST`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut days = self.0.iter().copied().peekable();
        let mut is_first = true;
        while let Some(first) = days.next() {
            let mut last = first;
            while let Some(next) = days.next_if(|next| happened(last, *next, self.1).count() <= 1) {
                last = next;
            }
            let comma = if std::mem::take(&mut is_first) { "" } else { ", " };
            if first == last { write!(f, "{comma}{first}")? } else { write!(f, "{comma}{first} to {last}")? }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        history::days::tests::{date, day, known},
        usage::{Doubt, Tally},
    };

    /// Three days: the first may be partial, the second has users and a doubt, the third is missing.
    fn table() -> KnownDays {
        let mut second = day(&[("V", "0.30")]);
        second.all_users = Some(second.tally.clone());
        let series = second.tally.series().next().unwrap().clone();
        let all = second.all_users.as_mut().unwrap();
        all.add_part(series.clone(), "1.55".parse().ok(), false);
        let of_user = Series { user_id: Some("u,1".to_owned()), ..series.clone() };
        second.tally = Tally::default();
        second.tally.add_part(of_user.clone(), "0.30".parse().ok(), false);
        second.tally.add_part(Series { measure: Measure::Other("GB".into()), ..of_user }, None, true);
        second.doubts.insert(Doubt::Negative, String::new());
        known("Asia/Shanghai", &[("2025-11-01", day(&[("V", "2"), ("L\"", "60.00")])), ("2025-11-02", second)])
    }

    fn project<'a>(known: &'a KnownDays, labels: &'a BTreeMap<String, String>) -> ReportProject<'a> {
        ReportProject { name: "p", project_id: "id", region: "cn-north-4", labels, known, has_rest: false }
    }

    #[test]
    fn rows_are_exact_and_say_what_limits_them() {
        let (known, labels) = (table(), BTreeMap::new());
        let rows = rows(&[project(&known, &labels)], date("2025-11-01"), date("2025-11-04"));
        let expected = "\
project,day,resource_type,business_type,user_id,unit,usage,remarks
p,2025-11-01,,\"L\"\"\",,minutes,60,maybe_partial
p,2025-11-01,,V,,minutes,2,maybe_partial
p,2025-11-02,,V,\"u,1\",minutes,0.3,negative
p,2025-11-02,,V,\"u,1\",GB,,negative value_missing
p,2025-11-02,,V,,minutes,1.25,negative not_attributed
p,2025-11-03,,,,,,missing
";
        assert_eq!(csv(&rows), expected);
        let parsed: serde_json::Value = serde_json::from_str(&json(&rows)).unwrap();
        assert_eq!(parsed["rows"].as_array().unwrap().len(), 6);
        assert_eq!(parsed["rows"][2]["usage"], "0.3");
        assert_eq!(parsed["rows"][5]["usage"], serde_json::Value::Null);
        let markdown = markdown(&rows, date("2025-11-01"), date("2025-11-04"));
        assert!(markdown.starts_with("# Usage from 2025-11-01 to 2025-11-03\n"), "{markdown}");
        for line in [
            "| p |  | V |  | minutes | 2 | maybe_partial |",
            "| p |  | V | (not attributed) | minutes | 1.25 | negative not_attributed |",
            "| p |  | V | u,1 | GB |  | negative value_missing |",
        ] {
            assert!(markdown.contains(line), "{line}: {markdown}");
        }
    }

    #[test]
    fn with_all_users_the_rest_is_not_attributed() {
        let mut rest = day(&[("V", "2"), ("L", "0")]);
        let series = rest.tally.series().next().unwrap().clone();
        let of_user = Series { user_id: Some("u".to_owned()), ..series.clone() };
        rest.tally.add_part(of_user, "0".parse().ok(), false);
        rest.tally.add_part(Series { business_type: "W".into(), ..series }, None, true);
        let (known, labels) = (known("UTC", &[("2025-11-01", Day::default()), ("2025-11-02", rest)]), BTreeMap::new());
        let project = ReportProject { has_rest: true, ..project(&known, &labels) };
        let rows = rows(&[project], date("2025-11-02"), date("2025-11-03"));
        let expected = "\
project,day,resource_type,business_type,user_id,unit,usage,remarks
p,2025-11-02,,L,u,minutes,0,maybe_partial
p,2025-11-02,,V,,minutes,2,maybe_partial not_attributed
p,2025-11-02,,W,,minutes,,maybe_partial value_missing not_attributed
";
        assert_eq!(csv(&rows), expected);
        let markdown = markdown(&rows, date("2025-11-02"), date("2025-11-03"));
        assert!(markdown.contains("| p |  | V | (not attributed) | minutes | 2 |"), "{markdown}");
    }

    #[test]
    fn focus_has_the_day_as_charge_period_and_no_prices() {
        let (known, labels) = (table(), [("team".to_owned(), "a".to_owned())].into());
        let projects = [project(&known, &labels)];
        let rows = rows(&projects, date("2025-11-02"), date("2025-11-04"));
        let text = focus(&rows, &projects);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 3, "a header, and two rows with usage: {text}");
        assert_eq!(lines[0].split(',').count(), FOCUS.len());
        let expected = ",,,,,2025-11-30T16:00:00Z,2025-10-31T16:00:00Z,Usage,,V,Usage-Based,2025-11-02T16:00:00Z,\
            2025-11-01T16:00:00Z,,,,,,0.3,Minutes,,,,Huawei Cloud,,,,,,Huawei Cloud,Huawei Cloud,cn-north-4,,,,,Media,\
            MetaStudio,,,id,p,\"{\"\"team\"\":\"\"a\"\"}\",V,\"u,1\",negative";
        assert_eq!(lines[1], expected);
    }

    #[test]
    fn consecutive_days_are_one_range() {
        let days = ["2025-11-01", "2025-11-02", "2025-11-04"].map(date);
        assert_eq!(DayList(&days, &Zone::utc()).to_string(), "2025-11-01 to 2025-11-02, 2025-11-04");
        let apia: Zone = "Pacific/Apia".parse().unwrap();
        let days = ["2011-12-29", "2011-12-31"].map(date);
        assert_eq!(DayList(&days, &apia).to_string(), "2011-12-29 to 2011-12-31");
    }
}
