//! `recovery_step`: takes the cases that are due and does what is next. The subscription is read right before anything
//! is sent, at the provider where our reading is some minutes old; without such a reading nothing is sent. What a step
//! asks for rides in the write that says it was taken, so a crash neither loses nor doubles it.

use futures_util::{StreamExt, stream};
use kit::{Caller, Outgoing, Scope, Timestamp};
use serde_json::{Map, Value, json};
use store::Stored;

use super::case::{Case, Next, State, goes_on, seen};
use super::cases::Cases;
use super::model::{Plan, Step, StepKind};
use crate::error::{Error, Result};
use crate::events::{Notice, RecoveryMail, Stamp};
use crate::offer::{CodePolicy, Offer};
use crate::redemption::State as Redeemed;
use crate::request_lock;
use crate::subscription::Subscription;

/// How many cases are looked at in one go, and how many at once.
const BATCH: u32 = 200;
const ABREAST: usize = 8;
/// How old a reading of the provider may be when something is sent on it.
const FRESH_MINUTES: i64 = 5;
/// How long a case waits whose provider does not answer.
const POSTPONED_MINUTES: i64 = 10;

/// What a step came to.
enum Done {
    Taken { events: Vec<Outgoing>, redemption_id: String },
    Skipped(String),
}

impl Cases {
    /// Goes through everything that is due; how many cases were looked at. Done by a schedule, once across replicas.
    pub async fn step_due(&self) -> Result<u64> {
        let mut looked_at = self.step(None).await?;
        for (scope, _) in self.clocks.moved().await? {
            looked_at += self.step_due_in(&scope).await?;
        }
        Ok(looked_at)
    }

    /// The same in one company, by its own clock.
    pub async fn step_due_in(&self, scope: &Scope) -> Result<u64> {
        self.step(Some(scope)).await
    }

    /// When the next case of a company is to be looked at.
    pub async fn next_due(&self, scope: &Scope, after: Timestamp) -> Result<Option<Timestamp>> {
        Ok(self.store.next_due(scope, after).await?)
    }

    async fn step(&self, whose: Option<&Scope>) -> Result<u64> {
        let mut looked_at = 0;
        loop {
            let due = match whose {
                None => self.store.due(self.clocks.machine(), BATCH).await?,
                Some(scope) => self.store.due_in(scope, self.clocks.now(scope).await?, BATCH).await?,
            };
            let found = due.len();
            let moved = stream::iter(due)
                .map(|case| {
                    let cases = self.clone();
                    async move { Box::pin(cases.look(case)).await }
                })
                .buffer_unordered(ABREAST)
                .filter(|moved| std::future::ready(*moved))
                .count()
                .await;
            looked_at += found as u64;
            // Those that could not be moved on stay due: the next run has them again.
            if moved == 0 || found < BATCH as usize {
                return Ok(looked_at);
            }
        }
    }

    /// One case; false when it stays as it was.
    async fn look(&self, due: Stored<Case>) -> bool {
        let lock = request_lock::recovery(&due.id);
        let Ok(lease) = self.leases.acquire(&lock, crate::NAME, "recovery_step").await else { return false };
        let outcome = match Box::pin(lease.during(self.go_on(&due))).await {
            Ok(outcome) => outcome,
            Err(lost) => Err(lost.into()),
        };
        lease.release().await;
        match outcome {
            Ok(()) => true,
            // Paid, stopped or taken over meanwhile: whoever came first has said what is so.
            Err(Error::Store(store::Error::Stale(_))) => true,
            Err(e) => {
                tracing::warn!(recovery.id = %due.id, error = %e, "case {} cannot go on: {e}", due.id);
                self.postpone(&due.scope, &due.id, &e).await
            }
        }
    }

    async fn postpone(&self, scope: &Scope, id: &str, why: &Error) -> bool {
        let pause = jiff::SignedDuration::from_mins(POSTPONED_MINUTES);
        let Ok(now) = self.clocks.now(scope).await else { return false };
        let until = now.checked_add(pause).unwrap_or(Timestamp::MAX);
        let Ok(read) = self.store.get(scope, id).await else { return false };
        if read.body.state.is_final() {
            return true;
        }
        self.store.replace(&read, read.body.postponed(until, why.slug()), Vec::new()).await.is_ok()
    }

