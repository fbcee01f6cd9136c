//! The operations, as plain functions over the world: what is asked goes in, status and JSON come out.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::params::Params;
use super::world::World;
use super::{Catalogue, invoices, subscriptions};

/// An error as Chargebee says it.
#[derive(Debug)]
pub struct Problem {
    pub status: u16,
    pub kind: &'static str,
    pub code: &'static str,
    pub message: String,
    pub param: Option<String>,
}

impl Problem {
    pub fn wrong(param: &str, message: impl Into<String>) -> Self {
        let param = Some(param.to_owned());
        Self {
            status: 400,
            kind: "invalid_request",
            code: "param_wrong_value",
            message: message.into(),
            param,
        }
    }

    pub fn missing(id: &str) -> Self {
        let message = format!("{id} not found");
        Self { status: 404, kind: "invalid_request", code: "resource_not_found", message, param: None }
    }

    pub fn state(message: &str) -> Self {
        let (kind, code) = ("operation_failed", "invalid_state_for_request");
        Self { status: 409, kind, code, message: message.into(), param: None }
    }

    pub fn body(&self) -> Value {
        let mut body = json!({"message": self.message, "type": self.kind, "api_error_code": self.code,
            "error_code": self.code, "error_msg": self.message, "http_status_code": self.status});
        if let Some(param) = &self.param {
            body["param"] = json!(param);
            body["error_param"] = json!(param);
        }
        body
    }
}

pub type Reply = Result<Value, Problem>;

const PAGING: [&str; 3] = ["limit", "offset", "include_deleted"];

pub fn answer(world: &mut World, method: &str, path: &[&str], p: &Params, now: Timestamp) -> Reply {
    let plans = world.catalogue == Catalogue::Plans;
    let refused = |name: &str| Problem {
        code: "configuration_incompatible",
        ..Problem::wrong("", format!("{name} is not available in your product catalog"))
    };
    match (method, path) {
        ("GET", ["items" | "item_prices", ..]) if plans => Err(refused("items")),
        ("GET", ["plans", ..]) if !plans => Err(refused("plans")),
        ("GET", ["customers"]) => page(world, "customer", p, &["updated_at", "created_at"]),
        ("GET", ["subscriptions"]) => page(world, "subscription", p, &["updated_at", "created_at", "status"]),
        ("GET", ["items"]) => page(world, "item", p, &["status", "type"]),
        ("GET", ["item_prices"]) => page(world, "item_price", p, &["status", "item_type"]),
        ("GET", ["plans"]) => page(world, "plan", p, &["status"]),
        ("GET", ["coupons"]) => page(world, "coupon", p, &["status"]),
        ("GET", ["promotional_credits"]) => {
            page(world, "promotional_credit", p, &["customer_id", "type", "created_at"])
        }
        ("GET", ["invoices"]) => {
            page(world, "invoice", p, &["customer_id", "subscription_id", "status", "date"])
        }
        ("GET", ["invoices", id]) => one(world, "invoice", id),
        ("POST", ["invoices", id, "refund"]) => invoices::refund(world, id, p, now),
        ("GET", ["credit_notes"]) => {
            let known = ["customer_id", "subscription_id", "reference_invoice_id", "type", "status", "date"];
            page(world, "credit_note", p, &known)
        }
        ("GET", ["credit_notes", id]) => one(world, "credit_note", id),
        ("GET", ["transactions", id]) => one(world, "transaction", id),
        ("GET", ["events"]) => page(world, "event", p, &["occurred_at", "event_type"]),
        ("GET", ["customers", id]) => one(world, "customer", id),
        ("GET", ["item_prices", id]) => one(world, "item_price", id),
        ("GET", ["coupons", id]) => one(world, "coupon", id),
        ("GET", ["events", id]) => one(world, "event", id),
        ("GET", ["subscriptions", id]) => one(world, "subscription", id),
        ("GET", ["subscriptions", id, "discounts"]) => discounts(world, id, p),
        ("GET", ["subscriptions", id, "retrieve_with_scheduled_changes"]) => {
            let mut reply = one(world, "subscription", id)?;
            let next = world.scheduled.get(*id).ok_or_else(|| Problem::state("nothing is scheduled"))?;
            next.as_object().into_iter().flatten().for_each(|(k, v)| reply["subscription"][k] = v.clone());
            Ok(reply)
        }
        ("POST", ["coupons"]) if plans => create_coupon(world, p, now),
        ("POST", ["coupons", "create_for_items"]) if !plans => create_coupon(world, p, now),
        ("POST", ["promotional_credits", verb @ ("add" | "deduct")]) => credit(world, verb, p, now),
        ("POST", ["subscriptions", id]) if plans => subscriptions::update(world, id, p, now),
        ("POST", ["subscriptions", id, "update_for_items"]) if !plans => {
            subscriptions::update(world, id, p, now)
        }
        ("POST", ["subscriptions", id, "cancel"]) if plans => subscriptions::cancel(world, id, p, now),
        ("POST", ["subscriptions", id, "cancel_for_items"]) if !plans => {
            subscriptions::cancel(world, id, p, now)
        }
        ("POST", ["subscriptions", id, verb]) => subscriptions::act(world, id, verb, p, now),
        (_, path) => Err(Problem { code: "http_method_not_supported", ..Problem::missing(&path.join("/")) }),
    }
}

