//! A service, assembled: its rooms (gRPC), its background tasks, what it needs to be ready. `run.rs` makes it live.

use std::convert::Infallible;
use std::future::Future;
use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use http::Request;
use tokio_util::sync::CancellationToken;
use tonic::body::Body;
use tonic::server::NamedService;
use tonic::service::RoutesBuilder;
use tower::Service as Tower;

use crate::caller::Verifier;

/// Checks messages before a room sees them, by the rpc's path (`/pkg.Service/Method`).
#[derive(Clone, Copy)]
pub struct Check {
    /// Whether the rpc takes exactly one message; a stream of them is checked by its room.
    pub is_unary: fn(&str) -> bool,
    /// Refuses an encoded message that breaks a rule of its fields.
    pub message: fn(&str, &[u8]) -> Result<(), tonic::Status>,
    /// Names the rules as this process has them.
    pub rules: fn() -> &'static str,
}

pub(crate) type Task = Box<dyn FnOnce(CancellationToken) -> BoxFuture<'static, anyhow::Result<()>> + Send>;
pub(crate) type Ready = Arc<dyn Fn() -> BoxFuture<'static, anyhow::Result<()>> + Send + Sync>;

/// Rooms, tasks and readiness of one service.
pub struct Service {
    pub(crate) name: &'static str,
    pub(crate) routes: RoutesBuilder,
    pub(crate) rooms: Vec<&'static str>,
    pub(crate) http: axum::Router,
    pub(crate) tasks: Vec<(String, Task)>,
    pub(crate) ready: Vec<(&'static str, Ready)>,
    pub(crate) verifier: Option<Verifier>,
    pub(crate) check: Option<Check>,
    pub(crate) descriptors: Option<&'static [u8]>,
}

impl Service {
    pub fn new(name: &'static str) -> Self {
        Self {
            name,
            routes: RoutesBuilder::default(),
            rooms: Vec::new(),
            http: axum::Router::new(),
            tasks: Vec::new(),
            ready: Vec::new(),
            verifier: None,
            check: None,
            descriptors: None,
        }
    }

    /// Every call must carry an inner token this accepts; a service with rooms and without it does not start.
    pub fn verified_by(mut self, verifier: Verifier) -> Self {
        self.verifier = Some(verifier);
        self
    }

    /// Every unary message passes this first.
    pub fn checked_by(mut self, check: Check) -> Self {
        self.check = Some(check);
        self
    }

    /// The descriptor set that gRPC reflection answers from.
    pub fn described_by(mut self, descriptors: &'static [u8]) -> Self {
        self.descriptors = Some(descriptors);
        self
    }

    /// Adds one gRPC service.
    pub fn room<S>(mut self, room: S) -> Self
    where
        S: Tower<Request<Body>, Error = Infallible> + NamedService + Clone + Send + Sync + 'static,
        S::Response: axum::response::IntoResponse,
        S::Future: Send + 'static,
    {
        self.routes.add_service(room);
        self.rooms.push(S::NAME);
        self
    }

    /// Adds plain HTTP routes beside the probes; the gateway is one whole such router.
    pub fn http(mut self, router: axum::Router) -> Self {
        self.http = self.http.merge(router);
        self
    }

    /// Adds work that runs until the token is cancelled. One that ends early with an error is started again by nobody:
    /// the process stops, so that its supervisor sees it. Loops handle their own errors.
    pub fn task<F, Fut>(mut self, name: impl Into<String>, task: F) -> Self
    where
        F: FnOnce(CancellationToken) -> Fut + Send + 'static,
        Fut: Future<Output = anyhow::Result<()>> + Send + 'static,
    {
        self.tasks.push((name.into(), Box::new(move |stop| task(stop).boxed())));
        self
    }

    /// Adds a condition of `/readyz`.
    pub fn ready<F, Fut>(mut self, name: &'static str, check: F) -> Self
    where
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output = anyhow::Result<()>> + Send + 'static,
    {
        self.ready.push((name, Arc::new(move || check().boxed())));
        self
    }
}
