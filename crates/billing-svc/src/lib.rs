//! Billing: customers and their subscriptions as the provider has them, offers, redemptions, and the providers
//! themselves. Nothing here moves money but a claimed redemption; the mirror moves only when the provider says so.

pub mod config;
pub mod connections;
pub mod customer_export;
pub mod customer_import;
pub mod customer_merge;
pub mod customers;
pub mod error;
mod events;
pub mod inbound;
pub mod offer;
pub mod privacy;
pub mod providers;
pub mod recovery;
pub mod redemption;
pub mod request_lock;
pub mod secrets;
pub mod subscription;
pub mod test_clock;
pub mod timeline;
pub mod upstream;

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use connect::objects::Objects;
use kit::SharedClock;
use kit::caller::{Minter, SigningKey, Verifier};
use proto::billing as pb;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

pub use config::Config;
use connections::{Addresses, Connections, Opener, Syncs};
use customer_export::Exports;
use customer_import::Imports;
use customer_merge::Merges;
use customers::Customers;
use inbound::{Gaps, Inbound, Worker};
use offer::{Ledgers, Offers};
use personal::Desk;
use privacy::{BillingHolder, PrivacyRequests};
use recovery::{Campaigns, Cases};
use redemption::Redemptions;
use store::grouped::Inserter;
use store::{Jobs, Leases};
use subscription::Subscriptions;
use test_clock::{Clocks, Passing, TestClocks};
use timeline::Timeline;
use upstream::Directory;

/// The service's name: in tokens, logs, database and consumers.
pub const NAME: &str = "billing-svc";

/// The largest webhook we take is 1 MiB; gRPC frames a little more.
const LARGEST: usize = 8 * 1024 * 1024;

/// How often it is looked for redemptions left half-way.
const SWEEP: Duration = Duration::from_secs(5);
/// How often effects that are over and subscriptions nobody hears of are looked for.
const TIDY: Duration = Duration::from_secs(300);

/// The use cases of all rooms, put together.
#[derive(Clone)]
pub struct Rooms {
    pub connections: Connections,
    pub syncs: Syncs,
    pub customers: Customers,
    pub merges: Merges,
    pub timeline: Timeline,
    pub imports: Imports,
    pub exports: Exports,
    pub jobs: Jobs,
    pub subscriptions: Subscriptions,
    pub offers: Offers,
    pub redemptions: Redemptions,
    pub campaigns: Campaigns,
    pub cases: Cases,
    pub inbound: Inbound,
    pub worker: Worker,
    pub gaps: Gaps,
    pub leases: Leases,
    /// Writes received events; its `run` is a task of the service.
    pub inserts: Inserter<inbound::Event>,
    pub locks: request_lock::Locks,
    pub privacy: PrivacyRequests,
    /// Does billing's own part of a privacy request.
    pub desk: Desk,
    pub test_clocks: TestClocks,
    pub passing: Passing,
}

/// Where files are kept, and for how long what.
#[derive(Clone)]
pub struct Keeping {
    pub objects: Objects,
    pub timeline_days: u32,
}

