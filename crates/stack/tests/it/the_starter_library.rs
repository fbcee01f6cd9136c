//! A company begins from the starter library: it is loaded, looked at and published, and customers of every place that has
//! a rule go through each of its flows to the end.

use std::collections::BTreeMap;
use std::time::SystemTime;

use futures_util::future::join_all;
use jiff::SignedDuration;
use serde_json::{Value, json};
use stack::load::api::{Api, text};
use testkit::stripe::FakeStripe;

use crate::company::{self, Company, STARTER};
use crate::world::World;

/// The rows of region rules, and where a customer is for whom each holds.
const PLACES: [(&str, &str); 8] = [
    ("EU", "EU"),
    ("DE", "DE"),
    ("FR", "FR"),
    ("UK", "UK"),
    ("US", "US"),
    ("US-CA", "US-CA"),
    ("US-NY", "US-NY"),
    ("default", "JP"),
];
/// The flows with a customer: workflow, and the plan and interval of those it is for.
const FLOWS: [(&str, &str, &str); 3] =
    [("B2B with contact", "team", "month"), ("SaaS monthly", "pro", "month"), ("SaaS yearly", "pro", "year")];
const REASONS: [&str; 9] = [
    "too_expensive",
    "more_than_needed",
    "not_using",
    "needed_for_a_while",
    "missing_features",
    "too_complex",
    "technical_issues",
    "switched_competitor",
    "other",
];
/// Of these, where not every one is tried: one with two offers, one that goes on as the place allows, and one with none.
const SOME_REASONS: [&str; 3] = ["too_expensive", "missing_features", "other"];
const LISTS: [&str; 6] =
    ["/v1/offers", "/v1/questionnaires", "/v1/card-elements", "/v1/cards", "/v1/templates", "/v1/workflows"];

fn show(what: &str, answer: &Value) {
    println!("=== {what}\n{}", serde_json::to_string_pretty(answer).unwrap());
}

fn customer(flow: usize, place: &str) -> String {
    format!("f{flow}-{}", place.to_lowercase())
}

/// Customers of every flow in every place, of whom billing knows no country, and one more for each flow.
fn customers() -> Vec<String> {
    let places = PLACES.iter().map(|(_, place)| *place).chain(["stays"]);
    let all = places.flat_map(|place| (0..FLOWS.len()).map(move |flow| (flow, customer(flow, place))));
    let row = |(flow, id): (usize, String)| {
        let (_, plan, interval) = FLOWS[flow];
        format!("{id},{id}@example.com,Ada,en,,USD,{plan},2900,{interval},2025-02-01T00:00:00Z,")
    };
    all.map(row).collect()
}

/// Everything the library made, with its versions.
async fn everything(admin: &Api) -> BTreeMap<&'static str, Vec<Value>> {
    let mut all = BTreeMap::new();
    for list in LISTS {
        all.insert(list, admin.all(list).await.unwrap());
    }
    all
}

fn sizes(all: &BTreeMap<&str, Vec<Value>>) -> Vec<usize> {
    LISTS.iter().map(|list| all[list].len()).collect()
}

/// Loads into the company of this file, as the command line would.
async fn load(world: &World, more: &[&str]) {
    company::load(world, &[&["--slug", "starter", "--starter"][..], more].concat()).await;
}

