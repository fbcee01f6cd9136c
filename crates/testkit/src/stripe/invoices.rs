//! Invoices as far as refunds and disputes need them: each is paid when it is written, by a payment of its own. No event
//! tells of them.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::api::{Asked, Problem, Reply, text};
use super::world::{World, list};

/// The invoice of the period a subscription has just begun.
pub fn write(world: &mut World, s: &Value, at: i64) {
    // Nothing is due in a trial, and a pause of collection voids what is written.
    if s["status"] != "active" || !s["pause_collection"].is_null() {
        return;
    }
    let price = |i: &Value| {
        i["price"]["unit_amount"].as_i64().unwrap_or_default() * i["quantity"].as_i64().unwrap_or(1)
    };
    let full: i64 = list(&s["items"]["data"]).map(price).sum();
    let coupons: Vec<Value> = list(&s["discounts"])
        .filter_map(|d| world.any(d.as_str()?)?["source"]["coupon"].as_str())
        .filter_map(|id| world.any(id).cloned())
        .collect();
    let shared = coupons.iter().filter_map(|c| c["percent_off"].as_f64());
    let share = shared.fold(full as f64, |rest, off| rest * (100.0 - off) / 100.0).round() as i64;
    let off: i64 = coupons.iter().filter_map(|c| c["amount_off"].as_i64()).sum();
    let amount = (share - off).max(0);

    let mut invoice = world.sample("invoice");
    let id = world.new_id("in");
    for (field, value) in [
        ("id", json!(id)),
        ("customer", s["customer"].clone()),
        ("currency", s["currency"].clone()),
        ("status", json!("paid")),
        ("billing_reason", json!("subscription_cycle")),
        ("created", json!(at)),
        ("subtotal", json!(full)),
        ("total", json!(amount)),
        ("amount_due", json!(amount)),
        ("amount_paid", json!(amount)),
        ("amount_remaining", json!(0)),
        ("next_payment_attempt", Value::Null),
    ] {
        invoice[field] = value;
    }
    invoice["parent"] = json!({
        "type": "subscription_details", "quote_details": null,
        "subscription_details": { "metadata": {}, "subscription": s["id"] },
    });
    invoice["status_transitions"]["finalized_at"] = json!(at);
    invoice["status_transitions"]["paid_at"] = json!(at);
    world.put(invoice);
    if amount == 0 {
        return;
    }
    let mut payment = world.sample("invoice_payment");
    let intent = world.new_id("pi");
    for (field, value) in [
        ("id", json!(world.new_id("inpay"))),
        ("invoice", json!(id)),
        ("amount_requested", json!(amount)),
        ("amount_paid", json!(amount)),
        ("currency", s["currency"].clone()),
        ("created", json!(at)),
        ("status", json!("paid")),
        ("payment", json!({ "type": "payment_intent", "payment_intent": intent })),
        ("status_transitions", json!({ "canceled_at": null, "paid_at": at })),
    ] {
        payment[field] = value;
    }
    world.put(payment);
    let mut charge = world.sample("charge");
    for (field, value) in [
        ("id", json!(world.new_id("ch"))),
        ("amount", json!(amount)),
        ("amount_captured", json!(amount)),
        ("captured", json!(true)),
        ("currency", s["currency"].clone()),
        ("customer", s["customer"].clone()),
        ("payment_intent", json!(intent)),
        ("created", json!(at)),
    ] {
        charge[field] = value;
    }
    world.put(charge);
}

fn charge_of(world: &World, intent: &str) -> Option<Value> {
    world.all("charge").into_iter().find(|c| c["payment_intent"] == intent).cloned()
}

