//! Fifty customers, and in every visit a service dies. Whoever presses "cancel" is heard, whoever was in the middle goes
//! on, and in the end nothing is lost or done twice.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::SignedDuration;
use reqwest::Method;
use serde_json::{Value, json};
use testkit::eventually;

use crate::company::Company;
use crate::world::World;

const FLOWS: usize = 50;

/// A customer at a screen. Knows no retries: what fails is seen and pressed again by whoever drives it.
struct Customer<'a> {
    company: &'a Company,
    http: reqwest::Client,
    gateway: String,
    external_id: String,
    stays: bool,
    session: String,
    token: String,
}

impl Customer<'_> {
    async fn call(&self, method: Method, path: &str, token: &str, body: Value) -> Option<Value> {
        let request = self.http.request(method, format!("{}{path}", self.gateway)).bearer_auth(token);
        let request = if body.is_null() { request } else { request.json(&body) };
        let answer = request.send().await.ok()?;
        if answer.status().is_success() { answer.json().await.ok() } else { None }
    }

    /// A new link, and in; also back in, after something broke.
    async fn enter(&mut self) -> Option<()> {
        let key = self.company.noted["api_key_live"].as_str()?.to_owned();
        let wanted = json!({ "customer": self.external_id });
        let link = self.call(Method::POST, "/v1/flow/tokens", &key, wanted).await?;
        let start = json!({ "token": link["token"] });
        let started =
            self.http.post(format!("{}/v1/flow/sessions", self.gateway)).json(&start).send().await.ok()?;
        let screen: Value =
            if started.status().is_success() { started.json().await.ok()? } else { return None };
        self.session = format!("/v1/flow/sessions/{}", screen["session_id"].as_str()?);
        self.token = screen["session_token"].as_str()?.to_owned();
        Some(())
    }

    async fn look(&self) -> Option<Value> {
        self.call(Method::GET, &self.session, &self.token, Value::Null).await
    }

    /// Does what this customer does at this screen.
    async fn press(&self, screen: &Value) -> Option<Value> {
        let path = match screen["offer"]["id"].as_str() {
            _ if !self.stays => format!("{}/cancel", self.session),
            Some(offer) => format!("{}/offers/{offer}/accept", self.session),
            None => format!("{}/answers", self.session),
        };
        let body = if path.ends_with("/answers") {
            json!({ "answers": [{ "question": "reason", "choices": ["too_expensive"] }] })
        } else {
            json!({})
        };
        self.call(Method::POST, &path, &self.token, body).await
    }
}

fn is_over(screen: &Value) -> bool {
    matches!(screen["state"].as_str(), Some("saved" | "canceled" | "manual"))
}

/// Kills the service while the customer presses, and starts it again afterwards; what the press was answered.
async fn press_while_it_dies(
    world: &mut World,
    customer: &Customer<'_>,
    screen: &Value,
    victim: &str,
) -> Option<Value> {
    let pressed = customer.press(screen);
    let (pressed, killed) = tokio::join!(pressed, world.stack.kill(victim));
    killed.unwrap();
    let pressed = match pressed {
        // Dead now, and pressed again: whoever wants to leave does not wait for us to come back.
        None => customer.press(screen).await,
        some => some,
    };
    world.stack.restart(victim).await.unwrap();
    world.until_ready(victim).await;
    pressed
}

