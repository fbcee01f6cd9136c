//! The fake against what Chargebee's own SDK and documents say.

use serde_json::{Value, json};

use super::{Catalogue, FakeChargebee};

fn site() -> impl Future<Output = FakeChargebee> {
    kit::run::crypto();
    FakeChargebee::start(Catalogue::Items)
}

async fn get(fake: &FakeChargebee, path: &str) -> (u16, Value) {
    let http =
        connect::http::Http::new(connect::http::Settings { private_networks: true, ..Default::default() });
    let url = format!("{}/api/v2{path}", fake.url());
    let call = http.unwrap().call("fake", "read", reqwest::Method::GET, &url);
    let answer = call.basic(super::KEY, &"".into()).send().await.unwrap();
    (answer.status, answer.json().unwrap())
}

#[tokio::test]
async fn pages_follow_the_offset_and_no_other() {
    let fake = site().await;
    let all: Vec<String> = (0..5).map(|n| fake.add_customer(&format!("c{n}@example.com"), "Ada")).collect();
    let (_, first) = get(&fake, "/customers?limit=3&sort_by[asc]=created_at").await;
    assert_eq!(first["list"].as_array().unwrap().len(), 3);
    assert_eq!(first["list"][0]["customer"]["id"], json!(all[0]));
    let offset = first["next_offset"].as_str().unwrap();
    let offset: String = form_urlencoded::byte_serialize(offset.as_bytes()).collect();
    let (_, rest) = get(&fake, &format!("/customers?limit=3&sort_by[asc]=created_at&offset={offset}")).await;
    assert_eq!(rest["list"].as_array().unwrap().len(), 2);
    assert!(rest.get("next_offset").is_none());
    let (status, refused) = get(&fake, "/customers?offset=https://elsewhere.example").await;
    assert_eq!((status, &refused["api_error_code"]), (400, &json!("param_wrong_value")));
}

#[tokio::test]
async fn a_site_has_one_catalogue() {
    let fake = site().await;
    assert_eq!(get(&fake, "/item_prices?limit=1").await.0, 200);
    assert_eq!(get(&fake, "/plans?limit=1").await.0, 400);
}

#[tokio::test]
async fn an_invoice_is_paid_back_in_parts_and_no_further() {
    let fake = site().await;
    let price = fake.add_price("fibre", "fibre-eur", 2_000, "EUR");
    let customer = fake.add_customer("ada@example.com", "Ada");
    let id = fake.add_subscription(&customer, &price, 0);
    let (_, list) = get(&fake, &format!("/invoices?subscription_id[is]={id}&status[is]=paid")).await;
    let invoice = list["list"][0]["invoice"]["id"].as_str().unwrap().to_owned();
    let path = format!("/invoices/{invoice}/refund");
    for amount in ["1500", "500"] {
        let done = fake.act(&path, &[("refund_amount", amount), ("customer_notes", "Sorry")]);
        assert_eq!(
            (&done["credit_note"]["notes"], &done["transaction"]["type"]),
            (&json!(["Sorry"]), &json!("refund"))
        );
    }
    let (_, notes) = get(&fake, &format!("/credit_notes?reference_invoice_id[is]={invoice}")).await;
    assert_eq!(notes["list"].as_array().unwrap().len(), 2);
    let (_, body) = fake.delivery("payment_refunded").unwrap();
    let event: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(event["content"]["transaction"]["amount"], 500);
    fake.clock().advance(jiff::SignedDuration::from_hours(24 * 32));
    assert_eq!(fake.all("invoice").len(), 2, "the next term is another invoice");
}

#[tokio::test]
async fn time_ends_what_ends() {
    let fake = site().await;
    let price = fake.add_price("fibre", "fibre-eur", 2_000, "EUR");
    let customer = fake.add_customer("ada@example.com", "Ada");
    let id = fake.add_subscription(&customer, &price, 14);
    let hours = |n: i64| fake.clock().advance(jiff::SignedDuration::from_hours(n));
    hours(24 * 15);
    assert_eq!(fake.subscription(&id).unwrap()["status"], "active");
    fake.act(&format!("/subscriptions/{id}/cancel_for_items"), &[("cancel_option", "end_of_term")]);
    assert_eq!(fake.subscription(&id).unwrap()["status"], "non_renewing");
    hours(24 * 32);
    assert_eq!(fake.subscription(&id).unwrap()["status"], "cancelled");
    let (caller, body) = fake.delivery("subscription_cancelled").unwrap();
    assert!(caller.starts_with("Basic "));
    let event: Value = serde_json::from_str(&body).unwrap();
    assert_eq!((&event["api_version"], &event["content"]["subscription"]["id"]), (&json!("v2"), &json!(id)));
}
