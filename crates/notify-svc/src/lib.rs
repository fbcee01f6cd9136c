//! notify-svc: mail, and messages to the people of the dashboard.

pub mod config;
pub mod contacts;
pub mod ears;
pub mod email;
pub mod error;
mod events;
pub mod notification;
pub mod privacy;
pub mod upstream;

use std::sync::Arc;

use anyhow::Context as _;
use kit::SharedClock;
use kit::caller::{Minter, SigningKey, Verifier};
use kit::client::Upstream;
use mongodb::Database;
use proto::notify::notification_service_server::NotificationServiceServer;
use tokio::sync::Notify;

pub use config::Config;
use contacts::ContactStore;
use ears::{Ears, FAMILIES};
use email::{Files, From, MailStore, Mails, Sender, Smtp, Templates, Worker};
use notification::{NotificationStore, Notifications};
use personal::Desk;
use privacy::NotifyHolder;
use upstream::Directory;

/// The service's name: in tokens, logs, database and consumers.
pub const NAME: &str = "notify-svc";

/// Everything notify is made of, put together over one database.
pub struct Rooms {
    pub mails: Mails,
    pub notifications: Notifications,
    pub ears: Arc<Ears>,
    pub worker: Worker,
    /// Does notify's part of a privacy request.
    pub desk: Desk,
}

impl Rooms {
    pub async fn open(
        db: &Database,
        clock: SharedClock,
        config: &Config,
        directory: Directory,
        sender: Arc<dyn Sender>,
    ) -> anyhow::Result<Self> {
        let wake = Arc::new(Notify::new());
        let mail_store = MailStore::open(db, clock.clone()).await?;
        let mails = Mails::new(mail_store.clone(), wake.clone(), clock.clone());
        let store = NotificationStore::open(db, clock.clone()).await?;
        let notifications =
            Notifications::new(store, mails.clone(), directory.clone(), &config.public_url, clock.clone());
        let contacts = ContactStore::open(db, clock.clone()).await?;
        let ears = Arc::new(Ears {
            mails: mails.clone(),
            contacts: contacts.clone(),
            notifications: notifications.clone(),
            directory,
            high_value_minor: config.high_value_minor,
        });
        let holder = NotifyHolder { contacts: contacts.clone() };
        let desk = Desk::open(NAME, db, clock.clone(), Arc::new(holder)).await?;
        let from = From::parse(&config.mail_from).context("failed to read RETENTION_MAIL_FROM")?;
        let templates = Arc::new(Templates::new()?);
        let worker = Worker::new(mail_store, contacts, sender, templates, from, wake, clock);
        Ok(Self { mails, notifications, ears, worker, desk })
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
    let directory = Directory::new(Upstream::new("identity-svc", &config.identity_addr, minter)?);
    let sender: Arc<dyn Sender> = match &config.smtp_url {
        Some(url) => Arc::new(Smtp::new(url)?),
        None => Arc::new(Files::open(config.mail_dir.clone()).await?),
    };
    let db = store::connect(&config.data, NAME).await?;
    let bus = bus::Bus::connect(&config.data).await?;
    let rooms = Rooms::open(&db, clock, &config, directory, sender.clone()).await?;
    Ok(assemble(rooms, db, bus, sender, verifier))
}

fn assemble(
    rooms: Rooms,
    db: Database,
    bus: bus::Bus,
    sender: Arc<dyn Sender>,
    verifier: Verifier,
) -> kit::Service {
    let Rooms { mails, notifications, ears, worker, desk } = rooms;
    let mut service = kit::Service::new(NAME)
        .verified_by(verifier)
        .checked_by(kit::service::Check {
            is_unary: proto::check::is_unary,
            message: proto::check::message,
            rules: proto::check::rules,
        })
        .described_by(proto::DESCRIPTORS)
        .room(NotificationServiceServer::new(notification::Rpc { notifications, mails }))
        .task("mails", move |stop| worker.run(stop));
    for family in FAMILIES {
        let (bus, ears) = (bus.clone(), ears.clone());
        service = service.task(family, move |stop| bus.subscribe(NAME, family, ears, stop));
    }
    let (relay_db, relay_bus) = (db.clone(), bus.clone());
    let told = vec!["mails", "notifications", personal::COLLECTION];
    desk.serve(service, &bus)
        .task("outbox", move |stop| store::outbox::relay(relay_db, told, relay_bus, stop))
        .ready("mongodb", move || {
            let db = db.clone();
            async move { store::ready(&db).await }
        })
        .ready("nats", move || {
            let bus = bus.clone();
            async move { bus.ready().await }
        })
        .ready("mail", move || {
            let sender = sender.clone();
            async move { sender.ready().await }
        })
}
