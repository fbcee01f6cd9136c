//! The file of an export of customers. Here because it is streamed, as long as the company has customers.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use axum::response::Response;
use axum::routing::get;
use proto::billing::GetExportRequest;
use proto::billing::customer_export_service_client::CustomerExportServiceClient;
use proto::edge::RateClass;

use super::{only, streamed};
use crate::Edge;
use crate::edge::problem::Problem;
use crate::pipeline::{access, around};

const ROUTE: &str = "/v1/customer-data/exports/{id}/file";
/// Who may ask for an export may fetch it.
const RULE: &str = "retention.billing.v1.CustomerExportService.GetExport";
/// How long a file may take.
const DEADLINE: Duration = Duration::from_secs(600);

pub fn routes(edge: &Arc<Edge>) -> Router {
    let edge = edge.clone();
    let fetch = move |request: Request| {
        let edge = edge.clone();
        around(ROUTE.to_owned(), request, move |request, id| async move { fetch(&edge, request, &id).await })
    };
    Router::new().route(ROUTE, only(ROUTE, "GET, HEAD", get(fetch)))
}

async fn fetch(edge: &Edge, request: Request, id: &str) -> Result<Response, Problem> {
    let (parts, _) = request.into_parts();
    let rule = edge.operation(RULE).ok_or_else(Problem::not_found)?;
    let who = edge.auth.who(edge, rule, &parts).await?;
    let caller = access::caller(rule, &who, &parts, id)?;
    edge.rates.admit(RateClass::Heavy, &caller, &parts)?;
    let path = parts.uri.path().strip_suffix("/file").unwrap_or_default();
    let export = path.rsplit('/').next().unwrap_or_default().to_owned();
    let upstream = edge.upstreams.get("billing")?;
    let request = upstream.request(&caller, DEADLINE, GetExportRequest { id: export })?;
    let answer = CustomerExportServiceClient::new(upstream.channel()).download_export(request).await?;
    streamed(answer).await
}