#[tokio::test(flavor = "multi_thread")]
async fn fifty_customers_are_heard_though_a_service_dies_in_every_visit() {
    let mut world = World::start().await;
    let company = Company::demo(&world).await;
    let all = company.machine.all("/v1/subscriptions?state=active").await.unwrap();
    let active: Vec<String> = all
        .iter()
        .filter_map(|s| s["external_id"].as_str()?.strip_prefix("sub_").map(str::to_owned))
        .collect();
    let names = world.stack.names();
    let mut ends: BTreeMap<String, String> = BTreeMap::new();
    for n in 0..FLOWS {
        let external_id = active[n % active.len()].clone();
        if ends.contains_key(&external_id) {
            continue;
        }
        let victim = names[n % names.len()];
        // At which press it dies: while entering, at the first page or at the next.
        let moment = n / names.len() % 3;
        let mut customer = Customer {
            company: &company,
            http: reqwest::Client::builder().timeout(Duration::from_secs(20)).build().unwrap(),
            gateway: world.stack.address("gateway").unwrap(),
            external_id: external_id.clone(),
            stays: n % 2 == 0,
            session: String::new(),
            token: String::new(),
        };
        if moment == 0 {
            world.stack.kill(victim).await.unwrap();
            customer.enter().await;
            world.stack.restart(victim).await.unwrap();
            world.until_ready(victim).await;
        }
        while customer.session.is_empty() {
            if customer.enter().await.is_none() {
                tokio::task::yield_now().await;
            }
        }
        let mut presses = 0;
        let state = loop {
            let screen = eventually("a screen", || customer.look()).await;
            if is_over(&screen) {
                break screen["state"].as_str().unwrap().to_owned();
            }
            if screen["state"] == "settling" {
                world.clock.advance(SignedDuration::from_secs(11));
                eventually("what was decided being carried out", async || {
                    customer.look().await.filter(|s| s["state"] != "settling").map(drop)
                })
                .await;
                continue;
            }
            presses += 1;
            if presses == moment.max(1) {
                let answered = press_while_it_dies(&mut world, &customer, &screen, victim).await;
                // Only who is asked first can keep a wish from being recorded, and that only until it is back.
                if !customer.stays && !matches!(victim, "gateway" | "content-svc") {
                    assert!(answered.is_some(), "{victim} was down, and {external_id} could not cancel");
                }
            } else {
                customer.press(&screen).await;
            }
            assert!(presses < 10, "{external_id} gets nowhere: {screen}");
        };
        ends.insert(external_id, state);
    }
    assert!(ends.len() >= FLOWS.min(active.len()));
    check(&world, &company, &ends).await;
    world.stack.stop().await.unwrap();
}

/// Nothing is lost and nothing was done twice: at the provider, in the visits, in the figures and in the mailbox.
async fn check(world: &World, company: &Company, ends: &BTreeMap<String, String>) {
    let of = |state: &str| ends.values().filter(|s| *s == state).count();
    let (saved, canceled) = (of("saved"), of("canceled"));
    assert_eq!(saved + canceled, ends.len(), "{ends:?}");
    assert!(saved > 5 && canceled > 5, "{ends:?}");
    for (customer, state) in ends {
        let path = format!("/v1/billing/simulated/subscriptions/sub_{customer}");
        let at_provider = company.machine.get(&path).await.unwrap();
        let discounts = at_provider["discounts"].as_array().unwrap().len();
        if state == "canceled" {
            assert_eq!(
                (at_provider["state"].as_str(), discounts),
                (Some("non_renewing"), 0),
                "{at_provider}"
            );
        } else {
            assert_eq!((at_provider["state"].as_str(), discounts), (Some("active"), 1), "{at_provider}");
        }
    }
    let visits = company.admin.all("/v1/flow-sessions").await.unwrap();
    let ended: Vec<_> = visits.iter().filter(|v| v["state"] == "saved" || v["state"] == "canceled").collect();
    assert_eq!(ended.len(), ends.len(), "one visit each");
    assert!(visits.iter().all(|v| v["state"] != "canceled" || v["wished_at"].is_string()));
    let (want_saved, want_canceled) = (json!(saved), json!(canceled));
    let right = |o: &Value| o["saved"] == want_saved && o["canceled"] == want_canceled;
    company.until(&company.machine, "/v1/analytics/overview", "the overview counting all", right).await;
    let mails = world.file("mail");
    eventually("the mails of all who stayed", async || {
        let names = std::fs::read_dir(&mails).unwrap().map(|f| f.unwrap().file_name().into_string().unwrap());
        (names.filter(|n| n.contains("-Offer_Code-") && !n.starts_with('.')).count() == saved).then_some(())
    })
    .await;
}
