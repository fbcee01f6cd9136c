//! The fake against what is known of the real one.

use axum::body::Bytes;
use axum::http::HeaderMap;
use kit::clock::Clock;
use reqwest::{Client, RequestBuilder, StatusCode};
use serde_json::{Value, json};

use super::server::header;
use super::{FakeStripe, Fault, VERSION};

struct Account {
    fake: FakeStripe,
    http: Client,
    subscription: String,
}

impl Account {
    async fn new() -> Self {
        kit::run::crypto();
        let fake = FakeStripe::start().await;
        let plan = fake.add_product("Fibre");
        let price = fake.add_price(&plan, 2_000, "eur", "month");
        let customer = fake.add_customer("ada@example.com", "Ada");
        let subscription = fake.add_subscription(&customer, &price);
        fake.add_coupon("A", 10.0);
        fake.add_coupon("B", 20.0);
        Self { fake, http: Client::builder().no_proxy().build().unwrap(), subscription }
    }

    fn with_headers(&self, request: RequestBuilder) -> RequestBuilder {
        request.bearer_auth("sk_test_fake").header("stripe-version", VERSION)
    }

    async fn get(&self, path: &str) -> (StatusCode, Value) {
        let request = self.http.get(format!("{}/v1/{path}", self.fake.url()));
        let response = self.with_headers(request).send().await.unwrap();
        (response.status(), response.json().await.unwrap())
    }

    async fn post(&self, path: &str, key: &str, form: &[(&str, &str)]) -> (StatusCode, bool, Value) {
        let request = self.http.post(format!("{}/v1/{path}", self.fake.url()));
        let response =
            self.with_headers(request).header("idempotency-key", key).form(form).send().await.unwrap();
        let replayed = response.headers().contains_key("idempotent-replayed");
        (response.status(), replayed, response.json().await.unwrap())
    }

    fn path(&self) -> String {
        format!("subscriptions/{}", self.subscription)
    }
}

#[tokio::test]
async fn keys_and_the_version_are_asked_for() {
    let a = Account::new().await;
    let bare = a.http.get(format!("{}/v1/account", a.fake.url()));
    assert_eq!(bare.try_clone().unwrap().send().await.unwrap().status(), 401);
    assert_eq!(bare.bearer_auth("sk_test_fake").send().await.unwrap().status(), 400);
    assert_eq!(a.get("account").await.1["object"], "account");
}

#[tokio::test]
async fn lists_come_newest_first_ten_at_a_time_without_what_has_ended() {
    let a = Account::new().await;
    let mut made = vec![a.subscription.clone()];
    let one = a.fake.object(&a.subscription).unwrap();
    for _ in 0..11 {
        let price = one["items"]["data"][0]["price"]["id"].as_str().unwrap();
        made.push(a.fake.add_subscription(one["customer"].as_str().unwrap(), price));
    }
    let (_, page) = a.get("subscriptions").await;
    let ids: Vec<_> = page["data"].as_array().unwrap().iter().map(|s| s["id"].as_str().unwrap()).collect();
    let newest: Vec<_> = made.iter().rev().take(10).collect();
    assert_eq!((ids.len(), page["has_more"].as_bool()), (10, Some(true)));
    assert!(ids.iter().zip(newest).all(|(got, expected)| got == expected));
    let (_, rest) = a.get(&format!("subscriptions?starting_after={}", ids[9])).await;
    assert_eq!((rest["data"].as_array().unwrap().len(), rest["has_more"].as_bool()), (2, Some(false)));

    a.fake.act("DELETE", &["subscriptions", &a.subscription], json!({}));
    assert_eq!(a.get("subscriptions?limit=100").await.1["data"].as_array().unwrap().len(), 11);
    assert_eq!(a.get("subscriptions?limit=100&status=all").await.1["data"].as_array().unwrap().len(), 12);
    assert_eq!(a.get("subscriptions?limit=101").await.0, 400);
    assert_eq!(a.get("subscriptions?updated=1").await.1["error"]["code"], "parameter_unknown");
    assert_eq!(a.get("subscriptions/sub_none").await.1["error"]["code"], "resource_missing");
}

#[tokio::test]
async fn a_key_answers_what_it_answered_first() {
    let a = Account::new().await;
    let cancel = [("cancel_at_period_end", "true")];
    let (_, first_replayed, first) = a.post(&a.path(), "k", &cancel).await;
    let (_, second_replayed, second) = a.post(&a.path(), "k", &cancel).await;
    assert_eq!((first_replayed, second_replayed, &first), (false, true, &second));
    let (status, _, other) = a.post(&a.path(), "k", &[("cancel_at_period_end", "false")]).await;
    assert_eq!((status.as_u16(), other["error"]["type"].as_str()), (400, Some("idempotency_error")));
    let wrong = [("nonsense", "1")];
    assert_eq!(a.post(&a.path(), "v", &wrong).await.0, 400);
    assert!(!a.post(&a.path(), "v", &wrong).await.1, "what fails its validation is not stored");
    a.fake.fail_next(&[Fault::Broken]);
    assert_eq!(a.post(&a.path(), "b", &cancel).await.0, 500);
    let (status, replayed, _) = a.post(&a.path(), "b", &cancel).await;
    assert_eq!((status.as_u16(), replayed), (500, true), "failures are stored too");
}

