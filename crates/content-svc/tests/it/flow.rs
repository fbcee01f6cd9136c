//! A customer's way through a published flow: what is decided, what is recorded first, and what happens when the biller
//! does not answer. The biller is played here; it remembers everything that was asked of it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use content_svc::companies::Companies;
use content_svc::engine::{Answer, Candidate};
use content_svc::flow_session::{
    Billing, Carried, FlowSession, FlowSessions, FlowStore, OnTable, Promise, Segments, State, Subject,
    Tokens, Visitor,
};
use content_svc::region_rule::{RegionRules, RuleStore};
use content_svc::rule::Value;
use content_svc::workflow::Tag;
use content_svc::workflow_run::{Carrier, NotDone};
use jiff::SignedDuration;
use kit::{Caller, Coded, Currency, Fault, Mode, Money, Role, Scope, Timestamp};
use store::Stored;

use crate::world::{Pages, World, person, text};

/// The biller of these tests.
#[derive(Default)]
pub struct Biller {
    /// What was done, in order; each line once per call.
    pub done: Mutex<Vec<String>>,
    /// What carrying out answers; `Done` when nothing is said.
    pub says: Mutex<Option<Carried>>,
    /// Nothing is answered at all.
    pub down: Mutex<bool>,
    pub hands_off: Mutex<String>,
    /// Where the customer is; the United States when nothing is said.
    pub country: Mutex<String>,
    /// How the subscription stands; active when nothing is said.
    pub state: Mutex<String>,
    /// How the offers that were taken stand; kept when nothing is said.
    pub promise: Mutex<Option<Promise>>,
    /// What else is known of the customer, by attribute.
    pub facts: Mutex<BTreeMap<String, String>>,
    pub holdout: Mutex<bool>,
    pub restricted: Mutex<bool>,
    /// There is no such customer any more.
    pub gone: Mutex<bool>,
}

impl Biller {
    fn note(&self, what: String) {
        self.done.lock().unwrap().push(what);
    }

    pub fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.done.lock().unwrap())
    }

    fn answer(&self) -> Result<(), Fault> {
        if *self.down.lock().unwrap() {
            return Err(Fault::unavailable("upstream_unavailable", anyhow::anyhow!("the biller is down")));
        }
        Ok(())
    }

    fn carried(&self) -> Carried {
        if self.answer().is_err() {
            return Carried::Later("unavailable".into());
        }
        self.says.lock().unwrap().clone().unwrap_or(Carried::Done)
    }
}

#[async_trait]
impl Billing for Biller {
    async fn visitor(&self, _: &Caller, customer: &str, subscription: &str) -> Result<Visitor, Fault> {
        self.answer()?;
        let mrr = Currency::parse("USD").map(|c| Money::new(2_985, c));
        let or = |said: &Mutex<String>, otherwise: &str| {
            Some(said.lock().unwrap().clone()).filter(|s| !s.is_empty()).unwrap_or_else(|| otherwise.into())
        };
        let subject = Subject {
            country: or(&self.country, "US"),
            state: or(&self.state, "active"),
            mrr,
            hands_off: self.hands_off.lock().unwrap().clone(),
        };
        if *self.gone.lock().unwrap() {
            return Err(Fault::not_found("customer"));
        }
        let (customer_id, subscription_id) = (customer.to_owned(), subscription.to_owned());
        let facts = self.facts.lock().unwrap().clone().into_iter();
        let facts = facts.map(|(key, text)| (key, Value::Text(text))).collect();
        let (locale, restricted) = ("en".into(), *self.restricted.lock().unwrap());
        Ok(Visitor { customer_id, subscription_id, locale, subject, facts, restricted })
    }

    async fn segments(&self, _: &Caller, _: &str) -> Result<Segments, Fault> {
        self.answer()?;
        let holdout = *self.holdout.lock().unwrap();
        Ok(Segments { personas: BTreeSet::from(["per_1".into()]), holdout, ..Segments::default() })
    }

