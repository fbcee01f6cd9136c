//! A service, alive: one listener for gRPC, `/healthz`, `/readyz` and `/metrics`; tasks under one token; a drain with
//! a deadline when asked to stop.

use std::future::Future;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http::Request;
use http_body_util::{BodyExt, Limited};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tonic::body::Body;
use tonic_health::pb::health_server::{Health, HealthServer};
use tracing::Instrument;

use crate::config::Common;
use crate::error::{Code, Fault, status};
use crate::listen::Door;
use crate::ready::{self, Readiness};
use crate::service::Service;
use crate::telemetry::{self, Headers};
use crate::tls;

/// The largest message a service reads from another; what is larger is streamed.
pub const MAX_MESSAGE: usize = 8 * 1024 * 1024;

/// Makes aws-lc-rs the one provider of cryptography. Call it first in every process and test.
pub fn crypto() {
    // Both say "already set" the second time, which is what we want.
    rustls::crypto::aws_lc_rs::default_provider().install_default().ok();
    jsonwebtoken::crypto::aws_lc::DEFAULT_PROVIDER.install_default().ok();
}

/// The `main` of a service: settings, then the service, then serving until a signal.
pub fn main<C, F, Fut>(common: fn(&C) -> &Common, build: F) -> ExitCode
where
    C: clap::Parser,
    F: FnOnce(C) -> Fut,
    Fut: Future<Output = anyhow::Result<Service>>,
{
    crypto();
    let outcome = crate::config::load::<C>().and_then(|config| {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        let settings = common(&config).clone();
        runtime.block_on(async move {
            let door = Door::of(&settings)?;
            let client = tls::Client::open(&settings.tls)?;
            if let Some(client) = client.clone() {
                client.install();
            }
            let mut service = build(config).await?;
            service = following(service, door.tls.clone().map(tls::Server::follow), "certificate");
            service = following(service, client.map(tls::Client::follow), "upstream_certificate");
            telemetry::start(service.name, &settings.log, settings.otlp_endpoint.as_deref())?;
            let listener = TcpListener::bind(settings.listen)
                .await
                .with_context(|| format!("failed to listen on {}", settings.listen))?;
            let stop = CancellationToken::new();
            on_signal(stop.clone());
            let drain = Duration::from_secs(settings.drain_seconds);
            let served = serve_at(door, service, listener, stop, drain).await;
            tokio::task::spawn_blocking(telemetry::flush).await.ok();
            served
        })
    });
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("{e:#}");
            ExitCode::FAILURE
        }
    }
}

/// The `main` of a command: runs it to its end.
pub fn once(command: impl Future<Output = anyhow::Result<ExitCode>>) -> ExitCode {
    crypto();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let outcome = runtime.map_err(anyhow::Error::from).and_then(|runtime| runtime.block_on(command));
    outcome.unwrap_or_else(|e| {
        eprintln!("{e:#}");
        ExitCode::FAILURE
    })
}

/// Cancels the token at SIGTERM or SIGINT.
#[expect(clippy::disallowed_methods, reason = "outlives every service of the process")]
pub fn on_signal(stop: CancellationToken) {
    tokio::spawn(async move {
        let term = async {
            match tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()) {
                Ok(mut s) => s.recv().await,
                Err(_) => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = term => {}
            _ = tokio::signal::ctrl_c() => {}
        }
        stop.cancel();
    });
}

