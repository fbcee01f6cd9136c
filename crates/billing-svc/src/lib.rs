//! Billing: customers and their subscriptions as the provider has them, offers, redemptions, and the providers
//! themselves. Nothing here moves money but a claimed redemption; the mirror moves only when the provider says so.

pub mod config;
pub mod connections;
pub mod customers;
pub mod error;
mod events;
pub mod inbound;
pub mod offer;
pub mod providers;
pub mod redemption;
pub mod request_lock;
pub mod secrets;
pub mod subscription;
pub mod upstream;

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use kit::SharedClock;
use kit::caller::{Minter, SigningKey, Verifier};
use proto::billing as pb;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

pub use config::Config;
use connections::{Addresses, Connections, Opener, Syncs};
use customers::Customers;
use inbound::{Inbound, Worker};
use offer::{Ledgers, Offers};
use redemption::Redemptions;
use store::Leases;
use store::grouped::Inserter;
use subscription::Subscriptions;
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
    pub subscriptions: Subscriptions,
    pub offers: Offers,
    pub redemptions: Redemptions,
    pub inbound: Inbound,
    pub worker: Worker,
    pub leases: Leases,
    /// Writes received events; its `run` is a task of the service.
    pub inserts: Inserter<inbound::Event>,
    pub locks: request_lock::Locks,
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
    ) -> anyhow::Result<Self> {
        let leases = Leases::open(db, clock.clone()).await?;
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
            clock.clone(),
        );
        let offers = Offers::new(offer_store, subscriptions.clone(), connections.clone(), clock.clone());
        let redemptions = Redemptions::new(
            redemption::store::RedemptionStore::open(db, clock.clone()).await?,
            offers.clone(),
            ledgers,
            subscriptions.clone(),
            connections.clone(),
            leases.clone(),
            clock.clone(),
        );
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
        let releases = request_lock::ReleaseStore::open(db, clock.clone()).await?;
        let locks = request_lock::Locks::new(leases.clone(), releases, clock);
        Ok(Self {
            connections,
            syncs,
            customers,
            subscriptions,
            offers,
            redemptions,
            inbound,
            worker,
            leases,
            inserts,
            locks,
        })
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
    let minter = Minter::new(NAME, key, clock.clone());
    let db = store::connect(&config.data, "billing").await?;
    let bus = bus::Bus::connect(&config.data).await?;
    let settings =
        connect::http::Settings { private_networks: config.private_networks, ..Default::default() };
    let http = connect::http::Http::new(settings).context("failed to make the HTTP client")?;
    let tools = providers::Tools::open(&db, http, clock.clone()).await?;
    let simulated = tools.books().cloned().map(|books| providers::simulated::server(books, clock.clone()));
    let opener: Opener = Arc::new(move |connection| providers::open(connection, &tools));
    let vault = secrets::Vault::new(&config.secrets_key)?;
    let identity = kit::client::Upstream::new("identity-svc", &config.identity_addr, minter)?;
    let addresses = Addresses { stripe: config.stripe_url.clone(), recurly: config.recurly_url.clone() };
    let rooms = Rooms::open(&db, clock, vault, opener, addresses, Directory::new(identity)).await?;
    let service = assemble(rooms, db, bus, verifier);
    Ok(match simulated {
        Some(room) => service.room(room.max_decoding_message_size(LARGEST)),
        None => service,
    })
}

fn assemble(rooms: Rooms, db: mongodb::Database, bus: bus::Bus, verifier: Verifier) -> kit::Service {
    let Rooms {
        connections,
        syncs,
        customers,
        subscriptions,
        offers,
        redemptions,
        inbound,
        worker,
        leases: _,
        inserts,
        locks,
    } = rooms;
    let connection_room = connections::Rpc { connections, syncs: syncs.clone() };
    let offer_room = offer::Rpc { offers, redemptions: redemptions.clone() };
    let inbound_room = pb::inbound_service_server::InboundServiceServer::new(inbound::Rpc(inbound));
    let customer_room = pb::customer_service_server::CustomerServiceServer::new(customers::Rpc(customers));
    let mut collections = vec![
        "connections",
        "customers",
        "customer_attributes",
        "subscriptions",
        "offers",
        "redemptions",
        "inbound_events",
        "lock_releases",
    ];
    collections.extend(providers::simulated::WITH_EVENTS);
    let (ready_db, ready_bus) = (db.clone(), bus.clone());
    kit::Service::new(NAME)
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
        .room(pb::subscription_service_server::SubscriptionServiceServer::new(subscription::Rpc(
            subscriptions.clone(),
        )))
        .room(pb::offer_service_server::OfferServiceServer::new(offer_room))
        .room(pb::redemption_service_server::RedemptionServiceServer::new(redemption::Rpc(
            redemptions.clone(),
        )))
        .room(pb::request_lock_service_server::RequestLockServiceServer::new(request_lock::Rpc(locks)))
        .task("outbox", move |stop| store::outbox::relay(db, collections, bus, stop))
        .task("inbox", move |stop| inserts.run(stop))
        .task("inbound", move |stop| worker.run(stop))
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
        .task("tidy", move |stop| {
            repeat(stop, TIDY, move || {
                let (redemptions, subscriptions) = (redemptions.clone(), subscriptions.clone());
                async move {
                    redemptions.exhaust().await?;
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
