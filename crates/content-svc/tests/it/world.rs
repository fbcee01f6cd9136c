//! A company with people, its rooms on a database of their own, and content that can be published.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use async_trait::async_trait;
use connect::objects::Objects as Files;
use content_svc::Rooms;
use content_svc::card_elements::{Element, Props};
use content_svc::cards::{CardAccess, CardContent, CardHead, CardKind};
use content_svc::companies::Companies;
use content_svc::offers::{OfferFacts, Offers};
use content_svc::questionnaire::{Choice, Question, QuestionType, QuestionnaireContent, QuestionnaireKind};
use content_svc::rule::Rule;
use content_svc::template::{Layout, Place, TemplateContent, TemplateKind};
use content_svc::versioned::{Content, View};
use content_svc::workflow::{Branch, EndOutcome, Limits, Node, NodeKind, Reentry, Trigger, WorkflowContent};
use content_svc::workflow_run::{Occasions, RunStore, WorkflowRuns};
use kit::locale::LocalText;
use kit::{Actor, Caller, Fault, Mode, Role, Scope};
use testkit::TestDb;

use crate::flow::Biller;

/// Offers as the test says they are.
pub struct KnownOffers(HashMap<String, OfferFacts>);

#[async_trait]
impl Offers for KnownOffers {
    async fn look_up(&self, _: &Caller, ids: &[&str]) -> Result<HashMap<String, OfferFacts>, Fault> {
        let known = ids.iter().filter_map(|id| Some(((*id).to_owned(), self.0.get(*id)?.clone())));
        Ok(known.collect())
    }
}

pub struct World {
    pub rooms: Rooms,
    pub offers: Arc<dyn Offers>,
    pub db: mongodb::Database,
    pub clock: kit::clock::MovedClock,
    pub admin: Caller,
    // Dropped last: it takes the databases with it.
    _keep: TestDb,
}

pub fn person(role: Role, company: &str, mode: Mode) -> Caller {
    Caller {
        role,
        actor: Actor::new("user", "usr_1"),
        scope: Some(Scope::new(company, mode)),
        ..Caller::internal("test", None)
    }
}

impl World {
    pub async fn new() -> Self {
        let keep = testkit::mongo().await;
        let db = keep.db("content-svc").await;
        let facts = |active, supported| OfferFacts {
            active,
            kind: "discount".into(),
            supported,
            name: "Less".into(),
            text: text("20 % less"),
            terms_text: text("20 % off for 3 months"),
            terms_hash: "hash-of-the-terms".into(),
        };
        let offers = HashMap::from([
            ("off_good".to_owned(), facts(true, true)),
            ("off_discount_20".to_owned(), facts(true, true)),
            ("off_pause_2_months".to_owned(), facts(true, true)),
            ("off_lite_plan".to_owned(), facts(true, true)),
            ("off_technician_calls".to_owned(), facts(true, true)),
            ("off_asleep".to_owned(), facts(false, true)),
            ("off_impossible".to_owned(), facts(true, false)),
        ]);
        let clock = testkit::clock();
        let offers = Arc::new(KnownOffers(offers));
        let offers: Arc<dyn Offers> = offers;
        let rooms = Rooms::open(&db, Arc::new(clock.clone()), offers.clone(), Files::memory()).await.unwrap();
        Self { rooms, offers, db, clock, admin: person(Role::RetAdmin, "com_1", Mode::Live), _keep: keep }
    }

    /// The runs over the same database, with what they ask played by `biller`.
    pub async fn runs(&self, biller: Arc<Biller>) -> (WorkflowRuns, Occasions) {
        let clock = Arc::new(self.clock.clone());
        let store = RunStore::open(&self.db, clock.clone()).await.unwrap();
        let companies = Companies::open(&self.db, clock.clone()).await.unwrap();
        let workflows = self.rooms.workflows.clone();
        let runs = WorkflowRuns::new(store, workflows, companies, biller.clone(), biller, clock.clone());
        (runs, Occasions::open(&self.db, clock).await.unwrap())
    }

    pub fn scope(&self) -> &Scope {
        self.admin.scope().unwrap()
    }

    /// A published questionnaire, card, page and offer page: their ids.
    pub async fn pages(&self) -> Pages {
        let q = &self.rooms.questionnaires;
        let made = q.objects.create(&self.admin, "Why?".into(), (), questionnaire()).await.unwrap();
        q.publish(&self.admin, &made.id, made.version, String::new()).await.unwrap();
        let survey = self.card(survey_card(&made.id)).await;
        let offer = self.card(offer_card()).await;
        let ask = self.page("ask", &survey.id).await;
        let cheaper = self.page("cheaper", &offer.id).await;
        Pages { questionnaire: made.id, survey: survey.id, ask: ask.id, cheaper: cheaper.id }
    }