    /// Does what is due, step after step.
    async fn go_on(&self, due: &Stored<Case>) -> Result<()> {
        let mut read = self.store.get(&due.scope, &due.id).await?;
        // Each round takes or skips a step, or is the last.
        for _ in 0..=read.body.steps.len() + 1 {
            if read.body.state.is_final() {
                return Ok(());
            }
            // Before the reading: a mail is stopped by whatever happened to the subscription after this.
            let asked_at = self.clocks.machine();
            let (next, s) = self.decide(&read).await?;
            let now = self.clocks.now(&read.scope).await?;
            read = match next {
                Next::End(state, reason) => self.end(&read, state, reason, goes_on(&s)).await?,
                Next::Wait(until) => {
                    self.store.replace(&read, read.body.waiting(until), Vec::new()).await?;
                    return Ok(());
                }
                Next::Skip(n, why) => {
                    self.store.replace(&read, read.body.skipped(n, why, now), Vec::new()).await?
                }
                Next::Take(n) => match self.take(&read, n, &s, asked_at).await? {
                    Done::Skipped(why) => {
                        self.store.replace(&read, read.body.skipped(n, &why, now), Vec::new()).await?
                    }
                    Done::Taken { events, redemption_id } => {
                        let next = read.body.taken(n, &redemption_id, now);
                        self.store.replace(&read, next, events).await?
                    }
                },
            };
        }
        Ok(())
    }

    /// What is next by the subscription as it stands.
    async fn decide(&self, read: &Stored<Case>) -> Result<(Next, Subscription)> {
        let case = &read.body;
        let held = match &case.pin {
            Some(pin) => self.campaigns.is_paused(&read.scope, &pin.campaign_id).await?,
            None => false,
        };
        let now = self.clocks.now(&read.scope).await?;
        let s = self.subscriptions.get(&read.scope, &case.subscription_id).await?.body;
        let next = case.next(seen(&s), held, now);
        let age = self.clocks.machine().duration_since(s.synced_at);
        let fresh = age < jiff::SignedDuration::from_mins(FRESH_MINUTES);
        match next {
            Next::Take(_) if !fresh => {
                let s = self.subscriptions.refresh(&read.scope, &case.subscription_id).await?.body;
                Ok((case.next(seen(&s), held, now), s))
            }
            // Giving up sends nothing, so it need not wait for a provider; but one that answers has the last word.
            Next::End(State::Exhausted, "gave_up") if !fresh => {
                match self.subscriptions.refresh(&read.scope, &case.subscription_id).await {
                    Ok(s) => Ok((case.next(seen(&s.body), held, now), s.body)),
                    Err(_) => Ok((next, s)),
                }
            }
            _ => Ok((next, s)),
        }
    }

    /// What a step asks for. Done again after a crash it asks for the same under the same key.
    async fn take(
        &self,
        read: &Stored<Case>,
        n: usize,
        s: &Subscription,
        asked_at: Timestamp,
    ) -> Result<Done> {
        let Some(pin) = &read.body.pin else { return Ok(Done::Skipped("no_campaign".into())) };
        let plan = self.campaigns.plan(&read.scope, pin).await?;
        let Some(step) = plan.steps.get(n) else { return Ok(Done::Skipped("no_step".into())) };
        let stamp = Stamp { scope: &read.scope, subject: &read.id, sequence: read.version + 1, at: asked_at };
        let asking = Asking { read, n, plan: &plan, step, s };
        let events = match step.kind {
            StepKind::RetryHint => vec![stamp.recovery_mail(asking.mail("recovery_retry_hint", None))],
            StepKind::Mail => vec![stamp.recovery_mail(asking.mail("recovery_mail", None))],
            StepKind::InAppNotice => vec![stamp.notification_requested(asking.notice())],
            // Refused at activation; nobody is to wait for one that was pinned by a mistake.
            StepKind::Ticket => return Ok(Done::Skipped("ticketing_not_connected".into())),
            StepKind::LastChanceOffer => return self.offer(&asking, stamp).await,
        };
        Ok(Done::Taken { events, redemption_id: String::new() })
    }

