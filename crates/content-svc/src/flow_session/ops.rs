//! What a visitor can do: load, decide, save.

use std::sync::Arc;

use kit::{Caller, Code, Fault, Page as ListPage, PageRequest, Scope, SharedClock};
use store::Stored;

use super::billing::Billing;
use super::model::{FlowSession, Pending, State};
use super::store::FlowStore;
use super::tell::changed;
use super::token::{Claims, SESSION, Tokens, Use};
use crate::companies::Companies;
use crate::engine::{Answer, Decision};
use crate::error::Error;
use crate::questionnaire::QuestionnaireContent;
use crate::region_rule::RegionRules;
use crate::versioned::{Content, Pin};
use crate::workflow::{EndOutcome, NodeKind, Page, Workflows};

/// The visits.
#[derive(Clone)]
pub struct FlowSessions {
    pub(super) store: FlowStore,
    pub(super) companies: Companies,
    pub(super) workflows: Workflows,
    pub(super) billing: Arc<dyn Billing>,
    pub(super) rules: RegionRules,
    pub(super) tokens: Tokens,
    pub(super) clock: SharedClock,
}

impl FlowSessions {
    pub fn new(
        store: FlowStore,
        companies: Companies,
        workflows: Workflows,
        billing: Arc<dyn Billing>,
        rules: RegionRules,
        tokens: Tokens,
        clock: SharedClock,
    ) -> Self {
        Self { store, companies, workflows, billing, rules, tokens, clock }
    }

    /// What a token says now.
    pub fn claims(&self, token: &str) -> Result<Claims, Error> {
        Ok(self.tokens.open(token, self.clock.now())?)
    }

    /// A token for a session.
    pub fn session_token(&self, scope: &Scope, id: &str) -> Result<String, Error> {
        let purpose = Use::Session { id: id.to_owned() };
        Ok(self.tokens.seal(scope, purpose, self.clock.now() + SESSION)?)
    }

    /// One visit.
    pub async fn get(&self, scope: &Scope, id: &str) -> Result<Stored<FlowSession>, Error> {
        Ok(self.store.get(scope, id).await?)
    }

    /// Visits, newest first.
    pub async fn list(
        &self,
        caller: &Caller,
        state: Option<State>,
        customer: Option<&str>,
        page: &PageRequest,
    ) -> Result<ListPage<Stored<FlowSession>>, Error> {
        Ok(self.store.list(caller.scope()?, state.map(State::as_str), customer, page).await?)
    }

    /// The page a visit stands at, with what it pins; none for pages of ours.
    pub async fn page(&self, read: &Stored<FlowSession>) -> Result<Option<Page>, Error> {
        let Some(frozen) = self.frozen(&read.scope, &read.body).await? else { return Ok(None) };
        let template = frozen.content.node(&read.body.node).and_then(|n| n.kind.template_id());
        let Some(template) = template else { return Ok(None) };
        Ok(Some(self.workflows.page(&read.scope, &frozen, template).await?))
    }

    /// The frame of the hosted page; none for ours.
    pub async fn frame(&self, read: &Stored<FlowSession>) -> Result<Option<Page>, Error> {
        let Some(frozen) = self.frozen(&read.scope, &read.body).await? else { return Ok(None) };
        let Some(template) = frozen.content.hosted_template_id.as_deref() else { return Ok(None) };
        Ok(Some(self.workflows.page(&read.scope, &frozen, template).await?))
    }

    /// Takes the answers of the page and goes on; `given` reads them by the questions the page asks.
    pub async fn answer(
        &self,
        scope: &Scope,
        id: &str,
        given: impl FnOnce(Option<&Page>) -> Result<Vec<(String, Answer)>, Fault> + Send,
    ) -> Result<Stored<FlowSession>, Error> {
        let read = self.going(scope, id).await?;
        let mut session = read.body.clone();
        session.touch();
        session.notice = None;
        let page = self.page(&read).await?;
        let asked: Vec<_> = page.iter().flat_map(|p| p.questionnaires.iter().map(|q| &q.content)).collect();
        let shown: Vec<_> = page.iter().flat_map(Page::questions_shown).collect();
        let given = given(page.as_ref())?;
        let keys: Vec<String> = given.iter().map(|(key, _)| key.clone()).collect();
        session.answer(given, &asked, &shown).map_err(|f| Error::Answers(f.into_vec()))?;
        for pin in page.iter().flat_map(|p| p.answered(&keys)) {
            session.hear(&pin.id, pin.number, &pin.hash, self.clock.now());
        }
        let next = self.exit(scope, &session, "next").await?;
        if next.is_some() {
            Box::pin(self.advance(&read, &mut session, next.as_deref())).await?;
        }
        Box::pin(self.save(read, session, "answered")).await
    }

    /// Takes the offer of the page; `consent`: the customer agreed to its terms by an act of their own.
    pub async fn accept(
        &self,
        scope: &Scope,
        id: &str,
        offer: &str,
        consent: bool,
    ) -> Result<Stored<FlowSession>, Error> {
        let read = self.store.get(scope, id).await?;
        // The second press of a button: the answer to the first stands.
        let same = |o: &str| o == offer;
        if read.body.taken_offer_id.as_deref().is_some_and(same)
            || matches!(&read.body.pending, Some(Pending::Accept(o)) if same(&o.offer_id))
        {
            return Box::pin(self.settle(read)).await;
        }
        let read = self.going(scope, id).await?;
        let mut session = read.body.clone();
        session.touch();
        let Some(table) = session.offer.clone().filter(|o| same(&o.offer_id)) else {
            return Err(Fault::new(Code::Refused, "offer_not_shown", "this offer is not on the page").into());
        };
        if consent {
            session.consent(self.clock.now());
        } else if session.asks_for_consent() {
            return Err(Error::ConsentMissing);
        }
        session.state = State::Settling;
        session.pending = Some(Pending::Accept(Box::new(table)));
        Box::pin(self.save(read, session, "answered")).await
    }

