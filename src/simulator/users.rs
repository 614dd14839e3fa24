//! ListUserQuotas and ShowTenantServiceConfigs: the quotas of the sub-users with the minutes that they have used of the
//! simulated usage, and whether sub-account isolation is on.

use serde_json::{Map, Value, json};

use super::{
    history::{self, USERS},
    lists::{Answer, Request, number},
    packages::start_of_month,
};

/// The sub-users.
///
/// # Errors
/// None. All operations have the same type, and some have parameters that can be invalid.
pub(super) fn list(request: &Request<'_>) -> Result<Answer, String> {
    let mut rows: Vec<Value> = (0..USERS.len()).map(|index| user(request, index)).collect();
    rows.extend((0..u32::from(request.service.users.unwrap_or_default())).map(|number| further(number, "further")));
    Ok(Answer::List { name: "assets", rows, inserted: |number| further(number, "inserted") })
}

/// A user. The second user has no limits of minutes. The other users have limits that they do not reach.
fn user(request: &Request<'_>, index: usize) -> Value {
    let Request { project, service, now, .. } = request;
    let used = |resource_type: &str| {
        let patterns = project.usage.iter().filter(|pattern| pattern.resource_type == Some(resource_type));
        let month = start_of_month(*now).to_utc();
        let events = patterns.flat_map(|pattern| history::events(&project.id, pattern, month, *now));
        let hundredths: i64 = events.filter(|event| event.user == index as u64).map(|event| event.hundredths).sum();
        number(service, hundredths as f64 / 100.0)
    };
    let limit = if index == 1 { -1.0 } else { 100_000.0 };
    let types = ["video_time_2d_model", "video_time_flexus_2d_model"];
    let mut quota: Map<String, Value> = types.iter().map(|name| ((*name).to_owned(), number(service, limit))).collect();
    let usage: Map<String, Value> = types.iter().map(|name| ((*name).to_owned(), used(name))).collect();
    quota.insert("modeling_count_2d_model".to_owned(), number(service, 5.0));
    json!({"user_id": USERS.get(index), "quota": quota, "usage": usage})
}

/// A user who has used 95% of a quota of minutes, and 95% of a quota of voices.
fn further(number: u32, id: &str) -> Value {
    json!({
        "user_id": format!("{id}-{number}"),
        "quota": {"video_time_2d_model": 10, "voice_clone_basic": 20, "video_time_flexus_2d_model": -1},
        "usage": {"video_time_2d_model": 9.5, "voice_clone_basic": 19},
    })
}

/// Whether sub-account isolation is on.
///
/// # Errors
/// None. All operations have the same type, and some have parameters that can be invalid.
pub(super) fn service_configs(request: &Request<'_>) -> Result<Answer, String> {
    let control = json!({"separately_controlled": request.service.isolation, "sub_account_type": "IAM_USER"});
    Ok(Answer::Object(json!({"sub_account_control_config": control})))
}
