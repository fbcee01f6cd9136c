//! Analytics: what customers did and how they use the product, the facts that follow, the personas these make, and the
//! figures over cancel flows.

pub mod analytics;
pub mod config;
pub mod enrichment;
pub mod error;
mod events;
pub mod experiment;
pub mod facts;
pub mod persona;
pub mod privacy;
pub mod product_usage;
pub mod rules;
pub mod stats;
pub mod user_events;
pub mod work;

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use connect::objects::Objects;
use futures_util::FutureExt;
use kit::SharedClock;
use kit::caller::{SigningKey, Verifier};
use mongodb::Database;
use proto::analytics as pb;
use tokio_util::sync::CancellationToken;

use analytics::{Overviews, ReportStore};
pub use config::Config;
pub use error::Error;
pub use events::{Ears, FAMILIES};
use experiment::{HoldoutStore, Holdouts};
use facts::{CustomerStore, Customers};
use persona::{Boards, Categories, PersonaStore, Personas, Refreshes};
use personal::Desk;
use privacy::AnalyticsHolder;
use product_usage::{Usage, UsageStore};
use user_events::{EventStore, UserEvents};
use work::{Doing, Job, Work, WorkStore};

/// The service's name: in tokens, logs, database and consumers.
pub const NAME: &str = "analytics-svc";
/// The collections whose documents carry events.
const CARRIERS: [&str; 9] = [
    "customers",
    "personas",
    "persona_categories",
    "persona_refreshes",
    "usage_uploads",
    "usage_datasets",
    "holdouts",
    "persona_standings",
    personal::COLLECTION,
];
/// The largest message taken: a batch of 500 events.
const LARGEST: usize = 8 * 1024 * 1024;
/// How often it is looked whether a new day has begun somewhere.
const DAILY: Duration = Duration::from_secs(300);

/// The use cases of all rooms, put together.
#[derive(Clone)]
pub struct Rooms {
    pub events: UserEvents,
    pub intake: EventStore,
    pub customers: Customers,
    pub personas: Personas,
    pub categories: Categories,
    pub refreshes: Refreshes,
    pub usage: Usage,
    pub holdouts: Holdouts,
    pub overviews: Overviews,
    pub work: Work,
    /// Does analytics' part of a privacy request.
    pub desk: Desk,
    persona_store: PersonaStore,
    clock: SharedClock,
}

impl Rooms {
    /// Opens the stores and puts the rooms together.
    pub async fn open(
        db: &Database,
        clock: SharedClock,
        objects: Objects,
        holdout_percent: u32,
    ) -> Result<Self, Error> {
        let intake = EventStore::open(db).await?;
        let events = UserEvents::new(intake.clone(), clock.clone());
        let persona_store = PersonaStore::open(db, clock.clone()).await?;
        let boards = Boards::new(persona_store.clone());
        let customers = CustomerStore::open(db, clock.clone()).await?;
        let customers = Customers::new(customers, boards.clone(), events.clone(), clock.clone());
        let work = Work::new(WorkStore::open(db).await?, clock.clone());
        let categories = Categories::new(persona_store.clone(), boards.clone(), clock.clone());
        let personas = Personas::new(
            persona_store.clone(),
            boards.clone(),
            categories.clone(),
            customers.clone(),
            work.clone(),
            clock.clone(),
        );
        let refreshes = Refreshes::new(persona_store.clone(), boards, customers.clone(), clock.clone());
        let usage = UsageStore::open(db, clock.clone()).await?;
        let usage = Usage::new(usage, customers.clone(), objects, work.clone(), clock.clone());
        let holdouts = HoldoutStore::open(db, clock.clone()).await?;
        let holdouts = Holdouts::new(holdouts, holdout_percent, clock.clone());
        let holder = AnalyticsHolder { customers: customers.clone(), usage: usage.clone() };
        let desk = Desk::open(NAME, db, clock.clone(), Arc::new(holder)).await?;
        let overviews = Overviews::new(ReportStore::open(db, clock.clone()).await?, clock.clone());
        Ok(Self {
            events,
            intake,
            customers,
            personas,
            categories,
            refreshes,
            usage,
            holdouts,
            overviews,
            work,
            desk,
            persona_store,
            clock,
        })
    }

    /// What hears the other services.
    pub fn ears(&self) -> Arc<Ears> {
        Ears { customers: self.customers.clone(), overviews: self.overviews.clone() }.shared()
    }

    /// What does the queued work.
    pub fn doing(&self) -> Arc<Doing> {
        let rooms = self.clone();
        Arc::new(move |job, last| rooms.clone().work_on(job, last).boxed())
    }

