//! Notifications as facts: which, about what, when. A JSON notification names the object and holds none of its fields, so
//! what it came to is read back.

use super::wire::Notification;
use crate::providers::{ExternalId, Fact, FactKind, InboundCall, Rejected, Said};

/// Before the number of an invoice, and the uuid of a transaction, that stand in for the subscription they are about: the
/// notification does not name it. No id of Recurly's holds a colon.
pub const INVOICE: &str = "invoice:";
pub const TRANSACTION: &str = "transaction:";

/// XML notifications carry no signature whatever they say.
pub fn refuse_xml(call: &InboundCall<'_>) -> Result<(), Rejected> {
    let typed = call.header("content-type").is_some_and(|t| t.to_ascii_lowercase().contains("xml"));
    let begins = call.body.trim_ascii_start().starts_with(b"<");
    if typed || begins {
        let text = "XML notifications are not signed; set the endpoint in Recurly to JSON";
        return Err(Rejected::Unsigned(text));
    }
    Ok(())
}

/// Reads a signed notification.
pub fn read(call: &InboundCall<'_>) -> Result<Fact, Rejected> {
    let said: Notification =
        serde_json::from_slice(call.body).map_err(|e| Rejected::Unreadable(e.to_string()))?;
    let name = format!("{}.{}", said.object_type, said.event_type);
    let stands_in = |prefix: &str, of: &Option<String>| of.as_ref().map(|of| format!("{prefix}{of}"));
    let (kind, subscription) = match said.object_type.as_str() {
        "subscription" => {
            (of_subscription(&said.event_type), said.id.clone().or(stands_in("uuid-", &said.uuid)))
        }
        "charge_invoice" | "dunning_event" => (FactKind::Invoice, stands_in(INVOICE, &said.invoice_number)),
        "payment" => (of_payment(&said.event_type), stands_in(TRANSACTION, &said.uuid)),
        _ => (FactKind::Other, None),
    };
    let subscription = subscription.or(stands_in("uuid-", &said.subscription_uuid));
    let customer = match said.object_type.as_str() {
        "account" => said.id.clone().or(stands_in("code-", &said.account_code)),
        _ => stands_in("code-", &said.account_code),
    };
    let kind = match (said.object_type.as_str(), said.event_type.as_str()) {
        ("account", "created" | "updated" | "closed" | "reopened") => FactKind::Customer,
        ("billing_info", "updated") if customer.is_some() => FactKind::Customer,
        // Nothing says where to look.
        _ if kind != FactKind::Other && subscription.is_none() && customer.is_none() => FactKind::Other,
        _ => kind,
    };
    // The notification has no id of its own in the body: its `id` is the object's, and comes again with the next event.
    let object = said.id.as_ref().or(said.uuid.as_ref()).map_or("", String::as_str);
    let made = || format!("{}:{object}:{}:{}", said.object_type, said.event_type, said.event_time);
    let id = call.header("recurly-notification-id").filter(|id| !id.is_empty()).map(str::to_owned);
    Ok(Fact {
        id: id.unwrap_or_else(made),
        kind,
        name,
        customer: customer.map(ExternalId::new),
        subscription: subscription.map(ExternalId::new),
        occurred_at: said.event_time,
        // Recurly says the second only. A mirror read within it may be older than the event, so the whole second counts.
        provider_version: said.event_time.as_second() * 1_000 + 999,
        live: None,
        said: Said::default(),
    })
}

fn of_subscription(event: &str) -> FactKind {
    match event {
        "created"
        | "updated"
        | "canceled"
        | "expired"
        | "renewed"
        | "reactivated"
        | "paused"
        | "resumed"
        | "pause.scheduled"
        | "pause.modified"
        | "pause.canceled"
        | "renewal.skipped"
        | "pending_change.scheduled" => FactKind::Subscription,
        // What is to come changes nothing yet; what we do not know is kept and left alone.
        _ => FactKind::Other,
    }
}

fn of_payment(event: &str) -> FactKind {
    match event {
        "succeeded" => FactKind::PaymentSucceeded,
        "failed" => FactKind::PaymentFailed,
        "refunded" => FactKind::Refund,
        // A chargeback among others: which, only the transaction says.
        "transaction_status_updated" | "voided" => FactKind::Invoice,
        _ => FactKind::Other,
    }
}

