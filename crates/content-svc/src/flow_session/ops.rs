//! What a visitor can do: load, decide, save.

use std::sync::Arc;

use kit::{Caller, Code, Fault, Page as ListPage, PageRequest, Scope, SharedClock};
use store::Stored;

use super::billing::{Billing, Segments, Visitor};
use super::model::{FlowRef, FlowSession, Pending, State};
use super::store::FlowStore;
use super::tell::changed;
use super::token::{Claims, SESSION, START, Tokens, Use};
use crate::engine::{Answer, Decision, Known, choose_workflow};
use crate::error::Error;
use crate::versioned::Published;
use crate::workflow::{EndOutcome, NodeKind, Page, Reentry, Trigger, WorkflowContent, Workflows};

/// The visits.
#[derive(Clone)]
pub struct FlowSessions {
    pub(super) store: FlowStore,
    pub(super) workflows: Workflows,
    pub(super) billing: Arc<dyn Billing>,
    pub(super) tokens: Tokens,
    pub(super) clock: SharedClock,
}

impl FlowSessions {
    pub fn new(
        store: FlowStore,
        workflows: Workflows,
        billing: Arc<dyn Billing>,
        tokens: Tokens,
        clock: SharedClock,
    ) -> Self {
        Self { store, workflows, billing, tokens, clock }
    }

