//! What can be done with workflows, and what the engine asks of them.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use kit::{Caller, Fault, Scope};
use moka::sync::Cache;

use super::check::{Page, check};
use super::model::{Trigger, WorkflowContent, WorkflowHead};
use crate::cards::Cards;
use crate::error::Error;
use crate::offers::Offers;
use crate::questionnaire::Questionnaires;
use crate::template::{TemplateContent, Templates};
use crate::text::Findings;
use crate::versioned::{Content, Frozen, Objects, Pin, Published, View, publishable};

/// How long the workflows in use are believed at most; the event drops them earlier.
const IN_USE_LIFE: Duration = Duration::from_secs(5);

type InUse = Arc<Vec<Published<WorkflowContent>>>;

/// The workflows.
#[derive(Clone)]
pub struct Workflows {
    /// What is the same for every kind of content: reading, editing, rolling back, archiving.
    pub objects: Objects<WorkflowContent>,
    pub(super) templates: Templates,
    pub(super) cards: Cards,
    pub(super) questionnaires: Questionnaires,
    offers: Arc<dyn Offers>,
    in_use: Cache<(Scope, Trigger), InUse>,
}

impl Workflows {
    pub fn new(
        objects: Objects<WorkflowContent>,
        templates: Templates,
        cards: Cards,
        questionnaires: Questionnaires,
        offers: Arc<dyn Offers>,
    ) -> Self {
        let in_use = Cache::builder().max_capacity(10_000).time_to_live(IN_USE_LIFE).build();
        Self { objects, templates, cards, questionnaires, offers, in_use }
    }

    /// A new workflow, in draft, behind every other.
    pub async fn create(
        &self,
        caller: &Caller,
        name: String,
        content: WorkflowContent,
    ) -> Result<View<WorkflowContent>, Error> {
        let others = self.objects.all(caller.scope()?).await?;
        let last = others.iter().map(|o| o.body.head.priority).max().unwrap_or(0);
        let head = WorkflowHead { priority: last + 1, paused: false };
        self.objects.create(caller, name, head, content).await
    }

    /// What publishing would say.
    pub async fn validate(&self, caller: &Caller, id: &str) -> Result<Findings, Error> {
        let scope = caller.scope()?;
        let working = self.objects.working(scope, id).await?;
        Ok(self.checked(caller, scope, &working).await?.0)
    }

    /// What publishing would say of any content, such as that of an older version.
    pub async fn look_over(&self, caller: &Caller, content: &WorkflowContent) -> Result<Findings, Error> {
        Ok(self.checked(caller, caller.scope()?, content).await?.0)
    }

    /// The pages a content shows, as they are published now, by template.
    pub async fn pages_now(
        &self,
        scope: &Scope,
        content: &WorkflowContent,
    ) -> Result<HashMap<String, Page>, Error> {
        self.pages(scope, &content.template_ids()).await
    }

    /// The pages a frozen version pins, by template.
    pub async fn pages_pinned(
        &self,
        scope: &Scope,
        frozen: &Frozen<WorkflowContent>,
    ) -> Result<HashMap<String, Page>, Error> {
        let mut pages = HashMap::new();
        for pin in frozen.pins.iter().filter(|p| p.kind == "template") {
            pages.insert(pin.id.clone(), self.page(scope, frozen, &pin.id).await?);
        }
        Ok(pages)
    }

    /// Freezes the draft, pins its templates at their published versions, and serves it from now on.
    pub async fn publish(
        &self,
        caller: &Caller,
        id: &str,
        version: i64,
        note: String,
    ) -> Result<View<WorkflowContent>, Error> {
        let (read, content) = self.objects.to_publish(caller, id, version).await?;
        let (found, pins) = self.checked(caller, &read.scope, &content).await?;
        let warnings = publishable(found)?;
        let frozen = Frozen::new(id, content, pins).map_err(Fault::internal)?;
        let head = WorkflowHead { paused: false, ..read.body.head.clone() };
        let view = self.objects.publish(caller, &read, Some(head), frozen, note).await?;
        self.forget(&read.scope);
        Ok(View { warnings, ..view })
    }

    /// Makes a copy of an old version the one in use.
    pub async fn rollback(
        &self,
        caller: &Caller,
        id: &str,
        version: i64,
        number: u32,
        note: String,
    ) -> Result<View<WorkflowContent>, Error> {
        let view = self.objects.rollback(caller, id, version, number, note).await?;
        self.forget(caller.scope()?);
        Ok(view)
    }

    /// Starts no new session with it, or does so again.
    pub async fn pause(
        &self,
        caller: &Caller,
        id: &str,
        resume: bool,
    ) -> Result<View<WorkflowContent>, Error> {
        let (act, verb) = if resume { ("resume", "resumed") } else { ("pause", "paused") };
        let view = self.objects.change(caller, id, act, verb, |o| o.head.paused = !resume).await?;
        self.forget(caller.scope()?);
        Ok(view)
    }

    /// Takes it out of use.
    pub async fn archive(&self, caller: &Caller, id: &str) -> Result<View<WorkflowContent>, Error> {
        let view = self.objects.archive(caller, id).await?;
        self.forget(caller.scope()?);
        Ok(view)
    }

