//! What WorkOS answers, as far as we read it, in our words. Unknown fields and values are let be: WorkOS adds to its API
//! at will.

use kit::Timestamp;
use serde::Deserialize;
use serde_json::Value;

use super::provider::{Connection, ConnectionState, DirectoryUser, Group, Organization, ProviderError, Told};

/// A page of a list.
#[derive(Deserialize)]
pub struct List<T> {
    pub data: Vec<T>,
    #[serde(default)]
    pub list_metadata: ListMetadata,
}

#[derive(Default, Deserialize)]
pub struct ListMetadata {
    #[serde(default)]
    pub after: Option<String>,
}

#[derive(Deserialize)]
pub struct SignedIn {
    pub user: UserAnswer,
    #[serde(default)]
    pub organization_id: Option<String>,
    pub access_token: String,
    #[serde(default)]
    pub impersonator: Option<Value>,
}

#[derive(Deserialize)]
pub struct UserAnswer {
    pub id: String,
    pub email: String,
    #[serde(default)]
    pub email_verified: bool,
    #[serde(default)]
    pub first_name: Option<String>,
    #[serde(default)]
    pub last_name: Option<String>,
}

/// What standalone SSO answers. Its access token opens the profile only, which is here already.
#[derive(Deserialize)]
pub struct SsoSignedIn {
    pub profile: ProfileAnswer,
}

#[derive(Deserialize)]
pub struct ProfileAnswer {
    pub connection_id: String,
    pub idp_id: String,
    pub email: String,
    #[serde(default)]
    pub organization_id: Option<String>,
    #[serde(default)]
    first_name: Option<String>,
    #[serde(default)]
    last_name: Option<String>,
}

impl UserAnswer {
    pub fn full_name(&self) -> String {
        full_name(self.first_name.as_deref(), self.last_name.as_deref())
    }
}

impl ProfileAnswer {
    pub fn full_name(&self) -> String {
        full_name(self.first_name.as_deref(), self.last_name.as_deref())
    }
}

fn full_name(first: Option<&str>, last: Option<&str>) -> String {
    let parts = [first, last].into_iter().flatten().map(str::trim).filter(|p| !p.is_empty());
    parts.collect::<Vec<_>>().join(" ").chars().take(200).collect()
}

#[derive(Deserialize)]
pub struct OrganizationAnswer {
    id: String,
    name: String,
    #[serde(default)]
    external_id: Option<String>,
    #[serde(default)]
    domains: Vec<DomainAnswer>,
}

#[derive(Deserialize)]
struct DomainAnswer {
    domain: String,
    #[serde(default)]
    state: Option<String>,
}

impl From<OrganizationAnswer> for Organization {
    fn from(answer: OrganizationAnswer) -> Self {
        let OrganizationAnswer { id, name, external_id, domains } = answer;
        let proved = |state: Option<&str>| matches!(state, Some("verified" | "legacy_verified"));
        let domains = domains.into_iter().map(|d| (d.domain, proved(d.state.as_deref()))).collect();
        Self { id, name, external_id, domains }
    }
}

#[derive(Deserialize)]
pub struct ConnectionAnswer {
    id: String,
    state: String,
}

impl From<ConnectionAnswer> for Connection {
    fn from(answer: ConnectionAnswer) -> Self {
        let ConnectionAnswer { id, state } = answer;
        let state = match state.as_str() {
            "active" => ConnectionState::Active,
            "inactive" | "deleting" => ConnectionState::Inactive,
            _ => ConnectionState::Draft,
        };
        Self { id, state }
    }
}

#[derive(Deserialize)]
pub struct DirectoryAnswer {
    pub id: String,
    pub state: String,
}

impl DirectoryAnswer {
    /// `linked` when read, `active` in events.
    pub fn is_linked(&self) -> bool {
        matches!(self.state.as_str(), "linked" | "active")
    }
}

#[derive(Deserialize)]
pub struct DirectoryUserAnswer {
    id: String,
    directory_id: String,
    #[serde(default)]
    organization_id: Option<String>,
    #[serde(default)]
    email: Option<String>,
    state: String,
    #[serde(default)]
    groups: Vec<Group>,
    updated_at: Timestamp,
}

impl From<DirectoryUserAnswer> for DirectoryUser {
    fn from(answer: DirectoryUserAnswer) -> Self {
        let DirectoryUserAnswer { id, directory_id, organization_id, email, state, groups, updated_at } =
            answer;
        Self {
            id,
            directory: directory_id,
            organization: organization_id,
            email: email.unwrap_or_default(),
            active: state == "active",
            groups,
            updated_at,
        }
    }
}

#[derive(Deserialize)]
pub struct MembershipAnswer {
    pub status: String,
}

#[derive(Deserialize)]
pub struct PortalAnswer {
    pub link: String,
}

#[derive(Deserialize)]
pub struct EventAnswer {
    id: String,
    event: String,
    created_at: Timestamp,
    #[serde(default)]
    data: Value,
}

