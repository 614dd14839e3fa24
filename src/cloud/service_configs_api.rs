//! ShowTenantServiceConfigs: whether sub-account isolation is on.
//!
//! `GET /v1/{project_id}/tenants/service-configs` (contract, 16).

use std::cell::Cell;

use super::{
    client::{ApiRequest, Call},
    error::Error,
    json::{self, Raw, Unreadable, boolean, field, json_object},
};
use crate::usage::Operation;

/// Whether sub-account isolation is on. If it is, the key of an IAM user sees only the usage of that user. `None` if
/// the service does not say it.
///
/// # Errors
/// Any [`Error`] of the request.
pub async fn isolation(project_id: &str, call: &mut Call<'_>) -> Result<Option<bool>, Error> {
    let (client, memory) = (call.client, call.client.new_answer());
    let path = format!("/v1/{project_id}/tenants/service-configs");
    let request = ApiRequest {
        headers: &[("x-project-id", project_id)],
        ..ApiRequest::get(Operation::ShowTenantServiceConfigs, client.endpoint(), &path, &memory)
    };
    let success = call.send(request).await?;
    parse(&success.body).map_err(|cause| success.malformed("the configuration of the service", cause))
}

fn parse(body: &[u8]) -> Result<Option<bool>, Unreadable> {
    let free = Cell::new(1);
    let AnswerJson { sub_account_control_config: control } = json::read(body, &free)?;
    let control = field("sub_account_control_config", control, |text| {
        json::read::<ControlJson<'_>>(text.as_bytes(), &Cell::new(1)).ok()
    })?;
    field("separately_controlled", control.unwrap_or_default().separately_controlled, boolean)
}

json_object! {
    struct AnswerJson<'a> {
        sub_account_control_config: Raw<'a>,
    }
}

json_object! {
    struct ControlJson<'a> {
        separately_controlled: Raw<'a>,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn isolation_is_on_off_or_not_known() {
        let parsed = |control: &str| parse(format!(r#"{{"sub_account_control_config":{control}}}"#).as_bytes());
        let with = r#"{"separately_controlled":true,"sub_account_type":"IAM_USER"}"#;
        assert_eq!(parsed(with), Ok(Some(true)));
        assert_eq!(parsed(r#"{"separately_controlled":"False"}"#), Ok(Some(false)));
        for absent in ["null", "{}", r#"{"separately_controlled":null}"#] {
            assert_eq!(parsed(absent), Ok(None), "{absent}");
        }
        assert_eq!(parse(b"{}"), Ok(None));
        for wrong in ["[]", "true", r#"{"separately_controlled":"maybe"}"#] {
            assert!(parsed(wrong).is_err(), "{wrong}");
        }
    }
}
