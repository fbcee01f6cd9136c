//! A fake Recurly over HTTP: real shapes, real traps, and switches for everything that can go wrong on the way. It shares
//! no code with our adapter, so that the two can disagree; whatever it is asked and whatever it says is held against
//! Recurly's own description of its API, and a test that ends with something that does not keep to it fails.

mod api;
mod coupons;
mod invoices;
mod server;
mod spec;
mod subscriptions;
#[cfg(test)]
mod tests;
mod world;

use std::collections::HashMap;
use std::ops::Deref;
use std::sync::Arc;

use kit::clock::{Clock, MovedClock};
use kit::{ExposeSecret, SecretString, Timestamp};
use serde_json::{Value, json};

use self::api::Asked;
use self::server::{deliver, handle};
use self::world::{World, stamp};
use crate::shell::{self, Shell};

/// The only version the fake speaks; every request must name it.
pub const VERSION: &str = "v2021-02-25";
const KEY: &str = "fake0123456789abcdef";
const WEBHOOK_SECRET: &str = "354fab5bd35f5a0d50845ee7e30165244468b13c2c343f104e4e730a59326d9d";

/// What goes wrong with the next request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// 429; the limit counts anew in a second.
    TooMany,
    /// 429; the limit counts anew in four minutes.
    TooManyForLong,
    /// 409: another request with this key is under way, come again.
    KeyInUse,
    /// 500 before anything happens.
    Broken,
    /// A page of HTML with 503, from something in front of Recurly.
    BrokenHtml,
    /// Everything happens, and the answer never comes.
    SilentAfterActing,
    /// 422 with a transaction that was declined.
    Declined,
    /// An error without the outer `error`.
    BareError,
    /// 403: a key with fewer rights.
    Forbidden,
    /// 200 with something that is no JSON.
    Gibberish,
    /// 302 to another host.
    Redirect,
    /// A list whose next page is at another host.
    ForeignNext,
    /// A list whose next page is this one.
    RepeatedCursor,
    /// An answer of another version of the API.
    OtherVersion,
    /// An answer that says that its version ends.
    Deprecated,
}

/// A request as it came.
#[derive(Clone, Debug)]
pub struct Seen {
    pub method: String,
    pub path: String,
    pub query: String,
    pub body: Value,
    pub idempotency_key: Option<String>,
}

/// The fake. It ends when dropped, and fails the test then if anything was not as Recurly describes it.
pub struct FakeRecurly(Shell<Site, Fault, Seen>);

type Shared = shell::Shared<Site, Fault, Seen>;
type Inner = shell::Inner<Site, Fault, Seen>;

struct Answered {
    at: i64,
    status: u16,
    value: Value,
}

/// What the fake holds.
pub struct Site {
    world: World,
    /// By key, method and path.
    answered: HashMap<(String, String, String), Answered>,
    wrong: Vec<String>,
    elsewhere: String,
}

