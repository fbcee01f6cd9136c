//! One customer as personas see it: what we were told, the facts that follow, and the personas these put it in.
//! Plain functions: the same events in any order and any number of times make the same customer.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp, Unit, tz::TimeZone};
use kit::Money;
use serde::{Deserialize, Serialize};

use crate::rules::{EventCounts, Facts, Value};

/// How many past memberships are kept with the customer.
const MAX_PAST: usize = 50;
/// The longest text kept as a fact.
const MAX_TEXT: usize = 500;
/// The most attributes kept of one customer.
const MAX_ATTRIBUTES: usize = 200;

/// What is kept of a customer. The id is the customer's, as billing gave it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Customer {
    /// The company's own id; empty until we are told.
    #[serde(default)]
    pub external_id: String,
    /// Personal: kept to find the customer of a usage row keyed by e-mail, in lower case.
    #[serde(default)]
    pub email: String,
    #[serde(default)]
    pub known: Known,
    /// What follows from `known`, flat: what rules read.
    #[serde(default)]
    pub facts: Facts,
    /// Counts of events that rules ask for.
    #[serde(default)]
    pub events: EventCounts,
    #[serde(default)]
    pub personas: Vec<Membership>,
    #[serde(default)]
    pub past: Vec<PastMembership>,
    #[serde(default, with = "store::time::option")]
    pub computed_at: Option<Timestamp>,
    #[serde(default)]
    pub erased: bool,
    /// Kept, and not looked at: by a privacy request.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub restricted: bool,
    /// What else the person is called since records were merged: ids of ours and of the company's.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub aliases: Vec<String>,
    /// Whose record this became part of. Meanwhile it stands aside, as an erased one does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub merged: Option<Box<Aside>>,
}

/// A record that became part of another, kept for an undo.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Aside {
    pub survivor: String,
    pub external_id: String,
    pub email: String,
    pub known: Known,
    pub aliases: Vec<String>,
}

/// What we were told, as told.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Known {
    #[serde(default)]
    pub profile: Profile,
    #[serde(default)]
    pub subscriptions: BTreeMap<String, Subscription>,
    /// Failed payments of the last 90 days by the event's id.
    #[serde(default)]
    pub failures: BTreeMap<String, Dated>,
    /// Refunds and disputes of the last 400 days by the event's id.
    #[serde(default)]
    pub returned: BTreeMap<String, Returned>,
    /// Ends of cancel flows by the session's id.
    #[serde(default)]
    pub flows: BTreeMap<String, FlowEnd>,
    /// Columns of the usage datasets by fact key.
    #[serde(default)]
    pub usage: Facts,
    #[serde(default)]
    pub activity: Activity,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Profile {
    pub sequence: i64,
    pub state: String,
    pub country: String,
    pub locale: String,
    pub currency: String,
    pub attributes: Facts,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Subscription {
    pub sequence: i64,
    pub state: String,
    pub plan: String,
    pub interval: String,
    pub mrr: Option<Money>,
    #[serde(default, with = "store::time::option")]
    pub started_at: Option<Timestamp>,
    #[serde(default, with = "store::time::option")]
    pub ended_at: Option<Timestamp>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Dated {
    #[serde(with = "store::time")]
    pub at: Timestamp,
}

/// Money that went back to a customer, or that they want back by their bank.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Returned {
    #[serde(with = "store::time")]
    pub at: Timestamp,
    pub amount: Option<Money>,
    pub disputed: bool,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FlowEnd {
    pub sequence: i64,
    pub state: String,
}

/// What the event stream says, counted when enrichment runs.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Activity {
    #[serde(default, with = "store::time::option")]
    pub last_event_at: Option<Timestamp>,
    #[serde(default)]
    pub events_30d: u32,
}

/// A customer's present time in a persona.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Membership {
    pub persona: String,
    #[serde(with = "store::time")]
    pub entered_at: Timestamp,
    pub why: String,
}

/// One that is over.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PastMembership {
    pub persona: String,
    #[serde(with = "store::time")]
    pub entered_at: Timestamp,
    #[serde(with = "store::time")]
    pub left_at: Timestamp,
    pub why: String,
}

