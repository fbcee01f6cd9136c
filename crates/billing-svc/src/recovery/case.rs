//! The way of a case (§10.12), as plain functions: what a reading of the subscription means for it, and what it does
//! next.

use jiff::tz::TimeZone;
use kit::{Money, Timestamp};
use serde::{Deserialize, Serialize};

use super::model::{GIVE_UP_AFTER_DAYS, Plan, StepKind};
use crate::subscription::{State as SubscriptionState, Subscription};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    Open,
    Contacting,
    LastChance,
    Recovered,
    Exhausted,
    CanceledByCustomer,
    Stopped,
}

impl State {
    pub const ALL: [Self; 7] = [
        Self::Open,
        Self::Contacting,
        Self::LastChance,
        Self::Recovered,
        Self::Exhausted,
        Self::CanceledByCustomer,
        Self::Stopped,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Contacting => "contacting",
            Self::LastChance => "last_chance",
            Self::Recovered => "recovered",
            Self::Exhausted => "exhausted",
            Self::CanceledByCustomer => "canceled_by_customer",
            Self::Stopped => "stopped",
        }
    }

    pub fn is_final(self) -> bool {
        !matches!(self, Self::Open | Self::Contacting | Self::LastChance)
    }

    /// §10.12, where any state that is not final may end; a campaign may begin with its last chance.
    pub fn leads_to(self, next: Self) -> bool {
        matches!(
            (self, next),
            (Self::Open, Self::Contacting) | (Self::Open | Self::Contacting, Self::LastChance)
        ) || (!self.is_final() && next.is_final())
    }
}

/// What a reading of the subscription says of its payment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seen {
    StillDue,
    Paid,
    /// The customer cancelled, or wished to.
    Left,
    Paused,
    Disputed,
    /// The provider ended it, and no customer asked for that.
    Ended,
    /// Nobody knows: nothing is sent, and nothing ends.
    Unsure,
}

/// Reads a subscription. A wish to cancel counts before the provider shows it.
pub fn seen(s: &Subscription) -> Seen {
    match s.state {
        SubscriptionState::Active | SubscriptionState::Trialing => Seen::Paid,
        SubscriptionState::NonRenewing => Seen::Left,
        SubscriptionState::Paused => Seen::Paused,
        SubscriptionState::Ended if s.wish.is_some() || s.cancel_at.is_some() => Seen::Left,
        SubscriptionState::Ended => Seen::Ended,
        SubscriptionState::PastDue if s.wish.is_some() || s.cancel_at.is_some() => Seen::Left,
        SubscriptionState::PastDue if s.disputed => Seen::Disputed,
        SubscriptionState::PastDue => Seen::StillDue,
        SubscriptionState::Pending | SubscriptionState::Unknown => Seen::Unsure,
    }
}

/// Whether the episode may still go on: while it does, no second case is opened.
pub fn goes_on(s: &Subscription) -> bool {
    matches!(s.state, SubscriptionState::PastDue | SubscriptionState::Unknown | SubscriptionState::Pending)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    Waiting,
    Taken,
    Skipped,
}

/// A step of the plan, with its time and what became of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Planned {
    pub kind: StepKind,
    pub day: u32,
    #[serde(with = "store::time")]
    pub due_at: Timestamp,
    pub result: Outcome,
    #[serde(default)]
    pub why: String,
    #[serde(with = "store::time::option", default)]
    pub at: Option<Timestamp>,
}

/// Which version of which campaign a case runs by.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pin {
    pub campaign_id: String,
    pub number: u32,
    pub plan_hash: String,
}

/// One past-due episode of one subscription.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Case {
    pub subscription_id: String,
    pub customer_id: String,
    /// None where no campaign was for this customer: the case contacts nobody and only keeps count.
    pub pin: Option<Pin>,
    pub persona_ids: Vec<String>,
    pub state: State,
    pub reason: String,
    pub amount_due: Money,
    pub amount_paid: Option<Money>,
    #[serde(with = "store::time")]
    pub failed_at: Timestamp,
    #[serde(with = "store::time")]
    pub gives_up_at: Timestamp,
    pub steps: Vec<Planned>,
    pub mails: u32,
    pub max_mails: u32,
    pub go_on_when_disputed: bool,
    pub redemption_id: String,
    /// When it is looked at next; none when it ended.
    #[serde(with = "store::time::option", default)]
    pub next_at: Option<Timestamp>,
    /// Present while the episode goes on, which outlives a case that gave up: the index of it allows one each.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub holds: Option<bool>,
    #[serde(with = "store::time::option", default)]
    pub ended_at: Option<Timestamp>,
    #[serde(default)]
    pub last_error: String,
}

/// What a case does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    End(State, &'static str),
    Take(usize),
    Skip(usize, &'static str),
    Wait(Timestamp),
}

/// How long a case waits that cannot go on for now.
const HELD_MINUTES: i64 = 15;

