//! Workflows that nobody looks on at: a payment fails, a run waits and writes to the customer, and stops when they pay; and
//! customers are sent through one by hand, and what became of them is told.

use std::time::SystemTime;

use bson::{Document, doc};
use jiff::SignedDuration;
use serde_json::{Value, json};
use stack::load::api::{Api, text};
use stack::load::people;
use testkit::stripe::FakeStripe;

use crate::company::Company;
use crate::world::World;

/// What is answered, for whoever writes docs/flows.md anew (`--no-capture`).
fn show(what: &str, answer: &Value) {
    println!("=== {what}\n{}", serde_json::to_string_pretty(answer).unwrap());
}

fn words(en: &str) -> Value {
    json!({ "default_locale": "en", "texts": { "en": en } })
}

fn mail(subject: &str, next: &str) -> Value {
    let name = json!({ "key": "name", "fallback": words("customer") });
    let plan = json!({ "key": "plan", "fallback": words("your plan") });
    let mail = json!({
        "subject": words(subject), "body": words("Dear {{name}},\n\nwe could not charge you for {{plan}}."),
        "link": "https://www.example.com/billing", "variables": [name, plan],
    });
    json!({ "action": "mail", "mail": mail, "next": next })
}

/// A workflow of these nodes, published.
async fn published(admin: &Api, name: &str, trigger: &str, nodes: Value) -> String {
    let content = json!({ "trigger": trigger, "start": nodes[0]["id"], "nodes": nodes, "locales": ["en"] });
    let made = admin.post("/v1/workflows", json!({ "name": name, "content": content })).await.unwrap();
    let id = text(&made, "/id").unwrap();
    let publish = json!({ "version": made["version"] });
    let published = admin.post(&format!("/v1/workflows/{id}/publish"), publish).await.unwrap();
    assert_eq!(published["state"], "published", "{published}");
    id
}

/// The run of a workflow, once there is one.
async fn run_of(world: &World, workflow: &str) -> String {
    let runs = world.data.db("content").await.collection::<Document>("workflow_runs");
    let found = testkit::eventually("a run", || async {
        runs.find_one(doc! { "body.flow.id": workflow }).await.unwrap()
    });
    found.await.get_str("_id").unwrap().to_owned()
}

/// The admin, signed in again where time has passed.
async fn admin_of(company: &Company) -> Api {
    let email = text(&company.noted, "/users/ret_admin").unwrap();
    let admin = people::sign_in(&company.public, &company.mailbox, &email).await.unwrap();
    admin.with_header("retention-mode", "test".into())
}

#[tokio::test]
async fn a_run_waits_and_writes_and_stops_when_the_customer_pays() {
    let stripe = FakeStripe::start().await;
    let price = stripe.add_price(&stripe.add_product("Fibre"), 2_900, "gbp", "month");
    let subscription = stripe.add_subscription(&stripe.add_customer("paying@example.com", "Paying"), &price);
    let world = World::start_with([("RETENTION_STRIPE_URL", stripe.url().to_owned())]).await;
    let company = Company::bare(&world).await;
    let admin = company.connect_stripe(&world, &stripe).await;

    let nodes = json!([
        { "id": "day", "wait": { "hours": 24, "next": "ask" } },
        { "id": "ask", "action": mail("Your payment failed", "week") },
        { "id": "week", "wait": { "hours": 168, "next": "again" } },
        { "id": "again", "action": mail("Your payment is a week late", "done") },
        { "id": "done", "end": { "outcome": "kept" } },
    ]);
    let workflow = published(&admin, "Failed cards", "payment_failed", nodes).await;
    let begun = SystemTime::now();
    stripe.settle_payment(&subscription, false);
    let path = format!("/v1/workflow-viewer/runs/{}", run_of(&world, &workflow).await);
    let waits = company.until(&admin, &path, "the run waits", |run| run["state"] == "waiting").await;
    assert_eq!((&waits["trigger"], &waits["visits"][0]["node"]), (&json!("payment_failed"), &json!("day")));

    let later = |by: SignedDuration| {
        world.clock.advance(by);
        stripe.clock().advance(by);
    };
    later(SignedDuration::from_hours(25));
    let mail = company.mailbox.wait("paying@example.com", begun, |mail| Some(mail.to_owned())).await.unwrap();
    for part in ["Your payment failed", "Dear Paying,", "https://www.example.com/billing"] {
        assert!(mail.contains(part), "{part} is not in {mail}");
    }
    let admin = admin_of(&company).await;
    let wrote =
        company.until(&admin, &path, "it waits again", |run| run["visits"][2]["node"] == "week").await;
    let effect = &wrote["visits"][1]["effect"];
    let key = format!("workflow/{}/ask/1", text(&wrote, "/id").unwrap());
    assert_eq!((&effect["key"], &effect["outcome"]), (&json!(key), &json!("asked")));

    stripe.settle_payment(&subscription, true);
    let paid = company.until(&admin, &path, "it is canceled", |run| run["state"] == "canceled").await;
    show("a run that was paid", &paid);
    assert_eq!(paid["reason"], "paid", "{paid}");
    later(SignedDuration::from_hours(24 * 8));
    // What would have been sent by now was not: another run is done meanwhile, and no mail went.
    let admin = admin_of(&company).await;
    let nodes = json!([
        { "id": "tag", "action": { "action": "tag", "tag": { "add": ["paid"] }, "next": "done" } },
        { "id": "done", "end": { "outcome": "kept" } },
    ]);
    let by_hand = published(&admin, "By hand", "manual", nodes).await;
    let customer = text(&paid, "/customer_id").unwrap();
    let start = json!({ "customers": [{ "customer": customer }], "key": "spring" });
    let path = format!("/v1/workflows/{by_hand}/runs");
    let started = admin.post(&path, start.clone()).await.unwrap();
    show("started by hand", &started);
    let again = admin.post(&path, start).await.unwrap();
    assert_eq!(again["items"][0]["outcome"], "known");
    assert_eq!(again["items"][0]["run_id"], started["items"][0]["run_id"]);
    let path = format!("/v1/workflow-viewer/runs/{}", text(&started, "/items/0/run_id").unwrap());
    let done = company.until(&admin, &path, "it is done", |run| run["state"] == "completed").await;
    show("a run that is done", &done);
    assert_eq!(done["visits"][0]["effect"]["outcome"], "done");
    let tagged = admin.get(&format!("/v1/customers/{customer}")).await.unwrap();
    assert_eq!(tagged["tags"], json!(["paid"]));
    let files = std::fs::read_dir(world.file("mail")).unwrap().flatten();
    let texts = files.filter_map(|f| std::fs::read_to_string(f.path()).ok());
    let sent = texts.filter(|text| text.contains("Your payment is a week late")).count();
    assert_eq!(sent, 0);

    // Another mode, another company: not there.
    assert!(admin.with_header("retention-mode", "live".into()).get(&path).await.is_err());
    world.stack.stop().await.unwrap();
}
