//! What can be done with onboardings, by people and by evidence.

use kit::{Caller, Mode, Page, PageRequest, Role, Scope, SharedClock};
use serde_json::{Map, Value, json};
use store::Stored;

use super::model::{Onboarding, Proof, Refusal, State, StepKey};
use super::store::OnboardingStore;
use crate::companies::{Company, CompanyStore};
use crate::error::{Error, Result};
use crate::events::Stamp;
use crate::user_profiles::PeopleStore;

/// How often a write that lost to another is tried again.
const TRIES: usize = 8;

#[derive(Clone)]
pub struct OnboardingDetails {
    store: OnboardingStore,
    companies: CompanyStore,
    people: PeopleStore,
    clock: SharedClock,
}

/// Where an onboarding is written down: under its company's id.
type Read = Stored<Onboarding>;

fn company(caller: &Caller) -> Result<&str> {
    Ok(&caller.scope()?.company)
}

/// An expert may act on content steps only.
fn may_act(caller: &Caller, key: StepKey) -> Result<()> {
    if caller.role == Role::RetExp && !key.is_content() { Err(Error::Forbidden) } else { Ok(()) }
}

/// The fields a company has to fill in before anything else makes sense. The other required ones always have a value.
fn missing(company: &Company) -> Vec<String> {
    let fields = [
        ("name", company.name.is_empty()),
        ("domain", company.domain.is_empty()),
        ("default_currency", company.default_currency.is_empty()),
        ("time_zone", company.time_zone.is_empty()),
        ("locales", company.locales.is_empty()),
    ];
    fields.into_iter().filter(|(_, empty)| *empty).map(|(name, _)| name.to_owned()).collect()
}

fn refused(refusal: Refusal) -> Error {
    match refusal {
        Refusal::Locked => Error::Refused("step_locked", "steps before it are still open"),
        Refusal::EvidenceMissing => {
            Error::Refused("evidence_missing", "nothing that proves the step has been seen yet")
        }
        Refusal::Required => Error::Refused("step_required", "this step cannot be skipped"),
        Refusal::WrongState => {
            Error::Refused("wrong_state", "the step does not stand so that this can be done")
        }
        Refusal::TooMuch => Error::field("data", "struct.size", "may have at most 50 keys and 16 KiB"),
    }
}

impl OnboardingDetails {
    pub fn new(
        store: OnboardingStore,
        companies: CompanyStore,
        people: PeopleStore,
        clock: SharedClock,
    ) -> Self {
        Self { store, companies, people, clock }
    }

    pub async fn get(&self, caller: &Caller) -> Result<Read> {
        self.of(company(caller)?).await
    }

    pub async fn overview(
        &self,
        state: Option<State>,
        expert: Option<&str>,
        page: &PageRequest,
    ) -> Result<Page<Read>> {
        Ok(self.store.list(state, expert, page).await?)
    }

    /// Saves what a person entered in a step, if it still stands at the version they read.
    pub async fn save(
        &self,
        caller: &Caller,
        key: StepKey,
        version: i64,
        data: Map<String, Value>,
    ) -> Result<Read> {
        let read = self.get(caller).await?;
        if read.version != version {
            return Err(store::Error::Stale("onboarding").into());
        }
        let next = read.body.saved(key, data, self.clock.now()).map_err(refused)?;
        self.write(caller, &read, next, Some(key), "onboarding.save").await
    }

    /// Completes a step whose evidence holds; the company's own record is looked at anew.
    pub async fn complete(&self, caller: &Caller, key: StepKey) -> Result<Read> {
        may_act(caller, key)?;
        if key == StepKey::CompanyProfile {
            self.company_changed(company(caller)?).await?;
        }
        let by = caller.actor.id.clone();
        self.act(caller, key, "onboarding.complete", |o, now| o.completed(key, &by, now)).await
    }

    pub async fn skip(&self, caller: &Caller, key: StepKey) -> Result<Read> {
        may_act(caller, key)?;
        let by = caller.actor.id.clone();
        self.act(caller, key, "onboarding.skip", |o, now| o.skipped(key, &by, now)).await
    }

    pub async fn reopen(&self, caller: &Caller, key: StepKey) -> Result<Read> {
        may_act(caller, key)?;
        self.act(caller, key, "onboarding.reopen", |o, now| o.reopened(key, now)).await
    }

