//! A retention admin makes content: looks at a page before customers do, shows it to somebody without an account, takes the
//! flow out as text and back, and reads what customers answered and saw.

use serde_json::{Value, json};
use stack::load::api::{is_refused, text};
use stack::load::people;

use crate::company::Company;
use crate::world::World;

/// What is answered, for whoever writes docs/flows.md anew (`--no-capture`).
fn show(what: &str, answer: &Value) {
    println!("=== {what}\n{}", serde_json::to_string_pretty(answer).unwrap());
}

async fn id_of(company: &Company, list: &str, field: &str, name: &str) -> String {
    let all = company.admin.all(list).await.unwrap();
    let found = all.iter().find(|item| item[field] == name).unwrap_or_else(|| panic!("no {name} in {all:?}"));
    found["id"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_page_is_seen_before_customers_see_it_and_by_whoever_holds_the_link() {
    let world = World::start().await;
    let company = Company::demo(&world).await;
    let ask = id_of(&company, "/v1/templates", "key", "ask").await;
    let offer_page = id_of(&company, "/v1/templates", "key", "offer").await;
    let hosted = id_of(&company, "/v1/templates", "key", "hosted").await;
    let offers = company.admin.all("/v1/offers").await.unwrap();
    let offer = offers.iter().find(|o| o["kind"] == "discount").unwrap();

    let asked = json!({ "template_id": ask, "setting": { "device": "phone", "locale": "de" } });
    let seen = company.admin.post("/v1/template-viewer/preview", asked).await.unwrap();
    show(
        "preview",
        &json!({ "screen": seen["screen"], "width": seen["width"], "rule": seen["rule"], "warnings": seen["warnings"] }),
    );
    assert_eq!((&seen["width"], &seen["screen"]["locale"]), (&json!(390), &json!("de")));
    assert!(text(&seen, "/html").unwrap().contains("<form"));
    // The customer's own words and the offer as it would be made to them.
    let setting = json!({ "offer_id": offer["id"], "hosted_template_id": hosted, "region": "DE" });
    let asked = json!({ "template_id": offer_page, "setting": setting, "customer": { "customer": company.customer() } });
    let seen = company.admin.post("/v1/template-viewer/preview", asked).await.unwrap();
    assert_eq!(seen["screen"]["offer"]["consent_required"], true, "{}", seen["screen"]);
    assert!(text(&seen, "/html").unwrap().contains("20 %") && seen["rule"]["rows"] == json!(["EU", "DE"]));
    let taken = company.admin.get(&format!("/v1/offers/{}/redemptions", offer["id"].as_str().unwrap())).await;
    assert_eq!(taken.unwrap()["items"], json!([]), "nothing was presented to anybody");
    assert_eq!(company.admin.get("/v1/flow-sessions").await.unwrap()["items"], json!([]));

    let cards = company.admin.all("/v1/cards").await.unwrap();
    let value = cards.iter().find(|c| c["content"]["kind"] == "survey").unwrap();
    let render = format!("/v1/cards/{}/render", value["id"].as_str().unwrap());
    let card = company.admin.post(&render, json!({})).await.unwrap();
    assert_eq!(card["screen"]["places"][0]["cards"][0]["id"], value["id"]);

    let link =
        company.admin.post("/v1/template-viewer/share-links", json!({ "template_id": ask })).await.unwrap();
    let url = text(&link, "/url").unwrap();
    show("share link", &link);
    let token = url.rsplit('/').next().unwrap();
    let address = format!("{}/v1/template-viewer/shared/{token}", world.gateway);
    let http = reqwest::Client::new();
    let page = http.get(&address).send().await.unwrap();
    assert_eq!(page.status().as_u16(), 200);
    assert!(page.headers()["content-type"].to_str().unwrap().starts_with("text/html"));
    let policy = page.headers()["content-security-policy"].to_str().unwrap().to_owned();
    assert!(policy.contains("sandbox") && policy.contains("form-action 'none'"), "{policy}");
    assert!(page.text().await.unwrap().contains("Before you go"));
    let listed = company.admin.get("/v1/template-viewer/share-links").await.unwrap();
    assert_eq!((&listed["items"][0]["id"], &listed["items"][0]["url"]), (&link["id"], &json!("")));
    let id = text(&link, "/id").unwrap();
    company.admin.call("DELETE", &format!("/v1/template-viewer/share-links/{id}"), None).await.unwrap();
    assert_eq!(http.get(&address).send().await.unwrap().status().as_u16(), 410);
    let nothing = format!("{}/v1/template-viewer/shared/{}", world.gateway, "A".repeat(43));
    assert_eq!(http.get(&nothing).send().await.unwrap().status().as_u16(), 404);
    world.stack.stop().await.unwrap();
}

#[tokio::test]
async fn a_flow_goes_out_as_text_and_comes_back_and_what_customers_did_can_be_read() {
    let world = World::start().await;
    let company = Company::demo(&world).await;
    let flow = id_of(&company, "/v1/workflows", "name", "Cancel flow").await;
    let file = company.admin.open(&format!("/v1/workflows/{flow}/export")).await.unwrap();
    assert!(file.headers()["content-type"].to_str().unwrap().starts_with("application/yaml"));
    let file = file.text().await.unwrap();
    println!("=== export\n{file}");
    assert!(file.contains("template: ask") && !file.contains("tpl_"));
    let import = |text: String, dry_run: bool| {
        company.admin.post("/v1/workflows/import", json!({ "text": text, "dry_run": dry_run }))
    };
    let changed = file.replace("max_offer_screens: 2", "max_offer_screens: 1");
    let plan = import(changed.clone(), true).await.unwrap();
    show(
        "import, dry run",
        &json!({ "action": plan["action"], "changes": plan["changes"], "findings": plan["findings"] }),
    );
    assert_eq!(
        (&plan["action"], &plan["changes"][0]["field"]),
        (&json!("update"), &json!("limits.max_offer_screens"))
    );
    let done = import(changed.clone(), false).await.unwrap();
    assert_eq!(done["workflow"]["state"], "draft");
    let again = import(changed, false).await.unwrap();
    assert_eq!(again["action"], "nothing");
    let wrong = import(file.replace("    next: which", "    nexxt: which"), false).await.unwrap_err();
    println!("=== import, unknown key\n{wrong}");
    assert!(is_refused(&wrong, "invalid_request") && wrong.to_string().contains("line "), "{wrong}");

    let path = format!("/v1/workflows/{flow}");
    let report = company.admin.post(&format!("{path}/validate"), json!({})).await.unwrap();
    show("validate", &report);
    let publish = json!({ "version": done["workflow"]["version"], "note": "One offer is enough" });
    let published = company.admin.post(&format!("{path}/publish"), publish).await.unwrap();
    show(
        "publish",
        &json!({ "state": published["state"], "published": published["published"], "version": published["version"] }),
    );
    assert_eq!(published["published"]["number"], 2);
    let back = json!({ "version": published["version"], "number": 1, "note": "Two were better" });
    let back = company.admin.post(&format!("{path}/rollback"), back).await.unwrap();
    show("rollback", &json!({ "state": back["state"], "published": back["published"] }));
    assert_eq!((&back["published"]["number"], &back["published"]["copy_of"]), (&json!(3), &json!(1)));
    let offers = company.admin.all("/v1/offers").await.unwrap();
    let offer = offers.iter().find(|o| o["kind"] == "discount").unwrap()["id"].as_str().unwrap().to_owned();
    let used = company.admin.get(&format!("/v1/workflows/where-used?kind=offer&id={offer}")).await.unwrap();
    show("where used", &used);
    assert_eq!(used["items"].as_array().unwrap().last().unwrap()["id"], json!(flow));

    let (screen, browser) = company.enter().await;
    let session = text(&screen, "/session_id").unwrap();
    let answers = json!({ "answers": [
        { "question": "reason", "choices": ["too_expensive"] },
    ] });
    let screen = browser.post(&format!("/v1/flow/sessions/{session}/answers"), answers).await.unwrap();
    let oid = text(&screen, "/offer/id").unwrap();
    let survey = id_of(&company, "/v1/questionnaires", "state", "published").await;
    let more = json!({ "answers": [{ "question": "more", "text": "I moved to the sea." }] });
    let partial = browser.post(&format!("/v1/questionnaires/{survey}/responses"), more).await.unwrap();
    assert_eq!(partial["id"], json!(session));
    browser.post(&format!("/v1/flow/sessions/{session}/offers/{oid}/accept"), json!({})).await.unwrap();
    let path = format!("/v1/flow-sessions/{session}");
    let saved =
        company.until(&company.admin, &path, "the customer being saved", |s| s["state"] == "saved").await;
    assert_eq!(
        (&saved["durability"], &saved["rule"]["rows"]),
        (&json!("pending"), &json!(["US", "US-CA", "US-NY"]))
    );
    let evidence = company.admin.get(&format!("{path}/evidence")).await.unwrap();
    show("evidence", &evidence);
    assert_eq!(evidence["pages"][1]["offer_id"], json!(oid));
    let summary = company.admin.get(&format!("/v1/questionnaires/{survey}/summary")).await.unwrap();
    show("summary", &summary);
    assert_eq!(
        (&summary["responses"], &summary["questions"][0]["counts"][0]["count"]),
        (&json!(1), &json!(1))
    );
    assert!(summary["questions"][0]["counts"][0].get("share").is_none(), "one answer is no rate");

    // Free words are personal: an expert sees that something was said.
    let expert = text(&company.noted, "/users/ret_exp").unwrap();
    let expert = people::sign_in(&company.public, &company.mailbox, &expert).await.unwrap();
    let responses = format!("/v1/questionnaires/{survey}/responses?question=more");
    let read = company.admin.get(&responses).await.unwrap().to_string();
    let masked = expert.get(&responses).await.unwrap().to_string();
    assert!(read.contains("the sea") && !masked.contains("the sea"), "{masked}");

    let rows = company.admin.get("/v1/region-rules").await.unwrap();
    assert_eq!(rows["items"].as_array().unwrap().len(), 8);
    let laxer = json!({ "requirements": { "max_screens": 9, "evidence_days": 1 } });
    let refused = company.admin.put("/v1/region-rules/DE", laxer).await.unwrap_err();
    assert!(refused.to_string().contains("not_stricter"), "{refused}");

    // The provider tells that the subscription ends after all: the save did not last.
    let subscription = text(&saved, "/subscription_id").unwrap();
    let ends = json!({ "action": "cancel", "key": "by-hand" });
    company.admin.post(&format!("/v1/subscriptions/{subscription}/actions"), ends).await.unwrap();
    company.until(&company.admin, &path, "the save being lost", |s| s["durability"] == "lost").await;
    world.stack.stop().await.unwrap();
}
