//! What is done with campaigns.

use kit::{Caller, Code, Fault, Page, PageRequest, Role, Scope, SharedClock};
use serde_json::json;
use store::Stored;

use super::case::Pin;
use super::model::{Campaign, Change, Draft, Plan, Status, StepKind};
use super::store::{CampaignFilter, CampaignStore, Membership};
use crate::error::{Error, Result};
use crate::events::Stamp;
use crate::offer::{CodePolicy, Offers, State as OfferState};

/// The use cases of campaigns.
#[derive(Clone)]
pub struct Campaigns {
    store: CampaignStore,
    offers: Offers,
    clock: SharedClock,
}

impl Campaigns {
    pub fn new(store: CampaignStore, offers: Offers, clock: SharedClock) -> Self {
        Self { store, offers, clock }
    }

    pub async fn list(
        &self,
        caller: &Caller,
        filter: &CampaignFilter,
        page: &PageRequest,
    ) -> Result<Page<Stored<Campaign>>> {
        Ok(self.store.list(caller.scope()?, filter, page).await?)
    }

    pub async fn get(&self, scope: &Scope, id: &str) -> Result<Stored<Campaign>> {
        Ok(self.store.get(scope, id).await?)
    }

    /// Creates a draft.
    pub async fn create(&self, caller: &Caller, draft: Draft) -> Result<Stored<Campaign>> {
        let scope = caller.scope()?;
        let campaign = draft.campaign().map_err(Error::Wrong)?;
        let id = kit::id::new("rcm");
        let stamp = Stamp { scope, subject: &id, sequence: 1, at: self.clock.now() };
        let audit = stamp.audited(
            caller,
            "recovery_campaign",
            "recovery_campaign.create",
            None,
            Some(&summary(&campaign)),
        );
        Ok(self.store.insert(scope, id, campaign, audit.into_iter().collect()).await?)
    }

    /// Changes a campaign, if it still has the version that was read, and moves it to another status where one is
    /// given. `change` makes the new draft from the old campaign.
    pub async fn update(
        &self,
        caller: &Caller,
        id: &str,
        version: i64,
        change: impl FnOnce(&Campaign) -> Result<Change> + Send,
    ) -> Result<Stored<Campaign>> {
        let read = self.store.get(caller.scope()?, id).await?;
        if read.version != version {
            return Err(Error::Stale);
        }
        if read.body.status == Status::Archived {
            return Err(Error::Refused("campaign_archived", "an archived campaign does not change".into()));
        }
        let Change { draft, status } = change(&read.body)?;
        let to = status.unwrap_or(read.body.status);
        let moves = to != read.body.status;
        if moves && !read.body.status.leads_to(to) {
            let text =
                format!("a campaign that is {} cannot become {}", read.body.status.as_str(), to.as_str());
            return Err(Error::Refused("wrong_state", text));
        }
        let next = read.body.changed(draft).map_err(Error::Wrong)?.moved(to);
        if next == read.body {
            return Ok(read);
        }
        let live = moves || to == Status::Active;
        if live && caller.role == Role::RetExp && !caller.has("publish_live") {
            let text = "what customers get is changed by a retention admin, or with the grant publish_live";
            return Err(Fault::new(Code::Forbidden, "forbidden", text).into());
        }
        if to == Status::Active {
            self.check_ready(&read.scope, &next).await?;
            // Before the campaign says so: a case that begins must find it.
            self.store.keep_plan(&read.scope, id, &next.plan).await?;
        }
        let action = match (moves, to) {
            (true, Status::Active) => "recovery_campaign.activate",
            (true, Status::Paused) => "recovery_campaign.pause",
            (true, Status::Archived) => "recovery_campaign.archive",
            (true, Status::Draft) | (false, _) => "recovery_campaign.update",
        };
        let stamp =
            Stamp { scope: &read.scope, subject: id, sequence: read.version + 1, at: self.clock.now() };
        let (before, after) = (summary(&read.body), summary(&next));
        let audit = stamp.audited(caller, "recovery_campaign", action, Some(&before), Some(&after));
        match self.store.replace(&read, next, audit.into_iter().collect()).await {
            Err(store::Error::Duplicate(_)) => {
                let text =
                    "another active campaign is for one of these personas, or for everybody as this one";
                Err(Error::Refused("persona_taken", text.into()))
            }
            other => Ok(other?),
        }
    }

    /// What must be there before customers are contacted.
    async fn check_ready(&self, scope: &Scope, campaign: &Campaign) -> Result<()> {
        if let Some((slug, text)) = campaign.not_ready() {
            return Err(Error::Refused(slug, text.into()));
        }
        for (n, step) in campaign.plan.steps.iter().enumerate() {
            if step.kind != StepKind::LastChanceOffer {
                continue;
            }
            let path = format!("plan.steps[{n}]");
            let offer = match self.offers.get(scope, &step.offer_id).await {
                Err(Error::Store(store::Error::NotFound(_))) => {
                    let text = "there is no such offer";
                    return Err(Error::field(&format!("{path}.offer_id"), "unknown_offer", text));
                }
                other => other?,
            };
            if offer.body.state != OfferState::Active {
                let text = format!("the offer is {}", offer.body.state.as_str());
                return Err(Error::Refused("offer_not_active", text));
            }
            if offer.body.code_policy == CodePolicy::None && step.link.is_empty() {
                let text = "an offer without codes needs a link to where the customer takes it";
                return Err(Error::field(&format!("{path}.link"), "required", text));
            }
        }
        Ok(())
    }

    /// The campaign for a customer in these personas.
    pub(super) async fn for_customer(
        &self,
        scope: &Scope,
        personas: &[String],
    ) -> Result<Option<(Pin, Plan)>> {
        let active = self.store.active(scope).await?;
        let Some(found) = active.into_iter().find(|c| c.body.is_for(personas)) else { return Ok(None) };
        let plan_hash = found.body.plan.hash();
        Ok(Some((Pin { campaign_id: found.id, number: found.body.number, plan_hash }, found.body.plan)))
    }

    pub(super) async fn plan(&self, scope: &Scope, pin: &Pin) -> Result<Plan> {
        Ok(self.store.plan(scope, &pin.campaign_id, &pin.plan_hash).await?)
    }

    /// Whether its cases wait.
    pub(super) async fn is_paused(&self, scope: &Scope, id: &str) -> Result<bool> {
        Ok(self.store.get(scope, id).await?.body.status == Status::Paused)
    }

    pub(super) async fn personas(&self, scope: &Scope, customer_id: &str) -> Result<Vec<String>> {
        Ok(self.store.personas(scope, customer_id).await?)
    }

    /// Keeps what analytics told of a customer and a persona.
    pub async fn told(&self, scope: &Scope, membership: Membership) -> Result<()> {
        Ok(self.store.keep_membership(scope, membership).await?)
    }
}

/// What the audit trail keeps of a campaign: its texts are there by their hash.
fn summary(c: &Campaign) -> serde_json::Value {
    let steps = c.plan.steps.iter().map(|s| json!({ "kind": s.kind.as_str(), "day": s.day }));
    json!({
        "name": c.name,
        "status": c.status.as_str(),
        "number": c.number,
        "priority": c.priority,
        "persona_ids": c.persona_ids,
        "steps": steps.collect::<Vec<_>>(),
        "plan_hash": c.plan.hash(),
        "max_mails": c.plan.max_mails,
        "give_up_after_days": c.plan.give_up_after_days,
    })
}
