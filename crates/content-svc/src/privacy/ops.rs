//! What content does with visits when somebody is erased, and when what is held need not be held any more.

use async_trait::async_trait;
use bson::doc;
use kit::{Scope, SharedClock};
use personal::{Done, Erase, Held, Holder, How, Order, Part, Receipts, Shelf};
use store::{Record as _, Stored};

use crate::error::Error;
use crate::flow_session::{FlowSession, FlowStore, Hold, shelf};
use crate::verification::{self, Verification};
use crate::workflow_run::{Occasion, WorkflowRun, WorkflowRuns};

const WHAT: &str = "flow_sessions";
const WHY: &str = "evidence that the wish to cancel was heard and what was shown; nothing says who it was";

/// Content's records of people.
#[derive(Clone)]
pub struct ContentHolder {
    pub visits: FlowStore,
    pub runs: WorkflowRuns,
    /// For how long a wish to cancel is kept as evidence where the visit has no rule of a region.
    pub evidence_days: u32,
}

impl ContentHolder {
    async fn pseudonymise(&self, order: &Order) -> Result<Part, Error> {
        let (mut part, mut after) = (Part::default(), String::new());
        loop {
            let some = self.visits.wished(&order.scope, &order.whose.customers, &after).await?;
            let Some(last) = some.last() else { break };
            after.clone_from(&last.id);
            for read in some {
                part = part.beside(self.keep_without(order, read).await?);
            }
        }
        part.held = held(&self.visits, &order.scope, &order.request_id).await?;
        Ok(part)
    }

    async fn keep_without(&self, order: &Order, read: Stored<FlowSession>) -> Result<Part, Error> {
        if read.body.held.is_some() {
            return Ok(Part::default());
        }
        // As the rule of the region said when the visit began.
        let days = read.body.rule.as_ref().map_or(self.evidence_days, |r| r.requirements.evidence_days);
        if days == 0 {
            self.visits.remove(&read).await?;
            return Ok(Part::of(Done::new(WHAT, How::Removed, 1)));
        }
        let wished_at = read.body.wished_at.unwrap_or(read.created_at);
        let until = kit::time::add_days(wished_at, i64::from(days));
        let hold = Hold { request_id: order.request_id.clone(), until: kit::clock::millis(until) };
        self.visits.replace(&read, read.body.pseudonymised(hold), Vec::new()).await?;
        Ok(Part::of(Done::new(WHAT, How::Emptied, 1)))
    }
}

async fn held(visits: &FlowStore, scope: &Scope, request: &str) -> Result<Vec<Held>, Error> {
    let all = visits.held_for(scope, request).await?;
    let Some(until) = all.iter().filter_map(|v| v.body.held.as_ref()).map(|h| h.until).max() else {
        return Ok(Vec::new());
    };
    let count = i64::try_from(all.len()).unwrap_or(i64::MAX);
    Ok(vec![Held { what: WHAT.into(), count, why: WHY.into(), until }])
}

#[async_trait]
impl Holder for ContentHolder {
    async fn shelves(&self, order: &Order) -> anyhow::Result<Vec<Shelf>> {
        let of = |wished| shelf(&order.whose.customers, wished);
        let theirs = || doc! { "body.customer_id": { "$in": &order.whose.customers } };
        Ok(vec![
            Shelf::new(WHAT, FlowSession::COLLECTION, of(false), Erase::Remove),
            Shelf::new(WHAT, FlowSession::COLLECTION, of(true), Erase::Apart),
            Shelf::new(
                "hosted_verifications",
                Verification::COLLECTION,
                verification::shelf(&order.whose.customers),
                Erase::Remove,
            ),
            // One that is under way is stopped by that: whoever has it in hand cannot write it any more.
            Shelf::new("workflow_runs", WorkflowRun::COLLECTION, theirs(), Erase::Remove),
            Shelf::new("workflow_occasions", Occasion::COLLECTION, theirs(), Erase::Remove),
        ])
    }

    async fn erase(&self, order: &Order) -> anyhow::Result<Part> {
        Ok(self.pseudonymise(order).await?)
    }

    /// Nothing to mark at visits: billing and analytics are asked at each, and offer nothing to somebody restricted. The way
    /// to cancel stays open. What goes on by itself is stopped.
    async fn restrict(&self, order: &Order, restricted: bool) -> anyhow::Result<Part> {
        if restricted {
            for customer in &order.whose.customers {
                self.runs.stop_of(&order.scope, customer, |_| Some("customer_restricted")).await?;
            }
        }
        Ok(Part::default())
    }
}

/// Lets evidence go when its time is over.
#[derive(Clone)]
pub struct Evidences {
    pub visits: FlowStore,
    pub receipts: Receipts,
    pub clock: SharedClock,
}

impl Evidences {
    /// Removes what need not be held any more, and says so; how many visits. Done by a schedule.
    pub async fn let_go(&self) -> Result<u64, Error> {
        let mut gone = 0;
        for read in self.visits.held_until(self.clock.now()).await? {
            let Some(hold) = &read.body.held else { continue };
            let request = &hold.request_id;
            self.visits.remove(&read).await?;
            let left = held(&self.visits, &read.scope, request).await?;
            let done = Done::new(WHAT, How::Removed, 1);
            self.receipts.release(&read.scope, request, left, done).await?;
            gone += 1;
        }
        Ok(gone)
    }
}