#[cfg(test)]
mod tests {
    use kit::Timestamp;
    use serde_json::{Value, json};

    use super::*;

    fn fact(body: &Value, headers: &[(String, String)]) -> Result<Fact, Rejected> {
        let body = body.to_string();
        read(&InboundCall { headers, body: body.as_bytes(), now: Timestamp::UNIX_EPOCH })
    }

    fn said(object: &str, event: &str, more: Value) -> Value {
        let mut body = json!({"id": "rjxwmwedwqug", "object_type": object, "site_id": "qc326l1hl8k9",
            "event_type": event, "event_time": "2022-09-13T21:18:40Z"});
        for (key, value) in more.as_object().unwrap() {
            body[key] = value.clone();
        }
        body
    }

    #[test]
    fn each_pair_says_where_to_look() {
        use FactKind::*;
        let rows = [
            ("account", "updated", json!({"account_code": "ada"}), Customer, None, Some("rjxwmwedwqug")),
            ("billing_info", "updated", json!({"account_code": "ada"}), Customer, None, Some("code-ada")),
            ("subscription", "canceled", json!({"uuid": "5d9d"}), Subscription, Some("rjxwmwedwqug"), None),
            (
                "subscription",
                "pause.scheduled",
                json!({"uuid": "5d9d"}),
                Subscription,
                Some("rjxwmwedwqug"),
                None,
            ),
            ("subscription", "renewal.scheduled", json!({"uuid": "5d9d"}), Other, Some("rjxwmwedwqug"), None),
            (
                "charge_invoice",
                "past_due",
                json!({"invoice_number": "1001"}),
                Invoice,
                Some("invoice:1001"),
                None,
            ),
            ("payment", "failed", json!({"uuid": "7a1b"}), PaymentFailed, Some("transaction:7a1b"), None),
            (
                "payment",
                "succeeded",
                json!({"uuid": "7a1b"}),
                PaymentSucceeded,
                Some("transaction:7a1b"),
                None,
            ),
            ("payment", "authorized", json!({"uuid": "7a1b"}), Other, Some("transaction:7a1b"), None),
            ("credit_invoice", "created", json!({"invoice_number": "1002"}), Other, None, None),
            ("weather", "changed", json!({}), Other, None, None),
        ];
        for (object, event, more, kind, subscription, customer) in rows {
            let got = fact(&said(object, event, more), &[]).unwrap();
            assert_eq!(got.kind, kind, "{object} {event}");
            assert_eq!(got.subscription.as_ref().map(ExternalId::as_str), subscription, "{object} {event}");
            assert_eq!(got.customer.as_ref().map(ExternalId::as_str), customer, "{object} {event}");
        }
    }

    #[test]
    fn a_notification_is_known_by_its_header_or_by_what_it_says() {
        let body = said("subscription", "updated", json!({"uuid": "5d9d"}));
        let header = [("Recurly-Notification-Id".to_owned(), "ntf_1".to_owned())];
        assert_eq!(fact(&body, &header).unwrap().id, "ntf_1");
        let first = fact(&body, &[]).unwrap();
        assert_eq!(first.id, "subscription:rjxwmwedwqug:updated:2022-09-13T21:18:40Z");
        let mut later = body.clone();
        later["event_time"] = json!("2022-09-13T21:18:41Z");
        assert_ne!(fact(&later, &[]).unwrap().id, first.id, "the object's id is not the event's");
    }

    #[test]
    fn xml_is_refused_for_what_it_is() {
        let call = |kind: &str, body: &'static str| {
            let headers = [("content-type".to_owned(), kind.to_owned())];
            refuse_xml(&InboundCall { headers: &headers, body: body.as_bytes(), now: Timestamp::UNIX_EPOCH })
        };
        assert!(matches!(call("application/xml", ""), Err(Rejected::Unsigned(_))));
        let body = "\n<?xml version=\"1.0\"?><new_subscription_notification/>";
        assert!(matches!(call("application/json", body), Err(Rejected::Unsigned(_))));
        assert!(call("application/json", "{}").is_ok());
    }
}
