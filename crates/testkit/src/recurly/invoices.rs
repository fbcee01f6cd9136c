//! Invoices, line items and refunds at the fake.

use serde_json::{Value, json};

use super::api::{Asked, Problem, Reply, of_account};
use super::world::{World, list, stamp, text};

/// The paid invoice of a period. It takes in what waits on the account and uses up what is for one invoice.
pub fn write(world: &mut World, s: &Value, at: &str) -> Value {
    let (id, account) = (world.new_id("inv"), text(&s["account"]["id"]).to_owned());
    let number = (1_000 + world.all("invoice").len()).to_string();
    let total = s["total"].clone();
    let invoice = json!({
        "id": id, "object": "invoice", "uuid": format!("{id:0>32}"), "type": "charge", "origin": "renewal",
        "state": "paid", "account": s["account"], "subscription_ids": [s["id"]], "number": number,
        "collection_method": "automatic", "currency": s["currency"], "subtotal": total, "discount": 0.0, "tax": 0.0,
        "total": total, "paid": total, "balance": 0.0, "refundable_amount": total, "line_items": [],
        "transactions": [], "credit_payments": [], "created_at": at, "updated_at": at, "due_at": at, "closed_at": at,
    });
    world.put(invoice.clone());
    world.tell("charge_invoice", "paid", &invoice, at);
    let pending: Vec<String> = world
        .all("line_item")
        .iter()
        .filter(|i| i["state"] == "pending" && i["account"]["id"] == account.as_str())
        .map(|i| text(&i["id"]).to_owned())
        .collect();
    for item in pending {
        world.change(&item, json!({"state": "invoiced", "invoice_id": id, "invoice_number": number}), at);
    }
    let used: Vec<String> = world
        .all("coupon_redemption")
        .iter()
        .filter(|r| r["state"] == "active" && r["subscription_id"] == s["id"])
        .filter(|r| r["coupon"]["duration"] == "single_use")
        .map(|r| text(&r["id"]).to_owned())
        .collect();
    for redemption in used {
        world.change(&redemption, json!({"state": "inactive"}), at);
    }
    invoice
}

pub fn create_line_item(world: &mut World, asked: &Asked<'_>, account: &str) -> Reply {
    let account = of_account(world, account)?;
    let body = &asked.body;
    let kind = text(&body["type"]);
    let amount = body["unit_amount"].as_f64().unwrap_or_default();
    if amount <= 0.0 {
        return Err(Problem::validation("unit_amount", "must be greater than 0"));
    }
    let (id, now) = (world.new_id("lin"), stamp(asked.now));
    let signed = if kind == "credit" { -amount } else { amount };
    let mut item = json!({
        "id": id, "object": "line_item", "uuid": format!("{id:0>32}"), "type": kind, "state": "pending",
        "account": account, "origin": if kind == "credit" { "credit" } else { "debit" }, "currency": body["currency"],
        "quantity": 1, "unit_amount": signed, "amount": signed, "subtotal": signed, "discount": 0.0, "tax": 0.0,
        "created_at": now, "updated_at": now, "start_date": now,
    });
    for field in ["description", "product_code", "accounting_code", "credit_reason_code"] {
        item[field] = body[field].clone();
    }
    world.put(item.clone());
    Ok((201, item))
}

pub fn remove_line_item(world: &mut World, id: &str) -> Reply {
    let item = world.get("line_item", id).cloned().ok_or_else(Problem::missing)?;
    if item["state"] != "pending" {
        return Err(Problem::validation("base", "An invoiced line item cannot be removed"));
    }
    world.remove("line_item", id);
    Ok((204, Value::Null))
}

/// Money back: a credit invoice that names the one it gives back from.
pub fn refund(world: &mut World, asked: &Asked<'_>, named: &str) -> Reply {
    let paid = world.find("invoice", named).cloned().ok_or_else(Problem::missing)?;
    let left = paid["refundable_amount"].as_f64().unwrap_or_default();
    let amount = asked.body["amount"].as_f64().filter(|_| asked.body["type"] == "amount");
    let Some(amount) = amount.filter(|a| *a > 0.0 && *a <= left) else {
        return Err(Problem::validation("amount", "must be at most what can be refunded"));
    };
    if paid["type"] != "charge" || !list(&json!(["paid", "closed"])).any(|s| *s == paid["state"]) {
        return Err(Problem::validation("base", "Only a paid invoice can be refunded"));
    }
    let now = stamp(asked.now);
    let cents = |n: f64| (n * 100.0).round() / 100.0;
    world.change(text(&paid["id"]), json!({"refundable_amount": cents(left - amount)}), &now);
    let id = world.new_id("inv");
    let number = (1_000 + world.all("invoice").len()).to_string();
    let mut credit = paid.clone();
    let changes = json!({
        "id": id, "uuid": format!("{id:0>32}"), "type": "credit", "origin": "refund", "state": "closed",
        "number": number, "previous_invoice_id": paid["id"], "subtotal": -amount, "total": -amount, "paid": -amount,
        "refundable_amount": 0.0, "customer_notes": asked.body["credit_customer_notes"], "created_at": now,
        "updated_at": now, "due_at": now, "closed_at": now,
    });
    for (key, value) in changes.as_object().into_iter().flatten() {
        credit[key] = value.clone();
    }
    world.put(credit.clone());
    world.tell("credit_invoice", "created", &credit, &now);
    Ok((201, credit))
}
