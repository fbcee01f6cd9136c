//! The service with a clock to move, clients to call it as anybody, and the mails it asked for.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bus::{Bus, Handler, Incoming, Outcome};
use clap::Parser as _;
use identity_svc::Config;
use kit::caller::{Minter, SigningKey};
use kit::client::Upstream;
use kit::clock::{Clock as _, MovedClock};
use kit::{Actor, Caller, ExposeSecret, Mode, Role, Scope};
use prost::Message as _;
use proto::events::event::Data;
use proto::identity as pb;
use testkit::TestDb;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

pub const OPERATOR: &str = "ops@kale.example";
pub const WAIT: Duration = Duration::from_secs(20);

#[derive(Clone, Default)]
struct Mailbox(Arc<Mutex<Vec<proto::events::MailRequested>>>);

#[async_trait]
impl Handler for Mailbox {
    async fn handle(&self, batch: &[Incoming]) -> Vec<Outcome> {
        for incoming in batch {
            let event = proto::events::Event::decode(incoming.body.clone()).unwrap();
            if let Some(Data::MailRequested(mail)) = event.data {
                self.0.lock().unwrap().push(mail);
            }
        }
        batch.iter().map(|_| Outcome::Done).collect()
    }
}

pub struct Rig {
    // Kept to be dropped last: it takes the databases away.
    pub db: TestDb,
    config: Config,
    key: Arc<SigningKey>,
    pub clock: MovedClock,
    pub up: Upstream,
    mails: Mailbox,
    stop: CancellationToken,
    tasks: JoinSet<()>,
}

impl Drop for Rig {
    fn drop(&mut self) {
        self.stop.cancel();
        self.tasks.abort_all();
    }
}

impl Rig {
    pub async fn start() -> Self {
        Self::with(&[]).await
    }

    pub async fn with(more: &[&str]) -> Self {
        Self::at(testkit::clock(), more).await
    }

    /// The same on a clock that others go by as well.
    pub async fn at(clock: MovedClock, more: &[&str]) -> Self {
        Self::on(testkit::mongo().await, clock, more).await
    }

    /// The same on servers of the test's own.
    pub async fn on(db: TestDb, clock: MovedClock, more: &[&str]) -> Self {
        let seed = SigningKey::new_seed();
        let secrets = SigningKey::new_seed();
        // With `=`, as a key may begin with a dash.
        let keys = [
            format!("--inner-key={}", seed.expose_secret()),
            format!("--secrets-key={}", secrets.expose_secret()),
        ];
        let mut args = vec!["identity-svc", &keys[0], &keys[1], "--bootstrap-admin", OPERATOR];
        args.extend(more);
        let mut config = Config::try_parse_from(args).unwrap();
        config.data = db.data.clone();
        let stop = CancellationToken::new();
        let mut tasks = JoinSet::new();
        let address = serve(config.clone(), &clock, &mut tasks, &stop).await;
        let mails = Mailbox::default();
        let bus = Bus::connect(&db.data).await.unwrap();
        let listening = bus.subscribe("test", "mail", Arc::new(mails.clone()), stop.clone());
        tasks.spawn(async move { listening.await.unwrap() });
        let key = Arc::new(SigningKey::from_seed(&seed).unwrap());
        let minter = Minter::new("gateway", key.clone(), Arc::new(clock.clone()));
        let up = Upstream::new("identity-svc", &address, minter).unwrap();
        Self { db, config, key, clock, up, mails, stop, tasks }
    }

    /// Another replica on the same data. One that is deaf hears nothing of what the others tell over NATS.
    pub async fn replica(&mut self, deaf: bool) -> Upstream {
        let mut config = self.config.clone();
        if deaf {
            config.data.nats_prefix = format!("{}-apart", config.data.nats_prefix);
        }
        let address = serve(config, &self.clock, &mut self.tasks, &self.stop).await;
        let minter = Minter::new("gateway", self.key.clone(), Arc::new(self.clock.clone()));
        Upstream::new("identity-svc", &address, minter).unwrap()
    }

