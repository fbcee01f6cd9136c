//! What is done with privacy requests.

use kit::{Caller, Outgoing, Page, PageRequest, Scope, SharedClock};
use personal::Whose;
use serde_json::json;
use store::Stored;

use super::holder::external_ids;
use super::model::{Kind, NoWay, Receipt, Request, State, place};
use super::store::{Filter, RequestStore};
use crate::customer_merge::Merges;
use crate::customers::{self, Customers};
use crate::error::{Error, Result};
use crate::events::Stamp;

/// How often a write is tried again that somebody else came before.
const TRIES: usize = 8;
/// How many are looked at in one go.
const BATCH: u32 = 100;

/// What is asked for.
#[derive(Clone, Debug)]
pub struct Asked {
    pub kind: Kind,
    /// Our id, or the company's own.
    pub customer: String,
    /// How it is known who asked; empty where that is still to be found out.
    pub verification: String,
    pub note: String,
}

/// The use cases of privacy requests.
#[derive(Clone)]
pub struct PrivacyRequests {
    store: RequestStore,
    customers: Customers,
    merges: Merges,
    clock: SharedClock,
}

impl From<NoWay> for Error {
    fn from(e: NoWay) -> Self {
        Self::Refused("wrong_state", e.to_string())
    }
}

impl PrivacyRequests {
    pub fn new(store: RequestStore, customers: Customers, merges: Merges, clock: SharedClock) -> Self {
        Self { store, customers, merges, clock }
    }

    pub fn now(&self) -> kit::Timestamp {
        self.clock.now()
    }

    pub async fn get(&self, scope: &Scope, id: &str) -> Result<Stored<Request>> {
        Ok(self.store.get(scope, id).await?)
    }

    pub async fn list(
        &self,
        caller: &Caller,
        filter: &Filter,
        page: &PageRequest,
    ) -> Result<Page<Stored<Request>>> {
        Ok(self.store.list(caller.scope()?, filter, page).await?)
    }

    /// Takes a request in, and begins it where it is verified. A second one of its kind answers the first.
    pub async fn create(&self, caller: &Caller, asked: &Asked) -> Result<Stored<Request>> {
        let scope = caller.scope()?;
        let customer = self.customers.named(scope, &asked.customer).await?;
        for _ in 0..TRIES {
            if let Some(known) = self.store.at(scope, &place(&customer.id, asked.kind)).await? {
                return Ok(known);
            }
            // Asked again: an erasure may have begun since.
            if self.customers.record(scope, &customer.id).await?.body.state == customers::State::Erased {
                return Err(Error::Refused("customer_erased", "this customer was erased".into()));
            }
            let now = self.clock.now();
            let by = &caller.actor.id;
            let request = Request::received(asked.kind, &customer.id, by, &asked.note, now);
            let id = kit::id::new("prv");
            let stamp = Stamp { scope, subject: &id, sequence: 1, at: now };
            let mut events = self.audited(caller, stamp, "privacy_request.create", &request);
            let request = if asked.verification.is_empty() {
                request
            } else {
                let whose = self.whose(scope, &customer.id).await?;
                events.push(stamp.privacy_requested(asked.kind.order(), &whose));
                request.verified(&asked.verification, by, now)?.begun(whose, now)?
            };
            match self.store.insert(scope, id, request, events).await {
                Err(store::Error::Duplicate(_)) => {}
                other => return Ok(other?),
            }
        }
        Err(Error::Busy)
    }

    /// Everybody and everything the person is here.
    async fn whose(&self, scope: &Scope, customer: &str) -> Result<Whose> {
        let customers = self.merges.whole(scope, customer).await?;
        let external = external_ids(&self.customers, scope, &customers).await?;
        Ok(Whose { customers, external })
    }

    fn audited(&self, caller: &Caller, stamp: Stamp<'_>, action: &str, r: &Request) -> Vec<Outgoing> {
        let after = json!({ "kind": r.kind.as_str(), "customer_id": r.customer_id });
        stamp.audited(caller, "privacy_request", action, None, Some(&after)).into_iter().collect()
    }

    /// Somebody attests who asked: it begins.
    pub async fn verify(&self, caller: &Caller, id: &str, verification: &str) -> Result<Stored<Request>> {
        let scope = caller.scope()?;
        for _ in 0..TRIES {
            let read = self.store.get(scope, id).await?;
            if matches!(read.body.state, State::Running | State::PartlyHeld | State::Completed) {
                return Ok(read);
            }
            let now = self.clock.now();
            let whose = self.whose(scope, &read.body.customer_id).await?;
            let verified = read.body.verified(verification, &caller.actor.id, now)?;
            let next = verified.begun(whose.clone(), now)?;
            let stamp = Stamp { scope, subject: id, sequence: read.version + 1, at: now };
            let mut events = self.audited(caller, stamp, "privacy_request.verify", &next);
            events.push(stamp.privacy_requested(next.kind.order(), &whose));
            match self.store.replace(&read, next, events).await {
                Err(store::Error::Stale(_)) => {}
                other => return Ok(other?),
            }
        }
        Err(Error::Busy)
    }

