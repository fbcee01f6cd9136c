//! The gateway: the one public door. It derives its operations from the protos, finds out who calls and whether they
//! may, and forwards to the services. It holds no business rule and no data but idempotency answers.

pub mod config;
pub mod edge;
pub mod pipeline;
pub mod special;
pub mod upstreams;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use axum::Router;
use axum::extract::{ConnectInfo, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use axum::routing::{MethodRouter, any};
use bus::Bus;
use http::{HeaderName, HeaderValue, Method, header};
use kit::SharedClock;
use kit::caller::{Minter, SigningKey};
use mongodb::Database;
use tower::{Layer as _, Service as _, ServiceBuilder};
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::compression::CompressionLayer;
use tower_http::compression::predicate::{NotForContentType, Predicate, SizeAbove};
use tower_http::cors::{AllowCredentials, AllowOrigin, CorsLayer};

pub use config::Config;
use edge::descriptors::{self, Operation};
use edge::json::Plans;
use edge::problem::Problem;
use edge::versions;
use pipeline::auth::Authenticator;
use pipeline::cache::{self, Shared};
use pipeline::cookies::{self, Csrf};
use pipeline::heard;
use pipeline::idempotency::Idempotency;
use pipeline::rate::{self, Rates};
use special::live::{self, Live};
use special::ui::Ui;
use upstreams::Upstreams;

/// The process's name: in logs, traces and its database.
pub const NAME: &str = "gateway";

/// What every request needs.
pub struct Edge {
    pub config: Config,
    pub clock: SharedClock,
    pub upstreams: Upstreams,
    pub auth: Authenticator,
    pub csrf: Csrf,
    pub rates: Rates,
    pub idempotency: Arc<Idempotency>,
    pub shared: Shared,
    pub live: Live,
    pub plans: Plans,
    pub operations: Vec<Arc<Operation>>,
}

impl Edge {
    pub async fn open(
        config: Config,
        clock: SharedClock,
        db: &Database,
        bus: &Bus,
    ) -> anyhow::Result<Arc<Self>> {
        let operations = descriptors::load().map_err(|why| anyhow!("the protos are not sound: {why}"))?;
        let key = Arc::new(SigningKey::from_seed(&config.common.inner_key)?);
        let uploads = special::upload::Target::ALL.into_iter();
        let uploads = uploads.filter_map(|t| proto::pool().get_message_by_name(t.reply()));
        let messages = operations.iter().map(|op| op.output.clone()).chain(uploads);
        Ok(Arc::new(Self {
            upstreams: Upstreams::new(&config, &Minter::new(NAME, key, clock.clone()))?,
            auth: Authenticator::new(bus.clone()),
            csrf: Csrf::new(&config.common),
            rates: Rates::new(config.rate_scale),
            idempotency: Arc::new(Idempotency::open(db, clock.clone()).await?),
            shared: Shared::default(),
            live: Live::default(),
            plans: Plans::of(messages),
            operations,
            clock,
            config,
        }))
    }

    /// The operation of an rpc, by its full name.
    pub fn operation(&self, rpc: &str) -> Option<&Arc<Operation>> {
        self.operations.iter().find(|op| op.rpc.full_name() == rpc)
    }
}

/// The gateway as it runs.
pub async fn service(config: Config) -> anyhow::Result<kit::Service> {
    build(config, Arc::new(kit::clock::SystemClock)).await
}

/// The gateway with a clock of the caller's.
pub async fn build(config: Config, clock: SharedClock) -> anyhow::Result<kit::Service> {
    let db = store::connect(&config.data, NAME).await?;
    let bus = Bus::open(&config.data).await?;
    let edge = Edge::open(config, clock, &db, &bus).await?;
    let router = router(&edge)?;
    let (quiet, hearing, live, closing) = (edge.clone(), edge.clone(), edge.clone(), edge.clone());
    let (told, answers, erased) = (bus.clone(), edge.idempotency.clone(), bus.clone());
    let service = heard::FAMILIES.into_iter().fold(kit::Service::new(NAME), |service, family| {
        let (edge, bus) = (edge.clone(), bus.clone());
        service.task(family, move |stop| bus.overhear(family, move |heard| edge.auth.hear(&heard), stop))
    });
    Ok(service
        .http(router)
        .task("rates", move |stop| async move {
            while stop.run_until_cancelled(tokio::time::sleep(Duration::from_secs(60))).await.is_some() {
                quiet.rates.forget();
                quiet.live.forget();
            }
            Ok(())
        })
        .task("live", move |stop| told.overhear(live::FAMILY, move |heard| live.live.hear(&heard), stop))
        .task("answers", move |stop| erased.subscribe(NAME, "customer", answers, stop))
        .task("streams", move |stop| async move {
            stop.cancelled().await;
            closing.live.closing.cancel();
            Ok(())
        })
        // Without NATS the door works on: what it keeps is old after seconds.
        .task("caches", move |stop| {
            bus.overhear(cache::FAMILY, move |heard| hearing.shared.forget(&heard.scope), stop)
        })
        .ready("mongodb", move || {
            let db = db.clone();
            async move { store::ready(&db).await }
        }))
}

/// The API description, as `docs/openapi.json` has it.
pub fn openapi_document() -> Result<String, String> {
    let document = edge::openapi::document(&descriptors::load()?);
    serde_json::to_string_pretty(&document).map(|text| text + "\n").map_err(|e| e.to_string())
}

/// Who may call what, as `docs/access.md` has it.
pub fn access_table() -> Result<String, String> {
    descriptors::load().map(|operations| edge::access::table(&operations))
}

fn router(edge: &Arc<Edge>) -> anyhow::Result<Router> {
    // One route per path, whatever its variables are called; the method decides among its operations.
    let mut paths: BTreeMap<String, Vec<Arc<Operation>>> = BTreeMap::new();
    for op in &edge.operations {
        paths.entry(op.template.route()).or_default().push(op.clone());
    }
    let mut app = special::routes(edge);
    for (path, ops) in paths {
        let ops: Arc<[Arc<Operation>]> = ops.into();
        let methods = match special::upload::Target::at(&path) {
            Some(target) => special::upload::beside(edge, ops, target)?,
            None if path == special::hosted::VERIFY => special::hosted::beside(edge, ops),
            None => methods(edge, ops),
        };
        app = app.route(&path, methods);
    }
    let ui = edge.config.ui_dir.as_deref().map(Ui::new).transpose()?;
    let app = app.fallback(move |request: Request| {
        let ui = ui.clone();
        pipeline::around("unknown".to_owned(), request, |request, _| async move {
            match ui {
                Some(ui) => ui.answer(request).await,
                None => Err(Problem::not_found()),
            }
        })
    });
    layered(edge, app)
}

/// All methods of a path the descriptors know.
pub(crate) fn methods(edge: &Arc<Edge>, ops: Arc<[Arc<Operation>]>) -> MethodRouter {
    let edge = edge.clone();
    any(move |request: Request| pipeline::dispatch(edge.clone(), ops.clone(), request))
}

/// One service around every route, as each boxed by itself would cost what a check costs.
pub fn layered(edge: &Arc<Edge>, app: Router) -> anyhow::Result<Router> {
    let worth_it = SizeAbove::new(1024).and(NotForContentType::IMAGES).and(NotForContentType::SSE);
    let outside = Outside { edge: edge.clone(), cors: Arc::new(cors(edge)?) };
    let layers = ServiceBuilder::new()
        .layer(axum::middleware::from_fn_with_state(outside, every))
        .layer(CompressionLayer::new().compress_when(worth_it))
        .layer(CatchPanicLayer::custom(panicked));
    Ok(app.layer(layers))
}

#[derive(Clone)]
struct Outside {
    edge: Arc<Edge>,
    cors: Arc<CorsLayer>,
}

/// What every request and answer passes: whose request it is, when somebody we believe stands in front of us; what was
/// counted, whether a page of another site may read it, what a version that ends says, and the headers of an answer that
/// does not say otherwise.
async fn every(State(outside): State<Outside>, mut request: Request, next: Next) -> Response {
    let Outside { edge, cors } = outside;
    pipeline::address::believe(&mut request, &edge.config.trusted_proxies);
    let version = versions::of(versions::VERSIONS, request.uri().path());
    let from = request.extensions().get::<ConnectInfo<SocketAddr>>().map(|c| c.0.ip());
    let foreign = request.headers().contains_key(header::ORIGIN);
    let counted = rate::counted(&edge.rates, from, async {
        if foreign { cors.layer(next).call(request).await.into_response() } else { next.run(request).await }
    });
    let mut response = counted.await;
    let headers = response.headers_mut();
    if !foreign {
        headers.append(header::VARY, HeaderValue::from_static("origin"));
    }
    if let Some(version) = version {
        version.mark(headers);
    }
    for (name, value) in GUARDS {
        headers.entry(name).or_insert(HeaderValue::from_static(value));
    }
    response
}

const GUARDS: [(HeaderName, &str); 5] = [
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (header::REFERRER_POLICY, "no-referrer"),
    (header::STRICT_TRANSPORT_SECURITY, "max-age=31536000"),
    (header::CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'"),
];

/// Whether a company's own page calls it: what widgets call, and where a customer shows who they are.
fn embedded(path: &str) -> bool {
    path.starts_with("/v1/flow/") || path.starts_with("/v1/hosted/") && path.ends_with("/verify")
}

/// Browsers of the configured origins may call, with their cookies; pages that hold a company's widget may call what
/// widgets call, without; nobody else.
fn cors(edge: &Arc<Edge>) -> anyhow::Result<CorsLayer> {
    let given = edge.config.allowed_origins.iter().filter(|o| !o.is_empty());
    let configured: Vec<HeaderValue> = given
        .map(|o| o.parse().with_context(|| format!("{o} is no origin")))
        .collect::<anyhow::Result<_>>()?;
    let (edge, trusted) = (edge.clone(), configured.clone());
    let known = move |origin: HeaderValue, parts: &http::request::Parts| {
        let (edge, configured) = (edge.clone(), configured.contains(&origin));
        let widget = embedded(parts.uri.path());
        async move {
            configured
                || match origin.to_str() {
                    Ok(origin) if widget => edge.auth.embeds(&edge, origin, None).await,
                    _ => false,
                }
        }
    };
    let sent = ["authorization", "content-type", "idempotency-key", "x-request-id", "traceparent"];
    let sent = sent.into_iter().chain(["if-match", "if-none-match", "last-event-id"]);
    let sent = sent.chain([cookies::SESSION, cookies::CSRF]);
    let sent = sent.chain([pipeline::access::COMPANY, pipeline::access::REASON, pipeline::access::MODE]);
    Ok(CorsLayer::new()
        .allow_origin(AllowOrigin::async_predicate(known))
        .allow_methods([Method::GET, Method::POST, Method::PUT, Method::PATCH, Method::DELETE])
        .allow_headers(sent.map(HeaderName::from_static).collect::<Vec<_>>())
        .expose_headers([
            pipeline::REQUEST_ID,
            header::RETRY_AFTER,
            rate::LIMIT,
            rate::POLICY,
            header::ETAG,
            versions::DEPRECATION,
            versions::SUNSET,
        ])
        .allow_credentials(AllowCredentials::predicate(move |origin, _| trusted.contains(origin)))
        .max_age(Duration::from_secs(600)))
}

/// A panic of ours is one failed request, not a dropped connection. What it said may hold anything, so it stays here.
fn panicked(_: Box<dyn std::any::Any + Send>) -> Response {
    tracing::error!("a handler panicked");
    Problem::new(500, "internal", "something failed on our side").respond("")
}
