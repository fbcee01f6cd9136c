//! What is measured, (a) to (h), and how its requests look: ours beside the bare peer's.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::{Context, Result};
use aws_lc_rs::hmac;
use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::bare;
use crate::cpu::Pids;
use crate::load::{Connection, Make};

/// Where a side of a case listens, and the processes whose time counts.
#[derive(Clone)]
pub struct Side {
    pub host: String,
    pub pids: Pids,
}

/// One workload: how ours is asked, how the peer is asked, and how many units a request carries.
pub struct Case {
    pub key: &'static str,
    pub what: &'static str,
    /// Events, rows: what throughput counts. 1 for plain requests.
    pub units: u64,
    pub ours: Make,
    /// None where the peer is another case's.
    pub bare: Option<Make>,
}

/// The two sides and their credentials.
pub struct Sides {
    pub gateway: String,
    pub bare: String,
    /// The key of the company's server.
    pub machine_key: String,
    pub company_key: String,
    pub stripe_secret: String,
}

impl Sides {
    /// Where Stripe sends what it has to say.
    pub fn door(&self) -> String {
        format!("/v1/inbound/stripe/{}", self.company_key)
    }
}

/// A request with a credential and, where there is one, a JSON body.
pub fn request(
    method: &str,
    host: &str,
    path: &str,
    token: &str,
    body: Option<&Value>,
) -> Request<Full<Bytes>> {
    let bytes = body.map_or_else(Bytes::new, |b| b.to_string().into());
    let mut builder = Request::builder().method(method).uri(path).header("host", host);
    if !token.is_empty() {
        builder = builder.header("authorization", format!("Bearer {token}"));
    }
    if body.is_some() {
        builder = builder.header("content-type", "application/json");
    }
    // Method, path and headers above are our own constants; what they hold is always a request.
    builder.body(Full::new(bytes)).unwrap_or_else(|_| Request::new(Full::default()))
}

/// Sends one request and reads the JSON of its answer.
pub async fn ask(host: &str, method: &str, path: &str, token: &str, body: Option<&Value>) -> Result<Value> {
    let mut connection = Connection::open(host).await?;
    let (status, answer) = connection.send(request(method, host, path, token, body)).await?;
    anyhow::ensure!(
        (200..300).contains(&status),
        "{method} {path} answered {status}: {}",
        String::from_utf8_lossy(&answer)
    );
    if answer.is_empty() { Ok(Value::Null) } else { Ok(serde_json::from_slice(&answer)?) }
}

/// (h) The gateway with its checks beside the gateway without, both before a service that does nothing.
pub fn checks(checked: &str, unchecked: &str, admin: &str, card: &str) -> [Case; 2] {
    let read = |host: &str, token: &str| -> Make {
        let (host, token, path) = (host.to_owned(), token.to_owned(), format!("/v1/cards/{card}"));
        Arc::new(move |_| request("GET", &host, &path, &token, None))
    };
    let body = json!({
        "name": "Bench card",
        "content": { "kind": "value", "locales": ["en"], "elements": [] },
    });
    let write = |host: &str, token: &str, once: bool| -> Make {
        let (host, token, body) = (host.to_owned(), token.to_owned(), body.clone());
        Arc::new(move |n| {
            let mut request = request("POST", &host, "/v1/cards", &token, Some(&body));
            let key = format!("bench-{}-{n}", std::process::id());
            if let (true, Ok(key)) = (once, key.parse()) {
                request.headers_mut().insert("idempotency-key", key);
            }
            request
        })
    };
    [
        Case {
            key: "h",
            what: "a read that does nothing",
            units: 1,
            ours: read(checked, admin),
            bare: Some(read(unchecked, "")),
        },
        Case {
            key: "h_once",
            what: "a write, Idempotency-Key",
            units: 1,
            ours: write(checked, admin, true),
            bare: Some(write(unchecked, "", false)),
        },
    ]
}

