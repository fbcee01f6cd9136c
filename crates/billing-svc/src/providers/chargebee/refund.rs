//! Refunds: part of the newest paid invoice goes back by the way it was paid, and a credit note of that invoice says so.
//! The note carries a mark made from our key, so that the refund is found again however long ago it was given.

use aws_lc_rs::digest;
use kit::{Money, Timestamp};

use super::acts::{done_before, refused};
use super::client::{Client, Form, step};
use super::{map, sync, wire};
use crate::providers::{ExternalId, IdempotencyKey, ProviderError, Receipt};

/// What the customer reads on the credit note, and what stands before the mark.
const NOTE: &str = "Retention offer";

/// A note is printed, a key may be long, and both subscriptions of a customer may have one of the same name.
fn mark(now: &wire::Subscription, key: &IdempotencyKey) -> String {
    let hash = digest::digest(&digest::SHA256, format!("{}:{}", now.id, key.as_str()).as_bytes());
    format!("{NOTE} {}", hex::encode(hash.as_ref().get(..8).unwrap_or_default()))
}

/// Every credit note of a customer that stands.
async fn notes(client: &Client, now: &wire::Subscription) -> Result<Vec<wire::CreditNote>, ProviderError> {
    let of = [("customer_id[is]", now.customer_id.as_str())];
    let pages = sync::all(client, "credit_note.list", "/credit_notes", &of).await?;
    let all = pages.into_iter().filter_map(|a| a.credit_note);
    Ok(all.filter(wire::CreditNote::stands).collect())
}

/// The refund given under a key, unless it failed at the bank.
pub async fn given(
    client: &Client,
    now: &wire::Subscription,
    key: &IdempotencyKey,
) -> Result<Option<ExternalId>, ProviderError> {
    let mark = mark(now, key);
    let found = notes(client, now).await?.into_iter().find(|n| n.says(&mark));
    Ok(found.map(|n| n.id.into()))
}

/// Pays part of the newest paid invoice back. It is looked for first: how long Chargebee remembers a key is not known.
pub async fn give(
    client: &Client,
    now: &wire::Subscription,
    amount: Money,
    not_before: Timestamp,
    key: &IdempotencyKey,
) -> Result<Receipt, ProviderError> {
    let (mark, notes) = (mark(now, key), notes(client, now).await?);
    if let Some(note) = notes.iter().find(|n| n.says(&mark)) {
        let same = note.total == Some(amount.minor);
        let receipt = Receipt { made: Some(ExternalId::new(&note.id)), ..done_before() };
        return if same { Ok(receipt) } else { Err(ProviderError::KeyReused) };
    }
    let nothing = || refused("nothing_to_refund", "no invoice was paid of which so much is left");
    let invoice = newest_paid(client, now).await?.ok_or_else(nothing)?;
    let currency = invoice.currency_code.as_deref().and_then(|code| map::currency(code).ok());
    let in_time = invoice.paid_at.is_some_and(|at| at >= not_before.as_second());
    if !in_time || currency != Some(amount.currency) || left(&invoice, &notes) < amount.minor {
        return Err(nothing());
    }
    let pairs = [
        ("refund_amount", amount.minor.to_string()),
        ("comment", NOTE.to_owned()),
        ("customer_notes", mark),
        ("credit_note[reason_code]", "waiver".to_owned()),
    ];
    let form: Form = pairs.into_iter().map(|(k, v)| (k.to_owned(), v)).collect();
    let id = ExternalId::new(&invoice.id);
    let path = format!("/invoices/{}/refund", step(&id).ok_or(ProviderError::NotFound("invoice"))?);
    let (answer, receipt) = client.post("invoice.refund", &path, &form, key).await?;
    match answer.credit_note {
        Some(made) if made.total == Some(amount.minor) => {
            Ok(Receipt { made: Some(made.id.into()), ..receipt })
        }
        _ if receipt.replayed => Err(ProviderError::KeyReused),
        _ => Err(ProviderError::Unreadable(anyhow::anyhow!("no credit note of this amount was answered"))),
    }
}

/// The invoice that was written last, of those that are paid. One of several subscriptions names none of them.
async fn newest_paid(
    client: &Client,
    now: &wire::Subscription,
) -> Result<Option<wire::Invoice>, ProviderError> {
    let query = [
        ("subscription_id[is]", now.id.as_str()),
        ("status[is]", "paid"),
        ("sort_by[desc]", "date"),
        ("limit", "1"),
    ];
    let page: wire::List = client.get("invoice.list", "/invoices", &query).await?;
    Ok(page.list.into_iter().find_map(|a| a.invoice))
}

/// What was paid with money and did not go back yet; what was paid from credits has no payment to pay back.
fn left(invoice: &wire::Invoice, notes: &[wire::CreditNote]) -> i64 {
    let paid = invoice.linked_payments.iter().filter(|p| p.txn_status.as_deref() == Some("success"));
    let paid: i64 = paid.map(|p| p.applied_amount).sum();
    // An adjustment lowered what was due before it was paid.
    let back = notes.iter().filter(|n| n.kind.as_deref() != Some("adjustment"));
    let back = back.filter(|n| n.reference_invoice_id.as_deref() == Some(&invoice.id));
    paid - back.filter_map(|n| n.total).sum::<i64>()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn note(changes: Value) -> wire::CreditNote {
        let mut whole = json!({"id": "cn", "reference_invoice_id": "inv", "type": "refundable", "status": "refunded",
            "total": 500, "notes": ["Thank you", "Retention offer 0123456789abcdef"],
            "linked_refunds": [{"txn_id": "t", "applied_amount": 500, "txn_status": "success"}]});
        changes.as_object().unwrap().iter().for_each(|(k, v)| whole[k] = v.clone());
        serde_json::from_value(whole).unwrap()
    }

    #[test]
    fn what_is_left_is_what_was_paid_with_money_and_did_not_go_back() {
        let invoice: wire::Invoice = serde_json::from_value(json!({"id": "inv", "linked_payments": [
            {"txn_id": "a", "applied_amount": 9_000, "txn_status": "failure"},
            {"txn_id": "b", "applied_amount": 2_000, "txn_status": "success"}]}))
        .unwrap();
        assert_eq!(left(&invoice, &[]), 2_000);
        let notes = [
            note(json!({})),
            note(json!({"type": "adjustment"})),
            note(json!({"reference_invoice_id": "x"})),
        ];
        assert_eq!(left(&invoice, &notes), 1_500);
    }

    #[test]
    fn a_refund_the_bank_did_not_carry_out_does_not_stand() {
        assert!(note(json!({})).stands() && note(json!({})).says("Retention offer 0123456789abcdef"));
        assert!(!note(json!({})).says("Retention offer 0123456789abcde"));
        assert!(!note(json!({"status": "voided"})).stands());
        for (status, stands) in [("late_failure", false), ("failure", false), ("in_progress", true)] {
            let refunds = json!([{"txn_id": "t", "applied_amount": 500, "txn_status": status}]);
            assert_eq!(note(json!({"linked_refunds": refunds})).stands(), stands, "{status}");
        }
        let shown = json!({"notes": null, "customer_notes": "Retention offer 0123456789abcdef"});
        assert!(note(shown).says("Retention offer 0123456789abcdef"));
    }
}
