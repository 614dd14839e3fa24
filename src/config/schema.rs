//! The JSON schema of the configuration file, for editors.
//!
//! An editor completes keys with it and marks faults. It knows less than `check`: it sees one value at a time, no other
//! files and no variables.

use serde_json::{Map, Value, json};

use super::{
    collectors::Collect,
    endpoint::{REGIONS, Site},
    project::{KEYS, Users, types},
};
use crate::usage::{Collector, Window};

/// The schema, as a JSON document.
pub fn json() -> String {
    format!("{:#}\n", root())
}

fn root() -> Value {
    let project = project();
    let mut root = section(
        "",
        &["projects"],
        [
            ("poll", poll()),
            (
                "windows",
                optional(windows("time windows of the usage; each one is one query in each poll of a project")),
            ),
            (
                "collect",
                optional(collect(&format!(
                    "collectors that run in addition to the polls of the usage: all, or a list of {}",
                    Collector::CONFIGURABLE.map(Collector::as_str).join(", ")
                ))),
            ),
            ("collectors", collectors()),
            (
                "timezone",
                optional(text(
                    "IANA name of the time zone in which calendar windows begin and end",
                    "^[A-Za-z0-9+_/-]+$",
                )),
            ),
            ("api", api()),
            ("credentials", credentials()),
            ("defaults", optional(defaults(&project))),
            (
                "projects",
                json!({"type": "array", "description": "the projects to poll", "minItems": 1, "items": project}),
            ),
            (
                "accounts",
                optional(json!({
                    "type": "array",
                    "description": "the accounts whose pay-per-use packages are collected from the billing service",
                    "items": account(),
                })),
            ),
            (
                "budgets",
                optional(json!({
                    "type": "array",
                    "description": "usage limits of several projects together, for the alerts",
                    "items": shared_budget(),
                })),
            ),
        ],
    );
    if let Some(fields) = root.as_object_mut() {
        fields.insert("$schema".to_owned(), "https://json-schema.org/draft/2020-12/schema".into());
        fields.insert("title".to_owned(), "Configuration of metastudio-exporter".into());
        fields.insert("patternProperties".to_owned(), json!({"^x-": {}}));
    }
    root
}

/// The keys of a project that all projects may inherit.
fn defaults(project: &Value) -> Value {
    let mut defaults = project.clone();
    if let (Some(all), Some(defaults)) = (project.pointer("/properties"), defaults.as_object_mut()) {
        let keys = KEYS.iter().filter_map(|key| Some(((*key).to_owned(), all.get(key)?.clone())));
        defaults.insert("properties".to_owned(), Value::Object(keys.collect()));
        defaults.remove("required");
        defaults.insert("description".to_owned(), "values for all projects that do not have their own".into());
    }
    defaults
}

fn poll() -> Value {
    optional(section(
        "when projects are polled",
        &[],
        [
            (
                "interval",
                duration(
                    "1m to 24h; each project is polled once per interval, and the polls are spread over the interval",
                ),
            ),
            ("timeout", duration("deadline of one whole poll of a project, including retries")),
            ("concurrency", integer("number of projects polled at the same time", 1, 1024)),
            (
                "stale_after",
                duration("after this time without a successful poll, the usage of the project is no longer exported"),
            ),
        ],
    ))
}

fn collectors() -> Value {
    let list = |plural: &str, owner: &str| {
        let also = if plural == "sub-users" { ", also for user_ids: all" } else { "" };
        let interval = duration(&format!("1m to 24h; time between two requests for the {plural} of {owner}{also}"));
        let series = format!("number of {plural} of {owner} with series of their own, 0 to 1000{also}");
        let keys = [("interval", interval), ("series", integer(&series, 0, 1000))];
        let each = owner.rsplit(' ').next().unwrap_or_default();
        optional(section(&format!("{plural} of each {each}"), &[], keys))
    };
    let sessions = section(
        "live sessions and videos of each project",
        &[],
        [
            (
                "interval",
                duration("1m to 24h; time between two requests for the live sessions and videos of a project"),
            ),
            ("max_duration", duration("1m to 30d; an alert fires when a live session runs longer")),
        ],
    );
    let reconciliation = section(
        "comparison of the usage with live sessions, videos and packages of each project",
        &[],
        [(
            "interval",
            duration("1m to 24h; time between two readings of the packages of a project, to compare with the usage"),
        )],
    );
    let keys = [
        ("packages", list("packages", "a project")),
        ("sub_users", list("sub-users", "a project")),
        ("sessions", optional(sessions)),
        ("reconciliation", optional(reconciliation)),
        ("billing", list("packages", "an account")),
    ];
    optional(section("how collectors ask the cloud", &[], keys))
}

