//! The audit trail as a file. Here because it is streamed: a trail is as long as a company is busy, and the first rows
//! arrive while the last are read.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use axum::routing::get;
use futures_util::{StreamExt, TryStreamExt};
use http::{HeaderValue, header};
use proto::edge::RateClass;
use proto::identity::ExportAuditEntriesRequest;
use proto::identity::audit_service_client::AuditServiceClient;

use super::only;
use crate::Edge;
use crate::edge::bind;
use crate::edge::problem::Problem;
use crate::pipeline::{access, around};

const ROUTE: &str = "/v1/audit/export";
/// Who may list entries may export them.
const RULE: &str = "retention.identity.v1.AuditService.ListAuditEntries";
const MESSAGE: &str = "retention.identity.v1.ExportAuditEntriesRequest";
/// How long an export may take.
const DEADLINE: Duration = Duration::from_secs(600);

pub fn routes(edge: &Arc<Edge>) -> Router {
    let edge = edge.clone();
    let export = move |request: Request| {
        let edge = edge.clone();
        around(ROUTE.to_owned(), request, move |request, id| async move { export(&edge, request, &id).await })
    };
    Router::new().route(ROUTE, only(ROUTE, "GET, HEAD", get(export)))
}

async fn export(edge: &Edge, request: Request, id: &str) -> Result<Response, Problem> {
    let (parts, _) = request.into_parts();
    let rule = edge.operation(RULE).ok_or_else(Problem::not_found)?;
    let who = edge.auth.who(edge, rule, &parts).await?;
    let caller = access::caller(rule, &who, &parts, id)?;
    edge.rates.admit(RateClass::Heavy, &caller, &parts)?;
    let message: ExportAuditEntriesRequest = bind::query(MESSAGE, parts.uri.query())?;
    let upstream = edge.upstreams.get("identity")?;
    let request = upstream.request(&caller, DEADLINE, message)?;
    let answer = AuditServiceClient::new(upstream.channel()).export_audit_entries(request).await?;
    let disposition = answer.metadata().get(header::CONTENT_DISPOSITION.as_str()).cloned();
    let mut pieces = answer.into_inner();
    // The first piece comes before the answer begins: what goes wrong until then is a problem like any other.
    let first = pieces.message().await?.unwrap_or_default();
    let kind = first.content_type.clone();
    let rest = pieces.map_ok(|piece| piece.data);
    let all = futures_util::stream::once(async move { Ok(first.data) }).chain(rest);
    let mut response = Response::new(Body::from_stream(all));
    let headers = response.headers_mut();
    if let Ok(kind) = HeaderValue::from_str(&kind) {
        headers.insert(header::CONTENT_TYPE, kind);
    }
    if let Some(value) = disposition.and_then(|d| HeaderValue::from_bytes(d.as_bytes()).ok()) {
        headers.insert(header::CONTENT_DISPOSITION, value);
    }
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}
