//! Long pieces of work: (e) a usage file, (f) a persona refresh.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use bson::{Bson, Document, doc};
use bytes::Bytes;
use futures_util::TryStreamExt;
use http::Request;
use http_body_util::Full;
use mongodb::Database;
use mongodb::options::WriteConcern;
use serde_json::{Value, json};

use crate::cases::{Sides, ask};
use crate::load::Connection;

/// Rows of the file of (e), and the customers of (f).
pub const MANY: usize = 200_000;
/// How many documents the bare peer writes at once.
const CHUNK: usize = 1_000;
/// How long a file or a refresh may take.
const PATIENCE: Duration = Duration::from_secs(300);

fn row(customer: &str, period: usize, n: usize) -> String {
    format!("{customer},2031-{period:02},{n},{},text {n},true,2031-01-01,{}\n", n % 7, n % 3)
}

/// Uploads a file and waits until its rows are imported; seconds.
pub async fn upload(sides: &Sides, ids: &[String], round: usize) -> Result<f64> {
    let mut file = String::from("external_id,period,a,b,c,d,e,f\n");
    for n in 0..MANY {
        file += &row(&ids[n % ids.len()], round * 40 + n / ids.len() + 1, n);
    }
    let boundary = "bench-boundary";
    let mut body = String::with_capacity(file.len() + 1_000);
    for (name, value) in [("dataset", "bench"), ("auto_confirm", "true")] {
        write!(body, "--{boundary}\r\ncontent-disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n")?;
    }
    write!(
        body,
        "--{boundary}\r\ncontent-disposition: form-data; name=\"file\"; filename=\"bench.csv\"\r\ncontent-type: text/csv\r\n\r\n"
    )?;
    body += &file;
    write!(body, "\r\n--{boundary}--\r\n")?;
    let begun = Instant::now();
    let request = Request::post("/v1/usage/uploads")
        .header("host", &sides.gateway)
        .header("authorization", format!("Bearer {}", sides.machine_key))
        .header("content-type", format!("multipart/form-data; boundary={boundary}"))
        .body(Full::new(Bytes::from(body)))?;
    let (status, answer) = Connection::open(&sides.gateway).await?.send(request).await?;
    anyhow::ensure!(status == 200, "the upload was answered {status}: {}", String::from_utf8_lossy(&answer));
    let upload: Value = serde_json::from_slice(&answer)?;
    let path = format!("/v1/usage/uploads/{}", upload["id"].as_str().context("an upload without an id")?);
    loop {
        let now = ask(&sides.gateway, "GET", &path, &sides.machine_key, None).await?;
        match now["state"].as_str().unwrap_or_default() {
            "completed" => return Ok(begun.elapsed().as_secs_f64()),
            "rejected" | "failed" | "canceled" | "awaiting_confirmation" | "completed_with_errors" => {
                bail!("the upload ended otherwise: {now}")
            }
            _ if begun.elapsed() > PATIENCE => bail!("the upload takes too long: {now}"),
            _ => tokio::time::sleep(Duration::from_millis(20)).await,
        }
    }
}

/// The same rows by `insert_many` and nothing else; seconds.
pub async fn insert_rows(db: &Database, ids: &[String], round: usize) -> Result<f64> {
    let options =
        mongodb::options::CollectionOptions::builder().write_concern(WriteConcern::majority()).build();
    let rows = db.collection_with_options::<Document>(&format!("rows_{round}"), options);
    let begun = Instant::now();
    for chunk in (0..MANY).collect::<Vec<_>>().chunks(CHUNK) {
        let documents = chunk.iter().map(|n| {
            let n = *n;
            doc! { "_id": format!("{}/{}", ids[n % ids.len()], n / ids.len()), "a": n as i64, "b": (n % 7) as i64,
                "c": format!("text {n}"), "d": true, "e": "2031-01-01", "f": (n % 3) as i64 }
        });
        rows.insert_many(documents).await?;
    }
    let seconds = begun.elapsed().as_secs_f64();
    rows.drop().await?;
    Ok(seconds)
}

