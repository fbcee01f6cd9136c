//! content-svc: what customers are shown, and the cancel flow itself.

pub mod card_elements;
pub mod cards;
pub mod companies;
mod config;
pub mod engine;
pub mod error;
pub mod events;
pub mod flow_session;
pub mod hosted_page;
pub mod media;
pub mod offers;
pub mod privacy;
pub mod questionnaire;
pub mod region_rule;
pub mod render;
pub mod rule;
pub mod template;
pub mod template_viewer;
pub mod text;
pub mod upstream;
pub mod verification;
pub mod versioned;
pub mod wire;
pub mod workflow;
pub mod workflow_run;
pub mod workflow_viewer;

use std::sync::Arc;

use anyhow::Context as _;
use connect::objects::Objects as Files;
use kit::caller::{Minter, SigningKey, Verifier};
use kit::{SharedClock, clock::SystemClock};
use mongodb::Database;

pub use config::Config;
pub use error::Error;

use card_elements::{CardElements, ElementStore};
use cards::Cards;
use flow_session::{FlowSessions, FlowStore, Tokens, Upstreamed};
use media::{MediaRoom, MediaStore, Uses};
use offers::Offers;
use personal::Desk;
use privacy::{ContentHolder, Evidences};
use questionnaire::{IntakeStore, Questionnaires, Responses};
use region_rule::{RegionRules, RuleStore};
use template::Templates;
use template_viewer::{LinkStore, TemplateViewer};
use verification::{VerificationStore, Verifications};
use versioned::{Content, ObjectStore, Objects};
use workflow::Workflows;
use workflow_run::{Occasions, RunStore, WorkflowRuns};
use workflow_viewer::WorkflowViewer;

/// The service as it runs.
pub async fn service(config: Config) -> anyhow::Result<kit::Service> {
    Box::pin(build(config, Arc::new(SystemClock))).await
}

/// The service with a clock of the caller's choice.
pub async fn build(config: Config, clock: SharedClock) -> anyhow::Result<kit::Service> {
    let common = &config.common;
    let key = Arc::new(SigningKey::from_seed(&common.inner_key)?);
    let trusted: Vec<String> = common.inner_trusted.iter().cloned().chain([key.public()]).collect();
    let verifier = Verifier::new("content-svc", &trusted, clock.clone())?;
    let minter = Minter::new("content-svc", key, clock.clone());
    let upstreams = upstream::Upstreams::new(&config, &minter)?;
    let db = store::connect(&config.data, "content").await?;
    let offers: Arc<dyn Offers> = Arc::new(upstream::BillingOffers(upstreams.billing.clone()));
    let files = Files::at(&config.files).context("failed to open the object store")?;
    let rooms = Rooms::open(&db, clock.clone(), offers.clone(), files).await?;
    let companies = companies::Companies::open(&db, clock.clone()).await?;
    let told = Arc::new(companies::Listener(companies.clone()));
    let visits = rooms.visits.clone();
    let rules = RegionRules::new(RuleStore::open(&db, clock.clone()).await?, clock.clone());
    let links = LinkStore::open(&db, clock.clone()).await?;
    let people = Arc::new(verification::Upstreamed(upstreams.clone()));
    let billing = Arc::new(Upstreamed(upstreams));
    let runs = WorkflowRuns::new(
        RunStore::open(&db, clock.clone()).await?,
        rooms.workflows.clone(),
        companies.clone(),
        billing.clone(),
        billing.clone(),
        clock.clone(),
    );
    let occasions = Occasions::open(&db, clock.clone()).await?;
    let evidence_days = config.evidence_days;
    let holder = ContentHolder { visits: visits.clone(), runs: runs.clone(), evidence_days };
    let desk = Desk::open("content-svc", &db, clock.clone(), Arc::new(holder)).await?;
    let receipts = desk.receipts.clone();
    let evidences = Evidences { visits: visits.clone(), receipts, clock: clock.clone() };
    let viewer = WorkflowViewer::new(rooms.workflows.clone(), visits.clone(), billing.clone());
    let looks =
        TemplateViewer::new(rooms.clone(), billing.clone(), offers, rules.clone(), links, clock.clone());
    let tokens = Tokens::new(&common.inner_key);
    let looks = looks.with_pictures(tokens.clone());
    let turned = Arc::new(flow_session::Turns(visits.clone()));
    let merged = Arc::new(flow_session::Listener(visits.clone()));
    let flows = FlowSessions::new(
        visits,
        companies,
        rooms.workflows.clone(),
        billing,
        rules.clone(),
        tokens.clone(),
        clock.clone(),
    );
    let verifications = Verifications::new(
        VerificationStore::open(&db, clock.clone()).await?,
        people,
        flows.clone(),
        &common.inner_key,
        clock.clone(),
    );
    let unsent = Arc::new(verification::Listener(verifications.clone()));
    let bus = bus::Bus::connect(&config.data).await?;
    let collections = vec![
        "questionnaires",
        "questionnaire_responses",
        "card_elements",
        "media",
        "cards",
        "templates",
        "share_links",
        "workflows",
        "flow_sessions",
        "hosted_verifications",
        "workflow_runs",
        "region_rules",
        personal::COLLECTION,
    ];
    let (remembering, ready_db, heard, listened) = (rooms.clone(), db.clone(), bus.clone(), bus.clone());
    let (followed, turns, ordered, mails) = (bus.clone(), bus.clone(), bus.clone(), bus.clone());
    let (checked, look_db, look_clock) = (flows.clone(), db.clone(), clock.clone());
    let (evidence_db, evidence_clock) = (db.clone(), clock.clone());
    let (tidied, tidy_db, tidy_clock) = (rooms.media.clone(), db.clone(), clock);
    let check = kit::service::Check {
        is_unary: proto::check::is_unary,
        message: proto::check::message,
        rules: proto::check::rules,
    };
    let mut service = kit::Service::new("content-svc")
        .verified_by(verifier)
        .checked_by(check)
        .described_by(proto::DESCRIPTORS)
        .room(questionnaire::rpc::service(rooms.questionnaires.clone()))
        .room(card_elements::rpc::service(rooms.elements.clone(), rooms.cards.clone()))
        .room(cards::rpc::service(rooms.cards.clone()))
        .room(media::rpc::service(rooms.media.clone(), rooms.uses(), tokens))
        .room(template::rpc::service(rooms.templates.clone()))
        .room(workflow::rpc::service(rooms.workflows.clone(), runs.clone()))
        .room(flow_session::rpc::service(flows.clone(), config.public_url.clone()))
        .room(hosted_page::rpc::service(flows.clone(), verifications, config.public_url.clone()))
        .room(template_viewer::rpc::service(looks, config.public_url.clone()))
        .room(region_rule::rpc::service(rules))
        .room(workflow_viewer::rpc::service(viewer, runs.clone()))
        .task("flow_sessions", move |stop| flows.run(stop))
        .task("outbox", move |stop| store::outbox::relay(db, collections, bus, stop))
        .task("companies", move |stop| listened.subscribe("content-svc", "company", told, stop))
        .task("merges", move |stop| followed.subscribe("content-svc", "customer", merged, stop))
        .task("subscriptions", move |stop| turns.subscribe("content-svc", "subscription", turned, stop))
        .task("mails", move |stop| mails.subscribe("content-svc", "notification", unsent, stop))
        .task("durability_check", move |stop| {
            let check = move |due| {
                let flows = checked.clone();
                async move { Ok(flows.check_durability(due).await?) }
            };
            store::cron::every(look_db, look_clock, "durability_check", "23 * * * *", check, stop)
        })
        .task("media", move |stop| {
            let tidy = move |_due| {
                let media = tidied.clone();
                async move { media.tidy().await.map(drop).map_err(anyhow::Error::from) }
            };
            store::cron::every(tidy_db, tidy_clock, "media", "*/5 * * * *", tidy, stop)
        })
        .task("caches", move |stop| {
            heard.overhear("content", move |heard| events::drop_remembered(&remembering, &heard), stop)
        })
        .task("evidence", move |stop| {
            let let_go = move |_due| {
                let evidences = evidences.clone();
                async move { evidences.let_go().await.map(drop).map_err(anyhow::Error::from) }
            };
            store::cron::every(evidence_db, evidence_clock, "evidence", "*/10 * * * *", let_go, stop)
        })
        .ready("mongodb", move || {
            let db = ready_db.clone();
            async move { store::ready(&db).await }
        });
    let ears = workflow_run::Listener::shared(runs.clone(), occasions.clone());
    for family in workflow_run::FAMILIES {
        let (bus, ears) = (ordered.clone(), ears.clone());
        service = service.task(format!("runs_{family}"), move |stop| {
            bus.subscribe(workflow_run::NAME, family, ears, stop)
        });
    }
    service = service.task("workflow_runs", move |stop| runs.run(occasions, stop));
    Ok(desk.serve(service, &ordered))
}

