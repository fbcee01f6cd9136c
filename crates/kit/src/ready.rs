//! Whether a service can take work: `/readyz` for those who ask over HTTP, `grpc.health.v1` for those who ask over gRPC,
//! both from the same checks.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use tokio_util::sync::CancellationToken;
use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;

use crate::service::Ready;

/// How long a check may take.
const PATIENCE: Duration = Duration::from_secs(2);
/// How often gRPC health is brought up to date.
const LOOK: Duration = Duration::from_secs(5);

/// What must hold before a service takes work, by name; a service that stops takes none.
#[derive(Clone)]
pub(crate) struct Readiness {
    checks: Arc<Vec<(&'static str, Ready)>>,
    stop: CancellationToken,
}

impl Readiness {
    pub(crate) fn new(checks: Vec<(&'static str, Ready)>, stop: CancellationToken) -> Self {
        Self { checks: Arc::new(checks), stop }
    }

    /// Whether all holds, and a line for each check.
    async fn look(&self) -> (bool, String) {
        if self.stop.is_cancelled() {
            return (false, "stopping\n".into());
        }
        let each = self.checks.iter().map(|(name, check)| async move {
            match tokio::time::timeout(PATIENCE, check()).await {
                Ok(Ok(())) => (true, format!("ok {name}\n")),
                // The cause may name hosts; the log has it.
                Ok(Err(e)) => {
                    tracing::warn!(check = name, error = %format!("{e:#}"), "{name} is not ready: {e:#}");
                    (false, format!("not ready: {name}\n"))
                }
                Err(_) => (false, format!("no answer: {name}\n")),
            }
        });
        let all = futures_util::future::join_all(each).await;
        (all.iter().all(|(ok, _)| *ok), all.into_iter().map(|(_, line)| line).collect())
    }

    /// Keeps gRPC health up to date, of each room and of the whole (the empty name), until the service stops.
    pub(crate) async fn follow(self, reporter: HealthReporter, rooms: Vec<&'static str>) {
        loop {
            let (ready, _) = self.look().await;
            let status = if ready { ServingStatus::Serving } else { ServingStatus::NotServing };
            for room in rooms.iter().copied().chain([""]) {
                reporter.set_service_status(room, status).await;
            }
            if self.stop.is_cancelled() {
                return;
            }
            tokio::select! {
                () = self.stop.cancelled() => {}
                () = tokio::time::sleep(LOOK) => {}
            }
        }
    }
}

pub(crate) async fn readyz(State(readiness): State<Readiness>) -> Response {
    let (ready, lines) = readiness.look().await;
    let code = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (code, lines).into_response()
}