fn api() -> Value {
    optional(section(
        "requests to the cloud",
        &[],
        [
            ("request_timeout", duration("deadline of one attempt of an HTTP request")),
            ("max_retries", integer("retries of one HTTP request", 0, 10)),
            (
                "requests_per_second",
                optional(json!({
                    "type": "number",
                    "description": "limit for all projects of one entry of credentials and one region together",
                    "minimum": 0.01,
                    "maximum": 1000,
                })),
            ),
            ("page_size", integer("entries per page, 1 to 1000", 1, 1000)),
            (
                "max_rows",
                integer(
                    "rows of an answer on all its pages, 1000 to 1000000; 100,000 rows need about 40 MB",
                    1000,
                    1_000_000,
                ),
            ),
            (
                "iam_endpoint",
                endpoint(
                    "IAM endpoint for tokens and project ids; the variable HUAWEICLOUD_SDK_IAM_ENDPOINT also sets it",
                ),
            ),
            ("ca_file", optional(name("additional CA for a private endpoint"))),
            (
                "proxy",
                optional(secret(
                    "URL of an HTTP proxy, {env: NAME} or {file: PATH}; read at the start and at each reload. Without \
                     it, HTTPS_PROXY, HTTP_PROXY, ALL_PROXY and NO_PROXY apply",
                )),
            ),
        ],
    ))
}

fn credentials() -> Value {
    let entry = section(
        "one source of keys",
        &[],
        [
            ("access_key", optional(secret("AK"))),
            ("secret_key", optional(secret("SK"))),
            ("security_token", optional(secret("the security token of temporary keys"))),
            ("token", optional(secret("an IAM token"))),
            ("iam_user", optional(iam_user())),
            (
                "ecs_agency",
                optional(section(
                    "temporary keys from the agency of the ECS instance",
                    &[],
                    [("endpoint", endpoint("address of the metadata service"))],
                )),
            ),
            ("oidc", optional(oidc())),
            ("pod_identity", optional(pod_identity())),
            (
                "profile",
                optional(section(
                    "the profile file of the official SDK",
                    &[],
                    [("file", optional(name("path of the file")))],
                )),
            ),
        ],
    );
    optional(json!({
        "type": "object",
        "description": "sources of the keys by name",
        "additionalProperties": entry,
    }))
}

fn iam_user() -> Value {
    section(
        "an IAM user",
        &["domain", "user", "password"],
        [
            ("domain", name("account name")),
            ("user", name("name of the IAM user")),
            ("password", secret("password of the IAM user")),
            ("endpoint", endpoint("endpoint of IAM")),
        ],
    )
}

fn pod_identity() -> Value {
    let url = text("URL in the pod's variable HC_CONTAINER_CREDENTIALS_FULL_URI", "^https?://.");
    let token = secret("file in the pod's variable HC_CONTAINER_AUTHORIZATION_TOKEN_FILE");
    section(
        "temporary keys from the agency of the CCE pod's service account",
        &[],
        [("url", optional(url)), ("token", optional(token))],
    )
}

fn oidc() -> Value {
    section(
        "temporary keys from STS, for an agency that trusts an OpenID Connect provider",
        &["provider_urn", "agency_urn", "id_token"],
        [
            ("provider_urn", name("URN of the identity provider in IAM")),
            ("agency_urn", name("URN of the agency that trusts this provider")),
            ("id_token", secret("ID token of the provider; use a file that another program keeps up to date")),
            (
                "session_name",
                optional(json!({
                    "type": "string",
                    "description": "session name, 2 to 128 characters",
                    "minLength": 2,
                    "maxLength": 128,
                })),
            ),
            ("duration", duration("lifetime of the keys: 15m to 12h, at most as long as the agency allows")),
            ("policy", optional(name("policy in JSON that restricts the permissions of the keys"))),
            ("policy_ids", optional(names("ids of policies that restrict the permissions of the keys"))),
            ("endpoint", endpoint("endpoint of STS; the variable HUAWEICLOUD_SDK_STS_ENDPOINT also sets it")),
        ],
    )
}

