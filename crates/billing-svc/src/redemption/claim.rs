//! What a claim takes: decided here from what stands there now, written by `ops.rs` in one transaction.

use kit::Money;

use super::model::{Claim, NoWay, Redemption};
use crate::offer::{Facts, Grant, Kind, Ledger, Stacking, month};

/// What a claim changes.
#[derive(Clone, Debug)]
pub struct Taken {
    pub claimed: Redemption,
    /// The customer's, with what is given now.
    pub ledger: Ledger,
    pub cost: Money,
}

impl Redemption {
    /// The claim under these facts, which speak for it.
    pub fn take(&self, id: &str, facts: &Facts<'_>, code: String) -> Result<Taken, NoWay> {
        let (cost, now) = (facts.cost(), facts.now);
        let ends_at = self.terms.ends_at(facts.subscription, now);
        let budget_month = facts.offer.limits.monthly_budget.map(|_| month(now));
        let claimed = self.claimed(Claim { cost, code, budget_month, ends_at, at: now })?;
        let grant = Grant {
            redemption_id: id.to_owned(),
            offer_id: self.offer_id.clone(),
            kind: self.kind,
            at: now,
            // A promise that is still to be kept saves nobody yet.
            until: if self.terms.is_by_hand() { Some(now) } else { ends_at },
            ended_by: None,
        };
        // A pause or another plan takes no discount's place.
        let replacing = self.kind == Kind::Discount && self.stacking == Stacking::Replace;
        let ledger = facts.ledger.with(grant, replacing);
        Ok(Taken { claimed, ledger, cost })
    }
}
