//! Refunds: part of the newest paid invoice goes back, and a credit invoice says so. Its note carries a mark made from our
//! key, so that it is found again long after Recurly forgot the key.

use aws_lc_rs::digest;
use kit::{Money, Timestamp};
use reqwest::Method;

use super::acts::{done_before, refused};
use super::client::{Client, PAGE, plain, unreadable};
use super::decimal::Decimal;
use super::wire;
use crate::providers::{ExternalId, IdempotencyKey, ProviderError, Receipt};

/// What the customer reads on the credit invoice, and what stands before the mark.
const NOTE: &str = "Retention offer";

/// A note is printed, a key may be long, and both subscriptions of an account may have one of the same name.
fn mark(now: &wire::Subscription, key: &IdempotencyKey) -> String {
    let hash = digest::digest(&digest::SHA256, format!("{}:{}", now.id, key.as_str()).as_bytes());
    format!("{NOTE} {}", hex::encode(hash.as_ref().get(..8).unwrap_or_default()))
}

/// The credit invoice that says what was refunded under a key, unless the money did not move.
pub async fn given(
    client: &Client,
    now: &wire::Subscription,
    key: &IdempotencyKey,
) -> Result<Option<wire::Invoice>, ProviderError> {
    let account = plain(&now.account.id).ok_or(ProviderError::NotFound("customer"))?;
    let path = format!("/accounts/{account}/invoices");
    let query = [("type", "credit"), ("sort", "created_at"), ("order", "desc"), ("limit", PAGE)];
    let all: Vec<wire::Invoice> = client.all("invoice.list_credit", &path, &query).await?;
    let mark = mark(now, key);
    let ours = |i: &wire::Invoice| i.customer_notes.as_deref() == Some(mark.as_str());
    let stands = |i: &wire::Invoice| !matches!(i.state.as_deref(), Some("failed" | "voided"));
    Ok(all.into_iter().find(|i| ours(i) && stands(i)))
}

/// Pays part of the newest paid invoice back.
pub async fn give(
    client: &Client,
    now: &wire::Subscription,
    amount: Money,
    not_before: Timestamp,
    key: &IdempotencyKey,
) -> Result<Receipt, ProviderError> {
    if let Some(credit) = given(client, now, key).await? {
        return known(&credit, amount);
    }
    let nothing = || refused("nothing_to_refund", "no invoice was paid of which so much is left");
    let invoice = newest_paid(client, now).await?.ok_or_else(nothing)?;
    let enough =
        left(&invoice)?.is_some_and(|left| left.currency == amount.currency && left.minor >= amount.minor);
    if !enough || invoice.closed_at.is_none_or(|at| at < not_before) {
        return Err(nothing());
    }
    let body = wire::NewRefund {
        kind: "amount",
        amount: Decimal::of(amount),
        // What was paid with credits is not part of what is left, so that it is money that goes back.
        refund_method: "transaction_first",
        credit_customer_notes: mark(now, key),
    };
    let id = plain(&invoice.id).ok_or(ProviderError::NotFound("invoice"))?;
    let path = format!("/invoices/{id}/refund");
    let call = client.write::<wire::Invoice>("invoice.refund", Method::POST, &path, Some(&body), key);
    let (said, receipt) = call.await?;
    match said {
        Some(credit) => Ok(Receipt { replayed: receipt.replayed, ..known(&credit, amount)? }),
        None => Err(unreadable("a refund without an answer")),
    }
}

/// The receipt of one that is there, if it is the one that was asked for.
fn known(credit: &wire::Invoice, amount: Money) -> Result<Receipt, ProviderError> {
    let total = credit.money(credit.total.as_ref()).map_err(ProviderError::Unreadable)?;
    // What goes back is said with a minus.
    match total {
        Some(total) if (total.minor.abs(), total.currency) == (amount.minor, amount.currency) => {
            Ok(Receipt { made: Some(ExternalId::new(&credit.id)), ..done_before() })
        }
        _ => Err(ProviderError::KeyReused),
    }
}

/// The invoice that was written last, of those that are paid.
async fn newest_paid(
    client: &Client,
    now: &wire::Subscription,
) -> Result<Option<wire::Invoice>, ProviderError> {
    let id = plain(&now.id).ok_or(ProviderError::NotFound("subscription"))?;
    let path = format!("/subscriptions/{id}/invoices");
    let query =
        [("type", "charge"), ("state", "paid"), ("sort", "created_at"), ("order", "desc"), ("limit", "1")];
    let (page, _) = client.page("invoice.list_paid", &path, &query, None).await?;
    Ok(page.into_iter().next())
}

/// What was paid with money and did not go back yet. An invoice may be paid with credits in part: what went back already is
/// taken to have been money first, as we ask for it.
fn left(invoice: &wire::Invoice) -> Result<Option<Money>, ProviderError> {
    let read = |amount: Option<&Decimal>| invoice.money(amount).map_err(ProviderError::Unreadable);
    let (total, paid) = (read(invoice.total.as_ref())?, read(invoice.paid.as_ref())?);
    let refundable = read(invoice.refundable_amount.as_ref())?;
    let (Some(total), Some(paid), Some(refundable)) = (total, paid, refundable) else { return Ok(None) };
    let back = total.minor.saturating_sub(refundable.minor);
    Ok(Some(Money::new(paid.minor.saturating_sub(back).min(refundable.minor), paid.currency)))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_left_is_the_money_that_did_not_go_back() {
        let rows = [
            ((20.0, 20.0, 20.0), Some(2_000)),
            ((20.0, 20.0, 4.35), Some(435)),
            // Five were paid from a credit: of the money, fifteen.
            ((20.0, 15.0, 20.0), Some(1_500)),
            ((20.0, 15.0, 10.0), Some(500)),
            ((20.0, 15.0, 5.0), Some(0)),
            ((0.0, 0.0, 0.0), Some(0)),
        ];
        for ((total, paid, refundable), expected) in rows {
            let invoice = json!({"id": "i", "currency": "EUR", "total": total, "paid": paid,
                "refundable_amount": refundable});
            let invoice: wire::Invoice = serde_json::from_str(&invoice.to_string()).unwrap();
            assert_eq!(left(&invoice).unwrap().map(|m| m.minor), expected, "{total} {paid} {refundable}");
        }
        let silent: wire::Invoice = serde_json::from_str(r#"{"id": "i", "currency": "EUR"}"#).unwrap();
        assert_eq!(left(&silent).unwrap(), None);
    }
}