    /// Puts workflows into this order; those not named follow in the order they had.
    pub async fn order(&self, caller: &Caller, ids: &[String]) -> Result<Vec<View<WorkflowContent>>, Error> {
        let scope = caller.scope()?;
        let mut all = self.objects.all(scope).await?;
        if let Some(unknown) = ids.iter().find(|id| !all.iter().any(|o| o.id == **id)) {
            return Err(Fault::field("ids", "unknown", format!("there is no workflow {unknown}")).into());
        }
        let rank = |id: &str| ids.iter().position(|i| i == id).unwrap_or(usize::MAX);
        all.sort_by_key(|o| (rank(&o.id), o.body.head.priority, o.id.clone()));
        let mut ordered = Vec::new();
        for (priority, object) in (1..).zip(&all) {
            let change = |o: &mut crate::versioned::Object<WorkflowHead, WorkflowContent>| {
                o.head.priority = priority;
            };
            ordered.push(self.objects.change(caller, &object.id, "order", "ordered", change).await?);
        }
        self.forget(scope);
        Ok(ordered)
    }

    /// The workflows that serve a trigger, first in order first; the first whose audience fits is the one to start.
    /// From memory where they are there.
    pub async fn published(&self, scope: &Scope, trigger: Trigger) -> Result<InUse, Error> {
        let key = (scope.clone(), trigger);
        if let Some(found) = self.in_use.get(&key) {
            return Ok(found);
        }
        let mut stored = self.objects.in_use(scope, "trigger", trigger.as_str()).await?;
        stored.retain(|o| !o.body.head.paused);
        stored.sort_by_key(|o| (o.body.head.priority, o.id.clone()));
        let mut found = Vec::with_capacity(stored.len());
        for object in &stored {
            found.extend(self.objects.as_published(object).await?);
        }
        let found = Arc::new(found);
        self.in_use.insert(key, found.clone());
        Ok(found)
    }

    /// A frozen version: what a session pinned at its start.
    pub async fn version(
        &self,
        scope: &Scope,
        id: &str,
        hash: &str,
    ) -> Result<Arc<Frozen<WorkflowContent>>, Error> {
        self.objects.version(scope, id, hash).await
    }

    /// A page as a frozen workflow pins it, with its cards and questionnaires; from memory where they are there.
    pub async fn page(
        &self,
        scope: &Scope,
        workflow: &Frozen<WorkflowContent>,
        id: &str,
    ) -> Result<Page, Error> {
        let pin = workflow.pin("template", id).ok_or_else(|| Fault::not_found("page of this workflow"))?;
        let template = self.templates.version(scope, id, &pin.hash).await?;
        self.with_cards(scope, pin.clone(), template).await
    }

    /// The page a frozen template makes, with what it pins.
    pub async fn page_of(
        &self,
        scope: &Scope,
        template: Arc<Frozen<TemplateContent>>,
        number: u32,
    ) -> Result<Page, Error> {
        let pin = Pin {
            kind: TemplateContent::NOUN.into(),
            id: template.object_id.clone(),
            number,
            hash: template.hash.clone(),
        };
        self.with_cards(scope, pin, template).await
    }

    /// Drops what is believed to be in use.
    pub fn forget(&self, scope: &Scope) {
        for trigger in Trigger::ALL {
            self.in_use.invalidate(&(scope.clone(), trigger));
        }
    }

    /// Everything the checks say, and the pins that publishing would take.
    async fn checked(
        &self,
        caller: &Caller,
        scope: &Scope,
        content: &WorkflowContent,
    ) -> Result<(Findings, Vec<Pin>), Error> {
        let (offers, templates) = (content.offer_ids(), content.template_ids());
        let (offers, pages) =
            tokio::join!(self.offers.look_up(caller, &offers), self.pages(scope, &templates));
        let pages = pages?;
        let found = check(content, &pages, &offers?);
        let mut pins: Vec<Pin> = pages.into_values().map(|p| p.pin).collect();
        pins.sort_by(|a, b| a.id.cmp(&b.id));
        Ok((found, pins))
    }

    /// The published pages of these templates, by id; those that have none are left out.
    async fn pages(&self, scope: &Scope, ids: &[&str]) -> Result<HashMap<String, Page>, Error> {
        let mut pages = HashMap::new();
        for template in self.templates.objects.newest(scope, ids).await? {
            let page = self.with_cards(scope, Pin::of(&template), template.frozen.clone()).await?;
            pages.insert(template.id, page);
        }
        Ok(pages)
    }

    async fn with_cards(
        &self,
        scope: &Scope,
        pin: Pin,
        template: Arc<Frozen<TemplateContent>>,
    ) -> Result<Page, Error> {
        let mut cards = Vec::new();
        let mut questionnaires = Vec::new();
        for id in template.content.card_ids() {
            let Some(pin) = template.pin("card", id) else { continue };
            let card = self.cards.version(scope, id, &pin.hash).await?;
            for pin in card.pins.iter().filter(|p| p.kind == "questionnaire") {
                questionnaires.push(self.questionnaires.version(scope, &pin.id, &pin.hash).await?);
            }
            cards.push(card);
        }
        Ok(Page { pin, template, cards, questionnaires })
    }
}
