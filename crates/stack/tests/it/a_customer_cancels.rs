//! A customer presses "cancel" and means it.

use jiff::Timestamp;
use serde_json::{Value, json};
use stack::load::api::text;

use crate::company::Company;
use crate::world::World;

fn time(value: &Value) -> Timestamp {
    value.as_str().unwrap_or_default().parse().unwrap()
}

#[tokio::test]
async fn the_wish_is_recorded_first_and_the_subscription_does_not_renew() {
    let world = World::start().await;
    let company = Company::demo(&world).await;
    let (screen, browser) = company.enter().await;
    let id = text(&screen, "/session_id").unwrap();
    browser.post(&format!("/v1/flow/sessions/{id}/cancel"), json!({})).await.unwrap();
    let path = format!("/v1/flow/sessions/{id}");
    company.until(&browser, &path, "the flow ending", |s| s["state"] == "canceled").await;

    let now = company.at_provider().await;
    assert_eq!(now["state"], "non_renewing", "{now}");
    assert_eq!(now["cancel_at"], now["period_end"], "it runs until it is paid for");
    let visit = company.machine.get(&format!("/v1/flow-sessions/{id}")).await.unwrap();
    let acted = now["acts"].as_array().unwrap().last().unwrap().clone();
    assert!(time(&visit["wished_at"]) <= time(&acted["at"]), "{visit} {acted}");
    assert!(time(&visit["wished_at"]) <= time(&visit["ended_at"]), "{visit}");

    let mirrored = format!("/v1/subscriptions/{}", text(&visit, "/subscription_id").unwrap());
    let mirrored = company.machine.get(&mirrored).await.unwrap();
    assert_eq!(mirrored["state"], "non_renewing", "{mirrored}");
    let counted = |o: &Value| o["canceled"] == 1 && o["sessions"] == 1;
    let figures = "/v1/analytics/overview";
    let overview = company.until(&company.machine, figures, "the overview counting it", counted).await;
    assert_eq!(overview["saved"], 0, "{overview}");
    world.stack.stop().await.unwrap();
}
