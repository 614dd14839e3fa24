//! What gives credentials: IAM's tokens for users, and the metadata service's keys for instances.
//!
//! Shapes as in the contract, sections 5 and 7.1.

use std::collections::HashMap;

use chrono::{DateTime, Duration, SecondsFormat, Utc};
use hyper::StatusCode;
use serde_json::{Value, json};

/// The user that exists.
#[derive(Clone, Debug)]
pub struct User {
    /// The account's name.
    pub domain: String,
    /// Its name.
    pub name: String,
    /// Its password.
    pub password: String,
}

/// What has been issued.
#[derive(Debug, Default)]
pub(super) struct Issued {
    /// The project of each token.
    tokens: HashMap<String, String>,
    /// Secret key and security token of each access key.
    keys: HashMap<String, (String, String)>,
}

/// The header that a metadata client must send back.
pub(super) const METADATA_TOKEN: &str = "simulated-metadata-token";

impl Issued {
    /// The project that a token was issued for.
    pub fn project_of(&self, token: &str) -> Option<&str> {
        self.tokens.get(token).map(String::as_str)
    }

    /// Secret key and security token of temporary keys.
    pub fn keys_of(&self, access_key: &str) -> Option<&(String, String)> {
        self.keys.get(access_key)
    }

    /// `POST /v3/auth/tokens`: the status, the token, and the body.
    pub fn token(
        &mut self,
        user: &User,
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
        let project = text("/auth/scope/project/id");
        if text("/auth/identity/methods/0") != "password" || project.is_empty() {
            return error(StatusCode::BAD_REQUEST, "Bad Request", "Request body is invalid.");
        }
        if given != [user.domain.clone(), user.name.clone(), user.password.clone()] {
            return error(StatusCode::UNAUTHORIZED, "Unauthorized", "The username or password is wrong.");
        }
        let token = format!("simulated-token-{}", self.tokens.len() + 1);
        self.tokens.insert(token.clone(), project.clone());
        let body = json!({"token": {
            "expires_at": (now + lifetime).to_rfc3339_opts(SecondsFormat::Micros, true),
            "methods": ["password"],
            "project": {"id": project, "name": "cn-north-4"},
        }});
        (StatusCode::CREATED, Some(token), body)
    }

    /// `GET /openstack/latest/securitykey`.
    pub fn security_key(&mut self, now: DateTime<Utc>, lifetime: Duration) -> Value {
        let number = self.keys.len() + 1;
        let (access_key, secret_key) = (format!("HSTSIMULATED{number}"), format!("temporary-secret-{number}"));
        let security_token = format!("temporary-token-{number}==");
        self.keys.insert(access_key.clone(), (secret_key.clone(), security_token.clone()));
        json!({"credential": {
            "access": access_key,
            "secret": secret_key,
            "securitytoken": security_token,
            "expires_at": (now + lifetime).to_rfc3339_opts(SecondsFormat::Micros, true),
        }})
    }
}
