//! A gateway that listens, and behind it one server that stands in for all five services: it knows a company's people
//! and keys, answers every other rpc with what the test said, and remembers what it was asked.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::Response;
use bytes::{BufMut, Bytes, BytesMut};
use clap::Parser;
use http_body_util::{BodyExt, StreamBody};
use kit::caller::{Caller, SigningKey, Verifier};
use kit::clock::MovedClock;
use kit::{Clock, ExposeSecret};
use prost::Message;
use proto::google::api::HttpBody;
use proto::{content, identity};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_util::sync::{CancellationToken, DropGuard};

pub const SECRET: &str = "rsk_live_0123456789abcdef0123456789abcdef";
pub const FLOW: &str = "flow-token-of-a-customer";

const SCOPES: [&str; 9] = [
    "events:write",
    "usage:write",
    "customers:read",
    "customers:write",
    "flow:write",
    "content:read",
    "analytics:read",
    "redemptions:write",
    "privacy:write",
];

/// What stands behind the gateway.
#[derive(Clone)]
pub struct Behind {
    /// What an rpc's next calls are answered with: bytes, or a gRPC status.
    pub answers: Arc<Mutex<HashMap<String, Result<Bytes, u16>>>>,
    /// Rpcs that answer several messages.
    pub streams: Arc<Mutex<HashMap<String, Vec<Bytes>>>>,
    /// Rpcs that fail as a service of ours does, with a code and a slug.
    pub faults: Arc<Mutex<HashMap<String, (kit::Code, &'static str)>>>,
    /// Rpcs whose answers are the same for everybody of a company.
    pub shared: Arc<Mutex<Vec<String>>>,
    /// Rpcs called, by whom and with what; those that only find out who calls are not in it.
    pub asked: Arc<Mutex<Vec<(String, Caller, Bytes)>>>,
    /// How often identity and content were asked who somebody is.
    pub resolved: Arc<AtomicU32>,
    pub person: Arc<Mutex<identity::ResolvedSession>>,
    /// The scopes of the one key.
    pub scopes: Arc<Mutex<Vec<String>>>,
    /// Where companies' widgets may be.
    pub origins: Arc<Mutex<HashMap<String, Vec<String>>>>,
    /// Identity answers nothing any more.
    pub deaf: Arc<AtomicBool>,
    /// While this is locked, no rpc ends but those that find out who calls.
    pub held: Arc<tokio::sync::RwLock<()>>,
    /// The metadata of the last rpc.
    pub headers: Arc<Mutex<http::HeaderMap>>,
    signing: Arc<SigningKey>,
    /// What the signing key is made from, for tokens made by hand.
    pub seed: String,
    inner: Arc<SigningKey>,
    clock: MovedClock,
}

pub struct World {
    pub at: String,
    pub http: reqwest::Client,
    pub behind: Behind,
    pub clock: MovedClock,
    config: gateway::Config,
    stop: (CancellationToken, DropGuard),
    // Dropped last: takes the database away.
    pub test: testkit::TestDb,
}

impl World {
    pub async fn new() -> Self {
        Self::with(&[]).await
    }

    /// One that takes browsers from this origin.
    pub async fn browsers(origin: &str) -> Self {
        Self::with(&[format!("--allowed-origins={origin}")]).await
    }

    /// One that counts as it does by default.
    pub async fn counting() -> Self {
        Self::with(&["--rate-scale=1".into()]).await
    }