/// Makes 200 cards on both sides, publishes ours, and answers their ids.
pub async fn seed_cards(
    sides: &Sides,
    admin: &str,
    mongo: &str,
    database: &str,
) -> Result<(Vec<String>, Vec<String>)> {
    let text = |en: &str| json!({ "default_locale": "en", "texts": { "en": en } });
    let sentence =
        "What you would miss: everything your people set up here stays as it is while you think about it.";
    let (mut ours, mut cards) = (Vec::new(), Vec::new());
    for n in 0..200 {
        let body = json!({
            "name": format!("Bench card {n}"), "access": "company", "tags": ["bench"],
            "content": {
                "kind": "value", "locales": ["en"],
                "elements": [
                    { "key": "h", "heading": { "text": text("What you would miss") } },
                    { "key": "t", "text": { "text": text(sentence) } },
                ],
            },
        });
        let made = ask(&sides.gateway, "POST", "/v1/cards", admin, Some(&body)).await?;
        let id = made["id"].as_str().context("a card without an id")?;
        let publish = json!({ "version": made["version"] });
        ask(&sides.gateway, "POST", &format!("/v1/cards/{id}/publish"), admin, Some(&publish)).await?;
        ours.push(id.to_owned());
        let element = |kind: &str, en: &str| bare::Element {
            kind: kind.into(),
            text: BTreeMap::from([("en".to_owned(), en.to_owned())]),
        };
        cards.push(bare::Card {
            id: format!("crd_{:032x}", uuid::Uuid::now_v7().as_u128()),
            company_id: "com_bench".into(),
            name: format!("Bench card {n}"),
            kind: "value".into(),
            status: "draft".into(),
            version: 1,
            tags: vec!["bench".into()],
            elements: vec![element("heading", "What you would miss"), element("text", sentence)],
            created_at: "2026-01-01T00:00:00Z".into(),
            updated_at: "2026-01-01T00:00:00Z".into(),
        });
    }
    let ids = cards.iter().map(|c| c.id.clone()).collect();
    let db = mongodb::Client::with_uri_str(mongo).await?.database(database);
    db.collection::<bare::Card>("cards").insert_many(cards).await?;
    Ok((ours, ids))
}

/// The request-and-answer cases, (a) to (d).
pub fn all(
    sides: &Sides,
    admin: &str,
    ours: Vec<String>,
    theirs: Vec<String>,
    external_ids: Vec<String>,
) -> Result<Vec<Case>> {
    let bare_token = bare::token()?;
    let (gateway, bare_host) = (sides.gateway.clone(), sides.bare.clone());
    let get = |host: &str, token: &str, path: Box<dyn Fn(u64) -> String + Send + Sync>| -> Make {
        let (host, token) = (host.to_owned(), token.to_owned());
        Arc::new(move |n| request("GET", &host, &path(n), &token, None))
    };
    type Path = Box<dyn Fn(u64) -> String + Send + Sync>;
    let pick = |ids: Vec<String>, prefix: &'static str, suffix: &'static str| -> Path {
        Box::new(move |n| format!("{prefix}{}{suffix}", ids[usize::try_from(n).unwrap_or(0) % ids.len()]))
    };
    let post = |host: &str,
                path: &'static str,
                token: &str,
                body: Arc<dyn Fn(u64) -> Value + Send + Sync>|
     -> Make {
        let (host, token) = (host.to_owned(), token.to_owned());
        Arc::new(move |n| request("POST", &host, path, &token, Some(&body(n))))
    };
    let ids = Arc::new(external_ids);
    let event = move |n: u64| {
        json!({
            "id": format!("bench-{:x}-{n}", std::process::id()),
            "name": "report_exported",
            "customer": ids[usize::try_from(n).unwrap_or(0) % ids.len()],
            "occurred_at": Timestamp::UNIX_EPOCH.to_string(),
            "properties": { "format": "pdf", "pages": n % 40 },
        })
    };
    let now = now();
    let event = Arc::new(move |n: u64| {
        let mut event = event(n);
        event["occurred_at"] = json!(now);
        event
    });
    let (one, hundred, batch) = (event.clone(), event.clone(), event.clone());
    let key = &sides.machine_key;
    Ok(vec![
        Case {
            key: "a",
            what: "GET /v1/cards/{id}",
            units: 1,
            ours: get(&gateway, admin, pick(ours.clone(), "/v1/cards/", "")),
            bare: Some(get(&bare_host, &bare_token, pick(theirs.clone(), "/cards/", ""))),
        },
        // What customers see is answered from memory; the peer has no cache.
        Case {
            key: "a_pub",
            what: "the same, published",
            units: 1,
            ours: get(&gateway, admin, pick(ours, "/v1/cards/", "?published=true")),
            bare: Some(get(&bare_host, &bare_token, pick(theirs, "/cards/", ""))),
        },
        Case {
            key: "b",
            what: "GET /v1/cards?limit=20",
            units: 1,
            ours: get(&gateway, admin, Box::new(|_| "/v1/cards?limit=20".into())),
            bare: Some(get(&bare_host, &bare_token, Box::new(|_| "/cards?limit=20".into()))),
        },
        Case {
            key: "c1",
            what: "POST /v1/events, one",
            units: 1,
            ours: post(&gateway, "/v1/events", key, Arc::new(move |n| json!({ "events": [one(n)] }))),
            bare: Some(post(&bare_host, "/events", &bare_token, event)),
        },
        Case {
            key: "c100",
            what: "POST /v1/events, 100",
            units: 100,
            ours: post(
                &gateway,
                "/v1/events",
                key,
                Arc::new(move |n| json!({ "events": many(&*hundred, n) })),
            ),
            bare: Some(post(
                &bare_host,
                "/events/batch",
                &bare_token,
                Arc::new(move |n| json!(many(&*batch, n))),
            )),
        },
        Case {
            key: "d",
            what: "signed Stripe webhook",
            units: 1,
            ours: webhook(&gateway, &sides.door(), &sides.stripe_secret, None),
            bare: Some(webhook(&bare_host, "/stripe", &sides.stripe_secret, None)),
        },
    ])
}

