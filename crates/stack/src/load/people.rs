//! The company and its people: everyone comes in through the front door, by invitation and mailed code.

use std::time::SystemTime;

use anyhow::Result;
use serde_json::{Value, json};

use super::api::{Api, text};
use super::mailbox::{self, Mailbox};

/// Signs a person in by mailed code; the API as that person.
pub async fn sign_in(api: &Api, mailbox: &Mailbox, email: &str) -> Result<Api> {
    let since = SystemTime::now();
    api.post("/v1/sessions", json!({ "email": email })).await?;
    let code = mailbox.wait(email, since, mailbox::code).await?;
    let session = api.post("/v1/sessions", json!({ "email": email, "code": code })).await?;
    Ok(api.with_token(&text(&session, "/access_token")?))
}

/// Invites a person to the company and accepts in their name with the token from the mail.
pub async fn invite(api: &Api, as_inviter: &Api, mailbox: &Mailbox, invitation: Value) -> Result<()> {
    let (since, email) = (SystemTime::now(), text(&invitation, "/email")?);
    let name = text(&invitation, "/name").unwrap_or_default();
    let mut body = invitation;
    if let Some(fields) = body.as_object_mut() {
        fields.remove("name");
    }
    as_inviter.post("/v1/invitations", body).await?;
    let token = mailbox.wait(&email, since, |mail| mailbox::token(mail, "/invitations/")).await?;
    api.post(&format!("/v1/invitations/by-token/{token}/accept"), json!({ "email": email, "name": name })).await?;
    Ok(())
}

/// A key of the company, shown this once.
pub async fn api_key(admin: &Api, company: &str, mode: &str, name: &str) -> Result<String> {
    let scopes = [
        "events:write", "usage:write", "customers:read", "customers:write", "flow:write", "content:read",
        "analytics:read", "redemptions:write",
    ];
    let body = json!({ "name": name, "mode": mode, "scopes": scopes });
    text(&admin.post(&format!("/v1/companies/{company}/api-keys"), body).await?, "/secret")
}
