//! Subscriptions at the fake: the traps of the real ones included. The discount list is replaced, an item without id is
//! added, a pause of collection leaves the status as it is.

use serde_json::{Value, json};

use super::api::{Asked, Problem, Reply, text};
use super::invoices;
use super::world::{World, later, list, months_later};

const KNOWN: [&str; 12] = [
    "discounts",
    "pause_collection",
    "items",
    "proration_behavior",
    "payment_behavior",
    "cancel_at_period_end",
    "cancel_at",
    "cancellation_details",
    "trial_end",
    "metadata",
    "billing_cycle_anchor",
    "expand",
];
const FEEDBACK: [&str; 8] = [
    "customer_service",
    "low_quality",
    "missing_features",
    "other",
    "switched_service",
    "too_complex",
    "too_expensive",
    "unused",
];

pub fn create(world: &mut World, asked: &Asked<'_>) -> Reply {
    let now = asked.now.as_second();
    let customer = text(&asked.params["customer"]).unwrap_or_default().to_owned();
    if world.get("customer", &customer).is_none() {
        return Err(Problem { status: 400, ..Problem::missing("customer", &customer) });
    }
    let mut s = world.sample("subscription");
    s["id"] = json!(world.new_id("sub"));
    s["customer"] = json!(customer);
    s["status"] = json!("active");
    for field in ["created", "start_date", "billing_cycle_anchor"] {
        s[field] = json!(now);
    }
    for field in [
        "cancel_at",
        "canceled_at",
        "ended_at",
        "pause_collection",
        "pending_update",
        "trial_start",
        "trial_end",
        "schedule",
        "next_pending_invoice_item_invoice",
        "billing_cycle_anchor_config",
        "pending_invoice_item_interval",
    ] {
        s[field] = Value::Null;
    }
    s["cancel_at_period_end"] = json!(false);
    s["discounts"] = json!([]);
    s["items"]["data"] = json!([]);
    set_items(world, &mut s, &asked.params["items"], now)?;
    s["currency"] = s["items"]["data"][0]["price"]["currency"].clone();
    if let Some(end) = text(&asked.params["trial_end"]).and_then(|t| t.parse::<i64>().ok()) {
        (s["status"], s["trial_start"], s["trial_end"]) = (json!("trialing"), json!(now), json!(end));
        for item in s["items"]["data"].as_array_mut().into_iter().flatten() {
            item["current_period_end"] = json!(end);
        }
    }
    world.put(s.clone());
    invoices::write(world, &s, now);
    world.emit("customer.subscription.created", &s, None, asked.now);
    Ok(s)
}

pub fn update(world: &mut World, asked: &Asked<'_>, id: &str) -> Reply {
    let (p, now) = (&asked.params, asked.now.as_second());
    let before =
        world.get("subscription", id).cloned().ok_or_else(|| Problem::missing("subscription", id))?;
    if let Some(unknown) =
        p.as_object().into_iter().flatten().map(|(k, _)| k).find(|k| !KNOWN.contains(&k.as_str()))
    {
        return Err(Problem::invalid(
            "parameter_unknown",
            format!("Received unknown parameter: {unknown}"),
            unknown,
        ));
    }
    if before["status"] == "canceled" {
        let message = "A canceled subscription can only update its cancellation_details and metadata.";
        return Err(Problem::invalid("", message, ""));
    }
    let steered = ["items", "cancel_at_period_end", "cancel_at"].iter().any(|f| !p[*f].is_null());
    if steered && !before["schedule"].is_null() {
        let message = "The subscription is managed by the subscription schedule, and updating it directly is not allowed.";
        return Err(Problem::invalid("", message, ""));
    }
    if p["billing_cycle_anchor"].is_string() {
        return Err(Problem::invalid("", "Invalid object", "billing_cycle_anchor"));
    }
    let mut s = before.clone();
    if !p["items"].is_null() {
        set_items(world, &mut s, &p["items"], now)?;
    }
    set_pause(&mut s, &p["pause_collection"], now)?;
    set_cancel(&mut s, p, now)?;
    if let Some(at) = text(&p["trial_end"]) {
        let end = at.parse::<i64>().unwrap_or(now);
        if at != "now" && end <= now {
            return Err(Problem::invalid("", "Timestamp must be in the future", "trial_end"));
        }
        s["trial_end"] = json!(end);
        s["status"] = json!(if at == "now" { "active" } else { "trialing" });
        // The trial is a period of its own: the first invoice is written when it ends.
        for item in s["items"]["data"].as_array_mut().into_iter().flatten() {
            item["current_period_end"] = json!(end);
        }
    }
    for (key, value) in p["metadata"].as_object().into_iter().flatten() {
        s["metadata"][key] = value.clone();
    }
    // Last, as it makes new objects: everything before may still refuse.
    if !p["discounts"].is_null() {
        set_discounts(world, &mut s, &p["discounts"], now)?;
    }
    world.put(s.clone());
    if s != before {
        world.emit("customer.subscription.updated", &s, Some(&before), asked.now);
    }
    Ok(s)
}

