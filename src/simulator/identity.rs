//! The services that issue credentials. IAM issues tokens to users. The metadata service, STS and the node agent issue
//! temporary keys to instances, to holders of an OpenID Connect token, and to pods.
//!
//! Sections 5 to 7 of the contract describe the formats.

use std::collections::HashMap;

use chrono::{DateTime, Duration, SecondsFormat, Utc};
use hyper::StatusCode;
use serde_json::{Value, json};

use super::history::SimulatedProject;

/// An IAM user.
#[derive(Clone, Debug)]
pub struct User {
    /// The name of the account.
    pub domain: String,
    /// The name of the user.
    pub name: String,
    /// The password of the user.
    pub password: String,
}

/// The tokens and temporary keys that were issued.
#[derive(Debug, Default)]
pub(super) struct IssuedCredentials {
    /// The id of the project or account of each token.
    tokens: HashMap<String, String>,
    /// Secret key and security token of each access key.
    keys: HashMap<String, (String, String)>,
}

/// The region of all projects. The default project of a region has the name of the region.
const REGION: &str = "cn-north-4";
/// An OpenID Connect token that STS accepts.
pub const ID_TOKEN: &str = "simulated-id-token";
/// The token of a service account with an agency.
pub const POD_TOKEN: &str = "simulated-pod-token";
/// The token that each request to the metadata service must carry.
pub(super) const METADATA_TOKEN: &str = "simulated-metadata-token";

struct TemporaryKeys {
    access: String,
    secret: String,
    token: String,
    expires: String,
}

/// Status and body.
type IdentityAnswer = (StatusCode, Value);

impl IssuedCredentials {
    /// The id of the project or account that a token was issued for.
    pub fn project_of(&self, token: &str) -> Option<&str> {
        self.tokens.get(token).map(String::as_str)
    }

    /// Secret key and security token of temporary keys.
    pub fn keys_of(&self, access_key: &str) -> Option<&(String, String)> {
        self.keys.get(access_key)
    }

    /// `POST /v3/auth/tokens`: status, token and body.
    pub fn token(
        &mut self,
        user: &User,
        default_project: &str,
        account_id: &str,
        request: &[u8],
        now: DateTime<Utc>,
        lifetime: Duration,
    ) -> (StatusCode, Option<String>, Value) {
        let request: Value = serde_json::from_slice(request).unwrap_or_default();
        let text = |pointer: &str| request.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
        let given = [
            text("/auth/identity/password/user/domain/name"),
            text("/auth/identity/password/user/name"),
            text("/auth/identity/password/user/password"),
        ];
        let error = |status: StatusCode, title: &str, message: &str| {
            let body = json!({"error": {"code": status.as_u16(), "message": message, "title": title}});
            (status, None, body)
        };
        let is_of_account = text("/auth/scope/domain/name") == user.domain;
        let issued_for = match text("/auth/scope/project/name").as_str() {
            REGION => default_project.to_owned(),
            _ if is_of_account => account_id.to_owned(),
            _ => text("/auth/scope/project/id"),
        };
        if text("/auth/identity/methods/0") != "password" || issued_for.is_empty() {
            return error(StatusCode::BAD_REQUEST, "Bad Request", "Request body is invalid.");
        }
        if given != [user.domain.clone(), user.name.clone(), user.password.clone()] {
            return error(StatusCode::UNAUTHORIZED, "Unauthorized", "The username or password is wrong.");
        }
        let token = format!("simulated-token-{}", self.tokens.len() + 1);
        self.tokens.insert(token.clone(), issued_for.clone());
        let mut body = json!({"token": {
            "expires_at": (now + lifetime).to_rfc3339_opts(SecondsFormat::Micros, true),
            "methods": ["password"],
        }});
        let scope = if is_of_account { ("domain", user.domain.as_str()) } else { ("project", REGION) };
        if let Some(token) = body.get_mut("token").and_then(Value::as_object_mut) {
            token.insert(scope.0.to_owned(), json!({"id": issued_for, "name": scope.1}));
        }
        (StatusCode::CREATED, Some(token), body)
    }