fn project() -> Value {
    let resource_type = "keep only these resource types; empty keeps all";
    let business_type = "keep only these business types; empty keeps all";
    section(
        "a project to poll",
        &["name"],
        [
            ("name", name("value of the label project; must be unique")),
            ("region", optional(with_examples(text("determines the endpoint", "^[a-z0-9-]+$"), &REGIONS))),
            ("endpoint", endpoint("https://HOST or https://HOST:PORT")),
            (
                "project_id",
                optional(text(
                    "id of the project. If it is not set, the exporter looks up the project that has the same name as the region",
                    "^[A-Za-z0-9_-]+$",
                )),
            ),
            ("credentials", optional(name("name of an entry of credentials"))),
            (
                "labels",
                optional(json!({
                    "type": "object",
                    "description": "added to every series of the project, e.g. {team: marketing}",
                    "propertyNames": {"pattern": "^(?!__)[A-Za-z_][A-Za-z0-9_]*$"},
                    "additionalProperties": {"type": "string"},
                })),
            ),
            (
                "user_ids",
                optional(users(
                    "one query per sub-user in this list; adds the label user_id. all: every sub-user that the service lists, \
                     and a series with an empty user_id for the rest of the usage",
                )),
            ),
            ("app_user_id", optional(text("value of the request header X-App-UserId", "^[!-~]+$"))),
            ("resource_types", optional(names_of(resource_type, &types::RESOURCE_TYPES))),
            ("business_types", optional(names_of(business_type, &types::BUSINESS_TYPES))),
            ("interval", duration("overrides poll.interval")),
            ("stale_after", duration("overrides poll.stale_after")),
            ("windows", optional(windows("overrides windows"))),
            ("collect", optional(collect("overrides collect"))),
            (
                "budgets",
                optional(json!({"type": "array", "description": "usage limits for the alerts", "items": budget()})),
            ),
        ],
    )
}

fn account() -> Value {
    let site = json!({
        "description": "site of the account, which determines the endpoint: china, international or europe",
        "enum": Site::ALL.map(Site::as_str),
    });
    let service_types =
        "keep only packages of services with these codes; empty keeps those whose code contains metastudio";
    section(
        "an account whose packages are collected from the billing service",
        &["name"],
        [
            ("name", name("value of the label account; must be unique")),
            ("site", optional_enum(site)),
            ("endpoint", endpoint("endpoint of the billing service")),
            ("credentials", optional(name("name of an entry of credentials"))),
            (
                "domain_id",
                optional(text(
                    "id of the account. If it is not set, the exporter looks up the account of the credentials",
                    "^[A-Za-z0-9]+$",
                )),
            ),
            (
                "enterprise_project_ids",
                optional(names(
                    "one more query for each enterprise project in this list, because no other query returns its \
                     packages",
                )),
            ),
            ("service_types", optional(names(service_types))),
        ],
    )
}

fn shared_budget() -> Value {
    let label = json!({
        "type": "object",
        "description": "all projects with this label, such as {team: marketing}",
        "minProperties": 1,
        "additionalProperties": {"type": "string"},
    });
    let [minutes, resource_type, business_type] = limit();
    section(
        "a limit of usage of several projects together",
        &["name", "window", "minutes"],
        [
            ("name", name("value of the label budget; must be unique")),
            ("projects", optional(names("names of the projects"))),
            ("label", optional(label)),
            ("window", window("a window that all these projects poll")),
            minutes,
            resource_type,
            business_type,
        ],
    )
}

fn budget() -> Value {
    let [minutes, resource_type, business_type] = limit();
    section(
        "a limit of usage",
        &["window", "minutes"],
        [
            ("window", window("one of the project's windows")),
            minutes,
            resource_type,
            business_type,
            ("user_id", optional(name("limits the budget to one of user_ids; with all, to one sub-user"))),
        ],
    )
}