impl Rooms {
    /// Opens the stores and puts the rooms together. `opener` makes provider adapters: tests bring their own.
    pub async fn open(
        db: &mongodb::Database,
        clock: SharedClock,
        vault: secrets::Vault,
        opener: Opener,
        addresses: Addresses,
        directory: Directory,
        keeping: Keeping,
    ) -> anyhow::Result<Self> {
        let leases = Leases::open(db, clock.clone()).await?;
        let clocks = Clocks::open(db, clock.clone()).await?;
        let connections = connections::store::ConnectionStore::open(db, clock.clone()).await?;
        let connections = Connections::new(connections, vault, opener, addresses, clock.clone());
        let customers = customers::store::CustomerStore::open(db, clock.clone()).await?;
        let customers = Customers::new(customers, clock.clone());
        let offer_store = offer::store::OfferStore::open(db, clock.clone()).await?;
        let ledgers = Ledgers::new(offer_store.clone());
        let subscriptions = Subscriptions::new(
            subscription::store::SubscriptionStore::open(db, clock.clone()).await?,
            customers.clone(),
            ledgers.clone(),
            connections.clone(),
            leases.clone(),
            clocks.clone(),
        );
        let offers = Offers::new(offer_store, subscriptions.clone(), connections.clone(), clocks.clone());
        let redemptions = Redemptions::new(
            redemption::store::RedemptionStore::open(db, clock.clone()).await?,
            offers.clone(),
            ledgers.clone(),
            subscriptions.clone(),
            connections.clone(),
            leases.clone(),
            clocks.clone(),
        );
        let campaigns = Campaigns::new(
            recovery::store::CampaignStore::open(db, clock.clone()).await?,
            offers.clone(),
            clock.clone(),
        );
        let cases = Cases {
            store: recovery::store::CaseStore::open(db, clock.clone()).await?,
            campaigns: campaigns.clone(),
            subscriptions: subscriptions.clone(),
            offers: offers.clone(),
            redemptions: redemptions.clone(),
            directory: directory.clone(),
            leases: leases.clone(),
            clocks: clocks.clone(),
        };
        let merges = Merges::new(
            customer_merge::store::MergeStore::open(db, clock.clone()).await?,
            customers.clone(),
            subscriptions.clone(),
            redemptions.clone(),
            ledgers.clone(),
            clock.clone(),
        );
        let jobs = Jobs::open(db, clock.clone()).await?;
        let imports = Imports::new(
            customer_import::store::ImportStore::open(db, clock.clone()).await?,
            customers.clone(),
            keeping.objects.clone(),
            jobs.clone(),
            clock.clone(),
        );
        let exports = Exports::new(
            customer_export::store::ExportStore::open(db, clock.clone()).await?,
            customers.clone(),
            keeping.objects,
            jobs.clone(),
            clock.clone(),
        );
        let privacy = PrivacyRequests::new(
            privacy::store::RequestStore::open(db, clock.clone()).await?,
            customers.clone(),
            merges.clone(),
            clock.clone(),
        );
        let holder = BillingHolder {
            customers: customers.clone(),
            merges: merges.clone(),
            subscriptions: subscriptions.clone(),
            redemptions: redemptions.clone(),
            ledgers,
            cases: cases.clone(),
            exports: exports.clone(),
        };
        let desk = Desk::open(NAME, db, clock.clone(), Arc::new(holder)).await?;
        let entries = timeline::store::EntryStore::open(db, clock.clone()).await?;
        let timeline = Timeline::new(entries, merges.clone(), keeping.timeline_days);
        let syncs = Syncs::new(
            connections.clone(),
            customers.clone(),
            subscriptions.clone(),
            leases.clone(),
            clock.clone(),
        );
        let wake = Arc::new(Notify::new());
        let events = inbound::store::EventStore::open(db, clock.clone()).await?;
        let inserts = events.inserts();
        let inbound =
            Inbound::new(events.clone(), directory, connections.clone(), clock.clone(), wake.clone());
        let worker = Worker::new(
            events,
            connections.clone(),
            customers.clone(),
            subscriptions.clone(),
            leases.clone(),
            clock.clone(),
            wake,
        );
        let gaps = Gaps::new(
            connections.clone(),
            inbound.clone(),
            subscriptions.clone(),
            leases.clone(),
            clock.clone(),
        );
        let timed = Arc::new(Notify::new());
        let passing = Passing {
            clocks: clocks.clone(),
            books: providers::simulated::Books::open(db, clock.clone()).await?,
            connections: connections.clone(),
            inbound: inbound.clone(),
            worker: worker.clone(),
            subscriptions: subscriptions.clone(),
            cases: cases.clone(),
            redemptions: redemptions.clone(),
            leases: leases.clone(),
            wake: timed.clone(),
        };
        let test_clocks = TestClocks::new(clocks, timed);
        let releases = request_lock::ReleaseStore::open(db, clock.clone()).await?;
        let locks = request_lock::Locks::new(leases.clone(), releases, clock);
        Ok(Self {
            connections,
            syncs,
            customers,
            merges,
            timeline,
            imports,
            exports,
            jobs,
            subscriptions,
            offers,
            redemptions,
            campaigns,
            cases,
            inbound,
            worker,
            gaps,
            leases,
            inserts,
            locks,
            privacy,
            desk,
            test_clocks,
            passing,
        })
    }
}

/// The service as it runs.
pub async fn service(config: Config) -> anyhow::Result<kit::Service> {
    Box::pin(build(config, Arc::new(kit::clock::SystemClock))).await
}

