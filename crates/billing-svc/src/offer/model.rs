//! What an offer is, and when its terms are frozen.

use aws_lc_rs::digest;
use kit::locale::LocalText;
use kit::{FieldError, Money, Timestamp};
use serde::{Deserialize, Serialize};

use super::terms::{Kind, Terms};
use crate::providers::Interval;
use crate::subscription::State as SubscriptionState;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Purpose {
    Retain,
    WinBack,
    Convert,
    Recover,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    Draft,
    Active,
    Paused,
    Archived,
}

impl State {
    /// `draft → active ⇄ paused → archived`; anything not yet archived may be.
    pub fn leads_to(self, next: Self) -> bool {
        matches!(
            (self, next),
            (Self::Draft | Self::Paused, Self::Active)
                | (Self::Active, Self::Paused)
                | (Self::Draft | Self::Active | Self::Paused, Self::Archived)
        )
    }

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Draft => "draft",
            Self::Active => "active",
            Self::Paused => "paused",
            Self::Archived => "archived",
        }
    }
}

/// What happens to discounts the subscription already has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stacking {
    Merge,
    Replace,
    Refuse,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CodePolicy {
    None,
    Shared,
    SingleUse,
}

/// Whom it is for; an empty list does not restrict.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Audience {
    pub intervals: Vec<Interval>,
    pub plans: Vec<String>,
    pub states: Vec<SubscriptionState>,
    pub min_tenure_days: u32,
    pub persona_ids: Vec<String>,
}

/// How often and how much; zero and none do not limit.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    pub total: u32,
    pub per_customer: u32,
    pub cooldown_days: u32,
    pub monthly_budget: Option<Money>,
}

/// An offer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Offer {
    pub name: String,
    pub kind: Kind,
    pub purpose: Purpose,
    pub state: State,
    /// Rises when frozen terms change.
    pub number: u32,
    pub terms: Terms,
    pub audience: Audience,
    pub limits: Limits,
    pub stacking: Stacking,
    pub code_policy: CodePolicy,
    pub shared_code: String,
    pub text: LocalText,
    pub terms_text: LocalText,
    pub terms_hash: String,
    /// Somebody was given it in this form.
    pub frozen: bool,
    #[serde(with = "store::time::option", default)]
    pub valid_from: Option<Timestamp>,
    #[serde(with = "store::time::option", default)]
    pub valid_until: Option<Timestamp>,
}

/// What an offer is made from, or changed with. `terms_text` of none is written from the terms.
#[derive(Clone, Debug)]
pub struct Draft {
    pub name: String,
    pub purpose: Purpose,
    pub terms: Terms,
    pub audience: Audience,
    pub limits: Limits,
    pub stacking: Stacking,
    pub code_policy: CodePolicy,
    pub shared_code: String,
    pub text: LocalText,
    pub terms_text: Option<LocalText>,
    pub valid_from: Option<Timestamp>,
    pub valid_until: Option<Timestamp>,
}

impl Draft {
    /// The draft as an offer, or every field that is wrong with it.
    pub fn offer(self) -> Result<Offer, Vec<FieldError>> {
        let mut wrong = self.terms.faults();
        if !self.text.has_default() {
            wrong.push(field("text", "default_missing", "the text of the default locale is missing"));
        }
        if self.terms_text.as_ref().is_some_and(|t| !t.has_default()) {
            wrong.push(field("terms_text", "default_missing", "the text of the default locale is missing"));
        }
        if let (Some(from), Some(until)) = (self.valid_from, self.valid_until)
            && from >= until
        {
            wrong.push(field("valid_until", "out_of_order", "must be after valid_from"));
        }
        if self.code_policy == CodePolicy::Shared && self.shared_code.is_empty() {
            wrong.push(field("shared_code", "required", "a shared code policy needs the code"));
        }
        if self.limits.monthly_budget.is_some_and(|b| b.minor <= 0) {
            wrong.push(field("limits.monthly_budget", "out_of_range", "must be above zero"));
        }
        if !wrong.is_empty() {
            return Err(wrong);
        }
        let terms_text = self.terms_text.unwrap_or_else(|| LocalText::of("en", &self.terms.in_words()));
        Ok(Offer {
            name: self.name,
            kind: self.terms.kind(),
            purpose: self.purpose,
            state: State::Draft,
            number: 1,
            terms_hash: hash(&self.terms, &terms_text),
            terms: self.terms,
            audience: self.audience,
            limits: self.limits,
            stacking: self.stacking,
            code_policy: self.code_policy,
            shared_code: self.shared_code,
            text: self.text,
            terms_text,
            frozen: false,
            valid_from: self.valid_from.map(kit::clock::millis),
            valid_until: self.valid_until.map(kit::clock::millis),
        })
    }
}

impl Offer {
    /// The offer with other contents. Frozen terms are not touched: other ones, or other words for them, are the next
    /// version. The kind stays what it is.
    pub fn changed(&self, draft: Draft) -> Result<Self, Vec<FieldError>> {
        if draft.terms.kind() != self.kind {
            return Err(vec![field("terms", "kind_fixed", "the kind of an offer cannot change")]);
        }
        let next = draft.offer()?;
        let new_terms = next.terms_hash != self.terms_hash;
        Ok(Self {
            state: self.state,
            number: self.number + u32::from(new_terms && self.frozen),
            frozen: self.frozen && !new_terms,
            ..next
        })
    }
}

pub(super) fn field(path: &str, code: &str, text: &str) -> FieldError {
    FieldError::new(path, code, text)
}

/// Terms and their words, as one hash: what the customer saw is what is applied.
pub fn hash(terms: &Terms, words: &LocalText) -> String {
    // Both are plain data with ordered maps: their JSON is the same every time, and writing it cannot fail.
    let text = serde_json::to_vec(&(terms, words)).unwrap_or_default();
    hex::encode(digest::digest(&digest::SHA256, &text))
}

#[cfg(test)]
#[path = "model_tests.rs"]
pub(crate) mod tests;