    /// Tells what another service would.
    pub async fn tell(&self, event: proto::events::Event) {
        let bus = Bus::connect(&self.db.data).await.unwrap();
        let scope = Scope::new(&event.company_id, Mode::parse(&event.mode).unwrap());
        let outgoing = kit::Outgoing {
            id: event.id.clone(),
            kind: event.r#type.clone(),
            subject: event.subject.clone(),
            scope,
            occurred_at: kit::time::from_proto(event.occurred_at.as_ref().unwrap()).unwrap(),
            body: event.encode_to_vec().into(),
            traceparent: None,
        };
        bus.publish(&[outgoing]).await.unwrap();
    }

    /// A request in somebody's name.
    pub fn ask<T>(&self, caller: &Caller, message: T) -> tonic::Request<T> {
        self.up.request(caller, WAIT, message).unwrap()
    }

    /// What notify tells when a mail could not be sent.
    pub async fn mail_failed(&self, company: &str, dedupe_key: &str) {
        let (id, scope, at) = (kit::id::new("evt"), Scope::new(company, Mode::Live), self.clock.now());
        let failed = proto::events::NotificationChanged {
            dedupe_key: dedupe_key.into(),
            channel: "email".into(),
            state: "dead".into(),
            ..Default::default()
        };
        let event = proto::events::Event {
            id: id.clone(),
            r#type: "notification.failed".into(),
            company_id: company.into(),
            mode: "live".into(),
            data: Some(Data::NotificationChanged(failed)),
            ..Default::default()
        };
        let outgoing = kit::Outgoing {
            id,
            kind: "notification.failed".into(),
            subject: "mai_1".into(),
            scope,
            occurred_at: at,
            body: event.encode_to_vec().into(),
            traceparent: None,
        };
        Bus::connect(&self.db.data).await.unwrap().publish(&[outgoing]).await.unwrap();
    }

    /// The newest mail to an address with this template, once there are `count` of them.
    pub async fn mail(&self, to: &str, template: &str, count: usize) -> serde_json::Value {
        testkit::eventually("the mail", async || {
            let mails = self.mails.0.lock().unwrap();
            let mine: Vec<_> = mails.iter().filter(|m| m.to == to && m.template == template).collect();
            (mine.len() >= count).then(|| values(mine[mine.len() - 1]))
        })
        .await
    }

    pub fn mails_to(&self, to: &str) -> usize {
        self.mails.0.lock().unwrap().iter().filter(|m| m.to == to).count()
    }

    pub fn sessions(
        &self,
    ) -> pb::user_session_service_client::UserSessionServiceClient<tonic::transport::Channel> {
        pb::user_session_service_client::UserSessionServiceClient::new(self.up.channel())
    }

    pub fn directory(
        &self,
    ) -> pb::directory_service_client::DirectoryServiceClient<tonic::transport::Channel> {
        pb::directory_service_client::DirectoryServiceClient::new(self.up.channel())
    }

    /// Signs in by mail; `nth` counts the codes of this address.
    pub async fn sign_in(&self, email: &str, nth: usize) -> pb::SessionGrant {
        let first = pb::CreateSessionRequest { email: email.into(), code: String::new() };
        let sent = self.sessions().create_session(self.ask(&public(), first)).await.unwrap().into_inner();
        assert_eq!(sent.state(), pb::SessionState::CodeSent);
        let code = self.mail(email, "sign_in_code", nth).await["code"].as_str().unwrap().to_owned();
        let second = pb::CreateSessionRequest { email: email.into(), code };
        self.sessions().create_session(self.ask(&public(), second)).await.unwrap().into_inner()
    }

    /// A company with one admin, made the way operators do it.
    pub async fn company(&self, name: &str, admin: &str) -> (pb::Company, Caller) {
        let operator = self.operator().await;
        let wanted = pb::CreateCompanyRequest {
            name: name.into(),
            default_currency: "USD".into(),
            ..Default::default()
        };
        let mut companies = pb::company_service_client::CompanyServiceClient::new(self.up.channel());
        let company = companies.create_company(self.ask(&operator, wanted)).await.unwrap().into_inner();
        assert_eq!(company.status(), pb::CompanyStatus::Pending);
        let acting = Caller { scope: Some(Scope::new(&company.id, Mode::Live)), ..operator };
        let user = self.join(&acting, admin, pb::UserRole::RetAdmin).await;
        let admin = person(Role::RetAdmin, &user, Some(&company.id));
        let get = pb::GetCompanyRequest { id: company.id };
        let company = companies.get_company(self.ask(&admin, get)).await.unwrap().into_inner();
        assert_eq!(company.status(), pb::CompanyStatus::Active, "the first admin brings it into service");
        (company, admin)
    }