/// The authoring rooms, and what the engine reads from.
#[derive(Clone)]
pub struct Rooms {
    pub questionnaires: Questionnaires,
    pub elements: CardElements,
    pub media: MediaRoom,
    pub cards: Cards,
    pub templates: Templates,
    pub workflows: Workflows,
    /// What customers did with it, and answered.
    pub visits: FlowStore,
}

impl Rooms {
    /// Opens the rooms over a database and an object store; `offers` says what may be promised.
    pub async fn open(
        db: &Database,
        clock: SharedClock,
        offers: Arc<dyn Offers>,
        files: Files,
    ) -> Result<Self, store::Error> {
        let visits = FlowStore::open(db, clock.clone()).await?;
        let intake = IntakeStore::open(db, clock.clone()).await?;
        let responses = Responses::new(visits.clone(), intake, clock.clone());
        let questionnaires = Questionnaires::new(objects(db, &clock).await?, responses);
        let elements = CardElements::new(ElementStore::open(db, clock.clone()).await?, clock.clone());
        let media = MediaRoom::new(MediaStore::open(db, clock.clone()).await?, files, clock.clone());
        let cards = Cards::new(
            objects(db, &clock).await?,
            elements.clone(),
            questionnaires.clone(),
            media.clone(),
            offers.clone(),
        );
        let templates = Templates::new(objects(db, &clock).await?, cards.clone());
        let workflows = Workflows::new(
            objects(db, &clock).await?,
            templates.clone(),
            cards.clone(),
            questionnaires.clone(),
            offers,
        );
        Ok(Self { questionnaires, elements, media, cards, templates, workflows, visits })
    }

    /// Who can use a picture.
    pub fn uses(&self) -> Uses {
        Uses {
            elements: self.elements.clone(),
            cards: self.cards.clone(),
            templates: self.templates.clone(),
            workflows: self.workflows.clone(),
        }
    }
}

async fn objects<C: Content>(db: &Database, clock: &SharedClock) -> Result<Objects<C>, store::Error> {
    Ok(Objects::new(ObjectStore::open(db, clock.clone()).await?, clock.clone()))
}