/// The service with a clock of the caller's.
pub async fn build(config: Config, clock: SharedClock) -> anyhow::Result<kit::Service> {
    let key = Arc::new(SigningKey::from_seed(&config.common.inner_key)?);
    let trusted: Vec<_> =
        std::iter::once(key.public()).chain(config.common.inner_trusted.iter().cloned()).collect();
    let verifier = Verifier::new(NAME, &trusted, clock.clone())?;
    let minter = Minter::new(NAME, key, clock.clone());
    let db = store::connect(&config.data, "billing").await?;
    let bus = bus::Bus::connect(&config.data).await?;
    let settings =
        connect::http::Settings { private_networks: config.private_networks, ..Default::default() };
    let http = connect::http::Http::new(settings).context("failed to make the HTTP client")?;
    let tools = providers::Tools::open(&db, http, clock.clone()).await?;
    let simulated = tools.books().cloned().map(providers::simulated::server);
    let opener: Opener = Arc::new(move |connection| providers::open(connection, &tools));
    let vault = secrets::Vault::new(&config.secrets_key)?;
    let objects = Objects::at(&config.files).context("failed to open the object store")?;
    let keeping = Keeping { objects, timeline_days: config.timeline_days };
    let identity = kit::client::Upstream::new("identity-svc", &config.identity_addr, minter)?;
    let addresses = Addresses {
        stripe: config.stripe_url.clone(),
        chargebee: config.chargebee_url.clone(),
        recurly: config.recurly_url.clone(),
    };
    let directory = Directory::new(identity);
    let rooms = Rooms::open(&db, clock.clone(), vault, opener, addresses, directory, keeping);
    let rooms = Box::pin(rooms).await?;
    let service = assemble(rooms, db, bus, verifier, clock);
    Ok(match simulated {
        Some(room) => service.room(room.max_decoding_message_size(LARGEST)),
        None => service,
    })
}