#[tokio::test]
async fn a_company_begins_from_it_and_customers_everywhere_come_to_an_end() {
    let world = World::start().await;
    let rows = customers();
    let company = Company::with(&world, "starter", &rows).await;
    let admin = &company.admin;
    let smaller = json!({
        "price_id": "lite-month", "plan": "lite", "name": "Lite", "price": { "minor": 1490, "currency": "USD" },
        "interval": "month", "interval_count": 1,
    });
    admin.post("/v1/billing/simulated/fixtures", json!({ "prices": [smaller] })).await.unwrap();

    load(&world, &["all"]).await;
    let drafts = everything(admin).await;
    assert_eq!(
        sizes(&drafts),
        [10, 4, 8, 25, 16, 6],
        "offers, questionnaires, elements, cards, pages, flows"
    );
    let standing = |item: &Value| item["state"].as_str() == Some("draft") && item["published"].is_null();
    for list in LISTS.iter().filter(|l| **l != "/v1/card-elements") {
        assert!(drafts[list].iter().all(standing), "{list}: {:?}", drafts[list]);
    }
    load(&world, &["all", "--publish"]).await;
    let published = everything(admin).await;
    for list in LISTS.iter().filter(|l| **l != "/v1/card-elements") {
        let right = |item: &Value| matches!(item["state"].as_str(), Some("published" | "active"));
        assert!(published[list].iter().all(right), "{list}: {:?}", published[list]);
    }
    load(&world, &["all", "--publish"]).await;
    load(&world, &["all"]).await;
    assert_eq!(everything(admin).await, published, "loading again changed something");

    files_are_as_they_are_exported(admin, &published).await;
    pages_are_fit_for_every_place(admin, &published).await;
    customers_come_to_an_end(&company, rows.len()).await;
    one_flow_goes_into_test_mode_alone(&world, admin).await;
    world.stack.stop().await.unwrap();
}

/// The files of the library are what an export writes, quotes and names aside.
async fn files_are_as_they_are_exported(admin: &Api, all: &BTreeMap<&str, Vec<Value>>) {
    let values: Value =
        serde_json::from_str(&std::fs::read_to_string(format!("{STARTER}/values.json")).unwrap()).unwrap();
    let mut names = BTreeMap::new();
    for (key, value) in values["company"].as_object().unwrap() {
        names.insert(format!("{{{{company.{key}}}}}"), value.as_str().unwrap().to_owned());
    }
    for file in std::fs::read_dir(format!("{STARTER}/offers")).unwrap().flatten() {
        let steps: Value = serde_json::from_str(&std::fs::read_to_string(file.path()).unwrap()).unwrap();
        for step in steps.as_array().unwrap().iter().filter(|s| s["path"] == "/v1/offers") {
            let made = all["/v1/offers"].iter().find(|o| o["name"] == step["body"]["name"]).unwrap();
            let name = format!("{{{{{}}}}}", step["save_as"].as_str().unwrap());
            names.insert(name, made["id"].as_str().unwrap().to_owned());
        }
    }
    let mut seen = 0;
    for file in std::fs::read_dir(format!("{STARTER}/workflows")).unwrap().flatten() {
        let mut written = std::fs::read_to_string(file.path()).unwrap();
        for (name, value) in &names {
            written = written.replace(name, value);
        }
        let workflow = all["/v1/workflows"].iter().find(|w| {
            let name = w["name"].as_str().unwrap();
            written.contains(&format!("workflow: {name}\n"))
        });
        let id = workflow.unwrap()["id"].as_str().unwrap();
        let export = admin.open(&format!("/v1/workflows/{id}/export")).await.unwrap().text().await.unwrap();
        assert_eq!(written.replace('\'', ""), export.replace('\'', ""), "{}", file.path().display());
        seen += 1;
    }
    assert_eq!(seen, 6);
}

