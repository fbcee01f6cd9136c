//! The shell every fake of a billing provider has around its world: where it listens, the clock its world lives by, what it
//! was asked, what goes wrong on demand, and how its events are sent. What is a provider's own stands in the fake.

use std::collections::VecDeque;
use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use kit::clock::MovedClock;
use reqwest::Method;
use serde_json::Value;
use tokio::task::JoinHandle;

/// A fake that runs; it ends when dropped. `W` is what is the provider's own, `F` what can go wrong, `S` a request as it
/// came.
pub struct Shell<W, F, S> {
    pub(crate) shared: Arc<Shared<W, F, S>>,
    url: String,
    server: JoinHandle<()>,
}

/// What the server and whoever holds the fake have in common.
pub struct Shared<W, F, S> {
    pub(crate) clock: MovedClock,
    inner: Mutex<Inner<W, F, S>>,
}

/// All of it, behind one lock.
pub struct Inner<W, F, S> {
    own: W,
    faults: VecDeque<Option<F>>,
    seen: Vec<S>,
    pub(crate) webhooks: Option<String>,
    pub(crate) revoked: bool,
}

impl<W, F, S> Shared<W, F, S> {
    pub(crate) fn lock(&self) -> MutexGuard<'_, Inner<W, F, S>> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<W, F, S> Inner<W, F, S> {
    /// Notes a request, and says what is to go wrong with it.
    pub(crate) fn asked(&mut self, request: S) -> Option<F> {
        self.seen.push(request);
        self.faults.pop_front().flatten()
    }
}

impl<W, F, S> Deref for Inner<W, F, S> {
    type Target = W;

    fn deref(&self) -> &W {
        &self.own
    }
}

impl<W, F, S> DerefMut for Inner<W, F, S> {
    fn deref_mut(&mut self) -> &mut W {
        &mut self.own
    }
}

impl<W, F: Copy, S: Clone> Shell<W, F, S> {
    /// Serves at an address; port 0 is any that is free.
    #[expect(clippy::disallowed_methods, reason = "a fake server has no process to drain with")]
    pub(crate) async fn start(
        address: &str,
        clock: MovedClock,
        own: W,
        app: impl FnOnce(Arc<Shared<W, F, S>>) -> axum::Router,
    ) -> Self {
        let inner = Inner { own, faults: VecDeque::new(), seen: Vec::new(), webhooks: None, revoked: false };
        let shared = Arc::new(Shared { clock, inner: Mutex::new(inner) });
        let listener = tokio::net::TcpListener::bind(address).await.expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("a bound port"));
        let app = app(shared.clone());
        let server = tokio::spawn(async move {
            axum::serve(listener, app).await.ok();
        });
        Self { shared, url, server }
    }

    pub fn url(&self) -> &str {
        &self.url
    }

    /// The fake's clock: move it and what is due happens.
    pub fn clock(&self) -> &MovedClock {
        &self.shared.clock
    }

    /// Lets the next requests go wrong, one after the other.
    pub fn fail_next(&self, faults: &[F]) {
        self.fail_after(0, faults);
    }

    /// Lets some requests pass, and those after them go wrong.
    pub fn fail_after(&self, requests: usize, faults: &[F]) {
        let mut inner = self.shared.lock();
        inner.faults.extend(std::iter::repeat_n(None, requests));
        inner.faults.extend(faults.iter().copied().map(Some));
    }

    /// From now on no key is accepted.
    pub fn revoke_key(&self) {
        self.shared.lock().revoked = true;
    }

    /// Sends every event to this address from now on, with what shows whom it is from.
    pub fn send_webhooks_to(&self, url: &str) {
        self.shared.lock().webhooks = Some(url.to_owned());
    }

    /// Every request so far.
    pub fn seen(&self) -> Vec<S> {
        self.shared.lock().seen.clone()
    }
}

impl<W, F, S> Drop for Shell<W, F, S> {
    fn drop(&mut self) {
        self.server.abort();
    }
}

/// Sends events to an address, one after the other: each up to three times until it is taken, its headers made anew every
/// time.
#[expect(clippy::disallowed_methods, reason = "a fake server has no process to drain with")]
pub(crate) fn send<H>(system: &'static str, url: String, events: Vec<(usize, Value)>, headers: H)
where
    H: Fn(usize, &[u8]) -> Vec<(&'static str, String)> + Send + 'static,
{
    if events.is_empty() {
        return;
    }
    tokio::spawn(async move {
        let settings = connect::http::Settings { private_networks: true, ..Default::default() };
        let http = connect::http::Http::new(settings).expect("a client");
        for (n, event) in events {
            let body = Bytes::from(event.to_string());
            for _ in 0..3 {
                let mut call = http.call(system, "webhook", Method::POST, &url);
                for (name, value) in headers(n, &body) {
                    call = call.header(name, &value);
                }
                let sent = call.body(body.clone(), "application/json; charset=utf-8").once().send().await;
                if sent.is_ok_and(|answer| answer.is_success()) {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    });
}
