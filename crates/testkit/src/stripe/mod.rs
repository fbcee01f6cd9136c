//! A fake Stripe over HTTP: real shapes, real traps, and switches for everything that can go wrong on the way. It shares
//! no code with our adapter, so that the two can disagree.

mod api;
mod form;
mod subscriptions;
#[cfg(test)]
mod tests;
mod world;

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use kit::SecretString;
use kit::clock::{Clock, MovedClock};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use self::api::{Asked, Problem};
use self::world::World;

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
pub struct FakeStripe {
    shared: Arc<Shared>,
    url: String,
    server: JoinHandle<()>,
}

struct Shared {
    clock: MovedClock,
    inner: Mutex<Inner>,
}

struct Inner {
    world: World,
    faults: VecDeque<Option<Fault>>,
    answered: HashMap<String, (String, u16, Value)>,
    seen: Vec<Seen>,
    webhooks: Option<String>,
    revoked: bool,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl FakeStripe {
    /// An empty account on the machine's clock.
    pub async fn start() -> Self {
        Self::start_at(MovedClock::default()).await
    }

    /// An empty account whose time is that of `clock`.
    #[expect(clippy::disallowed_methods, reason = "a fake server has no process to drain with")]
    pub async fn start_at(clock: MovedClock) -> Self {
        let inner = Inner {
            world: World::new(),
            faults: VecDeque::new(),
            answered: HashMap::new(),
            seen: Vec::new(),
            webhooks: None,
            revoked: false,
        };
        let shared = Arc::new(Shared { clock, inner: Mutex::new(inner) });
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("a bound port"));
        let app = axum::Router::new().fallback(handle).with_state(shared.clone());
        let server = tokio::spawn(async move {
            axum::serve(listener, app).await.ok();
        });
        Self { shared, url, server }
    }

    pub fn url(&self) -> &str {
        &self.url
    }

    /// The account's secret key.
    pub fn key(&self) -> SecretString {
        KEY.into()
    }

    /// What webhooks are signed with.
    pub fn webhook_secret(&self) -> SecretString {
        WEBHOOK_SECRET.into()
    }

    /// The fake's clock: move it and what is due happens.
    pub fn clock(&self) -> &MovedClock {
        &self.shared.clock
    }

    /// Lets the next requests go wrong, one after the other.
    pub fn fail_next(&self, faults: &[Fault]) {
        self.fail_after(0, faults);
    }

    /// Lets some requests pass, and those after them go wrong.
    pub fn fail_after(&self, requests: usize, faults: &[Fault]) {
        let mut inner = self.shared.lock();
        inner.faults.extend(std::iter::repeat_n(None, requests));
        inner.faults.extend(faults.iter().copied().map(Some));
    }

    /// From now on no key is accepted.
    pub fn revoke_key(&self) {
        self.shared.lock().revoked = true;
    }

    /// Sends every event, signed, to this address from now on.
    pub fn send_webhooks_to(&self, url: &str) {
        self.shared.lock().webhooks = Some(url.to_owned());
    }