fn one(world: &World, kind: &str, id: &str) -> Reply {
    let object = world.get(kind, id).ok_or_else(|| Problem::missing(id))?;
    let mut reply = json!({ kind: object });
    if kind == "subscription" {
        let customer = object["customer_id"].as_str().unwrap_or_default();
        reply["customer"] = world.get("customer", customer).cloned().unwrap_or_default();
    }
    Ok(reply)
}

/// `field[op]` of a filter.
fn filter(name: &str) -> Option<(&str, &str)> {
    name.strip_suffix(']')?.split_once('[')
}

fn passes(object: &Value, p: &Params) -> bool {
    p.pairs().iter().filter_map(|(n, v)| Some((filter(n)?, v))).all(|((field, op), value)| match op {
        "is" => object[field] == json!(value),
        "after" => {
            object[field].as_i64().zip(value.parse::<i64>().ok()).is_some_and(|(at, after)| at > after)
        }
        "in" => serde_json::from_str::<Vec<Value>>(value).is_ok_and(|all| all.contains(&object[field])),
        // `sort_by[asc]`.
        _ => true,
    })
}

/// One page of a list. Newest first, where nothing else is asked for.
fn page(world: &World, kind: &str, p: &Params, filters: &[&str]) -> Reply {
    let mut known = PAGING.to_vec();
    known.push("sort_by");
    known.extend(filters);
    if let Some(name) = p.unknown(&known) {
        return Err(Problem::wrong(name, format!("{name} is not a filter here")));
    }
    let mut all = world.all(kind);
    all.reverse();
    if let Some(field) = p.text("sort_by[asc]") {
        all.reverse();
        all.sort_by_key(|o| o[field].as_i64());
    }
    if let Some(field) = p.text("sort_by[desc]") {
        all.sort_by_key(|o| std::cmp::Reverse(o[field].as_i64()));
    }
    let shown = |o: &&&Value| p.is_true("include_deleted") || o["deleted"] != true;
    let found: Vec<Value> =
        all.iter().filter(shown).filter(|o| passes(o, p)).map(|o| json!({ kind: o })).collect();
    sliced(&found, p)
}

fn sliced(found: &[Value], p: &Params) -> Reply {
    let limit = match p.text("limit").map(str::parse::<usize>) {
        None => 10,
        Some(Ok(limit @ 1..=100)) => limit,
        Some(_) => return Err(Problem::wrong("limit", "limit must be between 1 and 100")),
    };
    let from = match p.text("offset") {
        None => 0,
        Some(offset) => {
            let at = serde_json::from_str::<(String, usize)>(offset);
            at.map_err(|_| Problem::wrong("offset", "the offset is not one of ours"))?.1
        }
    };
    let list: Vec<&Value> = found.iter().skip(from).take(limit).collect();
    let mut reply = json!({ "list": list });
    if found.len() > from + limit {
        reply["next_offset"] = json!(json!(["fake & opaque", from + limit]).to_string());
    }
    Ok(reply)
}

fn discounts(world: &World, id: &str, p: &Params) -> Reply {
    world.get("subscription", id).ok_or_else(|| Problem::missing(id))?;
    let applied = world.applied.get(id).map_or(&[][..], Vec::as_slice);
    let found: Vec<Value> = applied.iter().map(|(_, d)| json!({ "discount": d })).collect();
    sliced(&found, p)
}

