//! The listener: HTTP/1.1 and HTTP/2 on one port, with TLS where it is configured, and patience with slow clients only
//! as far as it costs little.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::ConnectInfo;
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt;

use crate::config::Common;
use crate::tls;

/// The most a request's headers may be, HTTP/1.1 and HTTP/2 alike.
const LARGEST_HEAD: usize = 32 * 1024;
/// The most header lines.
const MOST_HEADERS: usize = 100;
/// The most requests at once over one connection.
const MOST_STREAMS: u32 = 250;
/// Who is let in, and how long they may take.
#[derive(Clone)]
pub struct Door {
    /// How long the head of a request may take, from the first byte or from the request before it: a connection that says
    /// nothing is closed.
    pub head: Duration,
    /// How many connections at once; the next waits.
    pub most: usize,
    pub tls: Option<tls::Server>,
}

impl Default for Door {
    fn default() -> Self {
        Self { head: Duration::from_secs(30), most: 10_000, tls: None }
    }
}

impl Door {
    pub fn of(common: &Common) -> anyhow::Result<Self> {
        let tls = tls::Server::open(&common.tls)?;
        Ok(Self { head: Duration::from_secs(common.head_seconds), most: common.most_connections, tls })
    }

    /// Serves until stopped; then takes no new connection and returns when the running requests are answered.
    pub async fn serve(self, listener: TcpListener, app: axum::Router, stop: CancellationToken) {
        let slots = Arc::new(Semaphore::new(self.most));
        let (graceful, connections) = (GracefulShutdown::new(), TaskTracker::new());
        while let Some((stream, peer, slot)) = next(&listener, &slots, &stop).await {
            let guest = Guest { head: self.head, peer, app: app.clone(), watcher: graceful.watcher() };
            let tls = self.tls.as_ref().map(tls::Server::acceptor);
            connections.spawn(async move {
                match tls {
                    Some(tls) => guest.secured(tls, stream).await,
                    None => guest.plain(stream).await,
                }
                drop(slot);
            });
        }
        drop(listener);
        connections.close();
        graceful.shutdown().await;
        connections.wait().await;
    }
}

/// One connection.
struct Guest {
    head: Duration,
    peer: SocketAddr,
    app: axum::Router,
    watcher: Watcher,
}

/// What a client that speaks HTTP/2 at once begins with (RFC 9113, 3.4).
const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

impl Guest {
    async fn secured(self, tls: TlsAcceptor, stream: TcpStream) {
        match tokio::time::timeout(self.head, tls.accept(stream)).await {
            Ok(Ok(stream)) => {
                let http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
                self.serve(stream, http2).await;
            }
            Ok(Err(e)) => tracing::debug!(error = %e, "a TLS handshake failed: {e}"),
            Err(_) => tracing::debug!("a TLS handshake took too long"),
        }
    }

    async fn plain(self, stream: TcpStream) {
        match tokio::time::timeout(self.head, is_http2(&stream)).await {
            Ok(Ok(http2)) => self.serve(stream, http2).await,
            Ok(Err(e)) => tracing::debug!(error = %e, "a connection said nothing: {e}"),
            Err(_) => tracing::debug!("a connection said nothing for too long"),
        }
    }

    async fn serve<S>(self, stream: S, http2: bool)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let Self { head, peer, app, watcher } = self;
        let service = hyper::service::service_fn(move |mut request: http::Request<Incoming>| {
            request.extensions_mut().insert(ConnectInfo(peer));
            app.clone().oneshot(request.map(axum::body::Body::new))
        });
        let stream = TokioIo::new(stream);
        // Watched: when it is time to stop, it answers what it has begun.
        let ended = if http2 {
            watcher.watch(http2_server().serve_connection(stream, service)).await
        } else {
            watcher.watch(http1_server(head).serve_connection(stream, service)).await
        };
        if let Err(e) = ended {
            tracing::debug!(error = %e, "a connection ended early: {e}");
        }
    }
}

fn http1_server(head: Duration) -> http1::Builder {
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(head)
        .max_buf_size(LARGEST_HEAD)
        .max_headers(MOST_HEADERS);
    builder
}

fn http2_server() -> http2::Builder<TokioExecutor> {
    let mut builder = http2::Builder::new(TokioExecutor::new());
    builder
        .timer(TokioTimer::new())
        .keep_alive_interval(Duration::from_secs(20))
        .keep_alive_timeout(Duration::from_secs(10))
        .max_concurrent_streams(MOST_STREAMS)
        .max_header_list_size(u32::try_from(LARGEST_HEAD).unwrap_or(u32::MAX));
    builder
}

/// Looks at the first bytes without taking them.
async fn is_http2(stream: &TcpStream) -> std::io::Result<bool> {
    let mut begun = [0; PREFACE.len()];
    loop {
        let length = stream.peek(&mut begun).await?;
        let same = begun.iter().zip(PREFACE).take(length).all(|(said, preface)| said == preface);
        match length {
            0 => return Err(std::io::ErrorKind::UnexpectedEof.into()),
            _ if !same => return Ok(false),
            length if length == PREFACE.len() => return Ok(true),
            // The rest is on its way; what is there is seen again at once.
            _ => tokio::time::sleep(Duration::from_millis(10)).await,
        }
    }
}

/// The next connection with its place; none when it is time to stop.
async fn next(
    listener: &TcpListener,
    slots: &Arc<Semaphore>,
    stop: &CancellationToken,
) -> Option<(TcpStream, SocketAddr, tokio::sync::OwnedSemaphorePermit)> {
    let accept = async {
        let slot = slots.clone().acquire_owned().await.ok()?;
        loop {
            match listener.accept().await {
                Ok((stream, peer)) => {
                    // An answer is several small writes (head, message, trailers); held back for each other they cost 40 ms.
                    if let Err(e) = stream.set_nodelay(true) {
                        tracing::debug!(error = %e, "a connection answers with delay: {e}");
                    }
                    return Some((stream, peer, slot));
                }
                Err(e) => {
                    // Out of file handles, or a client that was gone at once: neither is a reason to stop listening.
                    tracing::warn!(error = %e, "a connection could not be taken: {e}");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            }
        }
    };
    stop.run_until_cancelled(accept).await.flatten()
}
