//! A person asks what is known of them, and to be forgotten. Invariant 11: an erasure leaves nothing personal in any
//! collection of any service, those included that come after this was written, and a receipt in each.

use std::path::Path;
use std::time::SystemTime;

use serde_json::{Value, json};
use stack::load::api::{Api, text};
use testkit::eventually;

use crate::company::Company;
use crate::world::World;

const NAME: &str = "Grace Brewster Hopper";
const SECOND: &str = "grace.second@navy.example";
const WORDS: &str = "my cat Amazing unplugged the router";
const PET: &str = "Amazing the ship's cat";
const DID: &str = "asked about COBOL";
const USED: &str = "watched Sneakers";

/// What nobody but the person brings up.
fn words(address: &str) -> [&str; 7] {
    [address, NAME, SECOND, WORDS, PET, DID, USED]
}

/// Takes a customer into the flow: the session's path, and the API as their browser calls it.
async fn enter(company: &Company, customer: &str) -> (String, Api) {
    let token = company.machine.post("/v1/flow/tokens", json!({ "customer": customer })).await.unwrap();
    let token = text(&token, "/token").unwrap();
    let screen = company.public.post("/v1/flow/sessions", json!({ "token": token })).await.unwrap();
    let browser = company.public.with_token(&text(&screen, "/session_token").unwrap());
    (format!("/v1/flow/sessions/{}", text(&screen, "/session_id").unwrap()), browser)
}

/// One is saved and gets a code by mail; the other says in words why, and leaves.
async fn both_cancel(company: &Company, saved: &str, leaves: &str) {
    let (session, browser) = enter(company, saved).await;
    let answers =
        |question: &str, choice: &str| json!({ "answers": [{ "question": question, "choices": [choice] }] });
    let path = format!("{session}/answers");
    let screen = browser.post(&path, answers("reason", "too_expensive")).await.unwrap();
    let offer = text(&screen, "/offer/id").unwrap();
    browser.post(&format!("{session}/offers/{offer}/accept"), json!({})).await.unwrap();
    company.until(&browser, &session, "the customer being saved", |s| s["state"] == "saved").await;

    let (session, browser) = enter(company, leaves).await;
    let path = format!("{session}/answers");
    browser.post(&path, answers("reason", "other")).await.unwrap();
    let said = json!({ "answers": [{ "question": "more", "text": WORDS }] });
    browser.post(&path, said).await.unwrap();
    browser.post(&format!("{session}/cancel"), json!({})).await.unwrap();
    company.until(&browser, &session, "the flow ending", |s| s["state"] == "canceled").await;
}

async fn customer(company: &Company, external_id: &str) -> Value {
    let path = format!("/v1/customers?external_id={external_id}");
    company.admin.get(&path).await.unwrap()["items"][0].clone()
}

/// The two records are one person's. What follows from the subscriptions may move a record meanwhile.
async fn merge(company: &Company, survivor: &str, absorbed: &str) -> String {
    eventually("the two becoming one", async || {
        let (one, other) = (customer(company, survivor).await, customer(company, absorbed).await);
        let merge = json!({
            "survivor_id": one["id"], "survivor_version": one["version"],
            "absorbed_id": other["id"], "absorbed_version": other["version"],
        });
        company.admin.post("/v1/customers/merge", merge).await.ok()?;
        text(&one, "/id").ok()
    })
    .await
}

/// Everything the services learn of a person, from every side.
async fn live(company: &Company, one: &str, other: &str) {
    let pet = json!({ "key": "pet", "type": "text", "personal": true, "in_rules": true });
    company.admin.post("/v1/customer-attributes", pet).await.unwrap();
    let named = json!({ "external_id": one, "name": NAME, "attributes": { "pet": PET } });
    // With a key, so that the gateway keeps the answer, too.
    let once = company.machine.with_header("idempotency-key", "grace".into());
    once.post("/v1/customers", named).await.unwrap();
    let second = json!({ "rows": [{ "external_id": other, "email": SECOND, "name": NAME }] });
    company.machine.post("/v1/customer-data/import", second).await.unwrap();
    let did = json!({ "events": [
        { "name": "help", "customer": one, "properties": { "what": DID, "who": NAME } },
        { "name": "help", "customer": other, "properties": { "what": DID } },
    ] });
    company.machine.post("/v1/events", did).await.unwrap();
    let usage = format!("email,Film\n{SECOND},{USED}\n");
    let fields = [("dataset", "films"), ("auto_confirm", "true")];
    let sent = company.machine.upload("/v1/usage/uploads", &fields, "films.csv", usage.into_bytes()).await;
    let upload = format!("/v1/usage/uploads/{}", text(&sent.unwrap(), "/id").unwrap());
    let over = |u: &Value| u["state"] == "completed";
    company.until(&company.machine, &upload, "the usage being imported", over).await;
}

async fn ask(company: &Company, kind: &str, customer: &str) -> Value {
    let asked = json!({ "kind": kind, "customer": customer, "verification": "signed in", "note": NAME });
    company.machine.post("/v1/privacy/requests", asked).await.unwrap()
}

async fn until_over(company: &Company, request: &Value, state: &str) -> Value {
    let path = format!("/v1/privacy/requests/{}", text(request, "/id").unwrap());
    company
        .until(&company.machine, &path, &format!("the request being {state}"), |r| r["state"] == state)
        .await
}

