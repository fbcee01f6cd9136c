//! The adapter against `localstripe` (PyPI), somebody else's fake of Stripe. It speaks the API of 2017: subscriptions have
//! plans and no prices, one discount, no pause of collection and no events of today's shape, so only what has kept its
//! shape since can be held against it: customers, their list, keys and errors.
//!
//! Runs where `LOCALSTRIPE_URL` says where it is: `pip install localstripe`, `localstripe --port 8420 --from-scratch`.

use std::sync::Arc;

use billing_svc::providers::{
    self, Change, Connection, Cursor, Provider, ProviderError, ProviderKind, Tools,
};
use connect::http::{Http, Settings};
use kit::clock::SystemClock;
use kit::{Mode, Scope};
use reqwest::Method;
use serde_json::Value;

#[expect(clippy::disallowed_methods, reason = "where another program runs is not a setting of a service")]
fn url() -> Option<String> {
    std::env::var("LOCALSTRIPE_URL").ok()
}

fn provider(http: &Http, url: &str, key: &str) -> Arc<dyn Provider> {
    let connection = Connection {
        kind: ProviderKind::Stripe,
        scope: Scope::new("com_1", Mode::Test),
        base_url: Some(url.to_owned()),
        key: Some(key.into()),
        account: None,
        site: None,
        webhook_secrets: Vec::new(),
    };
    providers::open(&connection, &Tools::without_books(http.clone(), Arc::new(SystemClock))).unwrap()
}

#[tokio::test]
async fn what_has_kept_its_shape_since_2017_is_read() {
    let Some(url) = url() else {
        println!("skipped: LOCALSTRIPE_URL is not set");
        return;
    };
    kit::run::crypto();
    let http = Http::new(Settings { private_networks: true, ..Settings::default() }).unwrap();
    let form = [("email", "ada@example.com"), ("name", "Ada"), ("metadata[tier]", "gold")]
        .map(|(k, v)| (k.to_owned(), v.to_owned()));
    let call = http.call("localstripe", "customer.create", Method::POST, &format!("{url}/v1/customers"));
    let made: Value = call.bearer(&"sk_test_1".into()).form(&form).send().await.unwrap().json().unwrap();
    let id = made["id"].as_str().unwrap();

    let p = provider(&http, &url, "sk_test_1");
    let customer = p.customer(&id.into()).await.unwrap();
    assert_eq!((customer.email.as_deref(), customer.name.as_deref()), (Some("ada@example.com"), Some("Ada")));
    assert_eq!((customer.metadata["tier"].as_str(), customer.deleted), ("gold", false));
    assert!(matches!(p.customer(&"cus_none".into()).await, Err(ProviderError::NotFound("customer"))));
    let page = p.changes(&Cursor::start()).await.unwrap();
    assert!(page.changes.iter().any(|c| matches!(c, Change::Customer(c) if c.id.as_str() == id)));
    assert!(!page.done, "subscriptions come next");
    let stranger = provider(&http, &url, "nonsense");
    assert!(matches!(stranger.customer(&id.into()).await, Err(ProviderError::Revoked)));
}
