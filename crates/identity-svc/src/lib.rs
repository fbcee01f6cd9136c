//! Identity: companies, the people of the dashboard, how they sign in, the keys of machines, and the audit trail.

pub mod api_key;
pub mod audit;
pub mod companies;
pub mod config;
mod db;
mod directory;
pub mod error;
mod events;
pub mod global_config;
pub mod invitation;
pub mod onboarding_details;
pub mod privacy;
pub mod secrets;
pub mod user_profiles;
pub mod user_session;
pub mod workos;

use std::sync::Arc;

use anyhow::Context as _;
use kit::SharedClock;
use kit::caller::{SigningKey, Verifier};
use proto::identity as pb;

use api_key::ApiKeys;
use audit::{Audit, Recorder};
use companies::Companies;
pub use config::Config;
use db::Db;
use global_config::{ConfigStore, GlobalConfig, Settings};
use invitation::Invitations;
use onboarding_details::{OnboardingDetails, OnboardingStore, Witness};
use personal::Desk;
use user_profiles::{People, PeopleStore};
use user_session::{CodeStore, Keys, Limits, SessionStore, Sessions};

/// The service's name: in tokens, logs, database and consumers.
pub const NAME: &str = "identity-svc";

/// The collections whose events are published.
const COLLECTIONS: [&str; 12] = [
    "companies",
    "people",
    "members",
    "invitations",
    "sessions",
    "sign_in_codes",
    "api_keys",
    "audit_entries",
    "config_changes",
    "onboardings",
    "sso_settings",
    personal::COLLECTION,
];

/// The use cases of all rooms, put together.
#[derive(Clone)]
struct Rooms {
    companies: Companies,
    company_store: companies::CompanyStore,
    people: People,
    people_store: PeopleStore,
    invitations: Invitations,
    sessions: Sessions,
    keys: ApiKeys,
    audit: Audit,
    config: GlobalConfig,
    settings: Settings,
    onboarding: OnboardingDetails,
    sso: workos::Room,
    /// Says what identity keeps of customers.
    desk: Desk,
}

impl Rooms {
    async fn open(db: &mongodb::Database, clock: SharedClock, config: &Config) -> anyhow::Result<Self> {
        let vault = secrets::Vault::new(&config.secrets_key)?;
        let signing = Keys::open(db, &vault, clock.clone()).await?;
        let company_store = companies::CompanyStore::open(db, clock.clone()).await?;
        let people_store = PeopleStore::open(db, clock.clone()).await?;
        let limits = Limits { per_address: config.sign_ins_per_address };
        let handle = Db::new(db.clone());
        let values = ConfigStore::open(db, clock.clone()).await?;
        let codes = global_config::Value::Int(config.codes_per_account.into());
        let settings =
            Settings::new(values.clone(), [(global_config::keys::SIGN_IN_CODES_PER_ACCOUNT.0, codes)]);
        let global = GlobalConfig::new(values, settings.clone(), handle.clone(), clock.clone());
        let sessions = Sessions::new(
            SessionStore::open(db, clock.clone()).await?,
            CodeStore::open(db, clock.clone()).await?,
            people_store.clone(),
            company_store.clone(),
            signing,
            vault.clone(),
            limits,
            settings.clone(),
            clock.clone(),
        );
        let companies =
            Companies::new(company_store.clone(), people_store.clone(), settings.clone(), clock.clone());
        let people = People::new(
            people_store.clone(),
            company_store.clone(),
            sessions.clone(),
            handle.clone(),
            clock.clone(),
        );
        let invitations = Invitations::new(
            invitation::InvitationStore::open(db, clock.clone()).await?,
            people_store.clone(),
            company_store.clone(),
            handle.clone(),
            settings.clone(),
            &config.public_url,
            clock.clone(),
        );
        let onboarding = OnboardingDetails::new(
            OnboardingStore::open(db, clock.clone()).await?,
            company_store.clone(),
            people_store.clone(),
            clock.clone(),
        );
        let keys = api_key::ApiKeyStore::open(db, clock.clone()).await?;
        let keys = ApiKeys::new(keys, company_store.clone(), settings.clone(), clock.clone());
        let audit = Audit::new(audit::AuditStore::open(db, clock.clone()).await?);
        let sso = workos::Needs {
            companies: company_store.clone(),
            people: people.clone(),
            people_store: people_store.clone(),
            sessions: sessions.clone(),
            vault,
            db: handle,
            clock: clock.clone(),
        };
        let desk = Desk::open(NAME, db, clock, Arc::new(privacy::IdentityHolder)).await?;
        let sso = Box::pin(workos::Room::open(db, config, sso)).await?;
        Ok(Self {
            companies,
            company_store,
            people,
            people_store,
            invitations,
            sessions,
            keys,
            audit,
            config: global,
            settings,
            onboarding,
            sso,
            desk,
        })
    }
}

/// The service as it runs.
pub async fn service(config: Config) -> anyhow::Result<kit::Service> {
    Box::pin(build(config, Arc::new(kit::clock::SystemClock))).await
}

/// The service with a clock of the caller's.
pub async fn build(config: Config, clock: SharedClock) -> anyhow::Result<kit::Service> {
    let key = SigningKey::from_seed(&config.common.inner_key)?;
    let trusted: Vec<_> =
        std::iter::once(key.public()).chain(config.common.inner_trusted.iter().cloned()).collect();
    let verifier = Verifier::new(NAME, &trusted, clock.clone())?;
    let db = store::connect(&config.data, NAME).await?;
    let bus = bus::Bus::connect(&config.data).await?;
    let rooms = Box::pin(Rooms::open(&db, clock.clone(), &config)).await?;
    if let Some(email) = config.bootstrap_admin.as_deref().filter(|e| !e.is_empty()) {
        rooms.people.bootstrap(email).await.context("failed to make RETENTION_BOOTSTRAP_ADMIN")?;
    }
    Ok(assemble(rooms, db, bus, verifier, clock))
}

