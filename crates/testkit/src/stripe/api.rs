//! The operations, as plain functions over the world: what is asked goes in, status and JSON come out.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::world::{World, list};
use super::{invoices, subscriptions};

/// A request, its parameters nested.
pub struct Asked<'a> {
    pub method: &'a str,
    pub path: Vec<&'a str>,
    pub params: Value,
    pub now: Timestamp,
}

/// An error as Stripe says it.
#[derive(Debug)]
pub struct Problem {
    pub status: u16,
    pub kind: &'static str,
    pub code: Option<&'static str>,
    pub message: String,
    pub param: Option<String>,
}

impl Problem {
    pub fn invalid(code: &'static str, message: impl Into<String>, param: &str) -> Self {
        Self {
            status: 400,
            kind: "invalid_request_error",
            code: Some(code).filter(|c| !c.is_empty()),
            message: message.into(),
            param: Some(param.to_owned()).filter(|p| !p.is_empty()),
        }
    }

    /// A path that names nothing is 404; a parameter that does is 400.
    pub fn missing(kind: &str, id: &str) -> Self {
        let message = format!("No such {kind}: '{id}'");
        Self { status: 404, ..Self::invalid("resource_missing", message, "id") }
    }

    pub fn body(&self) -> Value {
        let mut error = json!({
            "type": self.kind, "message": self.message,
            "request_log_url": "https://dashboard.stripe.com/test/logs/req_Fake",
        });
        if let Some(code) = self.code {
            error["code"] = json!(code);
            error["doc_url"] =
                json!(format!("https://stripe.com/docs/error-codes/{}", code.replace('_', "-")));
        }
        if let Some(param) = &self.param {
            error["param"] = json!(param);
        }
        json!({ "error": error })
    }
}

pub type Reply = Result<Value, Problem>;

pub fn answer(world: &mut World, asked: &Asked<'_>) -> Reply {
    world.settle(asked.now);
    let reply = match (asked.method, asked.path.as_slice()) {
        ("GET", ["account"]) => Ok(world.sample("account")),
        ("GET", ["customers"]) => page(world, asked, "customer", &["email"]),
        ("GET", ["customers", id]) => one(world, "customer", id),
        ("POST", ["customers"]) => create_customer(world, asked),
        ("GET", ["customers", id, "balance_transactions"]) => {
            let mut of = Asked { params: asked.params.clone(), path: asked.path.clone(), ..*asked };
            of.params["customer"] = json!(id);
            page(world, &of, "customer_balance_transaction", &["customer"])
        }
        ("POST", ["customers", id, "balance_transactions"]) => change_balance(world, asked, id),
        ("DELETE", ["customers", id]) => delete_customer(world, asked, id),
        ("GET", ["products"]) => page(world, asked, "product", &["active"]),
        ("GET", ["prices"]) => page(world, asked, "price", &["active", "type", "product", "currency"]),
        ("GET", ["coupons"]) => page(world, asked, "coupon", &[]),
        ("GET", ["coupons", id]) => one(world, "coupon", id),
        ("POST", ["coupons"]) => create_coupon(world, asked),
        ("GET", ["events"]) => page(world, asked, "event", &["type", "types"]),
        ("GET", ["events", id]) => one(world, "event", id),
        ("GET", ["invoices"]) => page(world, asked, "invoice", &["customer", "subscription", "status"]),
        ("GET", ["invoices", id]) => one(world, "invoice", id),
        ("GET", ["invoice_payments"]) => {
            page(world, asked, "invoice_payment", &["invoice", "status", "payment"])
        }
        ("GET", ["charges", id]) => one(world, "charge", id),
        ("GET", ["disputes", id]) => one(world, "dispute", id),
        ("GET", ["refunds"]) => page(world, asked, "refund", &["charge", "payment_intent"]),
        ("GET", ["refunds", id]) => one(world, "refund", id),
        ("POST", ["refunds"]) => invoices::refund(world, asked),
        ("GET", ["subscriptions"]) => page(world, asked, "subscription", &["status", "customer", "price"]),
        ("GET", ["subscriptions", id]) => one(world, "subscription", id),
        ("POST", ["subscriptions"]) => subscriptions::create(world, asked),
        ("POST", ["subscriptions", id]) => subscriptions::update(world, asked, id),
        ("DELETE", ["subscriptions", id]) => subscriptions::cancel(world, asked, id),
        ("POST", ["subscriptions", id, "pause"]) => subscriptions::pause(world, asked, id),
        ("POST", ["subscriptions", id, "resume"]) => subscriptions::resume(world, asked, id),
        (method, path) => Err(Problem {
            status: 404,
            ..Problem::invalid("", format!("Unrecognized request URL ({method}: /v1/{})", path.join("/")), "")
        }),
    }?;
    expanded(world, reply, asked)
}