/// Something another service told us about a customer.
#[derive(Clone, Debug, PartialEq)]
pub enum Told {
    Customer { external_id: String, email: String, profile: Profile },
    Erased,
    Subscription { id: String, subscription: Subscription },
    PaymentFailed { event: String, at: Timestamp },
    Returned { event: String, returned: Returned },
    Flow { session: String, end: FlowEnd },
}

impl Customer {
    /// Takes in what was told. What is older than what we have changes nothing; neither does hearing it again.
    pub fn hear(&mut self, told: Told) {
        // What stands aside is erased with everything else.
        if self.erased && !(matches!(told, Told::Erased) && self.merged.is_some()) {
            return;
        }
        match told {
            Told::Customer { external_id, email, profile } => {
                if profile.sequence >= self.known.profile.sequence {
                    self.external_id = external_id;
                    self.email = email.to_lowercase();
                    self.known.profile = profile;
                }
            }
            // Nothing of the person stays; that it was erased does, so that a late event does not bring it back.
            Told::Erased => *self = Self { erased: true, ..Self::default() },
            Told::Subscription { id, subscription } => {
                let id = key_of(&id);
                let newer =
                    self.known.subscriptions.get(&id).is_none_or(|s| subscription.sequence >= s.sequence);
                if newer {
                    self.known.subscriptions.insert(id, subscription);
                }
            }
            Told::PaymentFailed { event, at } => {
                self.known.failures.insert(key_of(&event), Dated { at });
            }
            Told::Returned { event, returned } => {
                self.known.returned.insert(key_of(&event), returned);
            }
            Told::Flow { session, end } => {
                let session = key_of(&session);
                let newer = self.known.flows.get(&session).is_none_or(|f| end.sequence >= f.sequence);
                if newer {
                    self.known.flows.insert(session, end);
                }
            }
        }
    }

    /// Stands aside, as part of another; what was known is kept for an undo.
    pub fn stand_aside(&mut self, survivor: &str) {
        if self.merged.is_some() {
            return;
        }
        let Self { external_id, email, known, aliases, .. } = std::mem::take(self);
        let aside = Aside { survivor: survivor.to_owned(), external_id, email, known, aliases };
        *self = Self { erased: true, merged: Some(Box::new(aside)), ..Self::default() };
    }

    /// Takes over what is known of a record that became part of this one; its own word stands where both say something.
    pub fn take_over(&mut self, absorbed: &str, external_ids: &[String], theirs: &Known) {
        for name in std::iter::once(absorbed).chain(external_ids.iter().map(String::as_str)) {
            if !self.aliases.iter().any(|a| a == name) {
                self.aliases.push(name.to_owned());
            }
        }
        for (id, s) in &theirs.subscriptions {
            let own = self.known.subscriptions.get(id);
            if own.is_none_or(|own| own.sequence < s.sequence) {
                self.known.subscriptions.insert(id.clone(), s.clone());
            }
        }
        for (id, f) in &theirs.flows {
            self.known.flows.entry(id.clone()).or_insert_with(|| f.clone());
        }
        for (id, f) in &theirs.failures {
            self.known.failures.entry(id.clone()).or_insert_with(|| f.clone());
        }
        for (key, value) in &theirs.usage {
            self.known.usage.entry(key.clone()).or_insert_with(|| value.clone());
        }
    }

    /// Comes back to itself.
    pub fn come_back(&mut self) -> Option<Aside> {
        let aside = *self.merged.take()?;
        let Aside { external_id, email, known, aliases, .. } = aside.clone();
        *self = Self { external_id, email, known, aliases, ..Self::default() };
        Some(aside)
    }

    /// Gives back what a record that was no part of this one had brought.
    pub fn give_back(&mut self, absorbed: &str, aside: &Aside, subscriptions: &[String]) {
        let names = [absorbed, aside.external_id.as_str()];
        self.aliases.retain(|a| !names.contains(&a.as_str()) && !aside.aliases.contains(a));
        let Known { subscriptions: all, flows, failures, usage, .. } = &mut self.known;
        all.retain(|id, _| {
            !aside.known.subscriptions.contains_key(id) && !subscriptions.iter().any(|s| key_of(s) == *id)
        });
        flows.retain(|id, _| !aside.known.flows.contains_key(id));
        failures.retain(|id, _| !aside.known.failures.contains_key(id));
        usage.retain(|key, value| aside.known.usage.get(key) != Some(value));
    }