    /// Declines the offer of the page and goes on.
    pub async fn decline(&self, scope: &Scope, id: &str, offer: &str) -> Result<Stored<FlowSession>, Error> {
        let read = self.going(scope, id).await?;
        let mut session = read.body.clone();
        session.touch();
        session.notice = None;
        let Some(table) = session.offer.clone().filter(|o| o.offer_id == offer) else {
            return Err(Fault::new(Code::Refused, "offer_not_shown", "this offer is not on the page").into());
        };
        let caller = Caller::internal("content-svc", Some(scope.clone()));
        let now = self.clock.now();
        if let Err(e) = self.billing.decline(&caller, &table.redemption_id).await {
            // It lapses with the session; the customer does not wait for it.
            session.note(now, Decision::new(&session.node, "decline_not_told", e.to_string()));
        }
        session.note(now, Decision::new(&session.node, "declined", format!("{} was declined", table.name)));
        let next = self.exit(scope, &session, "declined").await?;
        Box::pin(self.advance(&read, &mut session, next.as_deref())).await?;
        Box::pin(self.save(read, session, "answered")).await
    }

    /// Records the wish to cancel, then carries it out. From every page; twice is once.
    pub async fn cancel(&self, scope: &Scope, id: &str) -> Result<Stored<FlowSession>, Error> {
        loop {
            let read = self.store.get(scope, id).await?;
            let over = matches!(read.body.state, State::Canceled | State::Manual);
            if over || read.body.pending == Some(Pending::Cancel) {
                return Box::pin(self.settle(read)).await;
            }
            let mut session = read.body.clone();
            let now = self.clock.now();
            session.touch();
            session.note(now, Decision::new(&session.node, "wished", "the customer said to cancel"));
            session.wish(now);
            session.offer = None;
            let bye = self.goodbye(scope, &session).await;
            session.show(&bye, now);
            match Box::pin(self.save(read, session, "answered")).await {
                // Somebody else changed the visit meanwhile: the wish is recorded all the same.
                Err(Error::Store(store::Error::Stale(_))) => {}
                other => return other,
            }
        }
    }

    /// The node that ends the flow with the cancellation, for its page; a page of ours where it cannot be read.
    async fn goodbye(&self, scope: &Scope, session: &FlowSession) -> String {
        let frozen = self.frozen(scope, session).await.ok().flatten();
        let canceled = |n: &&crate::workflow::Node| {
            matches!(n.kind, NodeKind::End { outcome: EndOutcome::Canceled, .. })
        };
        let end = frozen.as_ref().and_then(|f| f.content.nodes.iter().find(canceled));
        end.map(|n| n.id.clone()).unwrap_or_default()
    }

    /// The customer leaves without deciding.
    pub async fn close(&self, scope: &Scope, id: &str) -> Result<Stored<FlowSession>, Error> {
        let read = self.store.get(scope, id).await?;
        if !read.body.open || read.body.pending.is_some() {
            return Ok(read);
        }
        let mut session = read.body.clone();
        let (state, verb) = match session.state {
            State::Created => (State::Bounced, "bounced"),
            _ => (State::Abandoned, "abandoned"),
        };
        session.end(state, self.clock.now());
        let read = Box::pin(self.save(read, session, verb)).await?;
        self.lapse(scope, &read).await;
        Ok(read)
    }

    /// A visit that has not ended and is not being settled.
    async fn going(&self, scope: &Scope, id: &str) -> Result<Stored<FlowSession>, Error> {
        let read = self.store.get(scope, id).await?;
        if read.body.state.is_final() || read.body.pending.is_some() {
            return Err(Fault::new(Code::Refused, "session_over", "nothing is left to decide here").into());
        }
        Ok(read)
    }

    /// Saves with the event, then carries out what is pending.
    async fn save(
        &self,
        read: Stored<FlowSession>,
        session: FlowSession,
        verb: &str,
    ) -> Result<Stored<FlowSession>, Error> {
        let event = changed(&read, &session, verb, self.clock.now());
        let saved = self.store.replace(&read, session, vec![event]).await?;
        if saved.body.pending.is_some() { Box::pin(self.settle(saved)).await } else { Ok(saved) }
    }
}

impl Page {
    /// The questionnaires that ask one of these questions, as the page pins them.
    pub fn answered(&self, keys: &[String]) -> Vec<&Pin> {
        let mut found = Vec::new();
        for asked in &self.questionnaires {
            if keys.iter().any(|key| asked.content.question(key).is_some()) {
                let mut pins = self.cards.iter().flat_map(|c| &c.pins);
                found.extend(pins.find(|p| {
                    p.kind == QuestionnaireContent::NOUN && p.id == asked.object_id && p.hash == asked.hash
                }));
            }
        }
        found
    }

    /// The keys of the questions the page has a place for.
    pub fn questions_shown(&self) -> Vec<&str> {
        use crate::card_elements::Props;
        let mut shown = Vec::new();
        for card in &self.cards {
            let Some(asked) = card.content.questionnaire_id.as_deref() else { continue };
            let asked = self.questionnaires.iter().find(|q| q.object_id == asked);
            for piece in card.content.pieces() {
                match &piece.props {
                    Props::QuestionSlot { question } if question.is_empty() => {
                        shown.extend(
                            asked.iter().flat_map(|q| q.content.questions.iter().map(|q| q.key.as_str())),
                        );
                    }
                    Props::QuestionSlot { question } => shown.push(question.as_str()),
                    _ => {}
                }
            }
        }
        shown
    }
}