    async fn candidates(
        &self,
        _: &Caller,
        _: &str,
        offers: &[String],
        _: &Segments,
    ) -> Result<Vec<Candidate>, Fault> {
        self.answer()?;
        let candidate = |id: &String| Candidate {
            offer_id: id.clone(),
            name: "Less".into(),
            kind: "discount".into(),
            text: text("20 % less"),
            terms_text: text("20 % off for 3 months"),
            url: String::new(),
            eligible: true,
            reasons: Vec::new(),
        };
        Ok(offers.iter().map(candidate).collect())
    }

    async fn present(
        &self,
        _: &Caller,
        session: &str,
        _: &str,
        offer: &Candidate,
        _: &Segments,
    ) -> Result<OnTable, Fault> {
        self.answer()?;
        self.note(format!("present {}", offer.offer_id));
        Ok(OnTable {
            offer_id: offer.offer_id.clone(),
            name: offer.name.clone(),
            kind: offer.kind.clone(),
            redemption_id: format!("red_{session}"),
            terms_hash: "hash-of-the-terms".into(),
            text: offer.text.clone(),
            terms_text: text("20 % off for 3 months"),
            url: offer.url.clone(),
        })
    }

    async fn claim(&self, _: &Caller, offer: &OnTable) -> Carried {
        self.note(format!("claim {} {}", offer.redemption_id, offer.terms_hash));
        self.carried()
    }

    async fn promise(&self, _: &Caller, _: &str) -> Result<Promise, Fault> {
        self.answer()?;
        Ok(self.promise.lock().unwrap().unwrap_or(Promise::Kept))
    }

    async fn decline(&self, _: &Caller, _: &str) -> Result<(), Fault> {
        self.answer()?;
        self.note("decline".into());
        Ok(())
    }

    async fn lapse(&self, _: &Caller, _: &str) -> Result<(), Fault> {
        self.answer()?;
        self.note("lapse".into());
        Ok(())
    }

    async fn cancel(&self, _: &Caller, session: &str, subscription: &str, wished_at: Timestamp) -> Carried {
        self.note(format!("cancel {subscription} for {session} as of {wished_at}"));
        self.carried()
    }
}

#[async_trait]
impl Carrier for Biller {
    async fn tag(&self, _: &Caller, customer: &str, tag: &Tag) -> Result<(), NotDone> {
        if self.answer().is_err() {
            return Err(NotDone { code: "upstream_unavailable".into(), hopeless: false });
        }
        self.note(format!("tag {customer} +{} -{}", tag.add.join(","), tag.remove.join(",")));
        Ok(())
    }
}

pub struct Flow {
    pub world: World,
    pub flows: FlowSessions,
    pub store: FlowStore,
    pub workflow: String,
    pub companies: Companies,
    pub biller: Arc<Biller>,
    pub pages: Pages,
    pub rules: RegionRules,
}

impl Flow {
    pub async fn new() -> Self {
        let world = World::new().await;
        let pages = world.pages().await;
        let workflow = world.workflow(&pages).await.id;
        let biller = Arc::new(Biller::default());
        let clock = Arc::new(world.clock.clone());
        let store = FlowStore::open(&world.db, clock.clone()).await.unwrap();
        let tokens = Tokens::new(&"secret".to_owned().into());
        let rules = RegionRules::new(RuleStore::open(&world.db, clock.clone()).await.unwrap(), clock.clone());
        let companies = Companies::open(&world.db, clock.clone()).await.unwrap();
        let flows = FlowSessions::new(
            store.clone(),
            companies.clone(),
            world.rooms.workflows.clone(),
            biller.clone(),
            rules.clone(),
            tokens,
            clock,
        );
        Self { world, flows, store, workflow, companies, biller, pages, rules }
    }

    pub async fn token(&self) -> String {
        let caller = person(Role::Machine, "com_1", Mode::Live);
        self.flows.issue(&caller, "cus_1", "sub_1", "en".into(), String::new()).await.unwrap().0
    }

    pub async fn start(&self) -> Stored<FlowSession> {
        self.flows.start(&self.token().await, "").await.unwrap()
    }

    pub fn scope(&self) -> &Scope {
        self.world.scope()
    }

