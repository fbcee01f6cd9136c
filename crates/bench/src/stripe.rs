//! The little of Stripe that the cases need: an account with as many customers and subscriptions as it is told to have,
//! every one of which has changed whenever it is read, and which can be away for a while.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Json, Router};
use serde_json::{Value, json};

#[derive(Clone, Default)]
struct Little(Arc<Account>);

#[derive(Default)]
struct Account {
    many: AtomicU64,
    /// Which customers these are: those of another epoch have other ids.
    epoch: AtomicU64,
    away: AtomicBool,
    reads: AtomicU64,
}

type Answer = Result<Json<Value>, StatusCode>;

/// The id of the nth of its kind.
pub fn id(kind: &str, epoch: u64, n: u64) -> String {
    format!("{kind}_e{epoch}n{n:07}")
}

/// Stripe's paths, and `POST /little?many=…&epoch=…&away=…`, which says how it is to be.
pub fn routes() -> Router<crate::bare::Bare> {
    let little = Little::default();
    let routes = Router::new()
        .route("/little", post(told))
        .route("/v1/account", get(|| async { Json(json!({ "id": "acct_bench", "object": "account" })) }))
        .route("/v1/{list}", get(list))
        .route("/v1/{list}/{id}", get(one));
    routes.with_state(little)
}

async fn told(
    State(Little(account)): State<Little>,
    Query(said): Query<HashMap<String, String>>,
) -> StatusCode {
    let number = |name: &str| said.get(name).and_then(|text| text.parse().ok());
    for (name, field) in [("many", &account.many), ("epoch", &account.epoch)] {
        if let Some(number) = number(name) {
            field.store(number, Ordering::SeqCst);
        }
    }
    account.away.store(said.get("away").is_some_and(|away| away == "true"), Ordering::SeqCst);
    StatusCode::OK
}

impl Account {
    fn here(&self) -> Result<(), StatusCode> {
        if self.away.load(Ordering::SeqCst) { Err(StatusCode::SERVICE_UNAVAILABLE) } else { Ok(()) }
    }

    fn object(&self, list: &str, epoch: u64, n: u64) -> Value {
        let customer = id("cus", epoch, n);
        if list == "customers" {
            return json!({
                "id": customer, "object": "customer", "email": format!("{customer}@customers.example"),
                "name": format!("Customer {n}"), "currency": "usd", "created": 1_700_000_000, "livemode": true,
                "address": { "country": "US" }, "preferred_locales": ["en"], "metadata": {},
            });
        }
        let end = 1_900_000_000 + self.reads.fetch_add(1, Ordering::Relaxed);
        let price = json!({
            "id": "price_bench", "object": "price", "active": true, "currency": "usd", "unit_amount": 2_900,
            "product": "prod_bench", "recurring": { "interval": "month", "interval_count": 1 },
        });
        let item = json!({
            "id": id("si", epoch, n), "object": "subscription_item", "price": price, "quantity": 1,
            "current_period_start": 1_890_000_000, "current_period_end": end,
        });
        json!({
            "id": id("sub", epoch, n), "object": "subscription", "customer": customer, "status": "active",
            "items": { "object": "list", "data": [item], "has_more": false }, "discounts": [],
            "cancel_at": null, "cancel_at_period_end": false, "ended_at": null, "pause_collection": null,
            "trial_end": null, "start_date": 1_700_000_000, "created": 1_700_000_000, "schedule": null,
            "pending_update": null, "livemode": true, "metadata": {},
        })
    }
}

async fn list(
    State(Little(account)): State<Little>,
    Path(list): Path<String>,
    Query(asked): Query<HashMap<String, String>>,
) -> Answer {
    account.here()?;
    let (many, epoch) = (account.many.load(Ordering::SeqCst), account.epoch.load(Ordering::SeqCst));
    let many = if matches!(list.as_str(), "customers" | "subscriptions") { many } else { 0 };
    let nth = |id: &String| id.rsplit_once('n')?.1.parse::<u64>().ok();
    let from = asked.get("starting_after").and_then(nth).map_or(0, |n| n + 1);
    let end = many.min(from + 100);
    let data: Vec<_> = (from..end).map(|n| account.object(&list, epoch, n)).collect();
    Ok(Json(json!({ "object": "list", "data": data, "has_more": end < many })))
}

async fn one(State(Little(account)): State<Little>, Path((list, id)): Path<(String, String)>) -> Answer {
    account.here()?;
    let place = id.rsplit_once("_e").and_then(|(_, rest)| rest.split_once('n'));
    let place = place.and_then(|(epoch, n)| Some((epoch.parse().ok()?, n.parse().ok()?)));
    let (epoch, n) = place.ok_or(StatusCode::NOT_FOUND)?;
    Ok(Json(account.object(&list, epoch, n)))
}