#[expect(clippy::disallowed_methods, reason = "a measurement happens now")]
fn now() -> String {
    Timestamp::now().to_string()
}

/// A hundred events with ids of their own, far from those of single requests.
fn many(event: &dyn Fn(u64) -> Value, n: u64) -> Vec<Value> {
    (0..100).map(|i| event(1_000_000_000 + n * 100 + i)).collect()
}

/// Webhooks as Stripe sends them: signed over time and raw body. About one of so many subscriptions, or about nothing
/// that concerns us.
pub fn webhook(host: &str, path: &str, secret: &str, subscriptions: Option<u64>) -> Make {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    let (host, path) = (host.to_owned(), path.to_owned());
    Arc::new(move |n| {
        let invoice = json!({ "id": "in_bench", "object": "invoice", "customer": "cus_bench", "currency": "usd", "total": 2_985 });
        let (kind, object) = match subscriptions {
            None => ("invoice.upcoming", invoice),
            Some(many) => {
                let id = crate::stripe::id("sub", 0, n % many);
                ("customer.subscription.updated", json!({ "id": id, "object": "subscription" }))
            }
        };
        let event = json!({
            "id": format!("evt_bench{:x}x{n}", std::process::id()),
            "object": "event",
            "api_version": "2026-10-28.endive",
            "created": seconds(),
            "livemode": true,
            "type": kind,
            "pending_webhooks": 1,
            "request": { "id": null, "idempotency_key": null },
            "data": { "object": object },
        });
        let body = event.to_string();
        let t = seconds();
        let signature = hmac::sign(&key, format!("{t}.{body}").as_bytes());
        let header = format!("t={t},v1={}", hex::encode(signature));
        let builder = Request::builder()
            .method("POST")
            .uri(&path)
            .header("host", &host)
            .header("content-type", "application/json");
        builder
            .header("stripe-signature", header)
            .body(Full::new(body.into()))
            .unwrap_or_else(|_| Request::new(Full::default()))
    })
}

#[expect(clippy::disallowed_methods, reason = "a signature says when it was made")]
fn seconds() -> i64 {
    Timestamp::now().as_second()
}
