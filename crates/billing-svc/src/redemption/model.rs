//! The way of a redemption (§10.3), and what its effect looks like at the provider.

use aws_lc_rs::rand;
use kit::locale::LocalText;
use kit::{Money, Timestamp};
use serde::{Deserialize, Serialize};

use crate::offer::{Kind, Offer, Stacking, Terms};
use crate::providers::{self, Act, ExternalId, Keep, ProviderKind, Receipt, Snapshot, SwitchAt};
use crate::subscription::Subscription;

/// How long a read-back may fail to show the effect before the redemption counts as failed.
pub const PATIENCE_MINUTES: i64 = 10;
/// How long after it was asked a provider may still do what it gave no answer to. Nothing is given back before.
pub const ARRIVAL_MINUTES: i64 = 2;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    Presented,
    Declined,
    Lapsed,
    Claimed,
    Applying,
    Applied,
    Verified,
    Exhausted,
    FulfilPending,
    Rejected,
    Failed,
    Reversed,
}

impl State {
    pub const ALL: [Self; 12] = [
        Self::Presented,
        Self::Declined,
        Self::Lapsed,
        Self::Claimed,
        Self::Applying,
        Self::Applied,
        Self::Verified,
        Self::Exhausted,
        Self::FulfilPending,
        Self::Rejected,
        Self::Failed,
        Self::Reversed,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Presented => "presented",
            Self::Declined => "declined",
            Self::Lapsed => "lapsed",
            Self::Claimed => "claimed",
            Self::Applying => "applying",
            Self::Applied => "applied",
            Self::Verified => "verified",
            Self::Exhausted => "exhausted",
            Self::FulfilPending => "fulfil_pending",
            Self::Rejected => "rejected",
            Self::Failed => "failed",
            Self::Reversed => "reversed",
        }
    }

    /// §10.3. `applied → failed` is the read-back that never showed the effect; `verified → failed` begins a reversal
    /// asked for by an admin: what was done is undone first.
    pub fn leads_to(self, next: Self) -> bool {
        use State::*;
        matches!(
            (self, next),
            (Presented, Declined | Lapsed | Claimed)
                | (Claimed, Applying | FulfilPending | Failed)
                | (Applying, Applied | Failed)
                | (Applied, Verified | Failed)
                | (FulfilPending, Verified | Rejected)
                | (Failed, Reversed | Applying)
                | (Verified, Exhausted | Failed | Reversed)
        )
    }

    /// Claimed, and neither standing nor taken back: somebody must go on with it.
    pub fn is_under_way(self) -> bool {
        matches!(self, Self::Claimed | Self::Applying | Self::Applied | Self::Failed)
    }

    /// Whether limit and budget are taken by it.
    pub fn holds_limits(self) -> bool {
        self.is_under_way() || matches!(self, Self::Verified | Self::Exhausted | Self::FulfilPending)
    }
}

/// One customer taking up one offer, with the terms as they were shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Redemption {
    pub offer_id: String,
    pub offer_name: String,
    pub offer_number: u32,
    pub kind: Kind,
    pub customer_id: String,
    pub subscription_id: String,
    pub flow_session_id: String,
    pub persona_ids: Vec<String>,
    pub state: State,
    pub terms: Terms,
    pub terms_hash: String,
    pub terms_text: LocalText,
    pub stacking: Stacking,
    pub provider: ProviderKind,
    pub code: String,
    /// Set by the claim: what was taken from the budget, and of which month.
    pub cost: Option<Money>,
    pub budget_month: Option<String>,
    #[serde(with = "store::time")]
    pub presented_at: Timestamp,
    #[serde(with = "store::time::option", default)]
    pub claimed_at: Option<Timestamp>,
    #[serde(with = "store::time::option", default)]
    pub applied_at: Option<Timestamp>,
    #[serde(with = "store::time::option", default)]
    pub verified_at: Option<Timestamp>,
    #[serde(with = "store::time::option", default)]
    pub effect_ends_at: Option<Timestamp>,
    /// Why it failed or was reversed: a slug.
    pub failure: String,
    pub attempts: u32,
    /// When the provider was asked last, or was about to be.
    #[serde(with = "store::time::option", default)]
    pub asked_at: Option<Timestamp>,
    /// How often it gave no answer to an undo.
    #[serde(default)]
    pub undos: u32,
    /// The token of the lease under which it was last worked on: a later holder's is larger, an earlier one is refused.
    pub fence: i64,
    /// How the subscription stood before we changed it.
    #[serde(default)]
    pub before: Option<Before>,
    /// The discount, the credit or the refund the provider made for it.
    #[serde(default)]
    pub effect: Option<ExternalId>,
}