    /// The last chance. An offer with codes is claimed for the customer, once per case, and its code is mailed with the
    /// claim; one without is told of, and taken where the link leads.
    async fn offer(&self, asking: &Asking<'_>, stamp: Stamp<'_>) -> Result<Done> {
        let (read, scope) = (asking.read, &asking.read.scope);
        let (offer_id, case) = (asking.step.offer_id.as_str(), &read.body);
        let offer = match self.offers.get(scope, offer_id).await {
            Err(Error::Store(store::Error::NotFound(_))) => {
                return Ok(Done::Skipped("offer_missing".into()));
            }
            other => other?.body,
        };
        if offer.code_policy == CodePolicy::None {
            let checked = self.offers.check(scope, offer_id, &case.subscription_id, &case.persona_ids);
            let (seen, _) = checked.await?;
            if let Some(reason) = seen.reasons.first() {
                return Ok(Done::Skipped(reason.code.into()));
            }
            let events = vec![stamp.recovery_mail(asking.mail("recovery_last_chance", Some(&offer)))];
            return Ok(Done::Taken { events, redemption_id: String::new() });
        }
        let caller = Caller::internal(crate::NAME, Some(scope.clone()));
        let personas = case.persona_ids.clone();
        // The case stands where a session would: the same case and offer are the same redemption.
        let shown =
            self.redemptions.present(&caller, offer_id, &case.subscription_id, &read.id, personas).await;
        let claimed = match shown {
            Ok(shown) => self.redemptions.claim(&caller, &shown.id, &shown.body.terms_hash).await,
            Err(refused) => Err(refused),
        };
        let claimed = match claimed {
            Err(Error::Refused(slug, _)) => return Ok(Done::Skipped(slug.into())),
            other => other?,
        };
        match claimed.body.state {
            Redeemed::Failed | Redeemed::Reversed | Redeemed::Rejected => {
                Ok(Done::Skipped(if claimed.body.failure.is_empty() {
                    "offer_not_given".into()
                } else {
                    claimed.body.failure
                }))
            }
            _ => Ok(Done::Taken { events: Vec::new(), redemption_id: claimed.id }),
        }
    }
}

/// A step as it is about to be taken.
struct Asking<'a> {
    read: &'a Stored<Case>,
    n: usize,
    plan: &'a Plan,
    step: &'a Step,
    s: &'a Subscription,
}

impl Asking<'_> {
    fn key(&self) -> String {
        format!("recovery/{}/{}", self.read.id, self.n)
    }

    fn mail(&self, template: &'static str, offer: Option<&Offer>) -> RecoveryMail {
        let mut values = self.values();
        if let Some(offer) = offer {
            values.insert("offer".into(), json!(offer.text));
            values.insert("terms".into(), json!(offer.terms_text));
        }
        values.insert("link".into(), json!(self.step.link));
        if let (Some(subject), Some(body)) = (&self.step.subject, &self.step.body) {
            let fallbacks: Map<_, _> =
                self.plan.variables.iter().map(|v| (v.key.clone(), json!(v.fallback))).collect();
            let text = json!({ "subject": subject, "body": body, "fallbacks": fallbacks });
            values.insert("text".into(), text);
        }
        RecoveryMail {
            template,
            values: Value::Object(values),
            dedupe_key: self.key(),
            customer_id: self.read.body.customer_id.clone(),
            recovery_of: self.read.body.subscription_id.clone(),
        }
    }

    fn notice(&self) -> Notice {
        Notice {
            kind: "payment_recovery",
            title: self.step.subject.clone(),
            body: self.step.body.clone(),
            values: Value::Object(self.values()),
            link: format!("/recovery/cases/{}", self.read.id),
            dedupe_key: self.key(),
            customer_id: self.read.body.customer_id.clone(),
        }
    }

    /// What texts may name, as far as billing knows it.
    fn values(&self) -> Map<String, Value> {
        let case = &self.read.body;
        let day = case.failed_at.strftime("%Y-%m-%d").to_string();
        let known =
            json!({ "amount_due": case.amount_due.to_string(), "plan": self.s.plan, "failed_at": day });
        match known {
            Value::Object(known) => known,
            _ => Map::new(),
        }
    }
}
