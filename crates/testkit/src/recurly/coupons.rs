//! Coupons and their redemptions at the fake.

use jiff::Span;
use serde_json::{Value, json};

use super::api::{Asked, Problem, Reply, of_account, page};
use super::world::{World, list, shifted, stamp, text};

pub fn create(world: &mut World, asked: &Asked<'_>) -> Reply {
    let p = &asked.body;
    let code = text(&p["code"]).to_owned();
    if code.is_empty() || code.len() > 50 {
        return Err(Problem::validation("code", "is not a code"));
    }
    if world.all("coupon").iter().any(|c| text(&c["code"]).eq_ignore_ascii_case(&code)) {
        return Err(Problem::validation("code", "has already been taken"));
    }
    let discount = match text(&p["discount_type"]) {
        "percent" => {
            let percent = p["discount_percent"].as_i64().filter(|n| (1..=100).contains(n));
            let percent = percent.ok_or(Problem::validation("discount_percent", "must be from 1 to 100"))?;
            json!({"type": "percent", "percent": percent})
        }
        "fixed" => {
            let amounts =
                list(&p["currencies"]).map(|c| json!({"currency": c["currency"], "amount": c["discount"]}));
            let amounts: Vec<_> = amounts.collect();
            if amounts.is_empty() {
                return Err(Problem::validation("currencies", "can't be blank"));
            }
            json!({"type": "fixed", "currencies": amounts})
        }
        _ => return Err(Problem::validation("discount_type", "is not supported by the fake")),
    };
    let duration = p["duration"].as_str().unwrap_or("forever");
    if duration == "temporal"
        && (p["temporal_amount"].as_i64().is_none() || p["temporal_unit"].as_str().is_none())
    {
        return Err(Problem::validation("temporal_amount", "can't be blank"));
    }
    let (id, now) = (world.new_id("cpn"), stamp(asked.now));
    let coupon = json!({
        "id": id, "object": "coupon", "code": code, "name": p["name"], "state": "redeemable",
        "max_redemptions": p["max_redemptions"], "duration": duration, "temporal_amount": p["temporal_amount"],
        "temporal_unit": p["temporal_unit"], "coupon_type": p["coupon_type"].as_str().unwrap_or("single_code"),
        "applies_to_all_plans": p["applies_to_all_plans"].as_bool().unwrap_or(true),
        "applies_to_non_plan_charges": p["applies_to_non_plan_charges"].as_bool().unwrap_or(false),
        "redemption_resource": p["redemption_resource"].as_str().unwrap_or("account"), "discount": discount,
        "redeem_by": null, "created_at": now, "updated_at": now, "expired_at": null,
    });
    world.put(coupon.clone());
    Ok((201, coupon))
}

/// Those of the account and those of its subscriptions.
pub fn active(world: &World, asked: &Asked<'_>, account: &str) -> Reply {
    let account = of_account(world, account)?;
    let of = |r: &&Value| r["account"]["id"] == account["id"] && r["state"] == "active";
    page(asked, world.all("coupon_redemption").into_iter().filter(of).collect())
}

pub fn redeem(world: &mut World, asked: &Asked<'_>, account: &str) -> Reply {
    let account = of_account(world, account)?;
    let (body, now) = (&asked.body, stamp(asked.now));
    let coupon = world.find("coupon", text(&body["coupon_id"])).cloned().ok_or_else(Problem::missing)?;
    if coupon["state"] != "redeemable" {
        return Err(Problem::validation("coupon_id", "This coupon is no longer redeemable"));
    }
    let whole = coupon["redemption_resource"] == "account";
    let subscription = match text(&body["subscription_id"]) {
        "" if whole => None,
        "" => return Err(Problem::validation("subscription_id", "can't be blank")),
        _ if whole => None,
        named => Some(world.find("subscription", named).cloned().ok_or_else(Problem::missing)?),
    };
    let of = subscription.as_ref().map_or(Value::Null, |s| s["id"].clone());
    let again = world.all("coupon_redemption").iter().any(|r| {
        r["state"] == "active"
            && r["subscription_id"] == of
            && r["account"]["id"] == account["id"]
            && r["coupon"]["id"] == coupon["id"]
    });
    if again {
        return Err(Problem::validation("coupon_id", "has already been redeemed"));
    }
    let mut left = json!({"type": coupon["duration"]});
    if coupon["duration"] == "temporal" {
        let amount = coupon["temporal_amount"].as_i64().unwrap_or(1);
        let span = match text(&coupon["temporal_unit"]) {
            "day" => Span::new().days(amount),
            "week" => Span::new().weeks(amount),
            "year" => Span::new().years(amount),
            _ => Span::new().months(amount),
        };
        left["expires_at"] = json!(shifted(&now, span));
    }
    let id = world.new_id("red");
    let redemption = json!({
        "id": id, "object": "coupon_redemption", "uuid": format!("{id:0>32}"), "account": account,
        "subscription_id": of, "coupon": coupon, "state": "active", "remaining_duration": left,
        "currency": body["currency"], "discounted": 0.0, "created_at": now, "updated_at": now, "removed_at": null,
    });
    world.put(redemption.clone());
    if let Some(most) = coupon["max_redemptions"].as_i64() {
        let so_far =
            world.all("coupon_redemption").iter().filter(|r| r["coupon"]["id"] == coupon["id"]).count();
        if i64::try_from(so_far).unwrap_or(i64::MAX) >= most {
            world.change(text(&coupon["id"]), json!({"state": "maxed_out"}), &now);
        }
    }
    touch(world, &of, &now);
    Ok((200, redemption))
}

pub fn remove(world: &mut World, asked: &Asked<'_>, id: &str) -> Reply {
    let now = stamp(asked.now);
    let known = world.get("coupon_redemption", id).filter(|r| r["state"] == "active").cloned();
    let known = known.ok_or_else(Problem::missing)?;
    let of_subscription = asked.path.first() == Some(&"subscriptions");
    if of_subscription != known["subscription_id"].is_string() {
        return Err(Problem::missing());
    }
    let removed = world.change(id, json!({"state": "inactive", "removed_at": now}), &now);
    touch(world, &known["subscription_id"], &now);
    Ok((200, removed))
}

fn touch(world: &mut World, subscription: &Value, now: &str) {
    if let Some(id) = subscription.as_str() {
        let touched = world.change(id, json!({}), now);
        world.tell("subscription", "updated", &touched, now);
    }
}
