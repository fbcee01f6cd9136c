//! What the fake site holds, and how time changes it.

use std::collections::HashMap;

use jiff::tz::TimeZone;
use jiff::{Span, Timestamp};
use serde_json::{Value, json};

/// One site. Objects are kept as Recurly's JSON.
#[derive(Default)]
pub struct World {
    objects: HashMap<String, Value>,
    /// Ids by kind, in the order they were made.
    order: HashMap<String, Vec<String>>,
    made: u64,
    pub mode: String,
    /// Notifications so far, and how many of them were sent.
    pub told: Vec<Value>,
    pub sent: usize,
}

impl World {
    pub fn new(mode: &str) -> Self {
        Self { mode: mode.to_owned(), ..Self::default() }
    }

    /// Thirteen signs at most, as theirs.
    pub fn new_id(&mut self, prefix: &str) -> String {
        self.made += 1;
        format!("{prefix}{:09}", self.made)
    }

    pub fn get(&self, kind: &str, id: &str) -> Option<&Value> {
        self.objects.get(id).filter(|o| o["object"] == kind)
    }

    /// By id, or by what stands behind a prefix.
    pub fn find(&self, kind: &str, named: &str) -> Option<&Value> {
        let by = |field: &str, text: &str| self.all(kind).into_iter().find(|o| o[field] == text);
        match named.split_once('-') {
            Some(("uuid", uuid)) => by("uuid", uuid),
            Some(("code", code)) => by("code", code),
            Some(("number", number)) => by("number", number),
            _ => self.get(kind, named),
        }
    }

    pub fn put(&mut self, object: Value) {
        let id = text(&object["id"]).to_owned();
        let kind = text(&object["object"]).to_owned();
        if self.objects.insert(id.clone(), object).is_none() {
            self.order.entry(kind).or_default().push(id);
        }
    }

    pub fn remove(&mut self, kind: &str, id: &str) {
        self.objects.remove(id);
        self.order.entry(kind.to_owned()).or_default().retain(|known| known != id);
    }

    /// All of a kind, oldest first.
    pub fn all(&self, kind: &str) -> Vec<&Value> {
        self.order.get(kind).into_iter().flatten().filter_map(|id| self.objects.get(id)).collect()
    }

    /// Changes fields of an object, and with them the time of its last change.
    pub fn change(&mut self, id: &str, changes: Value, at: &str) -> Value {
        let mut object = self.objects.get(id).cloned().expect("an object of the fake");
        for (key, value) in changes.as_object().into_iter().flatten() {
            object[key] = value.clone();
        }
        object["updated_at"] = json!(at);
        self.put(object.clone());
        object
    }

    /// Notes a notification: thin, as Recurly's JSON ones are.
    pub fn tell(&mut self, object_type: &str, event_type: &str, object: &Value, at: &str) {
        let mut said = json!({
            "id": object["id"], "object_type": object_type, "site_id": "site000000001", "event_type": event_type,
            "event_time": at,
        });
        match object_type {
            "account" => said["account_code"] = object["code"].clone(),
            "charge_invoice" | "credit_invoice" => said["invoice_number"] = object["number"].clone(),
            _ => said["uuid"] = object["uuid"].clone(),
        }
        self.told.push(said);
    }

    /// Lets happen what was due by `now`: periods begin, pauses begin and end, discounts run out, cancellations take effect.
    pub fn settle(&mut self, now: Timestamp) {
        let now = stamp(now);
        let running = |s: &&&Value| !matches!(text(&s["state"]), "expired" | "failed");
        let due = |s: &&&Value| {
            text(&s["current_period_ends_at"]) <= now.as_str() || text_due(&s["expires_at"], &now)
        };
        let ids: Vec<String> = self
            .all("subscription")
            .iter()
            .filter(running)
            .filter(due)
            .map(|s| text(&s["id"]).to_owned())
            .collect();
        for id in ids {
            while self.step(&id, &now) {}
        }
        let over: Vec<String> = self
            .all("coupon_redemption")
            .iter()
            .filter(|r| r["state"] == "active" && text_due(&r["remaining_duration"]["expires_at"], &now))
            .map(|r| text(&r["id"]).to_owned())
            .collect();
        for id in over {
            self.change(&id, json!({"state": "inactive"}), &now);
        }
    }

