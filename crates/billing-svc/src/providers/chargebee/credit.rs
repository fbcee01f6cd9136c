//! Promotional credits: money later invoices are paid from. Each carries our key as its reference, so that it is found
//! again however long ago it was given.

use std::collections::HashSet;

use kit::Money;

use super::acts::done_before;
use super::client::{Client, Form};
use super::{sync, wire};
use crate::providers::{ExternalId, IdempotencyKey, ProviderError, Receipt};

/// The reference of what takes a credit away begins with this; the credit's id follows.
const TAKES: &str = "takes:";

/// A credit that was given under a key.
pub struct Given {
    pub id: ExternalId,
    amount: i64,
    currency: String,
    /// It was taken away again.
    pub taken: bool,
}

/// The credit given under a key.
pub async fn find(
    client: &Client,
    customer: &str,
    key: &IdempotencyKey,
) -> Result<Option<Given>, ProviderError> {
    let all = all(client, customer).await?;
    let taken: HashSet<&str> =
        all.iter().filter_map(|c| c.reference.as_deref()?.strip_prefix(TAKES)).collect();
    let ours = all.iter().find(|c| c.kind == "increment" && c.reference.as_deref() == Some(key.as_str()));
    Ok(ours.map(|c| Given {
        id: ExternalId::new(&c.id),
        amount: c.amount,
        currency: c.currency_code.clone(),
        taken: taken.contains(c.id.as_str()),
    }))
}

async fn all(client: &Client, customer: &str) -> Result<Vec<wire::PromotionalCredit>, ProviderError> {
    let of = [("customer_id[is]", customer)];
    let pages = sync::all(client, "promotional_credit.list", "/promotional_credits", &of).await?;
    Ok(pages.into_iter().filter_map(|a| a.promotional_credit).collect())
}

/// Gives a credit. It is looked for first: how long Chargebee remembers a key is not known.
pub async fn give(
    client: &Client,
    customer: &str,
    amount: Money,
    key: &IdempotencyKey,
) -> Result<Receipt, ProviderError> {
    let currency = amount.currency.as_str().to_uppercase();
    if let Some(given) = find(client, customer, key).await? {
        let same = given.amount == amount.minor && given.currency == currency;
        let receipt = Receipt { made: Some(given.id), ..done_before() };
        return if same { Ok(receipt) } else { Err(ProviderError::KeyReused) };
    }
    let form = [("credit_type", "general"), ("reference", key.as_str())];
    change(client, "add", customer, amount, &form, key).await
}

/// Takes a credit away, once.
pub async fn take(
    client: &Client,
    customer: &str,
    credit: &ExternalId,
    amount: Money,
    key: &IdempotencyKey,
) -> Result<Receipt, ProviderError> {
    let reference = format!("{TAKES}{credit}");
    if all(client, customer).await?.iter().any(|c| c.reference.as_deref() == Some(&reference)) {
        return Ok(done_before());
    }
    change(client, "deduct", customer, amount, &[("reference", &reference)], key).await
}

async fn change(
    client: &Client,
    verb: &'static str,
    customer: &str,
    amount: Money,
    more: &[(&str, &str)],
    key: &IdempotencyKey,
) -> Result<Receipt, ProviderError> {
    let (minor, currency) = (amount.minor.to_string(), amount.currency.as_str().to_uppercase());
    let plain = [
        ("customer_id", customer),
        ("amount", minor.as_str()),
        ("currency_code", currency.as_str()),
        ("description", "Retention offer"),
    ];
    let form: Form = plain.iter().chain(more).map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
    let path = format!("/promotional_credits/{verb}");
    let (answer, receipt) = client.post("promotional_credit.change", &path, &form, key).await?;
    match answer.promotional_credit {
        Some(made) if made.amount == amount.minor => Ok(Receipt { made: Some(made.id.into()), ..receipt }),
        _ if receipt.replayed => Err(ProviderError::KeyReused),
        _ => Err(ProviderError::Unreadable(anyhow::anyhow!("no credit of this amount was answered"))),
    }
}
