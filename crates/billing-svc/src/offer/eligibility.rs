//! Who may have an offer, and every reason why not. Pure: the same facts give the same answer, in the dry run, on the
//! customer's screen and at the claim.

use kit::{Money, Timestamp};

use super::ledger::{Ledger, Use};
use super::model::{Offer, Stacking, State};
use super::terms::Terms;
use crate::providers::{Abilities, Cut};
use crate::subscription::{State as SubscriptionState, Subscription};

/// Why something is not so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reason {
    pub code: &'static str,
    pub message: String,
}

/// Everything the answer depends on.
#[derive(Clone, Copy)]
pub struct Facts<'a> {
    pub offer_id: &'a str,
    pub offer: &'a Offer,
    pub subscription: &'a Subscription,
    pub personas: &'a [String],
    pub used: &'a Use,
    pub ledger: &'a Ledger,
    pub abilities: Option<&'a Abilities>,
    pub now: Timestamp,
}

/// What a flow adds to an offer's own conditions.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    /// Deeper discounts are not wanted; zero does not restrict.
    pub max_discount_percent: u32,
    /// Only these kinds; empty does not restrict.
    pub kinds: Vec<String>,
}

/// Which states an offer serves that names none.
const SERVED: [SubscriptionState; 3] =
    [SubscriptionState::Active, SubscriptionState::Trialing, SubscriptionState::PastDue];

