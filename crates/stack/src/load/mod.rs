//! Loads a company through the public API: its people, customers, usage, personas, offers and content. What the demo
//! shows is what any company can do with its own files.

mod api;
mod mailbox;
mod people;
mod rows;
mod steps;
mod telco;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use clap::Args;
use jiff::Timestamp;
use serde_json::{Value, json};

use api::{Api, text};
use mailbox::Mailbox;
use rows::Row;

/// The most customers one call of the simulated provider's door takes.
const BATCH: usize = 1_000;

/// What to load, and into which running system.
#[derive(Args, Clone, Debug)]
pub struct Options {
    /// Where the running system is: the file `up` wrote. The loaded company is noted there.
    #[arg(long, default_value = ".dev/endpoints.json")]
    endpoints: PathBuf,
    /// The demo company, from the files in `demo/`.
    #[arg(long)]
    demo: bool,
    /// The company's name.
    #[arg(long, default_value = "Fernline Telecom")]
    name: String,
    /// The company's short name in addresses.
    #[arg(long, default_value = "fernline")]
    slug: String,
    /// The retention admin's e-mail address.
    #[arg(long, default_value = "admin@fernline.example")]
    admin: String,
    /// The retention expert's e-mail address.
    #[arg(long, default_value = "expert@fernline.example")]
    expert: String,
    /// Customers with one subscription each: CSV with the columns external_id, email, name, locale, country, currency,
    /// plan, price_minor, interval (month or year), started_at, ended_at (times in RFC 3339).
    #[arg(long)]
    customers: Option<PathBuf>,
    /// Product usage: CSV with a column external_id; every other column becomes a fact of the customer.
    #[arg(long)]
    usage: Option<PathBuf>,
    /// Folder with the steps that make offers, personas and content: subfolders offers, personas, content.
    #[arg(long)]
    steps: Option<PathBuf>,
    /// Load only the first so many customers.
    #[arg(long)]
    most: Option<usize>,
}

/// Loads the company. A company of this short name that is there already is left as it is.
pub async fn run(options: Options, now: Timestamp) -> Result<()> {
    let file = std::fs::read_to_string(&options.endpoints)
        .with_context(|| format!("{} is not there; start the system with `cargo xtask up`", options.endpoints.display()))?;
    let mut endpoints: Value = serde_json::from_str(&file)?;
    let api = Api::new(&text(&endpoints, "/gateway")?)?;
    if is_loaded(&api, &endpoints, &options.slug).await {
        progress("the company is there already");
        return Ok(());
    }
    let mailbox = Mailbox::new(Path::new(&text(&endpoints, "/mail_dir")?));
    let operator_address = text(&endpoints, "/operator")?;
    let (rows, usage) = files(&options, now).await?;

    let begun = Instant::now();
    let operator = people::sign_in(&api, &mailbox, &operator_address).await?;
    let company = company(&options, &operator).await?;
    let id = text(&company, "/id")?;
    let as_operator = operator
        .with_header("retention-company", id.clone())
        .with_header("retention-reason", "setting up the company".into());
    people::invite(&api, &as_operator, &mailbox, json!({ "email": options.admin, "name": "Retention admin", "role": "ret_admin", "locale": "en" }))
        .await?;
    let admin = people::sign_in(&api, &mailbox, &options.admin).await?;
    people::invite(&api, &admin, &mailbox, json!({ "email": options.expert, "name": "Retention expert", "role": "ret_exp", "locale": "en" }))
        .await?;
    let live = people::api_key(&admin, &id, "live", "loader").await?;
    let test = people::api_key(&admin, &id, "test", "loader").await?;
    let machine = api.with_token(&live);
    progress(&format!("company {} with an admin, an expert and keys", options.slug));

    subscriptions(&admin, &machine, &rows).await?;
    if let Some(usage) = usage {
        upload(&machine, &admin, usage).await?;
    }
    let mut saved = steps::Saved::new();
    if let Some(folder) = &options.steps {
        for part in ["offers", "personas", "content"] {
            let made = steps::run(&admin, &folder.join(part), &mut saved).await?;
            progress(&format!("{made} calls for {part}"));
        }
        refresh(&admin).await?;
    }
    let hosted = hosted_url(&machine, &rows).await?;
    progress(&format!("loaded in {} s", begun.elapsed().as_secs()));

    endpoints["demo"] = json!({
        "company_id": id,
        "company_key": text(&company, "/public_key")?,
        "slug": options.slug,
        "users": { "kale_admin": operator_address, "ret_admin": options.admin, "ret_exp": options.expert },
        "api_key_live": live,
        "api_key_test": test,
        "hosted_url": hosted,
    });
    std::fs::write(&options.endpoints, format!("{endpoints:#}\n"))?;
    Ok(())
}

