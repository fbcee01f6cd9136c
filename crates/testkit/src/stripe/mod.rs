//! A fake Stripe over HTTP: real shapes, real traps, and switches for everything that can go wrong on the way. It shares
//! no code with our adapter, so that the two can disagree.

mod api;
mod form;
mod invoices;
mod server;
mod subscriptions;
#[cfg(test)]
mod tests;
mod world;

use std::collections::HashMap;
use std::ops::Deref;
use std::sync::Arc;

use kit::SecretString;
use kit::clock::{Clock, MovedClock};
use serde_json::{Value, json};

use self::api::Asked;
use self::server::{deliver, handle};
use self::world::World;
use crate::shell::{self, Shell};

/// The only version the fake speaks; every request must name it.
pub const VERSION: &str = "2026-10-28.endive";
const KEY: &str = "sk_test_fake";
const WEBHOOK_SECRET: &str = "whsec_fake";

/// What goes wrong with the next request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// 429 before anything happens.
    TooMany,
    /// 409: another request with this key is under way.
    Conflict,
    /// 500 before anything happens. It is stored under the key and answered to every repetition.
    Broken,
    /// A page of HTML with 503, from something in front of Stripe.
    BrokenHtml,
    /// Everything happens, and the answer never comes.
    SilentAfterActing,
    /// 402.
    CardDeclined,
    /// 403: a restricted key.
    Forbidden,
    /// 200 with something that is no JSON.
    Gibberish,
}

/// A request as it came.
#[derive(Clone, Debug)]
pub struct Seen {
    pub method: String,
    pub path: String,
    pub params: Value,
    pub idempotency_key: Option<String>,
}

/// The fake. It ends when dropped.
pub struct FakeStripe(Shell<Account, Fault, Seen>);

type Shared = shell::Shared<Account, Fault, Seen>;
type Inner = shell::Inner<Account, Fault, Seen>;

/// What the fake holds.
pub struct Account {
    world: World,
    answered: HashMap<String, (String, u16, Value)>,
}

impl Deref for FakeStripe {
    type Target = Shell<Account, Fault, Seen>;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl FakeStripe {
    /// An empty account on the machine's clock.
    pub async fn start() -> Self {
        Self::start_at(MovedClock::default()).await
    }

    /// An empty account whose time is that of `clock`.
    pub async fn start_at(clock: MovedClock) -> Self {
        Self::start_on("127.0.0.1:0", clock).await
    }

    /// The same at an address of the caller's.
    pub async fn start_on(address: &str, clock: MovedClock) -> Self {
        let account = Account { world: World::new(), answered: HashMap::new() };
        let serve = |shared: Arc<Shared>| axum::Router::new().fallback(handle).with_state(shared);
        Self(Shell::start(address, clock, account, serve).await)
    }

    /// The account's secret key.
    pub fn key(&self) -> SecretString {
        KEY.into()
    }

    /// What webhooks are signed with.
    pub fn webhook_secret(&self) -> SecretString {
        WEBHOOK_SECRET.into()
    }

    /// An object as it stands, references by id.
    pub fn object(&self, id: &str) -> Option<Value> {
        let mut inner = self.shared.lock();
        inner.world.settle(self.shared.clock.now());
        inner.world.any(id).cloned()
    }

    /// Changes fields of an object behind everybody's back: no event tells of it.
    pub fn set(&self, id: &str, changes: Value) {
        let mut inner = self.shared.lock();
        let mut object = inner.world.any(id).cloned().expect("an object of the fake");
        for (key, value) in changes.as_object().into_iter().flatten() {
            object[key] = value.clone();
        }
        inner.world.put(object);
    }

    pub fn add_product(&self, name: &str) -> String {
        let mut inner = self.shared.lock();
        let mut product = inner.world.sample("product");
        let id = inner.world.new_id("prod");
        product["id"] = json!(id);
        product["name"] = json!(name);
        inner.world.put(product);
        id
    }

    /// A recurring price, in minor units.
    pub fn add_price(&self, product: &str, amount: i64, currency: &str, interval: &str) -> String {
        let mut inner = self.shared.lock();
        let mut price = inner.world.sample("price");
        let id = inner.world.new_id("price");
        price["id"] = json!(id);
        price["product"] = json!(product);
        price["currency"] = json!(currency);
        price["unit_amount"] = json!(amount);
        price["unit_amount_decimal"] = json!(amount.to_string());
        price["recurring"]["interval"] = json!(interval);
        inner.world.put(price);
        id
    }

    /// A coupon of the company's own, for a share, for ever.
    pub fn add_coupon(&self, id: &str, percent_off: f64) {
        let mut inner = self.shared.lock();
        let mut coupon = inner.world.sample("coupon");
        coupon["id"] = json!(id);
        coupon["percent_off"] = json!(percent_off);
        coupon["duration_in_months"] = Value::Null;
        coupon["redeem_by"] = Value::Null;
        inner.world.put(coupon);
    }

    pub fn add_customer(&self, email: &str, name: &str) -> String {
        let params = json!({"email": email, "name": name});
        self.act("POST", &["customers"], params)["id"].as_str().unwrap_or_default().to_owned()
    }

    pub fn add_subscription(&self, customer: &str, price: &str) -> String {
        let params = json!({"customer": customer, "items": [{"price": price}]});
        self.act("POST", &["subscriptions"], params)["id"].as_str().unwrap_or_default().to_owned()
    }

    /// What somebody else does to the account, such as the company in Stripe's dashboard. It makes events like any change.
    pub fn act(&self, method: &str, path: &[&str], params: Value) -> Value {
        let now = self.shared.clock.now();
        let mut inner = self.shared.lock();
        let asked = Asked { method, path: path.to_vec(), params, now };
        let reply = api::answer(&mut inner.world, &asked).expect("the fake's own request is right");
        deliver(&self.shared, &mut inner);
        reply
    }

    /// A subscription's payment fails, or one that had failed comes in: the subscription follows, and events tell of both.
    pub fn settle_payment(&self, subscription: &str, paid: bool) {
        let now = self.shared.clock.now();
        let mut inner = self.shared.lock();
        let before = inner.world.any(subscription).cloned().expect("a subscription of the fake");
        let mut after = before.clone();
        after["status"] = json!(if paid { "active" } else { "past_due" });
        inner.world.put(after.clone());
        inner.world.emit("customer.subscription.updated", &after, Some(&before), now);
        let id = inner.world.new_id("in");
        let parent =
            json!({"type": "subscription_details", "subscription_details": {"subscription": subscription}});
        let invoice = json!({"id": id, "object": "invoice", "customer": after["customer"], "parent": parent});
        let name = if paid { "invoice.paid" } else { "invoice.payment_failed" };
        inner.world.emit(name, &invoice, None, now);
        deliver(&self.shared, &mut inner);
    }

    /// The customer's bank takes the last payment back; the dispute's id.
    pub fn dispute(&self, subscription: &str) -> String {
        let now = self.shared.clock.now();
        let mut inner = self.shared.lock();
        let dispute = invoices::dispute(&mut inner.world, subscription, now);
        deliver(&self.shared, &mut inner);
        dispute["id"].as_str().unwrap_or_default().to_owned()
    }

    /// The newest event of a type, as it would be delivered now: signature header and body.
    pub fn delivery(&self, kind: &str) -> Option<(String, String)> {
        let inner = self.shared.lock();
        let event = inner.world.all("event").into_iter().find(|e| e["type"] == kind)?;
        let body = event.to_string();
        let now = self.shared.clock.now();
        Some((connect::sign::sign_stripe(&self.webhook_secret(), now, body.as_bytes()), body))
    }
}
