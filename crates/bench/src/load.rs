//! The load generator: some kept-alive connections, each sending the next request when it has the answer to the last.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use bytes::Bytes;
use hdrhistogram::Histogram;
use http::Request;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::task::JoinSet;

/// Makes the n-th request.
pub type Make = Arc<dyn Fn(u64) -> Request<Full<Bytes>> + Send + Sync>;

/// What a round measured.
pub struct Round {
    pub requests: u64,
    pub seconds: f64,
    /// Microseconds.
    pub latency: Histogram<u64>,
}

/// One connection to `host:port`.
pub struct Connection(SendRequest<Full<Bytes>>);

impl Connection {
    pub async fn open(address: &str) -> Result<Self> {
        let stream =
            TcpStream::connect(address).await.with_context(|| format!("failed to connect to {address}"))?;
        stream.set_nodelay(true)?;
        let (sender, connection) = handshake(TokioIo::new(stream)).await?;
        #[expect(clippy::disallowed_methods, reason = "ends with its connection")]
        tokio::spawn(connection);
        Ok(Self(sender))
    }

    /// Sends and reads the whole answer.
    pub async fn send(&mut self, request: Request<Full<Bytes>>) -> Result<(u16, Bytes)> {
        self.0.ready().await?;
        let answer = self.0.send_request(request).await?;
        let status = answer.status().as_u16();
        Ok((status, answer.into_body().collect().await?.to_bytes()))
    }
}

/// Runs `make` over `connections` connections for a time, or until `most` requests were sent. Every answer must be 2xx.
pub async fn run(
    address: &str,
    connections: usize,
    time: Duration,
    most: u64,
    first: u64,
    make: Make,
) -> Result<Round> {
    let next = Arc::new(AtomicU64::new(first));
    let end = Instant::now() + time;
    let begun = Instant::now();
    let mut workers = JoinSet::new();
    for _ in 0..connections {
        let (address, next, make) = (address.to_owned(), next.clone(), make.clone());
        workers.spawn(async move {
            let mut connection = Connection::open(&address).await?;
            let mut latency = Histogram::<u64>::new(3)?;
            while Instant::now() < end {
                let n = next.fetch_add(1, Ordering::Relaxed);
                if n - first >= most {
                    break;
                }
                let sent = Instant::now();
                let (status, body) = connection.send(make(n)).await?;
                if !(200..300).contains(&status) {
                    bail!("answered {status}: {}", String::from_utf8_lossy(&body));
                }
                latency.record(micros(sent))?;
            }
            Ok(latency)
        });
    }
    gathered(workers, begun).await
}

/// Sends `most` requests at a rate, each due at its own moment: how long an answer took is counted from there, so that
/// one slow answer is not hidden by those that were sent late behind it.
pub async fn paced(address: &str, connections: usize, rate: f64, most: u64, make: Make) -> Result<Round> {
    let next = Arc::new(AtomicU64::new(0));
    let begun = Instant::now();
    let mut workers = JoinSet::new();
    for _ in 0..connections {
        let (address, next, make) = (address.to_owned(), next.clone(), make.clone());
        workers.spawn(async move {
            let mut connection = Connection::open(&address).await?;
            let mut latency = Histogram::<u64>::new(3)?;
            loop {
                let n = next.fetch_add(1, Ordering::Relaxed);
                if n >= most {
                    return Ok(latency);
                }
                #[expect(clippy::cast_precision_loss, reason = "counts far below 2^53")]
                let due = begun + Duration::from_secs_f64(n as f64 / rate);
                tokio::time::sleep_until(due.into()).await;
                let (status, body) = connection.send(make(n)).await?;
                if !(200..300).contains(&status) {
                    bail!("answered {status}: {}", String::from_utf8_lossy(&body));
                }
                latency.record(micros(due))?;
            }
        });
    }
    gathered(workers, begun).await
}

/// How long ago something began.
pub fn micros(begun: Instant) -> u64 {
    u64::try_from(begun.elapsed().as_micros()).unwrap_or(u64::MAX)
}

/// What all workers measured, together.
pub async fn gathered(mut workers: JoinSet<Result<Histogram<u64>>>, begun: Instant) -> Result<Round> {
    let mut all = Histogram::<u64>::new(3)?;
    while let Some(done) = workers.join_next().await {
        all.add(done??)?;
    }
    ensure!(!all.is_empty(), "no request was answered");
    Ok(Round { requests: all.len(), seconds: begun.elapsed().as_secs_f64(), latency: all })
}