fn assemble(
    rooms: Rooms,
    db: mongodb::Database,
    bus: bus::Bus,
    verifier: Verifier,
    clock: SharedClock,
) -> kit::Service {
    let Rooms {
        connections,
        syncs,
        customers,
        merges,
        timeline,
        imports,
        exports,
        jobs,
        subscriptions,
        offers,
        redemptions,
        campaigns,
        cases,
        inbound,
        worker,
        gaps,
        leases: _,
        inserts,
        locks,
        privacy,
        desk,
        test_clocks,
        passing,
    } = rooms;
    let connection_room = connections::Rpc { connections, syncs: syncs.clone(), inbound: inbound.clone() };
    let offer_room = offer::Rpc { offers, redemptions: redemptions.clone() };
    let inbound_room = pb::inbound_service_server::InboundServiceServer::new(inbound::Rpc(inbound));
    let customer_room = pb::customer_service_server::CustomerServiceServer::new(customers::Rpc(customers));
    let mut collections = vec![
        "connections",
        "customers",
        "customer_attributes",
        "customer_merges",
        "customer_imports",
        "customer_exports",
        "subscriptions",
        "offers",
        "redemptions",
        "recovery_campaigns",
        "recovery_cases",
        "inbound_events",
        "lock_releases",
        "privacy_requests",
        personal::COLLECTION,
        "test_clocks",
    ];
    collections.extend(providers::simulated::WITH_EVENTS);
    let (ready_db, ready_bus, heard, told) = (db.clone(), bus.clone(), bus.clone(), timeline.clone());
    let (cron_db, due) = (db.clone(), cases.clone());
    let ears = Arc::new(recovery::Ears { cases: cases.clone(), campaigns: campaigns.clone() });
    let mut service = kit::Service::new(NAME);
    for family in recovery::Ears::FAMILIES {
        let (bus, ears) = (bus.clone(), ears.clone());
        service = service.task(family, move |stop| bus.subscribe(NAME, family, ears, stop));
    }
    let service = with_privacy(service, &desk, privacy, &bus);
    let service = service
        .verified_by(verifier)
        .checked_by(kit::service::Check {
            is_unary: proto::check::is_unary,
            message: proto::check::message,
            rules: proto::check::rules,
        })
        .described_by(proto::DESCRIPTORS)
        .room(pb::connection_service_server::ConnectionServiceServer::new(connection_room))
        .room(inbound_room.max_decoding_message_size(LARGEST))
        .room(customer_room.max_decoding_message_size(LARGEST))
        .room(pb::customer_merge_service_server::CustomerMergeServiceServer::new(customer_merge::Rpc(merges)))
        .room(pb::customer_import_service_server::CustomerImportServiceServer::new(customer_import::Rpc(
            imports.clone(),
        )))
        .room(pb::customer_export_service_server::CustomerExportServiceServer::new(customer_export::Rpc(
            exports.clone(),
        )))
        .room(pb::timeline_service_server::TimelineServiceServer::new(timeline::Rpc(timeline)))
        .room(pb::subscription_service_server::SubscriptionServiceServer::new(subscription::Rpc(
            subscriptions.clone(),
        )))
        .room(pb::offer_service_server::OfferServiceServer::new(offer_room))
        .room(pb::redemption_service_server::RedemptionServiceServer::new(redemption::Rpc(
            redemptions.clone(),
        )))
        .room(pb::recovery_service_server::RecoveryServiceServer::new(recovery::Rpc { campaigns, cases }))
        .room(pb::test_clock_service_server::TestClockServiceServer::new(test_clock::Rpc(test_clocks)))
        .room(pb::request_lock_service_server::RequestLockServiceServer::new(request_lock::Rpc(locks)))
        .task("imports", {
            let jobs = jobs.clone();
            move |stop| jobs.worker(customer_import::KIND, 2, imports.worker(), stop)
        })
        .task("exports", {
            let worker = exports.worker();
            move |stop| jobs.worker(customer_export::KIND, 1, worker, stop)
        })
        .task("outbox", move |stop| store::outbox::relay(db, collections, bus, stop))
        .task("inbox", move |stop| inserts.run(stop))
        .task("inbound", move |stop| worker.run(stop))
        .task("passing", move |stop| passing.run(stop))
        .task("gaps", move |stop| gaps.run(stop))
        .task("syncs", move |stop| syncs.run(stop))
        .task("redemptions", {
            let redemptions = redemptions.clone();
            move |stop| {
                repeat(stop, SWEEP, move || {
                    let redemptions = redemptions.clone();
                    async move { redemptions.finish_stuck().await.map(|_| ()) }
                })
            }
        })
        .task("recovery_step", move |stop| {
            let step = move |_due| {
                let cases = due.clone();
                async move { cases.step_due().await.map(drop).map_err(anyhow::Error::from) }
            };
            store::cron::every(cron_db, clock, "recovery_step", "* * * * *", step, stop)
        })
        .task("tidy", move |stop| {
            repeat(stop, TIDY, move || {
                let (redemptions, subscriptions, exports) =
                    (redemptions.clone(), subscriptions.clone(), exports.clone());
                async move {
                    redemptions.exhaust().await?;
                    exports.expire().await?;
                    subscriptions.check_silent().await.map(|_| ())
                }
            })
        })
        .ready("mongodb", move || {
            let db = ready_db.clone();
            async move { store::ready(&db).await }
        })
        .ready("nats", move || {
            let bus = ready_bus.clone();
            async move { bus.ready().await }
        });
    timeline::FAMILIES.into_iter().fold(service, |service, family| {
        let (bus, ears) = (heard.clone(), timeline::Ears::shared(told.clone()));
        // A consumer of its own beside recovery's: each hears every event.
        service
            .task(format!("timeline_{family}"), move |stop| bus.subscribe(timeline::NAME, family, ears, stop))
    })
}

/// Privacy requests: their room, billing's own part, the receipts of all, and asking whoever is silent.
fn with_privacy(
    service: kit::Service,
    desk: &Desk,
    privacy: PrivacyRequests,
    bus: &bus::Bus,
) -> kit::Service {
    let (bus_of_receipts, ears) = (bus.clone(), Arc::new(privacy::Ears(privacy.clone())));
    let room = pb::privacy_service_server::PrivacyServiceServer::new(privacy::Rpc(privacy.clone()));
    desk.serve(service.room(room), bus)
        .task("privacy_receipts", move |stop| {
            bus_of_receipts.subscribe(privacy::NAME, personal::FAMILY, ears, stop)
        })
        .task("privacy", move |stop| {
            repeat(stop, SWEEP, move || {
                let privacy = privacy.clone();
                async move { privacy.ask_again().await.map(drop) }
            })
        })
}

/// Does something again and again until stopped. An error is logged and the next round tries again.
async fn repeat<F, Fut>(stop: CancellationToken, every: Duration, mut work: F) -> anyhow::Result<()>
where
    F: FnMut() -> Fut,
    Fut: Future<Output = error::Result<()>>,
{
    loop {
        if let Err(e) = work().await {
            tracing::warn!(error = %e, "a round failed, the next one tries again: {e}");
        }
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            () = tokio::time::sleep(every) => {}
        }
    }
}
