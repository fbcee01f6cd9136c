//! The file of a request for access. Here because it is composed of what every service keeps, and streamed: nothing of it
//! is written down anywhere on its way.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use bytes::Bytes;
use futures_util::stream::BoxStream;
use futures_util::{StreamExt, TryStreamExt, stream};
use http::header;
use kit::Caller;
use proto::billing::privacy_service_client::PrivacyServiceClient;
use proto::billing::{GetPrivacyRequestRequest, PrivacyFile};
use proto::edge::RateClass;
use proto::personal::CollectPersonalDataRequest;
use proto::personal::personal_data_service_client::PersonalDataServiceClient;
use serde_json::json;
use tonic::Status;

use super::only;
use crate::Edge;
use crate::edge::problem::Problem;
use crate::pipeline::{access, around};

const ROUTE: &str = "/v1/privacy/requests/{id}/file";
/// Who may read a request may fetch its file.
const RULE: &str = "retention.billing.v1.PrivacyService.GetPrivacyRequest";
/// How long a file may take.
const DEADLINE: Duration = Duration::from_secs(600);
/// Whose parts there are, in their order.
const SERVICES: [&str; 5] = ["billing", "content", "analytics", "notify", "identity"];

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
    let wanted = path.rsplit('/').next().unwrap_or_default().to_owned();
    let billing = edge.upstreams.get("billing")?;
    let request = billing.request(&caller, DEADLINE, GetPrivacyRequestRequest { id: wanted })?;
    let file = PrivacyServiceClient::new(billing.channel()).open_privacy_file(request).await?.into_inner();
    let mut parts = Vec::with_capacity(SERVICES.len());
    for service in SERVICES {
        // All are asked before the answer begins: one that is down is a problem like any other.
        parts.push((service, part(edge, service, &caller, &file).await?));
    }
    let text = |t: String| stream::once(std::future::ready(Ok::<_, Status>(Bytes::from(t))));
    let head = format!("{{\"request_id\":{},\"services\":{{", json!(file.request_id));
    let services = parts.into_iter().enumerate().map(move |(at, (service, part))| {
        let comma = if at == 0 { "" } else { "," };
        text(format!("{comma}\"{service}-svc\":")).chain(part)
    });
    let all = text(head).chain(stream::iter(services).flatten()).chain(text("}}".into()));
    let name = format!("attachment; filename=\"{}.json\"", file.request_id);
    let headers = [
        (header::CONTENT_TYPE, "application/json".to_owned()),
        (header::CONTENT_DISPOSITION, name),
        (header::CACHE_CONTROL, "no-store".to_owned()),
    ];
    Ok((headers, Body::from_stream(all)).into_response())
}

async fn part(
    edge: &Edge,
    service: &str,
    caller: &Caller,
    file: &PrivacyFile,
) -> Result<BoxStream<'static, Result<Bytes, Status>>, Problem> {
    let upstream = edge.upstreams.get(service)?;
    let PrivacyFile { request_id: _, customer_ids, external_ids } = file.clone();
    let whose = CollectPersonalDataRequest { customer_ids, external_ids };
    let request = upstream.request(caller, DEADLINE, whose)?;
    let answer = PersonalDataServiceClient::new(upstream.channel()).collect_personal_data(request).await?;
    Ok(answer.into_inner().map_ok(|piece| piece.data).boxed())
}
