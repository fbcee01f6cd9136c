//! What billing does in bulk: (i) webhooks that wait for a provider that is away, (k) a back-fill and (j) the same again
//! with everything changed.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use bson::{Document, doc};
use futures_util::{StreamExt, TryStreamExt, stream};
use hdrhistogram::Histogram;
use mongodb::options::{IndexOptions, WriteConcern};
use mongodb::{Collection, Database, IndexModel};
use serde_json::{Value, json};

use crate::cases::{Sides, ask, request, webhook};
use crate::load::{self, Connection};

/// Subscriptions of (j) and (k).
pub const MANY: usize = 100_000;
/// Whose events come in (i).
const FEW: u64 = 1_000;
/// How many of them come in a second of it.
const A_SECOND: u64 = 300;
const AWAY: Duration = Duration::from_secs(60);
const PATIENCE: Duration = Duration::from_secs(600);

/// What (i) came to.
pub struct Backlog {
    pub accepted: usize,
    /// Seconds from the provider's return until nothing waited any more.
    pub caught_up: f64,
    /// Of the webhooks that came while it was away.
    pub latency: Histogram<u64>,
}

/// How the peer's little Stripe is to be.
async fn tell(bare: &str, how: &str) -> Result<()> {
    let mut connection = Connection::open(bare).await?;
    let (status, _) = connection.send(request("POST", bare, &format!("/little?{how}"), "", None)).await?;
    ensure!(status == 200, "the peer answered {status}");
    Ok(())
}

/// Webhooks for a minute in which the provider is away; then everything is to be worked off, and nothing to be missing.
pub async fn backlog(sides: &Sides, admin: &str, ledger: &Database, connections: usize) -> Result<Backlog> {
    tell(&sides.bare, &format!("many={FEW}&epoch=0")).await?;
    sync(sides, admin).await?;
    tell(&sides.bare, "away=true").await?;
    let events: Collection<Document> = ledger.collection("inbound_events");
    let ours = doc! { "body.name": "customer.subscription.updated" };
    let before = events.count_documents(ours.clone()).await?;
    let (begun, mut latency, mut accepted, mut first) = (Instant::now(), Histogram::<u64>::new(3)?, 0, 0);
    while begun.elapsed() < AWAY {
        let second = Instant::now();
        let make = webhook(&sides.gateway, &sides.door(), &sides.stripe_secret, Some(FEW));
        let time = Duration::from_secs(1);
        let round = load::run(&sides.gateway, connections, time, A_SECOND, first, make).await?;
        accepted += round.requests;
        first += 1_000;
        latency.add(round.latency)?;
        tokio::time::sleep(time.saturating_sub(second.elapsed())).await;
    }
    tell(&sides.bare, "away=false").await?;
    let back = Instant::now();
    let done = doc! { "body.name": "customer.subscription.updated", "body.state": "processed" };
    loop {
        let worked = events.count_documents(done.clone()).await?.saturating_sub(before);
        if worked >= accepted {
            break;
        }
        ensure!(back.elapsed() < PATIENCE, "{worked} of {accepted} webhooks were worked on");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let kept = events.count_documents(ours).await? - before;
    ensure!(kept == accepted, "{accepted} webhooks were accepted, {kept} kept");
    let caught_up = back.elapsed().as_secs_f64();
    tell(&sides.bare, "many=0").await?;
    Ok(Backlog { accepted: usize::try_from(accepted)?, caught_up, latency })
}

/// Everybody is there and nothing runs.
pub async fn ready(sides: &Sides, admin: &str) -> Result<()> {
    tell(&sides.bare, &format!("many={MANY}&epoch=1")).await?;
    until_done(sides, admin).await.map(drop)
}

/// From now on the account is empty again.
pub async fn none_left(sides: &Sides) -> Result<()> {
    tell(&sides.bare, "many=0").await
}

/// A whole pass; seconds.
pub async fn sync(sides: &Sides, admin: &str) -> Result<f64> {
    let begun = Instant::now();
    ask(&sides.gateway, "POST", "/v1/billing/stripe/sync", admin, Some(&json!({}))).await?;
    let sync = until_done(sides, admin).await?;
    println!("  read {} customers and {} subscriptions", sync["customers"], sync["subscriptions"]);
    Ok(begun.elapsed().as_secs_f64())
}

async fn until_done(sides: &Sides, admin: &str) -> Result<Value> {
    let begun = Instant::now();
    loop {
        let connection = ask(&sides.gateway, "GET", "/v1/billing/stripe", admin, None).await?;
        let sync = connection["sync"].clone();
        if sync.is_null() || sync["state"] != "running" {
            ensure!(sync.is_null() || sync["state"] == "done", "the pass ended badly: {sync}");
            return Ok(sync);
        }
        ensure!(begun.elapsed() < PATIENCE, "the pass takes too long: {sync}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// The peer's way: the same pages read and parsed, new rows inserted a page at a time, changed ones each by a
/// conditional update, sixteen at once; seconds.
pub async fn bare(host: &str, db: &Database, new: bool) -> Result<f64> {
    let begun = Instant::now();
    let majority = WriteConcern::majority();
    let options = mongodb::options::CollectionOptions::builder().write_concern(majority).build();
    for list in ["customers", "subscriptions"] {
        let rows: Collection<Document> =
            db.collection_with_options(&format!("stripe_{list}"), options.clone());
        let unique = IndexOptions::builder().unique(true).build();
        let index = IndexModel::builder().keys(doc! { "external_id": 1 }).options(unique).build();
        rows.create_index(index).await?;
        let (mut connection, mut after) = (Connection::open(host).await?, String::new());
        loop {
            let path = format!("/v1/{list}?limit=100{after}");
            let (status, answer) = connection.send(request("GET", host, &path, "", None)).await?;
            ensure!(status == 200, "{path} was answered {status}");
            let page: Value = serde_json::from_slice(&answer)?;
            let data = page["data"].as_array().context("a page without data")?;
            let found: Vec<_> = data.iter().filter_map(row).collect();
            if new {
                rows.insert_many(found).ordered(false).await?;
            } else if list == "subscriptions" {
                let update = |(row, rows): (Document, Collection<Document>)| async move {
                    let (id, version) = (row.get_str("external_id")?, row.get_i64("version")?);
                    let guard = doc! { "external_id": id, "version": { "$lt": version } };
                    let done = rows.update_one(guard, doc! { "$set": &row }).await?;
                    ensure!(done.matched_count == 1, "{id} was not updated");
                    Ok(())
                };
                let all = stream::iter(found.into_iter().map(|row| (row, rows.clone()))).map(update);
                all.buffer_unordered(16).try_collect::<Vec<()>>().await?;
            }
            match data.last().and_then(|last| last["id"].as_str()) {
                Some(last) if page["has_more"] == true => after = format!("&starting_after={last}"),
                _ => break,
            }
        }
    }
    Ok(begun.elapsed().as_secs_f64())
}

/// What the peer keeps of an object.
fn row(object: &Value) -> Option<Document> {
    let id = object["id"].as_str()?;
    let Some(item) = object["items"]["data"].get(0) else {
        return Some(
            doc! { "external_id": id, "email": object["email"].as_str()?, "name": object["name"].as_str()? },
        );
    };
    let end = item["current_period_end"].as_i64()?;
    Some(doc! {
        "external_id": id,
        "customer": object["customer"].as_str()?,
        "status": object["status"].as_str()?,
        "price": item["price"]["id"].as_str()?,
        "amount": item["price"]["unit_amount"].as_i64()?,
        "period_end": end,
        "version": end,
    })
}
