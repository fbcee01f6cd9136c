//! The HTTP client for everything outside: bounded in time and size, retried where that is safe, stopped by a circuit
//! breaker, and unable to reach our own network or to be redirected anywhere. Secrets and bodies are never logged.

use std::sync::Arc;
use std::time::{Duration, Instant};

use backon::{BackoffBuilder, ExponentialBuilder};
use bytes::{Bytes, BytesMut};
use kit::{ExposeSecret, SecretString};
use opentelemetry_http::HeaderInjector;
use reqwest::Method;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use serde::Serialize;
use tracing::Instrument;
use url::{Host, Url};

pub use crate::answer::{Answer, HttpError};
use crate::breaker::Breakers;
use crate::net;
use crate::pace::Pace;

/// The longest wait a server may ask for and get; beyond it the call ends and its caller decides.
const LONGEST_WAIT: Duration = Duration::from_secs(10);

/// How calls are bounded.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Addresses inside private networks may be called. For local runs and tests; a deployment leaves it off.
    pub private_networks: bool,
    pub connect_timeout: Duration,
    /// One attempt, answer included.
    pub timeout: Duration,
    /// How often a call is sent at most.
    pub attempts: usize,
    /// No attempt begins later than this after the first.
    pub patience: Duration,
    /// The wait after the first failed attempt; it doubles, with jitter.
    pub first_wait: Duration,
    /// The largest answer read, in bytes.
    pub largest_answer: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            private_networks: false,
            connect_timeout: Duration::from_secs(3),
            timeout: Duration::from_secs(10),
            attempts: 4,
            patience: Duration::from_secs(20),
            first_wait: Duration::from_millis(250),
            largest_answer: 16 * 1024 * 1024,
        }
    }
}

/// The client. Clones share connections and circuit breakers.
#[derive(Clone)]
pub struct Http {
    shared: Arc<Shared>,
}

struct Shared {
    client: reqwest::Client,
    settings: Settings,
    breakers: Breakers,
}

impl Http {
    pub fn new(settings: Settings) -> Result<Self, reqwest::Error> {
        let client = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            // A proxy would resolve names in our stead, and not refuse any.
            .no_proxy()
            .connect_timeout(settings.connect_timeout)
            .timeout(settings.timeout)
            .user_agent(concat!("retention-stack/", env!("CARGO_PKG_VERSION")));
        let client = match settings.private_networks {
            true => client,
            false => client.dns_resolver(Arc::new(net::PublicOnly)),
        };
        let shared = Shared { client: client.build()?, settings, breakers: Breakers::default() };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// Begins a call. `system` (`stripe`) and `operation` (`subscription.update`) name it in traces and metrics; the URL
    /// does not appear there, as it may hold ids and tokens.
    pub fn call(&self, system: &'static str, operation: &'static str, method: Method, url: &str) -> Call {
        let safe = matches!(method, Method::GET | Method::HEAD | Method::PUT | Method::DELETE);
        let url = Url::parse(url).map_err(|_| HttpError::Address("not a URL".into()));
        Call {
            http: self.clone(),
            system,
            operation,
            method,
            url,
            headers: HeaderMap::new(),
            body: None,
            repeatable: safe,
            timeout: None,
            judge: worth_repeating,
            pace: None,
        }
    }
}

/// Judges an answer: whether the same call may be sent again.
pub type Judge = fn(u16, &HeaderMap) -> bool;

/// What most servers mean: busy, or broken for the moment.
pub fn worth_repeating(status: u16, _headers: &HeaderMap) -> bool {
    matches!(status, 429 | 500 | 502 | 503 | 504)
}

/// A call in the making.
pub struct Call {
    http: Http,
    system: &'static str,
    operation: &'static str,
    method: Method,
    url: Result<Url, HttpError>,
    headers: HeaderMap,
    body: Option<Bytes>,
    repeatable: bool,
    timeout: Option<Duration>,
    judge: Judge,
    pace: Option<Arc<Pace>>,
}

impl Call {
    /// Adds a header; a value that no header can hold makes the call fail before it is sent.
    pub fn header(mut self, name: &'static str, value: &str) -> Self {
        match HeaderValue::from_str(value) {
            Ok(mut value) => {
                // Whatever we send may be a token; debug output of a header map hides such values.
                value.set_sensitive(true);
                self.headers.insert(HeaderName::from_static(name), value);
            }
            Err(_) => self.url = Err(HttpError::Address(format!("{name} holds what no header can"))),
        }
        self
    }

    pub fn bearer(self, token: &SecretString) -> Self {
        let value = format!("Bearer {}", token.expose_secret());
        self.header("authorization", &value)
    }

    pub fn basic(self, user: &str, password: &SecretString) -> Self {
        use base64::Engine as _;
        let pair = format!("{user}:{}", password.expose_secret());
        let value = format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(pair));
        self.header("authorization", &value)
    }

    /// Adds query parameters.
    pub fn query(mut self, pairs: &[(&str, &str)]) -> Self {
        if let Ok(url) = &mut self.url
            && !pairs.is_empty()
        {
            url.query_pairs_mut().extend_pairs(pairs);
        }
        self
    }

    /// A form as the body.
    pub fn form(mut self, pairs: &[(String, String)]) -> Self {
        let form = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish();
        self.body = Some(form.into());
        self.header("content-type", "application/x-www-form-urlencoded")
    }

