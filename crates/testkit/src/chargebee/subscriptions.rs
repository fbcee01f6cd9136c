//! What can be done to a subscription.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::Catalogue;
use super::api::{Problem, Reply};
use super::invoices;
use super::params::Params;
use super::world::{World, drop_field, months_later};

/// Reasons for cancelling that the fake company has set up.
const REASONS: [&str; 2] = ["too_expensive", "not_used"];

pub fn create(world: &mut World, customer: &str, price: &str, trial_days: i64, now: Timestamp) -> String {
    let id = world.new_id("sub");
    let second = now.as_second();
    let plan = plan_of(world, price, 1).expect("a price of the fake");
    let mut s = json!({"id": id, "object": "subscription", "customer_id": customer, "status": "active",
        "billing_period": 1, "billing_period_unit": "month", "started_at": second, "created_at": second,
        "current_term_start": second, "current_term_end": months_later(second, 1), "deleted": false,
        "has_scheduled_changes": false, "due_invoices_count": 0, "auto_collection": "on"});
    plan.as_object().into_iter().flatten().for_each(|(k, v)| s[k] = v.clone());
    if trial_days > 0 {
        let end = second + trial_days * 86_400;
        s["status"] = json!("in_trial");
        s["trial_start"] = json!(second);
        s["trial_end"] = json!(end);
        s["current_term_end"] = json!(end);
    } else {
        invoices::write(world, &s, second, now);
    }
    world.put("subscription", s, now);
    world.emit("subscription_created", &id, &[], now);
    id
}

/// The fields that say what a subscription is of.
fn plan_of(world: &World, price: &str, quantity: i64) -> Option<Value> {
    let kind = if world.catalogue == Catalogue::Plans { "plan" } else { "item_price" };
    let found = world.get(kind, price)?;
    let (currency, unit) = (&found["currency_code"], found["price"].as_i64()?);
    Some(match world.catalogue {
        Catalogue::Plans => json!({"plan_id": price, "plan_quantity": quantity, "plan_unit_price": unit,
            "plan_amount": unit * quantity, "currency_code": currency}),
        Catalogue::Items => json!({"currency_code": currency, "subscription_items": [{
            "item_price_id": price, "item_type": "plan", "quantity": quantity, "unit_price": unit,
            "amount": unit * quantity, "billing_period": 1, "billing_period_unit": "month", "free_quantity": 0,
            "object": "subscription_item"}]}),
    })
}

fn found(world: &World, id: &str) -> Result<Value, Problem> {
    world.get("subscription", id).cloned().ok_or_else(|| Problem::missing(id))
}

fn is_over(s: &Value) -> bool {
    matches!(s["status"].as_str(), Some("cancelled" | "transferred"))
}

/// Keeps a changed subscription, tells of it, and answers it.
fn done(world: &mut World, s: Value, event: &str, now: Timestamp) -> Reply {
    let id = s["id"].as_str().unwrap_or_default().to_owned();
    world.put("subscription", s, now);
    world.emit(event, &id, &[], now);
    let s = found(world, &id)?;
    let customer = world.get("customer", s["customer_id"].as_str().unwrap_or_default());
    Ok(json!({"subscription": s, "customer": customer}))
}

