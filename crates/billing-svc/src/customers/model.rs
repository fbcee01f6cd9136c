//! What a customer is, what follows from the subscriptions, and which attribute values are accepted.

use std::collections::BTreeMap;

use kit::{Currency, FieldError, Money, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::lifetime::{self, Lifetime};
use crate::providers::{CustomerSnapshot, ProviderKind};
use crate::subscription::{State as SubscriptionState, Subscription};

/// Follows from the subscriptions; never set by hand.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    Prospect,
    Active,
    Saved,
    Churned,
    Reactivated,
    Erased,
}

impl State {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Prospect => "prospect",
            Self::Active => "active",
            Self::Saved => "saved",
            Self::Churned => "churned",
            Self::Reactivated => "reactivated",
            Self::Erased => "erased",
        }
    }
}

/// An attribute's value with where it came from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Attribute {
    pub value: Value,
    pub source: Source,
    #[serde(with = "store::time")]
    pub observed_at: Timestamp,
}

/// An end customer. `email` and `name` are personal.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct Customer {
    pub external_id: String,
    pub email: String,
    pub name: String,
    pub locale: String,
    pub country: String,
    pub currency: String,
    pub owner: String,
    pub tags: Vec<String>,
    pub attributes: BTreeMap<String, Attribute>,
    /// Provider → the provider's id.
    pub links: BTreeMap<String, String>,
    /// The last version of each provider's record that was taken over.
    #[serde(default)]
    pub link_versions: BTreeMap<String, i64>,
    pub state: State,
    pub mrr: Option<Money>,
    pub subscription_count: u32,
    pub at_risk: bool,
    /// What the subscriptions came to, in the currency of `mrr`.
    #[serde(default)]
    pub lifetime: Lifetime,
    /// Further names the person goes by since records were merged, as [`name_of`] writes them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub also: Vec<String>,
    /// Whose record this became part of. It is kept for an undo, and shown to nobody.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub merged_into: Option<String>,
    /// Kept, and not used: by a privacy request.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub restricted: bool,
    /// Of one who was erased: the names, unreadable, so that nobody brings the person back by one of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub forgotten: Vec<String>,
}

/// Whose name an external id is, beside those of providers.
pub const EXTERNAL: &str = "external";

/// A name somebody goes by: the company's own (`external`) or a provider's.
pub fn name_of(of: &str, name: &str) -> String {
    format!("{of}/{name}")
}

impl std::fmt::Debug for Customer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Customer").field("external_id", &self.external_id).finish_non_exhaustive()
    }
}

/// What a caller says about a customer; none leaves as it is.
#[derive(Clone, Default)]
pub struct Said {
    pub external_id: String,
    pub email: Option<String>,
    pub name: Option<String>,
    pub locale: Option<String>,
    pub country: Option<String>,
    pub currency: Option<String>,
    pub owner: Option<String>,
    pub attributes: BTreeMap<String, Value>,
    pub tags: Vec<String>,
    pub links: BTreeMap<String, String>,
    /// When the attributes were as said; none is now.
    pub observed_at: Option<Timestamp>,
}

impl Said {
    /// Every field that is wrong, apart from attributes.
    pub fn faults(&self) -> Vec<FieldError> {
        let mut wrong = Vec::new();
        let mut check = |field: &str, bad: bool, message: &str| {
            if bad {
                wrong.push(FieldError::new(field, "invalid", message));
            }
        };
        let some = |value: &Option<String>| value.clone().filter(|v| !v.is_empty());
        check("email", some(&self.email).is_some_and(|e| !looks_like_email(&e)), "must be an e-mail address");
        let country = |c: &str| c.len() == 2 && c.bytes().all(|b| b.is_ascii_alphabetic());
        check(
            "country",
            some(&self.country).is_some_and(|c| !country(&c)),
            "must be an ISO 3166-1 code of two letters",
        );
        check(
            "currency",
            some(&self.currency).is_some_and(|c| Currency::parse(&c).is_none()),
            "must be an ISO 4217 currency",
        );
        let locale = |l: &str| l.len() >= 2 && l.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
        check("locale", some(&self.locale).is_some_and(|l| !locale(&l)), "must be a BCP 47 locale");
        check(
            "provider_ids",
            self.links
                .iter()
                .any(|(p, id)| ProviderKind::parse(p).is_none() || id.is_empty() || id.len() > 200),
            "must map a known provider to its id",
        );
        wrong
    }
}

fn looks_like_email(text: &str) -> bool {
    let Some((user, host)) = text.rsplit_once('@') else { return false };
    let plain = |c: char| !c.is_whitespace() && !c.is_control() && c != '<' && c != '>' && c != ',';
    !user.is_empty()
        && host.contains('.')
        && !host.starts_with('.')
        && !host.ends_with('.')
        && text.chars().all(plain)
}

