//! What of an offer is taken (one record per offer), and what a customer was given (one record per customer). A claim
//! changes both and the redemption in one transaction; a failed one gives both back.

use std::collections::{BTreeMap, BTreeSet};

use kit::{Money, Timestamp};
use serde::{Deserialize, Serialize};

use super::eligibility::Reason;
use super::model::Limits;
use super::terms::Kind;

/// How much of an offer's limits is taken.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Use {
    pub claimed: i64,
    /// Calendar month (`2026-11`, UTC) → minor units of the budget's currency.
    pub spent: BTreeMap<String, i64>,
}

/// The calendar month a claim falls into.
pub fn month(at: Timestamp) -> String {
    at.strftime("%Y-%m").to_string()
}

impl Use {
    /// Whether one more claim of this cost fits; the reason if not.
    pub fn may_take(&self, limits: &Limits, cost: Money, now: Timestamp) -> Result<(), Reason> {
        let no = |code, message: &str| Err(Reason { code, message: message.into() });
        if limits.total > 0 && self.claimed >= i64::from(limits.total) {
            return no("limit_reached", "the offer was taken as often as it may be");
        }
        if let Some(budget) = limits.monthly_budget {
            if budget.currency != cost.currency {
                return no("currency_mismatch", "the offer's budget is in another currency");
            }
            let spent = self.spent.get(&month(now)).copied().unwrap_or(0);
            if spent.saturating_add(cost.minor) > budget.minor {
                return no("budget_spent", "this month's budget of the offer is spent");
            }
        }
        Ok(())
    }
}

/// One claim by a customer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grant {
    pub redemption_id: String,
    pub offer_id: String,
    pub kind: Kind,
    #[serde(with = "store::time")]
    pub at: Timestamp,
    /// None where it has no end.
    #[serde(with = "store::time::option", default)]
    pub until: Option<Timestamp>,
    /// What took its place before that, and until when it would have run.
    #[serde(default)]
    pub ended_by: Option<Ended>,
}

/// How a grant ended before its time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ended {
    /// The redemption that took its place.
    pub by: String,
    #[serde(with = "store::time::option", default)]
    pub until: Option<Timestamp>,
}

/// What a customer was given and has not been taken back.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ledger {
    pub grants: Vec<Grant>,
    /// Nothing is offered: the customer asked that their data is not used.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub withheld: bool,
}

impl Ledger {
    /// Whether one more claim of the offer fits; the reason if not.
    pub fn may_take(
        &self,
        offer_id: &str,
        kind: Kind,
        limits: &Limits,
        now: Timestamp,
    ) -> Result<(), Reason> {
        if self.withheld {
            let message = "the customer asked that their data is not used".into();
            return Err(Reason { code: "customer_restricted", message });
        }
        let of_offer = self.grants.iter().filter(|g| g.offer_id == offer_id).count();
        if limits.per_customer > 0 && of_offer >= limits.per_customer as usize {
            return Err(Reason {
                code: "customer_limit_reached",
                message: "the customer had this offer as often as allowed".into(),
            });
        }
        let last = self.grants.iter().filter(|g| g.kind == kind).map(|g| g.at).max();
        if let Some(last) = last
            && limits.cooldown_days > 0
        {
            let until = kit::time::add_days(last, i64::from(limits.cooldown_days));
            if now < until {
                return Err(Reason {
                    code: "offer_on_cooldown",
                    message: format!("offers of this kind are cooling down until {until}"),
                });
            }
        }
        Ok(())
    }

    /// Whether a discount of ours runs, by our own books.
    pub fn has_running_discount(&self, now: Timestamp) -> bool {
        self.grants.iter().any(|g| g.kind == Kind::Discount && g.until.is_none_or(|until| until > now))
    }

    /// Whether something we gave still runs: the customer stayed because of it.
    pub fn is_saved(&self, now: Timestamp) -> bool {
        self.grants.iter().any(|g| g.until.is_none_or(|until| until > now))
    }

    /// With one more grant. `replacing` ends the discounts that run, as the new one takes their place.
    pub fn with(&self, grant: Grant, replacing: bool) -> Self {
        let end = |mut g: Grant| {
            if replacing && g.kind == Kind::Discount && g.until.is_none_or(|until| until > grant.at) {
                g.ended_by = Some(Ended { by: grant.redemption_id.clone(), until: g.until });
                g.until = Some(grant.at);
            }
            g
        };
        let mut grants: Vec<_> = self.grants.iter().cloned().map(end).collect();
        grants.push(grant.clone());
        Self { grants, ..*self }
    }

    /// With what another record of the same person was given.
    pub fn joined(&self, other: &Self) -> Self {
        let known = |g: &&Grant| !self.grants.iter().any(|own| own.redemption_id == g.redemption_id);
        let mut grants: Vec<_> =
            self.grants.iter().chain(other.grants.iter().filter(known)).cloned().collect();
        grants.sort_by_key(|g| g.at);
        Self { grants, withheld: self.withheld || other.withheld }
    }

    /// The rest, and the grants of these redemptions.
    pub fn parted(&self, redemptions: &BTreeSet<String>) -> (Self, Self) {
        let (theirs, rest) =
            self.grants.iter().cloned().partition(|g| redemptions.contains(&g.redemption_id));
        (Self { grants: rest, ..*self }, Self { grants: theirs, ..*self })
    }

    /// Without the grant of a redemption that was taken back. `replaced`: what it took the place of is gone at the
    /// provider; else that runs on.
    pub fn without(&self, redemption_id: &str, replaced: bool) -> Self {
        let go_on = |mut g: Grant| {
            if let Some(ended) = g.ended_by.take_if(|e| e.by == redemption_id && !replaced) {
                g.until = ended.until;
            }
            g
        };
        let others = self.grants.iter().filter(|g| g.redemption_id != redemption_id).cloned();
        Self { grants: others.map(go_on).collect(), ..*self }
    }
}