pub fn one(world: &World, kind: &str, id: &str) -> Reply {
    world.get(kind, id).cloned().ok_or_else(|| Problem::missing(kind, id))
}

/// One page of a list, newest first.
fn page(world: &World, asked: &Asked<'_>, kind: &str, filters: &[&str]) -> Reply {
    let params = &asked.params;
    for name in params.as_object().into_iter().flatten().map(|(k, _)| k.as_str()) {
        let known =
            ["limit", "starting_after", "created", "expand"].contains(&name) || filters.contains(&name);
        if !known {
            let message = format!("Received unknown parameter: {name}");
            return Err(Problem::invalid("parameter_unknown", message, name));
        }
    }
    let limit: usize = match text(&params["limit"]).map(str::parse) {
        None => 10,
        Some(Ok(limit @ 1..=100)) => limit,
        Some(_) => return Err(Problem::invalid("", "This value must be between 1 and 100", "limit")),
    };
    let all = world.all(kind);
    let rest = match text(&params["starting_after"]) {
        None => all.as_slice(),
        Some(after) => match all.iter().position(|o| o["id"] == after) {
            Some(at) => &all[at + 1..],
            None => return Err(Problem { status: 400, ..Problem::missing(kind, after) }),
        },
    };
    let matching =
        |o: &&&Value| filters.iter().all(|f| matches(o, f, params)) && within(o, &params["created"]);
    // Without a status, those that have ended are left out.
    let shown =
        |o: &&&Value| kind != "subscription" || params["status"].is_string() || o["status"] != "canceled";
    let found: Vec<&Value> = rest.iter().filter(matching).filter(shown).copied().collect();
    let data: Vec<&Value> = found.iter().take(limit).copied().collect();
    Ok(json!({
        "object": "list", "data": data, "has_more": found.len() > limit, "url": format!("/v1/{}", asked.path.join("/")),
    }))
}

fn matches(object: &Value, filter: &str, params: &Value) -> bool {
    let asked = &params[filter];
    let is = |value: &Value| text(asked).is_none_or(|a| text(value) == Some(a));
    match filter {
        "types" => asked.is_null() || list(asked).any(|t| *t == object["type"]),
        "type" if object["object"] == "event" => text(asked).is_none_or(|t| match t.strip_suffix('*') {
            Some(prefix) => text(&object["type"]).is_some_and(|name| name.starts_with(prefix)),
            None => object["type"] == t,
        }),
        "subscription" if object["object"] == "invoice" => {
            is(&object["parent"]["subscription_details"]["subscription"])
        }
        "payment" => {
            text(&asked["payment_intent"]).is_none_or(|intent| object["payment"]["payment_intent"] == intent)
        }
        "status" => matches!(text(asked), None | Some("all")) || is(&object["status"]),
        "active" => text(asked).is_none_or(|a| object["active"] == json!(a == "true")),
        "price" => text(asked).is_none_or(|a| list(&object["items"]["data"]).any(|i| i["price"]["id"] == a)),
        other => is(&object[other]),
    }
}

fn within(object: &Value, created: &Value) -> bool {
    let at = object["created"].as_i64().unwrap_or_default();
    let limit = |name: &str| text(&created[name]).and_then(|v| v.parse::<i64>().ok());
    limit("gt").is_none_or(|l| at > l)
        && limit("gte").is_none_or(|l| at >= l)
        && limit("lt").is_none_or(|l| at < l)
        && limit("lte").is_none_or(|l| at <= l)
}

pub fn text(value: &Value) -> Option<&str> {
    value.as_str()
}