    pub async fn because(&self, id: &str, reason: &str) -> Stored<FlowSession> {
        let given = vec![("reason".to_owned(), Answer::Choices(vec![reason.to_owned()]))];
        self.flows.answer(self.scope(), id, |_| Ok(given)).await.unwrap()
    }

    /// The kinds of a visit's events, in order.
    pub async fn told(&self, id: &str) -> Vec<String> {
        let collection = self.world.db.collection::<bson::Document>("flow_sessions");
        let found = collection.find_one(bson::doc! { "_id": id }).await.unwrap().unwrap();
        let events = found.get_array("_outbox").unwrap().iter();
        events.map(|e| e.as_document().unwrap().get_str("kind").unwrap().to_owned()).collect()
    }
}

pub fn refused(outcome: Result<Stored<FlowSession>, content_svc::Error>) -> &'static str {
    outcome.unwrap_err().code().1
}

#[tokio::test]
async fn a_customer_who_takes_the_offer_is_saved_when_the_provider_shows_it() {
    let flow = Flow::new().await;
    let started = flow.start().await;
    assert_eq!((started.body.state, started.body.node.as_str()), (State::Created, "ask"));
    let asked = flow.because(&started.id, "price").await;
    assert_eq!(
        (asked.body.node.as_str(), asked.body.presented.as_slice()),
        ("cheaper", ["off_good".to_owned()].as_slice())
    );
    let saved = flow.flows.accept(flow.scope(), &started.id, "off_good", false).await.unwrap();
    assert_eq!(saved.body.state, State::Saved);
    let redemption = format!("red_{}", started.id);
    assert_eq!(saved.body.redemption_id.as_deref(), Some(redemption.as_str()));
    assert_eq!(
        flow.biller.take(),
        ["present off_good".to_owned(), format!("claim {redemption} hash-of-the-terms")]
    );
    let told = flow.told(&started.id).await;
    assert_eq!(
        told,
        ["flow.session.started", "flow.session.answered", "flow.session.answered", "flow.session.saved"]
    );
}

#[tokio::test]
async fn a_company_out_of_service_lets_its_customers_cancel_and_no_more() {
    let flow = Flow::new().await;
    flow.companies.told("com_1", "suspended", 7).await.unwrap();
    flow.companies.told("com_1", "active", 6).await.unwrap();
    let plain = flow.start().await;
    assert!(plain.body.flow.is_none(), "the older news changed nothing");
    assert!(plain.body.why.iter().any(|d| d.decision.code == "company_out_of_service"));
    let canceled = flow.flows.cancel(flow.scope(), &plain.id).await.unwrap();
    assert_eq!(canceled.body.state, State::Canceled);
    flow.companies.told("com_1", "active", 8).await.unwrap();
    assert!(flow.start().await.body.flow.is_some());
}

#[tokio::test]
async fn invariant_3_nothing_is_saved_or_canceled_before_it_was_read_back() {
    let flow = Flow::new().await;
    *flow.biller.says.lock().unwrap() = Some(Carried::Later("not_shown_yet".into()));
    let started = flow.start().await;
    flow.because(&started.id, "price").await;
    let taken = flow.flows.accept(flow.scope(), &started.id, "off_good", false).await.unwrap();
    assert_eq!(taken.body.state, State::Settling);
    assert!(!flow.told(&started.id).await.contains(&"flow.session.saved".into()));
    // The second press is the first one.
    let again = flow.flows.accept(flow.scope(), &started.id, "off_good", false).await.unwrap();
    assert_eq!(again.body.state, State::Settling);
    *flow.biller.says.lock().unwrap() = None;
    flow.world.clock.advance(SignedDuration::from_secs(11));
    flow.flows.sweep().await.unwrap();
    assert_eq!(flow.flows.get(flow.scope(), &started.id).await.unwrap().body.state, State::Saved);
    let done = flow.flows.accept(flow.scope(), &started.id, "off_good", false).await.unwrap();
    assert_eq!(done.body.state, State::Saved, "a press after the end changes nothing");
    assert_eq!(flow.told(&started.id).await.iter().filter(|k| *k == "flow.session.saved").count(), 1);
}

