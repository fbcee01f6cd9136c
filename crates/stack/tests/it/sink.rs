//! A collector of spans: what OTLP exports of every test of this process comes here.

use std::collections::BTreeSet;
use std::sync::{Mutex, OnceLock, PoisonError, mpsc};

use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{
    TraceService, TraceServiceServer,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::Span;
use tonic::{Request, Response, Status};

static SPANS: Mutex<Vec<Span>> = Mutex::new(Vec::new());
static STARTED: OnceLock<String> = OnceLock::new();

struct Sink;

#[tonic::async_trait]
impl TraceService for Sink {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        let resources = request.into_inner().resource_spans.into_iter();
        let spans = resources.flat_map(|r| r.scope_spans).flat_map(|s| s.spans);
        SPANS.lock().unwrap_or_else(PoisonError::into_inner).extend(spans);
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

/// Starts the collector, and telemetry that exports to it, once per process: both outlive the test that comes first.
pub fn start() {
    STARTED.get_or_init(|| {
        let (tell, started) = mpsc::channel();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async move {
                let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
                let address = format!("http://{}", listener.local_addr().unwrap());
                kit::telemetry::start("stack", "info", Some(&address)).unwrap();
                tell.send(address).unwrap();
                let incoming = tonic::transport::server::TcpIncoming::from(listener);
                let server = tonic::transport::Server::builder().add_service(TraceServiceServer::new(Sink));
                server.serve_with_incoming(incoming).await.unwrap();
            });
        });
        started.recv().unwrap()
    });
}

/// Where the collector listens.
pub fn address() -> String {
    start();
    STARTED.get().unwrap().clone()
}

/// Every span that came, in full.
pub fn everything() -> Vec<String> {
    SPANS.lock().unwrap_or_else(PoisonError::into_inner).iter().map(|span| format!("{span:?}")).collect()
}

/// The processes with spans in a trace, so far: the gateway by its route, the others by the name they give.
pub async fn services_of(trace: &[u8]) -> BTreeSet<String> {
    tokio::task::spawn_blocking(kit::telemetry::flush).await.unwrap();
    let spans = SPANS.lock().unwrap_or_else(PoisonError::into_inner);
    let of_trace = spans.iter().filter(|s| s.trace_id == trace);
    of_trace
        .filter_map(|s| named(s, "service").or(named(s, "http.route").map(|_| "gateway".into())))
        .collect()
}

fn named(span: &Span, key: &str) -> Option<String> {
    let found = span.attributes.iter().find(|a| a.key == key)?;
    match found.value.as_ref()?.value.as_ref()? {
        Value::StringValue(text) => Some(text.clone()),
        _ => None,
    }
}