/// The verbs both catalogues share.
pub fn act(world: &mut World, id: &str, verb: &str, p: &Params, now: Timestamp) -> Reply {
    let mut s = found(world, id)?;
    if is_over(&s) {
        return Err(Problem::state("the subscription is cancelled"));
    }
    let known: &[&str] = match verb {
        "pause" => &["pause_option", "resume_date"],
        "resume" => &["resume_option"],
        "change_term_end" => &["term_ends_at", "prorate", "invoice_immediately"],
        "remove_coupons" => &["coupon_ids"],
        "remove_scheduled_cancellation" => &[],
        _ => return Err(Problem::missing(verb)),
    };
    if let Some(name) = p.unknown(known) {
        return Err(Problem::wrong(name, format!("{name} is not a parameter here")));
    }
    let second = now.as_second();
    match verb {
        "pause" => {
            if p.text("pause_option") != Some("immediately") {
                return Err(Problem::wrong("pause_option", "the fake pauses at once only"));
            }
            if s["status"] != "active" {
                return Err(Problem::state("only an active subscription can be paused"));
            }
            let until = p.number("resume_date").filter(|at| *at > second);
            s["status"] = json!("paused");
            s["pause_date"] = json!(second);
            s["resume_date"] = json!(until.ok_or_else(|| Problem::wrong("resume_date", "must lie ahead"))?);
            done(world, s, "subscription_paused", now)
        }
        "resume" => {
            if s["status"] != "paused" {
                return Err(Problem::state("the subscription is not paused"));
            }
            s["status"] = json!("active");
            drop_field(&mut s, "pause_date");
            drop_field(&mut s, "resume_date");
            done(world, s, "subscription_resumed", now)
        }
        "change_term_end" => {
            let end = p.number("term_ends_at").filter(|at| *at > second);
            let end = end.ok_or_else(|| Problem::wrong("term_ends_at", "must lie ahead"))?;
            let event = match s["status"].as_str() {
                Some("in_trial") => {
                    s["trial_end"] = json!(end);
                    "subscription_trial_extended"
                }
                Some("active") => "subscription_changed",
                Some("non_renewing") => {
                    s["cancelled_at"] = json!(end);
                    "subscription_changed"
                }
                _ => return Err(Problem::state("the term cannot be changed")),
            };
            s["current_term_end"] = json!(end);
            done(world, s, event, now)
        }
        "remove_coupons" => {
            let gone: Vec<String> = p.list("coupon_ids").into_iter().map(str::to_owned).collect();
            let is_gone = |d: &Value| gone.iter().any(|g| d["coupon_id"] == json!(g));
            world.applied.entry(id.to_owned()).or_default().retain(|(by, d)| !(*by && is_gone(d)));
            done(world, s, "subscription_changed", now)
        }
        _ => {
            if s["status"] != "non_renewing" {
                return Err(Problem::state("no cancellation is scheduled"));
            }
            let in_trial = s["trial_end"].as_i64().is_some_and(|end| end > second);
            s["status"] = json!(if in_trial { "in_trial" } else { "active" });
            drop_field(&mut s, "cancelled_at");
            done(world, s, "subscription_scheduled_cancellation_removed", now)
        }
    }
}

pub fn cancel(world: &mut World, id: &str, p: &Params, now: Timestamp) -> Reply {
    let mut s = found(world, id)?;
    if let Some(name) = p.unknown(&["cancel_option", "end_of_term", "cancel_reason_code"]) {
        return Err(Problem::wrong(name, format!("{name} is not a parameter here")));
    }
    if is_over(&s) {
        return Err(Problem::state("the subscription is cancelled"));
    }
    if let Some(reason) = p.text("cancel_reason_code") {
        if !REASONS.contains(&reason) {
            return Err(Problem::wrong("cancel_reason_code", "the reason is not set up"));
        }
        s["cancel_reason_code"] = json!(reason);
    }
    if !p.is_true("end_of_term") && p.text("cancel_option") != Some("end_of_term") {
        s["status"] = json!("cancelled");
        s["cancelled_at"] = json!(now.as_second());
        for field in ["next_billing_at", "resume_date", "pause_date"] {
            drop_field(&mut s, field);
        }
        return done(world, s, "subscription_cancelled", now);
    }
    // Assumed: a cancellation set on a paused subscription shows as any other does.
    s["status"] = json!("non_renewing");
    s["cancelled_at"] = s["current_term_end"].clone();
    drop_field(&mut s, "resume_date");
    done(world, s, "subscription_cancellation_scheduled", now)
}

/// A change of what is bought, and of the discounts.
pub fn update(world: &mut World, id: &str, p: &Params, now: Timestamp) -> Reply {
    let mut s = found(world, id)?;
    if is_over(&s) {
        return Err(Problem::state("the subscription is cancelled"));
    }
    let known = [
        "coupon_ids",
        "replace_coupon_list",
        "discounts",
        "subscription_items",
        "replace_items_list",
        "plan_id",
        "plan_quantity",
        "change_option",
        "prorate",
        "end_of_term",
        "trial_end",
    ];
    if let Some(name) = p.unknown(&known) {
        return Err(Problem::wrong(name, format!("{name} is not a parameter here")));
    }
    if let Some(end) = p.number("trial_end") {
        if s["status"] != "in_trial" || end != 0 {
            return Err(Problem::state("the fake ends a running trial only"));
        }
        s["trial_end"] = json!(now.as_second());
        s["status"] = json!("active");
        s["current_term_start"] = json!(now.as_second());
        s["current_term_end"] = json!(months_later(now.as_second(), 1));
        invoices::write(world, &s, now.as_second(), now);
    }
    let (price, quantity) = match world.catalogue {
        Catalogue::Plans => (p.text("plan_id"), p.number("plan_quantity")),
        Catalogue::Items => {
            let quantity = p.cell("subscription_items", "quantity", 0).and_then(|q| q.parse().ok());
            (p.cell("subscription_items", "item_price_id", 0), quantity)
        }
    };
    if let Some(price) = price {
        let next = plan_of(world, price, quantity.unwrap_or(1)).ok_or_else(|| Problem::missing(price))?;
        let at = if p.is_true("end_of_term") { Some("end_of_term") } else { p.text("change_option") };
        match at {
            None | Some("immediately") => {
                next.as_object().into_iter().flatten().for_each(|(k, v)| s[k] = v.clone())
            }
            Some("end_of_term") => {
                s["has_scheduled_changes"] = json!(true);
                s["changes_scheduled_at"] = s["current_term_end"].clone();
                world.scheduled.insert(id.to_owned(), next);
            }
            Some(_) => return Err(Problem::wrong("change_option", "the fake knows two")),
        }
    }
    change_discounts(world, id, p, now)?;
    done(world, s, "subscription_changed", now)
}