fn set_items(world: &mut World, s: &mut Value, asked: &Value, now: i64) -> Result<(), Problem> {
    for (n, wish) in list(asked).enumerate() {
        let quantity = text(&wish["quantity"]).and_then(|q| q.parse::<i64>().ok());
        let price = match text(&wish["price"]) {
            None => None,
            Some(id) => Some(world.get("price", id).cloned().ok_or_else(|| {
                let message = format!("No such price: '{id}'");
                Problem::invalid("resource_missing", message, &format!("items[{n}][price]"))
            })?),
        };
        let items = s["items"]["data"].as_array().map_or(0, Vec::len);
        let at = match text(&wish["id"]) {
            Some(id) => list(&s["items"]["data"]).position(|i| i["id"] == id).ok_or_else(|| {
                let message = format!("No such subscription item: '{id}'");
                Problem::invalid("resource_missing", message, &format!("items[{n}][id]"))
            })?,
            None => {
                // Without an id it is another item, whatever was meant.
                let mut item = world.sample("subscription")["items"]["data"][0].clone();
                item["id"] = json!(world.new_id("si"));
                item["subscription"] = s["id"].clone();
                item["created"] = json!(now);
                item["quantity"] = json!(1);
                if let Some(all) = s["items"]["data"].as_array_mut() {
                    all.push(item);
                }
                items
            }
        };
        let fresh = text(&wish["id"]).is_none();
        let item = &mut s["items"]["data"][at];
        if let Some(quantity) = quantity {
            item["quantity"] = json!(quantity);
        }
        if let Some(price) = price {
            // Another interval begins a new period; the same one goes on with it.
            if fresh || item["price"]["recurring"] != price["recurring"] {
                item["current_period_start"] = json!(now);
                item["current_period_end"] = json!(later(now, &price["recurring"]));
            }
            item["price"] = price;
        }
    }
    Ok(())
}

fn set_pause(s: &mut Value, asked: &Value, now: i64) -> Result<(), Problem> {
    match asked {
        Value::Null => {}
        Value::String(_) => s["pause_collection"] = Value::Null,
        wish => {
            let behavior = text(&wish["behavior"]).unwrap_or_default();
            if !["void", "keep_as_draft", "mark_uncollectible"].contains(&behavior) {
                return Err(Problem::invalid("", "Invalid behavior", "pause_collection[behavior]"));
            }
            let resumes_at = text(&wish["resumes_at"]).and_then(|t| t.parse::<i64>().ok());
            if resumes_at.is_some_and(|at| at <= now) {
                let message = "resumes_at must be in the future";
                return Err(Problem::invalid("", message, "pause_collection[resumes_at]"));
            }
            s["pause_collection"] = json!({ "behavior": behavior, "resumes_at": resumes_at });
        }
    }
    Ok(())
}

fn set_feedback(s: &mut Value, details: &Value) -> Result<(), Problem> {
    if let Some(feedback) = text(&details["feedback"]) {
        if !FEEDBACK.contains(&feedback) {
            return Err(Problem::invalid("", "Invalid feedback", "cancellation_details[feedback]"));
        }
        s["cancellation_details"]["feedback"] = json!(feedback);
    }
    if let Some(comment) = text(&details["comment"]) {
        s["cancellation_details"]["comment"] = json!(comment);
    }
    Ok(())
}

fn set_cancel(s: &mut Value, p: &Value, now: i64) -> Result<(), Problem> {
    set_feedback(s, &p["cancellation_details"])?;
    let period_end = s["items"]["data"][0]["current_period_end"].clone();
    let cancel_at = match (text(&p["cancel_at_period_end"]), text(&p["cancel_at"])) {
        (Some("true"), _) => period_end,
        (Some("false"), None) if s["cancel_at_period_end"] == true => Value::Null,
        (_, Some(at)) => json!(at.parse::<i64>().ok()),
        _ => return Ok(()),
    };
    s["cancel_at_period_end"] = json!(text(&p["cancel_at_period_end"]) == Some("true"));
    let unset = cancel_at.is_null();
    s["canceled_at"] = if unset { Value::Null } else { json!(now) };
    s["cancellation_details"]["reason"] = if unset { Value::Null } else { json!("cancellation_requested") };
    if unset {
        s["cancellation_details"] = json!({"comment": null, "feedback": null, "reason": null});
    }
    s["cancel_at"] = cancel_at;
    Ok(())
}

