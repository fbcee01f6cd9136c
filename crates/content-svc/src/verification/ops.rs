//! Asking for a code, giving it back, and the wish where neither helps.

use std::sync::Arc;

use aws_lc_rs::{hmac, rand};
use kit::{Caller, Code, Coded as _, ExposeSecret, Fault, Mode, Outgoing, Scope, SecretString, SharedClock};
use store::Stored;

use super::model::{Answer, CODE, Next, Verification};
use super::people::{Company, Found, People, Who};
use super::store::VerificationStore;
use crate::error::Error;
use crate::events;
use crate::flow_session::FlowSessions;

/// What somebody sent.
#[derive(Clone, Debug)]
pub struct Asking {
    /// As in the address.
    pub company: String,
    pub who: Who,
    pub mode: Mode,
    pub subscription: String,
    pub locale: String,
}

/// The verifications.
#[derive(Clone)]
pub struct Verifications {
    store: VerificationStore,
    people: Arc<dyn People>,
    flows: FlowSessions,
    key: hmac::Key,
    clock: SharedClock,
}

impl Verifications {
    /// The key of the hashes is derived from the process's secret, so that replicas agree.
    pub fn new(
        store: VerificationStore,
        people: Arc<dyn People>,
        flows: FlowSessions,
        secret: &SecretString,
        clock: SharedClock,
    ) -> Self {
        let master = hmac::Key::new(hmac::HMAC_SHA256, secret.expose_secret().trim().as_bytes());
        let derived = hmac::sign(&master, b"retention hosted verifications 1");
        Self { store, people, flows, key: hmac::Key::new(hmac::HMAC_SHA256, derived.as_ref()), clock }
    }

    /// The company of an address.
    pub async fn company(&self, key: &str) -> Result<Company, Error> {
        Ok(self.people.company(key).await?.ok_or_else(|| Fault::not_found("company"))?)
    }

    /// Sends a code, the first or the second; then takes the wish. What is answered says nothing about who is a customer.
    pub async fn ask(&self, asking: &Asking) -> Result<Answer, Error> {
        let scope = Scope::new(self.company(&asking.company).await?.id, asking.mode);
        let found = self.people.customers(&scope, &asking.who).await?;
        let id = self.id(&asking.who);
        loop {
            let read = self.store.find(&scope, &id).await?;
            let code = digits()?;
            let (ids, now) = (found.iter().map(|f| f.customer_id.clone()).collect(), self.clock.now());
            let hash = self.hash(&id, &code);
            let next =
                Verification::next(read.as_ref().map(|r| &r.body), ids, hash, kit::id::new("rnd"), now);
            let (Next::Send(next), reachable) = (next, found.iter().find(|f| f.reachable)) else {
                if let Some(read) = &read {
                    self.take_wish(read).await?;
                }
                return Ok(Answer::Manual);
            };
            let events = reachable.map(|to| self.mail(&scope, &id, &next, to, &code)).into_iter().collect();
            match self.store.put(&scope, &id, read.as_ref(), next, events).await {
                // Somebody asked for the same at the same time.
                Err(store::Error::Stale(_) | store::Error::Duplicate(_)) => {}
                Err(e) => return Err(e.into()),
                Ok(put) => {
                    if reachable.is_none() && !found.is_empty() {
                        // The code goes nowhere, and the answer must not say so.
                        self.take_wish(&put).await?;
                    }
                    return Ok(put.body.told());
                }
            }
        }
    }

    /// Trades the code for the way in.
    pub async fn verify(&self, asking: &Asking, code: &str) -> Result<Answer, Error> {
        let wrong =
            || Fault::new(Code::Unauthenticated, "wrong_code", "the code is wrong, or its time is over");
        let scope = Scope::new(self.company(&asking.company).await?.id, asking.mode);
        let id = self.id(&asking.who);
        let code: String = code.chars().filter(char::is_ascii_digit).collect();
        let hash = self.hash(&id, &code);
        let read = self.store.find(&scope, &id).await?.ok_or_else(wrong)?;
        if !read.body.fits(&hash, self.clock.now()) {
            // Counts the try.
            self.store.take(&scope, &id, &hash).await?;
            return Err(wrong().into());
        }
        // Before the code is used up: who has several subscriptions says which, with the same code.
        let (token, until) = self.way_in(&scope, &read.body.customer_ids, asking).await?;
        if !self.store.take(&scope, &id, &hash).await? {
            return Err(wrong().into());
        }
        Ok(Answer::Verified { token, until })
    }