impl Deref for FakeRecurly {
    type Target = Shell<Site, Fault, Seen>;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl FakeRecurly {
    /// An empty sandbox site on the machine's clock.
    pub async fn start() -> Self {
        Self::start_at(MovedClock::default()).await
    }

    /// An empty sandbox site whose time is that of `clock`.
    pub async fn start_at(clock: MovedClock) -> Self {
        Self::start_on("127.0.0.1:0", clock).await
    }

    /// The same at an address of the caller's.
    pub async fn start_on(address: &str, clock: MovedClock) -> Self {
        let site = Site {
            world: World::new("sandbox"),
            answered: HashMap::new(),
            wrong: Vec::new(),
            elsewhere: "https://example.net".into(),
        };
        let serve = |shared: Arc<Shared>| axum::Router::new().fallback(handle).with_state(shared);
        Self(Shell::start(address, clock, site, serve).await)
    }

    /// The site's API key.
    pub fn key(&self) -> SecretString {
        KEY.into()
    }

    /// What notifications are signed with.
    pub fn webhook_secret(&self) -> SecretString {
        WEBHOOK_SECRET.into()
    }

    /// Where the next page of a list is said to be, with `Fault::ForeignNext`.
    pub fn next_pages_at(&self, url: &str) {
        self.shared.lock().elsewhere = url.to_owned();
    }

    /// `development`, `sandbox`, `production`.
    pub fn set_mode(&self, mode: &str) {
        self.shared.lock().world.mode = mode.to_owned();
    }

    /// What was not as Recurly describes it.
    pub fn wrong(&self) -> Vec<String> {
        self.shared.lock().wrong.clone()
    }

    /// An object as it stands now.
    pub fn object(&self, kind: &str, id: &str) -> Option<Value> {
        self.within(|world, _| world.get(kind, id).cloned())
    }

    /// Changes fields of an object behind everybody's back: no notification tells of it.
    pub fn set(&self, id: &str, changes: Value) {
        self.within(|world, now| {
            world.change(id, changes, &stamp(now));
        });
    }

    /// A monthly plan with one price, in the currency's major unit.
    pub fn add_plan(&self, code: &str, amount: f64, currency: &str) -> String {
        self.within(|world, now| {
            let (id, now) = (world.new_id("pln"), stamp(now));
            let price = json!({"currency": currency, "unit_amount": amount, "setup_fee": 0.0});
            world.put(json!({
                "id": id, "object": "plan", "code": code, "name": code, "state": "active", "pricing_model": "fixed",
                "interval_unit": "months", "interval_length": 1, "trial_unit": "days", "trial_length": 0,
                "auto_renew": true, "currencies": [price], "created_at": now, "updated_at": now,
            }));
            id
        })
    }

    /// A coupon of the company's own, for a share, for ever, on one subscription or a whole account.
    pub fn add_coupon(&self, code: &str, percent: u32, resource: &str) {
        let body = json!({"code": code, "name": code, "discount_type": "percent", "discount_percent": percent,
            "redemption_resource": resource});
        self.act("POST", &["coupons"], body);
    }

    pub fn add_account(&self, email: &str, name: &str) -> String {
        self.within(|world, now| {
            let (id, now) = (world.new_id("acc"), stamp(now));
            let account = json!({
                "id": id, "object": "account", "code": format!("code.{id}@ada"), "state": "active", "email": email,
                "first_name": name, "last_name": "Fibre", "has_live_subscription": true,
                "has_past_due_invoice": false, "address": {"country": "IE"}, "preferred_locale": "en-IE",
                "custom_fields": [], "created_at": now, "updated_at": now, "deleted_at": null,
            });
            world.put(account.clone());
            world.tell("account", "created", &account, &now);
            id
        })
    }

    pub fn add_subscription(&self, account: &str, plan: &str, currency: &str) -> String {
        self.within(|world, now| subscriptions::create(world, account, plan, currency, None, now))
    }

    /// One in a trial until a day.
    pub fn add_trial(&self, account: &str, plan: &str, currency: &str, until: Timestamp) -> String {
        self.within(|world, now| subscriptions::create(world, account, plan, currency, Some(until), now))
    }

    /// The newest invoice of a subscription is not paid in time.
    pub fn fall_due(&self, subscription: &str) -> String {
        self.invoice_becomes(subscription, "past_due")
    }

    /// It is paid after all.
    pub fn pay(&self, subscription: &str) -> String {
        self.invoice_becomes(subscription, "paid")
    }

    fn invoice_becomes(&self, subscription: &str, state: &str) -> String {
        self.within(|world, now| {
            let of = |i: &&&Value| i["subscription_ids"][0] == subscription && i["type"] == "charge";
            let all = world.all("invoice");
            let id = all.iter().rfind(of).expect("an invoice")["id"].as_str().unwrap_or_default().to_owned();
            let at = stamp(now);
            let invoice = world.change(&id, json!({ "state": state }), &at);
            world.tell("charge_invoice", state, &invoice, &at);
            let uuid = format!("{id:0>32}");
            let (event, success) = if state == "paid" { ("succeeded", true) } else { ("failed", false) };
            let transaction = json!({
                "id": world.new_id("trn"), "object": "transaction", "uuid": uuid, "type": "purchase",
                "status": if success { "success" } else { "declined" }, "success": success,
                "account": invoice["account"], "currency": invoice["currency"], "amount": invoice["total"],
                "subscription_ids": invoice["subscription_ids"], "created_at": at, "updated_at": at,
            });
            world.put(transaction.clone());
            world.tell("payment", event, &transaction, &at);
            id
        })
    }

    /// What somebody else does to the site, such as the company in Recurly's console. It tells of it like of any change.
    pub fn act(&self, method: &str, path: &[&str], body: Value) -> Value {
        self.within(|world, now| {
            let asked = Asked { method, path: path.to_vec(), query: &[], body, now };
            api::answer(world, &asked).expect("the fake's own request is right").1
        })
    }

    fn within<T>(&self, work: impl FnOnce(&mut World, Timestamp) -> T) -> T {
        let now = self.shared.clock.now();
        let mut inner = self.shared.lock();
        inner.world.settle(now);
        let done = work(&mut inner.world, now);
        deliver(&self.shared, &mut inner);
        done
    }

    /// The newest notification of a kind, as it would be delivered now: headers and body.
    pub fn delivery(&self, object_type: &str, event_type: &str) -> Option<(Vec<(String, String)>, String)> {
        let (n, body) = {
            let inner = self.shared.lock();
            let is = |said: &Value| said["object_type"] == object_type && said["event_type"] == event_type;
            let n = inner.world.told.iter().rposition(is)?;
            (n, inner.world.told[n].to_string())
        };
        let headers = signed(&self.shared, n, body.as_bytes());
        let mut headers: Vec<_> = headers.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        headers.push(("content-type".into(), "application/json".into()));
        Some((headers, body))
    }
}

/// The headers of a notification: the same id however often it comes, the signature of now, and one of a key replaced.
fn signed(shared: &Shared, n: usize, body: &[u8]) -> [(&'static str, String); 2] {
    let at = shared.clock.now().as_millisecond();
    let tag = |secret: &str| {
        let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, secret.as_bytes());
        let message = [at.to_string().as_bytes(), b".", body].concat();
        let tag = aws_lc_rs::hmac::sign(&key, &message);
        tag.as_ref().iter().map(|b| format!("{b:02x}")).collect::<String>()
    };
    let secret = SecretString::from(WEBHOOK_SECRET);
    let value = format!("{at},{},{}", tag("the key before"), tag(secret.expose_secret()));
    [("recurly-signature", value), ("recurly-notification-id", format!("ntf{n:010}"))]
}

impl Drop for FakeRecurly {
    fn drop(&mut self) {
        let wrong = self.wrong();
        if !std::thread::panicking() {
            assert!(wrong.is_empty(), "not as Recurly describes it:\n{}", wrong.join("\n"));
        }
    }
}