/// The whole list is replaced: what is not named again is gone.
fn set_discounts(world: &mut World, s: &mut Value, asked: &Value, now: i64) -> Result<(), Problem> {
    let mut kept: Vec<Value> = Vec::new();
    let mut coupons: Vec<String> = Vec::new();
    let mut fresh: Vec<Value> = Vec::new();
    for (n, wish) in list(asked).enumerate() {
        if let Some(id) = text(&wish["discount"]) {
            if !list(&s["discounts"]).any(|d| d == id) {
                let message = format!("No such discount: '{id}'");
                return Err(Problem::invalid(
                    "resource_missing",
                    message,
                    &format!("discounts[{n}][discount]"),
                ));
            }
            kept.push(json!(id));
            coupons.extend(world.any(id).and_then(|d| d["source"]["coupon"].as_str()).map(str::to_owned));
        } else if let Some(id) = text(&wish["coupon"]) {
            let Some(coupon) = world.get("coupon", id).cloned() else {
                let message = format!("No such coupon: '{id}'");
                return Err(Problem::invalid(
                    "resource_missing",
                    message,
                    &format!("discounts[{n}][coupon]"),
                ));
            };
            if coupon["valid"] == false {
                let message = format!("Coupon {id} is used up and cannot be applied.");
                return Err(Problem::invalid("coupon_expired", message, &format!("discounts[{n}][coupon]")));
            }
            if coupons.iter().any(|c| c == id) {
                return Err(Problem::invalid("", "Each coupon may be applied once", "discounts"));
            }
            coupons.push(id.to_owned());
            fresh.push(coupon);
            kept.push(Value::Null);
        } else {
            return Err(Problem::invalid("", "Name a coupon, a discount or a promotion code", "discounts"));
        }
    }
    let mut fresh = fresh.into_iter();
    for place in kept.iter_mut().filter(|k| k.is_null()) {
        let Some(coupon) = fresh.next() else { break };
        let mut discount = world.sample("discount");
        let id = world.new_id("di");
        discount["id"] = json!(id);
        discount["customer"] = s["customer"].clone();
        discount["subscription"] = s["id"].clone();
        discount["source"] = json!({"type": "coupon", "coupon": coupon["id"]});
        discount["start"] = json!(now);
        discount["end"] = match coupon["duration_in_months"].as_i64() {
            Some(months) if coupon["duration"] == "repeating" => json!(months_later(now, months)),
            _ => Value::Null,
        };
        world.put(discount);
        *place = json!(id);
    }
    s["discounts"] = Value::Array(kept);
    Ok(())
}

/// The true pause: since `endive`, with flexible billing, without a schedule, and without a day of return.
pub fn pause(world: &mut World, asked: &Asked<'_>, id: &str) -> Reply {
    let before =
        world.get("subscription", id).cloned().ok_or_else(|| Problem::missing("subscription", id))?;
    if before["billing_mode"]["type"] != "flexible" || !before["schedule"].is_null() {
        return Err(Problem::invalid("", "This subscription cannot be paused", ""));
    }
    change_status(world, asked, before, "paused", "customer.subscription.paused")
}

pub fn resume(world: &mut World, asked: &Asked<'_>, id: &str) -> Reply {
    let before =
        world.get("subscription", id).cloned().ok_or_else(|| Problem::missing("subscription", id))?;
    if before["status"] != "paused" {
        return Err(Problem::invalid("", "Only a paused subscription can be resumed", ""));
    }
    if asked.params["billing_cycle_anchor"].is_string() {
        return Err(Problem::invalid("", "Invalid object", "billing_cycle_anchor"));
    }
    change_status(world, asked, before, "active", "customer.subscription.resumed")
}

pub fn cancel(world: &mut World, asked: &Asked<'_>, id: &str) -> Reply {
    let known = ["invoice_now", "prorate", "cancellation_details", "expand"];
    let mut asked_for = asked.params.as_object().into_iter().flatten().map(|(k, _)| k.as_str());
    if let Some(unknown) = asked_for.find(|k| !known.contains(k)) {
        let message = format!("Received unknown parameter: {unknown}");
        return Err(Problem::invalid("parameter_unknown", message, unknown));
    }
    let mut s = world.get("subscription", id).cloned().ok_or_else(|| Problem::missing("subscription", id))?;
    if s["status"] == "canceled" {
        return Err(Problem::missing("subscription", id));
    }
    set_feedback(&mut s, &asked.params["cancellation_details"])?;
    s["cancellation_details"]["reason"] = json!("cancellation_requested");
    s["status"] = json!("canceled");
    s["ended_at"] = json!(asked.now.as_second());
    s["canceled_at"] = json!(asked.now.as_second());
    world.put(s.clone());
    world.emit("customer.subscription.deleted", &s, None, asked.now);
    Ok(s)
}

fn change_status(world: &mut World, asked: &Asked<'_>, before: Value, status: &str, event: &str) -> Reply {
    let mut s = before.clone();
    s["status"] = json!(status);
    world.put(s.clone());
    world.emit(event, &s, None, asked.now);
    world.emit("customer.subscription.updated", &s, Some(&before), asked.now);
    Ok(s)
}