    /// `GET /openstack/latest/securitykey`.
    pub fn security_key(&mut self, now: DateTime<Utc>, lifetime: Duration) -> Value {
        let TemporaryKeys { access, secret, token, expires } = self.keys(now, lifetime);
        json!({"credential": {"access": access, "secret": secret, "securitytoken": token, "expires_at": expires}})
    }

    /// `POST /v5/agencies/assume-with-oidc`.
    pub fn assume_with_oidc(&mut self, request: &[u8], now: DateTime<Utc>, lifetime: Duration) -> IdentityAnswer {
        let request: Value = serde_json::from_slice(request).unwrap_or_default();
        let text = |key: &str| request.get(key).and_then(Value::as_str).unwrap_or_default();
        let names = ["provider_urn", "agency_urn", "agency_session_name"];
        if names.iter().any(|name| text(name).is_empty()) || !text("id_token").is_ascii() {
            return refusal(StatusCode::BAD_REQUEST, "a parameter is missing or wrong");
        }
        if text("id_token") != ID_TOKEN {
            return refusal(StatusCode::FORBIDDEN, "the id token is not trusted or has expired");
        }
        let asked = request.get("duration_seconds").and_then(Value::as_i64).map_or(lifetime, Duration::seconds);
        let TemporaryKeys { access, secret, token, expires } = self.keys(now, asked.min(lifetime));
        let body = json!({
            "credentials": {
                "access_key_id": access,
                "secret_access_key": secret,
                "security_token": token,
                "expiration": expires,
            },
            "assumed_agency": {"urn": text("agency_urn"), "id": "simulated"},
            "provider": text("provider_urn"),
        });
        (StatusCode::OK, body)
    }

    /// The answer of the node agent, with the spelling of CCE.
    pub fn pod_identity(
        &mut self,
        authorization: Option<&[u8]>,
        now: DateTime<Utc>,
        lifetime: Duration,
    ) -> IdentityAnswer {
        if authorization != Some(POD_TOKEN.as_bytes()) {
            return refusal(StatusCode::UNAUTHORIZED, "the service account is not associated with an agency");
        }
        let TemporaryKeys { access, secret, token, expires } = self.keys(now, lifetime);
        let body = json!({"credentials": {
            "accessKeyId": access,
            "secretAccessKey": secret,
            "securityToken": token,
            "expiration": expires,
        }});
        (StatusCode::OK, body)
    }

    fn keys(&mut self, now: DateTime<Utc>, lifetime: Duration) -> TemporaryKeys {
        let number = self.keys.len() + 1;
        let (access, secret) = (format!("HSTSIMULATED{number}"), format!("temporary-secret-{number}"));
        let token = format!("temporary-token-{number}==");
        self.keys.insert(access.clone(), (secret.clone(), token.clone()));
        // The SDK cannot parse a time without a fraction.
        let expires = (now + lifetime).to_rfc3339_opts(SecondsFormat::Micros, true);
        TemporaryKeys { access, secret, token, expires }
    }
}

/// `GET /v3/projects`: the projects, or only those with this name. The first is the default project of the region.
pub(super) fn projects(projects: &[SimulatedProject], name: Option<&str>) -> Value {
    let named = projects.iter().enumerate().map(|(index, project)| {
        let own = if index == 0 { REGION.to_owned() } else { format!("{REGION}_{}", project.name) };
        (own, &project.id)
    });
    let found = named
        .filter(|(own, _)| name.is_none_or(|name| name == own))
        .map(|(own, id)| json!({"id": id, "name": own, "domain_id": "simulated", "enabled": true, "is_domain": false}));
    json!({"projects": found.collect::<Vec<_>>(), "links": {}})
}

/// `GET /v3/auth/domains`: the account.
pub(super) fn domains(account_id: &str, name: &str) -> Value {
    json!({"domains": [{"id": account_id, "name": name, "enabled": true, "description": ""}], "links": {}})
}

fn refusal(status: StatusCode, message: &str) -> IdentityAnswer {
    (status, json!({"error_code": "SIM.0001", "error_msg": message}))
}