fn change_discounts(world: &mut World, id: &str, p: &Params, now: Timestamp) -> Result<(), Problem> {
    let mut applied = world.applied.get(id).cloned().unwrap_or_default();
    let asked = p.list("coupon_ids");
    if p.is_true("replace_coupon_list") {
        applied.retain(|(by_coupon, d)| !by_coupon || asked.iter().any(|c| d["coupon_id"] == *c));
    }
    for coupon_id in asked {
        // One that is there stays as it is.
        if applied.iter().any(|(by_coupon, d)| *by_coupon && d["coupon_id"] == coupon_id) {
            continue;
        }
        let coupon = world.get("coupon", coupon_id).cloned();
        let coupon = coupon
            .ok_or_else(|| Problem { param: Some("coupon_ids[0]".into()), ..Problem::missing(coupon_id) })?;
        let made = world.new_id("disc_");
        let pairs = [
            ("percentage", "discount_percentage"),
            ("amount", "discount_amount"),
            ("currency_code", "currency_code"),
            ("period", "period"),
            ("period_unit", "period_unit"),
        ];
        let mut discount = json!({"id": made, "object": "discount", "coupon_id": coupon_id, "type": coupon["discount_type"],
            "duration_type": coupon["duration_type"], "apply_on": "invoice_amount", "included_in_mrr": true,
            "created_at": now.as_second(), "index": applied.len()});
        for (to, from) in pairs.into_iter().filter(|(_, from)| !coupon[*from].is_null()) {
            discount[to] = coupon[from].clone();
        }
        if let Some(months) = coupon["period"].as_i64() {
            discount["apply_till"] = json!(months_later(now.as_second(), months));
        }
        applied.push((true, discount));
    }
    for n in 0.. {
        match p.cell("discounts", "operation_type", n) {
            None => break,
            Some("remove") => {
                let gone = p.cell("discounts", "id", n).unwrap_or_default();
                applied.retain(|(by_coupon, d)| *by_coupon || d["id"] != gone);
            }
            Some("add") => {
                let cell = |name: &str| p.cell("discounts", name, n);
                let made = world.new_id("disc_");
                let percent = cell("percentage").and_then(|p| p.parse::<f64>().ok());
                let percent =
                    percent.ok_or_else(|| Problem::wrong("discounts[percentage][0]", "is missing"))?;
                applied.push((
                    false,
                    json!({"id": made, "object": "discount", "coupon_id": format!("hand-{made}"),
                    "type": "percentage", "percentage": percent, "duration_type": cell("duration_type"),
                    "apply_on": cell("apply_on"), "included_in_mrr": true, "created_at": now.as_second(),
                    "index": applied.len()}),
                ));
            }
            Some(_) => return Err(Problem::wrong("discounts[operation_type][0]", "add or remove")),
        }
    }
    world.applied.insert(id.to_owned(), applied);
    Ok(())
}

pub fn fail_payment(world: &mut World, id: &str, now: Timestamp) {
    let Some(mut s) = world.get("subscription", id).cloned() else { return };
    s["due_invoices_count"] = json!(1);
    s["due_since"] = json!(now.as_second());
    s["total_dues"] = json!(2_000);
    let invoice = world.new_id("inv_");
    let invoice = json!({"id": invoice, "object": "invoice", "status": "payment_due", "subscription_id": id,
        "customer_id": s["customer_id"], "total": 2_000, "amount_due": 2_000, "dunning_status": "in_progress"});
    world.put("subscription", s, now);
    world.emit("payment_failed", id, &[("invoice", invoice)], now);
}