    /// A start token for one customer and one subscription, and when its time is over.
    pub async fn issue(
        &self,
        caller: &Caller,
        customer: &str,
        subscription: &str,
        locale: String,
    ) -> Result<(String, kit::Timestamp), Error> {
        let scope = caller.scope()?;
        let visitor = self.billing.visitor(caller, customer, subscription).await?;
        let expires = self.clock.now() + START;
        let locale = if locale.is_empty() { visitor.locale } else { locale };
        let purpose =
            Use::Start { customer: visitor.customer_id, subscription: visitor.subscription_id, locale };
        Ok((self.tokens.seal(scope, purpose, expires)?, expires))
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

    /// Starts the flow a token leads to, or resumes the open visit of its subscription.
    pub async fn start(&self, token: &str, locale: &str) -> Result<Stored<FlowSession>, Error> {
        let claims = self.claims(token)?;
        let scope = claims.scope();
        let Use::Start { customer, subscription, locale: own } = claims.purpose else {
            return Err(Fault::new(Code::Unauthenticated, "invalid_token", "this is no start token").into());
        };
        if self.store.started_by(&scope, &claims.id).await?.is_some() {
            return Err(Fault::new(Code::Refused, "token_used", "this link was used before").into());
        }
        if let Some(open) = self.store.open_for(&scope, &subscription).await? {
            let mut session = open.body.clone();
            session.starts.push(claims.id);
            return Ok(self.store.replace(&open, session, Vec::new()).await?);
        }
        let locale = if locale.is_empty() { own } else { locale.to_owned() };
        let id = kit::id::new("fls");
        let mut session = self.welcome(&scope, customer, subscription, locale).await?;
        session.starts.push(claims.id);
        let now = self.clock.now();
        let read = Stored {
            id: id.clone(),
            scope: scope.clone(),
            version: 0,
            created_at: now,
            updated_at: now,
            body: session.clone(),
        };
        let start = self.frozen(&scope, &session).await?.map(|f| f.content.start.clone());
        Box::pin(self.advance(&read, &mut session, start.as_deref())).await?;
        let event = changed(&read, &session, "started", now);
        match self.store.insert(&scope, id, session, vec![event]).await {
            // Two starts at once: one opened it, this one resumes it.
            Err(store::Error::Duplicate(_)) => {
                let open = self.store.open_for(&scope, &read.body.subscription_id).await?;
                Ok(open.ok_or(Error::Stale)?)
            }
            other => Ok(other?),
        }
    }

    /// Who is here, what is known of them, and which flow is theirs. A service that does not answer costs the customer
    /// nothing but the offers.
    async fn welcome(
        &self,
        scope: &Scope,
        customer: String,
        subscription: String,
        locale: String,
    ) -> Result<FlowSession, Error> {
        let caller = Caller::internal("content-svc", Some(scope.clone()));
        let (visitor, segments) = tokio::join!(
            self.billing.visitor(&caller, &customer, &subscription),
            self.billing.segments(&caller, &customer),
        );
        let now = self.clock.now();
        let mut why = Vec::new();
        let mut or_nothing = |what: &str, failed: &Fault| {
            tracing::warn!(error = %failed, "{what} does not answer; the flow goes on without");
            why.push(Decision::new("", "went_without", format!("{what} did not answer")));
        };
        let known_visitor = visitor.is_ok();
        let visitor = visitor.unwrap_or_else(|e| {
            or_nothing("billing", &e);
            Visitor::default()
        });
        let segments = segments.unwrap_or_else(|e| {
            or_nothing("analytics", &e);
            Segments::default()
        });
        let Visitor { subject, mut facts, .. } = visitor;
        facts.extend(segments.facts);
        let country = subject.country.to_ascii_uppercase();
        let mut regions = vec![country.clone()];
        if EU.contains(&country.as_str()) {
            regions.push("EU".into());
        }
        regions.retain(|r| !r.is_empty());
        let known = Known { personas: segments.personas, facts, regions, ..Known::default() };
        let mut session = FlowSession {
            customer_id: customer,
            subscription_id: subscription,
            starts: Vec::new(),
            subject,
            flow: None,
            known,
            locale: if locale.is_empty() { "en".into() } else { locale },
            holdout: segments.holdout,
            max_discount_percent: segments.max_discount_percent,
            allowed_kinds: segments.allowed_kinds,
            state: State::Created,
            open: true,
            node: String::new(),
            offer: None,
            pending: None,
            notice: None,
            trail: Vec::new(),
            presented: Vec::new(),
            why: Vec::new(),
            redemption_id: None,
            taken_offer_id: None,
            wished_at: None,
            ended_at: None,
        };
        for decision in why {
            session.note(now, decision);
        }
        let (flow, decision) = self.choose_flow(scope, &session, known_visitor).await?;
        session.note(now, decision);
        session.flow = flow;
        Ok(session)
    }

    async fn choose_flow(
        &self,
        scope: &Scope,
        session: &FlowSession,
        known_visitor: bool,
    ) -> Result<(Option<FlowRef>, Decision), Error> {
        let plain = |code: &str, message: &str| Ok((None, Decision::new("", code, message)));
        if session.subject.is_leaving() {
            return plain("already_leaving", "the subscription ends already");
        }
        if session.holdout {
            return plain("holdout", "the customer is in the standing holdout: the plain way to cancel");
        }
        if !known_visitor || !session.subject.hands_off.is_empty() {
            return plain(
                "offers_withheld",
                "the subscription cannot be changed safely: the plain way to cancel",
            );
        }
        let served = self.workflows.published(scope, Trigger::CancelIntent).await?;
        let flows = served.iter().map(|p: &Published<WorkflowContent>| (p, &p.frozen.content));
        let Some(chosen) = choose_workflow(flows, &session.known) else {
            return plain("no_workflow", "no published workflow is for this customer");
        };
        let last = match chosen.frozen.content.reentry {
            Reentry::Always => None,
            _ => self.store.last_of(scope, &session.subscription_id).await?,
        };
        let again = match (chosen.frozen.content.reentry, last) {
            (_, None) | (Reentry::Always, _) => true,
            (Reentry::Never, Some(_)) => false,
            (Reentry::AfterDays(days), Some(last)) => {
                kit::time::add_days(last.updated_at, i64::from(days)) <= self.clock.now()
            }
        };
        if !again {
            return plain("no_reentry", "the customer went through the flow before: the plain way to cancel");
        }
        let flow = FlowRef {
            id: chosen.id.clone(),
            number: chosen.release.number,
            hash: chosen.release.hash.clone(),
        };
        let message = format!("{} is the first whose audience fits", chosen.name);
        Ok((Some(flow), Decision::new("", "workflow_chosen", message)))
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
        session.answer(given(page.as_ref())?, &asked, &shown).map_err(|f| Error::Answers(f.into_vec()))?;
        let next = self.exit(scope, &session, "next").await?;
        if next.is_some() {
            Box::pin(self.advance(&read, &mut session, next.as_deref())).await?;
        }
        Box::pin(self.save(read, session, "answered")).await
    }

    /// Takes the offer of the page.
    pub async fn accept(&self, scope: &Scope, id: &str, offer: &str) -> Result<Stored<FlowSession>, Error> {
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

/// Countries of the European Union.
const EU: [&str; 27] = [
    "AT", "BE", "BG", "HR", "CY", "CZ", "DK", "EE", "FI", "FR", "DE", "GR", "HU", "IE", "IT", "LV", "LT",
    "LU", "MT", "NL", "PL", "PT", "RO", "SK", "SI", "ES", "SE",
];
