//! Events as facts: which, about what, when. What it came to is read back.

use kit::{Mode, Money};

use super::{VERSION, map, wire};
use crate::providers::{ExternalId, Fact, FactKind, Rejected, Said};

/// Reads a signed event.
pub fn read(body: &[u8], mode: Mode) -> Result<Fact, Rejected> {
    let unreadable = |e: &dyn std::fmt::Display| Rejected::Unreadable(e.to_string());
    let event: wire::Event = serde_json::from_slice(body).map_err(|e| unreadable(&e))?;
    if event.object != "event" {
        // A "thin" event holds no object; endpoints for those are another kind, which we do not set up.
        return Err(Rejected::Unreadable(format!("{} is not an event we take", event.object)));
    }
    if event.livemode != (mode == Mode::Live) {
        return Err(Rejected::OtherMode);
    }
    let (customer, subscription) = about(&event);
    let said = said(&event);
    let occurred_at = map::second(event.created).map_err(|e| unreadable(&e))?;
    Ok(Fact {
        id: event.id,
        kind: kind(&event.kind),
        name: event.kind,
        customer: customer.map(ExternalId::from),
        subscription: subscription.map(ExternalId::from),
        occurred_at,
        // Stripe says the second only. A mirror read within it may be older than the event, so the whole second counts.
        provider_version: occurred_at.as_millisecond() + 999,
        live: Some(event.livemode),
        said,
    })
}

fn said(event: &wire::Event) -> Said {
    let object = &event.data.object;
    // A refund comes as several events, and so does a dispute: one of them says how much, or it would count twice. What a
    // charge says is the sum of all its refunds.
    let before = event.data.previous_attributes.as_ref().and_then(|p| p.amount_refunded).unwrap_or(0);
    let minor = match event.kind.as_str() {
        "charge.refunded" => object.amount_refunded.map(|sum| sum - before),
        "charge.dispute.created" => object.amount,
        _ => None,
    };
    let money = |minor| Some(Money::new(minor, map::currency(object.currency.as_deref()?).ok()?));
    Said {
        amount: minor.and_then(money),
        invoice: object.invoice.as_ref().map(|i| ExternalId::new(i.id())),
        payment: object.charge.as_ref().map(|c| ExternalId::new(c.id())),
        odd_version: event.api_version.clone().filter(|v| v != VERSION),
    }
}

/// The customer and the subscription an event is about.
pub fn about(event: &wire::Event) -> (Option<String>, Option<String>) {
    let object = &event.data.object;
    let own = |kind: &str| object.id.clone().filter(|_| object.object == kind);
    let linked = |r: &Option<wire::Ref<wire::Identified>>| r.as_ref().map(|r| r.id().to_owned());
    let parent = object.parent.as_ref().and_then(|p| p.subscription_details.as_ref());
    let customer = own("customer").or_else(|| linked(&object.customer));
    let subscription = own("subscription")
        .or_else(|| linked(&object.subscription))
        .or_else(|| parent.and_then(|p| linked(&p.subscription)));
    (customer, subscription)
}

fn kind(name: &str) -> FactKind {
    let starts = |prefix| name.starts_with(prefix);
    match name {
        "invoice.paid" | "invoice.payment_succeeded" => FactKind::PaymentSucceeded,
        "invoice.payment_failed" => FactKind::PaymentFailed,
        _ if starts("customer.subscription.") || starts("customer.discount.") => FactKind::Subscription,
        "customer.created" | "customer.updated" | "customer.deleted" => FactKind::Customer,
        _ if starts("charge.dispute.") => FactKind::Dispute,
        _ if starts("refund.") || starts("charge.refund") => FactKind::Refund,
        _ if starts("invoice.") => FactKind::Invoice,
        _ if starts("price.") || starts("product.") || starts("coupon.") || starts("plan.") => {
            FactKind::Catalog
        }
        _ => FactKind::Other,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_invoice_names_its_subscription_in_the_old_place_and_in_the_new() {
        let event = |object: serde_json::Value| {
            let whole = json!({"id": "evt_1", "object": "event", "type": "invoice.payment_failed", "created": 1_760_000_000,
                "livemode": false, "data": {"object": object}});
            read(whole.to_string().as_bytes(), Mode::Test).unwrap()
        };
        let old =
            event(json!({"id": "in_1", "object": "invoice", "customer": "cus_1", "subscription": "sub_1"}));
        let new = event(json!({"id": "in_1", "object": "invoice", "customer": "cus_1",
            "parent": {"subscription_details": {"subscription": "sub_1"}}}));
        assert_eq!(old, new);
        assert_eq!(old.kind, FactKind::PaymentFailed);
        assert_eq!(old.subscription, Some("sub_1".into()));
    }

    #[test]
    fn a_refund_says_how_much_and_another_version_is_noticed() {
        let event = |version: &str, kind: &str, object: serde_json::Value| {
            let whole = json!({"id": "evt_1", "object": "event", "type": kind, "created": 1_760_000_000,
                "livemode": false, "api_version": version,
                "data": {"object": object, "previous_attributes": {"amount_refunded": 300}}});
            read(whole.to_string().as_bytes(), Mode::Test).unwrap()
        };
        let charge = json!({"id": "ch_1", "object": "charge", "customer": "cus_1", "amount": 2_000,
            "amount_refunded": 500, "currency": "eur", "invoice": "in_1"});
        let refunded = event(VERSION, "charge.refunded", charge);
        assert_eq!(refunded.kind, FactKind::Refund);
        let Said { amount, invoice, payment: _, odd_version } = refunded.said;
        assert_eq!((amount.map(|a| a.minor), invoice, odd_version), (Some(200), Some("in_1".into()), None));
        let dispute =
            json!({"id": "dp_1", "object": "dispute", "amount": 2_000, "currency": "jpy", "charge": "ch_1"});
        let disputed = event("2023-08-16", "charge.dispute.created", dispute);
        let said = disputed.said.clone();
        assert_eq!(
            said.amount.map(|a| (a.minor, a.currency.as_str().to_owned())),
            Some((2_000, "JPY".into()))
        );
        assert_eq!(said.odd_version.as_deref(), Some("2023-08-16"));
        assert_eq!(
            (disputed.customer, said.payment),
            (None, Some("ch_1".into())),
            "only the charge is named"
        );
        // An amount that is no refund's is nobody's business here.
        let price =
            json!({"id": "in_1", "object": "invoice", "customer": "cus_1", "amount": 1, "currency": "eur"});
        assert_eq!(event(VERSION, "invoice.paid", price).said, Said::default());
    }

    #[test]
    fn the_other_mode_and_thin_events_are_refused() {
        let body = json!({"id": "evt_1", "object": "event", "type": "customer.updated", "created": 1, "livemode": false,
            "data": {"object": {"id": "cus_1", "object": "customer"}}});
        assert_eq!(read(body.to_string().as_bytes(), Mode::Live), Err(Rejected::OtherMode));
        let thin =
            json!({"id": "evt_1", "object": "v2.core.event", "type": "x", "created": "2026-11-01T00:00:00Z"});
        assert!(matches!(read(thin.to_string().as_bytes(), Mode::Test), Err(Rejected::Unreadable(_))));
    }
}
