//! ListUserQuotas: the sub-users of the account, with the quota and the usage of each.
//!
//! `GET /v1/{project_id}/user/quotas` (contract, 13). Only the key of the account may ask.

use std::{cell::Cell, collections::BTreeMap};

use rust_decimal::Decimal;
use serde::de::MapAccess;

use super::{
    error::Refusal,
    json::{self, JsonFields, Raw, Unreadable, decimal, field, json_object, once, string},
    listing::{Entry, ListPage, ListRow},
    lists::{self, ListQuery},
    secrets::Secrets,
};
use crate::usage::{Operation, Quota, QuotaType, SubUser};

/// The list of all sub-users.
pub(crate) fn sub_users(project_id: &str) -> ListQuery<'_, SubUser> {
    ListQuery {
        operation: Operation::ListUserQuotas,
        project_id,
        path: "user/quotas",
        filter: Vec::new(),
        parse: page,
        is_secret: false,
        advice,
    }
}

/// Reads one page of the list.
pub(super) fn page(body: &[u8], secrets: &Secrets) -> Result<ListPage<SubUser>, Unreadable> {
    ListPage::read::<UserJson<'_>>(body, secrets)
}

fn advice(refusal: &Refusal) -> Option<&'static str> {
    lists::advice(
        refusal,
        "Only the account itself may list sub-users: use its key, or remove sub_users from collect",
        "The service does not know this operation in this region: remove sub_users from collect",
    )
}

json_object! {
    struct UserJson<'a> {
        user_id: Raw<'a>,
        quota: Raw<'a>,
        usage: Raw<'a>,
    }
}

impl<'de> ListRow<'de> for UserJson<'de> {
    type Entry = SubUser;

    const LIST: &'static str = "assets";

    fn entry(self, secrets: &Secrets) -> Result<SubUser, Unreadable> {
        let id = field("user_id", self.user_id, string)?;
        let id = id.map_or_else(String::new, |id| secrets.label(id).into_owned());
        let (limits, usage) = (amounts("quota", self.quota)?, amounts("usage", self.usage)?);
        let mut quotas = BTreeMap::new();
        for ((quota_type, limit), used) in QuotaType::all().zip(limits).zip(usage) {
            let limit = field(quota_type.as_str(), limit, limit_or_none)?.flatten();
            let used = field(quota_type.as_str(), used, decimal)?;
            if limit.is_some() || used.is_some() {
                quotas.insert(quota_type, Quota { limit, used });
            }
        }
        Ok(SubUser { id, quotas })
    }
}

impl Entry for SubUser {
    const PLURAL: &'static str = "sub-users";

    type Key = String;

    fn key(&self) -> String {
        self.id.clone()
    }
}

/// The amounts of an object, in the order of the types.
fn amounts<'a>(name: &str, raw: Raw<'a>) -> Result<Vec<Raw<'a>>, Unreadable> {
    let object = field(name, raw, |text| json::read::<AmountsJson<'a>>(text.as_bytes(), &Cell::new(1)).ok())?;
    Ok(object.unwrap_or_default().0)
}

/// One amount for each type; `None` if it is absent.
struct AmountsJson<'a>(Vec<Raw<'a>>);

impl Default for AmountsJson<'_> {
    fn default() -> Self {
        AmountsJson(QuotaType::all().map(|_| None).collect())
    }
}

impl<'de> JsonFields<'de> for AmountsJson<'de> {
    fn read<A: MapAccess<'de>>(mut object: A, _: &Cell<usize>) -> Result<Self, A::Error> {
        let mut amounts: Vec<Option<Raw<'de>>> = QuotaType::all().map(|_| None).collect();
        while let Some(name) = object.next_key::<String>()? {
            let value = object.next_value()?;
            let place = QuotaType::all().zip(&mut amounts).find(|(quota_type, _)| quota_type.as_str() == name);
            if let Some((_, place)) = place {
                once(place, value)?;
            }
        }
        Ok(AmountsJson(amounts.into_iter().map(Option::flatten).collect()))
    }
}

