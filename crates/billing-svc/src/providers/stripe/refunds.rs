//! Refunds: an invoice holds no payment itself, so the way is invoice, its payment, the refunds of that.

use kit::{Money, Timestamp};

use super::acts::{NOTED, done_before, form, refused};
use super::client::{Client, plain};
use super::wire;
use crate::providers::{ExternalId, IdempotencyKey, ProviderError, Receipt};

/// How many of the newest paid invoices are looked through for a refund of ours: it is read back right after it was given.
const INVOICES: &str = "3";

/// A payment of an invoice, as refunds name it.
struct Paid {
    field: &'static str,
    id: String,
    amount: Money,
}

/// Pays part of the newest paid invoice back.
pub async fn give(
    client: &Client,
    subscription: &ExternalId,
    amount: Money,
    not_before: Timestamp,
    key: &IdempotencyKey,
) -> Result<Receipt, ProviderError> {
    // What this key gave takes away from what is left, and by now there may be a newer invoice.
    if let Some(refund) = given(client, subscription, key).await? {
        return Ok(Receipt { made: Some(refund), ..done_before() });
    }
    let nothing = || refused("nothing_to_refund", "no invoice was paid of which so much is left");
    let newest = invoices(client, subscription).await?.into_iter().next().ok_or_else(nothing)?;
    let paid_at = newest.status_transitions.as_ref().and_then(|t| t.paid_at);
    if paid_at.is_none_or(|at| at < not_before.as_second()) {
        return Err(nothing());
    }
    for paid in payments(client, &newest.id).await? {
        let back: i64 = refunds(client, &paid).await?.iter().map(|r| r.amount).sum();
        if paid.amount.currency != amount.currency || paid.amount.minor - back < amount.minor {
            continue;
        }
        let form = form(&[
            (paid.field, &paid.id),
            ("amount", &amount.minor.to_string()),
            ("reason", "requested_by_customer"),
            (&format!("metadata[{NOTED}]"), key.as_str()),
        ]);
        let (made, receipt) =
            client.post::<wire::Identified>("refund.create", "/v1/refunds", &form, key).await?;
        return Ok(Receipt { made: Some(made.id.into()), ..receipt });
    }
    Err(nothing())
}

/// The refund given under a key, unless it failed.
pub async fn given(
    client: &Client,
    subscription: &ExternalId,
    key: &IdempotencyKey,
) -> Result<Option<ExternalId>, ProviderError> {
    for invoice in invoices(client, subscription).await? {
        for paid in payments(client, &invoice.id).await? {
            let ours = |r: &wire::Refund| {
                r.metadata.as_ref().and_then(|m| m.get(NOTED)).is_some_and(|noted| noted == key.as_str())
            };
            if let Some(refund) = refunds(client, &paid).await?.into_iter().find(ours) {
                return Ok(Some(refund.id.into()));
            }
        }
    }
    Ok(None)
}

/// The newest paid invoices, newest first.
async fn invoices(client: &Client, subscription: &ExternalId) -> Result<Vec<wire::Invoice>, ProviderError> {
    let id = plain(subscription).ok_or(ProviderError::NotFound("subscription"))?;
    let query = [("subscription", id), ("status", "paid"), ("limit", INVOICES)];
    let page: wire::List<wire::Invoice> = client.get("invoice.list", "/v1/invoices", &query).await?;
    Ok(page.data)
}

/// What of an invoice was paid with money; one paid from a balance, or outside of Stripe, has none.
async fn payments(client: &Client, invoice: &str) -> Result<Vec<Paid>, ProviderError> {
    let query = [("invoice", invoice), ("status", "paid"), ("limit", "100")];
    let page: wire::List<wire::InvoicePayment> =
        client.get("invoice.payments", "/v1/invoice_payments", &query).await?;
    let paid = page.data.into_iter().filter_map(|p| {
        let (field, of) = match (p.payment.payment_intent, p.payment.charge) {
            (Some(intent), _) => ("payment_intent", intent),
            (None, Some(charge)) => ("charge", charge),
            (None, None) => return None,
        };
        let currency = kit::Currency::parse(&p.currency)?;
        Some(Paid { field, id: of.id().to_owned(), amount: Money::new(p.amount_paid?, currency) })
    });
    Ok(paid.collect())
}

/// The refunds of a payment that stand.
async fn refunds(client: &Client, paid: &Paid) -> Result<Vec<wire::Refund>, ProviderError> {
    let query = [(paid.field, paid.id.as_str()), ("limit", "100")];
    let page: wire::List<wire::Refund> = client.get("refund.list", "/v1/refunds", &query).await?;
    let stands = |r: &wire::Refund| !matches!(r.status.as_deref(), Some("failed" | "canceled"));
    Ok(page.data.into_iter().filter(stands).collect())
}
