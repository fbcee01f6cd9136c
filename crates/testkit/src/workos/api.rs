//! The fake's operations.

use aws_lc_rs::digest;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use kit::Timestamp;
use serde_json::{Value, json};

use super::{API_KEY, CLIENT_ID, Code, Inner};

/// A request as the operations see it.
pub struct Asked<'a> {
    pub method: &'a str,
    pub path: Vec<&'a str>,
    pub query: &'a [(String, String)],
    pub body: &'a Value,
    pub base: &'a str,
    pub now: Timestamp,
}

pub type Answer = (u16, Value);

fn not_found(what: &str, id: &str) -> Answer {
    (404, json!({ "message": format!("{what} not found: '{id}'."), "code": "entity_not_found" }))
}

fn oauth(error: &str, description: &str) -> Answer {
    (400, json!({ "error": error, "error_description": description }))
}

impl Asked<'_> {
    fn parameter(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str())
    }

    fn parameters(&self, name: &str) -> Vec<&str> {
        self.query.iter().filter(|(n, _)| n == name).map(|(_, v)| v.as_str()).collect()
    }

    /// A page of a list, ten at a time unless asked otherwise.
    fn page(&self, all: &[Value]) -> Answer {
        let limit = self.parameter("limit").and_then(|l| l.parse().ok()).unwrap_or(10_usize);
        let after = self.parameter("after");
        let from = after.and_then(|id| all.iter().position(|o| o["id"] == id)).map_or(0, |at| at + 1);
        let page: Vec<_> = all.iter().skip(from).take(limit).cloned().collect();
        let more = from + page.len() < all.len();
        let id = |o: Option<&Value>| o.map(|o| o["id"].clone()).unwrap_or_default();
        let before = if from > 0 { id(page.first()) } else { Value::Null };
        let after = if more { id(page.last()) } else { Value::Null };
        let metadata = json!({ "before": before, "after": after });
        (200, json!({ "object": "list", "data": page, "list_metadata": metadata }))
    }
}

pub fn answer(inner: &mut Inner, asked: &Asked<'_>) -> Answer {
    match (asked.method, asked.path.as_slice()) {
        ("GET", ["sso", "jwks", client]) if *client == CLIENT_ID => (200, inner.key.set()),
        ("GET", ["sso", "jwks", client]) => not_found("Client", client),
        ("POST", ["user_management", "authenticate"]) => authenticate(inner, asked),
        ("POST", ["sso", "token"]) => profile(inner, asked),
        ("POST", ["user_management", "sessions", "revoke"]) => {
            let id = asked.body["session_id"].as_str().unwrap_or_default();
            if inner.world.get("session", id).is_none_or(|s| s["status"] != "active") {
                return (400, json!({ "message": "Session not found or already ended." }));
            }
            inner.world.end_session(id, asked.now);
            (200, Value::Null)
        }
        ("GET", ["user_management", "organization_memberships"]) => {
            let (org, user) = (asked.parameter("organization_id"), asked.parameter("user_id"));
            let fits = |m: &Value, key: &str, wanted: Option<&str>| wanted.is_none_or(|w| m[key] == w);
            let mut all = inner.world.all("organization_membership", |m| {
                fits(m, "organization_id", org) && fits(m, "user_id", user)
            });
            for m in &mut all {
                let user = inner.world.get("user", m["user_id"].as_str().unwrap_or_default());
                m["user"] = user.cloned().unwrap_or_default();
            }
            asked.page(&all)
        }
        (_, ["organizations", ..]) => organizations(inner, asked),
        ("GET", ["connections"]) => {
            let org = asked.parameter("organization_id");
            asked.page(&inner.world.all("connection", |c| org.is_none_or(|o| c["organization_id"] == o)))
        }
        ("GET", ["directories"]) => {
            let org = asked.parameter("organization_id");
            let all = inner.world.all("directory", |d| org.is_none_or(|o| d["organization_id"] == o));
            asked.page(&all)
        }
        ("GET", ["directory_users"]) => {
            let (directory, email) = (asked.parameter("directory"), asked.parameter("email"));
            let all = inner.world.all("directory_user", |u| {
                directory.is_none_or(|d| u["directory_id"] == d) && email.is_none_or(|e| u["email"] == e)
            });
            let all: Vec<_> = all.iter().map(|u| inner.world.with_groups(u)).collect();
            asked.page(&all)
        }
        ("GET", ["directory_users", id]) => match inner.world.get("directory_user", id) {
            Some(user) => (200, inner.world.with_groups(user)),
            None => not_found("Directory User", id),
        },
        ("GET", ["events"]) => {
            let names = asked.parameters("events");
            let since = asked.parameter("range_start").unwrap_or_default();
            // Older ones are not listed any more.
            let reach = kit::time::add_days(asked.now, -30);
            let fits = |e: &&Value| {
                let at: Option<Timestamp> = e["created_at"].as_str().and_then(|t| t.parse().ok());
                let since: Option<Timestamp> = since.parse().ok();
                let named = e["event"].as_str().is_some_and(|n| names.is_empty() || names.contains(&n));
                named && at >= Some(reach) && since.is_none_or(|since| at >= Some(since))
            };
            let all: Vec<_> = inner.world.events.iter().filter(fits).cloned().collect();
            let (status, mut page) = asked.page(&all);
            if let Some(metadata) = page["list_metadata"].as_object_mut() {
                metadata.remove("before");
            }
            (status, page)
        }
        ("POST", ["portal", "generate_link"]) => {
            let organization = asked.body["organization"].as_str().unwrap_or_default();
            if inner.world.get("organization", organization).is_none() {
                return not_found("Organization", organization);
            }
            (201, json!({ "link": format!("{}/portal/launch?secret=fake", asked.base) }))
        }
        _ => not_found("Page", &asked.path.join("/")),
    }
}