/// A limit. -1 means no limit, and is never read as a number of minutes.
fn limit_or_none(raw: &str) -> Option<Option<Decimal>> {
    match decimal(raw)? {
        limit if limit >= Decimal::ZERO => Some(Some(limit)),
        none if none == Decimal::NEGATIVE_ONE => Some(None),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{cloud::listing::Listing, usage::used_by_all};

    fn parse(body: &str) -> Result<ListPage<SubUser>, Unreadable> {
        page(body.as_bytes(), &Secrets::default())
    }

    /// A type, with its limit and its usage.
    type Shown = (&'static str, Option<String>, Option<String>);

    fn user(fields: &str) -> Result<Vec<Shown>, String> {
        let page = parse(&format!(r#"{{"count":1,"assets":[{{"user_id":"u",{fields}}}]}}"#));
        let user = page.map_err(|error| error.to_string())?.entries.remove(0);
        let text = |amount: Option<Decimal>| amount.map(|amount| amount.to_string());
        let quota = |(of, quota): (QuotaType, Quota)| (of.as_str(), text(quota.limit), text(quota.used));
        Ok(user.quotas.into_iter().map(quota).collect())
    }

    #[test]
    fn reads_the_example_of_the_contract() {
        let page = parse(
            r#"{"count":2,"assets":[{"user_id":"u1","quota":{"video_time_2d_model":600,"video_time_flexus_2d_model":-1},
                "usage":{"video_time_2d_model":580.5}},{"user_id":"u2","quota":{"video_time_2d_model":-1}}]}"#,
        );
        let ListPage { count, entries } = page.unwrap();
        assert_eq!((count, entries.len()), (Some(2), 2));
        let quotas: Vec<_> = entries[0].quotas.iter().collect();
        let [(of, quota)] = quotas[..] else { panic!("{quotas:?}") };
        assert_eq!((of.as_str(), quota.limit), ("video_time_2d_model", Some(600.into())));
        assert_eq!(quota.used.unwrap().to_string(), "580.5");
        assert_eq!((entries[1].id.as_str(), entries[1].quotas.len()), ("u2", 0), "-1 is no number of minutes");
    }

    #[test]
    fn a_limit_of_minus_one_is_none() {
        for none in ["-1", "-1.0", "\"-1\"", "null"] {
            let fields = format!(r#""quota":{{"voice_clone_basic":{none}}},"usage":{{"voice_clone_basic":"3.0"}}"#);
            assert_eq!(user(&fields).unwrap(), [("voice_clone_basic", None, Some("3.0".to_owned()))], "{none}");
        }
        let zero = user(r#""quota":{"voice_clone_basic":0,"new":{"a":[]}}"#).unwrap();
        assert_eq!(zero, [("voice_clone_basic", Some("0".to_owned()), None)], "nothing may be used");
    }

    #[test]
    fn what_cannot_be_read_is_an_error() {
        assert_eq!(parse("{}").unwrap_err().to_string(), "it has neither count nor assets");
        for (fields, name) in [
            (r#""quota":{"voice_clone_basic":-2}"#, "voice_clone_basic"),
            (r#""quota":{"voice_clone_basic":"many"}"#, "voice_clone_basic"),
            (r#""usage":{"voice_clone_basic":[]}"#, "voice_clone_basic"),
            (r#""usage":[1]"#, "usage"),
            (r#""quota":{"voice_clone_basic":1,"voice_clone_basic":1}"#, "quota"),
        ] {
            let expected = format!("entry 1 of assets: {name} has a value that cannot be read");
            assert_eq!(user(fields), Err(expected), "{fields}");
        }
        let without_id = parse(r#"{"assets":[{"usage":{"voice_clone_basic":1}}]}"#).unwrap().entries.remove(0);
        assert_eq!((without_id.id.as_str(), without_id.quotas.len()), ("", 1), "usage that belongs to no user");
    }

    #[test]
    fn a_user_shows_no_secret() {
        let secrets: Secrets = [&secrecy::SecretString::from("hunter2".to_owned())].into_iter().collect();
        let body = br#"{"assets":[{"user_id":"hunter2"}]}"#;
        let user = super::page(body, &secrets).unwrap().entries.remove(0);
        assert!(!user.id.contains("hunter2"), "{user:?}");
    }

    proptest! {
        /// Any number of users, in pages of any length, with amounts in any form.
        #[test]
        fn the_use_of_all_users_is_exact(
            users in prop::collection::vec((0..1_000_000_i64, prop::option::of(-1..1000_i64), 0..3_u8), 0..250),
            cap in 2..=100_usize,
            has_count: bool,
        ) {
            let row = |(id, (hundredths, limit, form)): (usize, &(i64, Option<i64>, u8))| {
                let used = match (form, Decimal::new(*hundredths, 2)) {
                    (0, used) => used.to_string(),
                    (1, used) => format!("\"{used}\""),
                    (_, _) => format!("{hundredths}e-2"),
                };
                let limit = limit.map_or_else(String::new, |limit| format!(r#""video_time_2d_model":{limit}.0"#));
                format!(r#"{{"user_id":"{id}","quota":{{{limit}}},"usage":{{"video_time_2d_model":{used}}}}}"#)
            };
            let rows: Vec<String> = users.iter().enumerate().map(row).collect();
            let count = if has_count { format!(r#""count":{},"#, rows.len()) } else { String::new() };
            let mut listing = Listing::new();
            loop {
                let page: Vec<&str> = rows.iter().skip(listing.offset()).take(cap).map(String::as_str).collect();
                let body = format!(r#"{{{count}"assets":[{}]}}"#, page.join(","));
                if listing.add(parse(&body).unwrap()).unwrap() {
                    break;
                }
            }
            let found = listing.finish();
            prop_assert_eq!(found.len(), users.len());
            let used: Decimal = used_by_all(&found).unwrap().into_values().sum();
            prop_assert_eq!(used, Decimal::new(users.iter().map(|(hundredths, ..)| hundredths).sum(), 2));
            let limited = |user: &SubUser| user.quotas.values().any(|quota| quota.limit.is_some());
            let expected = users.iter().filter(|(_, limit, _)| limit.is_some_and(|limit| limit >= 0)).count();
            prop_assert_eq!(found.iter().filter(|user| limited(user)).count(), expected);
        }
    }
}