    /// The next thing time does to a subscription, if it is due.
    fn step(&mut self, id: &str, now: &str) -> bool {
        let Some(s) = self.get("subscription", id).cloned() else { return false };
        let end = text(&s["current_period_ends_at"]).to_owned();
        if s["state"] == "expired" {
            return false;
        }
        if s["state"] == "canceled" {
            if text_due(&s["expires_at"], now) {
                let at = text(&s["expires_at"]).to_owned();
                let over = self.change(id, json!({"state": "expired", "expiration_reason": "canceled"}), &at);
                self.tell("subscription", "expired", &over, &at);
                return true;
            }
            return false;
        }
        if end.as_str() > now {
            return false;
        }
        let mut changes = json!({
            "current_period_started_at": end, "current_term_started_at": end,
        });
        let mut event = "renewed";
        let cycles = s["remaining_pause_cycles"].as_i64();
        if s["state"] == "paused" && cycles.unwrap_or(1) > 1 {
            changes["remaining_pause_cycles"] = json!(cycles.unwrap_or(1) - 1);
            event = "renewal.skipped";
        } else if s["state"] == "paused" {
            resumed(&mut changes);
            event = "resumed";
        } else if cycles.is_some() {
            changes["state"] = json!("paused");
            event = "paused";
        }
        if let Some(plan) = Some(&s["pending_change"]["plan"]["id"]).filter(|p| p.is_string()) {
            let plan = self.get("plan", text(plan)).cloned().expect("the plan of a change");
            on_plan(&mut changes, &plan, text(&s["currency"]));
            changes["pending_change"] = Value::Null;
        }
        let plan = changes["plan"]["id"].as_str().unwrap_or(text(&s["plan"]["id"])).to_owned();
        let plan = self.get("plan", &plan).cloned().expect("the plan of a subscription");
        let next = later(&end, &plan, 1);
        changes["current_period_ends_at"] = json!(next);
        changes["current_term_ends_at"] = json!(next);
        let after = self.change(id, changes, &end);
        self.tell("subscription", event, &after, &end);
        if after["state"] == "active" {
            super::invoices::write(self, &after, &end);
        }
        true
    }
}

/// Not paused any more, nor going to be.
pub fn resumed(changes: &mut Value) {
    changes["state"] = json!("active");
    for field in ["paused_at", "resume_at", "remaining_pause_cycles"] {
        changes[field] = Value::Null;
    }
}

/// The fields of a subscription that come from its plan.
pub fn on_plan(changes: &mut Value, plan: &Value, currency: &str) {
    let price =
        list(&plan["currencies"]).find(|c| c["currency"] == currency).expect("a price in the currency");
    changes["plan"] = json!({"id": plan["id"], "object": "plan", "code": plan["code"], "name": plan["name"]});
    for field in ["unit_amount", "subtotal", "total"] {
        changes[field] = price["unit_amount"].clone();
    }
}

pub fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn text_due(at: &Value, now: &str) -> bool {
    at.as_str().is_some_and(|at| at <= now)
}

/// The elements of a list; nothing is an empty one.
pub fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

/// A time as Recurly writes it: to the second.
pub fn stamp(at: Timestamp) -> String {
    Timestamp::from_second(at.as_second()).unwrap_or_default().to_string()
}

/// So many cycles of a plan after a time.
pub fn later(at: &str, plan: &Value, cycles: i64) -> String {
    let count = plan["interval_length"].as_i64().unwrap_or(1) * cycles;
    let span = match text(&plan["interval_unit"]) {
        "days" => Span::new().days(count),
        _ => Span::new().months(count),
    };
    shifted(at, span)
}

pub fn shifted(at: &str, span: Span) -> String {
    let at: Timestamp = at.parse().expect("a time of the fake");
    let later = at.to_zoned(TimeZone::UTC).checked_add(span).expect("a time within the calendar");
    stamp(later.timestamp())
}