fn organizations(inner: &mut Inner, asked: &Asked<'_>) -> Answer {
    let wanted = |body: &Value| {
        let data = body["domain_data"].as_array().cloned().unwrap_or_default();
        let text = |v: &Value| v.as_str().unwrap_or_default().to_owned();
        data.iter().map(|d| (text(&d["domain"]), text(&d["state"]))).collect::<Vec<_>>()
    };
    let body = asked.body;
    let (world, now) = (&mut inner.world, asked.now);
    let by_external = |w: &super::World, id: &Value| w.all("organization", |o| o["external_id"] == *id).pop();
    match (asked.method, &asked.path[1..]) {
        ("GET", ["external_id", id]) => match by_external(world, &json!(id)) {
            Some(found) => (200, found),
            None => not_found("Organization", id),
        },
        ("GET", [id]) => match world.get("organization", id) {
            Some(found) => (200, found.clone()),
            None => not_found("Organization", id),
        },
        ("POST", []) => {
            if !body["external_id"].is_null() && by_external(world, &body["external_id"]).is_some() {
                let text = "The external_id is already used by another organization.";
                return (400, json!({ "code": "external_id_already_used", "message": text }));
            }
            let made =
                world.organization(body["name"].as_str().unwrap_or_default(), &body["external_id"], now);
            let id = made["id"].as_str().unwrap_or_default().to_owned();
            let made = world.set_domains(&id, &wanted(body), now);
            world.tell("organization.created", made.clone(), now);
            (201, made)
        }
        ("PUT", [id]) => {
            if world.get("organization", id).is_none() {
                return not_found("Organization", id);
            }
            if body.get("domain_data").is_some() {
                world.set_domains(id, &wanted(body), now);
            }
            let mut changes = json!({});
            for field in ["name", "external_id"] {
                if let Some(value) = body.get(field) {
                    changes[field] = value.clone();
                }
            }
            let changed = world.change(id, &changes, now);
            world.tell("organization.updated", changed.clone(), now);
            (200, changed)
        }
        _ => not_found("Organization", &asked.path.join("/")),
    }
}

/// Trades a code: for whom it stands, in which organization, and its challenge. It works once, for ten minutes.
fn trade(inner: &mut Inner, asked: &Asked<'_>) -> Result<Code, Answer> {
    let text = |key: &str| asked.body[key].as_str().unwrap_or_default();
    if text("client_id") != CLIENT_ID || text("client_secret") != API_KEY {
        return Err(oauth("invalid_client", "The client credentials are not valid."));
    }
    if text("grant_type") != "authorization_code" {
        return Err(oauth("unauthorized_client", "This fake trades codes only."));
    }
    let code = inner.codes.remove(text("code")).filter(|code| code.expires_at > asked.now);
    let mut code = code.ok_or_else(|| oauth("invalid_grant", "The code has expired or is invalid."))?;
    if let Some(said) = inner.organization_said.take() {
        code.organization = said;
    }
    Ok(code)
}

/// AuthKit: only with the verifier of the code's challenge.
fn authenticate(inner: &mut Inner, asked: &Asked<'_>) -> Answer {
    let Code { user, organization, challenge, .. } = match trade(inner, asked) {
        Ok(code) => code,
        Err(refused) => return refused,
    };
    let verifier = asked.body["code_verifier"].as_str().unwrap_or_default();
    let proof = digest::digest(&digest::SHA256, verifier.as_bytes());
    if URL_SAFE_NO_PAD.encode(proof.as_ref()) != challenge {
        return oauth("invalid_grant", "The code has expired or is invalid.");
    }
    if let Some((status, refusal)) = inner.refusals.pop_front() {
        inner.made_up = true;
        return (status, refusal);
    }
    inner.world.membership(&organization, &user, asked.now);
    let session = inner.world.session(&user, &organization, asked.now);
    let seconds = asked.now.as_second();
    let claims = json!({
        "iss": inner.issuer.clone().unwrap_or_else(|| asked.base.to_owned()), "sub": user,
        "sid": session["id"], "org_id": organization, "role": "member", "permissions": [],
        "jti": session["id"], "iat": seconds, "exp": seconds + 300,
    });
    let signed_in = json!({
        "user": inner.world.get("user", &user).cloned().unwrap_or_default(),
        "organization_id": organization, "access_token": inner.key.sign(&claims),
        "refresh_token": "fake_refresh_token", "authentication_method": "SSO",
    });
    (200, signed_in)
}

/// Standalone SSO: what the organization's own provider says of the person.
fn profile(inner: &mut Inner, asked: &Asked<'_>) -> Answer {
    let Code { user, organization, .. } = match trade(inner, asked) {
        Ok(code) => code,
        Err(refused) => return refused,
    };
    let connection = inner.world.all("connection", |c| c["organization_id"] == organization).pop();
    let connection = connection.unwrap_or_default();
    let said = inner.world.get("user", &user).cloned().unwrap_or_default();
    let profile = json!({
        "object": "profile", "id": inner.world.id("prof"), "organization_id": organization,
        "connection_id": connection["id"].as_str().unwrap_or("conn_fake"),
        "connection_type": connection["connection_type"].as_str().unwrap_or("OktaSAML"),
        "idp_id": user, "email": said["email"], "first_name": said["first_name"],
        "last_name": said["last_name"], "name": Value::Null, "raw_attributes": {},
    });
    let token =
        json!({ "token_type": "Bearer", "access_token": "fake", "expires_in": 600, "profile": profile });
    (200, token)
}
