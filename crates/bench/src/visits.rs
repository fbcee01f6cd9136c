//! Customers in the cancel flow: (g) link, start and first answer; (s) the start alone, beside a bare read; (s1000) a
//! thousand at once.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use hdrhistogram::Histogram;
use serde_json::{Value, json};
use tokio::sync::Barrier;
use tokio::task::JoinSet;

use crate::cases::{Sides, request};
use crate::load::{self, Connection, Make, Round};

/// How many visits are open at once in (s1000).
pub const ABREAST: usize = 1_000;
/// What a round of starts may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// A customer's browser, and the company's server that sends it to us.
struct Visitor {
    gateway: String,
    connection: Connection,
}

impl Visitor {
    async fn open(gateway: &str) -> Result<Self> {
        Ok(Self { gateway: gateway.to_owned(), connection: Connection::open(gateway).await? })
    }

    async fn post(&mut self, path: &str, token: &str, body: Value) -> Result<Value> {
        let request = request("POST", &self.gateway, path, token, Some(&body));
        let (status, answer) = self.connection.send(request).await?;
        ensure!(status == 200, "{path} was answered {status}: {}", String::from_utf8_lossy(&answer));
        Ok(serde_json::from_slice(&answer)?)
    }

    async fn link(&mut self, key: &str, customer: &str) -> Result<String> {
        let link = self.post("/v1/flow/tokens", key, json!({ "customer": customer })).await?;
        Ok(link["token"].as_str().context("a link without a token")?.to_owned())
    }

    async fn start(&mut self, link: &str) -> Result<Value> {
        self.post("/v1/flow/sessions", "", json!({ "token": link })).await
    }

    async fn answer(&mut self, screen: &Value) -> Result<()> {
        let text = |field: &str| screen[field].as_str().unwrap_or_default();
        let path = format!("/v1/flow/sessions/{}/answers", text("session_id"));
        let answers = json!({ "answers": [{ "question": "reason", "choices": ["too_expensive"] }] });
        self.post(&path, text("session_token"), answers).await.map(drop)
    }
}

/// Takes customers into the flow and through its first page, some at once; each customer is one unit.
pub async fn flows(sides: &Sides, ids: &[String], connections: usize) -> Result<Round> {
    let begun = Instant::now();
    let mut workers = JoinSet::new();
    for worker in 0..connections {
        let mine: Vec<_> = ids.iter().skip(worker).step_by(connections).cloned().collect();
        let (gateway, key) = (sides.gateway.clone(), sides.machine_key.clone());
        workers.spawn(async move {
            let mut visitor = Visitor::open(&gateway).await?;
            let mut latency = Histogram::<u64>::new(3)?;
            for id in mine {
                let sent = Instant::now();
                let link = visitor.link(&key, &id).await?;
                let screen = visitor.start(&link).await?;
                visitor.answer(&screen).await?;
                latency.record(load::micros(sent))?;
            }
            anyhow::Ok(latency)
        });
    }
    load::gathered(workers, begun).await
}

/// Links for so many customers, as the company's server makes them before it sends its customers on.
pub async fn links(sides: &Sides, ids: &[String]) -> Result<Vec<String>> {
    let mut visitor = Visitor::open(&sides.gateway).await?;
    let mut links = Vec::with_capacity(ids.len());
    for id in ids {
        links.push(visitor.link(&sides.machine_key, id).await?);
    }
    Ok(links)
}

/// The n-th start: a link in, the session and its first page out.
pub fn starts(sides: &Sides, links: Vec<String>) -> Make {
    let gateway = sides.gateway.clone();
    Arc::new(move |n| {
        let link = &links[usize::try_from(n).unwrap_or(0) % links.len()];
        request("POST", &gateway, "/v1/flow/sessions", "", Some(&json!({ "token": link })))
    })
}

/// Starts as fast as they are answered.
pub async fn at_full_speed(sides: &Sides, links: Vec<String>, connections: usize) -> Result<Round> {
    let most = u64::try_from(links.len())?;
    load::run(&sides.gateway, connections, PATIENCE, most, 0, starts(sides, links)).await
}

/// Opens a thousand visits, each on a connection of its own, and answers the first page of all when all are open.
pub async fn abreast(sides: &Sides, ids: &[String]) -> Result<Round> {
    ensure!(ids.len() == ABREAST, "{} customers for {ABREAST} visits", ids.len());
    let links = links(sides, ids).await?;
    let begun = Instant::now();
    let all_open = Arc::new(Barrier::new(ABREAST));
    let mut visits = JoinSet::new();
    for link in links {
        let (gateway, all_open) = (sides.gateway.clone(), all_open.clone());
        visits.spawn(async move {
            let mut visitor = Visitor::open(&gateway).await?;
            let mut latency = Histogram::<u64>::new(3)?;
            let screen = visitor.start(&link).await?;
            all_open.wait().await;
            let sent = Instant::now();
            visitor.answer(&screen).await?;
            latency.record(load::micros(sent))?;
            anyhow::Ok(latency)
        });
    }
    // A visit that fails never comes to the barrier: the others must not wait for it for ever.
    tokio::time::timeout(PATIENCE, load::gathered(visits, begun))
        .await
        .context("not all visits were opened")?
}
