//! Invoices as far as refunds need them: each is paid by card when it is written, and no event tells of it.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::api::{Problem, Reply};
use super::params::Params;
use super::world::World;

/// The paid invoice of the term a subscription has just begun.
pub fn write(world: &mut World, s: &Value, at: i64, now: Timestamp) {
    let id = s["id"].as_str().unwrap_or_default();
    let lines = s["subscription_items"].as_array().into_iter().flatten();
    let full: i64 = lines.map(|i| &i["amount"]).chain([&s["plan_amount"]]).filter_map(Value::as_i64).sum();
    let applied = world.applied.get(id).cloned().unwrap_or_default();
    let shares = applied.iter().filter_map(|(_, d)| d["percentage"].as_f64());
    let share = shares.fold(full as f64, |rest, off| rest * (100.0 - off) / 100.0).round() as i64;
    let off: i64 = applied.iter().filter_map(|(_, d)| d["amount"].as_i64()).sum();
    let total = (share - off).max(0);

    let payment = world.new_id("txn_");
    let transaction = json!({"id": payment, "object": "transaction", "type": "payment", "status": "success",
        "payment_method": "card", "gateway": "chargebee", "amount": total, "amount_unused": 0, "date": at,
        "currency_code": s["currency_code"], "customer_id": s["customer_id"], "subscription_id": id,
        "deleted": false});
    let linked = json!({"txn_id": payment, "applied_amount": total, "applied_at": at, "txn_status": "success",
        "txn_date": at, "txn_amount": total});
    let linked = if total > 0 { json!([linked]) } else { json!([]) };
    let invoice = world.new_id("inv_");
    let invoice = json!({"id": invoice, "object": "invoice", "status": "paid", "recurring": true, "price_type": "tax_exclusive",
        "customer_id": s["customer_id"], "subscription_id": id, "currency_code": s["currency_code"], "date": at,
        "due_date": at, "paid_at": at, "sub_total": full, "tax": 0, "total": total, "amount_paid": total, "amount_due": 0,
        "amount_adjusted": 0, "credits_applied": 0, "write_off_amount": 0, "term_finalized": true, "is_gifted": false,
        "linked_payments": linked, "adjustment_credit_notes": [], "issued_credit_notes": [], "deleted": false});
    if total > 0 {
        world.put("transaction", transaction, now);
    }
    world.put("invoice", invoice, now);
}

/// Pays an invoice back, or part of it: several times, up to what was paid. A credit note says so.
pub fn refund(world: &mut World, id: &str, p: &Params, now: Timestamp) -> Reply {
    if let Some(name) = p.unknown(&["refund_amount", "comment", "customer_notes", "credit_note"]) {
        return Err(Problem::wrong(name, format!("{name} is not a parameter here")));
    }
    let reasons = [
        "product_unsatisfactory",
        "service_unsatisfactory",
        "order_change",
        "order_cancellation",
        "waiver",
        "other",
    ];
    let reason = p.text("credit_note[reason_code]").unwrap_or("other");
    if !reasons.contains(&reason) {
        return Err(Problem::wrong("credit_note[reason_code]", "is not one of the reasons"));
    }
    let mut invoice = world.get("invoice", id).cloned().ok_or_else(|| Problem::missing(id))?;
    if invoice["status"] != "paid" {
        return Err(Problem::state("the invoice is not paid"));
    }
    let sum = |list: &Value, field: &str| -> i64 {
        list.as_array().into_iter().flatten().filter_map(|o| o[field].as_i64()).sum()
    };
    let paid = sum(&invoice["linked_payments"], "applied_amount");
    let left = paid - sum(&invoice["issued_credit_notes"], "cn_total");
    if left <= 0 {
        return Err(Problem::state("the invoice has no amount that can be refunded"));
    }
    let amount = p.number("refund_amount").unwrap_or(left);
    if amount <= 0 || amount > left {
        return Err(Problem::wrong("refund_amount", format!("must be between 1 and {left}")));
    }
    let second = now.as_second();
    let (back, note) = (world.new_id("txn_"), world.new_id("CN-"));
    let linked = json!({"txn_id": back, "applied_amount": amount, "applied_at": second, "txn_status": "success",
        "txn_date": second, "txn_amount": amount});
    let (customer, subscription) = (invoice["customer_id"].clone(), invoice["subscription_id"].clone());
    let transaction = json!({"id": back, "object": "transaction", "type": "refund", "status": "success",
        "payment_method": "card", "gateway": "chargebee", "amount": amount, "date": second,
        "refunded_txn_id": invoice["linked_payments"][0]["txn_id"], "currency_code": invoice["currency_code"],
        "customer_id": customer, "subscription_id": subscription, "deleted": false});
    let notes: Vec<&str> = p.text("customer_notes").into_iter().collect();
    let credit_note = json!({"id": note, "object": "credit_note", "type": "refundable", "status": "refunded",
        "reason_code": reason, "create_reason_code": "Waiver", "price_type": "tax_exclusive", "date": second,
        "reference_invoice_id": id, "customer_id": customer, "subscription_id": subscription,
        "currency_code": invoice["currency_code"], "sub_total": amount, "total": amount, "amount_allocated": 0,
        "amount_refunded": amount, "amount_available": 0, "refunded_at": second, "linked_refunds": [linked],
        "allocations": [], "notes": notes, "deleted": false});
    let issued = json!({"cn_id": note, "cn_reason_code": reason, "cn_date": second, "cn_total": amount,
        "cn_status": "refunded"});
    if let Some(all) = invoice["issued_credit_notes"].as_array_mut() {
        all.push(issued);
    }
    world.put("transaction", transaction.clone(), now);
    world.put("credit_note", credit_note.clone(), now);
    world.put("invoice", invoice.clone(), now);
    let told = [
        ("transaction", transaction.clone()),
        ("invoice", invoice.clone()),
        ("credit_note", credit_note.clone()),
    ];
    world.emit("payment_refunded", subscription.as_str().unwrap_or_default(), &told, now);
    Ok(json!({"invoice": invoice, "transaction": transaction, "credit_note": credit_note}))
}
