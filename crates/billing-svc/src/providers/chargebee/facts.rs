//! Events as facts: which, about what, when. Chargebee signs none of it, so everything here is a hint.

use kit::Money;

use super::{map, wire};
use crate::providers::{ExternalId, Fact, FactKind, Rejected, Said};

/// Reads a call whose sender knew the credentials.
pub fn read(body: &[u8], live: bool) -> Result<Fact, Rejected> {
    let unreadable = |e: &dyn std::fmt::Display| Rejected::Unreadable(e.to_string());
    let event: wire::Event = serde_json::from_slice(body).map_err(|e| unreadable(&e))?;
    if event.object.as_deref().is_some_and(|o| o != "event") {
        return Err(Rejected::Unreadable("not an event".into()));
    }
    // The version is chosen where the webhook is set up; objects of the first one have other shapes.
    if event.api_version.as_deref() != Some("v2") {
        return Err(Rejected::Unreadable("the webhook must be set to API version 2".into()));
    }
    if event.id.is_empty() {
        return Err(Rejected::Unreadable("an event without an id".into()));
    }
    let (customer, subscription) = about(&event);
    let occurred_at = map::second(event.occurred_at).map_err(|e| unreadable(&e))?;
    let kind = kind(&event);
    Ok(Fact {
        kind,
        said: said(&event, kind),
        customer: customer.map(ExternalId::from),
        subscription: subscription.map(ExternalId::from),
        occurred_at,
        // Without a version nothing is said of age: the subscription is read then.
        provider_version: event.content.subscription.as_ref().and_then(|s| s.resource_version).unwrap_or(0),
        live: Some(live),
        name: event.event_type,
        id: event.id,
    })
}

/// Whether an event read from Chargebee is what a call told.
pub fn is_told(event: &wire::Event, told: &Fact) -> bool {
    let (customer, subscription) = about(event);
    event.id == told.id
        && kind(event) == told.kind
        && subscription.as_deref() == told.subscription.as_ref().map(ExternalId::as_str)
        // A call about a subscription is about its customer, whether it says so or not.
        && (subscription.is_some() || customer.as_deref() == told.customer.as_ref().map(ExternalId::as_str))
}

/// A refund comes as several events, and so does a chargeback: the one that counts says how much.
fn said(event: &wire::Event, kind: FactKind) -> Said {
    let content = &event.content;
    let moved = matches!(event.event_type.as_str(), "payment_refunded" | "transaction_created");
    let counts = moved && matches!(kind, FactKind::Refund | FactKind::Dispute);
    let transaction = content.transaction.as_ref().filter(|_| counts);
    let amount = transaction.and_then(|t| {
        let currency = map::currency(t.currency_code.as_deref()?).ok()?;
        Some(Money::new(t.amount?, currency))
    });
    let invoice = content.invoice.as_ref().and_then(|i| i.id.clone());
    Said { amount, invoice: invoice.map(ExternalId::from), ..Said::default() }
}

/// The customer and the subscription an event is about.
fn about(event: &wire::Event) -> (Option<String>, Option<String>) {
    let content = &event.content;
    let others = [&content.invoice, &content.transaction, &content.credit_note];
    let others = || others.into_iter().flatten();
    let own = content.subscription.as_ref();
    let subscription =
        own.and_then(|s| s.id.clone()).or_else(|| others().find_map(|o| o.subscription_id.clone()));
    let customer = content.customer.as_ref().and_then(|c| c.id.clone());
    let customer = customer.or_else(|| own.and_then(|s| s.customer_id.clone()));
    (customer.or_else(|| others().find_map(|o| o.customer_id.clone())), subscription)
}

/// Chargebee has no disputes: one shows as a payment that is reversed, or as a credit note that says why.
fn kind(event: &wire::Event) -> FactKind {
    let name = event.event_type.as_str();
    let starts = |prefix| name.starts_with(prefix);
    let reversed =
        event.content.transaction.as_ref().is_some_and(|t| t.kind.as_deref() == Some("payment_reversal"));
    let charged_back =
        event.content.credit_note.as_ref().is_some_and(|c| c.reason_code.as_deref() == Some("chargeback"));
    match name {
        "payment_succeeded" => FactKind::PaymentSucceeded,
        "payment_failed" => FactKind::PaymentFailed,
        "payment_refunded" | "refund_initiated" => FactKind::Refund,
        "transaction_created" if reversed => FactKind::Dispute,
        "credit_note_created" if charged_back => FactKind::Dispute,
        _ if starts("subscription_") => FactKind::Subscription,
        _ if starts("customer_") => FactKind::Customer,
        _ if starts("invoice_") || starts("dunning_") => FactKind::Invoice,
        _ if ["item_", "plan_", "coupon_", "addon_"].into_iter().any(starts) => FactKind::Catalog,
        _ => FactKind::Other,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn event(name: &str, content: Value) -> Value {
        json!({"id": "ev_1", "object": "event", "api_version": "v2", "occurred_at": 1_790_000_000,
            "event_type": name, "content": content})
    }

    fn fact(event: &Value) -> Fact {
        read(event.to_string().as_bytes(), false).unwrap()
    }

    #[test]
    fn an_event_names_what_it_is_about() {
        let whole = json!({"subscription": {"id": "s", "customer_id": "c", "resource_version": 7}});
        let got = fact(&event("subscription_paused", whole));
        assert_eq!(
            (got.kind, got.subscription, got.customer),
            (FactKind::Subscription, Some("s".into()), Some("c".into()))
        );
        assert_eq!(got.provider_version, 7);
        let invoice = json!({"invoice": {"id": "i", "customer_id": "c", "subscription_id": "s"}});
        let got = fact(&event("payment_failed", invoice));
        assert_eq!((got.kind, got.subscription), (FactKind::PaymentFailed, Some("s".into())));
        let reversal =
            json!({"transaction": {"id": "t", "type": "payment_reversal", "subscription_id": "s"}});
        assert_eq!(fact(&event("transaction_created", reversal)).kind, FactKind::Dispute);
        let payment = json!({"transaction": {"id": "t", "type": "payment", "subscription_id": "s"}});
        assert_eq!(fact(&event("transaction_created", payment)).kind, FactKind::Other);
        let note = json!({"credit_note": {"id": "n", "reason_code": "chargeback", "customer_id": "c"}});
        assert_eq!(fact(&event("credit_note_created", note)).kind, FactKind::Dispute);
    }

    #[test]
    fn the_first_api_version_is_refused() {
        for version in [json!("v1"), Value::Null] {
            let mut old = event("customer_changed", json!({}));
            old["api_version"] = version;
            let said = read(old.to_string().as_bytes(), true);
            assert!(matches!(said, Err(Rejected::Unreadable(_))), "{said:?}");
        }
    }

    #[test]
    fn what_chargebee_says_otherwise_was_not_told() {
        let about = |s: &str| json!({"subscription": {"id": s, "customer_id": "c"}});
        let told = fact(&event("payment_failed", about("s")));
        let stands = |e: Value| is_told(&serde_json::from_value(e).unwrap(), &told);
        assert!(stands(event("payment_failed", about("s"))));
        assert!(!stands(event("payment_succeeded", about("s"))));
        assert!(!stands(event("payment_failed", about("other"))));
    }
}
