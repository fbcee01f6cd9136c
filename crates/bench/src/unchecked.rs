//! The peer of the gateway itself: the same door, with all that is around and behind the checks, but without
//! authentication, access rules, rate limits and idempotency. And the service behind both that does nothing, so that the
//! door is all there is.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use axum::routing::any;
use bus::Bus;
use bytes::Bytes;
use gateway::Edge;
use gateway::pipeline::{self, auth::Who};
use http::{HeaderMap, HeaderValue, header};
use http_body_util::{BodyExt, Full};
use kit::caller::{Actor, Caller, Mode, Role, Scope};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

const NAME: &str = "unchecked";
/// The operations measured: a read and a write that takes an `Idempotency-Key`.
pub const RPCS: [&str; 2] =
    ["retention.content.v1.CardService.GetCard", "retention.content.v1.CardService.CreateCard"];
const DEADLINE: Duration = Duration::from_secs(30);

/// Serves the unchecked door until killed.
pub async fn serve(config: gateway::Config) -> anyhow::Result<()> {
    let listen = config.common.listen;
    let db = store::connect(&config.data, NAME).await?;
    let bus = Bus::open(&config.data).await?;
    let edge = Edge::open(config, Arc::new(kit::clock::SystemClock), &db, &bus).await?;
    let caller = Arc::new(Caller {
        role: Role::RetAdmin,
        actor: Actor::new("user", "usr_bench"),
        ..Caller::internal(NAME, Some(Scope::new("com_bench", Mode::Live)))
    });
    let mut app = Router::new();
    for rpc in RPCS {
        let op = edge.operation(rpc).with_context(|| format!("no rpc {rpc}"))?.clone();
        let (route, edge, caller) = (op.template.route(), edge.clone(), caller.clone());
        let method = any(move |request: Request| {
            let (edge, op, caller) = (edge.clone(), op.clone(), caller.clone());
            pipeline::around(op.template.description(), request, |request, id| async move {
                let (parts, body) = request.into_parts();
                let body = pipeline::read(body, op.max_body()).await?;
                let caller = Caller { request_id: id, ..Caller::clone(&caller) };
                pipeline::forward(&edge, &op, &Who::Nobody, &caller, &parts, &body).await
            })
        });
        app = app.route(&route, method);
    }
    served(kit::Service::new(NAME).http(gateway::layered(&edge, app)?), listen).await
}

/// Answers every rpc with an empty message, until killed.
pub async fn noop(listen: SocketAddr) -> anyhow::Result<()> {
    let app = Router::new().fallback(|request: Request| async move {
        request.into_body().collect().await.ok();
        let mut trailers = HeaderMap::new();
        trailers.insert("grpc-status", HeaderValue::from_static("0"));
        // Not compressed, no bytes.
        let body = Full::new(Bytes::from_static(&[0; 5])).with_trailers(async { Some(Ok(trailers)) });
        let mut response = Response::new(Body::new(body));
        let kind = HeaderValue::from_static("application/grpc");
        response.headers_mut().insert(header::CONTENT_TYPE, kind);
        response
    });
    served(kit::Service::new("noop").http(app), listen).await
}

async fn served(service: kit::Service, listen: SocketAddr) -> anyhow::Result<()> {
    // Spans and metrics are no checks: both doors have them.
    kit::telemetry::start(NAME, "warn", None)?;
    let listener =
        TcpListener::bind(listen).await.with_context(|| format!("failed to listen on {listen}"))?;
    kit::run::serve(service, listener, CancellationToken::new(), DEADLINE).await
}
