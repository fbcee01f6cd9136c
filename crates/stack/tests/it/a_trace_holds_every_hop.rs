//! One trace from the customer's browser to the mail.

use std::collections::BTreeSet;

use serde_json::json;
use stack::load::api::text;

use crate::company::Company;
use crate::sink;
use crate::world::World;

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

#[tokio::test]
async fn one_flow_is_one_trace_through_gateway_content_billing_analytics_and_notify() {
    let world = World::start().await;
    let mut company = Company::demo(&world).await;
    // The page that embeds the flow sends one trace along with everything.
    company.public = company.public.with_header("traceparent", format!("00-{TRACE}-00f067aa0ba902b7-01"));
    let (screen, browser) = company.enter().await;
    let session = format!("/v1/flow/sessions/{}", text(&screen, "/session_id").unwrap());
    let answers = json!({ "answers": [{ "question": "reason", "choices": ["too_expensive"] }] });
    let screen = browser.post(&format!("{session}/answers"), answers).await.unwrap();
    let offer = text(&screen, "/offer/id").unwrap();
    browser.post(&format!("{session}/offers/{offer}/accept"), json!({})).await.unwrap();

    let trace: Vec<u8> = (0..16).map(|i| u8::from_str_radix(&TRACE[2 * i..2 * i + 2], 16).unwrap()).collect();
    let wanted: BTreeSet<String> =
        ["gateway", "content-svc", "billing-svc", "analytics-svc", "notify-svc"].map(String::from).into();
    let end = std::time::Instant::now() + std::time::Duration::from_secs(30);
    loop {
        let seen = sink::services_of(&trace).await;
        if wanted.is_subset(&seen) {
            break;
        }
        assert!(std::time::Instant::now() < end, "only {seen:?}");
        tokio::task::yield_now().await;
    }
    world.stack.stop().await.unwrap();
}