    /// Works the facts out anew, as of `now`.
    pub fn derive(&mut self, now: Timestamp) {
        if self.restricted {
            self.facts.clear();
            self.events.clear();
            return;
        }
        let window = now.saturating_sub(SignedDuration::from_hours(24 * 90)).unwrap_or(Timestamp::MIN);
        self.known.failures.retain(|_, f| f.at >= window);
        // A year of offers is compared with the year before.
        let year = now.saturating_sub(SignedDuration::from_hours(24 * 400)).unwrap_or(Timestamp::MIN);
        self.known.returned.retain(|_, r| r.at >= year);
        self.facts = derive(&self.known, now).into_iter().map(|f| (f.key, f.value)).collect();
        self.computed_at = Some(now);
    }

    /// Puts the customer into exactly these personas (id and why), and says which it entered and left.
    pub fn settle(&mut self, matched: &[(String, String)], now: Timestamp) -> Moves {
        let mut moves = Moves::default();
        let (stay, leave): (Vec<_>, Vec<_>) =
            self.personas.drain(..).partition(|m| matched.iter().any(|(id, _)| *id == m.persona));
        self.personas = stay;
        for Membership { persona, entered_at, why } in leave {
            moves.left.push(persona.clone());
            self.past.insert(0, PastMembership { persona, entered_at, left_at: now, why });
        }
        self.past.truncate(MAX_PAST);
        for (persona, why) in matched {
            match self.personas.iter_mut().find(|m| m.persona == *persona) {
                Some(there) => there.why.clone_from(why),
                None => {
                    moves.entered.push(persona.clone());
                    self.personas.push(Membership {
                        persona: persona.clone(),
                        entered_at: now,
                        why: why.clone(),
                    });
                }
            }
        }
        self.personas.sort_by_key(|m| matched.iter().position(|(id, _)| *id == m.persona));
        moves
    }
}

/// Which personas a customer entered and left at once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Moves {
    pub entered: Vec<String>,
    pub left: Vec<String>,
}

/// One derived fact.
#[derive(Clone, Debug, PartialEq)]
pub struct Derived {
    pub group: &'static str,
    pub key: String,
    pub value: Value,
    pub source: &'static str,
    /// Whether it changes by the mere passing of time.
    pub ages: bool,
}

/// Everything that follows from what we were told. What we work out wins over an attribute of the same name.
pub fn derive(known: &Known, now: Timestamp) -> Vec<Derived> {
    let mut all: BTreeMap<String, Derived> = BTreeMap::new();
    let mut put = |group, key: &str, value: Value, source, ages| {
        all.insert(key.to_owned(), Derived { group, key: key.to_owned(), value, source, ages });
    };
    let Known { profile, subscriptions, failures, returned, flows, usage, activity } = known;
    for (key, value) in &profile.attributes {
        put("firmographic", key, value.clone(), "customer", false);
    }
    for (key, value) in [
        ("customer_state", &profile.state),
        ("country", &profile.country),
        ("locale", &profile.locale),
        ("currency", &profile.currency),
    ] {
        if !value.is_empty() {
            put("firmographic", key, value.as_str().into(), "customer", false);
        }
    }
    for (key, value) in usage {
        put("usage", key, value.clone(), "usage", false);
    }
    if let Some(main) = main_subscription(subscriptions) {
        put("billing", "subscription_state", main.state.as_str().into(), "subscription", false);
        if !main.plan.is_empty() {
            put("billing", "plan", main.plan.as_str().into(), "subscription", false);
        }
        if !main.interval.is_empty() {
            put("billing", "interval", main.interval.as_str().into(), "subscription", false);
        }
        if let Some(mrr) = main.mrr {
            put("billing", "monthly_charges_minor", number(mrr.minor), "subscription", false);
            put("billing", "currency", mrr.currency.as_str().into(), "subscription", false);
        }
        if let Some(started) = main.started_at {
            let until = main.ended_at.unwrap_or(now).min(now);
            let running = main.ended_at.is_none();
            put("billing", "tenure_months", number(months(started, until)), "subscription", running);
        }
        let open = subscriptions.values().filter(|s| s.state != "ended").count();
        put("billing", "open_subscriptions", number(open), "subscription", false);
    }
    let window = now.saturating_sub(SignedDuration::from_hours(24 * 90)).unwrap_or(Timestamp::MIN);
    let failed = failures.values().filter(|f| f.at >= window).count();
    put("billing", "failed_payments_90d", number(failed), "payments", failed > 0);
    for (key, disputed) in [("refunds_90d", false), ("disputes_90d", true)] {
        let count = returned.values().filter(|r| r.disputed == disputed && r.at >= window).count();
        if count > 0 {
            put("billing", key, number(count), "payments", true);
        }
    }
    let ended = |state: &str| flows.values().filter(|f| f.state == state).count();
    put("survey", "earlier_saves", number(ended("saved")), "flow", false);
    put("survey", "earlier_cancels", number(ended("canceled")), "flow", false);
    if let Some(last) = activity.last_event_at {
        let days = now.duration_since(last).as_hours().max(0) / 24;
        put("usage", "days_since_last_event", number(days), "events", true);
        put("usage", "events_30d", number(activity.events_30d), "events", true);
    }
    all.into_values().collect()
}