/// Adds the following of files, where there are any, to the tasks.
fn following<F>(service: Service, files: Option<F>, name: &'static str) -> Service
where
    F: Future<Output = ()> + Send + 'static,
{
    let Some(files) = files else { return service };
    service.task(name, move |stop| async move {
        stop.run_until_cancelled(files).await;
        Ok(())
    })
}

/// Serves at an ordinary door: see [`serve_at`].
pub async fn serve(
    service: Service,
    listener: TcpListener,
    stop: CancellationToken,
    drain: Duration,
) -> anyhow::Result<()> {
    serve_at(Door::default(), service, listener, stop, drain).await
}

/// Serves until the token is cancelled, then drains: no new connection, the running requests and tasks finish within
/// `drain`.
pub async fn serve_at(
    door: Door,
    service: Service,
    listener: TcpListener,
    stop: CancellationToken,
    drain: Duration,
) -> anyhow::Result<()> {
    let address = listener.local_addr()?;
    let name = service.name;
    let mut tasks = JoinSet::new();
    let Service { routes, rooms, http, tasks: work, ready, verifier, check, descriptors, .. } = service;
    anyhow::ensure!(
        rooms.is_empty() || verifier.is_some(),
        "{name} has rooms and nothing that verifies callers"
    );
    for (task, run) in work {
        let span = tracing::info_span!(parent: None, "task", service = name, task);
        let future = run(stop.clone());
        let stop = stop.clone();
        tasks.spawn(
            async move {
                let outcome = future.await;
                if let Err(e) = &outcome
                    && !stop.is_cancelled()
                {
                    tracing::error!(error = %format!("{e:#}"), "task {task} of {name} failed: {e:#}");
                    stop.cancel();
                }
                outcome
            }
            .instrument(span),
        );
    }
    let gate = Gate { name, verifier, check };
    let readiness = Readiness::new(ready, stop.clone());
    let grpc = if rooms.is_empty() {
        axum::Router::new()
    } else {
        let (reporter, health) = tonic_health::server::health_reporter();
        let following = readiness.clone().follow(reporter, rooms);
        tasks.spawn(async move {
            following.await;
            Ok(())
        });
        grpc_router(routes, health, descriptors, gate)?
    };
    let probes = axum::Router::new()
        .route("/healthz", get(|| async { "ok" }))
        .route("/readyz", get(ready::readyz).with_state(readiness))
        .route("/metrics", get(|| async { telemetry::metrics().render() }));
    telemetry::metrics();
    let app = grpc.merge(probes).merge(http);
    tracing::info!(service = name, listen = %address, "{name} listens on {address}");
    let serving = door.serve(listener, app, stop.clone());
    let rest = async {
        serving.await;
        let mut failed = None;
        while let Some(ended) = tasks.join_next().await {
            if let Ok(Err(e)) = ended {
                failed.get_or_insert(e);
            }
        }
        failed
    };
    let mut rest = std::pin::pin!(rest);
    tokio::select! {
        biased;
        failed = &mut rest => return failed.map_or(Ok(()), Err),
        () = stop.cancelled() => {}
    }
    match tokio::time::timeout(drain, rest).await {
        Ok(None) => tracing::info!(service = name, "{name} drained and stopped"),
        Ok(Some(e)) => return Err(e),
        Err(_) => tracing::warn!(service = name, "{name} stopped with work under way after {drain:?}"),
    }
    Ok(())
}

fn grpc_router(
    mut routes: tonic::service::RoutesBuilder,
    health: HealthServer<impl Health>,
    descriptors: Option<&'static [u8]>,
    gate: Gate,
) -> anyhow::Result<axum::Router> {
    routes.add_service(health);
    if let Some(set) = descriptors {
        let reflection =
            tonic_reflection::server::Builder::configure().register_encoded_file_descriptor_set(set);
        routes.add_service(reflection.build_v1()?);
    }
    let gate = Arc::new(gate);
    let guard = move |request: axum::extract::Request, next: axum::middleware::Next| {
        let gate = gate.clone();
        async move { gate.pass(request, next).await }
    };
    Ok(routes.routes().into_axum_router().layer(axum::middleware::from_fn(guard)))
}

/// What every gRPC call passes before its room: span, caller, validation; and the measure of it afterwards.
struct Gate {
    name: &'static str,
    verifier: Option<crate::caller::Verifier>,
    check: Option<crate::service::Check>,
}

impl Gate {
    async fn pass(&self, mut request: axum::extract::Request, next: axum::middleware::Next) -> Response {
        let path = request.uri().path().to_owned();
        // Probes and reflection carry no caller and tell nothing about companies.
        if path.starts_with("/grpc.") {
            return next.run(request).await;
        }
        let begun = Instant::now();
        let span = tracing::info_span!("grpc", otel.name = %path, otel.kind = "server", service = self.name, rpc = %path,
            request.id = tracing::field::Empty, company.id = tracing::field::Empty);
        telemetry::adopt(&span, &Headers(request.headers()));
        let response = match self.admit(&mut request, &span).await {
            Err(fault) => status(&fault).into_http::<Body>().into_response(),
            Ok(()) => self.forward(&path, request, next).instrument(span.clone()).await,
        };
        let code =
            response.headers().get("grpc-status").and_then(|v| v.to_str().ok()).unwrap_or("0").to_owned();
        metrics::histogram!("grpc_server_handling_seconds", "service" => self.name, "rpc" => path.clone())
            .record(begun.elapsed().as_secs_f64());
        metrics::counter!("grpc_server_handled_total", "service" => self.name, "rpc" => path, "code" => code)
            .increment(1);
        response
    }

    async fn admit(&self, request: &mut axum::extract::Request, span: &tracing::Span) -> Result<(), Fault> {
        let refused = || Fault::new(Code::Unauthenticated, "unauthenticated", "no inner token");
        let verifier = self.verifier.as_ref().ok_or_else(refused)?;
        let header = request.headers().get(http::header::AUTHORIZATION).and_then(|v| v.to_str().ok());
        let token = header.and_then(|h| h.strip_prefix("Bearer ")).ok_or_else(refused)?;
        let mut caller = crate::Caller::clone(&*verifier.verify(token)?);
        let named = request.headers().get(crate::client::REQUEST_ID).and_then(|v| v.to_str().ok());
        caller.request_id = named.filter(|id| id.len() <= 100).unwrap_or_default().to_owned();
        span.record("request.id", caller.request_id.as_str());
        if let Some(scope) = &caller.scope {
            span.record("company.id", scope.company.as_str());
        }
        request.extensions_mut().insert(Arc::new(caller));
        Ok(())
    }

    async fn forward(
        &self,
        path: &str,
        request: axum::extract::Request,
        next: axum::middleware::Next,
    ) -> Response {
        let Some(check) = self.check else { return next.run(request).await };
        if !(check.is_unary)(path) || is_checked(check, request.headers()) {
            return next.run(request).await;
        }
        match checked(check, path, request).await {
            Ok(request) => next.run(request).await,
            Err(refusal) => refusal.into_http::<Body>().into_response(),
        }
    }
}

/// Whether the caller, who is one of us, has applied these very rules: the gateway has, to all that comes from outside.
fn is_checked(check: crate::service::Check, headers: &http::HeaderMap) -> bool {
    headers.get(crate::client::CHECKED).is_some_and(|rules| rules.as_bytes() == (check.rules)().as_bytes())
}

/// Reads the one message of a unary request, checks it and puts it back.
async fn checked(
    check: crate::service::Check,
    path: &str,
    request: axum::extract::Request,
) -> Result<axum::extract::Request, tonic::Status> {
    let (parts, body) = request.into_parts();
    let read = Limited::new(body, MAX_MESSAGE + 5).collect().await;
    let frame = read
        .map_err(|_| status(&Fault::new(Code::TooLarge, "too_large", "the message is too large")))?
        .to_bytes();
    // Five bytes of frame header: compressed?, length. A compressed one is only sent by clients of other makes.
    if frame.first() == Some(&0) && frame.len() >= 5 {
        (check.message)(path, &frame[5..])?;
    }
    Ok(Request::from_parts(parts, axum::body::Body::from(frame)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_looked_at_unless_the_same_rules_were_applied() {
        let check = crate::service::Check { is_unary: |_| true, message: |_, _| Ok(()), rules: || "r1" };
        let said = |rules: &'static str| {
            http::HeaderMap::from_iter([(
                http::HeaderName::from_static(crate::client::CHECKED),
                http::HeaderValue::from_static(rules),
            )])
        };
        assert!(is_checked(check, &said("r1")));
        assert!(!is_checked(check, &said("r2")), "an older gateway may not know a rule");
        assert!(!is_checked(check, &http::HeaderMap::new()));
    }
}