    /// Every request so far.
    pub fn seen(&self) -> Vec<Seen> {
        self.shared.lock().seen.clone()
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

    /// The newest event of a type, as it would be delivered now: signature header and body.
    pub fn delivery(&self, kind: &str) -> Option<(String, String)> {
        let inner = self.shared.lock();
        let event = inner.world.all("event").into_iter().find(|e| e["type"] == kind)?;
        let body = event.to_string();
        let now = self.shared.clock.now();
        Some((connect::sign::sign_stripe(&self.webhook_secret(), now, body.as_bytes()), body))
    }
}

impl Drop for FakeStripe {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn handle(
    State(shared): State<Arc<Shared>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let pairs = form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes())
        .chain(form_urlencoded::parse(&body))
        .map(|(name, value)| (name.into_owned(), value.into_owned()));
    let params = form::nest(pairs);
    let fault = {
        let mut inner = shared.lock();
        inner.seen.push(Seen {
            method: method.to_string(),
            path: uri.path().to_owned(),
            params: params.clone(),
            idempotency_key: header(&headers, "idempotency-key").map(str::to_owned),
        });
        inner.faults.pop_front().flatten()
    };
    let problem = |status, kind, code, message: &str| {
        said(status, Problem { status, kind, code, message: message.into(), param: None }.body(), false)
    };
    match fault {
        Some(Fault::TooMany) => {
            return problem(429, "invalid_request_error", Some("rate_limit"), "Too many requests");
        }
        Some(Fault::Conflict) => {
            return problem(409, "invalid_request_error", None, "Another request with this key is under way");
        }
        Some(Fault::BrokenHtml) => {
            return (StatusCode::SERVICE_UNAVAILABLE, "<html><h1>503</h1></html>").into_response();
        }
        Some(Fault::Gibberish) => return "{\"id\": ".into_response(),
        Some(Fault::Forbidden) => {
            return problem(403, "invalid_request_error", None, "The key lacks rak_subscription_write");
        }
        _ => {}
    }
    let (status, value, replayed) = answer(&shared, &method, &uri, &headers, params, fault);
    if fault == Some(Fault::SilentAfterActing) {
        // Longer than any client waits.
        tokio::time::sleep(Duration::from_secs(600)).await;
    }
    said(status, value, replayed)
}

fn answer(
    shared: &Arc<Shared>,
    method: &Method,
    uri: &Uri,
    headers: &HeaderMap,
    params: Value,
    fault: Option<Fault>,
) -> (u16, Value, bool) {
    let mut inner = shared.lock();
    let invalid = |status, message: &str| {
        let problem = Problem { status, ..Problem::invalid("", message, "") };
        (status, problem.body(), false)
    };
    if inner.revoked || header(headers, "authorization") != Some(&format!("Bearer {KEY}")) {
        return invalid(401, "Invalid API Key provided");
    }
    if header(headers, "stripe-version") != Some(VERSION) {
        return invalid(400, "This fake speaks one version, and it must be named in every request");
    }
    let Some(path) = uri.path().strip_prefix("/v1/") else { return invalid(404, "Unrecognized request URL") };
    // What is repeated under a key answers what it answered first, failures included.
    let key = header(headers, "idempotency-key").filter(|_| method == Method::POST).map(str::to_owned);
    let print = format!("{} {params}", uri.path());
    if let Some((before, status, value)) = key.as_ref().and_then(|k| inner.answered.get(k)) {
        if *before == print {
            return (*status, value.clone(), true);
        }
        let message = "Keys for idempotent requests can only be used with the same parameters they were first used with.";
        let kind = "idempotency_error";
        return (400, Problem { kind, ..Problem::invalid("", message, "") }.body(), false);
    }
    let (status, value) = match fault {
        Some(Fault::Broken) => (500, json!({"error": {"type": "api_error", "message": "Sorry"}})),
        Some(Fault::CardDeclined) => (
            402,
            json!({"error": {"type": "card_error", "code": "card_declined", "decline_code": "insufficient_funds", "message": "Your card was declined."}}),
        ),
        _ => {
            let path = path.split('/').collect();
            let asked = Asked { method: method.as_str(), path, params, now: shared.clock.now() };
            match api::answer(&mut inner.world, &asked) {
                Ok(value) => (200, value),
                Err(problem) => (problem.status, problem.body()),
            }
        }
    };
    // What fails its validation is not stored.
    if let Some(key) = key
        && status != 400
        && status != 404
    {
        inner.answered.insert(key, (print, status, value.clone()));
    }
    deliver(shared, &mut inner);
    (status, value, false)
}

fn said(status: u16, value: Value, replayed: bool) -> Response {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = (status, axum::Json(value)).into_response();
    let mut add = |name, value| response.headers_mut().insert(name, http::HeaderValue::from_static(value));
    add("request-id", "req_Fake");
    add("stripe-version", VERSION);
    if replayed {
        add("idempotent-replayed", "true");
    }
    response
}

fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).and_then(|v| v.to_str().ok())
}

/// Sends what waits; each event up to three times until it is taken, signed anew every time.
#[expect(clippy::disallowed_methods, reason = "a fake server has no process to drain with")]
fn deliver(shared: &Arc<Shared>, inner: &mut Inner) {
    let events = std::mem::take(&mut inner.world.outbox);
    let Some(url) = inner.webhooks.clone() else { return };
    let clock = shared.clock.clone();
    if events.is_empty() {
        return;
    }
    tokio::spawn(async move {
        let settings = connect::http::Settings { private_networks: true, ..Default::default() };
        let http = connect::http::Http::new(settings).expect("a client");
        for event in events {
            let body = Bytes::from(event.to_string());
            for _ in 0..3 {
                let signature = connect::sign::sign_stripe(&WEBHOOK_SECRET.into(), clock.now(), &body);
                let call = http
                    .call("fake-stripe", "webhook", Method::POST, &url)
                    .header("stripe-signature", &signature)
                    .body(body.clone(), "application/json; charset=utf-8")
                    .once();
                if call.send().await.is_ok_and(|a| a.is_success()) {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    });
}