#[tokio::test]
async fn the_discount_list_is_replaced_and_ids_unless_expanded() {
    let a = Account::new().await;
    let (_, _, one) = a.post(&a.path(), "1", &[("discounts[0][coupon]", "A")]).await;
    let kept = one["discounts"][0].as_str().unwrap().to_owned();
    let (_, _, other) = a.post(&a.path(), "2", &[("discounts[0][coupon]", "B")]).await;
    assert_eq!(other["discounts"].as_array().unwrap().len(), 1, "A was not named again and is gone");
    let gone = a.post(&a.path(), "3", &[("discounts[0][discount]", &kept)]).await;
    assert_eq!(gone.2["error"]["code"], "resource_missing");
    let (_, whole) = a.get(&format!("{}?expand[]=discounts.source.coupon", a.path())).await;
    assert_eq!(whole["discounts"][0]["source"]["coupon"]["percent_off"], 20.0);
    let (_, shallow) = a.get(&format!("{}?expand[]=discounts", a.path())).await;
    assert_eq!(shallow["discounts"][0]["source"]["coupon"], "B");
    assert_eq!(a.get(&format!("{}?expand[]=a.b.c.d.e", a.path())).await.0, 400);
    let (_, _, none) = a.post(&a.path(), "4", &[("discounts", "")]).await;
    assert_eq!(none["discounts"], json!([]));
}

#[tokio::test]
async fn the_traps_are_there() {
    let a = Account::new().await;
    let price = a.fake.object(&a.subscription).unwrap()["items"]["data"][0]["price"]["id"].clone();
    let price = price.as_str().unwrap();
    let (_, _, two) = a.post(&a.path(), "1", &[("items[0][price]", price)]).await;
    assert_eq!(two["items"]["data"].as_array().unwrap().len(), 2, "without an id an item is added");
    let (_, _, paused) = a.post(&a.path(), "2", &[("pause_collection[behavior]", "void")]).await;
    assert_eq!(paused["status"], "active", "a pause of collection is no status");
    let (_, events) = a.get("events?types[]=customer.subscription.paused").await;
    assert_eq!(events["data"], json!([]), "nor does it send one");
    let real = a.post(&format!("{}/pause", a.path()), "3", &[("type", "subscription")]).await;
    assert_eq!(real.0, 400, "the true pause needs flexible billing");
    let anchor = a.post(&a.path(), "4", &[("billing_cycle_anchor", "now")]).await;
    assert_eq!(anchor.0, 400, "an object since endive");
    let whole = a.fake.object(&a.subscription).unwrap();
    assert!(
        whole["current_period_end"].is_null() && whole["items"]["data"][0]["current_period_end"].is_i64()
    );
    a.fake.act("DELETE", &["subscriptions", &a.subscription], json!({}));
    assert_eq!(
        a.post(&a.path(), "5", &[("cancel_at_period_end", "false")]).await.0,
        400,
        "it cannot come back"
    );
}

#[tokio::test]
#[expect(clippy::disallowed_methods, reason = "the receiver lives as long as the test's runtime")]
async fn webhooks_are_signed_and_sent_again_until_taken() {
    let a = Account::new().await;
    let (tell, mut heard) = tokio::sync::mpsc::unbounded_channel();
    let take = move |headers: HeaderMap, body: Bytes| {
        let tell = tell.clone();
        async move {
            let signature = header(&headers, "stripe-signature").unwrap_or_default().to_owned();
            tell.send((signature, body)).ok();
            // Whatever comes is refused: it must come again.
            http::StatusCode::INTERNAL_SERVER_ERROR
        }
    };
    let app = axum::Router::new().route("/hook", axum::routing::post(take));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    a.fake.send_webhooks_to(&format!("http://{}/hook", listener.local_addr().unwrap()));
    let server = tokio::spawn(async move { axum::serve(listener, app).await });
    a.post(&a.path(), "1", &[("cancel_at_period_end", "true")]).await;
    let (first, second) = (heard.recv().await.unwrap(), heard.recv().await.unwrap());
    assert_eq!(first.1, second.1, "the same event, again");
    let now = a.fake.clock().now();
    for (signature, body) in [first, second] {
        let secret = [a.fake.webhook_secret()];
        connect::sign::stripe(Some(&signature), &body, &secret, now, connect::sign::TOLERANCE).unwrap();
        let event: Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(
            (event["type"].as_str(), event["object"].as_str()),
            (Some("customer.subscription.updated"), Some("event"))
        );
        assert_eq!(event["data"]["previous_attributes"]["cancel_at_period_end"], false);
        assert_eq!(event["api_version"], VERSION);
    }
    server.abort();
}
