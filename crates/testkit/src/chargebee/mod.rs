//! A fake Chargebee over HTTP: real shapes, real traps, and switches for everything that can go wrong on the way. It
//! shares no code with our adapter, so that the two can disagree. What Chargebee does where its documentation is silent
//! is marked "assumed".

mod api;
mod invoices;
mod params;
mod server;
mod subscriptions;
#[cfg(test)]
mod tests;
mod world;

use std::collections::HashMap;
use std::ops::Deref;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use kit::SecretString;
use kit::clock::{Clock, MovedClock};
use serde_json::{Value, json};

use self::params::Params;
use self::server::{deliver, handle};
use self::world::World;
use crate::shell::{self, Shell};

const KEY: &str = "test_fakekey";
const CALLER: &str = "hook:s3:cret";

/// Which product catalogue the site has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Catalogue {
    /// 1.0.
    Plans,
    /// 2.0.
    Items,
}

/// What goes wrong with the next request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// 429 before anything happens, and how many seconds to wait.
    TooMany(u32),
    /// 500 before anything happens.
    Broken,
    /// A page of HTML with 503, from something in front of Chargebee.
    BrokenHtml,
    /// Everything happens, and the answer never comes.
    SilentAfterActing,
    /// 402: the payment an act needs is declined.
    PaymentFailed,
    /// 403: a key with fewer rights.
    Forbidden,
    /// 200 with something that is no JSON.
    Gibberish,
    /// 302 to another host.
    Redirect,
    /// A list whose next offset is an address elsewhere.
    ForeignNext,
    /// A list that goes on where it began.
    RepeatedCursor,
}

/// A request as it came. `params` holds query and form, names as they were sent.
#[derive(Clone, Debug)]
pub struct Seen {
    pub method: String,
    pub path: String,
    pub params: Vec<(String, String)>,
    pub idempotency_key: Option<String>,
    pub authorization: Option<String>,
    pub content_type: Option<String>,
}

/// The fake. It ends when dropped.
pub struct FakeChargebee(Shell<Site, Fault, Seen>);

type Shared = shell::Shared<Site, Fault, Seen>;
type Inner = shell::Inner<Site, Fault, Seen>;

/// What the fake holds.
pub struct Site {
    world: World,
    answered: HashMap<String, Value>,
    forgetful: bool,
}

