//! A fake WorkOS over HTTP: sign-in with codes and PKCE, organizations, directories, events and signed webhooks, and
//! switches for what can go wrong. Whatever it is asked and whatever it says is held against WorkOS' own description of
//! its API; a test that ends with something that does not keep to it fails.

mod api;
mod server;
mod spec;
#[cfg(test)]
mod tests;
mod token;
mod world;

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use kit::clock::{Clock, MovedClock};
use kit::{SecretString, Timestamp};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use self::server::{deliver, handle};
use self::world::World;

const API_KEY: &str = "sk_test_fake";
const CLIENT_ID: &str = "client_01FAKE";
const WEBHOOK_SECRET: &str = "whsec_fake_workos";

/// What goes wrong with the next request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// 429, to come again in a second.
    TooMany,
    /// A page of HTML with 502.
    Broken,
    /// 200 with something that is no JSON.
    Gibberish,
}

/// A request as it came.
#[derive(Clone, Debug)]
pub struct Seen {
    pub method: String,
    pub path: String,
    pub body: Value,
}

struct Code {
    user: String,
    organization: String,
    challenge: String,
    expires_at: Timestamp,
}

struct Shared {
    clock: MovedClock,
    url: String,
    inner: Mutex<Inner>,
}

struct Inner {
    world: World,
    key: token::Key,
    codes: HashMap<String, Code>,
    faults: VecDeque<Fault>,
    refusals: VecDeque<(u16, Value)>,
    signs_in: Option<String>,
    organization_said: Option<String>,
    /// The answer is the test's own, and need not keep to the description.
    made_up: bool,
    issuer: Option<String>,
    seen: Vec<Seen>,
    wrong: Vec<String>,
    webhooks: Option<String>,
    secret: String,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The fake. It ends when dropped, and fails the test then if anything was not as WorkOS describes it.
pub struct FakeWorkOs {
    shared: Arc<Shared>,
    server: JoinHandle<()>,
}

impl FakeWorkOs {
    /// An empty environment whose time is that of `clock`.
    #[expect(clippy::disallowed_methods, reason = "a fake server has no process to drain with")]
    pub async fn start_at(clock: MovedClock) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("a bound port"));
        let inner = Inner {
            world: World::default(),
            key: token::Key::new(),
            codes: HashMap::new(),
            faults: VecDeque::new(),
            refusals: VecDeque::new(),
            signs_in: None,
            organization_said: None,
            made_up: false,
            issuer: None,
            seen: Vec::new(),
            wrong: Vec::new(),
            webhooks: None,
            secret: WEBHOOK_SECRET.into(),
        };
        let shared = Arc::new(Shared { clock, url, inner: Mutex::new(inner) });
        let app = axum::Router::new().fallback(handle).with_state(shared.clone());
        let server = tokio::spawn(async move {
            axum::serve(listener, app).await.ok();
        });
        Self { shared, server }
    }

    /// The settings of identity that lead here, by environment variable.
    pub fn settings(&self) -> [(&'static str, String); 7] {
        [
            ("RETENTION_IDENTITY_PROVIDER", "workos".into()),
            ("RETENTION_WORKOS_URL", self.shared.url.clone()),
            ("RETENTION_WORKOS_ISSUERS", self.shared.url.clone()),
            ("RETENTION_WORKOS_API_KEY", API_KEY.into()),
            ("RETENTION_WORKOS_CLIENT_ID", CLIENT_ID.into()),
            ("RETENTION_WORKOS_WEBHOOK_SECRETS", format!("whsec_older,{WEBHOOK_SECRET}")),
            ("RETENTION_PRIVATE_NETWORKS", "true".into()),
        ]
    }

    pub fn url(&self) -> &str {
        &self.shared.url
    }

    /// What webhooks are signed with.
    pub fn webhook_secret(&self) -> SecretString {
        self.shared.lock().secret.as_str().into()
    }

    /// What was not as WorkOS describes it.
    pub fn wrong(&self) -> Vec<String> {
        self.shared.lock().wrong.clone()
    }

    /// Every request so far.
    pub fn seen(&self) -> Vec<Seen> {
        self.shared.lock().seen.clone()
    }

    /// Lets the next requests go wrong, one after the other.
    pub fn fail_next(&self, faults: &[Fault]) {
        self.shared.lock().faults.extend(faults);
    }

    /// The next trade of a code ends so, whatever the code.
    pub fn refuse_next_sign_in(&self, status: u16, body: Value) {
        self.shared.lock().refusals.push_back((status, body));
    }

    /// Whoever is hinted at, this one signs in next.
    pub fn next_signs_in(&self, email: &str) {
        self.shared.lock().signs_in = Some(email.to_owned());
    }

    /// The next sign-in comes back from this organization.
    pub fn next_comes_from(&self, organization: &str) {
        self.shared.lock().organization_said = Some(organization.to_owned());
    }

    /// From now on access tokens say they are from here.
    pub fn issue_as(&self, issuer: &str) {
        self.shared.lock().issuer = Some(issuer.to_owned());
    }

    /// Sends every event, signed, to this address from now on.
    pub fn send_webhooks_to(&self, url: &str) {
        self.shared.lock().webhooks = Some(url.to_owned());
    }

    /// The organization of a company.
    pub fn organization(&self, company: &str) -> String {
        let found = self.shared.lock().world.all("organization", |o| o["external_id"] == company);
        id(found.last().expect("the company has an organization"))
    }

    /// An organization made in WorkOS' own dashboard.
    pub fn add_organization(&self, name: &str) -> String {
        self.act(|world, now| id(&world.organization(name, &Value::Null, now)))
    }

    /// Connects an organization's identity provider.
    pub fn activate_connection(&self, organization: &str) -> String {
        self.act(|world, now| {
            let conn = world.id("conn");
            let mut connection = json!({
                "object": "connection", "id": conn, "organization_id": organization, "name": "Telco Okta",
                "connection_type": "OktaSAML", "state": "active", "status": "linked", "domains": [],
                "created_at": now.to_string(), "updated_at": now.to_string(),
            });
            world.put(connection.clone());
            connection["external_key"] = json!("key");
            world.tell("connection.activated", connection, now);
            conn
        })
    }

    pub fn deactivate_connection(&self, connection: &str) {
        self.act(|world, now| {
            let changes = json!({ "state": "inactive", "status": "unlinked" });
            let mut connection = world.change(connection, &changes, now);
            connection["external_key"] = json!("key");
            world.tell("connection.deactivated", connection, now);
        });
    }

    /// Proves an organization's domains.
    pub fn verify_domains(&self, organization: &str) {
        self.act(|world, now| {
            let known = world.get("organization", organization).expect("an organization")["domains"].clone();
            let text = |d: &Value| d["domain"].as_str().unwrap_or_default().to_owned();
            let proved: Vec<_> =
                known.as_array().into_iter().flatten().map(|d| (text(d), "verified".to_owned())).collect();
            let changed = world.set_domains(organization, &proved, now);
            for domain in changed["domains"].as_array().into_iter().flatten() {
                world.tell("organization_domain.verified", domain.clone(), now);
            }
        });
    }

    /// Links a directory.
    pub fn link_directory(&self, organization: &str) -> String {
        self.act(|world, now| {
            let directory_id = world.id("directory");
            let directory = json!({
                "object": "directory", "id": directory_id, "organization_id": organization, "name": "Telco",
                "external_key": "key", "type": "okta scim v2.0", "state": "linked", "domain": "telco.example",
                "created_at": now.to_string(), "updated_at": now.to_string(),
            });
            world.put(directory.clone());
            let mut told = directory;
            told["state"] = json!("active");
            told["domains"] = json!([]);
            world.tell("dsync.activated", told, now);
            directory_id
        })
    }

    pub fn add_group(&self, directory: &str, name: &str) -> String {
        self.act(|world, now| {
            let group_id = world.id("directory_group");
            let organization =
                world.get("directory", directory).expect("a directory")["organization_id"].clone();
            let group = json!({
                "object": "directory_group", "id": group_id, "idp_id": name, "directory_id": directory,
                "organization_id": organization, "name": name,
                "created_at": now.to_string(), "updated_at": now.to_string(),
            });
            world.put(group.clone());
            world.tell("dsync.group.created", group, now);
            group_id
        })
    }

    /// Somebody in a directory, who can sign in as well.
    pub fn add_person(&self, directory: &str, email: &str, groups: &[&str]) -> String {
        let person = self.act(|world, now| {
            if world.by_email(email).is_none() {
                let user = world.user(email, ("Dora", "Directory"), true, now);
                world.tell("user.created", user, now);
            }
            let organization =
                world.get("directory", directory).expect("a directory")["organization_id"].clone();
            let user_id = world.id("directory_user");
            let user = json!({
                "object": "directory_user", "id": user_id, "directory_id": directory,
                "organization_id": organization, "idp_id": email, "email": email, "first_name": "Dora",
                "last_name": "Directory", "state": "active", "raw_attributes": {}, "custom_attributes": {},
                "created_at": now.to_string(), "updated_at": now.to_string(),
            });
            world.put(user.clone());
            world.tell("dsync.user.created", user, now);
            user_id
        });
        groups.iter().for_each(|group| self.join(&person, group));
        person
    }

    /// Somebody who can sign in and is in no directory.
    pub fn add_user(&self, email: &str, verified: bool) -> String {
        self.act(|world, now| id(&world.user(email, ("Sam", "Someone"), verified, now)))
    }

    pub fn join(&self, person: &str, group: &str) {
        self.act(|world, now| {
            world.in_group.push((group.to_owned(), person.to_owned()));
            tell_of_group(world, "dsync.group.user_added", person, group, now);
        });
    }

    pub fn leave(&self, person: &str, group: &str) {
        self.act(|world, now| {
            world.in_group.retain(|(g, p)| g != group || p != person);
            tell_of_group(world, "dsync.group.user_removed", person, group, now);
        });
    }

    /// `active`, `inactive` or `suspended`.
    pub fn set_state(&self, person: &str, state: &str) {
        self.act(|world, now| {
            let user = world.change(person, &json!({ "state": state }), now);
            world.tell("dsync.user.updated", user, now);
        });
    }

    pub fn delete_person(&self, person: &str) {
        self.act(|world, now| {
            let mut user = world.remove(person).expect("a directory user");
            user["state"] = json!("inactive");
            world.tell("dsync.user.deleted", user, now);
        });
    }

    /// Takes a person's account away.
    pub fn delete_user(&self, email: &str) {
        self.act(|world, now| {
            let user = world.by_email(email).expect("a user");
            world.remove(&id(&user));
            world.tell("user.deleted", user, now);
        });
    }

    /// Shuts a person out of an organization, or opens it again.
    pub fn set_membership(&self, organization: &str, email: &str, status: &str) {
        self.act(|world, now| {
            let user = id(&world.by_email(email).expect("a user"));
            let membership = id(&world.membership(organization, &user, now));
            let changed = world.change(&membership, &json!({ "status": status }), now);
            world.tell("organization_membership.updated", changed, now);
        });
    }

    /// The sessions that live, oldest first.
    pub fn sessions(&self) -> Vec<String> {
        self.shared.lock().world.all("session", |s| s["status"] == "active").iter().map(id).collect()
    }

    /// Ends a session in WorkOS' own dashboard.
    pub fn end_session(&self, session: &str) {
        self.act(|world, now| world.end_session(session, now));
    }

    /// The newest event of a name, as it would be delivered now: signature header and body.
    pub fn delivery(&self, name: &str) -> (String, String) {
        let inner = self.shared.lock();
        let event = inner.world.events.iter().rev().find(|e| e["event"] == name).expect("such an event");
        let body = event.to_string();
        let secret = inner.secret.as_str().into();
        (connect::sign::sign_workos(&secret, self.shared.clock.now(), body.as_bytes()), body)
    }

    fn act<T>(&self, change: impl FnOnce(&mut World, Timestamp) -> T) -> T {
        let mut inner = self.shared.lock();
        let done = change(&mut inner.world, self.shared.clock.now());
        deliver(&self.shared, &mut inner);
        done
    }
}

fn id(object: &Value) -> String {
    object["id"].as_str().expect("an id").to_owned()
}

fn tell_of_group(world: &mut World, name: &str, person: &str, group: &str, now: Timestamp) {
    let user = world.get("directory_user", person).expect("a directory user").clone();
    let group = world.get("directory_group", group).expect("a group").clone();
    let data = json!({ "directory_id": user["directory_id"], "user": user, "group": group });
    world.tell(name, data, now);
}

impl Drop for FakeWorkOs {
    fn drop(&mut self) {
        self.server.abort();
        let wrong = self.wrong();
        if !std::thread::panicking() {
            assert!(wrong.is_empty(), "not as WorkOS describes it:\n{}", wrong.join("\n"));
        }
    }
}