/// Whether the noted company answers to the noted key.
async fn is_loaded(api: &Api, endpoints: &Value, slug: &str) -> bool {
    let noted = |name: &str| text(endpoints, &format!("/demo/{name}")).ok();
    let (Some(noted_slug), Some(key)) = (noted("slug"), noted("api_key_live")) else { return false };
    noted_slug == slug && api.with_token(&key).get("/v1/customers?limit=1").await.is_ok()
}

/// The customers and the usage file, from the demo or from the company's own files.
async fn files(options: &Options, now: Timestamp) -> Result<(Vec<Row>, Option<Vec<u8>>)> {
    let read = |path: &Path| std::fs::read(path).with_context(|| format!("failed to read {}", path.display()));
    let (mut rows, usage) = if options.demo {
        let (rows, usage) = telco::read(&read(Path::new("demo/telco/customers.csv"))?, now).await?;
        (rows, Some(usage.into_bytes()))
    } else {
        let Some(customers) = &options.customers else { bail!("say `--demo`, or name a file with `--customers`") };
        (rows::read(&read(customers)?).await?, options.usage.as_deref().map(read).transpose()?)
    };
    rows.truncate(options.most.unwrap_or(usize::MAX));
    Ok((rows, usage))
}

async fn company(options: &Options, operator: &Api) -> Result<Value> {
    let body = json!({
        "name": options.name,
        "slug": options.slug,
        "default_currency": "USD",
        "time_zone": "America/New_York",
        "locales": ["en", "de"],
        "product_upload_enabled": true,
    });
    operator.post("/v1/companies", body).await
}

/// Puts customers and subscriptions into the simulated provider, connects it, and waits for the back-fill.
async fn subscriptions(admin: &Api, machine: &Api, rows: &[Row]) -> Result<()> {
    admin.put("/v1/billing/simulated", json!({ "account_name": "Simulated billing" })).await?;
    for (at, batch) in rows.chunks(BATCH).enumerate() {
        machine.post("/v1/billing/simulated/fixtures", fixtures(batch)).await?;
        progress(&format!("{} of {} subscriptions at the provider", at * BATCH + batch.len(), rows.len()));
    }
    admin.post("/v1/billing/simulated/sync", json!({ "full": true })).await?;
    let patience = Duration::from_secs(60 + rows.len() as u64 / 50);
    admin.until("/v1/billing/simulated", patience, |c| synced(c, rows.len())).await?;
    progress(&format!("{} subscriptions mirrored", rows.len()));
    Ok(())
}

fn fixtures(batch: &[Row]) -> Value {
    json!({ "rows": batch })
}

/// Whether the connection's last back-fill saw all of them.
fn synced(connection: &Value, expected: usize) -> Option<bool> {
    let done = connection.pointer("/sync/state")?.as_str()?;
    match done {
        "done" => Some(connection.pointer("/sync/seen").and_then(Value::as_u64) >= Some(expected as u64)),
        "failed" => Some(false),
        _ => None,
    }
}

/// Uploads the usage file once analytics has heard of the customers, and waits until it is imported.
async fn upload(machine: &Api, admin: &Api, usage: Vec<u8>) -> Result<()> {
    let uploaded = machine
        .upload("/v1/usage/uploads", &[("dataset", "subscription_usage"), ("auto_confirm", "true")], "usage.csv", "text/csv", usage)
        .await?;
    let path = format!("/v1/usage/uploads/{}", text(&uploaded, "/id")?);
    let done = admin
        .until(&path, Duration::from_secs(120), |job| match job.get("state")?.as_str()? {
            "completed" | "completed_with_errors" => Some(true),
            "failed" | "rejected" | "canceled" => Some(false),
            _ => None,
        })
        .await?;
    progress(&format!("{} usage rows imported", done.pointer("/imported").and_then(Value::as_u64).unwrap_or_default()));
    Ok(())
}

async fn refresh(admin: &Api) -> Result<()> {
    admin.post("/v1/personas/refresh", json!({})).await?;
    let path = "/v1/personas?limit=200";
    let done = admin
        .until(path, Duration::from_secs(120), |page| {
            let personas = page.get("items")?.as_array()?;
            let mut active = personas.iter().filter(|p| p.get("status").and_then(Value::as_str) == Some("active"));
            active.all(|p| p.get("last_refreshed_at").is_some()).then_some(true)
        })
        .await?;
    for persona in done.get("items").and_then(Value::as_array).into_iter().flatten() {
        let size = persona.get("size").and_then(Value::as_u64).unwrap_or_default();
        progress(&format!("persona {}: {size} customers", text(persona, "/name")?));
    }
    Ok(())
}

/// A link to the hosted cancel page of the first customer who has not left.
async fn hosted_url(machine: &Api, rows: &[Row]) -> Result<String> {
    let stays = rows.iter().find(|r| r.ended_at.is_none()).context("every customer of the file has left")?;
    let token = machine.post("/v1/flow/tokens", json!({ "customer": stays.external_id })).await?;
    text(&token, "/hosted_url")
}

fn progress(what: &str) {
    println!("  {what}");
}
