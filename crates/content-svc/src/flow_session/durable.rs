//! Whether a subscription holds after a visit: looked at 30, 60 and 90 days after the end, and lost on the day it turns
//! away (§10.2). A loss comes as an event, at once; that nothing came is not believed, but asked for by `durability_check`.

use async_trait::async_trait;
use bus::{Handler, Incoming, Outcome};
use kit::{Caller, Code, Coded, Timestamp};
use serde::{Deserialize, Serialize};
use store::Stored;

use super::billing::Promise;
use super::model::{FlowSession, Subject};
use super::ops::FlowSessions;
use super::store::FlowStore;
use crate::error::Error;
use crate::events::subscription_told;

/// §10.2.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Durability {
    #[serde(rename = "pending")]
    Pending,
    #[serde(rename = "held_30")]
    Held30,
    #[serde(rename = "held_60")]
    Held60,
    #[serde(rename = "held_90")]
    Held90,
    #[serde(rename = "lost")]
    Lost,
}

/// The marks, and what a subscription that reaches one has done.
const MARKS: [(i64, Durability); 3] =
    [(30, Durability::Held30), (60, Durability::Held60), (90, Durability::Held90)];
/// When a look that told nothing is repeated.
const LATER: jiff::SignedDuration = jiff::SignedDuration::from_hours(6);
/// How many visits are looked at in one go.
const BATCH: usize = 200;

/// How a subscription has held so far.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Durable {
    pub state: Durability,
    /// The end of the visit, from which the days count.
    #[serde(with = "store::time")]
    pub since: Timestamp,
    /// When it is looked at next; none: never again.
    #[serde(default, with = "store::time::option", skip_serializing_if = "Option::is_none")]
    pub look_at: Option<Timestamp>,
}

impl Durable {
    pub fn new(state: Durability, since: Timestamp) -> Self {
        let (mark, _) = MARKS[0];
        let look_at = (state == Durability::Pending).then(|| kit::time::add_days(since, mark));
        Self { state, since, look_at }
    }

    /// What a look at the subscription makes of it. `gone`: it is on its way out, or out; none: nobody could say.
    #[must_use]
    pub fn looked_at(self, gone: Option<bool>, now: Timestamp) -> Self {
        let reached = MARKS.iter().rev().find(|(days, _)| kit::time::add_days(self.since, *days) <= now);
        match (gone, reached) {
            _ if matches!(self.state, Durability::Lost | Durability::Held90) => self,
            (Some(true), _) => Self { state: Durability::Lost, look_at: None, ..self },
            (None, _) => Self { look_at: Some(now + LATER), ..self },
            (Some(false), None) => self,
            (Some(false), Some((days, state))) => {
                let next = MARKS.iter().find(|(mark, _)| mark > days);
                let look_at = next.map(|(mark, _)| kit::time::add_days(self.since, *mark));
                Self { state: *state, look_at, ..self }
            }
        }
    }
}

impl FlowSessions {
    /// One round of the job: every visit whose day has come.
    pub async fn check_durability(&self, now: Timestamp) -> Result<(), Error> {
        loop {
            let due = self.store.to_look_at(now, BATCH).await?;
            let last = due.len() < BATCH;
            for read in due {
                self.look(read, now).await?;
            }
            if last {
                return Ok(());
            }
        }
    }

