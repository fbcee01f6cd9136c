//! What the fake site holds, and how time changes it.

use std::collections::HashMap;

use jiff::tz::TimeZone;
use jiff::{Span, Timestamp};
use serde_json::{Value, json};

use super::{Catalogue, invoices};

/// One site. Objects are kept as Chargebee's JSON.
pub struct World {
    pub catalogue: Catalogue,
    objects: HashMap<(String, String), Value>,
    order: Vec<(String, String)>,
    /// The discounts of each subscription, and whether a coupon gave them.
    pub applied: HashMap<String, Vec<(bool, Value)>>,
    /// What a subscription becomes when its term ends.
    pub scheduled: HashMap<String, Value>,
    made: u64,
    version: i64,
    /// Events waiting to be sent.
    pub outbox: Vec<Value>,
}

impl World {
    pub fn new(catalogue: Catalogue) -> Self {
        Self {
            catalogue,
            objects: HashMap::new(),
            order: Vec::new(),
            applied: HashMap::new(),
            scheduled: HashMap::new(),
            made: 0,
            version: 0,
            outbox: Vec::new(),
        }
    }

    pub fn new_id(&mut self, prefix: &str) -> String {
        self.made += 1;
        format!("{prefix}Fake{:010}", self.made)
    }

    pub fn get(&self, kind: &str, id: &str) -> Option<&Value> {
        self.objects.get(&(kind.to_owned(), id.to_owned()))
    }

    /// All of a kind, oldest first.
    pub fn all(&self, kind: &str) -> Vec<&Value> {
        self.order.iter().filter(|(k, _)| k == kind).filter_map(|key| self.objects.get(key)).collect()
    }

    /// Keeps an object; its version grows.
    pub fn put(&mut self, kind: &str, mut object: Value, now: Timestamp) {
        self.version = (self.version + 1).max(now.as_millisecond());
        let id = object["id"].as_str().expect("an object has an id").to_owned();
        if kind != "event" {
            object["resource_version"] = json!(self.version);
            object["updated_at"] = json!(now.as_second());
            if object["created_at"].is_null() {
                object["created_at"] = json!(now.as_second());
            }
        }
        if kind == "subscription" {
            self.show_discounts(&id, &mut object);
        }
        let key = (kind.to_owned(), id);
        if self.objects.insert(key.clone(), object).is_none() {
            self.order.push(key);
        }
    }

    /// A subscription shows its coupons by name and the discounts made by hand as a whole.
    fn show_discounts(&self, id: &str, subscription: &mut Value) {
        let applied = self.applied.get(id).map_or(&[][..], Vec::as_slice);
        let coupons = applied.iter().filter(|(by_coupon, _)| *by_coupon).map(|(_, d)| {
            let mut coupon = json!({"object": "coupon", "coupon_id": d["coupon_id"], "applied_count": 0});
            if !d["apply_till"].is_null() {
                coupon["apply_till"] = d["apply_till"].clone();
            }
            coupon
        });
        let coupons: Vec<Value> = coupons.collect();
        let by_hand: Vec<Value> = applied.iter().filter(|(c, _)| !c).map(|(_, d)| d.clone()).collect();
        // What there is none of is left out.
        for (name, list) in [("coupons", coupons), ("discounts", by_hand)] {
            if let Some(object) = subscription.as_object_mut() {
                object.remove(name);
                if !list.is_empty() {
                    object.insert(name.into(), Value::Array(list));
                }
            }
        }
    }

    /// Notes an event about a subscription as it now stands.
    pub fn emit(&mut self, name: &str, subscription: &str, more: &[(&str, Value)], now: Timestamp) {
        let s = self.get("subscription", subscription).cloned().unwrap_or_default();
        let customer = self.get("customer", s["customer_id"].as_str().unwrap_or_default()).cloned();
        let mut content = json!({"subscription": s, "customer": customer});
        for (name, object) in more {
            content[*name] = object.clone();
        }
        let id = self.new_id("ev_");
        let event = json!({"id": id, "object": "event", "api_version": "v2", "occurred_at": now.as_second(),
            "source": "admin_console", "event_type": name, "webhook_status": "scheduled", "content": content,
            "webhooks": [{"id": "whv2_Fake", "object": "webhook", "webhook_status": "scheduled"}]});
        self.put("event", event.clone(), now);
        self.outbox.push(event);
    }

    /// Lets happen what was due by `now`: pauses end, discounts run out, terms roll on, cancellations take effect.
    pub fn settle(&mut self, now: Timestamp) {
        let ids: Vec<String> =
            self.all("subscription").iter().filter_map(|s| s["id"].as_str().map(str::to_owned)).collect();
        for id in ids {
            while let Some(event) = self.step(&id, now) {
                self.emit(event, &id, &[], now);
            }
        }
    }

    /// One thing that was due, and the event it makes.
    fn step(&mut self, id: &str, now: Timestamp) -> Option<&'static str> {
        let second = now.as_second();
        let mut s = self.get("subscription", id)?.clone();
        let due = |name: &str| s[name].as_i64().is_some_and(|at| at <= second);
        let name = match s["status"].as_str().unwrap_or_default() {
            "paused" if due("resume_date") => {
                s["status"] = json!("active");
                drop_field(&mut s, "resume_date");
                drop_field(&mut s, "pause_date");
                "subscription_resumed"
            }
            "non_renewing" if due("cancelled_at") => {
                s["status"] = json!("cancelled");
                "subscription_cancelled"
            }
            "in_trial" if due("trial_end") => {
                let end = s["trial_end"].as_i64().unwrap_or(second);
                s["status"] = json!("active");
                s["current_term_start"] = json!(end);
                s["current_term_end"] = json!(months_later(end, 1));
                invoices::write(self, &s, end, now);
                "subscription_activated"
            }
            "active" if due("current_term_end") => {
                let end = s["current_term_end"].as_i64().unwrap_or(second);
                s["current_term_start"] = json!(end);
                s["current_term_end"] = json!(months_later(end, 1));
                if let Some(next) = self.scheduled.remove(id) {
                    next.as_object().into_iter().flatten().for_each(|(k, v)| s[k] = v.clone());
                    s["has_scheduled_changes"] = json!(false);
                    drop_field(&mut s, "changes_scheduled_at");
                }
                invoices::write(self, &s, end, now);
                // The invoice uses up what holds for one.
                self.applied
                    .entry(id.to_owned())
                    .or_default()
                    .retain(|(_, d)| d["duration_type"] != "one_time");
                "subscription_renewed"
            }
            "active" | "in_trial" | "non_renewing" | "paused" => {
                let applied = self.applied.entry(id.to_owned()).or_default();
                let before = applied.len();
                applied.retain(|(_, d)| d["apply_till"].as_i64().is_none_or(|till| till > second));
                if applied.len() == before {
                    return None;
                }
                "subscription_changed"
            }
            _ => return None,
        };
        self.put("subscription", s, now);
        Some(name)
    }
}

pub fn drop_field(object: &mut Value, name: &str) {
    if let Some(object) = object.as_object_mut() {
        object.remove(name);
    }
}

/// Calendar months after `second`.
pub fn months_later(second: i64, months: i64) -> i64 {
    let at = Timestamp::from_second(second).unwrap_or_default().to_zoned(TimeZone::UTC);
    at.checked_add(Span::new().months(months)).map_or(i64::MAX, |z| z.timestamp().as_second())
}