/// The bank takes the subscription's last payment back. As the real ones do, the dispute names the charge and no customer.
pub fn dispute(world: &mut World, subscription: &str, now: Timestamp) -> Value {
    let of = |i: &&Value| i["parent"]["subscription_details"]["subscription"] == subscription;
    let invoice = world.all("invoice").into_iter().find(of).expect("an invoice of the fake")["id"].clone();
    let paid = |p: &&Value| p["invoice"] == invoice;
    let payments = world.all("invoice_payment");
    let intent = payments.into_iter().find(paid).expect("it was paid")["payment"]["payment_intent"].clone();
    let charge = charge_of(world, text(&intent).unwrap_or_default()).expect("a charge of the fake");
    let mut dispute = world.sample("dispute");
    for (field, value) in [
        ("id", json!(world.new_id("dp"))),
        ("amount", charge["amount"].clone()),
        ("currency", charge["currency"].clone()),
        ("charge", charge["id"].clone()),
        ("payment_intent", intent),
        ("created", json!(now.as_second())),
        ("reason", json!("fraudulent")),
        ("status", json!("needs_response")),
    ] {
        dispute[field] = value;
    }
    world.put(dispute.clone());
    world.emit("charge.dispute.created", &dispute, None, now);
    dispute
}

/// Pays a payment back, or part of it: several times, up to what was paid.
pub fn refund(world: &mut World, asked: &Asked<'_>) -> Reply {
    let p = &asked.params;
    let known = ["amount", "charge", "payment_intent", "reason", "metadata", "expand"];
    let mut asked_for = p.as_object().into_iter().flatten().map(|(k, _)| k.as_str());
    if let Some(unknown) = asked_for.find(|k| !known.contains(k)) {
        let message = format!("Received unknown parameter: {unknown}");
        return Err(Problem::invalid("parameter_unknown", message, unknown));
    }
    if let Some(reason) = text(&p["reason"])
        && !["duplicate", "fraudulent", "requested_by_customer"].contains(&reason)
    {
        return Err(Problem::invalid("", "Invalid reason", "reason"));
    }
    let intent = text(&p["payment_intent"]).unwrap_or_default().to_owned();
    let payments = world.all("invoice_payment");
    let payment = payments.into_iter().find(|i| i["payment"]["payment_intent"] == json!(intent)).cloned();
    let Some(payment) = payment else {
        let message = format!("No such payment_intent: '{intent}'");
        return Err(Problem::invalid("resource_missing", message, "payment_intent"));
    };
    let refunds = world.all("refund");
    let stands = |r: &&&Value| r["payment_intent"] == json!(intent) && r["status"] != "failed";
    let back: i64 = refunds.iter().filter(stands).filter_map(|r| r["amount"].as_i64()).sum();
    let left = payment["amount_paid"].as_i64().unwrap_or_default() - back;
    if left <= 0 {
        return Err(Problem::invalid("charge_already_refunded", "The charge has already been refunded.", ""));
    }
    let amount = match text(&p["amount"]).map(str::parse::<i64>) {
        None => left,
        Some(Ok(amount)) if amount > 0 => amount,
        Some(_) => return Err(Problem::invalid("parameter_invalid_integer", "Invalid integer", "amount")),
    };
    if amount > left {
        let message =
            format!("Refund amount ({amount}) is greater than unrefunded amount on charge ({left})");
        return Err(Problem::invalid("", message, "amount"));
    }
    let mut refund = world.sample("refund");
    for (field, value) in [
        ("id", json!(world.new_id("re"))),
        ("amount", json!(amount)),
        ("currency", payment["currency"].clone()),
        ("charge", charge_of(world, &intent).map(|c| c["id"].clone()).unwrap_or_default()),
        ("payment_intent", json!(intent)),
        ("created", json!(asked.now.as_second())),
        ("reason", p["reason"].clone()),
        ("status", json!("succeeded")),
    ] {
        refund[field] = value;
    }
    if !p["metadata"].is_null() {
        refund["metadata"] = p["metadata"].clone();
    }
    world.put(refund.clone());
    world.emit("refund.created", &refund, None, asked.now);
    Ok(refund)
}
