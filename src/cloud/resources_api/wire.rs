//! Reads the JSON of ListTenantResources into packages.

use rust_decimal::Decimal;

use crate::{
    cloud::{
        json::{Raw, Unreadable, boolean, decimal, field, instant, integer, json_object, string},
        listing::{Entry, ListRow},
        secrets::Secrets,
    },
    usage::{Package, PackageKind, Unit},
};

json_object! {
    /// Has only the fields that are read. `bound_asset` is left out, because it holds names that customers chose.
    pub(super) struct TenantResourceJson<'a> {
        resource_id: Raw<'a>,
        resource_type: Raw<'a>,
        business_type: Raw<'a>,
        sub_resource_type: Raw<'a>,
        is_sub_resource: Raw<'a>,
        charging_mode: Raw<'a>,
        resource_source: Raw<'a>,
        amount: Raw<'a>,
        usage: Raw<'a>,
        unit: Raw<'a>,
        resource_expire_time: Raw<'a>,
        status: Raw<'a>,
    }
}

impl<'de> ListRow<'de> for TenantResourceJson<'de> {
    type Entry = Package;

    const LIST: &'static str = "resources";

    fn entry(self, secrets: &Secrets) -> Result<Package, Unreadable> {
        let text = |name, raw| -> Result<String, Unreadable> {
            Ok(field(name, raw, string)?.map_or_else(String::new, |text| secrets.label(text).into_owned()))
        };
        let id = text("resource_id", self.resource_id)?;
        if id.is_empty() {
            return Err(Unreadable("it has no resource_id".to_owned()));
        }
        let unit = field("unit", self.unit, string)?.map(|unit| secrets.label(unit));
        let (unit, minutes) = match Unit::from_api(unit.as_deref()) {
            Unit::Hours => (Unit::Minutes, 60),
            unit => (unit, 1),
        };
        let amount = |name, raw| -> Result<Option<Decimal>, Unreadable> {
            let read = |raw| decimal(raw)?.checked_mul(minutes.into());
            field(name, raw, read)
        };
        let kind = PackageKind {
            resource_type: text("resource_type", self.resource_type)?,
            business_type: text("business_type", self.business_type)?,
            sub_resource_type: text("sub_resource_type", self.sub_resource_type)?,
            charging_mode: text("charging_mode", self.charging_mode)?,
            resource_source: text("resource_source", self.resource_source)?,
            unit,
            ..PackageKind::default()
        };
        Ok(Package {
            id,
            kind,
            is_part: field("is_sub_resource", self.is_sub_resource, boolean)?.unwrap_or(false),
            bought: amount("amount", self.amount)?,
            used: amount("usage", self.usage)?,
            expiry: field("resource_expire_time", self.resource_expire_time, instant)?.flatten(),
            // 0 is normal and 1 is frozen. An OpenAPI document allows other values and does not explain them.
            is_frozen: field("status", self.status, integer)?.is_some_and(|status| status != 0),
            is_resettable: false,
        })
    }
}

impl Entry for Package {
    const PLURAL: &'static str = "packages";

    /// One id can have several rows, such as the parts of a bundle. Their types tell them apart (contract, 12).
    type Key = (String, String, String, String);