/// What of the subscription the effect is told from, and what an undo goes back to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Before {
    pub discounts: Vec<ExternalId>,
    pub price_id: String,
    pub paused: bool,
    #[serde(with = "store::time::option", default)]
    pub trial_end: Option<Timestamp>,
    #[serde(with = "store::time::option", default)]
    pub period_end: Option<Timestamp>,
}

impl Before {
    pub fn of(snapshot: &Snapshot) -> Self {
        Self {
            discounts: snapshot.discounts.iter().map(|d| d.id.clone()).collect(),
            price_id: snapshot.price_id.clone(),
            paused: snapshot.state == providers::State::Paused || snapshot.paused_at.is_some(),
            trial_end: snapshot.trial_end.map(kit::clock::millis),
            period_end: snapshot.period_end.map(kit::clock::millis),
        }
    }
}

/// What a claim takes and gives.
#[derive(Clone, Debug)]
pub struct Claim {
    pub cost: Money,
    pub code: String,
    pub budget_month: Option<String>,
    pub ends_at: Option<Timestamp>,
    pub at: Timestamp,
}

/// A step that the present state does not allow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a redemption that is {} cannot become {}", .from.as_str(), .to.as_str())]
pub struct NoWay {
    pub from: State,
    pub to: State,
}

impl Redemption {
    fn to(&self, to: State) -> Result<Self, NoWay> {
        if self.state.leads_to(to) {
            Ok(Self { state: to, ..self.clone() })
        } else {
            Err(NoWay { from: self.state, to })
        }
    }

    pub fn claimed(&self, claim: Claim) -> Result<Self, NoWay> {
        let Claim { cost, code, budget_month, ends_at, at } = claim;
        let next = self.to(State::Claimed)?;
        Ok(Self {
            cost: Some(cost),
            code,
            budget_month,
            effect_ends_at: ends_at.map(kit::clock::millis),
            claimed_at: Some(at),
            ..next
        })
    }

    /// Begins an attempt, or goes on with one that was cut off: the key is the same, so it is still one act.
    pub fn applying(&self, before: Before, fence: i64, at: Timestamp) -> Result<Self, NoWay> {
        let next = if self.state == State::Applying { self.clone() } else { self.to(State::Applying)? };
        // What stood before the first attempt stays the truth: a later reading may contain our own effect.
        let before = self.before.clone().unwrap_or(before);
        Ok(Self { before: Some(before), fence, asked_at: Some(at), attempts: self.attempts + 1, ..next })
    }

    pub fn applied(&self, receipt: &Receipt, at: Timestamp) -> Result<Self, NoWay> {
        let next = self.to(State::Applied)?;
        let effect = receipt.made.clone().or(next.effect.clone());
        Ok(Self { effect, applied_at: Some(at), ..next })
    }

    pub fn verified(&self, effect: Option<ExternalId>, at: Timestamp) -> Result<Self, NoWay> {
        let next = self.to(State::Verified)?;
        Ok(Self {
            effect: effect.or(next.effect.clone()),
            verified_at: Some(at),
            failure: String::new(),
            ..next
        })
    }

    /// The company carries it out itself.
    pub fn pending(&self) -> Result<Self, NoWay> {
        self.to(State::FulfilPending)
    }

    /// The company cannot keep what was promised.
    pub fn rejected(&self) -> Result<Self, NoWay> {
        Ok(Self { failure: "rejected_by_company".into(), ..self.to(State::Rejected)? })
    }

    pub fn failed(&self, why: &str) -> Result<Self, NoWay> {
        Ok(Self { failure: why.to_owned(), ..self.to(State::Failed)? })
    }

    /// No answer to an undo: the next one has a key of its own.
    pub fn undo_troubled(&self) -> Self {
        Self { undos: self.undos + 1, ..self.clone() }
    }

    pub fn reversed(&self) -> Result<Self, NoWay> {
        self.to(State::Reversed)
    }