/// The keys that the budgets of projects and shared budgets have in common, except for `window`.
fn limit() -> [(&'static str, Value); 3] {
    let minutes = json!({
        "type": "number",
        "description": "how many minutes may be used in this window",
        "minimum": 0.01,
        "maximum": 1e12,
    });
    [
        ("minutes", minutes),
        ("resource_type", optional(name("limits the budget to one resource type"))),
        ("business_type", optional(name("limits the budget to one business type"))),
    ]
}

/// A mapping with these keys only.
fn section<const N: usize>(description: &str, required: &[&str], keys: [(&str, Value); N]) -> Value {
    let properties: Map<String, Value> = keys.into_iter().map(|(key, schema)| (key.to_owned(), schema)).collect();
    json!({
        "type": "object",
        "description": description,
        "properties": properties,
        "required": required,
        "additionalProperties": false,
    })
}

/// Also allows null, which means that the key is absent.
fn optional(mut schema: Value) -> Value {
    if let Some(fields) = schema.as_object_mut() {
        match fields.get_mut("type") {
            Some(kind) => *kind = json!([kind.clone(), "null"]),
            None => {
                if let Some(kinds) = fields.get_mut("anyOf").and_then(Value::as_array_mut) {
                    kinds.push(json!({"type": "null"}));
                }
            }
        }
    }
    schema
}

/// One of some values, or null.
fn optional_enum(mut schema: Value) -> Value {
    if let Some(values) = schema.get_mut("enum").and_then(Value::as_array_mut) {
        values.push(Value::Null);
    }
    schema
}

fn text(description: &str, pattern: &str) -> Value {
    json!({"type": "string", "description": description, "pattern": pattern})
}

/// A text that is not blank.
fn name(description: &str) -> Value {
    text(description, r"\S")
}

fn names(description: &str) -> Value {
    json!({
        "type": "array",
        "description": description,
        "items": {"type": "string", "pattern": r"\S"},
        "uniqueItems": true,
    })
}

/// Other names than the documented ones are allowed, too.
fn names_of(description: &str, documented: &[&str]) -> Value {
    let mut list = names(description);
    if let Some(items) = list.get_mut("items") {
        *items = with_examples(items.take(), documented);
    }
    list
}

fn with_examples(mut schema: Value, examples: &[&str]) -> Value {
    if let Some(fields) = schema.as_object_mut() {
        fields.insert("examples".to_owned(), examples.into());
    }
    schema
}

fn collect(description: &str) -> Value {
    let names = json!({
        "type": "array",
        "items": {"enum": Collector::CONFIGURABLE.map(Collector::as_str)},
        "uniqueItems": true,
    });
    json!({"description": description, "anyOf": [{"const": Collect::ALL}, names]})
}

fn users(description: &str) -> Value {
    let mut list = names("");
    if let Some(fields) = list.as_object_mut() {
        fields.remove("description");
    }
    json!({"description": description, "anyOf": [{"const": Users::ALL}, list]})
}

fn windows(description: &str) -> Value {
    json!({
        "type": "array",
        "description": description,
        "items": window("a window of time"),
        "minItems": 1,
        "uniqueItems": true,
    })
}

fn window(description: &str) -> Value {
    let names = Window::calendar_names();
    let pattern = format!("^({}|[1-9][0-9]*[hd])$", names.join("|"));
    with_examples(text(description, &pattern), &[&names[..], &["24h", "7d", "30d"]].concat())
}

/// A duration as the crate `humantime` reads it. Only the exporter checks its range.
fn duration(description: &str) -> Value {
    let number = r"[0-9][0-9\s]*(\.\s*[0-9][0-9\s]*)?";
    let units = [
        "nanos|nsec|ns|usec|us|µs|millis|msec|ms|seconds?|secs?|s|minutes?|mins?|m",
        "hours?|hrs?|h|days?|d|weeks?|wks?|w|months?|M|years?|yrs?|y",
    ];
    let pattern = format!(r"^\s*({number}({})\s*)+$", units.join("|"));
    optional(with_examples(text(description, &pattern), &["90s", "5m", "1h30m"]))
}

fn integer(description: &str, minimum: u32, maximum: u32) -> Value {
    optional(json!({"type": "integer", "description": description, "minimum": minimum, "maximum": maximum}))
}

fn endpoint(description: &str) -> Value {
    optional(text(description, "^https?://[^/@?#]+/?$"))
}

/// A text, or the place where the exporter reads the text.
fn secret(description: &str) -> Value {
    let place = |key: &str| section("the place of the value", &[key], [(key, name("where to read the value"))]);
    json!({
        "description": description,
        "anyOf": [{"type": "string"}, place("env"), place("file")],
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_calendar_window_is_allowed() {
        for place in ["/properties/windows/items", "/properties/projects/items/properties/windows/items"] {
            let schema = root();
            let window = schema.pointer(place).unwrap();
            let pattern = window["pattern"].as_str().unwrap();
            let alternatives = pattern.strip_prefix("^(").and_then(|pattern| pattern.strip_suffix(")$")).unwrap();
            let allowed: Vec<&str> = alternatives.split('|').collect();
            for name in Window::calendar_names() {
                assert!(allowed.contains(&name), "{name} is not in {pattern}");
                assert!(window["examples"].as_array().unwrap().contains(&name.into()), "{name} is not an example");
            }
            assert!(allowed.contains(&"[1-9][0-9]*[hd]"), "no rolling window in {pattern}");
        }
    }
}