    pub async fn card(&self, content: CardContent) -> View<CardContent> {
        let head = CardHead { access: CardAccess::Company, tags: vec![] };
        let cards = &self.rooms.cards;
        let made = cards.objects.create(&self.admin, "Card".into(), head, content).await.unwrap();
        cards.publish(&self.admin, &made.id, made.version, String::new()).await.unwrap()
    }

    pub async fn page(&self, key: &str, card: &str) -> View<TemplateContent> {
        let templates = &self.rooms.templates;
        let made = templates.create(&self.admin, key.into(), key.into(), template(card)).await.unwrap();
        templates.publish(&self.admin, &made.id, made.version, String::new()).await.unwrap()
    }

    /// A published workflow over these pages.
    pub async fn workflow(&self, pages: &Pages) -> View<WorkflowContent> {
        let workflows = &self.rooms.workflows;
        let made = workflows.create(&self.admin, "Cancel".into(), workflow(pages)).await.unwrap();
        workflows.publish(&self.admin, &made.id, made.version, "first".into()).await.unwrap()
    }

    /// The kinds of the events that wait to be published, of one collection.
    pub async fn waiting<C: Content>(&self, id: &str) -> Vec<String> {
        let collection = self.db.collection::<bson::Document>(C::COLLECTION);
        let found = collection.find_one(bson::doc! { "_id": id });
        let outbox = found.await.unwrap().unwrap().get_array("_outbox").unwrap().clone();
        let kinds = outbox.iter().map(|e| e.as_document().unwrap().get_str("kind").unwrap().to_owned());
        kinds.collect()
    }
}

pub struct Pages {
    pub questionnaire: String,
    pub survey: String,
    pub ask: String,
    pub cheaper: String,
}

pub fn text(words: &str) -> LocalText {
    LocalText::of("en", words)
}

pub fn element(props: Props) -> Element {
    Element { key: String::new(), props, visible_if: None, style: BTreeMap::new() }
}

pub fn heading(words: &str) -> Element {
    element(Props::Heading { text: text(words), level: 2 })
}

pub fn questionnaire() -> QuestionnaireContent {
    let choice = |key: &str, category: &str| Choice {
        key: key.into(),
        label: text(key),
        reason_category: Some(category.into()),
        show_if: None,
    };
    let question = Question {
        key: "reason".into(),
        kind: QuestionType::Single,
        text: text("Why do you leave?"),
        help: None,
        choices: vec![choice("price", "too_expensive"), choice("unused", "not_using")],
        shuffle: false,
        required: true,
        min_length: 0,
        scale_min: 0,
        scale_max: 0,
        show_if: None,
    };
    QuestionnaireContent {
        kind: QuestionnaireKind::ExitSurvey,
        title: text("Before you go"),
        questions: vec![question],
        locales: vec!["en".into()],
    }
}

pub fn card(kind: CardKind, elements: Vec<Element>) -> CardContent {
    CardContent {
        kind,
        elements,
        persona_ids: vec![],
        offer_id: None,
        questionnaire_id: None,
        variables: vec![],
        locales: vec!["en".into()],
    }
}

pub fn survey_card(questionnaire: &str) -> CardContent {
    let slot = element(Props::QuestionSlot { question: String::new() });
    CardContent { questionnaire_id: Some(questionnaire.into()), ..card(CardKind::Survey, vec![slot]) }
}

pub fn offer_card() -> CardContent {
    card(CardKind::Offer, vec![element(Props::OfferSlot { accept_label: None, decline_label: None })])
}

pub fn template(card: &str) -> TemplateContent {
    TemplateContent {
        kind: TemplateKind::FlowPage,
        layout: Layout::Single,
        title: text("Before you go"),
        theme: BTreeMap::new(),
        places: vec![Place { name: "main".into(), card_ids: vec![card.into()] }],
        variables: vec![],
        locales: vec!["en".into()],
    }
}

pub fn node(id: &str, kind: NodeKind) -> Node {
    Node { id: id.into(), name: String::new(), kind, position: None }
}

pub fn workflow(pages: &Pages) -> WorkflowContent {
    let branch = Branch { when: Rule::Reason("too_expensive".into()), next: "cheaper".into() };
    let offer = NodeKind::Offer {
        offer_ids: vec!["off_good".into()],
        template_id: pages.cheaper.clone(),
        accepted: "kept".into(),
        declined: "bye".into(),
        none: "bye".into(),
    };
    WorkflowContent {
        trigger: Trigger::CancelIntent,
        audience: None,
        start: "ask".into(),
        nodes: vec![
            node("ask", NodeKind::Step { template_id: pages.ask.clone(), next: "which".into() }),
            node("which", NodeKind::Condition { branches: vec![branch], otherwise: "bye".into() }),
            node("cheaper", offer),
            node("kept", NodeKind::End { outcome: EndOutcome::Kept, template_id: None }),
            node("bye", NodeKind::End { outcome: EndOutcome::Canceled, template_id: None }),
        ],
        limits: Limits::default(),
        reentry: Reentry::Always,
        hosted_template_id: None,
        locales: vec!["en".into()],
    }
}