    /// JSON as the body.
    pub fn json(mut self, value: &impl Serialize) -> Self {
        match serde_json::to_vec(value) {
            Ok(body) => self.body = Some(body.into()),
            Err(_) => self.url = Err(HttpError::Address("the body cannot be written as JSON".into())),
        }
        self.header("content-type", "application/json")
    }

    /// Bytes as the body.
    pub fn body(mut self, body: Bytes, content_type: &str) -> Self {
        self.body = Some(body);
        self.header("content-type", content_type)
    }

    /// The server does this once per key, so the call may be repeated.
    pub fn idempotency_key(self, key: &str) -> Self {
        self.keyed("idempotency-key", key)
    }

    /// The same with a server that has a header of its own for the key.
    pub fn keyed(self, header: &'static str, key: &str) -> Self {
        Self { repeatable: true, ..self.header(header, key) }
    }

    /// One attempt only, whatever the method.
    pub fn once(self) -> Self {
        Self { repeatable: false, ..self }
    }

    /// Another time limit per attempt than the client's.
    pub fn timeout(self, timeout: Duration) -> Self {
        Self { timeout: Some(timeout), ..self }
    }

    /// Another judgement of what may be repeated.
    pub fn repeat_when(self, judge: Judge) -> Self {
        Self { judge, ..self }
    }

    /// Every attempt waits for a turn of the account, and its answer corrects the pace.
    pub fn paced(self, pace: &Arc<Pace>) -> Self {
        Self { pace: Some(pace.clone()), ..self }
    }

    /// Sends the call, again where that is safe and may help, and reads the answer, whatever its status.
    pub async fn send(self) -> Result<Answer, HttpError> {
        let url = self.url.clone()?;
        let host = self.check(&url)?;
        let settings = &self.http.shared.settings;
        let attempts = if self.repeatable { settings.attempts.max(1) } else { 1 };
        let mut waits = ExponentialBuilder::default()
            .with_jitter()
            .with_min_delay(settings.first_wait)
            .with_max_delay(Duration::from_secs(5))
            .with_max_times(attempts - 1)
            .build();
        let begun = Instant::now();
        loop {
            let outcome = self.attempt(&url, &host).await;
            let (again, asked) = match &outcome {
                Ok(answer) => ((self.judge)(answer.status, &answer.headers), answer.retry_after()),
                Err(e) => (e.is_passing(), None),
            };
            let Some(wait) = waits.next().filter(|_| again) else { return outcome };
            let wait = wait.max(asked.unwrap_or_default());
            if wait > LONGEST_WAIT || begun.elapsed() + wait > settings.patience {
                return outcome;
            }
            tokio::time::sleep(wait).await;
        }
    }

    /// The key of the host's circuit; an address we may not call is refused here or, behind a name, by the resolver.
    fn check(&self, url: &Url) -> Result<String, HttpError> {
        let private = self.http.shared.settings.private_networks;
        let allowed = match url.host() {
            None => false,
            Some(Host::Ipv4(ip)) => private || net::is_public(ip.into()),
            Some(Host::Ipv6(ip)) => private || net::is_public(ip.into()),
            Some(Host::Domain(_)) => true,
        };
        if !allowed || !matches!(url.scheme(), "http" | "https") {
            return Err(HttpError::Address("not an address that may be called".into()));
        }
        let host = url.host_str().unwrap_or_default();
        Ok(format!("{host}:{}", url.port_or_known_default().unwrap_or_default()))
    }

    async fn attempt(&self, url: &Url, host: &str) -> Result<Answer, HttpError> {
        let breakers = &self.http.shared.breakers;
        if !breakers.admits(host, Instant::now()) {
            return Err(HttpError::CircuitOpen);
        }
        if let Some(pace) = &self.pace {
            pace.turn().await?;
        }
        let span = tracing::info_span!(
            "http_out",
            otel.kind = "client",
            otel.name = format!("{} {}", self.system, self.operation),
            http.request.method = %self.method,
            server.address = host,
            http.response.status_code = tracing::field::Empty,
        );
        let start = Instant::now();
        let outcome = self.exchange(url).instrument(span.clone()).await;
        let status = outcome.as_ref().map_or(0, |a| a.status);
        if let (Some(pace), Ok(answer)) = (&self.pace, &outcome) {
            pace.heard(status, &answer.headers);
        }
        span.record("http.response.status_code", status);
        let labels = [("system", self.system.to_owned()), ("status", format!("{}xx", status / 100))];
        metrics::counter!("outgoing_requests_total", &labels).increment(1);
        metrics::histogram!("outgoing_request_seconds", "system" => self.system)
            .record(start.elapsed().as_secs_f64());
        breakers.note(host, status == 0 || status >= 500, Instant::now());
        outcome
    }

    async fn exchange(&self, url: &Url) -> Result<Answer, HttpError> {
        let mut headers = self.headers.clone();
        kit::telemetry::inject(&mut HeaderInjector(&mut headers));
        let mut request = self.http.shared.client.request(self.method.clone(), url.clone()).headers(headers);
        if let Some(timeout) = self.timeout {
            request = request.timeout(timeout);
        }
        if let Some(body) = &self.body {
            request = request.body(body.clone());
        }
        let mut response = request.send().await.map_err(HttpError::of)?;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let largest = self.http.shared.settings.largest_answer;
        let mut body = BytesMut::new();
        while let Some(chunk) = response.chunk().await.map_err(HttpError::of)? {
            if body.len() + chunk.len() > largest {
                return Err(HttpError::TooLarge);
            }
            body.extend_from_slice(&chunk);
        }
        Ok(Answer { status, headers, body: body.freeze() })
    }
}