    /// A start token for the first of them who has something to cancel.
    async fn way_in(
        &self,
        scope: &Scope,
        customers: &[String],
        asking: &Asking,
    ) -> Result<(String, kit::Timestamp), Error> {
        let caller = Caller::internal("content-svc", Some(scope.clone()));
        let Asking { subscription, locale, .. } = asking;
        let mut last = Error::from(Fault::not_found("subscription"));
        for customer in customers {
            match self.flows.issue(&caller, customer, subscription, locale.clone(), String::new()).await {
                Ok(issued) => return Ok(issued),
                Err(e) if e.code().0 == Code::NotFound => {}
                Err(e) => last = e,
            }
        }
        Err(last)
    }

    /// Takes the wish of somebody who knew the code and has nothing that can be canceled by itself.
    pub async fn wish(&self, asking: &Asking) -> Result<Answer, Error> {
        let scope = Scope::new(self.company(&asking.company).await?.id, asking.mode);
        if let Some(read) = self.store.find(&scope, &self.id(&asking.who)).await? {
            self.take_wish(&read).await?;
        }
        Ok(Answer::Manual)
    }

    /// A code's mail could not be sent. Twice is once.
    pub async fn undeliverable(&self, scope: &Scope, key: &str) -> Result<(), Error> {
        let Some((id, round)) = named_in(key) else { return Ok(()) };
        match self.store.find(scope, id).await? {
            Some(read) if read.body.round == round && !read.body.used => self.take_wish(&read).await,
            _ => Ok(()),
        }
    }

    /// Records the wish of everybody who may be meant. Twice is once: the visit goes by the round.
    async fn take_wish(&self, read: &Stored<Verification>) -> Result<(), Error> {
        if read.body.wished_at.is_some() {
            return Ok(());
        }
        for customer in &read.body.customer_ids {
            let key = format!("{}/{customer}", read.body.round);
            self.flows.wish_by_hand(&read.scope, customer, &key).await?;
        }
        Ok(self.store.wished(read).await?)
    }

    fn mail(&self, scope: &Scope, id: &str, next: &Verification, to: &Found, code: &str) -> Outgoing {
        let key = format!("hosted_code/{id}/{}/{}", next.round, next.sent);
        let minutes = CODE.as_mins();
        events::code_mail(scope, self.clock.now(), id, next.sent, &to.customer_id, key, code, minutes)
    }

    fn id(&self, who: &Who) -> String {
        let (kind, text) = match who {
            Who::Email(email) => ("email", email),
            Who::Customer(id) => ("customer", id),
        };
        format!("hvf_{}", &self.mac(&format!("{kind}/{text}"))[..32])
    }

    fn hash(&self, id: &str, code: &str) -> String {
        self.mac(&format!("code/{id}/{code}"))
    }

    fn mac(&self, text: &str) -> String {
        hex::encode(hmac::sign(&self.key, text.as_bytes()).as_ref())
    }
}

/// The verification and its round in a mail's key.
fn named_in(key: &str) -> Option<(&str, &str)> {
    let mut parts = key.strip_prefix("hosted_code/")?.split('/');
    Some((parts.next()?, parts.next()?))
}

/// Six digits, each as likely as another.
fn digits() -> Result<String, Fault> {
    let mut bytes = [0_u8; 8];
    let failed = |_| Fault::internal(anyhow::anyhow!("the system has no randomness"));
    rand::fill(&mut bytes).map_err(failed)?;
    // Of 2^64 numbers: what is left over is far below what could be noticed.
    Ok(format!("{:06}", u64::from_le_bytes(bytes) % 1_000_000))
}
