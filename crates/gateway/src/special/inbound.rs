//! Providers' webhooks. Here because the signature is over the raw bytes and the headers: nothing may read, let alone
//! rewrite, the body before the service that knows the provider has checked it.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use axum::response::IntoResponse;
use axum::routing::post;
use http::HeaderMap;
use kit::caller::{Actor, Caller, Role};
use proto::billing::ReceiveInboundRequest;
use proto::billing::inbound_service_client::InboundServiceClient;
use proto::edge::RateClass;

use super::only;
use crate::Edge;
use crate::edge::problem::Problem;
use crate::pipeline::{address, around, read};

const ROUTE: &str = "/v1/inbound/{provider}/{company_key}";
/// Providers' events are some KiB; Stripe's largest stay far below this.
const LARGEST: usize = 1024 * 1024;
const DEADLINE: Duration = Duration::from_secs(10);

pub fn routes(edge: &Arc<Edge>) -> Router {
    let edge = edge.clone();
    let receive = move |request: Request| {
        let edge = edge.clone();
        around(ROUTE.to_owned(), request, move |request, id| async move { receive(&edge, request, id).await })
    };
    Router::new().route(ROUTE, only(ROUTE, "POST", post(receive)))
}

async fn receive(edge: &Edge, request: Request, id: String) -> Result<axum::response::Response, Problem> {
    let (parts, body) = request.into_parts();
    let mut names = parts.uri.path().rsplit('/');
    let (company_key, provider) =
        (names.next().unwrap_or_default().to_owned(), names.next().unwrap_or_default().to_owned());
    edge.rates.check(RateClass::Intake, &format!("{provider}:{company_key}"))?;
    let body = read(body, LARGEST).await?;
    let from = address(&parts).map(|a| a.to_string());
    let caller = Caller {
        role: Role::Provider,
        actor: Actor::new("provider", provider.clone()),
        request_id: id,
        address: from,
        ..Caller::internal("gateway", None)
    };
    let now = kit::time::to_proto(edge.clock.now());
    let message = ReceiveInboundRequest {
        provider,
        company_key,
        body,
        headers: headers(&parts.headers),
        received_at: Some(now),
    };
    let upstream = edge.upstreams.get("billing")?;
    let mut client = InboundServiceClient::new(upstream.channel()).max_encoding_message_size(2 * LARGEST);
    client.receive_inbound(upstream.request(&caller, DEADLINE, message)?).await?;
    Ok(axum::Json(serde_json::json!({ "received": true })).into_response())
}

/// The headers a provider may have signed or sent credentials in; never our own cookies.
fn headers(all: &HeaderMap) -> HashMap<String, String> {
    let kept = all.iter().filter(|(name, _)| !matches!(name.as_str(), "cookie" | "host" | "connection"));
    kept.filter_map(|(name, value)| Some((name.as_str().to_owned(), value.to_str().ok()?.to_owned())))
        .collect()
}