impl Deref for FakeChargebee {
    type Target = Shell<Site, Fault, Seen>;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl FakeChargebee {
    /// An empty site on the machine's clock; the API is below `/api/v2`.
    pub async fn start(catalogue: Catalogue) -> Self {
        Self::start_on("127.0.0.1:0", MovedClock::default(), catalogue).await
    }

    /// The same at an address and a clock of the caller's.
    pub async fn start_on(address: &str, clock: MovedClock, catalogue: Catalogue) -> Self {
        let site = Site { world: World::new(catalogue), answered: HashMap::new(), forgetful: false };
        let serve = |shared: Arc<Shared>| axum::Router::new().fallback(handle).with_state(shared);
        Self(Shell::start(address, clock, site, serve).await)
    }

    /// The site's API key.
    pub fn key(&self) -> SecretString {
        KEY.into()
    }

    /// User and password that webhooks come with.
    pub fn webhook_secret(&self) -> SecretString {
        CALLER.into()
    }

    /// Idempotency keys are forgotten at once, as they are after some time.
    pub fn forget_keys(&self) {
        let mut inner = self.shared.lock();
        inner.forgetful = true;
        inner.answered.clear();
    }

    /// A subscription as it stands.
    pub fn subscription(&self, id: &str) -> Option<Value> {
        let mut inner = self.shared.lock();
        inner.world.settle(self.shared.clock.now());
        inner.world.get("subscription", id).cloned()
    }

    /// Everything of a kind, oldest first: `invoice`, `credit_note`.
    pub fn all(&self, kind: &str) -> Vec<Value> {
        let mut inner = self.shared.lock();
        inner.world.settle(self.shared.clock.now());
        inner.world.all(kind).into_iter().cloned().collect()
    }

    /// Changes fields of a subscription behind everybody's back: no event tells of it.
    pub fn set(&self, id: &str, changes: Value) {
        let mut inner = self.shared.lock();
        let mut object = inner.world.get("subscription", id).cloned().expect("a subscription of the fake");
        for (key, value) in changes.as_object().into_iter().flatten() {
            object[key] = value.clone();
        }
        inner.world.put("subscription", object, self.shared.clock.now());
    }

    /// A plan with a monthly price in minor units; the price's id, which is the plan's in the old catalogue.
    pub fn add_price(&self, plan: &str, id: &str, amount: i64, currency: &str) -> String {
        let now = self.shared.clock.now();
        let mut inner = self.shared.lock();
        let price = json!({"id": id, "name": id, "status": "active", "pricing_model": "per_unit", "price": amount,
            "currency_code": currency, "period": 1, "period_unit": "month"});
        if inner.world.catalogue == Catalogue::Plans {
            inner.world.put("plan", price, now);
        } else {
            let item = json!({"id": plan, "name": plan, "status": "active", "type": "plan"});
            inner.world.put("item", item, now);
            let mut price = price;
            price["item_id"] = json!(plan);
            price["item_type"] = json!("plan");
            inner.world.put("item_price", price, now);
        }
        id.to_owned()
    }

    /// A coupon of the company's own, for a share, for ever.
    pub fn add_coupon(&self, id: &str, percent: f64) {
        let coupon = json!({"id": id, "name": id, "discount_type": "percentage", "discount_percentage": percent,
            "duration_type": "forever", "apply_on": "invoice_amount", "status": "active"});
        self.shared.lock().world.put("coupon", coupon, self.shared.clock.now());
    }

    pub fn add_customer(&self, email: &str, name: &str) -> String {
        let mut inner = self.shared.lock();
        let id = inner.world.new_id("cus");
        let customer = json!({"id": id, "email": email, "first_name": name, "auto_collection": "on",
            "promotional_credits": 0, "refundable_credits": 0, "excess_payments": 0, "deleted": false,
            "object": "customer"});
        inner.world.put("customer", customer, self.shared.clock.now());
        id
    }

    pub fn delete_customer(&self, id: &str) {
        let mut inner = self.shared.lock();
        let mut customer = inner.world.get("customer", id).cloned().expect("a customer of the fake");
        customer["deleted"] = json!(true);
        inner.world.put("customer", customer, self.shared.clock.now());
    }

    /// A subscription with one plan; in a trial of so many days, where there are any.
    pub fn add_subscription(&self, customer: &str, price: &str, trial_days: i64) -> String {
        let now = self.shared.clock.now();
        let mut inner = self.shared.lock();
        let id = subscriptions::create(&mut inner.world, customer, price, trial_days, now);
        deliver(&mut inner);
        id
    }

    /// What somebody else does to the site, such as the company in Chargebee's pages. It makes events like any change.
    pub fn act(&self, path: &str, params: &[(&str, &str)]) -> Value {
        let now = self.shared.clock.now();
        let mut inner = self.shared.lock();
        let params = Params::new(params.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect());
        let steps: Vec<&str> = path.trim_start_matches('/').split('/').collect();
        inner.world.settle(now);
        let reply = api::answer(&mut inner.world, "POST", &steps, &params, now);
        deliver(&mut inner);
        reply.expect("the fake's own request is right")
    }

    /// A payment of the subscription fails: an invoice is due from now on.
    pub fn fail_payment(&self, subscription: &str) {
        let now = self.shared.clock.now();
        let mut inner = self.shared.lock();
        subscriptions::fail_payment(&mut inner.world, subscription, now);
        deliver(&mut inner);
    }

    /// The newest event of a type, as it would be delivered: `Authorization` and body.
    pub fn delivery(&self, kind: &str) -> Option<(String, String)> {
        let mut inner = self.shared.lock();
        inner.world.settle(self.shared.clock.now());
        let all = inner.world.all("event");
        let event = all.into_iter().rev().find(|e| e["event_type"] == kind)?;
        Some((caller(), event.to_string()))
    }
}

fn caller() -> String {
    format!("Basic {}", STANDARD.encode(CALLER))
}
