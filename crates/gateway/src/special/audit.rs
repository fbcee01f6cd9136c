//! The audit trail as a file. Here because it is streamed: a trail is as long as a company is busy, and the first rows
//! arrive while the last are read.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use axum::response::Response;
use axum::routing::get;
use proto::edge::RateClass;
use proto::identity::ExportAuditEntriesRequest;
use proto::identity::audit_service_client::AuditServiceClient;

use super::{only, streamed};
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
    streamed(answer).await
}