    pub async fn with(more: &[String]) -> Self {
        let test = testkit::mongo().await;
        let (seed, clock, stop) = (SigningKey::new_seed(), testkit::clock(), CancellationToken::new());
        let person = identity::ResolvedSession {
            session_id: "ses_1".into(),
            user_id: "usr_1".into(),
            role: "ret_admin".into(),
            company_id: "com_1".into(),
            grants: vec!["product_upload_permitted".into(), "publish_live".into()],
            company_status: "active".into(),
            modes: vec!["live".into(), "test".into()],
        };
        let signing = SigningKey::new_seed();
        let behind = Behind {
            answers: Arc::default(),
            streams: Arc::default(),
            faults: Arc::default(),
            shared: Arc::default(),
            asked: Arc::default(),
            resolved: Arc::default(),
            person: Arc::new(Mutex::new(person)),
            origins: Arc::default(),
            deaf: Arc::default(),
            held: Arc::default(),
            headers: Arc::default(),
            scopes: Arc::new(Mutex::new(SCOPES.map(String::from).to_vec())),
            signing: Arc::new(SigningKey::from_seed(&signing).unwrap()),
            seed: signing.expose_secret().to_owned(),
            inner: Arc::new(SigningKey::from_seed(&seed).unwrap()),
            clock: clock.clone(),
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let upstream = format!("http://{}", listener.local_addr().unwrap());
        let app = axum::Router::new().fallback(answer).with_state(behind.clone());
        let end = stop.clone();
        tokio::spawn(async move {
            axum::serve(listener, app).with_graceful_shutdown(end.cancelled_owned()).await
        });

        let mut arguments = vec!["gateway".to_owned()];
        for usual in ["--rate-scale=1000".to_owned(), format!("--nats-url={}", test.data.nats_url)] {
            let name = usual.split('=').next().unwrap();
            if !more.iter().any(|argument| argument.starts_with(name)) {
                arguments.push(usual);
            }
        }
        arguments.push(format!("--inner-key={}", seed.expose_secret()));
        arguments.push(format!("--mongo-uri={}", test.data.mongo_uri));
        arguments.push(format!("--mongo-prefix={}", test.data.mongo_prefix));
        arguments.push(format!("--nats-prefix={}", test.data.nats_prefix));
        for service in ["identity", "billing", "content", "analytics", "notify"] {
            arguments.push(format!("--{service}-addr={upstream}"));
        }
        arguments.extend_from_slice(more);
        let config = gateway::Config::parse_from(arguments);
        let port = listen(config.clone(), &clock, &stop).await;
        let at = format!("http://127.0.0.1:{port}");
        let http = reqwest::Client::new();
        Self { at, http, behind, clock, config, stop: (stop.clone(), stop.drop_guard()), test }
    }

    /// Another gateway with the same data, as after a restart; its port.
    pub async fn another(&self) -> u16 {
        listen(self.config.clone(), &self.clock, &self.stop.0).await
    }

    pub fn request(&self, method: &str, path: &str) -> reqwest::RequestBuilder {
        self.http.request(method.parse().unwrap(), format!("{}{path}", self.at))
    }

    /// As the company's admin.
    pub fn admin(&self, method: &str, path: &str) -> reqwest::RequestBuilder {
        self.request(method, path).bearer_auth(self.token(&json!({})))
    }

    /// The access token of the admin, with claims changed.
    pub fn token(&self, changed: &Value) -> String {
        self.signed("at+jwt", changed)
    }

    pub fn signed(&self, typ: &str, changed: &Value) -> String {
        let now = self.clock.now().as_second();
        let mut claims = json!({
            "iss": "retention-identity", "aud": "gateway", "sub": "usr_1", "sid": "ses_1",
            "iat": now, "nbf": now, "exp": now + 300,
        });
        for (name, value) in changed.as_object().unwrap() {
            claims[name] = value.clone();
        }
        self.behind.signing.sign(typ, &claims).unwrap()
    }

    /// An event of the company, as a service tells it.
    pub async fn tell(&self, kind: &str, subject: &str, data: proto::events::event::Data) {
        let id = kit::id::new("evt");
        let event = proto::events::Event { id: id.clone(), data: Some(data), ..Default::default() };
        let event = kit::Outgoing {
            id,
            kind: kind.into(),
            subject: subject.into(),
            scope: kit::Scope::new("com_1", kit::Mode::Live),
            occurred_at: self.clock.now(),
            body: event.encode_to_vec().into(),
            traceparent: None,
        };
        bus::Bus::connect(&self.test.data).await.unwrap().publish(&[event]).await.unwrap();
    }

    /// What reached the services since the last look.
    pub fn asked(&self) -> Vec<(String, Caller, Bytes)> {
        std::mem::take(&mut self.behind.asked.lock().unwrap())
    }
}

/// Starts a gateway and says on which port.
async fn listen(config: gateway::Config, clock: &MovedClock, stop: &CancellationToken) -> u16 {
    let service = gateway::build(config, Arc::new(clock.clone())).await.unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(kit::run::serve(service, listener, stop.clone(), Duration::from_secs(1)));
    port
}

/// The status, `code` and body of a problem.
pub async fn problem(response: reqwest::Response) -> (u16, String, Value) {
    let status = response.status().as_u16();
    let kind =
        response.headers().get("content-type").map(|v| v.to_str().unwrap().to_owned()).unwrap_or_default();
    let request_id = response.headers()["x-request-id"].to_str().unwrap().to_owned();
    let body: Value = response.json().await.unwrap();
    assert_eq!(kind, "application/problem+json", "{body}");
    assert_eq!(body["request_id"], request_id);
    assert_eq!(body["status"], status);
    (status, body["code"].as_str().unwrap().to_owned(), body)
}

async fn answer(State(behind): State<Behind>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let rpc = parts.uri.path().trim_start_matches('/').replace('/', ".");
    let service = rpc.split('.').nth(1).unwrap().to_owned();
    // A call that is broken off gets no answer and leaves no trace, as in a service.
    let Ok(frames) = body.collect().await else { return status(1) };
    let message = unframed(&frames.to_bytes());
    let bearer = parts.headers["authorization"].to_str().unwrap().trim_start_matches("Bearer ").to_owned();
    let verifier =
        Verifier::new(format!("{service}-svc"), &[behind.inner.public()], Arc::new(behind.clock.clone()));
    let Ok(caller) = verifier.unwrap().verify(&bearer) else { return status(16) };
    if service == "identity" && behind.deaf.load(Ordering::SeqCst) {
        return status(14);
    }
    if let Some(known) = who(&behind, &rpc, &message) {
        behind.resolved.fetch_add(1, Ordering::SeqCst);
        return known.map_or_else(status, framed);
    }
    behind.asked.lock().unwrap().push((rpc.clone(), Caller::clone(&caller), message));
    parts.headers.clone_into(&mut behind.headers.lock().unwrap());
    drop(behind.held.read().await);
    if let Some((code, slug)) = behind.faults.lock().unwrap().get(&rpc) {
        let fault = kit::Fault::new(*code, slug, "no");
        return kit::error::status(&fault).into_http::<Body>();
    }
    if let Some(messages) = behind.streams.lock().unwrap().get(&rpc) {
        return framed_all(messages);
    }
    let said = behind.answers.lock().unwrap().get(&rpc).cloned();
    let mut answer = said.unwrap_or(Ok(Bytes::new())).map_or_else(status, framed);
    if behind.shared.lock().unwrap().contains(&rpc) {
        answer.headers_mut().insert(kit::client::SHARED, http::HeaderValue::from_static("content"));
    }
    answer
}

/// The rpcs the gateway finds out with who somebody is.
fn who(behind: &Behind, rpc: &str, message: &Bytes) -> Option<Result<Bytes, u16>> {
    let x = behind.signing.public();
    let bytes = match rpc {
        "retention.identity.v1.JwksService.GetJwks" => {
            let key =
                json!({ "kty": "OKP", "crv": "Ed25519", "kid": behind.signing.kid(), "x": x, "use": "sig" });
            let data = json!({ "keys": [key] }).to_string().into();
            HttpBody { content_type: "application/json".into(), data, extensions: Vec::new() }.encode_to_vec()
        }
        "retention.identity.v1.DirectoryService.ResolveSession" => {
            let person = behind.person.lock().unwrap().clone();
            let asked = identity::ResolveSessionRequest::decode(message.clone()).unwrap();
            if asked.session_id != person.session_id {
                return Some(Err(5));
            }
            person.encode_to_vec()
        }
        "retention.identity.v1.DirectoryService.ResolveApiKey" => {
            let asked = identity::ResolveApiKeyRequest::decode(message.clone()).unwrap();
            let hash = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, SECRET.as_bytes());
            if asked.hash != hash.as_ref() {
                return Some(Err(5));
            }
            identity::ResolvedKey {
                key_id: "key_1".into(),
                company_id: "com_1".into(),
                mode: "live".into(),
                scopes: behind.scopes.lock().unwrap().clone(),
                expires_at: None,
                company_status: "active".into(),
            }
            .encode_to_vec()
        }
        "retention.identity.v1.DirectoryService.ResolveOrigin" => {
            let asked = identity::ResolveOriginRequest::decode(message.clone()).unwrap();
            let company_ids = behind.origins.lock().unwrap().get(&asked.origin).cloned().unwrap_or_default();
            identity::ResolvedOrigin { company_ids }.encode_to_vec()
        }
        "retention.content.v1.FlowSessionService.ResolveFlowToken" => {
            let asked = content::ResolveFlowTokenRequest::decode(message.clone()).unwrap();
            if asked.token != FLOW {
                return Some(Err(5));
            }
            let session = content::ResolvedFlowToken {
                session_id: "fls_1".into(),
                company_id: "com_1".into(),
                mode: "live".into(),
                expires_at: None,
            };
            session.encode_to_vec()
        }
        _ => return None,
    };
    Some(Ok(bytes.into()))
}

/// All messages of a call, one after the other; of a unary call that is the message.
fn unframed(mut frames: &[u8]) -> Bytes {
    let mut all = BytesMut::new();
    while let Some((head, rest)) = frames.split_first_chunk::<5>() {
        let length = u32::from_be_bytes([head[1], head[2], head[3], head[4]]) as usize;
        all.put_slice(&rest[..length]);
        frames = &rest[length..];
    }
    all.freeze()
}

fn framed(message: Bytes) -> Response {
    framed_all(&[message])
}

fn framed_all(messages: &[Bytes]) -> Response {
    let mut frame = BytesMut::new();
    for message in messages {
        frame.put_u8(0);
        frame.put_u32(u32::try_from(message.len()).unwrap());
        frame.put_slice(message);
    }
    let mut trailers = http::HeaderMap::new();
    trailers.insert("grpc-status", http::HeaderValue::from_static("0"));
    let frames = [http_body::Frame::data(frame.freeze()), http_body::Frame::trailers(trailers)];
    let body = StreamBody::new(futures_util::stream::iter(frames.map(Ok::<_, std::convert::Infallible>)));
    Response::builder().header("content-type", "application/grpc").body(Body::new(body)).unwrap()
}

fn status(code: u16) -> Response {
    let builder = Response::builder().header("content-type", "application/grpc").header("grpc-status", code);
    builder.header("grpc-message", "mongodb://secret@10.0.0.1 said no").body(Body::empty()).unwrap()
}