/// The subscription that speaks for the customer: one that has not ended before one that has, then the youngest.
fn main_subscription(all: &BTreeMap<String, Subscription>) -> Option<&Subscription> {
    all.values().max_by_key(|s| (s.state != "ended", s.started_at))
}

/// Whole calendar months between two instants, in UTC.
fn months(from: Timestamp, to: Timestamp) -> i64 {
    let (from, to) = (from.to_zoned(TimeZone::UTC), to.to_zoned(TimeZone::UTC));
    from.until((Unit::Month, &to)).map_or(0, |span| i64::from(span.get_months())).max(0)
}

#[allow(clippy::cast_precision_loss, reason = "counts and amounts stay far below 2^53")]
fn number(n: impl TryInto<i64>) -> Value {
    Value::Number(n.try_into().unwrap_or(i64::MAX) as f64)
}

/// A map key that the database reads as one step.
fn key_of(id: &str) -> String {
    id.replace(['.', '$', '\0'], "_")
}

/// The key of a fact, from a name of any style: `MonthlyCharges`, `monthly charges` and `monthly-charges` all become
/// `monthly_charges`.
pub fn fact_key(name: &str) -> String {
    let mut key = String::with_capacity(name.len() + 4);
    let mut before = ' ';
    for c in name.chars() {
        let starts_word = c.is_ascii_uppercase() && (before.is_ascii_lowercase() || before.is_ascii_digit());
        if c.is_ascii_alphanumeric() {
            if starts_word {
                key.push('_');
            }
            key.push(c.to_ascii_lowercase());
        } else if !key.is_empty() && !key.ends_with('_') {
            key.push('_');
        }
        before = c;
    }
    let key = key.trim_matches('_');
    let key = if key.starts_with(|c: char| c.is_ascii_digit()) { format!("n_{key}") } else { key.to_owned() };
    key.chars().take(64).collect()
}

/// An attribute as it was told.
#[derive(Clone, Debug, PartialEq)]
pub enum Raw {
    Nothing,
    One(Value),
    List(Vec<Raw>),
    Object(Vec<(String, Raw)>),
}

/// Attributes as flat facts: an object's fields join their names with `_`, a list reads as its items with commas.
pub fn flatten(fields: Vec<(String, Raw)>) -> Facts {
    let mut into = Facts::new();
    flatten_below("", fields, &mut into);
    into
}

fn flatten_below(prefix: &str, fields: Vec<(String, Raw)>, into: &mut Facts) {
    for (name, raw) in fields {
        let key = fact_key(&format!("{prefix}{name}"));
        if key.is_empty() || into.len() >= MAX_ATTRIBUTES {
            continue;
        }
        match raw {
            Raw::Nothing => {}
            Raw::One(value) => {
                into.insert(key, bounded(value));
            }
            Raw::List(items) => {
                let texts = items.into_iter().filter_map(|i| match i {
                    Raw::One(value) => Some(value.to_string()),
                    _ => None,
                });
                into.insert(key, bounded(Value::Text(texts.collect::<Vec<_>>().join(", "))));
            }
            Raw::Object(fields) => flatten_below(&format!("{key}_"), fields, into),
        }
    }
}

fn bounded(value: Value) -> Value {
    match value {
        Value::Text(t) if t.len() > MAX_TEXT => Value::Text(t.chars().take(MAX_TEXT / 4).collect()),
        other => other,
    }
}
