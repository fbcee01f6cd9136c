//! The company and its people: everyone comes in through the front door, by invitation and mailed code.

use std::time::SystemTime;

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use super::api::{Api, is_refused, text};
use super::mailbox::{self, Mailbox};

/// What stands before the token in the link of an invitation.
const LINK: &str = "/v1/invitations/by-token/";

/// Signs a person in by mailed code; the API as that person.
pub async fn sign_in(api: &Api, mailbox: &Mailbox, email: &str) -> Result<Api> {
    Ok(api.with_token(&access_token(api, mailbox, email).await?))
}

/// Signs a person in by mailed code; their access token.
pub async fn access_token(api: &Api, mailbox: &Mailbox, email: &str) -> Result<String> {
    let since = SystemTime::now();
    api.post("/v1/sessions", json!({ "email": email })).await?;
    let code = mailbox.wait(email, since, mailbox::code).await?;
    let session = api.post("/v1/sessions", json!({ "email": email, "code": code })).await?;
    text(&session, "/access_token")
}

/// The company of this short name, made where it is not there.
pub async fn company(operator: &Api, wanted: Value) -> Result<Value> {
    let slug = text(&wanted, "/slug")?;
    let known = operator.all("/v1/companies").await?;
    match known.into_iter().find(|c| c.get("slug").and_then(Value::as_str) == Some(&slug)) {
        Some(company) => Ok(company),
        None => operator.post("/v1/companies", wanted).await,
    }
}

/// Makes a person a member of the company: invites them and accepts in their name with the token from the mail. A
/// member stays as they are; one who was invited and has not answered is sent another mail.
pub async fn join(
    api: &Api,
    inviter: &Api,
    mailbox: &Mailbox,
    (email, name, role): (&str, &str, &str),
) -> Result<()> {
    let since = SystemTime::now();
    let invited =
        inviter.post("/v1/invitations", json!({ "email": email, "role": role, "locale": "en" })).await;
    match invited {
        Err(e) if is_refused(&e, "already_member") => return Ok(()),
        Err(e) if is_refused(&e, "already_exists") => {
            let open = inviter.all("/v1/invitations?state=sent").await?;
            let open = open.iter().find(|i| i.get("email").and_then(Value::as_str) == Some(email));
            let open = open.with_context(|| format!("the open invitation of {email} is not listed"))?;
            inviter.post(&format!("/v1/invitations/{}/resend", text(open, "/id")?), json!({})).await?;
        }
        other => {
            other?;
        }
    }
    let token = mailbox.wait(email, since, |mail| mailbox::token(mail, LINK)).await?;
    let answer = json!({ "email": email, "name": name });
    let accepted = api.post(&format!("{LINK}{token}/accept"), answer).await?;
    if accepted.get("state").and_then(Value::as_str) != Some("accepted") {
        bail!("the invitation of {email} was not accepted: {accepted}");
    }
    Ok(())
}

/// A key of the company, shown this once.
pub async fn api_key(admin: &Api, company: &str, mode: &str, name: &str) -> Result<String> {
    let scopes = [
        "events:write",
        "usage:write",
        "customers:read",
        "customers:write",
        "flow:write",
        "content:read",
        "analytics:read",
        "redemptions:write",
        "privacy:write",
    ];
    let body = json!({ "name": name, "mode": mode, "scopes": scopes });
    text(&admin.post(&format!("/v1/companies/{company}/api-keys"), body).await?, "/secret")
}
