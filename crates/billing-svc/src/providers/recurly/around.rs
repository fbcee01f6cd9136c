//! What stands elsewhere about a subscription: its plan, what lowers its invoices, and whether one is past due.

use std::collections::{BTreeSet, HashMap};

use anyhow::Context;
use futures_util::{StreamExt, TryStreamExt, stream};
use kit::Timestamp;

use super::client::{Client, PAGE, plain};
use super::{discounts, map, wire};
use crate::providers::{ProviderError, Snapshot};

/// How many accounts are asked for their discounts at once.
const ABREAST: usize = 8;

/// One subscription with everything about it.
pub async fn whole(
    client: &Client,
    s: &wire::Subscription,
    at: Timestamp,
) -> Result<Snapshot, ProviderError> {
    let (redemptions, past_due_since) = if map::is_over(s) {
        (Vec::new(), None)
    } else {
        let path = format!(
            "/subscriptions/{}/invoices",
            plain(&s.id).ok_or(ProviderError::NotFound("subscription"))?
        );
        let query = [("state", "past_due"), ("type", "charge"), ("limit", PAGE)];
        let invoices: Vec<wire::Invoice> = client.all("invoice.list_past_due", &path, &query).await?;
        let since = invoices.iter().filter_map(|i| i.due_at.or(i.created_at)).min();
        (discounts::active(client, &s.account.id).await?, since)
    };
    mapped(client, s, &redemptions, past_due_since, at).await?.map_err(ProviderError::Unreadable)
}

/// A page of them. What can be asked once is: the invoices that are past due are asked for together. Discounts of a whole
/// account stand nowhere but there, so each account is asked.
pub async fn page(
    client: &Client,
    page: &[wire::Subscription],
    at: Timestamp,
) -> Result<Vec<Snapshot>, ProviderError> {
    let running: Vec<_> = page.iter().filter(|s| !map::is_over(s)).collect();
    let past_due = if running.is_empty() { HashMap::new() } else { past_due(client).await? };
    let accounts: BTreeSet<String> = running.iter().map(|s| s.account.id.clone()).collect();
    let redemptions: HashMap<String, Vec<wire::Redemption>> = stream::iter(accounts)
        .map(|account| {
            let client = client.clone();
            async move {
                let active = discounts::active(&client, &account).await?;
                Ok::<_, ProviderError>((account, active))
            }
        })
        .buffer_unordered(ABREAST)
        .try_collect()
        .await?;
    let mut read = Vec::with_capacity(page.len());
    for s in page {
        let over = map::is_over(s);
        let of_account = redemptions.get(&s.account.id).filter(|_| !over).map_or(&[][..], Vec::as_slice);
        let since = past_due.get(&s.id).copied().filter(|_| !over);
        match mapped(client, s, of_account, since, at).await? {
            Ok(snapshot) => read.push(snapshot),
            // One that we cannot read must not keep the others out: it is left out and named in the log.
            Err(e) => {
                tracing::warn!(subscription = s.id, error = %e, "a subscription at recurly cannot be read: {e}")
            }
        }
    }
    Ok(read)
}

async fn mapped(
    client: &Client,
    s: &wire::Subscription,
    redemptions: &[wire::Redemption],
    past_due_since: Option<Timestamp>,
    at: Timestamp,
) -> Result<anyhow::Result<Snapshot>, ProviderError> {
    let plan = match client.plan(&s.plan.id).await {
        Err(ProviderError::NotFound(_)) => return Ok(Err(anyhow::anyhow!("its plan is gone"))),
        other => other?,
    };
    let read = map::Read { subscription: s, plan: &plan, redemptions, past_due_since };
    Ok(map::subscription(&read, at).with_context(|| format!("subscription {}", s.id)))
}

/// Since when each subscription with an invoice past due has one.
async fn past_due(client: &Client) -> Result<HashMap<String, Timestamp>, ProviderError> {
    let query = [("state", "past_due"), ("type", "charge"), ("limit", PAGE)];
    let invoices: Vec<wire::Invoice> = client.all("invoice.list_past_due", "/invoices", &query).await?;
    let mut since = HashMap::new();
    for invoice in invoices {
        let Some(at) = invoice.due_at.or(invoice.created_at) else { continue };
        for id in invoice.subscription_ids.into_iter().flatten() {
            let first = since.entry(id).or_insert(at);
            *first = at.min(*first);
        }
    }
    Ok(since)
}
