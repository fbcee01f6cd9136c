//! The operations, as plain functions over the world: what is asked goes in, status and JSON come out.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::world::{World, list, stamp, text};
use super::{coupons, invoices, subscriptions};

/// A request, its parameters read.
pub struct Asked<'a> {
    pub method: &'a str,
    pub path: Vec<&'a str>,
    pub query: &'a [(String, String)],
    pub body: Value,
    pub now: Timestamp,
}

impl Asked<'_> {
    pub fn query(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str())
    }
}

/// An error as Recurly says it.
#[derive(Debug)]
pub struct Problem {
    pub status: u16,
    pub kind: &'static str,
    pub message: String,
    pub param: Option<&'static str>,
}

impl Problem {
    pub fn new(status: u16, kind: &'static str, message: &str) -> Self {
        Self { status, kind, message: message.to_owned(), param: None }
    }

    pub fn missing() -> Self {
        Self::new(404, "not_found", "Couldn't find what was asked for")
    }

    pub fn validation(param: &'static str, message: &str) -> Self {
        Self { param: Some(param), ..Self::new(422, "validation", message) }
    }

    pub fn body(&self) -> Value {
        let params: Vec<_> =
            self.param.iter().map(|p| json!({"param": p, "message": self.message})).collect();
        json!({"error": {"type": self.kind, "message": self.message, "params": params}})
    }
}

pub type Reply = Result<(u16, Value), Problem>;

pub fn answer(world: &mut World, asked: &Asked<'_>) -> Reply {
    world.settle(asked.now);
    match (asked.method, asked.path.as_slice()) {
        ("GET", ["sites"]) => {
            Ok((200, json!({"object": "list", "has_more": false, "next": null, "data": [site(world)]})))
        }
        ("GET", ["accounts"]) => page(asked, world.all("account")),
        ("GET", ["accounts", id]) => one(world, "account", id),
        ("GET", ["plans"]) => page(asked, world.all("plan")),
        ("GET", ["plans", id]) => one(world, "plan", id),
        ("GET", ["coupons"]) => page(asked, world.all("coupon")),
        ("GET", ["coupons", id]) => one(world, "coupon", id),
        ("POST", ["coupons"]) => coupons::create(world, asked),
        ("GET", ["accounts", id, "coupon_redemptions", "active"]) => coupons::active(world, asked, id),
        ("POST", ["accounts", id, "coupon_redemptions", "active"]) => coupons::redeem(world, asked, id),
        ("DELETE", ["accounts" | "subscriptions", _, "coupon_redemptions", id]) => {
            coupons::remove(world, asked, id)
        }
        ("GET", ["subscriptions", id, "coupon_redemptions"]) => {
            let s = world.find("subscription", id).ok_or_else(Problem::missing)?;
            let of = |r: &&Value| r["subscription_id"] == s["id"];
            page(asked, world.all("coupon_redemption").into_iter().filter(of).collect())
        }
        ("GET", ["accounts", id, "line_items"]) => {
            let account = of_account(world, id)?;
            let of = |i: &&Value| i["account"]["id"] == account["id"];
            page(asked, world.all("line_item").into_iter().filter(of).collect())
        }
        ("POST", ["accounts", id, "line_items"]) => invoices::create_line_item(world, asked, id),
        ("GET", ["line_items", id]) => one(world, "line_item", id),
        ("DELETE", ["line_items", id]) => invoices::remove_line_item(world, id),
        ("GET", ["accounts", id, "invoices"]) => {
            let account = of_account(world, id)?;
            let of = |i: &&Value| i["account"]["id"] == account["id"];
            page(asked, world.all("invoice").into_iter().filter(of).collect())
        }
        ("GET", ["invoices"]) => page(asked, world.all("invoice")),
        ("GET", ["invoices", id]) => one(world, "invoice", id),
        ("POST", ["invoices", id, "refund"]) => invoices::refund(world, asked, id),
        ("GET", ["transactions", id]) => one(world, "transaction", id),
        ("GET", ["subscriptions"]) => page(asked, world.all("subscription")),
        ("GET", ["subscriptions", id]) => one(world, "subscription", id),
        ("GET", ["subscriptions", id, "invoices"]) => {
            let s = world.find("subscription", id).ok_or_else(Problem::missing)?;
            let of = |i: &&Value| list(&i["subscription_ids"]).any(|of| *of == s["id"]);
            page(asked, world.all("invoice").into_iter().filter(of).collect())
        }
        ("PUT" | "POST" | "DELETE", ["subscriptions", id, ..]) => subscriptions::answer(world, asked, id),
        _ => Err(Problem::missing()),
    }
}

pub fn site(world: &World) -> Value {
    json!({
        "id": "site000000001", "object": "site", "subdomain": "ada-fibre", "mode": world.mode,
        "public_api_key": "ewr1-fake", "features": [],
        "settings": {"accepted_currencies": ["EUR", "USD", "JPY"], "default_currency": "EUR"},
        "address": {"country": "IE"}, "created_at": "2020-01-01T00:00:00Z", "updated_at": "2020-01-01T00:00:00Z",
    })
}

fn one(world: &World, kind: &str, id: &str) -> Reply {
    world.find(kind, id).cloned().map(|found| (200, found)).ok_or_else(Problem::missing)
}

/// The short form of an account that other objects hold.
pub fn of_account(world: &World, id: &str) -> Result<Value, Problem> {
    let account = world.find("account", id).ok_or_else(Problem::missing)?;
    let mut short = json!({"object": "account"});
    for field in ["id", "code", "email", "first_name", "last_name", "company"] {
        short[field] = account[field].clone();
    }
    Ok(short)
}

/// One page of a list.
pub fn page(asked: &Asked<'_>, all: Vec<&Value>) -> Reply {
    let sort = asked.query("sort").unwrap_or("created_at");
    let limit: usize = asked.query("limit").and_then(|l| l.parse().ok()).unwrap_or(20);
    let matching = |o: &&Value| {
        let is = |name: &str| asked.query(name).is_none_or(|v| o[name] == v);
        is("state")
            && is("type")
            && asked.query("begin_time").is_none_or(|from| text(&o[sort]) >= whole(from).as_str())
            && asked.query("end_time").is_none_or(|to| text(&o[sort]) <= whole(to).as_str())
    };
    let mut found: Vec<_> = all.into_iter().filter(matching).enumerate().collect();
    found.sort_by_key(|(n, o)| (text(&o[sort]).to_owned(), *n));
    // Newest first, unless told otherwise.
    if asked.query("order") != Some("asc") {
        found.reverse();
    }
    let ids: Vec<&str> = found.iter().map(|(_, o)| text(&o["id"])).collect();
    let from = match asked.query("cursor") {
        None => 0,
        Some(cursor) => ids.iter().position(|id| *id == cursor).ok_or(Problem::new(
            400,
            "bad_request",
            "The cursor names nothing",
        ))?,
    };
    let data: Vec<_> = found.iter().skip(from).take(limit).map(|(_, o)| (*o).clone()).collect();
    let further = ids.get(from + limit);
    let next = further.map(|id| {
        let kept = asked.query.iter().filter(|(name, _)| name != "cursor");
        let query = form_urlencoded::Serializer::new(String::new())
            .append_pair("cursor", id)
            .extend_pairs(kept)
            .finish();
        format!("/{}?{query}", asked.path.join("/"))
    });
    Ok((200, json!({"object": "list", "has_more": further.is_some(), "next": next, "data": data})))
}

fn whole(at: &str) -> String {
    at.parse::<Timestamp>().map_or_else(|_| at.to_owned(), stamp)
}
