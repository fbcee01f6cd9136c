//! One write, as the trail keeps it.

use kit::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    pub actor_kind: String,
    pub actor_id: String,
    pub role: String,
    pub resource: String,
    pub resource_id: String,
    pub action: String,
    /// Before and after as JSON text: whatever the services write, no key of it means anything to the database.
    pub before: Option<String>,
    pub after: Option<String>,
    pub reason: String,
    pub request_id: String,
    #[serde(with = "store::time")]
    pub occurred_at: Timestamp,
    /// The place in the chain, from 1; 0 for entries of before there was one.
    #[serde(default)]
    pub position: i64,
    #[serde(default)]
    pub previous_hash: String,
    #[serde(default)]
    pub hash: String,
}

/// Which entries a list shows; what is none or empty does not restrict.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Search {
    pub actor_id: String,
    pub resource: String,
    pub resource_id: String,
    pub action: String,
    pub from: Option<Timestamp>,
    pub to: Option<Timestamp>,
}

/// Names of fields that never belong into the trail, whoever wrote them there.
const NEVER: [&str; 12] = [
    "email",
    "name_of_person",
    "phone",
    "address",
    "secret",
    "token",
    "password",
    "code",
    "api_key",
    "access_token",
    "refresh_token",
    "signing_secret",
];

/// Takes out what must not be kept, at any depth.
pub fn scrubbed(value: Value) -> Value {
    match value {
        Value::Object(fields) => Value::Object(
            fields
                .into_iter()
                .filter(|(k, _)| !NEVER.contains(&k.as_str()))
                .map(|(k, v)| (k, scrubbed(v)))
                .collect(),
        ),
        Value::Array(items) => Value::Array(items.into_iter().map(scrubbed).collect()),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn secrets_and_personal_fields_do_not_stay() {
        let said = json!({ "name": "Shop", "secret": "x", "deep": [{ "email": "a@b.c", "ok": 1 }] });
        assert_eq!(scrubbed(said), json!({ "name": "Shop", "deep": [{ "ok": 1 }] }));
    }
}
