//! Links to the hosted cancel page. Each is good for one start within 15 minutes, so they are made when they are wanted.

use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::Args;
use serde_json::{Value, json};

use super::api::{Api, text};

/// Which customer a link is for.
#[derive(Args, Clone, Debug)]
pub struct LinkOptions {
    /// The customer, by the company's own id; when left out, the next of those to try the flow with.
    pub(super) customer: Option<String>,
    /// Where the running system is: the file `up` wrote.
    #[arg(long, default_value = ".dev/endpoints.json")]
    pub(super) endpoints: PathBuf,
    /// The company's short name, where it is not the demo.
    #[arg(long)]
    pub(super) slug: Option<String>,
}

/// A link for a customer; by default for the first of those to try who has not been through a flow.
pub async fn fresh(api: &Api, company: &Value, customer: Option<&str>) -> Result<String> {
    let machine = api.with_token(&text(company, "/api_key_live")?);
    let customer = match customer {
        Some(customer) => customer.to_owned(),
        None => untried(&machine, company).await?,
    };
    let token = machine.post("/v1/flow/tokens", json!({ "customer": customer })).await?;
    text(&token, "/hosted_url")
}

async fn untried(machine: &Api, company: &Value) -> Result<String> {
    let listed = company.get("customers").and_then(Value::as_array).into_iter().flatten();
    let listed: Vec<_> = listed.filter_map(Value::as_str).collect();
    for external in &listed {
        let known = machine.get(&format!("/v1/customers?external_id={external}")).await?;
        let ours = text(&known, "/items/0/id")?;
        let seen = machine.get(&format!("/v1/flow-sessions?limit=1&customer_id={ours}")).await?;
        if seen.get("items").and_then(Value::as_array).is_none_or(Vec::is_empty) {
            return Ok((*external).to_owned());
        }
    }
    let first = listed.first().context("no customer of the company is running; name one")?;
    Ok((*first).to_owned())
}
