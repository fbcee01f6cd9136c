//! What the fake account holds, and how time changes it.

use std::collections::HashMap;

use jiff::tz::TimeZone;
use jiff::{Span, Timestamp};
use serde_json::{Value, json};

/// One account. Objects are kept as Stripe's JSON, references by id.
pub struct World {
    objects: HashMap<String, Value>,
    /// Ids in the order they were made; lists run backwards through it.
    order: Vec<String>,
    samples: Value,
    made: u64,
    /// Events waiting to be sent.
    pub outbox: Vec<Value>,
}

impl World {
    pub fn new() -> Self {
        let samples = serde_json::from_str(include_str!("samples.json")).expect("the samples are JSON");
        Self { objects: HashMap::new(), order: Vec::new(), samples, made: 0, outbox: Vec::new() }
    }

    /// A copy of Stripe's sample of a kind.
    pub fn sample(&self, kind: &str) -> Value {
        self.samples[kind].clone()
    }

    pub fn new_id(&mut self, prefix: &str) -> String {
        self.made += 1;
        format!("{prefix}_Fake{:012}", self.made)
    }

    pub fn get(&self, kind: &str, id: &str) -> Option<&Value> {
        self.objects.get(id).filter(|o| o["object"] == kind)
    }

    pub fn any(&self, id: &str) -> Option<&Value> {
        self.objects.get(id)
    }

    pub fn put(&mut self, object: Value) {
        let id = object["id"].as_str().expect("an object has an id").to_owned();
        if self.objects.insert(id.clone(), object).is_none() {
            self.order.push(id);
        }
    }

    /// All of a kind, newest first.
    pub fn all(&self, kind: &str) -> Vec<&Value> {
        self.order.iter().rev().filter_map(|id| self.get(kind, id)).collect()
    }

    /// Notes an event about an object as it now stands.
    pub fn emit(&mut self, name: &str, object: &Value, before: Option<&Value>, now: Timestamp) -> Value {
        let mut event = self.sample("event");
        event["id"] = json!(self.new_id("evt"));
        event["created"] = json!(now.as_second());
        event["api_version"] = json!(super::VERSION);
        event["type"] = json!(name);
        event["data"] = json!({ "object": object });
        if let Some(before) = before {
            let changed = object.as_object().into_iter().flatten().filter(|(k, v)| before[k.as_str()] != **v);
            let previous: serde_json::Map<_, _> =
                changed.map(|(k, _)| (k.clone(), before[k.as_str()].clone())).collect();
            event["data"]["previous_attributes"] = Value::Object(previous);
        }
        self.put(event.clone());
        self.outbox.push(event.clone());
        event
    }

    /// Lets happen what was due by `now`: pauses end, discounts run out, periods roll on, cancellations take effect.
    pub fn settle(&mut self, now: Timestamp) {
        let second = now.as_second();
        let ids: Vec<String> = self
            .all("subscription")
            .iter()
            .map(|s| s["id"].as_str().unwrap_or_default().to_owned())
            .collect();
        for id in ids {
            // Most are not due: an account of hundreds is not copied with every request.
            let is_due = |s: &&Value| s["status"] != "canceled" && self.is_due(s, second);
            let Some(before) = self.get("subscription", &id).filter(is_due).cloned() else { continue };
            let mut s = before.clone();
            if due(&s["pause_collection"]["resumes_at"], second) {
                s["pause_collection"] = Value::Null;
            }
            if s["status"] == "trialing" && due(&s["trial_end"], second) {
                s["status"] = json!("active");
            }
            if due(&s["cancel_at"], second) {
                s["status"] = json!("canceled");
                s["ended_at"] = s["cancel_at"].clone();
                self.put(s.clone());
                self.emit("customer.subscription.deleted", &s, None, now);
                continue;
            }
            self.roll_on(&mut s, second);
            let running = |world: &Self, d: &Value| {
                d.as_str().and_then(|d| world.any(d)).is_some_and(|d| !due(&d["end"], second))
            };
            let kept: Vec<Value> = list(&s["discounts"]).filter(|d| running(self, d)).cloned().collect();
            s["discounts"] = Value::Array(kept);
            if s != before {
                self.put(s.clone());
                let begins = |s: &Value| s["items"]["data"][0]["current_period_start"].as_i64();
                if let Some(at) = begins(&s).filter(|at| Some(*at) != begins(&before)) {
                    super::invoices::write(self, &s, at);
                }
                self.emit("customer.subscription.updated", &s, Some(&before), now);
            }
        }
    }

    /// Whether time has anything to change about a subscription.
    fn is_due(&self, s: &Value, second: i64) -> bool {
        let ended = |d: &Value| d.as_str().and_then(|d| self.any(d)).is_none_or(|d| due(&d["end"], second));
        due(&s["pause_collection"]["resumes_at"], second)
            || due(&s["cancel_at"], second)
            || list(&s["items"]["data"]).any(|i| due(&i["current_period_end"], second))
            || list(&s["discounts"]).any(ended)
    }

    /// Begins new periods until the present one holds `second`; the first invoice uses up `once` discounts.
    fn roll_on(&self, s: &mut Value, second: i64) {
        let mut rolled = false;
        for item in s["items"]["data"].as_array_mut().into_iter().flatten() {
            let recurring = item["price"]["recurring"].clone();
            while item["current_period_end"].as_i64().is_some_and(|end| end <= second) {
                let end = item["current_period_end"].as_i64().unwrap_or(second);
                item["current_period_start"] = json!(end);
                item["current_period_end"] = json!(later(end, &recurring));
                rolled = true;
            }
        }
        if rolled {
            let once = |d: &Value| {
                let coupon =
                    d.as_str().and_then(|d| self.any(d)).and_then(|d| d["source"]["coupon"].as_str());
                coupon.and_then(|c| self.any(c)).is_some_and(|c| c["duration"] == "once")
            };
            let kept: Vec<Value> = list(&s["discounts"]).filter(|d| !once(d)).cloned().collect();
            s["discounts"] = Value::Array(kept);
        }
    }
}

fn due(at: &Value, second: i64) -> bool {
    at.as_i64().is_some_and(|at| at <= second)
}

/// The elements of a list; nothing is an empty one.
pub fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

/// One billing interval after `second`.
pub fn later(second: i64, recurring: &Value) -> i64 {
    let count = recurring["interval_count"].as_i64().unwrap_or(1);
    let span = match recurring["interval"].as_str() {
        Some("day") => Span::new().days(count),
        Some("week") => Span::new().weeks(count),
        Some("year") => Span::new().years(count),
        _ => Span::new().months(count),
    };
    shifted(second, span)
}

/// Calendar months after `second`.
pub fn months_later(second: i64, months: i64) -> i64 {
    shifted(second, Span::new().months(months))
}

fn shifted(second: i64, span: Span) -> i64 {
    let at = Timestamp::from_second(second).unwrap_or_default().to_zoned(TimeZone::UTC);
    at.checked_add(span).map_or(i64::MAX, |z| z.timestamp().as_second())
}