    /// Names the expert who goes along: an active one of this company.
    pub async fn assign_expert(&self, caller: &Caller, user_id: &str) -> Result<Read> {
        let scope = Scope::new(company(caller)?, Mode::Live);
        let is_expert = match self.people.member(&scope, user_id).await {
            Ok(member) => member.body.is_active() && member.body.role == Role::RetExp,
            Err(store::Error::NotFound(_)) => false,
            Err(e) => return Err(e.into()),
        };
        if !is_expert {
            return Err(Error::field("user_id", "expert.unknown", "is no active expert of this company"));
        }
        for _ in 0..TRIES {
            let read = self.get(caller).await?;
            let next = Onboarding { expert_id: Some(user_id.to_owned()), ..read.body.clone() };
            match self.write(caller, &read, next, None, "onboarding.assign_expert").await {
                Err(Error::Store(store::Error::Stale(_))) => {}
                other => return other,
            }
        }
        Err(store::Error::Busy.into())
    }

    async fn act(
        &self,
        caller: &Caller,
        key: StepKey,
        action: &str,
        decide: impl Fn(&Onboarding, kit::Timestamp) -> std::result::Result<Onboarding, Refusal>,
    ) -> Result<Read> {
        for _ in 0..TRIES {
            let read = self.get(caller).await?;
            let next = decide(&read.body, self.clock.now()).map_err(refused)?;
            if next == read.body {
                return Ok(read);
            }
            match self.write(caller, &read, next, Some(key), action).await {
                // Evidence came in meanwhile: decide anew.
                Err(Error::Store(store::Error::Stale(_))) => {}
                other => return other,
            }
        }
        Err(store::Error::Busy.into())
    }

    async fn write(
        &self,
        caller: &Caller,
        read: &Read,
        next: Onboarding,
        key: Option<StepKey>,
        action: &str,
    ) -> Result<Read> {
        let scope = Scope::new(&read.id, Mode::Live);
        let at = self.clock.now();
        let stamp = Stamp { scope: &scope, subject: &read.id, sequence: read.version + 1, at };
        let (before, after) = (shown(&read.body, key), shown(&next, key));
        let events = stamp.audited(caller, "onboarding", action, Some(&before), Some(&after));
        Ok(self.store.replace(read, next, events.into_iter().collect()).await?)
    }

    /// The company's onboarding, begun where there is none yet.
    async fn of(&self, company: &str) -> Result<Read> {
        if let Some(read) = self.store.find(company).await? {
            return Ok(read);
        }
        let Stored { id, version, body, .. } = self.companies.get(company).await?;
        let new = Onboarding::new(body.name.clone());
        let new = new.profile(&body.name, missing(&body), version, self.clock.now());
        match self.store.insert(&id, new).await {
            // Begun by somebody else just now.
            Err(store::Error::Duplicate(_)) => {
                self.store.find(company).await?.ok_or(store::Error::NotFound("onboarding").into())
            }
            other => Ok(other?),
        }
    }

    /// The company's record changed: which required fields it lacks is looked up, not told.
    pub async fn company_changed(&self, company: &str) -> Result<()> {
        let Stored { version, body, .. } = self.companies.get(company).await?;
        let at = self.clock.now();
        self.learn(company, |o| o.profile(&body.name, missing(&body), version, at)).await
    }

    /// Evidence came in.
    pub async fn seen(&self, company: &str, proofs: Vec<Proof>) -> Result<()> {
        if proofs.is_empty() {
            return Ok(());
        }
        let now = self.clock.now();
        self.learn(company, |o| proofs.iter().fold(o.clone(), |o, p| o.seen(p.clone(), now))).await
    }

    /// Somebody is no member any more.
    pub async fn person_removed(&self, company: &str, user_id: &str) -> Result<()> {
        self.learn(company, |o| match &o.expert_id {
            Some(expert) if expert == user_id => Onboarding { expert_id: None, ..o.clone() },
            _ => o.clone(),
        })
        .await
    }

    async fn learn(&self, company: &str, change: impl Fn(&Onboarding) -> Onboarding) -> Result<()> {
        for _ in 0..TRIES {
            let read = self.of(company).await?;
            let next = change(&read.body);
            if next == read.body {
                return Ok(());
            }
            let (was, is) = (read.body.state, next.state);
            match self.store.replace(&read, next, Vec::new()).await {
                Err(store::Error::Stale(_)) => {}
                Err(e) => return Err(e.into()),
                Ok(_) => {
                    if was != is {
                        let (was, is) = (was.as_str(), is.as_str());
                        tracing::info!(
                            company.id = company,
                            "onboarding of {company} went from {was} to {is}"
                        );
                    }
                    return Ok(());
                }
            }
        }
        Err(store::Error::Busy.into())
    }
}

/// What the audit trail keeps: never what people entered.
fn shown(o: &Onboarding, key: Option<StepKey>) -> Value {
    match key.and_then(|key| o.step(key)) {
        Some(step) => {
            let fields: Vec<_> = step.data.keys().collect();
            json!({ "step": step.key.as_str(), "state": step.state.as_str(), "fields": fields })
        }
        None => json!({ "expert_id": o.expert_id }),
    }
}