/// Multiplies the loaded customers until there are [`MANY`]: a company of that size is not what is measured.
pub async fn multiply_customers(db: &Database) -> Result<u64> {
    let customers = db.collection::<Document>("customers");
    let loaded = customers.count_documents(doc! {}).await?;
    let times = MANY as u64 / loaded.max(1);
    for n in 1..=times {
        let suffix = format!("-{n}");
        let copy = vec![
            doc! { "$match": { "_id": { "$not": { "$regex": "-[0-9]+$" } } } },
            doc! { "$limit": i64::try_from(loaded.min(MANY as u64 - n * loaded))? },
            doc! { "$set": {
                "_id": { "$concat": ["$_id", &suffix] },
                "body.external_id": { "$concat": ["$body.external_id", &suffix] },
                "body.personas": Bson::Array(Vec::new()),
            } },
            doc! { "$merge": { "into": "customers", "whenMatched": "keepExisting" } },
        ];
        if n * loaded < MANY as u64 {
            customers.aggregate(copy).await?.try_collect::<Vec<_>>().await?;
        }
    }
    Ok(customers.count_documents(doc! {}).await?)
}

/// Waits until analytics has no work left. A file that is imported is followed by the making of facts, an activated
/// persona by a refresh: either would run beside what is measured next and take the peer's time, or ours.
pub async fn quiet(db: &Database) -> Result<()> {
    let jobs = db.collection::<Document>("jobs");
    let begun = Instant::now();
    while jobs.count_documents(doc! { "state": { "$in": ["queued", "leased"] } }).await? > 0 {
        anyhow::ensure!(begun.elapsed() < PATIENCE, "analytics does not come to rest");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    Ok(())
}

/// Has personas counted anew and waits until this very refresh has ended, the last persona's count and all; seconds.
pub async fn refresh(sides: &Sides, admin: &str, db: &Database) -> Result<f64> {
    let ended = db.collection::<Document>("persona_refreshes");
    let begun = Instant::now();
    let job = ask(&sides.gateway, "POST", "/v1/personas/refresh", admin, Some(&json!({}))).await?;
    let id = job["id"].as_str().context("a refresh without an id")?;
    while ended.find_one(doc! { "_id": id }).await?.is_none() {
        anyhow::ensure!(begun.elapsed() < PATIENCE, "the refresh takes too long");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(begun.elapsed().as_secs_f64())
}

/// Six rules as personas of ours, beside what the demo has.
pub async fn personas(sides: &Sides, admin: &str, have: usize) -> Result<()> {
    for n in have..6 {
        let rule = json!({ "fact": { "key": "tenure_months", "op": "gte", "value": n * 7 } });
        let body = json!({ "name": format!("bench {n}"), "rule": rule });
        let made = ask(&sides.gateway, "POST", "/v1/personas", admin, Some(&body)).await?;
        let path =
            format!("/v1/personas/{}/activate", made["id"].as_str().context("a persona without an id")?);
        ask(&sides.gateway, "POST", &path, admin, Some(&json!({}))).await?;
    }
    Ok(())
}

/// Six rules as one aggregation over the same customers; seconds.
pub async fn aggregate(db: &Database) -> Result<f64> {
    let fact = |key: &str| format!("$body.facts.{key}");
    let rules = [
        doc! { "$and": [
            { "$eq": [fact("usage_contract"), "month_to_month"] },
            { "$lte": [fact("tenure_months"), 12] },
            { "$eq": [fact("usage_internet_service"), "fiber_optic"] },
        ] },
        doc! { "$and": [
            { "$gte": [fact("tenure_months"), 24] },
            { "$in": [fact("usage_contract"), ["one_year", "two_year"]] },
        ] },
        doc! { "$gte": [fact("monthly_charges_minor"), 9_000] },
        doc! { "$eq": [fact("usage_internet_service"), "no"] },
        doc! { "$gte": [fact("tenure_months"), 28] },
        doc! { "$gte": [fact("tenure_months"), 35] },
    ];
    let mut group = doc! { "_id": Bson::Null };
    for (n, rule) in rules.into_iter().enumerate() {
        group.insert(format!("p{n}"), doc! { "$sum": { "$cond": [rule, 1, 0] } });
    }
    let begun = Instant::now();
    let found = db.collection::<Document>("customers").aggregate([doc! { "$group": group }]).await?;
    found.try_collect::<Vec<_>>().await?;
    Ok(begun.elapsed().as_secs_f64())
}
