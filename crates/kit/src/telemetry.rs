//! Logs, traces and metrics of a process: JSON lines on standard output, OTLP spans when an endpoint is configured,
//! Prometheus text at `/metrics`.

use std::collections::HashMap;
use std::sync::OnceLock;

use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use opentelemetry::propagation::{Extractor, Injector, TextMapPropagator};
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_otlp::WithExportConfig;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::SdkTracerProvider;
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer};

static METRICS: OnceLock<PrometheusHandle> = OnceLock::new();
static TRACES: OnceLock<SdkTracerProvider> = OnceLock::new();

/// Seconds a request may take, as histogram buckets.
const SECONDS: &[f64] = &[0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

/// Starts logs and traces once per process; later calls (several services in one process) change nothing.
pub fn start(service: &str, log: &str, otlp_endpoint: Option<&str>) -> anyhow::Result<()> {
    // Libraries that chatter per frame stay quiet whatever is asked for; so does the one that reads the HTML of mails and
    // would tell every word of them.
    let filter = format!(
        "{log},h2=warn,hyper=warn,hyper_util=warn,tonic=warn,tower=warn,mongodb=warn,async_nats=warn,html5ever=warn"
    );
    let logs = tracing_subscriber::fmt::layer()
        .json()
        .flatten_event(true)
        .with_current_span(true)
        .with_span_list(false)
        .with_filter(EnvFilter::try_new(&filter)?);
    let spans = match otlp_endpoint {
        None => None,
        Some(endpoint) => {
            let exporter =
                opentelemetry_otlp::SpanExporter::builder().with_tonic().with_endpoint(endpoint).build()?;
            let provider = SdkTracerProvider::builder()
                .with_batch_exporter(exporter)
                .with_resource(Resource::builder().with_service_name(service.to_owned()).build())
                .build();
            let tracer = provider.tracer("retention");
            TRACES.set(provider).ok();
            Some(tracing_opentelemetry::layer().with_tracer(tracer).with_filter(EnvFilter::try_new(&filter)?))
        }
    };
    // A second start in one process finds the first one's subscriber and leaves it.
    tracing_subscriber::registry().with(logs).with(spans).try_init().ok();
    Ok(())
}

/// Sends what is still waiting; call it off the async threads.
pub fn flush() {
    if let Some(traces) = TRACES.get()
        && let Err(e) = traces.force_flush()
    {
        tracing::warn!(error = %e, "spans were not exported: {e}");
    }
}

/// The metrics of the process, as Prometheus reads them.
pub fn metrics() -> &'static PrometheusHandle {
    METRICS.get_or_init(|| {
        let builder =
            PrometheusBuilder::new().set_buckets_for_metric(Matcher::Suffix("_seconds".into()), SECONDS);
        match builder.map(PrometheusBuilder::build_recorder) {
            Ok(recorder) => {
                let handle = recorder.handle();
                metrics::set_global_recorder(recorder).ok();
                handle
            }
            // Only an empty bucket list fails, and ours is not.
            Err(_) => PrometheusBuilder::new().build_recorder().handle(),
        }
    })
}

/// Writes the present trace into outgoing headers.
pub fn inject(into: &mut dyn Injector) {
    TraceContextPropagator::new().inject_context(&Span::current().context(), into);
}

/// Makes what the headers say the parent of a span that has not been entered yet.
pub fn adopt(span: &Span, from: &dyn Extractor) {
    // A span nobody records has no parent to set; that is no error.
    span.set_parent(TraceContextPropagator::new().extract(from)).ok();
}

/// The present trace as a W3C `traceparent`, to be stored beside an event.
pub fn traceparent() -> Option<String> {
    let mut carrier = HashMap::new();
    inject(&mut carrier);
    carrier.remove("traceparent")
}

/// Makes a stored `traceparent` the parent of a span that has not been entered yet.
pub fn adopt_traceparent(span: &Span, traceparent: &str) {
    adopt(span, &HashMap::from([(String::from("traceparent"), traceparent.to_owned())]));
}

/// HTTP headers as a carrier of traces.
pub struct Headers<'a>(pub &'a http::HeaderMap);

impl Extractor for Headers<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key).and_then(|v| v.to_str().ok())
    }

    fn keys(&self) -> Vec<&str> {
        self.0.keys().map(http::HeaderName::as_str).collect()
    }
}