    pub fn declined(&self) -> Result<Self, NoWay> {
        self.to(State::Declined)
    }

    pub fn lapsed(&self) -> Result<Self, NoWay> {
        self.to(State::Lapsed)
    }

    pub fn exhausted(&self) -> Result<Self, NoWay> {
        self.to(State::Exhausted)
    }

    /// Whether the effect should have shown long ago.
    pub fn out_of_patience(&self, now: Timestamp) -> bool {
        self.claimed_at.is_none_or(|at| now.duration_since(at).as_mins() >= PATIENCE_MINUTES)
    }

    /// Begun, and neither standing nor taken back.
    pub fn is_unsettled(&self) -> bool {
        self.state.is_under_way() && self.before.is_some()
    }

    /// Whether this one cannot be taken back without the other: both change the same thing of the subscription, and the
    /// other came later and goes on from there.
    pub fn is_under(&self, other: &Self) -> bool {
        let has_no_id = matches!(
            self.terms,
            Terms::Pause { .. }
                | Terms::PlanSwitch { .. }
                | Terms::TrialExtension { .. }
                | Terms::TermExtension { .. }
        );
        has_no_id && self.kind == other.kind && other.claimed_at >= self.claimed_at
    }

    /// Whether the provider may still do what it was asked last.
    pub fn may_still_come(&self, now: Timestamp) -> bool {
        self.asked_at.is_some_and(|at| now.duration_since(at).as_mins() < ARRIVAL_MINUTES)
    }

    /// What the provider is asked to do: the same at every attempt. None where the company does it itself.
    pub fn act(&self) -> Option<Act> {
        let from = match &self.terms {
            Terms::TrialExtension { .. } => self.before.as_ref().and_then(|b| b.trial_end),
            Terms::TermExtension { .. } => self.before.as_ref().and_then(|b| b.period_end),
            _ => None,
        };
        self.terms.act(self.stacking, from.or(self.claimed_at).unwrap_or(self.presented_at), self.cost)
    }

    /// Until when an extension reaches.
    fn extended(&self) -> Option<Timestamp> {
        match self.act()? {
            Act::ExtendTrial { until } | Act::ExtendTerm { until } => self.before.as_ref().map(|_| until),
            _ => None,
        }
    }

    /// Whether a subscription can show it; else the provider is asked what it gave.
    pub fn shows_in_subscriptions(&self) -> bool {
        !matches!(self.terms, Terms::Credit { .. } | Terms::Refund { .. })
    }

    /// Whether the subscription shows what was promised. For a discount: which one it is.
    pub fn shows_in(&self, snapshot: &Snapshot) -> Option<Option<ExternalId>> {
        match &self.terms {
            Terms::Discount { cut, .. } => {
                let is_new = |id: &ExternalId| {
                    self.effect.as_ref() == Some(id)
                        || (self.effect.is_none()
                            && self.before.as_ref().is_none_or(|b| !b.discounts.contains(id)))
                };
                let mut ours = snapshot.discounts.iter().filter(|d| d.retention && d.cut == *cut);
                ours.find(|d| is_new(&d.id)).map(|d| Some(d.id.clone()))
            }
            Terms::Pause { .. } => {
                let paused = snapshot.state == providers::State::Paused || snapshot.paused_at.is_some();
                paused.then_some(None)
            }
            Terms::PlanSwitch { price_id, .. } => {
                let coming = snapshot.pending_change.as_ref().and_then(|c| c.price_id.as_ref());
                (snapshot.price_id == *price_id || coming == Some(price_id)).then_some(None)
            }
            Terms::TrialExtension { .. } => (snapshot.trial_end? >= self.extended()?).then_some(None),
            Terms::TermExtension { .. } => (snapshot.period_end? >= self.extended()?).then_some(None),
            Terms::Credit { .. }
            | Terms::Refund { .. }
            | Terms::Contact { .. }
            | Terms::Redirect { .. }
            | Terms::Custom { .. } => None,
        }
    }

