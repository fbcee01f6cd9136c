//! The fake against what is known of the real one.

use kit::clock::Clock;
use reqwest::{Client, Method, StatusCode};
use serde_json::{Value, json};

use super::{FakeRecurly, Fault, KEY};

struct Site {
    fake: FakeRecurly,
    http: Client,
    account: String,
    subscription: String,
}

impl Site {
    async fn new() -> Self {
        kit::run::crypto();
        let fake = FakeRecurly::start().await;
        fake.add_plan("fibre", 20.0, "EUR");
        fake.add_plan("basic", 10.0, "EUR");
        let account = fake.add_account("ada@example.com", "Ada");
        let subscription = fake.add_subscription(&account, "code-fibre", "EUR");
        Self { fake, http: Client::builder().no_proxy().build().unwrap(), account, subscription }
    }

    async fn send(&self, method: Method, path: &str, key: &str, body: Value) -> (StatusCode, bool, Value) {
        let mut request = self
            .http
            .request(method, format!("{}/{path}", self.fake.url()))
            .basic_auth(KEY, Some(""))
            .header("accept", "application/vnd.recurly.v2021-02-25+json");
        if !key.is_empty() {
            request = request.header("idempotency-key", key);
        }
        if !body.is_null() {
            request = request.json(&body);
        }
        let answer = request.send().await.unwrap();
        let replayed = answer.headers().contains_key("idempotency-prior");
        let status = answer.status();
        let text = answer.text().await.unwrap();
        (status, replayed, serde_json::from_str(&text).unwrap_or_default())
    }

    async fn get(&self, path: &str) -> (StatusCode, Value) {
        let (status, _, body) = self.send(Method::GET, path, "", Value::Null).await;
        (status, body)
    }

    async fn put(&self, step: &str, body: Value) -> (StatusCode, Value) {
        let path = format!("subscriptions/{}{step}", self.subscription);
        let (status, _, body) = self.send(Method::PUT, &path, "", body).await;
        (status, body)
    }
}

#[tokio::test]
async fn key_and_version_are_asked_for() {
    let site = Site::new().await;
    let url = format!("{}/sites", site.fake.url());
    let plain = site.http.get(&url).basic_auth(KEY, Some("")).send().await.unwrap();
    assert_eq!(plain.status(), 406);
    let accept = "application/vnd.recurly.v2021-02-25";
    let stranger =
        site.http.get(&url).basic_auth("x", Some("")).header("accept", accept).send().await.unwrap();
    assert_eq!(stranger.status(), 401);
    let good = site.http.get(&url).basic_auth(KEY, Some("")).header("accept", accept).send().await.unwrap();
    assert_eq!(good.headers()["recurly-version"], "recurly.v2021-02-25");
}

#[tokio::test]
async fn lists_are_paged_by_a_next_to_follow() {
    let site = Site::new().await;
    for _ in 0..4 {
        site.fake.add_subscription(&site.account, "code-basic", "EUR");
    }
    let (_, first) = site.get("subscriptions?limit=3&sort=updated_at&order=asc").await;
    assert_eq!((first["data"].as_array().unwrap().len(), &first["has_more"]), (3, &json!(true)));
    let next = first["next"].as_str().unwrap().trim_start_matches('/');
    let (_, rest) = site.get(next).await;
    assert_eq!(
        (rest["data"].as_array().unwrap().len(), &rest["has_more"], &rest["next"]),
        (2, &json!(false), &Value::Null)
    );
    assert_eq!(site.get("subscriptions/none").await.1["error"]["type"], "not_found");
    let uuid = format!("subscriptions/uuid-{:0>32}", site.subscription);
    assert_eq!(site.get(&uuid).await.1["id"], site.subscription.as_str());
}

#[tokio::test]
async fn a_key_answers_what_it_answered_first_for_an_hour_whatever_the_body_says() {
    let site = Site::new().await;
    let path = format!("accounts/{}/line_items", site.account);
    let item = |amount: f64| json!({"type": "credit", "currency": "EUR", "unit_amount": amount});
    let (_, _, first) = site.send(Method::POST, &path, "k", item(5.0)).await;
    let (_, replayed, second) = site.send(Method::POST, &path, "k", item(9.0)).await;
    assert!(replayed && first == second);
    site.fake.clock().advance(jiff::SignedDuration::from_mins(60));
    let (_, replayed, third) = site.send(Method::POST, &path, "k", item(9.0)).await;
    assert!(!replayed && third["id"] != first["id"], "an hour later it is a new operation");
    assert_eq!(site.send(Method::POST, &path, &"k".repeat(256), item(1.0)).await.0, 400);
}

#[tokio::test]
async fn the_traps_are_there() {
    let site = Site::new().await;
    let (_, waits) = site.put("/pause", json!({"remaining_pause_cycles": 1})).await;
    assert_eq!((&waits["state"], &waits["paused_at"]), (&json!("active"), &waits["current_period_ends_at"]));
    assert_eq!(site.put("/resume", Value::Null).await.0, 422, "what waits is not resumed");
    site.put("/pause", json!({"remaining_pause_cycles": 0})).await;
    let (_, canceled) = site.put("/cancel", json!({"timeframe": "bill_date"})).await;
    assert_eq!(
        (&canceled["state"], &canceled["expires_at"]),
        (&json!("canceled"), &canceled["current_period_ends_at"])
    );
    assert_eq!(site.put("/reactivate", Value::Null).await.1["state"], "active");
    let half = json!({"code": "x", "name": "x", "discount_type": "percent", "discount_percent": 0});
    assert_eq!(site.send(Method::POST, "coupons", "", half).await.0, 422);
    site.fake.add_coupon("ONCE", 10, "subscription");
    let path = format!("accounts/{}/coupon_redemptions/active", site.account);
    let body = json!({"coupon_id": "code-ONCE", "currency": "EUR", "subscription_id": site.subscription});
    assert_eq!(site.send(Method::POST, &path, "1", body.clone()).await.0, 200);
    assert_eq!(site.send(Method::POST, &path, "2", body).await.0, 422, "each coupon once");
    site.put("/cancel", json!({"timeframe": "bill_date"})).await;
    site.fake.clock().advance(jiff::SignedDuration::from_hours(24 * 32));
    assert_eq!(site.put("/reactivate", Value::Null).await.1["error"]["type"], "immutable_subscription");
    site.fake.fail_next(&[Fault::TooMany]);
    assert_eq!(site.get("sites").await.0, 429);
}

#[tokio::test]
async fn what_is_not_described_is_noticed() {
    let site = Site::new().await;
    site.get("subscriptions?status=active").await;
    site.put("/pause", json!({"cycles": 1})).await;
    site.get("weather").await;
    let wrong = std::mem::take(&mut site.fake.shared.lock().wrong);
    assert_eq!(
        wrong.len(),
        4,
        "an unknown query, a field left out, a field made up, no operation: {wrong:?}"
    );
}

#[tokio::test]
async fn notifications_are_thin_and_signed_with_both_keys() {
    let site = Site::new().await;
    let (headers, body) = site.fake.delivery("subscription", "created").unwrap();
    let said: Value = serde_json::from_str(&body).unwrap();
    assert_eq!((&said["id"], said["state"].is_null()), (&json!(site.subscription), true));
    let header = headers.iter().find(|(n, _)| n == "recurly-signature").unwrap();
    let secrets = [site.fake.webhook_secret()];
    connect::sign::recurly(Some(&header.1), body.as_bytes(), &secrets, site.fake.clock().now()).unwrap();
}