    /// Invites somebody and accepts in their name; their user id.
    pub async fn join(&self, inviter: &Caller, email: &str, role: pb::UserRole) -> String {
        let token = self.invite(inviter, email, role, 1).await;
        let mut invitations = pb::invitation_service_client::InvitationServiceClient::new(self.up.channel());
        let accept = pb::AcceptInvitationRequest {
            token,
            email: email.to_uppercase(),
            name: "Somebody".into(),
            ..Default::default()
        };
        let accepted = invitations.accept_invitation(self.ask(&public(), accept)).await.unwrap().into_inner();
        assert_eq!(accepted.state(), pb::InvitationState::Accepted);
        accepted.user_id
    }

    /// Invites somebody; the token out of the mail.
    pub async fn invite(&self, inviter: &Caller, email: &str, role: pb::UserRole, nth: usize) -> String {
        let mut invitations = pb::invitation_service_client::InvitationServiceClient::new(self.up.channel());
        let wanted =
            pb::CreateInvitationRequest { email: email.into(), role: role.into(), ..Default::default() };
        invitations.create_invitation(self.ask(inviter, wanted)).await.unwrap();
        let values = self.mail(email, "Email_Invitation_RE", nth).await;
        let link = values["accept_link"].as_str().unwrap();
        link.rsplit('/').next().unwrap().to_owned()
    }

    pub async fn operator(&self) -> Caller {
        let nth = self.mails_to(OPERATOR) + 1;
        let grant = self.sign_in(OPERATOR, nth).await;
        let resolved = self.resolve(&grant.session_id).await.unwrap();
        Caller { session: Some(grant.session_id), ..person(Role::KaleAdmin, &resolved.user_id, None) }
    }

    pub async fn resolve(&self, session: &str) -> Result<pb::ResolvedSession, tonic::Status> {
        let get = pb::ResolveSessionRequest { session_id: session.into() };
        let gateway = Caller::internal("gateway", None);
        self.directory().resolve_session(self.ask(&gateway, get)).await.map(tonic::Response::into_inner)
    }
}

async fn serve(
    config: Config,
    clock: &MovedClock,
    tasks: &mut JoinSet<()>,
    stop: &CancellationToken,
) -> String {
    let service = identity_svc::build(config, Arc::new(clock.clone())).await.unwrap();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let serving = kit::run::serve(service, listener, stop.clone(), Duration::from_secs(1));
    tasks.spawn(async move { serving.await.unwrap() });
    address
}

pub fn public() -> Caller {
    Caller {
        role: Role::Public,
        actor: Actor::new("public", ""),
        address: Some("192.0.2.7".into()),
        ..Caller::internal("gateway", None)
    }
}

pub fn person(role: Role, user: &str, company: Option<&str>) -> Caller {
    Caller {
        role,
        actor: Actor::new("user", user),
        scope: company.map(|c| Scope::new(c, Mode::Live)),
        ..Caller::internal("gateway", None)
    }
}

/// Code and slug of a refusal.
pub fn slug<T: std::fmt::Debug>(outcome: Result<T, tonic::Status>) -> String {
    kit::error::said(&outcome.unwrap_err()).slug
}

fn values(mail: &proto::events::MailRequested) -> serde_json::Value {
    let fields = mail.values.clone().unwrap_or_default().fields;
    let text = |v: prost_types::Value| match v.kind {
        Some(prost_types::value::Kind::StringValue(s)) => serde_json::Value::String(s),
        _ => serde_json::Value::Null,
    };
    fields.into_iter().map(|(k, v)| (k, text(v))).collect()
}