    /// What takes the effect away again, as it is shown; none where nothing of ours is there.
    pub fn undo(&self, snapshot: &Snapshot, shown: Option<Option<ExternalId>>) -> Option<Act> {
        // What was for the subscription ended with it; a credit is the customer's and outlives it.
        if snapshot.state == providers::State::Ended && self.shows_in_subscriptions() {
            return None;
        }
        let effect = shown?;
        let before = self.before.as_ref()?;
        match &self.terms {
            Terms::Discount { .. } => effect.map(|discount| Act::RemoveDiscount { discount }),
            Terms::Pause { .. } => (!before.paused).then_some(Act::Resume),
            Terms::PlanSwitch { price_id, .. } => (before.price_id != *price_id).then(|| Act::SwitchPlan {
                price_id: before.price_id.clone(),
                at: SwitchAt::Now { prorate: true },
            }),
            Terms::TrialExtension { .. } => before.trial_end.map(|until| Act::ExtendTrial { until }),
            // Once the next period has begun, the days are used up.
            Terms::TermExtension { .. } => {
                let runs = snapshot.period_end.map(kit::clock::millis) == self.extended();
                before.period_end.filter(|_| runs).map(|until| Act::ExtendTerm { until })
            }
            Terms::Credit { amount } => effect.map(|credit| Act::TakeCredit { credit, amount: *amount }),
            Terms::Refund { .. } | Terms::Contact { .. } | Terms::Redirect { .. } | Terms::Custom { .. } => {
                None
            }
        }
    }

    /// Whether giving it now would break what was agreed: the fresh reading decides, not the mirror (§14.5).
    pub fn collides_with(&self, snapshot: &Snapshot, now: Timestamp) -> Option<&'static str> {
        if snapshot.state == providers::State::Ended {
            return Some("already_ended");
        }
        if snapshot.item_count > 1 {
            return Some("several_items");
        }
        if snapshot.schedule_attached {
            return Some("schedule_attached");
        }
        match &self.terms {
            Terms::TrialExtension { .. } if snapshot.state != providers::State::Trialing => {
                return Some("not_in_trial");
            }
            Terms::TermExtension { .. } if snapshot.state != providers::State::Active => {
                return Some("no_running_term");
            }
            _ => {}
        }
        let keeps_all = matches!(self.act(), Some(Act::Discount { keep: Keep::All, .. }));
        let other = snapshot.discounts.iter().any(|d| d.retention && d.runs_at(now));
        (keeps_all && self.stacking == Stacking::Refuse && other).then_some("discount_running")
    }

    /// What it costs; nothing before the claim.
    pub fn cost(&self) -> Option<Money> {
        self.cost
    }
}

/// An offer as it is shown to a subscription, with the terms as they are now.
pub fn presented(
    offer_id: &str,
    offer: Offer,
    (subscription_id, subscription): (&str, &Subscription),
    flow_session_id: &str,
    persona_ids: Vec<String>,
    now: Timestamp,
) -> Redemption {
    Redemption {
        offer_id: offer_id.to_owned(),
        offer_name: offer.name,
        offer_number: offer.number,
        kind: offer.kind,
        customer_id: subscription.customer_id.clone(),
        subscription_id: subscription_id.to_owned(),
        flow_session_id: flow_session_id.to_owned(),
        persona_ids,
        state: State::Presented,
        terms: offer.terms,
        terms_hash: offer.terms_hash,
        terms_text: offer.terms_text,
        stacking: offer.stacking,
        provider: subscription.provider,
        code: String::new(),
        cost: None,
        budget_month: None,
        presented_at: now,
        claimed_at: None,
        applied_at: None,
        verified_at: None,
        effect_ends_at: None,
        failure: String::new(),
        attempts: 0,
        asked_at: None,
        undos: 0,
        fence: 0,
        before: None,
        effect: None,
    }
}

/// A code only one customer gets: ten signs that are hard to misread.
pub fn single_use_code() -> Result<String, aws_lc_rs::error::Unspecified> {
    // 32 signs, so that a byte's lower five bits choose evenly; without I, O, 0 and 1.
    const SIGNS: &[u8; 32] = b"ABCDEFGHJKLMNPQRSTUVWXYZ23456789";
    let mut random = [0_u8; 10];
    rand::fill(&mut random)?;
    let signs: String = random.iter().map(|b| char::from(SIGNS[usize::from(b & 31)])).collect();
    Ok(format!("STAY-{}-{}", &signs[..5], &signs[5..]))
}

#[cfg(test)]
#[path = "model_tests.rs"]
mod tests;
