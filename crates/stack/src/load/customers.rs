//! Customers with their subscriptions, and what they use: into the simulated provider, from there into the mirror, and
//! from a file into the facts that personas read.

use std::collections::HashSet;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use futures_util::StreamExt;
use kit::SharedClock;
use serde_json::{Value, json};

use super::api::{Api, number, text};
use super::progress::{Stands, Step, follow};
use super::rows::Row;

/// The most customers one call of the simulated provider's door takes.
const BATCH: usize = 1_000;
/// How long something may stand still before it is given up.
const PATIENCE: Duration = Duration::from_secs(60);

/// Puts customers and subscriptions into the simulated provider, connects it, and waits until they are mirrored.
pub async fn subscriptions(admin: &Api, machine: &Api, rows: &[Row]) -> Result<()> {
    let mut step = Step::begin("subscriptions at the provider");
    for (at, batch) in rows.chunks(BATCH).enumerate() {
        let answer = machine.post("/v1/billing/simulated/fixtures", json!({ "rows": batch })).await?;
        if let Some(errors) = answer.get("errors").and_then(Value::as_array).filter(|e| !e.is_empty()) {
            bail!("the provider refused {} rows, the first of them: {}", errors.len(), errors[0]);
        }
        step.at(&format!("{} of {}", at * BATCH + batch.len(), rows.len()));
    }
    step.end(&rows.len().to_string());

    let mut step = Step::begin("subscriptions mirrored");
    admin.put("/v1/billing/simulated", json!({ "account_name": "Simulated billing" })).await?;
    admin.post("/v1/billing/simulated/sync", json!({})).await?;
    let connection = follow(admin, ("GET", "/v1/billing/simulated", None), PATIENCE, &mut step, |c| match c
        .pointer("/sync/state")
        .and_then(Value::as_str)
    {
        Some("done") => Stands::Done,
        Some("failed") => Stands::Failed,
        _ => Stands::At(format!("{} of {}", number(c, "/sync/subscriptions"), rows.len())),
    })
    .await?;
    let (mirrored, rejected) =
        (number(&connection, "/sync/subscriptions"), number(&connection, "/sync/rejected"));
    if rejected > 0 || mirrored < rows.len() as u64 {
        bail!("{mirrored} of {} subscriptions were mirrored, {rejected} rejected", rows.len());
    }
    step.end(&mirrored.to_string());
    Ok(())
}

/// Waits until analytics has heard of the customers, then uploads the usage file and waits until it is imported.
pub async fn usage(admin: &Api, machine: &Api, customers: usize, file: Vec<u8>) -> Result<()> {
    let mut step = Step::begin("customers known to the personas");
    let everybody = json!({ "rule": { "fact": { "key": "plan", "op": "exists", "value": true } } });
    let ask = ("POST", "/v1/personas/preview", Some(everybody));
    follow(admin, ask, PATIENCE, &mut step, |preview| match number(preview, "/size") {
        all if all >= customers as u64 => Stands::Done,
        some => Stands::At(format!("{some} of {customers}")),
    })
    .await?;
    step.end(&customers.to_string());

    let mut step = Step::begin("usage rows imported");
    let fields = [("dataset", "subscription_usage"), ("auto_confirm", "true")];
    let (fact, customers) = first_fact(&file).await?;
    let uploaded = machine.upload("/v1/usage/uploads", &fields, "usage.csv", file).await?;
    let path = format!("/v1/usage/uploads/{}", text(&uploaded, "/id")?);
    let upload = follow(admin, ("GET", &path, None), PATIENCE, &mut step, |upload| {
        match upload.get("state").and_then(Value::as_str).unwrap_or_default() {
            "completed" => Stands::Done,
            "completed_with_errors" | "failed" | "rejected" | "canceled" | "awaiting_confirmation" => {
                Stands::Failed
            }
            state => Stands::At(format!("{} ({state})", number(upload, "/imported"))),
        }
    })
    .await?;
    step.end(&number(&upload, "/imported").to_string());

    // The facts are worked out from the rows after the import; personas of before would be too small.
    let mut step = Step::begin("customers with facts from usage");
    let strangers = number(&upload, "/rows").saturating_sub(number(&upload, "/matched"));
    let expected = (customers.len() as u64).saturating_sub(strangers);
    let told = json!({ "rule": { "fact": { "key": fact, "op": "exists", "value": true } } });
    let ask = ("POST", "/v1/personas/preview", Some(told));
    follow(admin, ask, PATIENCE, &mut step, |preview| match number(preview, "/size") {
        all if all >= expected => Stands::Done,
        some => Stands::At(format!("{some} of {expected}")),
    })
    .await?;
    step.end(&expected.to_string());
    Ok(())
}

/// The first fact of a usage file, and the customers it says it of.
async fn first_fact(file: &[u8]) -> Result<(String, HashSet<String>)> {
    let mut reader = csv_async::AsyncReader::from_reader(file);
    let names = reader.headers().await?.clone();
    let key = names.iter().position(|n| n == "external_id");
    let key = key.context("the usage file has no column external_id")?;
    let fact = names.iter().position(|n| n != "external_id");
    let fact = fact.context("the usage file has no column but external_id")?;
    let mut customers = HashSet::new();
    let mut records = reader.into_records();
    while let Some(record) = records.next().await {
        let record = record?;
        if let (Some(customer), Some(_)) = (record.get(key), record.get(fact).filter(|v| !v.is_empty())) {
            customers.insert(customer.to_owned());
        }
    }
    Ok((format!("usage_{}", names.get(fact).unwrap_or_default().to_lowercase()), customers))
}

/// Sorts the customers into the personas, and says how many are in each.
pub async fn personas(admin: &Api, clock: &SharedClock) -> Result<()> {
    let mut step = Step::begin("customers sorted into personas");
    // Activating a persona and every import have a refresh follow; this one begins after all of them.
    let begun = clock.now();
    admin.post("/v1/personas/refresh", json!({})).await?;
    let page =
        follow(admin, ("GET", "/v1/personas?status=active&limit=200", None), PATIENCE, &mut step, |page| {
            let personas = page.get("items").and_then(Value::as_array);
            let fresh = personas.is_some_and(|all| all.iter().all(|p| refreshed_since(p, begun)));
            if fresh { Stands::Done } else { Stands::At("under way".into()) }
        })
        .await?;
    let sizes = page.get("items").and_then(Value::as_array).into_iter().flatten();
    let sizes: Vec<_> =
        sizes.filter_map(|p| Some(format!("{} {}", p.get("name")?.as_str()?, number(p, "/size")))).collect();
    step.end(&sizes.join(", "));
    Ok(())
}

fn refreshed_since(persona: &Value, begun: jiff::Timestamp) -> bool {
    let at = persona.get("last_refreshed_at").and_then(Value::as_str);
    at.and_then(|t| t.parse::<jiff::Timestamp>().ok()).is_some_and(|t| t >= begun)
}