/// Every page, in every place and both languages, with every offer it may show; and every flow once more.
async fn pages_are_fit_for_every_place(admin: &Api, all: &BTreeMap<&str, Vec<Value>>) {
    for workflow in &all["/v1/workflows"] {
        let path = format!("/v1/workflows/{}/validate", workflow["id"].as_str().unwrap());
        let report = admin.post(&path, json!({})).await.unwrap();
        assert_eq!((&report["publishable"], &report["findings"]), (&json!(true), &json!([])), "{workflow}");
    }
    let hosted = all["/v1/templates"].iter().find(|t| t["key"] == "starter-hosted").unwrap();
    let offer_of = |id: &Value| {
        let card = all["/v1/cards"].iter().find(|c| c["id"] == *id).unwrap();
        card["content"]["offer_id"].as_str().filter(|id| !id.is_empty()).map(str::to_owned)
    };
    let mut asked = Vec::new();
    for page in &all["/v1/templates"] {
        let cards = page["content"]["places"][0]["card_ids"].as_array().unwrap();
        let mut offers: Vec<_> = cards.iter().filter_map(offer_of).collect();
        if offers.is_empty() {
            offers.push(String::new());
        }
        for ((row, place), locale) in PLACES.iter().flat_map(|p| [(p, "en"), (p, "de")]) {
            // The rule changes nothing between two offers: all of them where it is the strictest and the laxest.
            let shown = if matches!(*place, "DE" | "JP") { &offers[..] } else { &offers[..1] };
            for offer in shown {
                let setting = json!({
                    "locale": locale, "region": place, "offer_id": offer, "hosted_template_id": hosted["id"],
                });
                let ask = json!({ "template_id": page["id"], "setting": setting });
                asked.push((page, *row, locale, offers.len(), ask));
            }
        }
    }
    assert!(asked.len() > 300, "{}", asked.len());
    // Some at a time: a company is not let in with hundreds at once.
    for some in asked.chunks(16) {
        join_all(some.iter().map(|(page, row, locale, offers, ask)| async move {
            let seen = admin.post("/v1/template-viewer/preview", ask.clone()).await.unwrap();
            let screen = &seen["screen"];
            let what = format!("{} in {row}, {locale}: {seen}", page["key"]);
            assert_eq!(seen["warnings"], json!([]), "{what}");
            assert!(seen["rule"]["rows"].as_array().unwrap().contains(&json!(row)), "{what}");
            assert_eq!(seen["hidden_card_ids"].as_array().unwrap().len(), offers - 1, "{what}");
            assert_eq!(screen["locale"], json!(locale), "{what}");
            let html = text(&seen, "/html").unwrap();
            assert!(!html.contains("{{") && html.contains(&format!("lang=\"{locale}\"")), "{what}");
            assert!(html.contains("help@example.com"), "{what}");
            if page["content"]["kind"] == "flow_page" {
                assert!(screen["can_cancel"] == true && html.contains("data-cancel-now"), "{what}");
                assert!(!screen["title"].as_str().unwrap().is_empty(), "{what}");
            }
            if *offers > 1 {
                let needed = &seen["rule"]["requirements"]["consent"];
                assert_eq!(&screen["offer"]["consent_required"], needed, "{what}");
                assert!(!screen["offer"]["terms"].as_str().unwrap().is_empty(), "{what}");
            }
        }))
        .await;
    }
}

async fn customers_come_to_an_end(company: &Company, size: usize) {
    let known = json!({ "rule": { "fact": { "key": "interval", "op": "exists", "value": true } } });
    testkit::eventually("analytics knowing how everybody pays", || async {
        let preview = company.admin.post("/v1/personas/preview", known.clone()).await.ok()?;
        (preview["size"] == json!(size)).then_some(())
    })
    .await;
    let rules = company.admin.get("/v1/region-rules").await.unwrap();
    let rules = rules["items"].as_array().unwrap();
    let mut visits = Vec::new();
    for flow in 0..FLOWS.len() {
        for (row, place) in PLACES {
            // What holds for the whole of a country whose part is not known is the strictest of its rows.
            let hold = |r: &&Value| match row {
                "US" => r["region"].as_str().unwrap().starts_with("US"),
                _ => r["region"] == row,
            };
            let least = |point: &str| {
                rules.iter().filter(hold).map(|r| r["requirements"][point].as_u64().unwrap()).min().unwrap()
            };
            visits.push(goes(company, flow, place, least("max_screens"), least("max_offers")));
        }
    }
    let walked: Vec<Vec<usize>> = join_all(visits).await;
    let offers: Vec<usize> = walked.iter().map(|offers| offers.iter().sum()).collect();
    println!("offers shown to customers of each flow and place: {offers:?}");
    // What is too expensive is answered by two offers where the place allows two, and by one elsewhere.
    let first = |row: &str| {
        let at = PLACES.iter().position(|(r, _)| *r == row).unwrap();
        [0, 1, 2].map(|flow| walked[flow * PLACES.len() + at][0])
    };
    assert_eq!((first("DE"), first("default")), ([1, 1, 1], [2, 2, 2]));
    let stay = (0..FLOWS.len()).map(|flow| stays(company, flow));
    join_all(stay).await;
}

