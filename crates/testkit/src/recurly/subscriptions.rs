//! Subscriptions at the fake: the traps of the real ones included. A pause waits for the renewal and is counted in cycles,
//! a cancellation leaves it running, and `term_end` is what is meant unless something else is said.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::api::{Asked, Problem, Reply, of_account};
use super::world::{World, later, list, on_plan, resumed, stamp, text};

/// A new one, its first invoice paid; in a trial until a day, where one is named.
pub fn create(
    world: &mut World,
    account: &str,
    plan: &str,
    currency: &str,
    trial: Option<Timestamp>,
    now: Timestamp,
) -> String {
    let (id, now) = (world.new_id("sub"), stamp(now));
    let plan = world.find("plan", plan).cloned().expect("a plan of the fake");
    let end = trial.map_or_else(|| later(&now, &plan, 1), stamp);
    let mut s = json!({
        "id": id, "object": "subscription", "uuid": format!("{id:0>32}"),
        "account": of_account(world, account).expect("an account of the fake"), "state": "active",
        "currency": currency, "quantity": 1, "add_ons": [], "add_ons_total": 0.0, "tax": 0.0,
        "coupon_redemptions": [], "pending_change": null, "ramp_intervals": null, "collection_method": "automatic",
        "current_period_started_at": now, "current_period_ends_at": end, "current_term_started_at": now,
        "current_term_ends_at": end, "auto_renew": true, "total_billing_cycles": 1, "renewal_billing_cycles": 1,
        "trial_started_at": trial.map(|_| now.clone()), "trial_ends_at": trial.map(stamp), "paused_at": null,
        "resume_at": null, "remaining_pause_cycles": null, "canceled_at": null, "expires_at": null,
        "expiration_reason": null, "activated_at": now, "created_at": now, "updated_at": now,
    });
    on_plan(&mut s, &plan, currency);
    world.put(s.clone());
    world.tell("subscription", "created", &s, &now);
    if trial.is_none() {
        super::invoices::write(world, &s, &now);
    }
    id
}

pub fn answer(world: &mut World, asked: &Asked<'_>, named: &str) -> Reply {
    let s = world.find("subscription", named).cloned().ok_or_else(Problem::missing)?;
    let (id, now) = (text(&s["id"]).to_owned(), stamp(asked.now));
    let state = text(&s["state"]);
    if matches!(state, "expired" | "failed") {
        return Err(Problem::new(422, "immutable_subscription", "An expired subscription cannot be changed"));
    }
    let end = text(&s["current_period_ends_at"]).to_owned();
    let only = |wanted: &[&str]| match wanted.contains(&state) {
        true => Ok(()),
        false => Err(Problem::validation("base", "The subscription is not in a state that allows this")),
    };
    let step = asked.path.get(2).copied().unwrap_or_default();
    let (changes, event) = match (asked.method, step) {
        ("PUT", "") => (bill_on(&s, asked, &now)?, "updated"),
        ("PUT", "cancel") => {
            only(&["active", "paused", "future"])?;
            let at = match asked.body["timeframe"].as_str().unwrap_or("term_end") {
                "bill_date" => end,
                _ => text(&s["current_term_ends_at"]).to_owned(),
            };
            (json!({"state": "canceled", "canceled_at": now, "expires_at": at}), "canceled")
        }
        ("PUT", "reactivate") => {
            only(&["canceled"])?;
            let was = if s["remaining_pause_cycles"].is_i64() && text(&s["paused_at"]) <= now.as_str() {
                "paused"
            } else {
                "active"
            };
            (json!({"state": was, "canceled_at": null, "expires_at": null}), "reactivated")
        }
        ("PUT", "pause") => pause(world, &s, asked)?,
        ("PUT", "resume") => {
            only(&["paused"])?;
            let mut changes = json!({});
            resumed(&mut changes);
            (changes, "resumed")
        }
        ("PUT", "convert_trial") => {
            let plan = world.get("plan", text(&s["plan"]["id"])).cloned().expect("a plan");
            if text(&s["trial_ends_at"]) <= now.as_str() {
                return Err(Problem::validation("base", "The subscription must be in a trial"));
            }
            let next = later(&now, &plan, 1);
            (
                json!({"trial_ends_at": now, "converted_at": now, "current_period_started_at": now,
                "current_period_ends_at": next, "current_term_ends_at": next}),
                "updated",
            )
        }
        ("POST", "change") => return change(world, &s, asked),
        ("DELETE", "change") => {
            let gone = world.change(&id, json!({"pending_change": null}), &now);
            world.tell("subscription", "updated", &gone, &now);
            return Ok((204, Value::Null));
        }
        ("DELETE", "") => (json!({"state": "expired", "expires_at": now, "canceled_at": now}), "expired"),
        _ => return Err(Problem::missing()),
    };
    let after = world.change(&id, changes, &now);
    world.tell("subscription", event, &after, &now);
    Ok((200, after))
}

