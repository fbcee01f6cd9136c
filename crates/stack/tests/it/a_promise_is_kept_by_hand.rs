//! A customer leaves for trouble with the line, lets a technician call instead, and the company's own system says later
//! that it was done.

use serde_json::json;
use stack::load::api::text;

use crate::company::Company;
use crate::world::World;

#[tokio::test]
async fn the_customer_is_led_on_and_the_company_s_system_says_that_it_kept_its_word() {
    let world = World::start().await;
    let company = Company::demo(&world).await;
    let before = company.at_provider().await;
    let (screen, browser) = company.enter().await;
    let session = format!("/v1/flow/sessions/{}", text(&screen, "/session_id").unwrap());
    let answers = json!({ "answers": [{ "question": "reason", "choices": ["technical_issues"] }] });
    let screen = browser.post(&format!("{session}/answers"), answers).await.unwrap();
    assert_eq!(
        (&screen["offer"]["kind"], &screen["can_cancel"]),
        (&json!("contact"), &json!(true)),
        "{screen}"
    );
    let offer = text(&screen, "/offer/id").unwrap();
    browser.post(&format!("{session}/offers/{offer}/accept"), json!({})).await.unwrap();
    let saved =
        company.until(&browser, &session, "the customer being saved", |s| s["state"] == "saved").await;
    assert_eq!(saved["continue_url"], "https://help.fernline.example/call-me");
    assert_eq!(company.at_provider().await, before, "nothing changes at the provider");

    let waiting = format!("/v1/offers/{offer}/redemptions?state=fulfil_pending");
    let listed = company.machine.get(&waiting).await.unwrap();
    let redemption = format!("/v1/redemptions/{}", text(&listed, "/items/0/id").unwrap());
    let done = json!({ "note": "called on Monday" });
    let fulfilled = company.machine.post(&format!("{redemption}/fulfil"), done).await.unwrap();
    assert_eq!(fulfilled["state"], "verified", "{fulfilled}");
    assert_eq!(company.machine.get(&waiting).await.unwrap()["items"], json!([]));
    let late = company.admin.post(&format!("{redemption}/reject"), json!({ "reason": "no time" })).await;
    assert!(late.unwrap_err().to_string().contains("wrong_state"));
    let by_machine = |trail: &serde_json::Value| trail["items"][0]["actor_kind"] == "api_key";
    let trail = "/v1/audit?action=redemption.fulfil";
    company.until(&company.admin, trail, "the trail naming the company's system", by_machine).await;
    world.stack.stop().await.unwrap();
}