fn create_coupon(world: &mut World, p: &Params, now: Timestamp) -> Reply {
    let known = [
        "id",
        "name",
        "discount_type",
        "discount_percentage",
        "discount_amount",
        "currency_code",
        "apply_on",
        "duration_type",
        "duration_month",
        "period",
        "period_unit",
    ];
    if let Some(name) = p.unknown(&known) {
        return Err(Problem::wrong(name, format!("{name} is not a parameter here")));
    }
    let id = p.text("id").unwrap_or_default();
    let name = p.text("name").unwrap_or_default();
    let twin = |c: &&Value| c["id"] == id || c["name"] == name;
    if world.all("coupon").iter().any(twin) {
        let (code, param) = ("duplicate_entry", Some("id".into()));
        return Err(Problem { code, param, ..Problem::wrong("id", "the coupon is already present") });
    }
    let mut coupon = json!({"id": id, "name": name, "status": "active", "apply_on": p.text("apply_on"),
        "discount_type": p.text("discount_type"), "duration_type": p.text("duration_type"), "object": "coupon"});
    match (
        p.text("discount_type"),
        p.text("discount_percentage"),
        p.number("discount_amount"),
        p.text("currency_code"),
    ) {
        (Some("percentage"), Some(percent), None, _) => {
            let percent = percent.parse::<f64>().ok().filter(|p| (0.01..=100.0).contains(p));
            let percent =
                percent.ok_or_else(|| Problem::wrong("discount_percentage", "between 0.01 and 100"))?;
            coupon["discount_percentage"] = json!(percent);
        }
        (Some("fixed_amount"), None, Some(amount), Some(currency)) => {
            coupon["discount_amount"] = json!(amount);
            coupon["currency_code"] = json!(currency);
        }
        _ => return Err(Problem::wrong("discount_type", "type and what it takes off do not agree")),
    }
    let period = p.number("period").or_else(|| p.number("duration_month"));
    match (p.text("duration_type"), period) {
        (Some("one_time" | "forever"), None) => {}
        (Some("limited_period"), Some(period)) => {
            coupon["period"] = json!(period);
            coupon["period_unit"] = json!(p.text("period_unit").unwrap_or("month"));
        }
        _ => return Err(Problem::wrong("duration_type", "duration and period do not agree")),
    }
    world.put("coupon", coupon.clone(), now);
    Ok(json!({ "coupon": coupon }))
}

fn credit(world: &mut World, verb: &str, p: &Params, now: Timestamp) -> Reply {
    let known = ["customer_id", "amount", "currency_code", "description", "credit_type", "reference"];
    if let Some(name) = p.unknown(&known) {
        return Err(Problem::wrong(name, format!("{name} is not a parameter here")));
    }
    let customer = p.text("customer_id").unwrap_or_default();
    let mut owner = world.get("customer", customer).cloned().ok_or_else(|| Problem::missing(customer))?;
    let amount = p.number("amount").filter(|a| *a > 0);
    let amount = amount.ok_or_else(|| Problem::wrong("amount", "the amount must be above zero"))?;
    if p.text("description").is_none_or(str::is_empty) {
        return Err(Problem {
            code: "param_not_present",
            ..Problem::wrong("description", "cannot be blank")
        });
    }
    let currency = p.text("currency_code").unwrap_or_default();
    let of_customer = |s: &&Value| s["customer_id"] == customer && s["currency_code"] != currency;
    if world.all("subscription").iter().any(of_customer) {
        return Err(Problem::wrong("currency_code", "the site does not have this currency"));
    }
    let before = owner["promotional_credits"].as_i64().unwrap_or_default();
    let after = if verb == "add" { before + amount } else { before - amount };
    if after < 0 {
        return Err(Problem::state("the customer has fewer credits"));
    }
    owner["promotional_credits"] = json!(after);
    world.put("customer", owner.clone(), now);
    let id = world.new_id("pc_");
    let mut made = json!({"id": id, "object": "promotional_credit", "customer_id": customer, "amount": amount,
        "type": if verb == "add" { "increment" } else { "decrement" }, "currency_code": currency,
        "description": p.text("description"), "credit_type": p.text("credit_type").unwrap_or("general"),
        "closing_balance": after});
    if let Some(reference) = p.text("reference") {
        made["reference"] = json!(reference);
    }
    world.put("promotional_credit", made.clone(), now);
    Ok(json!({"customer": owner, "promotional_credit": made}))
}