impl Customer {
    /// A customer nobody has said anything of yet.
    pub fn new(external_id: impl Into<String>) -> Self {
        Self {
            external_id: external_id.into(),
            email: String::new(),
            name: String::new(),
            locale: String::new(),
            country: String::new(),
            currency: String::new(),
            owner: String::new(),
            tags: Vec::new(),
            attributes: BTreeMap::new(),
            links: BTreeMap::new(),
            link_versions: BTreeMap::new(),
            state: State::Prospect,
            mrr: None,
            subscription_count: 0,
            at_risk: false,
            lifetime: Lifetime::default(),
            also: Vec::new(),
            merged_into: None,
            restricted: false,
            forgotten: Vec::new(),
        }
    }

    /// Whether this is one of the further names the person goes by.
    pub fn also_called(&self, of: &str, name: &str) -> bool {
        !self.also.is_empty() && self.also.contains(&name_of(of, name))
    }

    /// Every name of one kind: the external ids, or the ids at a provider.
    pub fn names<'a>(&'a self, of: &'a str) -> impl Iterator<Item = &'a str> {
        let own = if of == EXTERNAL { Some(&self.external_id) } else { self.links.get(of) };
        let further = self.also.iter().filter_map(move |n| n.strip_prefix(of)?.strip_prefix('/'));
        own.map(String::as_str).into_iter().chain(further)
    }

    /// The attributes that have a value; one that was removed is kept with its date, so that nothing older comes back.
    pub fn values(&self) -> impl Iterator<Item = (&String, &Attribute)> {
        self.attributes.iter().filter(|(_, a)| !a.value.is_null())
    }

    /// With what a caller said; `attributes` were checked against their definitions before.
    pub fn with(&self, said: &Said, source: Source, now: Timestamp) -> Self {
        let or = |new: &Option<String>, old: &String| new.clone().unwrap_or_else(|| old.clone());
        let mut next = Self {
            email: or(&said.email, &self.email).trim().to_lowercase(),
            name: or(&said.name, &self.name).trim().to_owned(),
            locale: or(&said.locale, &self.locale),
            country: or(&said.country, &self.country).to_ascii_uppercase(),
            currency: or(&said.currency, &self.currency).to_ascii_uppercase(),
            owner: or(&said.owner, &self.owner),
            ..self.clone()
        };
        // A further name of the person does not take the place of the first.
        let new = said.links.iter().filter(|(provider, id)| !self.also_called(provider, id));
        next.links.extend(new.map(|(provider, id)| (provider.clone(), id.clone())));
        next.tags.extend(said.tags.iter().cloned());
        next.tags.sort();
        next.tags.dedup();
        next.observe(&said.attributes, source, said.observed_at, now);
        next
    }

    /// Sets attributes; null removes one. An older value never replaces a newer one. Said without a date, the same again
    /// is no news and keeps the first date; with one, it is known to hold until then.
    pub fn observe(
        &mut self,
        values: &BTreeMap<String, Value>,
        source: Source,
        at: Option<Timestamp>,
        now: Timestamp,
    ) {
        let observed_at = kit::clock::millis(at.unwrap_or(now).min(now));
        for (key, value) in values {
            let same = match self.attributes.get(key) {
                Some(known) if known.observed_at > observed_at => continue,
                Some(known) => known.value == *value,
                None => value.is_null() && at.is_none(),
            };
            if !same || at.is_some() {
                let attribute = Attribute { value: value.clone(), source, observed_at };
                self.attributes.insert(key.clone(), attribute);
            }
        }
    }

    /// With what the provider says; empty fields are filled, and the provider's newer word replaces its older one.
    pub fn linked(&self, provider: ProviderKind, seen: &CustomerSnapshot) -> Self {
        let key = provider.as_str();
        let before = self.link_versions.get(key).copied();
        let mut next = self.clone();
        if self.also_called(key, seen.id.as_str()) {
            // A second record of the person there: it fills gaps, and the first one tells of changes.
            if !seen.deleted {
                next.fill(seen, false);
            }
            return next;
        }
        next.links.insert(key.to_owned(), seen.id.as_str().to_owned());
        if seen.deleted || before.is_some_and(|v| seen.provider_version < v) {
            return next;
        }
        next.link_versions.insert(key.to_owned(), seen.provider_version);
        // At first sight, and while nothing moved there, what the company said itself stays; later the provider tells
        // of changes.
        next.fill(seen, before.is_some_and(|v| seen.provider_version > v));
        next
    }

    fn fill(&mut self, seen: &CustomerSnapshot, moved: bool) {
        let take = |field: &mut String, said: &Option<String>| {
            if let Some(said) = said
                && (field.is_empty() || moved)
            {
                *field = said.clone();
            }
        };
        take(&mut self.email, &seen.email.as_ref().map(|e| e.trim().to_lowercase()));
        take(&mut self.name, &seen.name);
        take(&mut self.locale, &seen.locale);
        take(&mut self.country, &seen.country);
        take(&mut self.currency, &seen.currency);
    }