    async fn look(&self, read: Stored<FlowSession>, now: Timestamp) -> Result<(), Error> {
        let Some(durable) = read.body.durable.clone() else { return Ok(()) };
        let caller = Caller::internal("content-svc", Some(read.scope.clone()));
        let seen = self.billing.visitor(&caller, &read.body.customer_id, &read.body.subscription_id).await;
        let looked = match seen {
            Ok(visitor) => match gone(&visitor.subject) {
                Some(false) => self.promised(&caller, &read.body, durable, now).await,
                gone => durable.looked_at(gone, now),
            },
            // Erased, or never there: nobody will ever say.
            Err(e) if e.code().0 == Code::NotFound => Durable { look_at: None, ..durable },
            Err(e) => {
                tracing::info!(flow_session.id = %read.id, error = %e, "{} is looked at later: {e}", read.id);
                durable.looked_at(None, now)
            }
        };
        let session = FlowSession { durable: Some(looked), ..read.body.clone() };
        match self.store.replace(&read, session, Vec::new()).await {
            // Somebody was faster: an event, or another replica.
            Ok(_) | Err(store::Error::Stale(_)) => Ok(()),
            Err(e) => Err(e.into()),
        }
    }

    /// What a subscription that holds makes of a visit: one that ended with a promise counts once that is kept.
    async fn promised(
        &self,
        caller: &Caller,
        session: &FlowSession,
        durable: Durable,
        now: Timestamp,
    ) -> Durable {
        let promise = match &session.redemption_id {
            Some(redemption) => self.billing.promise(caller, redemption).await,
            None => Ok(Promise::Kept),
        };
        match promise {
            Ok(Promise::Kept) => durable.looked_at(Some(false), now),
            Ok(Promise::Open) | Err(_) => durable.looked_at(None, now),
            // Nothing was kept that could hold. A loss still comes by its event.
            Ok(Promise::Broken) => Durable { look_at: None, ..durable },
        }
    }
}

/// Whether a subscription is on its way out; none where the biller itself does not know.
fn gone(subject: &Subject) -> Option<bool> {
    match subject.state.as_str() {
        "" | "unknown" | "unspecified" => None,
        _ => Some(subject.is_leaving()),
    }
}

/// Hears of subscriptions that turn away.
pub struct Turns(pub FlowStore);

#[async_trait]
impl Handler for Turns {
    async fn handle(&self, batch: &[Incoming]) -> Vec<Outcome> {
        let mut outcomes = Vec::with_capacity(batch.len());
        for incoming in batch {
            outcomes.push(match subscription_told(incoming) {
                Some((subscription, true)) => {
                    let lost = self.0.lost(&incoming.scope, &subscription, incoming.occurred_at).await;
                    lost.map_or_else(|e| Outcome::Retry(e.to_string()), |_| Outcome::Done)
                }
                _ => Outcome::Done,
            });
        }
        outcomes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn day(n: i64) -> Timestamp {
        kit::time::add_days("2026-01-01T00:00:00Z".parse().unwrap(), n)
    }

    #[test]
    fn a_subscription_that_holds_passes_mark_after_mark() {
        let mut durable = Durable::new(Durability::Pending, day(0));
        for (at, state, next) in [
            (29, Durability::Pending, Some(30)),
            (30, Durability::Held30, Some(60)),
            (61, Durability::Held60, Some(90)),
            (95, Durability::Held90, None),
        ] {
            durable = durable.looked_at(Some(false), day(at));
            assert_eq!((durable.state, durable.look_at), (state, next.map(day)), "on day {at}");
        }
        assert_eq!(durable.clone().looked_at(Some(true), day(200)), durable, "what held 90 days did");
    }

    #[test]
    fn a_look_that_was_late_sees_what_is_true_then() {
        let late = Durable::new(Durability::Pending, day(0)).looked_at(Some(false), day(70));
        assert_eq!((late.state, late.look_at), (Durability::Held60, Some(day(90))));
    }

    #[test]
    fn lost_is_lost_and_silence_is_neither() {
        let pending = Durable::new(Durability::Pending, day(0));
        let silent = pending.clone().looked_at(None, day(30));
        assert_eq!((silent.state, silent.look_at), (Durability::Pending, Some(day(30) + LATER)));
        let lost = silent.looked_at(Some(true), day(31));
        assert_eq!((lost.state, lost.look_at), (Durability::Lost, None));
        assert_eq!(lost.clone().looked_at(Some(false), day(40)), lost);
    }
}
