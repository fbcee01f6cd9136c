//! (r) Ten thousand people are signed in and at work while a thousand sessions a minute are revoked. None that was
//! revoked gets through a second later, and nobody else is sent away.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use bson::{Document, doc};
use hdrhistogram::Histogram;
use mongodb::Database;
use serde_json::{Value, json};
use tokio::sync::Mutex;
use tokio::task::JoinSet;

use crate::cases::request;
use crate::load::{Connection, Round};

const SESSIONS: usize = 10_000;
const REVOKED: usize = 1_000;
const TIME: Duration = Duration::from_secs(60);
/// What every replica promises.
const WITHIN: Duration = Duration::from_secs(1);
/// The cheapest thing that a person may read.
const PATH: &str = "/v1/notifications/preferences";

/// A signed-in person's browser.
struct Browser {
    session: String,
    token: String,
}

/// When each session's revocation was asked for, and when it was answered.
type Revoked = Mutex<HashMap<usize, (Instant, Option<Instant>)>>;

/// Signs them in, lets them work and revokes; what their requests measured.
pub async fn run(gateway: &str, admin: &str, identity: &Database, connections: usize) -> Result<Round> {
    let browsers = Arc::new(sign_in(gateway, identity, connections).await?);
    let revoked = Arc::new(Revoked::default());
    let (next, begun) = (Arc::new(AtomicU64::new(0)), Instant::now());
    let mut workers = JoinSet::new();
    for _ in 0..connections {
        let (browsers, revoked, next) = (browsers.clone(), revoked.clone(), next.clone());
        let gateway = gateway.to_owned();
        workers.spawn(async move {
            let mut connection = Connection::open(&gateway).await?;
            let mut latency = Histogram::<u64>::new(3)?;
            while begun.elapsed() < TIME {
                let n = usize::try_from(next.fetch_add(1, Ordering::Relaxed))? % SESSIONS;
                let sent = Instant::now();
                let status = look(&mut connection, &gateway, &browsers[n]).await?;
                latency.record(u64::try_from(sent.elapsed().as_micros())?)?;
                judge(n, status, sent, revoked.lock().await.get(&n))?;
            }
            anyhow::Ok(latency)
        });
    }
    revoke(gateway, admin, &browsers, &revoked, begun).await?;
    let mut all = Histogram::<u64>::new(3)?;
    while let Some(done) = workers.join_next().await {
        all.add(done??)?;
    }
    let round = Round { requests: all.len(), seconds: begun.elapsed().as_secs_f64(), latency: all };
    tokio::time::sleep(WITHIN).await;
    let mut connection = Connection::open(gateway).await?;
    let mut refused = 0;
    for (n, browser) in browsers.iter().enumerate() {
        let sent = Instant::now();
        let status = look(&mut connection, gateway, browser).await?;
        judge(n, status, sent, revoked.lock().await.get(&n))?;
        refused += usize::from(status == 401);
    }
    ensure!(refused == REVOKED, "{refused} of {SESSIONS} are out, and {REVOKED} were revoked");
    println!("  {SESSIONS} sessions at work, {REVOKED} revoked within {TIME:?}: exactly those are out");
    Ok(round)
}

async fn look(connection: &mut Connection, gateway: &str, browser: &Browser) -> Result<u16> {
    Ok(connection.send(request("GET", gateway, PATH, &browser.token, None)).await?.0)
}

fn judge(n: usize, status: u16, sent: Instant, revoked: Option<&(Instant, Option<Instant>)>) -> Result<()> {
    match (status, revoked) {
        (200, Some((_, Some(done)))) => {
            let late = sent.saturating_duration_since(*done);
            ensure!(late < WITHIN, "session {n} got through {late:?} after it was revoked");
        }
        (200, _) | (401, Some(_)) => {}
        _ => anyhow::bail!("session {n} was answered {status}"),
    }
    Ok(())
}

/// Revokes every tenth session, evenly over the time.
async fn revoke(
    gateway: &str,
    admin: &str,
    browsers: &[Browser],
    revoked: &Revoked,
    begun: Instant,
) -> Result<()> {
    let mut connection = Connection::open(gateway).await?;
    let mut due = tokio::time::interval(TIME / u32::try_from(REVOKED + REVOKED / 20)?);
    for (n, browser) in browsers.iter().enumerate().step_by(SESSIONS / REVOKED) {
        due.tick().await;
        revoked.lock().await.insert(n, (Instant::now(), None));
        let path = format!("/v1/sessions/{}", browser.session);
        let (status, said) = connection.send(request("DELETE", gateway, &path, admin, None)).await?;
        ensure!(status < 300, "revoking was answered {status}: {}", String::from_utf8_lossy(&said));
        if let Some((_, done)) = revoked.lock().await.get_mut(&n) {
            *done = Some(Instant::now());
        }
    }
    ensure!(begun.elapsed() < TIME, "{REVOKED} revocations took {:?}", begun.elapsed());
    Ok(())
}

/// Copies the newest session and lets each copy refresh itself: ten thousand mailed codes would measure the mail.
async fn sign_in(gateway: &str, identity: &Database, connections: usize) -> Result<Vec<Browser>> {
    let sessions = identity.collection::<Document>("sessions");
    let newest = sessions.find_one(doc! { "body.state": "active" }).sort(doc! { "_id": -1 }).await?;
    let newest = newest.context("nobody is signed in")?;
    let token = |n: usize| format!("bench-{}-{n}", std::process::id());
    let copies = (0..SESSIONS).map(|n| {
        let mut copy = newest.clone();
        copy.insert("_id", format!("ses_{:032x}", uuid::Uuid::now_v7().as_u128()));
        let hash = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, token(n).as_bytes());
        if let Ok(body) = copy.get_document_mut("body") {
            body.insert("current", hex::encode(hash));
            body.insert("used", bson::Bson::Array(Vec::new()));
            body.insert("previous", bson::Bson::Null);
            body.insert("successor", bson::Bson::Null);
        }
        copy
    });
    sessions.insert_many(copies.collect::<Vec<_>>()).await?;
    let next = Arc::new(AtomicU64::new(0));
    let mut workers = JoinSet::new();
    for _ in 0..connections {
        let (gateway, next) = (gateway.to_owned(), next.clone());
        workers.spawn(async move {
            let mut connection = Connection::open(&gateway).await?;
            let mut mine = Vec::new();
            loop {
                let n = usize::try_from(next.fetch_add(1, Ordering::Relaxed))?;
                if n >= SESSIONS {
                    return anyhow::Ok(mine);
                }
                let body = json!({ "refresh_token": token(n) });
                let asked = request("POST", &gateway, "/v1/sessions/refresh", "", Some(&body));
                let (status, said) = connection.send(asked).await?;
                ensure!(status == 200, "a refresh was answered {status}: {}", String::from_utf8_lossy(&said));
                let grant: Value = serde_json::from_slice(&said)?;
                let text = |v: &Value| v.as_str().map(str::to_owned).context("a grant without its parts");
                mine.push(Browser {
                    session: text(&grant["session_id"])?,
                    token: text(&grant["access_token"])?,
                });
            }
        });
    }
    let mut all = Vec::with_capacity(SESSIONS);
    while let Some(done) = workers.join_next().await {
        all.extend(done??);
    }
    Ok(all)
}