impl Case {
    /// A case for a subscription that is past due.
    pub fn opened(
        subscription_id: &str,
        s: &Subscription,
        persona_ids: Vec<String>,
        run_by: Option<(Pin, &Plan, &TimeZone)>,
        now: Timestamp,
    ) -> Self {
        let failed_at = s.past_due_since.unwrap_or(now).min(now);
        let plan = run_by.as_ref().map(|(_, plan, _)| *plan);
        let steps = run_by.as_ref().map_or_else(Vec::new, |(_, plan, zone)| {
            let planned = plan.steps.iter().map(|step| Planned {
                kind: step.kind,
                day: step.day,
                due_at: step.due_at(failed_at, zone),
                result: Outcome::Waiting,
                why: String::new(),
                at: None,
            });
            planned.collect()
        });
        let days = plan.map_or(GIVE_UP_AFTER_DAYS, |p| p.give_up_after_days);
        Self {
            subscription_id: subscription_id.to_owned(),
            customer_id: s.customer_id.clone(),
            pin: run_by.map(|(pin, ..)| pin),
            persona_ids,
            state: State::Open,
            reason: String::new(),
            amount_due: s.invoice(),
            amount_paid: None,
            failed_at,
            gives_up_at: kit::time::add_days(failed_at, i64::from(days)),
            max_mails: plan.map_or(0, |p| p.max_mails),
            go_on_when_disputed: plan.is_some_and(|p| p.go_on_when_disputed),
            steps,
            mails: 0,
            redemption_id: String::new(),
            next_at: Some(now),
            holds: Some(true),
            ended_at: None,
            last_error: String::new(),
        }
    }

    /// What it does now. `held`: its campaign is paused.
    pub fn next(&self, seen: Seen, held: bool, now: Timestamp) -> Next {
        match seen {
            Seen::Paid => return Next::End(State::Recovered, "paid"),
            Seen::Left => return Next::End(State::CanceledByCustomer, "canceled"),
            Seen::Paused => return Next::End(State::Stopped, "paused"),
            Seen::Ended => return Next::End(State::Exhausted, "subscription_ended"),
            Seen::Disputed if !self.go_on_when_disputed => return Next::End(State::Stopped, "disputed"),
            Seen::Unsure | Seen::StillDue | Seen::Disputed => {}
        }
        if now >= self.gives_up_at {
            return Next::End(State::Exhausted, "gave_up");
        }
        let later = |at: Timestamp| Next::Wait(at.min(self.gives_up_at));
        if held || seen == Seen::Unsure {
            let pause = jiff::SignedDuration::from_mins(HELD_MINUTES);
            return later(now.checked_add(pause).unwrap_or(Timestamp::MAX));
        }
        let waiting = self.steps.iter().enumerate().filter(|(_, s)| s.result == Outcome::Waiting);
        // Hours of one day need not be in the plan's order.
        let Some((n, step)) = waiting.clone().min_by_key(|(n, s)| (s.due_at, *n)) else {
            return later(self.gives_up_at);
        };
        if step.due_at > now {
            return later(step.due_at);
        }
        // After a pause or an outage nobody gets the mails of three days at once.
        if waiting.clone().any(|(_, s)| s.day > step.day && s.due_at <= now) {
            return Next::Skip(n, "overtaken");
        }
        if step.kind.mails() && self.mails >= self.max_mails {
            return Next::Skip(n, "mail_limit");
        }
        Next::Take(n)
    }

    /// The case after a step was taken.
    pub fn taken(&self, n: usize, redemption_id: &str, now: Timestamp) -> Self {
        let mut next = self.with(n, Outcome::Taken, "", now);
        let Some(kind) = self.steps.get(n).map(|s| s.kind) else { return next };
        next.mails += u32::from(kind.mails());
        let state = match kind {
            StepKind::LastChanceOffer => State::LastChance,
            StepKind::RetryHint | StepKind::Mail => State::Contacting,
            StepKind::InAppNotice | StepKind::Ticket => self.state,
        };
        if self.state.leads_to(state) {
            next.state = state;
        }
        if !redemption_id.is_empty() {
            next.redemption_id = redemption_id.to_owned();
        }
        next
    }

    /// The case without a step.
    pub fn skipped(&self, n: usize, why: &str, now: Timestamp) -> Self {
        self.with(n, Outcome::Skipped, why, now)
    }

    fn with(&self, n: usize, result: Outcome, why: &str, now: Timestamp) -> Self {
        let mut next = Self { next_at: Some(now), last_error: String::new(), ..self.clone() };
        if let Some(step) = next.steps.get_mut(n).filter(|s| s.result == Outcome::Waiting) {
            (step.result, step.why, step.at) = (result, why.to_owned(), Some(now));
        }
        next
    }

    /// The case looked at again then.
    pub fn waiting(&self, until: Timestamp) -> Self {
        Self { next_at: Some(until), last_error: String::new(), ..self.clone() }
    }

    /// The case that could not go on, and why.
    pub fn postponed(&self, until: Timestamp, why: &str) -> Self {
        let last_error: String = why.chars().take(200).collect();
        Self { next_at: Some(until), last_error, ..self.clone() }
    }

    /// The case at its end. `holds`: the subscription is past due all the same.
    pub fn ended(&self, state: State, reason: &str, holds: bool, now: Timestamp) -> Self {
        if !self.state.leads_to(state) {
            return self.clone();
        }
        Self {
            state,
            reason: reason.to_owned(),
            amount_paid: (state == State::Recovered).then_some(self.amount_due),
            next_at: None,
            holds: holds.then_some(true),
            ended_at: Some(now),
            last_error: String::new(),
            ..self.clone()
        }
    }

    /// The episode is over: another failed payment is another case.
    pub fn released(&self) -> Self {
        Self { holds: None, ..self.clone() }
    }
}

#[cfg(test)]
#[path = "case_tests.rs"]
mod tests;