/// A customer's way into a flow.
async fn enter(company: &Company, customer: &str, place: &str, locale: &str) -> (Value, Api) {
    let asked = json!({ "customer": customer, "region": place, "locale": locale });
    let token = company.machine.post("/v1/flow/tokens", asked).await.unwrap();
    let token = json!({ "token": text(&token, "/token").unwrap() });
    let screen = company.public.post("/v1/flow/sessions", token).await.unwrap();
    let browser = company.public.with_token(&text(&screen, "/session_token").unwrap());
    (screen, browser)
}

fn pieces(screen: &Value) -> impl Iterator<Item = &Value> {
    let places = screen["places"].as_array().into_iter().flatten();
    let cards = places.flat_map(|p| p["cards"].as_array().into_iter().flatten());
    cards.flat_map(|c| c["pieces"].as_array().into_iter().flatten())
}

fn questions(screen: &Value) -> Vec<String> {
    let asked = pieces(screen).filter_map(|p| p["question"]["key"].as_str());
    asked.filter(|key| !key.is_empty()).map(str::to_owned).collect()
}

/// One customer comes once for every reason, or for some where the place is neither the strictest nor the laxest, declines
/// what is offered, and leaves at last; how many offers there were each time.
async fn goes(company: &Company, flow: usize, place: &str, most: u64, most_offers: u64) -> Vec<usize> {
    let mut counts = Vec::new();
    let reasons = if matches!(place, "DE" | "JP") { &REASONS[..] } else { &SOME_REASONS[..] };
    for (at, reason) in reasons.iter().enumerate() {
        let locale = if at % 2 == 0 { "de" } else { "en" };
        let (mut screen, browser) = enter(company, &customer(flow, place), place, locale).await;
        let session = text(&screen, "/session_id").unwrap();
        let path = format!("/v1/flow/sessions/{session}");
        let (mut pages, mut offers) = (0, 0);
        loop {
            pages += 1;
            let what = format!("{} in {place}, {reason}, page {pages}: {screen}", FLOWS[flow].0);
            assert!(screen["can_cancel"] == true && screen["notice"] == "", "{what}");
            // A page of the library and not our plain one: its flows fit into what the places allow.
            let card = screen["places"][0]["cards"][0]["id"].as_str().unwrap();
            assert!(!card.is_empty() && pages <= most, "{what}");
            let asked = questions(&screen);
            screen = if let Some(offer) = screen["offer"]["id"].as_str() {
                offers += 1;
                assert!(offers <= most_offers, "{what}");
                browser.post(&format!("{path}/offers/{offer}/decline"), json!({})).await.unwrap()
            } else if asked.iter().any(|key| key == "reason") {
                let answers = json!({ "answers": [{ "question": "reason", "choices": [reason] }] });
                browser.post(&format!("{path}/answers"), answers).await.unwrap()
            } else if asked.is_empty() {
                // The page that asks once more.
                assert!(pieces(&screen).any(|p| p["action"] == "cancel"), "{what}");
                break;
            } else {
                browser.post(&format!("{path}/answers"), json!({ "answers": [] })).await.unwrap()
            };
        }
        counts.push(usize::try_from(offers).unwrap());
        let last = at + 1 == reasons.len();
        let (act, state) = if last { ("cancel", "canceled") } else { ("close", "abandoned") };
        browser.post(&format!("{path}/{act}"), json!({})).await.unwrap();
        let ended = company.until(&browser, &path, "the visit ending", |s| s["state"] == state).await;
        if last {
            let bye = pieces(&ended).any(|p| p["action"] == "link");
            assert!(bye && ended["can_cancel"] == false, "the page that says goodbye: {ended}");
        }
        let visit = company.admin.get(&format!("/v1/flow-sessions/{session}")).await.unwrap();
        let category = visit["reason_category"].as_str().unwrap();
        assert!(*reason == category || (*reason, category) == ("needed_for_a_while", "temporary"), "{visit}");
        if at == 0 && flow == 1 && place == "DE" {
            let evidence = company.admin.get(&format!("/v1/flow-sessions/{session}/evidence")).await.unwrap();
            show("evidence of one who was in Germany", &evidence);
            assert_eq!(evidence["pages"].as_array().unwrap().len(), 3, "{evidence}");
        }
    }
    counts
}