/// Files below a folder in which a word stands.
fn files_with(folder: &Path, words: &[&str]) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            found.extend(files_with(&path, words));
        } else if let Ok(bytes) = std::fs::read(&path) {
            let text = String::from_utf8_lossy(&bytes).to_lowercase();
            if words.iter().any(|w| text.contains(&w.to_lowercase())) {
                found.push(path.display().to_string());
            }
        }
    }
    found
}

#[tokio::test]
async fn invariant_11_an_erasure_leaves_nothing_personal_in_any_service_and_a_receipt_in_each() {
    let world = World::start().await;
    let company = Company::demo(&world).await;
    let (one, other) = (company.customer(), text(&company.noted, "/customers/1").unwrap());
    let (address, begun) = (company.address(), SystemTime::now());
    let all = words(&address);
    live(&company, &one, &other).await;
    both_cancel(&company, &one, &other).await;
    company.mailbox.wait(&address, begun, |mail| Some(mail.to_owned())).await.unwrap();
    let ready = |e: &Value| e["state"] == "ready";
    company.until(&company.admin, "/v1/customer-data/export", "the export", ready).await;
    let id = merge(&company, &one, &other).await;
    let visits = format!("/v1/flow-sessions?customer_id={id}");
    let both = |v: &Value| v["items"].as_array().is_some_and(|v| v.len() == 2);
    company.until(&company.admin, &visits, "both visits being one person's", both).await;

    let access = ask(&company, "access", &one).await;
    let access = until_over(&company, &access, "completed").await;
    let file = company.machine.open(&text(&access, "/file").unwrap()).await.unwrap();
    let file: Value = file.json().await.unwrap();
    let services = file["services"].as_object().unwrap();
    assert_eq!(services.len(), 5, "a part per service");
    for word in all {
        assert!(file.to_string().contains(word), "{word} is known and not in the file");
    }
    for (service, kind) in [
        ("billing-svc", "customers"),
        ("content-svc", "flow_sessions"),
        ("analytics-svc", "user_events"),
        ("analytics-svc", "usage_rows"),
        ("notify-svc", "mails"),
        ("identity-svc", "audit_entries"),
    ] {
        assert!(!file["services"][service][kind][0].is_null(), "{service} has no {kind}");
    }

    let erasure = ask(&company, "erasure", &one).await;
    let held = until_over(&company, &erasure, "partly_held").await;
    let receipts = held["receipts"].as_array().unwrap();
    let from: Vec<_> = receipts.iter().filter_map(|r| r["service"].as_str()).collect();
    assert_eq!(from, ["analytics-svc", "billing-svc", "content-svc", "identity-svc", "notify-svc"]);
    let content = receipts.iter().find(|r| r["service"] == "content-svc").unwrap();
    assert_eq!(content["held"][0]["count"], 1, "the wish to cancel is evidence: {held}");
    assert!(held["held_until"].is_string() && held["note"] == "", "{held}");
    println!("{held:#}");

    eventually("nothing being left of the person", async || {
        world.data.holding(&all).await.is_empty().then_some(())
    })
    .await;
    assert_eq!(files_with(&world.file("objects"), &all), [] as [String; 0]);

    let shown = company.admin.get(&format!("/v1/customers/{id}")).await.unwrap();
    assert_eq!((&shown["state"], &shown["email"]), (&json!("erased"), &json!("")), "{shown}");
    let again = ask(&company, "erasure", &id).await;
    assert_eq!((&again["id"], &again["state"]), (&held["id"], &held["state"]), "asked again, it is the same");
    let late = json!({ "kind": "access", "customer": id, "verification": "signed in" });
    let late = company.machine.post("/v1/privacy/requests", late).await.unwrap_err();
    assert!(stack::load::api::is_refused(&late, "customer_erased"), "{late:#}");
    let rows = json!({ "rows": [{ "external_id": one, "email": address, "name": NAME }] });
    let imported = company.machine.post("/v1/customer-data/import", rows).await.unwrap();
    assert_eq!(imported["errors"][0]["code"], "customer_erased", "{imported}");
    assert_eq!(world.data.holding(&all).await, [] as [String; 0], "and nothing of it came back");
    world.stack.stop().await.unwrap();
}

#[tokio::test]
async fn who_asks_to_be_left_in_peace_gets_no_offer_and_may_leave() {
    let world = World::start().await;
    let company = Company::demo(&world).await;
    let request = ask(&company, "restriction", &company.customer()).await;
    let restricted = until_over(&company, &request, "completed").await;
    assert!(restricted["lifted_at"].is_null(), "{restricted}");
    let answers = json!({ "answers": [{ "question": "reason", "choices": ["too_expensive"] }] });

    let (screen, browser) = company.enter().await;
    let session = format!("/v1/flow/sessions/{}", text(&screen, "/session_id").unwrap());
    let asked = browser.post(&format!("{session}/answers"), answers.clone()).await.unwrap();
    assert!(asked["offer"].is_null() && asked["can_cancel"] == true, "{asked}");
    browser.post(&format!("{session}/close"), json!({})).await.unwrap();

    let lift = format!("/v1/privacy/requests/{}/lift", text(&request, "/id").unwrap());
    company.admin.post(&lift, json!({})).await.unwrap();
    let path = format!("/v1/privacy/requests/{}", text(&request, "/id").unwrap());
    company
        .until(&company.machine, &path, "the restriction being lifted", |r| r["lifted_at"].is_string())
        .await;
    let shown = customer(&company, &company.customer()).await;
    assert_eq!(shown["restricted"], json!(false), "{shown}");
    world.stack.stop().await.unwrap();
}