#[tokio::test]
async fn invariant_1_the_wish_is_recorded_first_and_survives_a_biller_that_is_down() {
    let flow = Flow::new().await;
    let started = flow.start().await;
    *flow.biller.down.lock().unwrap() = true;
    let wished = flow.flows.cancel(flow.scope(), &started.id).await.unwrap();
    assert_eq!(wished.body.state, State::Settling);
    let at = wished.body.wished_at.unwrap();
    flow.world.clock.advance(SignedDuration::from_hours(3));
    flow.flows.sweep().await.unwrap();
    *flow.biller.down.lock().unwrap() = false;
    flow.world.clock.advance(SignedDuration::from_hours(1));
    flow.biller.take();
    flow.flows.sweep().await.unwrap();
    let canceled = flow.flows.get(flow.scope(), &started.id).await.unwrap();
    assert_eq!(canceled.body.state, State::Canceled);
    assert_eq!(
        flow.biller.take(),
        [format!("cancel sub_1 for {} as of {at}", started.id)],
        "dated as of the wish"
    );
    flow.flows.sweep().await.unwrap();
    assert_eq!(flow.biller.take(), [] as [String; 0], "once is enough");
}

#[tokio::test]
async fn invariant_1_a_flow_can_be_started_and_canceled_when_nothing_below_answers() {
    let flow = Flow::new().await;
    let token = flow.token().await;
    *flow.biller.down.lock().unwrap() = true;
    let started = flow.flows.start(&token, "").await.unwrap();
    let wished = flow.flows.cancel(flow.scope(), &started.id).await.unwrap();
    assert!(wished.body.wished_at.is_some());
}

#[tokio::test]
async fn invariant_1_from_every_page_a_customer_can_cancel() {
    let flow = Flow::new().await;
    for pages in 0..3 {
        let started = flow.start().await;
        let mut read = started;
        if pages > 0 {
            read = flow.because(&read.id, "price").await;
        }
        if pages > 1 {
            read = flow.flows.close(flow.scope(), &read.id).await.unwrap();
            assert_eq!(read.body.state, State::Abandoned);
        }
        let canceled = flow.flows.cancel(flow.scope(), &read.id).await.unwrap();
        assert_eq!(canceled.body.state, State::Canceled, "after {pages} pages");
        let again = flow.flows.cancel(flow.scope(), &read.id).await.unwrap();
        assert_eq!(again.version, canceled.version, "twice is once");
    }
}

#[tokio::test]
async fn what_people_must_carry_out_is_handed_to_them() {
    let flow = Flow::new().await;
    *flow.biller.hands_off.lock().unwrap() = "not_ours".into();
    let started = flow.start().await;
    let manual = flow.flows.cancel(flow.scope(), &started.id).await.unwrap();
    assert_eq!(manual.body.state, State::Manual);
    assert!(flow.biller.take().is_empty(), "the provider is not asked");
    assert!(flow.told(&started.id).await.contains(&"flow.session.manual_requested".into()));
}

#[tokio::test]
async fn an_offer_that_cannot_be_given_is_said_and_the_flow_goes_on() {
    let flow = Flow::new().await;
    let started = flow.start().await;
    flow.because(&started.id, "price").await;
    *flow.biller.says.lock().unwrap() = Some(Carried::Refused("budget_used_up".into()));
    let failed = flow.flows.accept(flow.scope(), &started.id, "off_good", false).await.unwrap();
    // The graph leads on to the cancellation, which this biller refuses too: people carry it out.
    assert_ne!(failed.body.state, State::Saved);
    assert!(failed.body.why.iter().any(|n| n.decision.code == "offer_failed"));
    assert!(failed.body.redemption_id.is_none());
}