/// A customer in Germany takes what is offered: only with a consent, and then it stands.
async fn stays(company: &Company, flow: usize) {
    let (screen, browser) = enter(company, &customer(flow, "stays"), "DE", "de").await;
    let session = text(&screen, "/session_id").unwrap();
    let path = format!("/v1/flow/sessions/{session}");
    let answers = json!({ "answers": [{ "question": "reason", "choices": ["too_expensive"] }] });
    let screen = browser.post(&format!("{path}/answers"), answers).await.unwrap();
    if flow == 1 {
        show("a screen with an offer", &screen);
    }
    let offer = text(&screen, "/offer/id").unwrap();
    let accept = format!("{path}/offers/{offer}/accept");
    let refused = browser.post(&accept, json!({})).await.unwrap_err();
    assert!(stack::load::api::is_refused(&refused, "consent_required"), "{refused}");
    browser.post(&accept, json!({ "consent": true })).await.unwrap();
    let saved = company.until(&browser, &path, "the offer standing", |s| s["state"] == "saved").await;
    let kept =
        if screen["offer"]["kind"] == "contact" { "Sie hören von uns" } else { "Alles ist eingerichtet" };
    assert_eq!(saved["title"], json!(kept), "{saved}");
}

/// One flow brings what it needs and no more, and stays in the mode it was loaded into.
async fn one_flow_goes_into_test_mode_alone(world: &World, admin: &Api) {
    let live = sizes(&everything(admin).await);
    load(world, &["saas-yearly", "--mode", "test"]).await;
    let test = everything(&admin.with_header("retention-mode", "test".into())).await;
    let names: Vec<_> = test["/v1/workflows"].iter().map(|w| w["name"].clone()).collect();
    assert_eq!(names, ["SaaS yearly"]);
    assert!(test["/v1/offers"].len() == 5 && test["/v1/questionnaires"].len() == 3, "{:?}", sizes(&test));
    assert_eq!(sizes(&everything(admin).await), live);
}

/// Of the flows without a customer one is seen at work: its mails come in their time, and in the library's words.
#[tokio::test]
async fn who_does_not_pay_hears_of_it_at_once_and_after_three_days() {
    let stripe = FakeStripe::start().await;
    let price = stripe.add_price(&stripe.add_product("Fibre"), 2_900, "gbp", "month");
    let owing = stripe.add_subscription(&stripe.add_customer("owing@example.com", "Olga"), &price);
    let world = World::start_with([("RETENTION_STRIPE_URL", stripe.url().to_owned())]).await;
    let company = Company::with(&world, "starter", &customers()).await;
    load(&world, &["payment-failed", "--publish", "--mode", "test"]).await;

    company.connect_stripe(&world, &stripe).await;

    let begun = SystemTime::now();
    stripe.settle_payment(&owing, false);
    let mail = |subject: &'static str| {
        let told = move |mail: &str| mail.contains(subject).then(|| mail.to_owned());
        company.mailbox.wait("owing@example.com", begun, told)
    };
    let first = mail("Your payment did not go through").await.unwrap();
    assert!(first.contains("Olga") && first.contains("help@example.com"), "{first}");
    assert!(first.contains("https://www.example.com/account/billing"), "{first}");
    world.clock.advance(SignedDuration::from_hours(73));
    stripe.clock().advance(SignedDuration::from_hours(73));
    mail("Your payment is still open").await.unwrap();
    world.stack.stop().await.unwrap();
}
