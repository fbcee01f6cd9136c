//! Answers of the gateway itself: the versions of the API, the keys its tokens are checked with, and what a dashboard
//! needs to start, in one answer. Here because no one service owns them.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use bytes::Bytes;
use http::header;
use kit::Caller;
use prost::Message as _;
use proto::{identity, notify};
use serde_json::{Value, json};

use super::only;
use crate::Edge;
use crate::edge::problem::Problem;
use crate::edge::versions::VERSIONS;
use crate::pipeline::{access, around};

const ME: &str = "retention.identity.v1.UserProfileService.GetMe";
const CONFIG: &str = "retention.identity.v1.GlobalConfigService.GetEffectiveConfig";
const COMPANY: &str = "retention.identity.v1.CompanyService.GetCompany";
const UNREAD: &str = "retention.notify.v1.NotificationService.ListNotifications";
const DEADLINE: Duration = Duration::from_secs(5);
/// Where a dashboard stops counting and shows `99+`.
const COUNTED: u32 = 100;

pub fn routes(edge: &Arc<Edge>) -> Router {
    let (keys_edge, edge) = (edge.clone(), edge.clone());
    let clock = edge.clock.clone();
    let versions = move |request: Request| {
        let now = clock.now();
        around("/v1/versions".to_owned(), request, move |_, _| async move {
            let items: Vec<_> = VERSIONS.iter().map(|version| version.told(now)).collect();
            Ok(Json(json!({ "items": items })).into_response())
        })
    };
    let jwks = move |request: Request| {
        let edge = keys_edge.clone();
        around("/.well-known/jwks.json".to_owned(), request, move |_, _| async move {
            let keys = edge.auth.jwks(&edge).await?;
            let kind = (header::CONTENT_TYPE, "application/jwk-set+json");
            Ok(([kind, (header::CACHE_CONTROL, "public, max-age=300")], keys).into_response())
        })
    };
    let me = move |request: Request| {
        let edge = edge.clone();
        around("/v1/me/bootstrap".to_owned(), request, move |request, id| async move {
            bootstrap(&edge, request, &id).await
        })
    };
    Router::new()
        .route("/v1/versions", only("/v1/versions", "GET, HEAD", get(versions)))
        .route("/.well-known/jwks.json", only("/.well-known/jwks.json", "GET, HEAD", get(jwks)))
        .route("/v1/me/bootstrap", only("/v1/me/bootstrap", "GET, HEAD", get(me)))
}

/// The user, the company acted for with its feature flags, and how many notifications wait. A dashboard starts without the last.
async fn bootstrap(edge: &Edge, request: Request, id: &str) -> Result<Response, Problem> {
    let (parts, _) = request.into_parts();
    let me = edge.operation(ME).ok_or_else(Problem::not_found)?;
    let who = edge.auth.who(edge, me, &parts).await?;
    let caller = access::caller(me, &who, &parts, id)?;
    edge.rates.admit(me.rate(), &caller, &parts)?;
    let company = async {
        let Some(scope) = &caller.scope else { return Ok(Value::Null) };
        let wanted = identity::GetCompanyRequest { id: scope.company.clone() };
        ask(edge, COMPANY, &caller, wanted.encode_to_vec().into()).await
    };
    let unread = async {
        let wanted = notify::ListNotificationsRequest { limit: COUNTED, unread: true, cursor: String::new() };
        let found = ask(edge, UNREAD, &caller, wanted.encode_to_vec().into()).await.ok()?;
        Some(found.get("items")?.as_array()?.len())
    };
    let flags = async {
        let config = ask(edge, CONFIG, &caller, Bytes::new()).await?;
        Ok::<_, Problem>(config.get("flags").cloned().unwrap_or_else(|| json!({})))
    };
    let user = ask(edge, ME, &caller, Bytes::new());
    let (user, company, unread, flags) = futures_util::future::join4(user, company, unread, flags).await;
    let body = json!({ "user": user?, "company": company?, "mode": caller.scope.as_ref().map(|s| s.mode.as_str()), "grants": caller.grants, "flags": flags?, "unread": unread });
    Ok(([(header::CACHE_CONTROL, "no-store")], Json(body)).into_response())
}

/// The reply of an rpc, as its own route would have given it.
async fn ask(edge: &Edge, rpc: &str, caller: &Caller, message: Bytes) -> Result<Value, Problem> {
    let op = edge.operation(rpc).ok_or_else(Problem::not_found)?;
    let (bytes, _) = edge.upstreams.call(&op.service, &op.grpc, caller, DEADLINE, message).await?;
    let json = edge.plans.json(op.output.full_name(), &bytes).ok();
    let json = json.and_then(|json| serde_json::from_slice(&json).ok());
    json.ok_or_else(|| Problem::new(500, "internal", "something failed on our side"))
}
