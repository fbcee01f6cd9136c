//! The peer of the gateway itself: the same derived operations, JSON and call, without authentication, access rules,
//! rate limits and idempotency. And the service behind both that does nothing, so that the door is all there is.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use axum::routing::any;
use bytes::Bytes;
use clap::Parser as _;
use gateway::edge::bind;
use gateway::edge::descriptors::{self, Operation};
use gateway::edge::json::Plans;
use gateway::edge::problem::Problem;
use gateway::pipeline::{around, read};
use gateway::upstreams::Upstreams;
use http::{HeaderMap, HeaderValue, header};
use http_body_util::{BodyExt, Full};
use kit::caller::{Actor, Caller, Minter, Mode, Role, Scope, SigningKey};
use prost::Message as _;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::compression::CompressionLayer;

/// The operations measured: a read and a write that takes an `Idempotency-Key`.
pub const RPCS: [&str; 2] =
    ["retention.content.v1.CardService.GetCard", "retention.content.v1.CardService.CreateCard"];
const DEADLINE: Duration = Duration::from_secs(30);

struct Door {
    operations: Vec<Arc<Operation>>,
    plans: Plans,
    upstreams: Upstreams,
    caller: Caller,
}

/// Serves the unchecked door until killed.
pub async fn serve(listen: SocketAddr, content: &str) -> anyhow::Result<()> {
    let all = descriptors::load().map_err(|why| anyhow!("the protos are not sound: {why}"))?;
    let operations: Vec<_> = all.into_iter().filter(|op| RPCS.contains(&op.rpc.full_name())).collect();
    // It guards nothing: nobody behind this door reads what it signs.
    let key = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
    let settings =
        ["gateway", "--inner-key", key, "--content-addr", content, "--mongo-uri", "mongodb://127.0.0.1"];
    let config = gateway::Config::try_parse_from(settings)?;
    let signing = Arc::new(SigningKey::from_seed(&config.common.inner_key)?);
    let minter = Minter::new("gateway", signing, Arc::new(kit::clock::SystemClock));
    let scope = Some(Scope::new("com_bench", Mode::Live));
    let caller = Caller {
        role: Role::RetAdmin,
        actor: Actor::new("user", "usr_bench"),
        ..Caller::internal("unchecked", scope)
    };
    let door = Arc::new(Door {
        plans: Plans::of(operations.iter().map(|op| op.output.clone())),
        upstreams: Upstreams::new(&config, &minter)?,
        operations,
        caller,
    });
    let mut app = Router::new();
    for op in &door.operations {
        let (door, op) = (door.clone(), op.clone());
        let route = op.template.route();
        let method = any(move |request: Request| {
            let (door, op) = (door.clone(), op.clone());
            around(op.template.description(), request, move |request, id| async move {
                door.forward(&op, request, id).await
            })
        });
        app = app.route(&route, method);
    }
    let app = app.layer((CompressionLayer::new(), CatchPanicLayer::new()));
    served(kit::Service::new("unchecked").http(app), listen).await
}

impl Door {
    async fn forward(&self, op: &Operation, request: Request, id: String) -> Result<Response, Problem> {
        let (parts, body) = request.into_parts();
        let body = read(body, op.max_body()).await?;
        let message = bind::request(op, parts.uri.path(), parts.uri.query(), &body)?;
        let wrong = proto::check::violations(&message);
        if wrong.map_or(true, |wrong| !wrong.is_empty()) {
            return Err(Problem::bad_request("invalid", "the request breaks a rule of its fields"));
        }
        let caller = Caller { request_id: id, ..self.caller.clone() };
        let encoded = message.encode_to_vec().into();
        let (bytes, _) = self.upstreams.call(&op.service, &op.grpc, &caller, DEADLINE, encoded).await?;
        let json = self.plans.json(op.output.full_name(), &bytes);
        let json = json.map_err(|_| Problem::new(500, "internal", "the reply cannot be read"))?;
        let mut response = Response::new(Body::from(json));
        let kind = HeaderValue::from_static("application/json");
        response.headers_mut().insert(header::CONTENT_TYPE, kind);
        Ok(response)
    }
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
    kit::telemetry::start("unchecked", "warn", None)?;
    let listener =
        TcpListener::bind(listen).await.with_context(|| format!("failed to listen on {listen}"))?;
    kit::run::serve(service, listener, CancellationToken::new(), DEADLINE).await
}
