//! The peer of every figure: axum and the MongoDB driver, written by hand for one purpose each, with no gateway, no
//! gRPC, no roles, no outbox. It checks a token, as any real handler would, and nothing else.

use std::net::SocketAddr;
use std::sync::Arc;

use aws_lc_rs::hmac;
use axum::extract::{Path, Query, Request, State};
use axum::http::{HeaderMap, StatusCode};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use bson::doc;
use bytes::Bytes;
use futures_util::TryStreamExt;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use mongodb::options::{IndexOptions, WriteConcern};
use mongodb::{Collection, IndexModel};
use serde::{Deserialize, Serialize};

use crate::stripe;

/// The key of the bare server's tokens; it guards nothing.
const SECRET: &[u8] = b"the bare server's tokens guard nothing";

#[derive(Serialize, Deserialize)]
struct Claims {
    sub: String,
    exp: i64,
}

/// A card as the bare server stores and answers it: about the size of ours.
#[derive(Clone, Serialize, Deserialize)]
pub struct Card {
    #[serde(rename = "_id")]
    pub id: String,
    pub company_id: String,
    pub name: String,
    pub kind: String,
    pub status: String,
    pub version: i64,
    pub tags: Vec<String>,
    pub elements: Vec<Element>,
    pub created_at: String,
    pub updated_at: String,
}

#[derive(Clone, Serialize, Deserialize)]
pub struct Element {
    pub kind: String,
    pub text: std::collections::BTreeMap<String, String>,
}

#[derive(Serialize, Deserialize)]
struct Event {
    #[serde(rename = "_id", alias = "id")]
    id: String,
    name: String,
    customer: String,
    occurred_at: String,
    #[serde(default)]
    properties: bson::Document,
}

/// What the peer's handlers share.
#[derive(Clone)]
pub struct Bare {
    cards: Collection<Card>,
    events: Collection<Event>,
    webhooks: Collection<bson::Document>,
    key: Arc<DecodingKey>,
    stripe: Arc<hmac::Key>,
}

/// A token the bare server accepts.
pub fn token() -> anyhow::Result<String> {
    let claims = Claims { sub: "usr_bench".into(), exp: i64::MAX / 2 };
    Ok(jsonwebtoken::encode(&Header::default(), &claims, &EncodingKey::from_secret(SECRET))?)
}

/// Serves until killed.
pub async fn serve(
    mongo: &str,
    database: &str,
    listen: SocketAddr,
    stripe_secret: &str,
) -> anyhow::Result<()> {
    let db = mongodb::Client::with_uri_str(mongo).await?.database(database);
    let majority = |name: &str| {
        let options =
            mongodb::options::CollectionOptions::builder().write_concern(WriteConcern::majority()).build();
        db.collection_with_options(name, options)
    };
    let unique = IndexModel::builder()
        .keys(doc! { "event": 1 })
        .options(IndexOptions::builder().unique(true).build())
        .build();
    let webhooks: Collection<bson::Document> = majority("webhooks");
    webhooks.create_index(unique).await?;
    let by_company = IndexModel::builder().keys(doc! { "company_id": 1, "_id": -1 }).build();
    db.collection::<Card>("cards").create_index(by_company).await?;
    let options =
        mongodb::options::CollectionOptions::builder().write_concern(WriteConcern::majority()).build();
    let bare = Bare {
        cards: db.collection("cards"),
        events: db.collection_with_options("events", options),
        webhooks,
        key: Arc::new(DecodingKey::from_secret(SECRET)),
        stripe: Arc::new(hmac::Key::new(hmac::HMAC_SHA256, stripe_secret.as_bytes())),
    };
    let guarded = Router::new()
        .route("/cards", get(list))
        .route("/cards/{id}", get(one))
        .route("/events", post(event))
        .route("/events/batch", post(batch))
        .layer(from_fn_with_state(bare.clone(), guard));
    let app = guarded
        .merge(stripe::routes())
        .route("/stripe", post(webhook))
        .route("/readyz", get(|| async { "ok" }))
        .with_state(bare);
    let listener = tokio::net::TcpListener::bind(listen).await?;
    Ok(axum::serve(listener, app).await?)
}

async fn guard(State(bare): State<Bare>, request: Request, next: Next) -> Response {
    let header = request.headers().get("authorization").and_then(|v| v.to_str().ok());
    let token = header.and_then(|h| h.strip_prefix("Bearer ")).unwrap_or_default();
    match jsonwebtoken::decode::<Claims>(token, &bare.key, &Validation::new(Algorithm::HS256)) {
        Ok(_) => next.run(request).await,
        Err(_) => StatusCode::UNAUTHORIZED.into_response(),
    }
}

type Answer = Result<Response, StatusCode>;

fn failed(_: mongodb::error::Error) -> StatusCode {
    StatusCode::INTERNAL_SERVER_ERROR
}

async fn one(State(bare): State<Bare>, Path(id): Path<String>) -> Answer {
    let found = bare.cards.find_one(doc! { "_id": id, "company_id": "com_bench" }).await.map_err(failed)?;
    Ok(Json(found.ok_or(StatusCode::NOT_FOUND)?).into_response())
}

#[derive(Deserialize)]
struct Page {
    limit: i64,
}

async fn list(State(bare): State<Bare>, Query(page): Query<Page>) -> Answer {
    let found = bare
        .cards
        .find(doc! { "company_id": "com_bench" })
        .sort(doc! { "_id": -1 })
        .limit(page.limit.min(200));
    let cards: Vec<_> = found.await.map_err(failed)?.try_collect().await.map_err(failed)?;
    Ok(Json(cards).into_response())
}

async fn event(State(bare): State<Bare>, Json(event): Json<Event>) -> Answer {
    bare.events.insert_one(event).await.map_err(failed)?;
    Ok(StatusCode::CREATED.into_response())
}

async fn batch(State(bare): State<Bare>, Json(events): Json<Vec<Event>>) -> Answer {
    bare.events.insert_many(events).ordered(false).await.map_err(failed)?;
    Ok(StatusCode::CREATED.into_response())
}

async fn webhook(State(bare): State<Bare>, headers: HeaderMap, body: Bytes) -> Answer {
    let header = headers.get("stripe-signature").and_then(|v| v.to_str().ok()).unwrap_or_default();
    let part = |name: &str| header.split(',').find_map(|p| p.strip_prefix(name)).unwrap_or_default();
    let signed = [part("t=").as_bytes(), b".", &body].concat();
    let signature = hex::decode(part("v1=")).map_err(|_| StatusCode::UNAUTHORIZED)?;
    hmac::verify(&bare.stripe, &signed, &signature).map_err(|_| StatusCode::UNAUTHORIZED)?;
    let event: serde_json::Value = serde_json::from_slice(&body).map_err(|_| StatusCode::BAD_REQUEST)?;
    let id = event.get("id").and_then(|v| v.as_str()).unwrap_or_default();
    let raw = bson::Binary { subtype: bson::spec::BinarySubtype::Generic, bytes: body.to_vec() };
    bare.webhooks.insert_one(doc! { "event": id, "raw": raw }).await.map_err(failed)?;
    Ok(StatusCode::OK.into_response())
}