impl From<EventAnswer> for Told {
    fn from(answer: EventAnswer) -> Self {
        let EventAnswer { id, event, created_at, data } = answer;
        Self { id, name: event, at: created_at, data }
    }
}

/// Both shapes of errors: `error` and `error_description`, or `code` and `message`.
#[derive(Default, Deserialize)]
struct ErrorAnswer {
    #[serde(default)]
    error: Option<Value>,
    #[serde(default)]
    code: Option<Value>,
}

/// The word for what went wrong, whichever shape it came in; safe to log.
pub fn word(body: &[u8]) -> String {
    let answer: ErrorAnswer = serde_json::from_slice(body).unwrap_or_default();
    let text = |v: Option<Value>| v.and_then(|v| v.as_str().map(str::to_owned));
    let word = text(answer.error).or_else(|| text(answer.code)).unwrap_or_else(|| "unknown".into());
    plain(&word)
}

/// A provider's word without anything that could mislead whoever reads the log.
pub fn plain(word: &str) -> String {
    word.chars().filter(|c| c.is_ascii_alphanumeric() || "_-:. ".contains(*c)).take(80).collect()
}

/// What a status and an answer without success mean, for everything but the exchange of a code.
pub fn problem(status: u16, body: &[u8], retry_after: Option<std::time::Duration>) -> ProviderError {
    match status {
        401 | 403 => ProviderError::Credentials,
        404 => ProviderError::NotFound,
        429 => ProviderError::Throttled(retry_after),
        500.. => ProviderError::Down(status),
        _ => ProviderError::Refused(word(body)),
    }
}

/// The same for the exchange of a code: steps that the provider asks for first (a second factor, a verified address, a
/// choice of organization) are no failures of ours, and no sign-in either.
pub fn sign_in_problem(status: u16, body: &[u8], retry_after: Option<std::time::Duration>) -> ProviderError {
    let word = word(body);
    match (status, word.as_str()) {
        (_, "invalid_client" | "unauthorized_client") | (401, _) => ProviderError::Credentials,
        (429, _) => ProviderError::Throttled(retry_after),
        (500.., _) => ProviderError::Down(status),
        _ => ProviderError::Denied(word),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn denied(status: u16, body: &Value) -> String {
        match sign_in_problem(status, body.to_string().as_bytes(), None) {
            ProviderError::Denied(word) => word,
            other => panic!("{other}"),
        }
    }

    #[test]
    fn both_shapes_of_errors_are_read() {
        let oauth = json!({ "error": "invalid_grant", "error_description": "The code has expired" });
        assert_eq!(denied(400, &oauth), "invalid_grant");
        let plain = json!({ "code": "invalid_one_time_code", "message": "no" });
        assert_eq!(denied(400, &plain), "invalid_one_time_code");
        let step_up =
            json!({ "code": "mfa_enrollment", "message": "x", "pending_authentication_token": "t" });
        assert_eq!(denied(403, &step_up), "mfa_enrollment");
        assert_eq!(denied(400, &json!({ "error": { "deep": 1 } })), "unknown");
        assert_eq!(denied(422, &json!("text")), "unknown");
        let forged = json!({ "code": "x\r\nlevel=error <b>" });
        assert_eq!(denied(400, &forged), "xlevelerror b", "nothing that could begin a line of its own");
    }

    #[test]
    fn what_may_pass_is_told_from_what_will_not() {
        let body = br#"{"error":"invalid_client"}"#;
        assert!(matches!(sign_in_problem(400, body, None), ProviderError::Credentials));
        assert!(sign_in_problem(503, b"<html>", None).is_passing());
        assert!(problem(429, b"", None).is_passing() && problem(500, b"", None).is_passing());
        assert!(!problem(404, b"{}", None).is_passing());
        let code = json!({ "code": "external_id_already_used", "message": "x" }).to_string();
        assert!(
            matches!(problem(400, code.as_bytes(), None), ProviderError::Refused(w) if w == "external_id_already_used")
        );
    }

    #[test]
    fn states_of_tomorrow_are_no_proof() {
        let answer = |state: &str| -> Organization {
            let domains = json!([{ "domain": "a.example", "state": state }]);
            let whole = json!({ "id": "org_1", "name": "A", "domains": domains, "new_field": [] });
            serde_json::from_value::<OrganizationAnswer>(whole).unwrap().into()
        };
        assert!(answer("verified").domains[0].1 && answer("legacy_verified").domains[0].1);
        for not in ["pending", "failed", "unverified", "trusted"] {
            assert!(!answer(not).domains[0].1, "{not}");
        }
        let c = json!({ "id": "conn_1", "state": "validating" });
        let c: Connection = serde_json::from_value::<ConnectionAnswer>(c).unwrap().into();
        assert_eq!(c.state, ConnectionState::Draft);
    }
}