impl Facts<'_> {
    /// Every reason why not; none means yes.
    pub fn reasons(&self) -> Vec<Reason> {
        let mut no = Reasons::default();
        self.offer_stands(&mut no);
        self.audience_fits(&mut no);
        self.subscription_allows(&mut no);
        self.limits_hold(&mut no);
        no.0
    }

    fn offer_stands(&self, no: &mut Reasons) {
        let Offer { state, valid_from, valid_until, .. } = self.offer;
        no.when(*state != State::Active, "offer_not_active", || format!("the offer is {}", state.as_str()));
        no.when(valid_from.is_some_and(|from| self.now < from), "not_yet_valid", || {
            "the offer begins later".into()
        });
        no.when(valid_until.is_some_and(|until| self.now >= until), "no_longer_valid", || {
            "the offer is over".into()
        });
    }

    fn audience_fits(&self, no: &mut Reasons) {
        let (a, s) = (&self.offer.audience, self.subscription);
        let served = if a.states.is_empty() { &SERVED[..] } else { &a.states[..] };
        no.when(!served.contains(&s.state), "state_not_served", || {
            format!("the subscription is {}", s.state.as_str())
        });
        no.when(!a.intervals.is_empty() && !a.intervals.contains(&s.interval), "interval_not_served", || {
            "the offer is for other billing intervals".into()
        });
        no.when(!a.plans.is_empty() && !a.plans.contains(&s.plan), "plan_not_served", || {
            format!("the offer is not for the plan {}", s.plan)
        });
        let days = self.now.duration_since(s.started_at).as_hours() / 24;
        no.when(days < i64::from(a.min_tenure_days), "tenure_too_short", || {
            format!("the customer has been here for {days} days, not {}", a.min_tenure_days)
        });
        let met = a.persona_ids.is_empty() || a.persona_ids.iter().any(|p| self.personas.contains(p));
        no.when(!met, "persona_not_met", || "the customer is in none of the offer's personas".into());
    }

    fn subscription_allows(&self, no: &mut Reasons) {
        let (o, s) = (self.offer, self.subscription);
        if let Some(slug) = s.hands_off().filter(|_| !o.terms.is_by_hand()) {
            no.when(true, slug, || "the subscription cannot be changed safely".into());
        }
        no.when(s.state == SubscriptionState::Ended, "already_ended", || "the subscription has ended".into());
        if let Some((act, able)) = self.abilities.and_then(|a| o.terms.needs(a)) {
            no.when(!able.is_possible(), "provider_cannot", || {
                format!("the billing provider cannot do {act}")
            });
        }
        match &o.terms {
            Terms::Discount { cut, .. } => {
                // §14.5: by what the provider shows and by what we gave and have not read back yet.
                let running = s.retention_discounts(self.now).next().is_some()
                    || self.ledger.has_running_discount(self.now);
                no.when(o.stacking == Stacking::Refuse && running, "discount_running", || {
                    "a retention discount is running".into()
                });
                let foreign = matches!(cut, Cut::Amount(m) if m.currency != s.price.currency);
                no.when(foreign, "currency_mismatch", || "the discount is in another currency".into());
            }
            Terms::Pause { .. } => {
                no.when(s.state == SubscriptionState::Paused, "already_paused", || {
                    "the subscription is paused".into()
                });
            }
            Terms::PlanSwitch { price_id, price, .. } => {
                no.when(*price_id == s.price_id, "same_plan", || {
                    "the customer is on this plan already".into()
                });
                no.when(price.currency != s.price.currency, "currency_mismatch", || {
                    "the plan is sold in another currency".into()
                });
            }
            Terms::TrialExtension { .. } => {
                no.when(
                    s.trial_end.is_none() || s.state != SubscriptionState::Trialing,
                    "not_in_trial",
                    || "there is no trial to extend".into(),
                );
            }
            Terms::TermExtension { .. } => {
                let runs = s.period_end.is_some() && s.state == SubscriptionState::Active;
                no.when(!runs, "no_running_term", || "there is no paid period to extend".into());
            }
            Terms::Credit { amount } => {
                no.when(amount.currency != s.price.currency, "currency_mismatch", || {
                    "the credit is in another currency".into()
                });
            }
            Terms::Refund { cut, within_days } => {
                let foreign = matches!(cut, Cut::Amount(m) if m.currency != s.price.currency);
                no.when(foreign, "currency_mismatch", || "the refund is in another currency".into());
                // What is not paid cannot be paid back.
                let paid = s.period_start.filter(|_| {
                    !matches!(s.state, SubscriptionState::Trialing | SubscriptionState::PastDue)
                        && s.charged().minor > 0
                });
                no.when(paid.is_none(), "nothing_to_refund", || "no paid invoice is known".into());
                let since = kit::time::add_days(self.now, -i64::from(*within_days));
                no.when(paid.is_some_and(|at| at < since), "refund_window_over", || {
                    format!("the last invoice was paid more than {within_days} days ago")
                });
            }
            Terms::Contact { .. } | Terms::Redirect { .. } | Terms::Custom { .. } => {}
        }
    }

    fn limits_hold(&self, no: &mut Reasons) {
        if let Err(reason) = self.used.may_take(&self.offer.limits, self.cost(), self.now) {
            no.0.push(reason);
        }
        if let Err(reason) =
            self.ledger.may_take(self.offer_id, self.offer.kind, &self.offer.limits, self.now)
        {
            no.0.push(reason);
        }
    }

    /// What the offer costs on this subscription.
    pub fn cost(&self) -> Money {
        self.offer.terms.cost(self.subscription)
    }
}

impl Wanted {
    /// Why a flow does not want an offer, whoever the customer is.
    pub fn reasons(&self, offer: &Offer, invoice: Money) -> Vec<Reason> {
        let mut no = Reasons::default();
        let kind = offer.kind.as_str();
        no.when(!self.kinds.is_empty() && !self.kinds.iter().any(|k| k == kind), "kind_not_allowed", || {
            format!("the flow does not allow {kind}")
        });
        if let (Terms::Discount { cut, .. }, 1..) = (&offer.terms, self.max_discount_percent) {
            let most = i64::from(self.max_discount_percent) * 100;
            let above = match cut {
                Cut::BasisPoints(bp) => i64::from(*bp) > most,
                Cut::Amount(m) => m.minor > invoice.basis_points(most).minor,
            };
            no.when(above, "above_max_discount", || {
                format!("deeper than {} % is not allowed", self.max_discount_percent)
            });
        }
        no.0
    }
}

#[derive(Default)]
struct Reasons(Vec<Reason>);

impl Reasons {
    fn when(&mut self, applies: bool, code: &'static str, message: impl FnOnce() -> String) {
        if applies {
            self.0.push(Reason { code, message: message() });
        }
    }
}

#[cfg(test)]
#[path = "eligibility_tests.rs"]
mod tests;