    /// It is not done; why is kept.
    pub async fn refuse(&self, caller: &Caller, id: &str, reason: &str) -> Result<Stored<Request>> {
        let scope = caller.scope()?;
        for _ in 0..TRIES {
            let read = self.store.get(scope, id).await?;
            if read.body.state == State::Refused {
                return Ok(read);
            }
            let now = self.clock.now();
            let next = read.body.refused(reason, now)?;
            let stamp = Stamp { scope, subject: id, sequence: read.version + 1, at: now };
            let events = self.audited(caller, stamp, "privacy_request.refuse", &next);
            match self.store.replace(&read, next, events).await {
                Err(store::Error::Stale(_)) => {}
                other => return Ok(other?),
            }
        }
        Err(Error::Busy)
    }

    /// The data is used again.
    pub async fn lift(&self, caller: &Caller, id: &str) -> Result<Stored<Request>> {
        let scope = caller.scope()?;
        for _ in 0..TRIES {
            let read = self.store.get(scope, id).await?;
            if read.body.is_lifting() {
                return Ok(read);
            }
            let now = self.clock.now();
            let whose = self.whose(scope, &read.body.customer_id).await?;
            let next = read.body.lifting(whose.clone(), now)?;
            let stamp = Stamp { scope, subject: id, sequence: read.version + 1, at: now };
            let mut events = self.audited(caller, stamp, "privacy_request.lift", &next);
            events.push(stamp.privacy_requested(personal::Kind::Lift, &whose));
            match self.store.replace(&read, next, events).await {
                Err(store::Error::Stale(_)) => {}
                other => return Ok(other?),
            }
        }
        Err(Error::Busy)
    }

    /// A service has answered. When the last one did, an erasure is told to everybody.
    pub(super) async fn answered(
        &self,
        scope: &Scope,
        id: &str,
        (service, order): (&str, personal::Kind),
        receipt: Receipt,
    ) -> Result<()> {
        for _ in 0..TRIES {
            let read = match self.store.get(scope, id).await {
                // Nobody's: a request that is not there cannot be waited for.
                Err(store::Error::NotFound(_)) => return Ok(()),
                other => other?,
            };
            let now = self.clock.now();
            let Some(next) = read.body.answered(service, order, receipt.clone(), now) else { return Ok(()) };
            let mut events = Vec::new();
            if next.kind == Kind::Erasure && next.is_done() && !read.body.is_done() {
                for customer in self.merges.whole(scope, &next.customer_id).await? {
                    let version = self.customers.record(scope, &customer).await?.version;
                    let stamp = Stamp { scope, subject: &customer, sequence: version + 1, at: now };
                    events.push(stamp.customer_erased());
                }
            }
            if next.state != read.body.state {
                tracing::info!(privacy.id = %id, "privacy request {id} is {}", next.state.as_str());
            }
            match self.store.replace(&read, next, events).await {
                Err(store::Error::Stale(_)) => {}
                other => return Ok(other.map(drop)?),
            }
        }
        Err(Error::Busy)
    }

    /// Asks whoever is silent once more. Done by a schedule; of two replicas that look at once, one asks.
    pub async fn ask_again(&self) -> Result<u64> {
        let (mut asked, now) = (0, self.clock.now());
        for read in self.store.silent(now, BATCH).await? {
            let Some(round) = &read.body.round else { continue };
            if now > read.body.due_at && read.body.state == State::Running {
                tracing::error!(privacy.id = %read.id, "privacy request {} is overdue", read.id);
            }
            let sequence = read.version + 1;
            let stamp = Stamp { scope: &read.scope, subject: &read.id, sequence, at: now };
            let events = vec![stamp.privacy_requested(round.order, &round.whose)];
            match self.store.replace(&read, read.body.asked_again(now), events).await {
                Ok(_) => asked += 1,
                Err(store::Error::Stale(_)) => {}
                Err(other) => return Err(other.into()),
            }
        }
        Ok(asked)
    }

    /// Whose data goes into the file of a request for access. That somebody took it is in the trail.
    pub async fn open_file(&self, caller: &Caller, id: &str) -> Result<Whose> {
        let scope = caller.scope()?;
        for _ in 0..TRIES {
            let read = self.store.get(scope, id).await?;
            if !read.body.has_file(self.clock.now()) {
                let text = match (read.body.kind, read.body.state) {
                    (Kind::Access, State::Received | State::Verified | State::Running) => {
                        "the file is not ready yet"
                    }
                    (Kind::Access, State::Completed) => "the file's time is over: ask for a new one",
                    _ => "this request has no file",
                };
                return Err(Error::Refused("file_not_ready", text.into()));
            }
            let whose = self.whose(scope, &read.body.customer_id).await?;
            let sequence = read.version + 1;
            let stamp = Stamp { scope, subject: id, sequence, at: self.clock.now() };
            let events = self.audited(caller, stamp, "privacy_request.download", &read.body);
            match self.store.replace(&read, read.body.clone(), events).await {
                Ok(_) => return Ok(whose),
                Err(store::Error::Stale(_)) => {}
                Err(other) => return Err(other.into()),
            }
        }
        Err(Error::Busy)
    }
}