    async fn work_on(self, job: Job, last: bool) -> Result<(), Error> {
        let scope = job.scope();
        match job.kind.as_str() {
            work::UPLOAD => match self.usage.run(&scope, &job.key).await {
                Err(e) if last => {
                    self.usage.give_up(&scope, &job.key).await?;
                    Err(e)
                }
                other => other,
            },
            work::ENRICH => self.usage.enrich(&scope, &job.key).await,
            work::REFRESH => match self.refreshes.run(&scope, &job.id).await {
                Err(e) if last => {
                    // The cause is in the log; what is told outside says only that it failed.
                    self.refreshes.give_up(&scope, &job.id, "the refresh failed on our side").await?;
                    Err(e)
                }
                other => other,
            },
            work::RECOMPUTE => {
                self.customers.recompute_all(&scope).await?;
                self.work.refresh(&scope).await.map(drop)
            }
            other => Err(Error::Internal(anyhow::anyhow!("nobody does {other}"))),
        }
    }

    /// Queues the daily recomputing of every company with active personas; once a day, however many replicas ask.
    pub async fn daily(self, stop: CancellationToken) -> anyhow::Result<()> {
        while !stop.is_cancelled() {
            let day = self.clock.now().strftime("%Y-%m-%d").to_string();
            let queued = async {
                for scope in self.persona_store.scopes().await? {
                    self.work.recompute(&scope, &day).await?;
                }
                Ok::<_, Error>(())
            };
            if let Err(e) = queued.await {
                tracing::warn!(error = %e, "the daily recomputing was not queued: {e}");
            }
            tokio::select! {
                () = stop.cancelled() => {}
                () = tokio::time::sleep(DAILY) => {}
            }
        }
        Ok(())
    }
}

/// The service as it runs.
pub async fn service(config: Config) -> anyhow::Result<kit::Service> {
    build(config, Arc::new(kit::clock::SystemClock)).await
}

/// The service with a clock of the caller's.
pub async fn build(config: Config, clock: SharedClock) -> anyhow::Result<kit::Service> {
    let key = Arc::new(SigningKey::from_seed(&config.common.inner_key)?);
    let trusted: Vec<_> =
        std::iter::once(key.public()).chain(config.common.inner_trusted.iter().cloned()).collect();
    let verifier = Verifier::new(NAME, &trusted, clock.clone())?;
    let db = store::connect(&config.data, "analytics").await?;
    let bus = bus::Bus::connect(&config.data).await?;
    let objects = Objects::at(&config.files).context("failed to open the object store")?;
    let rooms = Rooms::open(&db, clock, objects, config.holdout_percent).await?;
    Ok(assemble(rooms, db, bus, verifier))
}

fn assemble(rooms: Rooms, db: Database, bus: bus::Bus, verifier: Verifier) -> kit::Service {
    let events = user_events::Rpc { events: rooms.events.clone(), customers: rooms.customers.clone() };
    let personas = persona::Rpc { personas: rooms.personas.clone(), categories: rooms.categories.clone() };
    let facts = facts::Rpc { customers: rooms.customers.clone(), holdouts: rooms.holdouts.clone() };
    let enrichment = enrichment::Rpc { customers: rooms.customers.clone() };
    let usage = product_usage::Rpc { usage: rooms.usage.clone() };
    let reports = analytics::Rpc { overviews: rooms.overviews.clone() };
    let holdout = experiment::Rpc { holdouts: rooms.holdouts.clone() };
    let events = pb::user_events_service_server::UserEventsServiceServer::new(events);
    let usage = pb::product_usage_service_server::ProductUsageServiceServer::new(usage);
    let check = kit::service::Check {
        is_unary: proto::check::is_unary,
        message: proto::check::message,
        rules: proto::check::rules,
    };
    let mut service = kit::Service::new(NAME)
        .verified_by(verifier)
        .checked_by(check)
        .described_by(proto::DESCRIPTORS)
        .room(events.max_decoding_message_size(LARGEST))
        .room(usage.max_encoding_message_size(LARGEST))
        .room(pb::persona_service_server::PersonaServiceServer::new(personas))
        .room(pb::facts_service_server::FactsServiceServer::new(facts))
        .room(pb::enrichment_service_server::EnrichmentServiceServer::new(enrichment))
        .room(pb::analytics_service_server::AnalyticsServiceServer::new(reports))
        .room(pb::experiment_service_server::ExperimentServiceServer::new(holdout));
    let group = rooms.intake.group();
    service = service.task("event_groups", move |stop| group.run(stop));
    for worker in ["work_1", "work_2"] {
        let (work, doing) = (rooms.work.clone(), rooms.doing());
        service = service.task(worker, move |stop| work.run(doing, stop));
    }
    let daily = rooms.clone();
    service = service.task("daily", move |stop| daily.daily(stop));
    for family in FAMILIES {
        let (bus, ears) = (bus.clone(), rooms.ears());
        service = service.task(family, move |stop| bus.subscribe(NAME, family, ears, stop));
    }
    let (relay_db, relay_bus) = (db.clone(), bus.clone());
    service = rooms.desk.serve(service, &bus);
    service = service
        .task("outbox", move |stop| store::outbox::relay(relay_db, CARRIERS.to_vec(), relay_bus, stop));
    service
        .ready("mongodb", move || {
            let db = db.clone();
            async move { store::ready(&db).await }
        })
        .ready("nats", move || {
            let bus = bus.clone();
            async move { bus.ready().await }
        })
}