    /// With what follows from the subscriptions.
    pub fn derived(&self, subscriptions: &[Subscription], saved: bool) -> Self {
        if self.state == State::Erased || self.merged_into.is_some() {
            return self.clone();
        }
        let current: Vec<_> = subscriptions.iter().filter(|s| s.state.is_current()).collect();
        let state = if subscriptions.is_empty() {
            State::Prospect
        } else if current.is_empty() {
            State::Churned
        } else if saved {
            State::Saved
        } else if current.iter().any(|s| s.reactivated) || lifetime::came_back(subscriptions) {
            State::Reactivated
        } else {
            State::Active
        };
        let currency = Currency::parse(&self.currency).or_else(|| current.first().map(|s| s.mrr.currency));
        let mrr = currency.map(|currency| {
            let sum = current.iter().filter(|s| s.mrr.currency == currency).map(|s| s.mrr.minor).sum();
            Money::new(sum, currency)
        });
        let risky = |s: &&Subscription| {
            matches!(s.state, SubscriptionState::PastDue | SubscriptionState::NonRenewing)
        };
        Self {
            state,
            mrr,
            currency: currency.map_or_else(String::new, |c| c.as_str().to_owned()),
            subscription_count: u32::try_from(subscriptions.len()).unwrap_or(u32::MAX),
            at_risk: current.iter().any(risky),
            lifetime: currency.map(|c| Lifetime::of(subscriptions, c)).unwrap_or_default(),
            ..self.clone()
        }
    }

    /// Adds and removes tags.
    pub fn tagged(&self, add: &[String], remove: &[String]) -> Self {
        let mut tags: Vec<_> = self.tags.iter().chain(add).filter(|t| !remove.contains(t)).cloned().collect();
        tags.sort();
        tags.dedup();
        Self { tags, ..self.clone() }
    }
}

/// Where an attribute's value comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    Provider,
    Api,
    Upload,
    Ticket,
    Derived,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Type {
    Bool,
    Int,
    Decimal,
    Text,
    Date,
    List,
}

/// What an attribute is and where it may be read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Definition {
    pub key: String,
    pub r#type: Type,
    pub source: Source,
    pub personal: bool,
    pub in_rules: bool,
    pub in_text: bool,
}

/// The longest text an attribute holds, and the most texts a list holds.
const LONGEST: usize = 1_000;
const MOST: usize = 100;

impl Definition {
    /// A value from text, as providers keep them; none when it is none of this attribute.
    pub fn parse(&self, text: &str) -> Option<Value> {
        let value = match self.r#type {
            Type::Bool => Value::Bool(text.parse().ok()?),
            Type::Int => Value::from(text.parse::<i64>().ok()?),
            Type::Decimal => Value::from(text.parse::<f64>().ok().filter(|n| n.is_finite())?),
            Type::Text | Type::Date => Value::String(text.to_owned()),
            Type::List => Value::from(text.split(',').map(str::trim).collect::<Vec<_>>()),
        };
        self.refuses(&value).is_none().then_some(value)
    }

    /// Why a value is none of this attribute.
    pub fn refuses(&self, value: &Value) -> Option<&'static str> {
        let short = |v: &Value| v.as_str().is_some_and(|s| s.len() <= LONGEST);
        let fits = match self.r#type {
            _ if value.is_null() => true,
            Type::Bool => value.is_boolean(),
            Type::Int => value.is_i64(),
            Type::Decimal => value.is_number(),
            Type::Text => short(value),
            Type::Date => value.as_str().is_some_and(|s| {
                s.parse::<Timestamp>().is_ok() || s.parse::<jiff::civil::Date>().is_ok_and(|_| s.len() == 10)
            }),
            Type::List => value.as_array().is_some_and(|l| l.len() <= MOST && l.iter().all(short)),
        };
        if fits {
            return None;
        }
        Some(match self.r#type {
            Type::Bool => "must be true or false",
            Type::Int => "must be a whole number",
            Type::Decimal => "must be a number",
            Type::Text => "must be a text of at most 1,000 bytes",
            Type::Date => "must be a day or an instant as RFC 3339 writes them",
            Type::List => "must be a list of at most 100 texts",
        })
    }
}

/// Every value that no definition accepts.
pub fn attribute_faults(
    values: &BTreeMap<String, Value>,
    definitions: &BTreeMap<String, Definition>,
) -> Vec<FieldError> {
    let fault = |(key, value): (&String, &Value)| {
        let path = format!("attributes.{key}");
        match definitions.get(key) {
            None => Some(FieldError::new(path, "unknown_attribute", "no attribute of this key is declared")),
            Some(d) => d.refuses(value).map(|why| FieldError::new(path, "wrong_type", why)),
        }
    };
    values.iter().filter_map(fault).collect()
}

#[cfg(test)]
#[path = "model_tests.rs"]
mod tests;