fn assemble(
    rooms: Rooms,
    db: mongodb::Database,
    bus: bus::Bus,
    verifier: Verifier,
    clock: SharedClock,
) -> kit::Service {
    let Rooms {
        companies,
        company_store,
        people,
        people_store,
        invitations,
        sessions,
        keys,
        audit,
        config,
        settings,
        onboarding,
        sso,
        desk,
    } = rooms;
    let directory = directory::Directory {
        keys: keys.clone(),
        sessions: sessions.clone(),
        companies: company_store,
        people: people_store,
    };
    let jwks = directory::Jwks(sessions.keys().clone());
    let recorder = Arc::new(Recorder(audit.clone()));
    let undelivered = Arc::new(invitation::Undelivered(invitations.clone()));
    let (ready_db, ready_bus, audit_bus) = (db.clone(), bus.clone(), bus.clone());
    let (mail_bus, config_bus) = (bus.clone(), bus.clone());
    let (worker, sweep) = (sso.worker(), sso.sweep());
    let witness = Arc::new(Witness::new(onboarding.clone()));
    let (signing, timetable) = (sessions.keys().clone(), Timetable { db: db.clone(), clock });
    let mut service = timetable.add_to(kit::Service::new(NAME), &companies, &invitations, &sessions, &sso);
    for family in onboarding_details::FAMILIES {
        let (bus, witness) = (bus.clone(), witness.clone());
        service = service
            .task(format!("onboarding_{family}"), move |stop| bus.subscribe(NAME, family, witness, stop));
    }
    desk.serve(service, &bus)
        .verified_by(verifier)
        .checked_by(kit::service::Check {
            is_unary: proto::check::is_unary,
            message: proto::check::message,
            rules: proto::check::rules,
        })
        .described_by(proto::DESCRIPTORS)
        .room(pb::company_service_server::CompanyServiceServer::new(companies::Rpc(companies)))
        .room(pb::user_profile_service_server::UserProfileServiceServer::new(user_profiles::Rpc(people)))
        .room(pb::invitation_service_server::InvitationServiceServer::new(invitation::Rpc(invitations)))
        .room(pb::user_session_service_server::UserSessionServiceServer::new(user_session::Rpc(sessions)))
        .room(pb::api_key_service_server::ApiKeyServiceServer::new(api_key::Rpc(keys)))
        .room(pb::audit_service_server::AuditServiceServer::new(audit::Rpc(audit)))
        .room(pb::global_config_service_server::GlobalConfigServiceServer::new(global_config::Rpc(config)))
        .room(pb::onboarding_service_server::OnboardingServiceServer::new(onboarding_details::Rpc(
            onboarding,
        )))
        .room(pb::directory_service_server::DirectoryServiceServer::new(directory))
        .room(pb::jwks_service_server::JwksServiceServer::new(jwks))
        .room(pb::workos_service_server::WorkosServiceServer::new(sso.rpc()))
        .task("sso_inbox", move |stop| worker.run(stop))
        .task("sso_sessions", move |stop| sweep.run(stop))
        .task("outbox", move |stop| store::outbox::relay(db, COLLECTIONS.to_vec(), bus, stop))
        .task("audit", move |stop| audit_bus.subscribe(NAME, "audit", recorder, stop))
        .task("notification", move |stop| mail_bus.subscribe(NAME, "notification", undelivered, stop))
        .task("signing_keys", move |stop| signing.follow(stop))
        // Without NATS a change is in effect when what was read is too old.
        .task("settings", move |stop| {
            config_bus.overhear("config", move |heard| settings.forget(&heard.scope), stop)
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

/// What runs by the clock.
struct Timetable {
    db: mongodb::Database,
    clock: SharedClock,
}

impl Timetable {
    fn add_to(
        &self,
        service: kit::Service,
        companies: &Companies,
        invitations: &Invitations,
        sessions: &Sessions,
        sso: &workos::Room,
    ) -> kit::Service {
        let (companies, invitations) = (companies.clone(), invitations.clone());
        let (keys, sessions) = (sessions.keys().clone(), sessions.clone());
        let service = self.job(service, "company_closing", "*/10 * * * *", move || {
            let companies = companies.clone();
            async move { Ok(companies.close_due().await?) }
        });
        let service = self.job(service, "invitation_expiry", "*/10 * * * *", move || {
            let invitations = invitations.clone();
            async move { Ok(invitations.expire().await?) }
        });
        let cursor = sso.cursor();
        let service = self.job(service, "sso_events", "* * * * *", move || {
            let cursor = cursor.clone();
            async move { cursor.read().await.map(drop).map_err(anyhow::Error::from) }
        });
        let service = self.job(service, "session_sweep", "*/10 * * * *", move || {
            let sessions = sessions.clone();
            async move { Ok(sessions.sweep().await?) }
        });
        self.job(service, "signing_key_rotation", "*/10 * * * *", move || {
            let keys = keys.clone();
            async move { keys.rotate().await }
        })
    }

    fn job<F, Fut>(
        &self,
        service: kit::Service,
        key: &'static str,
        expression: &'static str,
        work: F,
    ) -> kit::Service
    where
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output = anyhow::Result<()>> + Send + 'static,
    {
        let (db, clock) = (self.db.clone(), self.clock.clone());
        service
            .task(key, move |stop| store::cron::every(db, clock, key, expression, move |_due| work(), stop))
    }
}