/// Below zero it is the customer's money.
fn change_balance(world: &mut World, asked: &Asked<'_>, id: &str) -> Reply {
    let mut customer = one(world, "customer", id)?;
    let amount = text(&asked.params["amount"]).and_then(|a| a.parse::<i64>().ok()).filter(|a| *a != 0);
    let amount =
        amount.ok_or_else(|| Problem::invalid("parameter_invalid_integer", "Invalid integer", "amount"))?;
    let currency = text(&asked.params["currency"]).unwrap_or_default().to_owned();
    let of_subscriptions = |s: &&&Value| s["customer"] == id && s["currency"] != json!(currency);
    if world.all("subscription").iter().find(of_subscriptions).is_some() {
        let message = "You cannot combine currencies on a single customer.";
        return Err(Problem::invalid("", message, "currency"));
    }
    let balance = customer["balance"].as_i64().unwrap_or_default() + amount;
    customer["balance"] = json!(balance);
    let mut made = world.sample("customer_balance_transaction");
    made["id"] = json!(world.new_id("cbtxn"));
    made["created"] = json!(asked.now.as_second());
    for (field, value) in [
        ("amount", json!(amount)),
        ("currency", json!(currency)),
        ("customer", json!(id)),
        ("ending_balance", json!(balance)),
        ("description", asked.params["description"].clone()),
        ("metadata", asked.params["metadata"].clone()),
    ] {
        made[field] = value;
    }
    world.put(customer);
    world.put(made.clone());
    Ok(made)
}

fn create_customer(world: &mut World, asked: &Asked<'_>) -> Reply {
    let mut customer = world.sample("customer");
    customer["id"] = json!(world.new_id("cus"));
    customer["created"] = json!(asked.now.as_second());
    customer["discount"] = Value::Null;
    for field in ["email", "name", "metadata", "address", "preferred_locales"] {
        if !asked.params[field].is_null() {
            customer[field] = asked.params[field].clone();
        }
    }
    world.put(customer.clone());
    world.emit("customer.created", &customer, None, asked.now);
    Ok(customer)
}

/// A deleted customer still answers, and says that it is.
fn delete_customer(world: &mut World, asked: &Asked<'_>, id: &str) -> Reply {
    let before = one(world, "customer", id)?;
    let mut stub = world.sample("deleted_customer");
    stub["id"] = json!(id);
    world.put(stub.clone());
    world.emit("customer.deleted", &before, None, asked.now);
    Ok(stub)
}

fn create_coupon(world: &mut World, asked: &Asked<'_>) -> Reply {
    let p = &asked.params;
    let id = text(&p["id"]).map(str::to_owned).unwrap_or_else(|| world.new_id("co"));
    if world.any(&id).is_some() {
        return Err(Problem::invalid("resource_already_exists", "Coupon already exists.", "id"));
    }
    let mut coupon = world.sample("coupon");
    let number = |v: &Value| text(v).and_then(|t| t.parse::<f64>().ok());
    coupon["id"] = json!(id);
    coupon["created"] = json!(asked.now.as_second());
    coupon["name"] = p["name"].clone();
    coupon["redeem_by"] = Value::Null;
    coupon["percent_off"] = json!(number(&p["percent_off"]));
    coupon["amount_off"] = json!(text(&p["amount_off"]).and_then(|t| t.parse::<i64>().ok()));
    coupon["currency"] = p["currency"].clone();
    coupon["duration"] = p["duration"].clone();
    coupon["duration_in_months"] = json!(text(&p["duration_in_months"]).and_then(|t| t.parse::<i64>().ok()));
    let amount = coupon["amount_off"].is_i64();
    if amount == coupon["percent_off"].is_f64() || (amount && !coupon["currency"].is_string()) {
        return Err(Problem::invalid(
            "",
            "You must pass percent_off, or amount_off and currency",
            "percent_off",
        ));
    }
    match text(&coupon["duration"]) {
        Some("once" | "forever") => {}
        Some("repeating") if coupon["duration_in_months"].is_i64() => {}
        _ => return Err(Problem::invalid("", "Invalid duration", "duration")),
    }
    world.put(coupon.clone());
    world.emit("coupon.created", &coupon, None, asked.now);
    Ok(coupon)
}

/// Replaces references by objects, as `expand[]` asks.
fn expanded(world: &World, mut reply: Value, asked: &Asked<'_>) -> Reply {
    for path in list(&asked.params["expand"]).filter_map(Value::as_str) {
        let steps: Vec<&str> = path.split('.').collect();
        if steps.len() > 4 {
            return Err(Problem::invalid("", "You cannot expand more than 4 levels of a property", "expand"));
        }
        expand(world, &mut reply, &steps);
    }
    Ok(reply)
}

fn expand(world: &World, at: &mut Value, steps: &[&str]) {
    if let Value::Array(all) = at {
        all.iter_mut().for_each(|one| expand(world, one, steps));
        return;
    }
    if let Some(object) = at.as_str().and_then(|id| world.any(id)) {
        *at = object.clone();
    }
    if let Some((step, rest)) = steps.split_first()
        && let Some(next) = at.get_mut(*step)
    {
        expand(world, next, rest);
    }
}