#[tokio::test]
async fn a_link_leads_once_and_a_second_visit_goes_on_where_the_first_stands() {
    let flow = Flow::new().await;
    let token = flow.token().await;
    let started = flow.flows.start(&token, "").await.unwrap();
    assert_eq!(refused(flow.flows.start(&token, "").await), "token_used");
    flow.because(&started.id, "price").await;
    let resumed = flow.start().await;
    assert_eq!((resumed.id.as_str(), resumed.body.node.as_str()), (started.id.as_str(), "cheaper"));
    let late = flow.token().await;
    flow.world.clock.advance(SignedDuration::from_mins(16));
    assert!(flow.flows.start(&late, "").await.is_err(), "a link is good for 15 minutes");
}

#[tokio::test]
async fn two_starts_at_once_open_one_visit() {
    let flow = Flow::new().await;
    let (a, b) = (flow.token().await, flow.token().await);
    let (a, b) = tokio::join!(flow.flows.start(&a, ""), flow.flows.start(&b, ""));
    assert_eq!(a.unwrap().id, b.unwrap().id);
}

#[tokio::test]
async fn invariant_4_another_company_or_mode_sees_no_visit() {
    let flow = Flow::new().await;
    let started = flow.start().await;
    for scope in [Scope::new("com_2", Mode::Live), Scope::new("com_1", Mode::Test)] {
        assert_eq!(refused(flow.flows.get(&scope, &started.id).await), "not_found");
        assert_eq!(refused(flow.flows.cancel(&scope, &started.id).await), "not_found");
    }
    assert_eq!(flow.flows.get(flow.scope(), &started.id).await.unwrap().body.wished_at, None);
}

#[tokio::test]
async fn answers_that_do_not_fit_change_nothing() {
    let flow = Flow::new().await;
    let started = flow.start().await;
    for given in [
        vec![],
        vec![("reason".to_owned(), Answer::Choices(vec!["nothing".into()]))],
        vec![("reason".to_owned(), Answer::Text("price".into()))],
        vec![("other".to_owned(), Answer::Scale(1))],
    ] {
        assert_eq!(
            refused(flow.flows.answer(flow.scope(), &started.id, |_| Ok(given)).await),
            "invalid_request"
        );
    }
    let read = flow.flows.get(flow.scope(), &started.id).await.unwrap();
    assert_eq!((read.version, read.body.state), (started.version, State::Created));
    let other = flow.flows.accept(flow.scope(), &started.id, "off_good", false).await;
    assert_eq!(refused(other), "offer_not_shown");
}

#[tokio::test]
async fn visits_nobody_touches_end() {
    let flow = Flow::new().await;
    let bounced = flow.start().await;
    flow.world.clock.advance(SignedDuration::from_secs(61));
    flow.flows.sweep().await.unwrap();
    assert_eq!(flow.flows.get(flow.scope(), &bounced.id).await.unwrap().body.state, State::Bounced);
    let abandoned = flow.start().await;
    flow.because(&abandoned.id, "price").await;
    flow.biller.take();
    flow.world.clock.advance(SignedDuration::from_mins(31));
    flow.flows.sweep().await.unwrap();
    let read = flow.flows.get(flow.scope(), &abandoned.id).await.unwrap();
    assert_eq!(read.body.state, State::Abandoned);
    assert_eq!(flow.biller.take(), ["lapse"]);
    // Who comes back to an open tab is still heard.
    let canceled = flow.flows.cancel(flow.scope(), &abandoned.id).await.unwrap();
    assert_eq!(canceled.body.state, State::Canceled);
}

#[tokio::test]
async fn declining_leads_on_to_the_end_of_the_graph() {
    let flow = Flow::new().await;
    let started = flow.start().await;
    flow.because(&started.id, "price").await;
    let declined = flow.flows.decline(flow.scope(), &started.id, "off_good").await.unwrap();
    assert_eq!(declined.body.state, State::Canceled);
    let done = flow.biller.take();
    assert_eq!((done[1].as_str(), done.len()), ("decline", 3));
}

#[tokio::test]
async fn a_reason_without_an_offer_goes_straight_on() {
    let flow = Flow::new().await;
    let started = flow.start().await;
    let read = flow.because(&started.id, "unused").await;
    assert_eq!(read.body.state, State::Canceled);
    assert!(read.body.presented.is_empty());
    let _ = &flow.pages;
}