    fn key(&self) -> Self::Key {
        let PackageKind { resource_type, business_type, sub_resource_type, .. } = &self.kind;
        (self.id.clone(), resource_type.clone(), business_type.clone(), sub_resource_type.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cloud::listing::ListPage;

    fn parse(body: &[u8], secrets: &Secrets) -> Result<ListPage<Package>, Unreadable> {
        ListPage::read::<TenantResourceJson<'_>>(body, secrets)
    }

    fn packages(rows: &str) -> Vec<Package> {
        parse(format!(r#"{{"count":1.0,"resources":[{rows}]}}"#).as_bytes(), &Secrets::default()).unwrap().entries
    }

    fn error(body: &str) -> String {
        parse(body.as_bytes(), &Secrets::default()).unwrap_err().to_string()
    }

    fn with(field: &str) -> Package {
        packages(&format!(r#"{{"resource_id":"r",{field}}}"#)).remove(0)
    }

    #[test]
    fn reads_the_example_of_the_contract() {
        let body = r#"{"count":3.0,"resources":[
            {"resource_id":"r-1","order_id":"CS2510010000AAAAA","resource_type":"hws.resource.type.metastudio.avatarmodeling.videopacket","business_type":"VIDEO_2D","charging_mode":"ONE_TIME","resource_source":"PURCHASED","amount":600.0,"usage":590.25,"unit":"MIN","resource_expire_time":"2026-10-01T15:59:59Z","status":0},
            {"resource_id":"r-2","resource_type":"hws.resource.type.metastudio.modeling.flexus.avatar.number","business_type":"FLEXUS_2D","sub_resource_type":"video_time_flexus_2d_model","is_sub_resource":true,"charging_mode":"ONE_TIME","resource_source":"PURCHASED","amount":120,"usage":6.1,"unit":"MIN","resource_expire_time":"","status":0},
            {"resource_id":"r-3","resource_type":"hws.resource.type.metastudio.modeling.avatarlive.channel","business_type":"LIVE_2D","charging_mode":"PERIODIC","resource_source":"PURCHASED","amount":2,"usage":3,"unit":"CHANNEL","resource_expire_time":"2025-12-31T15:59:59Z","status":1}]}"#;
        let page = parse(body.as_bytes(), &Secrets::default()).unwrap();
        assert_eq!(page.count, Some(3));
        let [one, part, channels] = &page.entries[..] else { panic!("{:?}", page.entries) };
        assert_eq!((one.left().unwrap().to_string(), &one.kind.unit), ("9.75".to_owned(), &Unit::Minutes));
        assert_eq!(one.expiry.unwrap().to_rfc3339(), "2026-10-01T15:59:59+00:00");
        assert_eq!((part.is_part, part.expiry, part.left()), (true, None, None));
        assert_eq!((channels.is_frozen, channels.left().unwrap().to_string()), (true, "-1".to_owned()));
        assert_eq!(channels.kind.unit, Unit::Other("CHANNEL".to_owned()));
    }

    #[test]
    fn what_is_not_there_stays_absent() {
        let package = with(r#""status":null"#);
        assert_eq!((package.bought, package.used, package.expiry), (None, None, None));
        assert!(!package.is_frozen && !package.is_part);
        for none in ["\"\"", "null", "0", "\"1970-01-01T00:00:00Z\""] {
            assert_eq!(with(&format!(r#""resource_expire_time":{none}"#)).expiry, None, "{none}");
        }
        let empty = |body: &str| parse(body.as_bytes(), &Secrets::default()).unwrap();
        assert_eq!(empty(r#"{"count":0}"#), ListPage { count: Some(0), entries: vec![] });
        assert_eq!(empty(r#"{"count":0,"resources":null}"#), empty(r#"{"count":0}"#));
        assert_eq!(empty(r#"{"resources":[]}"#), ListPage { count: None, entries: vec![] });
    }

    #[test]
    fn amounts_keep_all_digits() {
        assert_eq!(with(r#""amount":100000.01"#).bought.unwrap().to_string(), "100000.01");
        assert_eq!(with(r#""usage":"12.123456789012345678""#).used.unwrap().to_string(), "12.123456789012345678");
        let hours = with(r#""amount":1.55,"usage":0.1,"unit":"HOUR""#);
        assert_eq!((hours.left().unwrap().to_string(), hours.kind.unit), ("87.00".to_owned(), Unit::Minutes));
    }

    #[test]
    fn what_cannot_be_read_is_an_error() {
        assert_eq!(error("{}"), "it has neither count nor resources");
        assert_eq!(error(r#"{"count":1.5,"resources":[]}"#), "count has a value that cannot be read");
        assert_eq!(error(r#"{"resources":[{"amount":1}]}"#), "entry 1 of resources: it has no resource_id");
        for field in [
            r#""amount":"many""#,
            r#""usage":[]"#,
            r#""is_sub_resource":"maybe""#,
            r#""resource_expire_time":"2026-10-01 15:59:59""#,
            r#""status":"frozen""#,
        ] {
            let error = error(&format!(r#"{{"resources":[{{"resource_id":"r",{field}}}]}}"#));
            assert!(error.ends_with("has a value that cannot be read"), "{field}: {error}");
        }
        let rows =
            |number: usize| (0..number).map(|id| format!(r#"{{"resource_id":"{id}"}}"#)).collect::<Vec<_>>().join(",");
        assert_eq!(packages(&rows(Package::LIMIT)).len(), Package::LIMIT);
        assert_eq!(
            error(&format!(r#"{{"resources":[{}]}}"#, rows(Package::LIMIT + 1))),
            "it has more than 100 packages"
        );
        assert!(error("<html>").starts_with("not JSON"));
    }

    #[test]
    fn labels_show_no_secret() {
        let secrets: Secrets = [&secrecy::SecretString::from("hunter2".to_owned())].into_iter().collect();
        let body = r#"{"resources":[{"resource_id":"hunter2","resource_type":"a hunter2","unit":"hunter2"}]}"#;
        let package = parse(body.as_bytes(), &secrets).unwrap().entries.remove(0);
        assert!(!format!("{package:?}").contains("hunter2"), "{package:?}");
    }
}
