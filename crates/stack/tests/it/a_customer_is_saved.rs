//! A customer presses "cancel", says that it costs too much, and takes the discount.

use std::time::SystemTime;

use serde_json::json;
use stack::load::api::text;

use crate::company::Company;
use crate::world::World;

#[tokio::test]
async fn the_discount_stands_at_the_provider_the_mail_has_the_code_and_the_figures_count_it() {
    let world = World::start().await;
    let company = Company::demo(&world).await;
    let before = company.at_provider().await;
    assert_eq!(before["discounts"], json!([]));

    let begun = SystemTime::now();
    let (screen, browser) = company.enter().await;
    let session = format!("/v1/flow/sessions/{}", text(&screen, "/session_id").unwrap());
    assert_eq!(
        (&screen["title"], &screen["can_cancel"]),
        (&json!("Before you go"), &json!(true)),
        "{screen}"
    );

    let answers = json!({ "answers": [{ "question": "reason", "choices": ["too_expensive"] }] });
    let screen = browser.post(&format!("{session}/answers"), answers).await.unwrap();
    assert_eq!(screen["offer"]["kind"], "discount", "{screen}");
    assert_eq!(screen["can_cancel"], true);
    let offer = text(&screen, "/offer/id").unwrap();
    browser.post(&format!("{session}/offers/{offer}/accept"), json!({})).await.unwrap();
    company.until(&browser, &session, "the customer being saved", |s| s["state"] == "saved").await;

    let now = company.at_provider().await;
    assert_eq!(now["discounts"][0]["percent_off"], 20, "{now}");
    assert_eq!(now["state"], "active");
    assert!(now["mrr"]["minor"].as_i64() < before["mrr"]["minor"].as_i64(), "{now}");

    let redemptions = company.admin.get(&format!("/v1/offers/{offer}/redemptions")).await.unwrap();
    assert_eq!(redemptions["items"][0]["state"], "verified", "{redemptions}");
    let code = text(&redemptions, "/items/0/code").unwrap();
    let mail = company.mailbox.wait(&company.address(), begun, |mail| Some(mail.to_owned())).await.unwrap();
    assert!(!code.is_empty() && mail.contains(&code), "{code} is not in {mail}");

    let figures = "/v1/analytics/overview";
    let counted = |o: &serde_json::Value| o["saved"] == 1 && o["offers"][0]["acceptance_rate"]["count"] == 1;
    let overview = company.until(&company.machine, figures, "the overview counting it", counted).await;
    assert_eq!((&overview["sessions"], &overview["canceled"]), (&json!(1), &json!(0)), "{overview}");
    assert_eq!(overview["reasons"][0]["category"], "too_expensive");
    world.stack.stop().await.unwrap();
}
