//! Carrying out what a customer decided: at once where the biller answers, later where it does not, dated as of the
//! wish. Runs in the request and, for what was left over by an outage or a crash, in a task of every replica.

use std::time::Duration;

use kit::{Caller, Scope};
use store::Stored;
use tokio_util::sync::CancellationToken;

use super::billing::Carried;
use super::model::{FlowSession, Pending, State};
use super::ops::FlowSessions;
use super::tell::changed;
use crate::engine::Decision;
use crate::error::Error;

/// What nobody is carrying out any more is taken up after this long.
const LEFT_OVER: jiff::SignedDuration = jiff::SignedDuration::from_secs(10);
/// A visit nobody touched after this long was none.
const UNTOUCHED: jiff::SignedDuration = jiff::SignedDuration::from_secs(60);
/// A visit that stands still for so long was given up.
const IDLE: jiff::SignedDuration = jiff::SignedDuration::from_mins(30);
const PACE: Duration = Duration::from_secs(2);

impl FlowSessions {
    /// Carries out what is pending; answers the visit as it then stands.
    pub(super) async fn settle(&self, read: Stored<FlowSession>) -> Result<Stored<FlowSession>, Error> {
        let caller = Caller::internal("content-svc", Some(read.scope.clone()));
        let mut session = read.body.clone();
        let now = self.clock.now();
        let verb = match session.pending.clone() {
            None => return Ok(read),
            Some(Pending::Cancel) => {
                let wished_at = session.wished_at.unwrap_or(now);
                let hands_off = session.subject.hands_off.clone();
                let carried = if hands_off.is_empty() {
                    self.billing.cancel(&caller, &read.id, &session.subscription_id, wished_at).await
                } else {
                    Carried::Refused(hands_off)
                };
                // Carrying it out took a while: the end is when the provider showed it.
                let now = self.clock.now();
                match carried {
                    Carried::Done => {
                        session.note(now, Decision::new("", "canceled", "the provider shows the end"));
                        session.end(State::Canceled, now);
                        "canceled"
                    }
                    Carried::Refused(why) => {
                        let message =
                            format!("people carry it out, as the subscription cannot be changed: {why}");
                        session.note(now, Decision::new("", "manual", message));
                        session.end(State::Manual, now);
                        "manual_requested"
                    }
                    Carried::Later(why) => return self.later(read, session, &why).await,
                }
            }
            Some(Pending::Accept(offer)) => match self.billing.claim(&caller, &offer).await {
                Carried::Done => {
                    let now = self.clock.now();
                    let message = format!("{} was taken, and is shown or promised", offer.name);
                    session.note(now, Decision::new(&session.node, "saved", message));
                    session.redemption_id = Some(offer.redemption_id);
                    session.taken_offer_id = Some(offer.offer_id);
                    session.continue_url = Some(offer.url).filter(|url| !url.is_empty());
                    let last = self.after_accepting(&read.scope, &mut session).await?;
                    session.end(State::Saved, now);
                    session.show(&last, now);
                    "saved"
                }
                Carried::Refused(why) => {
                    let message = format!("{} could not be given: {why}", offer.name);
                    session.note(now, Decision::new(&session.node, "offer_failed", message));
                    session.state = State::Active;
                    session.pending = None;
                    session.offer = None;
                    session.notice = Some("offer_failed".into());
                    let declined = self.exit(&read.scope, &session, "declined").await?;
                    Box::pin(self.advance(&read, &mut session, declined.as_deref())).await?;
                    "answered"
                }
                Carried::Later(why) => return self.later(read, session, &why).await,
            },
        };
        let event = changed(&read, &session, verb, self.clock.now());
        Ok(self.store.replace(&read, session, vec![event]).await?)
    }

    /// The biller did not say: noted once, tried again by the task.
    async fn later(
        &self,
        read: Stored<FlowSession>,
        mut session: FlowSession,
        why: &str,
    ) -> Result<Stored<FlowSession>, Error> {
        tracing::warn!(flow_session.id = %read.id, "flow session {} is settled later: {why}", read.id);
        let known = session.why.last().is_some_and(|n| n.decision.code == "settled_later");
        if !known {
            let message = format!("the biller did not say ({why}): tried again until it does");
            session.note(self.clock.now(), Decision::new(&session.node, "settled_later", message));
        }
        // Also when nothing is new: it moves the time of the last attempt.
        Ok(self.store.replace(&read, session, Vec::new()).await?)
    }

    /// Takes up what was left over and ends what nobody touches, until stopped.
    pub async fn run(self, stop: CancellationToken) -> anyhow::Result<()> {
        while !stop.is_cancelled() {
            if let Err(e) = Box::pin(self.sweep()).await {
                tracing::warn!(error = %e, "flow sessions wait: {e}");
            }
            tokio::select! {
                () = stop.cancelled() => {}
                () = tokio::time::sleep(PACE) => {}
            }
        }
        Ok(())
    }

    /// One round of the task.
    pub async fn sweep(&self) -> Result<(), Error> {
        let now = self.clock.now();
        for read in self.store.untouched("settling", now - LEFT_OVER).await? {
            let id = read.id.clone();
            // Another replica may be faster: then there is nothing left to do.
            if let Err(e) = Box::pin(self.settle(read)).await {
                tracing::info!(flow_session.id = %id, error = %e, "flow session {id} is not settled yet: {e}");
            }
        }
        for (state, since, end, verb) in [
            ("created", now - UNTOUCHED, State::Bounced, "bounced"),
            ("active", now - IDLE, State::Abandoned, "abandoned"),
        ] {
            for read in self.store.untouched(state, since).await? {
                let scope = read.scope.clone();
                let mut session = read.body.clone();
                session.end(end, now);
                let event = changed(&read, &session, verb, now);
                match self.store.replace(&read, session, vec![event]).await {
                    Ok(read) => self.lapse(&scope, &read).await,
                    Err(store::Error::Stale(_)) => {}
                    Err(e) => return Err(e.into()),
                }
            }
        }
        Ok(())
    }

    /// Offers that were shown and not answered lapse; billing lets them lapse by itself if it does not hear of it.
    pub(super) async fn lapse(&self, scope: &Scope, read: &Stored<FlowSession>) {
        if read.body.presented.is_empty() {
            return;
        }
        let caller = Caller::internal("content-svc", Some(scope.clone()));
        if let Err(e) = self.billing.lapse(&caller, &read.id).await {
            tracing::info!(flow_session.id = %read.id, error = %e, "the offers of {} did not lapse: {e}", read.id);
        }
    }
}
