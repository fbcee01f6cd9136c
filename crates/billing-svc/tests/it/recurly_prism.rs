//! What we ask of Recurly, asked of Prism as well: somebody else's reading of Recurly's own description of its API. Prism
//! makes its answers up, so a story cannot be played with it; the requests of one that was played with the fake can.
//!
//! Runs where `PRISM_RECURLY_URL` says where it is: `prism mock crates/testkit/src/recurly/openapi.json` (npm
//! `@stoplight/prism-cli`, in `tools/`).

use billing_svc::providers::{Act, Cursor, Cut, IdempotencyKey, Keep, SwitchAt, Term};
use connect::http::{Http, Settings};
use kit::clock::Clock;
use kit::{Currency, Money};
use reqwest::Method;

use crate::provider_contract::Rig;
use crate::recurly::RecurlyRig;

#[expect(clippy::disallowed_methods, reason = "where another program runs is not a setting of a service")]
fn url() -> Option<String> {
    std::env::var("PRISM_RECURLY_URL").ok()
}

/// Everything the adapter can be asked for, once.
async fn play(rig: &RecurlyRig) {
    let (p, id, trial) = (rig.provider(), rig.subscription().await, rig.trial().await);
    let eur = |minor| Money::new(minor, Currency::parse("EUR").unwrap());
    let later = kit::time::add_days(rig.clock().now(), 45);
    let apply = async |id, act: Act| {
        let key = IdempotencyKey::new(kit::id::new("rdm"));
        p.apply(id, &act, &key).await.unwrap()
    };
    p.test().await.unwrap();
    p.catalog().await.unwrap();
    p.changes(&Cursor::start()).await.unwrap();
    p.events_since(&Cursor::start(), rig.clock().now()).await.unwrap();
    let customer = p.subscription(&id).await.unwrap().customer;
    p.customer(&customer).await.unwrap();
    for cut in [Cut::percent(25), Cut::Amount(eur(525))] {
        apply(&id, Act::Discount { cut, term: Term::Months(3), keep: Keep::All }).await;
        let discount = p.subscription(&id).await.unwrap().discounts[0].id.clone();
        apply(&id, Act::RemoveDiscount { discount }).await;
    }
    apply(&id, Act::Pause { months: 2, resumes_at: later }).await;
    apply(&id, Act::Resume).await;
    let now = SwitchAt::Now { prorate: true };
    for (price_id, at) in
        [(rig.other_price(), SwitchAt::PeriodEnd), ("fibre:EUR".into(), now), (rig.other_price(), now)]
    {
        apply(&id, Act::SwitchPlan { price_id, at }).await;
    }
    apply(&id, Act::ExtendTerm { until: later }).await;
    apply(&trial, Act::ExtendTrial { until: later }).await;
    apply(&trial, Act::ExtendTrial { until: rig.clock().now() }).await;
    let yesterday = kit::time::add_days(rig.clock().now(), -1);
    apply(&id, Act::Refund { amount: eur(500), not_before: yesterday }).await;
    let credit = apply(&id, Act::Credit { amount: eur(525) }).await.made.unwrap();
    apply(&id, Act::TakeCredit { credit, amount: eur(525) }).await;
    apply(&id, Act::CancelAtPeriodEnd { feedback: None }).await;
    apply(&id, Act::UndoCancel).await;
    apply(&id, Act::CancelNow { feedback: None }).await;
}

#[tokio::test]
async fn prism_finds_nothing_wrong_with_a_request() {
    let Some(url) = url() else {
        println!("skipped: PRISM_RECURLY_URL is not set");
        return;
    };
    let rig = RecurlyRig::start().await;
    play(&rig).await;
    let http = Http::new(Settings { private_networks: true, ..Settings::default() }).unwrap();
    let ask = async |method: &str, path: &str, query: &str, body: &serde_json::Value| {
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        let call = http.call("prism", "replay", method, &format!("{url}{path}?{query}")).once();
        let call = call.header("accept", "application/json").basic("key", &"".into());
        let call = if body.is_null() { call } else { call.json(body) };
        call.send().await.unwrap()
    };
    let mut wrong = Vec::new();
    // The pages of a list are followed with what Recurly itself wrote into `next`, which it does not describe.
    for seen in rig.fake.seen().iter().filter(|s| !s.query.contains("cursor=")) {
        let answer = ask(&seen.method, &seen.path, &seen.query, &seen.body).await;
        if !answer.is_success() {
            let said = String::from_utf8_lossy(&answer.body);
            wrong.push(format!("{} {} was answered {}: {said}", seen.method, seen.path, answer.status));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    // And it would find something.
    let nonsense = serde_json::json!({ "remaining_pause_cycles": "two" });
    assert_eq!(ask("PUT", "/subscriptions/sub1/pause", "", &nonsense).await.status, 422);
}
