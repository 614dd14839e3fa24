//! KeystoneListAuthDomains of IAM: finds the id of the account that the credentials belong to.
//!
//! `GET /v3/auth/domains` (contract, section 6). It needs no permission. The SDK takes the first account of the list;
//! the exporter accepts only one.

use std::sync::Arc;

use serde::Deserialize;

use super::{
    client::{ApiRequest, Call},
    error::{Error, Refusal},
};
use crate::usage::{Operation, Reason};

#[derive(Deserialize)]
struct DomainsJson {
    domains: Vec<DomainJson>,
}

#[derive(Deserialize)]
struct DomainJson {
    id: String,
}

/// The id of the account of the client.
///
/// # Errors
/// Any [`Error`] of the request; [`Error::NoAccount`] if IAM names no account or several; [`Error::Malformed`] if its
/// answer cannot be read.
pub(super) async fn look_up(call: &mut Call<'_>) -> Result<Arc<str>, Error> {
    let (client, memory) = (call.client, call.client.new_answer());
    let request = ApiRequest {
        advice,
        ..ApiRequest::get(Operation::KeystoneListAuthDomains, client.iam_endpoint(), "/v3/auth/domains", &memory)
    };
    let success = call.send(request).await?;
    only(&success.body)
}

fn advice(refusal: &Refusal) -> Option<&'static str> {
    match refusal.reason() {
        Reason::Forbidden | Reason::BadRequest => Some("Set domain_id of the account, or check api.iam_endpoint"),
        _ => None,
    }
}

/// The only account of the list that IAM sent. The errors show no id.
///
/// # Errors
/// [`Error::NoAccount`] if there is none or more than one; [`Error::Malformed`] if the list cannot be read.
pub(super) fn only(list: &[u8]) -> Result<Arc<str>, Error> {
    let list: Result<DomainsJson, _> = serde_json::from_slice(list);
    let list = list.map_err(|_| Error::Malformed("IAM sent no list of accounts that can be read".to_owned()))?;
    let [account] = &list.domains[..] else {
        let number = list.domains.len();
        return Err(Error::NoAccount(format!("IAM names {number} accounts for these credentials, expected one")));
    };
    // The id becomes the value of a header.
    let is_id = |id: &str| (1..=64).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_alphanumeric());
    if !is_id(&account.id) {
        return Err(Error::Malformed("IAM sent an account id that is not 1 to 64 letters and digits".to_owned()));
    }
    Ok(account.id.as_str().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_one_account_is_taken() {
        let only = |list: &str| only(list.as_bytes()).map(|id| id.to_string()).map_err(|error| error.report());
        let list = r#"{"domains":[{"id":"37ef61","name":"my domain","enabled":true}],"links":{}}"#;
        assert_eq!(only(list).unwrap(), "37ef61");
        for (list, message) in [
            (r#"{"domains":[]}"#, "IAM names 0 accounts for these credentials, expected one. Set domain_id"),
            (r#"{"domains":[{"id":"a"},{"id":"b"}]}"#, "IAM names 2 accounts"),
            (r#"{"domains":[{"id":"a\r\nx: y"}]}"#, "not 1 to 64 letters and digits"),
            (r#"{"domains":[{"id":""}]}"#, "not 1 to 64 letters and digits"),
            ("{}", "no list of accounts"),
        ] {
            let error = only(list).unwrap_err();
            assert!(error.contains(message), "{list}: {error}");
        }
    }
}