fn bill_on(s: &Value, asked: &Asked<'_>, now: &str) -> Result<Value, Problem> {
    let Some(at) = asked.body["next_bill_date"].as_str() else { return Ok(json!({})) };
    let at = at.parse().map(stamp).map_err(|_| Problem::validation("next_bill_date", "is not a date"))?;
    if at.as_str() <= now {
        return Err(Problem::validation("next_bill_date", "must be in the future"));
    }
    if s["state"] != "active" {
        return Err(Problem::validation("next_bill_date", "cannot be changed in this state"));
    }
    let mut changes = json!({"current_period_ends_at": at, "current_term_ends_at": at});
    if text(&s["trial_ends_at"]) > now {
        changes["trial_ends_at"] = json!(at);
    }
    Ok(changes)
}

fn pause(world: &World, s: &Value, asked: &Asked<'_>) -> Result<(Value, &'static str), Problem> {
    let cycles = asked.body["remaining_pause_cycles"].as_i64().unwrap_or(-1);
    let waits = s["remaining_pause_cycles"].is_i64();
    if !matches!(text(&s["state"]), "active" | "paused") || cycles < 0 {
        return Err(Problem::validation("remaining_pause_cycles", "is not valid for this subscription"));
    }
    if cycles == 0 {
        let mut changes = json!({});
        resumed(&mut changes);
        return Ok((changes, if s["state"] == "paused" { "resumed" } else { "pause.canceled" }));
    }
    let plan = world.get("plan", text(&s["plan"]["id"])).expect("the plan of a subscription");
    let end = text(&s["current_period_ends_at"]);
    // One that is paused has the present cycle behind it when this period ends.
    let (paused_at, more) = match text(&s["state"]) {
        "paused" => (s["paused_at"].clone(), cycles - 1),
        _ => (json!(end), cycles),
    };
    let changes = json!({"paused_at": paused_at, "remaining_pause_cycles": cycles, "resume_at": later(end, plan, more)});
    Ok((changes, if waits { "pause.modified" } else { "pause.scheduled" }))
}

fn change(world: &mut World, s: &Value, asked: &Asked<'_>) -> Reply {
    let (p, now) = (&asked.body, stamp(asked.now));
    let id = text(&s["id"]).to_owned();
    if s["state"] != "active" {
        return Err(Problem::validation("base", "Only an active subscription can be changed"));
    }
    let named =
        p["plan_code"].as_str().map(|c| format!("code-{c}")).or(p["plan_id"].as_str().map(str::to_owned));
    let plan = named.and_then(|n| world.find("plan", &n).cloned());
    let plan = plan.ok_or(Problem::validation("plan_code", "is invalid"))?;
    let currency = text(&s["currency"]).to_owned();
    if !list(&plan["currencies"]).any(|c| c["currency"] == currency.as_str()) {
        return Err(Problem::validation("currency", "is not sold in this currency"));
    }
    let mut fields = json!({});
    on_plan(&mut fields, &plan, &currency);
    let at = match p["timeframe"].as_str().unwrap_or("now") {
        "now" => now.clone(),
        "bill_date" => text(&s["current_period_ends_at"]).to_owned(),
        _ => text(&s["current_term_ends_at"]).to_owned(),
    };
    let activated = at == now;
    let made = json!({
        "id": world.new_id("chg"), "object": "subscription_change", "subscription_id": id, "plan": fields["plan"],
        "unit_amount": fields["unit_amount"], "quantity": s["quantity"], "activate_at": at, "activated": activated,
        "created_at": now, "updated_at": now, "deleted_at": null,
    });
    let (changes, event) = if activated {
        fields["pending_change"] = Value::Null;
        // Another interval begins a new period; the same one goes on with it.
        let of = world.get("plan", text(&s["plan"]["id"])).expect("the plan of a subscription");
        if (&of["interval_unit"], &of["interval_length"])
            != (&plan["interval_unit"], &plan["interval_length"])
        {
            let next = json!(later(&now, &plan, 1));
            fields["current_period_started_at"] = json!(now);
            fields["current_period_ends_at"] = next.clone();
            fields["current_term_ends_at"] = next;
        }
        (fields, "updated")
    } else {
        (json!({"pending_change": made}), "pending_change.scheduled")
    };
    let after = world.change(&id, changes, &now);
    world.tell("subscription", event, &after, &now);
    Ok((201, made))
}
