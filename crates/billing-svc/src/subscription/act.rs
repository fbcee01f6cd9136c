//! Acts on a subscription: under its lease, with a key, and true only when the provider's own reading shows them.

use std::time::Duration;

use kit::{Caller, Scope, Timestamp};
use serde_json::json;
use store::Stored;

use super::model::{Action, Subscription};
use super::ops::Subscriptions;
use crate::error::{Error, Result};
use crate::events::Stamp;
use crate::offer::add_months;
use crate::providers::{Act, IdempotencyKey};
use crate::request_lock;

/// What is asked of a subscription.
#[derive(Clone, Debug)]
pub struct Ask {
    pub action: Action,
    /// For a pause.
    pub months: u32,
    /// When the customer said so, where that was earlier.
    pub wished_at: Option<Timestamp>,
    /// The same key acts once.
    pub key: String,
}

impl Subscriptions {
    /// Carries out an act and answers what the provider then shows. A wish to cancel is written down before anything
    /// else: whatever fails afterwards, it is kept with its date.
    pub async fn act(&self, caller: &Caller, id: &str, ask: Ask) -> Result<Stored<Subscription>> {
        let scope = caller.scope()?;
        let given = if ask.key.is_empty() { kit::id::new("act") } else { ask.key.clone() };
        let key = format!("{id}:{}:{given}", ask.action.as_str());
        let known = self.store.get(scope, id).await?;
        if known.body.has_acted(&key) {
            return Ok(known);
        }
        let known = match ask.action.leaves() {
            true => self.note_wish(caller, known, ask.wished_at).await?,
            false => known,
        };
        refuse(ask.action, &known.body)?;
        let lock = request_lock::subscription(id);
        let lease =
            request_lock::hold(&self.leases, &lock, ask.action.as_str(), Duration::from_secs(5)).await?;
        let outcome = self.carry_out(caller, scope, id, &ask, &key).await;
        lease.release().await;
        outcome
    }

    async fn note_wish(
        &self,
        caller: &Caller,
        mut known: Stored<Subscription>,
        wished_at: Option<Timestamp>,
    ) -> Result<Stored<Subscription>> {
        for _ in 0..8 {
            let now = self.clocks.machine();
            let at = wished_at.map_or(now, kit::clock::millis);
            let Some(next) = known.body.wished(at, now) else { return Ok(known) };
            let stamp =
                Stamp { scope: &known.scope, subject: &known.id, sequence: known.version + 1, at: now };
            let said = json!({ "wished_at": at.to_string() });
            let events = stamp.audited(caller, "subscription", "subscription.wish", None, Some(&said));
            match self.store.replace(&known, next, events.into_iter().collect()).await {
                Ok(stored) => return Ok(stored),
                Err(store::Error::Stale(_)) => known = self.store.get(&known.scope, &known.id).await?,
                Err(other) => return Err(other.into()),
            }
        }
        Err(Error::Busy)
    }

    async fn carry_out(
        &self,
        caller: &Caller,
        scope: &Scope,
        id: &str,
        ask: &Ask,
        key: &str,
    ) -> Result<Stored<Subscription>> {
        let known = self.store.get(scope, id).await?;
        if known.body.has_acted(key) {
            return Ok(known);
        }
        // What the provider shows now decides, not what the mirror remembers.
        let (_, known) = self.read_back(scope, &known.body).await?;
        refuse(ask.action, &known.body)?;
        if ask.action.is_done(&known.body) {
            return self.note(caller, known, ask.action, key, true).await;
        }
        let provider = self.connections.provider(scope, known.body.provider).await?;
        let now = self.clocks.now(scope).await?;
        if !provider.abilities().of(&act(ask, now)).is_possible() {
            let text = format!("the billing provider cannot do this: {}", ask.action.as_str());
            return Err(Error::Refused("provider_cannot", text));
        }
        let known = self.note(caller, known, ask.action, key, false).await?;
        let begun = known.body.acting.as_ref().map_or(now, |a| a.at);
        let act = act(ask, begun);
        let external = known.body.external_id.as_str().into();
        match provider.apply(&external, &act, &IdempotencyKey::new(key)).await {
            Ok(_) => {}
            // It may have been done: the read-back says.
            Err(e) if e.is_uncertain() => {
                let (_, read) = self.read_back(scope, &known.body).await?;
                if !ask.action.is_done(&read.body) {
                    return Err(e.into());
                }
            }
            Err(e) => return Err(e.into()),
        }
        let (_, read) = self.read_back(scope, &known.body).await?;
        if !ask.action.is_done(&read.body) {
            let text =
                format!("the provider took the request, but does not show it: {}", ask.action.as_str());
            return Err(Error::Refused("not_confirmed", text));
        }
        tracing::info!(
            subscription.id = id,
            "subscription {id} is {} after {}",
            read.body.state.as_str(),
            ask.action.as_str()
        );
        self.note(caller, read, ask.action, key, true).await
    }

    /// Writes down that an act begins or is done.
    async fn note(
        &self,
        caller: &Caller,
        mut known: Stored<Subscription>,
        action: Action,
        key: &str,
        done: bool,
    ) -> Result<Stored<Subscription>> {
        for _ in 0..8 {
            let now = self.clocks.machine();
            let begins = self.clocks.now(&known.scope).await?;
            let next = if done { known.body.acted(key) } else { known.body.beginning(key, begins) };
            let stamp =
                Stamp { scope: &known.scope, subject: &known.id, sequence: known.version + 1, at: now };
            let after = json!({ "state": next.state.as_str() });
            let name = format!("subscription.{}", action.as_str());
            let audit =
                done.then(|| stamp.audited(caller, "subscription", &name, None, Some(&after))).flatten();
            match self.store.replace(&known, next, audit.into_iter().collect()).await {
                Ok(stored) => return Ok(stored),
                Err(store::Error::Stale(_)) => known = self.store.get(&known.scope, &known.id).await?,
                Err(other) => return Err(other.into()),
            }
        }
        Err(Error::Busy)
    }
}

/// What is asked of the provider, as of the instant the act began.
fn act(ask: &Ask, begun: Timestamp) -> Act {
    let months = ask.months.max(1);
    match ask.action {
        Action::Cancel => Act::CancelAtPeriodEnd { feedback: None },
        Action::CancelNow => Act::CancelNow { feedback: None },
        Action::Undo => Act::UndoCancel,
        Action::Pause => Act::Pause { months, resumes_at: add_months(begun, months) },
        Action::Resume => Act::Resume,
    }
}

fn refuse(action: Action, s: &Subscription) -> Result<()> {
    match action.refused(s) {
        None => Ok(()),
        Some(slug) => {
            let text = format!("the subscription cannot be changed by us: {}", slug.replace('_', " "));
            Err(Error::Refused(slug, text))
        }
    }
}
