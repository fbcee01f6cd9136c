//! What the fake knows: objects as WorkOS shows them, and the events their changes make.

use std::collections::BTreeMap;

use kit::Timestamp;
use serde_json::{Value, json};

#[derive(Default)]
pub struct World {
    /// By id, in the order they came.
    objects: BTreeMap<String, Value>,
    /// Group and directory user.
    pub in_group: Vec<(String, String)>,
    /// What happened, oldest first.
    pub events: Vec<Value>,
    /// Events that wait to be sent.
    pub outbox: Vec<Value>,
    made: u32,
}

impl World {
    /// Ids sort by age, as WorkOS' do.
    pub fn id(&mut self, prefix: &str) -> String {
        self.made += 1;
        format!("{prefix}_01FAKE{:012}", self.made)
    }

    pub fn put(&mut self, object: Value) {
        let id = object["id"].as_str().expect("an object has an id").to_owned();
        self.objects.insert(id, object);
    }

    pub fn get(&self, kind: &str, id: &str) -> Option<&Value> {
        self.objects.get(id).filter(|o| o["object"] == kind)
    }

    pub fn remove(&mut self, id: &str) -> Option<Value> {
        self.in_group.retain(|(group, user)| group != id && user != id);
        self.objects.remove(id)
    }

    /// All of a kind for which this holds.
    pub fn all(&self, kind: &str, holds: impl Fn(&Value) -> bool) -> Vec<Value> {
        self.objects.values().filter(|o| o["object"] == kind && holds(o)).cloned().collect()
    }

    /// Changes fields of an object; the object as it then is.
    pub fn change(&mut self, id: &str, changes: &Value, now: Timestamp) -> Value {
        let object = self.objects.get_mut(id).unwrap_or_else(|| panic!("the fake has no {id}"));
        for (key, value) in changes.as_object().into_iter().flatten() {
            object[key] = value.clone();
        }
        object["updated_at"] = json!(now.to_string());
        object.clone()
    }

    /// Something happened.
    pub fn tell(&mut self, name: &str, data: Value, now: Timestamp) {
        let id = self.id("event");
        let event = json!({ "object": "event", "id": id, "event": name, "data": data, "created_at": now.to_string() });
        self.events.push(event.clone());
        self.outbox.push(event);
    }

    pub fn organization(&mut self, name: &str, external_id: &Value, now: Timestamp) -> Value {
        let id = self.id("org");
        let organization = json!({
            "object": "organization", "id": id, "name": name, "domains": [], "metadata": {},
            "external_id": external_id, "allow_profiles_outside_organization": false,
            "created_at": now.to_string(), "updated_at": now.to_string(),
        });
        self.put(organization.clone());
        organization
    }

    /// The organization's domains are now these, with states as given.
    pub fn set_domains(&mut self, organization: &str, domains: &[(String, String)], now: Timestamp) -> Value {
        let domains: Vec<_> = domains
            .iter()
            .map(|(domain, state)| {
                let id = self.id("org_domain");
                json!({
                    "object": "organization_domain", "id": id, "organization_id": organization,
                    "domain": domain, "state": state, "verification_strategy": "dns",
                    "created_at": now.to_string(), "updated_at": now.to_string(),
                })
            })
            .collect();
        self.change(organization, &json!({ "domains": domains }), now)
    }

    pub fn user(&mut self, email: &str, name: (&str, &str), verified: bool, now: Timestamp) -> Value {
        let id = self.id("user");
        let user = json!({
            "object": "user", "id": id, "email": email, "first_name": name.0, "last_name": name.1,
            "email_verified": verified, "profile_picture_url": null, "external_id": null, "metadata": {},
            "last_sign_in_at": null, "locale": "en-GB",
            "created_at": now.to_string(), "updated_at": now.to_string(),
        });
        self.put(user.clone());
        user
    }

    pub fn by_email(&self, email: &str) -> Option<Value> {
        self.all("user", |u| u["email"].as_str().is_some_and(|e| e.eq_ignore_ascii_case(email))).pop()
    }

    /// A person's membership, made where there is none.
    pub fn membership(&mut self, organization: &str, user: &str, now: Timestamp) -> Value {
        let mine = |m: &Value| m["organization_id"] == organization && m["user_id"] == user;
        if let Some(known) = self.all("organization_membership", mine).pop() {
            return known;
        }
        let id = self.id("om");
        let membership = json!({
            "object": "organization_membership", "id": id, "user_id": user, "organization_id": organization,
            "status": "active", "directory_managed": false, "role": { "slug": "member" },
            "roles": [{ "slug": "member" }], "custom_attributes": {},
            "created_at": now.to_string(), "updated_at": now.to_string(),
        });
        self.put(membership.clone());
        self.tell("organization_membership.created", membership.clone(), now);
        membership
    }

    pub fn session(&mut self, user: &str, organization: &str, now: Timestamp) -> Value {
        let id = self.id("session");
        let session = json!({
            "object": "session", "id": id, "user_id": user, "organization_id": organization,
            "auth_method": "sso", "status": "active", "ip_address": null, "user_agent": null,
            "expires_at": kit::time::add_days(now, 30).to_string(), "ended_at": null,
            "created_at": now.to_string(), "updated_at": now.to_string(),
        });
        self.put(session.clone());
        session
    }

    pub fn end_session(&mut self, id: &str, now: Timestamp) {
        let ended = json!({ "status": "revoked", "ended_at": now.to_string() });
        let session = self.change(id, &ended, now);
        self.tell("session.revoked", session, now);
    }

    /// A directory user as it is read, which is with the groups. Events show it without.
    pub fn with_groups(&self, user: &Value) -> Value {
        let id = user["id"].as_str().unwrap_or_default();
        let groups = self.in_group.iter().filter(|(_, u)| u == id);
        let groups: Vec<_> = groups.filter_map(|(g, _)| self.get("directory_group", g)).collect();
        let mut user = user.clone();
        user["groups"] = json!(groups);
        user
    }
}
