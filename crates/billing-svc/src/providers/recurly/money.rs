//! Money on the account: a credit is a line item that later invoices take in. Its product code names the act, so that it
//! is found again long after Recurly forgot the key.

use aws_lc_rs::digest;
use kit::Money;
use reqwest::Method;

use super::acts::{done_before, refused};
use super::client::{Client, PAGE, plain, unreadable};
use super::decimal::Decimal;
use super::{map, wire};
use crate::providers::{ExternalId, IdempotencyKey, ProviderError, Receipt};

/// What a line item notes: the key it was given under, or the credit it takes away.
const GIVEN: &str = "retention-";
const TAKEN: &str = "retention-back-";

/// A product code has room for fifty signs, a key may have more.
fn noted(kind: &str, text: &str) -> String {
    let hash = digest::digest(&digest::SHA256, text.as_bytes());
    format!("{kind}{}", hex::encode(hash.as_ref().get(..16).unwrap_or_default()))
}

fn path(now: &wire::Subscription) -> Result<String, ProviderError> {
    let account = plain(&now.account.id).ok_or(ProviderError::NotFound("customer"))?;
    Ok(format!("/accounts/{account}/line_items"))
}

/// The credit given under a key, unless it was taken away again. What was written last comes first: so it is found in a
/// page right after it was given, and what takes it away comes before it.
pub async fn given(
    client: &Client,
    now: &wire::Subscription,
    key: &IdempotencyKey,
) -> Result<Option<wire::LineItem>, ProviderError> {
    let (path, wanted) = (path(now)?, noted(GIVEN, key.as_str()));
    let query = [("sort", "created_at"), ("order", "desc"), ("limit", PAGE)];
    let mut taken = Vec::new();
    let mut next = None;
    // As far as fifty full pages; whoever has more is looked at by hand.
    for _ in 0..50 {
        let (page, further) =
            client.page::<wire::LineItem>("line_item.list", &path, &query, next.as_deref()).await?;
        for item in page {
            let Some(code) = &item.product_code else { continue };
            if *code == wanted {
                return Ok(Some(item).filter(|i| !taken.contains(&noted(TAKEN, &i.id))));
            }
            if code.starts_with(TAKEN) {
                taken.push(code.clone());
            }
        }
        next = match further {
            None => return Ok(None),
            further => further,
        };
    }
    Err(unreadable("an account of more line items than are read"))
}

pub async fn credit(
    client: &Client,
    now: &wire::Subscription,
    amount: Money,
    key: &IdempotencyKey,
) -> Result<Receipt, ProviderError> {
    if !amount.currency.as_str().eq_ignore_ascii_case(&now.currency) {
        return Err(refused("other_currency", "the credit is of another currency"));
    }
    if let Some(item) = given(client, now, key).await? {
        return known(item, amount);
    }
    let body = wire::NewLineItem {
        kind: "credit",
        currency: amount.currency.as_str(),
        unit_amount: Decimal::of(amount),
        credit_reason_code: Some("promotional"),
        description: "Retention offer",
        product_code: noted(GIVEN, key.as_str()),
    };
    let path = path(now)?;
    let call = client.write::<wire::LineItem>("credit.give", Method::POST, &path, Some(&body), key);
    let (said, receipt) = call.await?;
    match said {
        Some(item) => Ok(Receipt { replayed: receipt.replayed, ..known(item, amount)? }),
        None => Err(unreadable("a line item without an answer")),
    }
}

/// The receipt of one that is there, if it is the one that was asked for.
fn known(item: wire::LineItem, amount: Money) -> Result<Receipt, ProviderError> {
    let currency = item.currency.as_deref().map(map::currency).transpose();
    let of = currency.map_err(ProviderError::Unreadable)?.unwrap_or(amount.currency);
    let there = item.unit_amount.as_ref().map(|d| d.money(of)).transpose();
    // Credits are said with a minus in some answers, and without it in others.
    match there.map_err(ProviderError::Unreadable)? {
        Some(there) if (there.minor.abs(), of) != (amount.minor.abs(), amount.currency) => {
            Err(ProviderError::KeyReused)
        }
        _ => Ok(Receipt { made: Some(ExternalId::new(item.id)), ..done_before() }),
    }
}

/// One that waits for an invoice is removed; one that was used is charged again.
pub async fn take(
    client: &Client,
    now: &wire::Subscription,
    credit: &ExternalId,
    amount: Money,
    key: &IdempotencyKey,
) -> Result<Receipt, ProviderError> {
    let one = format!("/line_items/{}", plain(credit.as_str()).ok_or(ProviderError::NotFound("credit"))?);
    let item: wire::LineItem = match client.get("line_item.read", &one, &[]).await {
        Err(ProviderError::NotFound(_)) => return Ok(done_before()),
        other => other?,
    };
    if item.state.as_deref() == Some("pending") {
        let call =
            client.write::<wire::Identified>("credit.take", Method::DELETE, &one, None::<&()>, key).await;
        return match call {
            Err(ProviderError::NotFound(_)) => Ok(done_before()),
            other => other.map(|(_, receipt)| receipt),
        };
    }
    let (path, product_code) = (path(now)?, noted(TAKEN, credit.as_str()));
    let query = [("sort", "created_at"), ("order", "desc"), ("limit", PAGE)];
    let all: Vec<wire::LineItem> = client.all("line_item.list", &path, &query).await?;
    if all.iter().any(|i| i.product_code.as_deref() == Some(product_code.as_str())) {
        return Ok(done_before());
    }
    let body = wire::NewLineItem {
        kind: "charge",
        currency: amount.currency.as_str(),
        unit_amount: Decimal::of(amount),
        credit_reason_code: None,
        description: "Retention offer taken back",
        product_code,
    };
    let call = client.write::<wire::Identified>("credit.take", Method::POST, &path, Some(&body), key);
    call.await.map(|(_, receipt)| receipt)
}
