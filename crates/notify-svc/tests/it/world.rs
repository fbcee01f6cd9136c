//! A company with people and a customer, notify's rooms on a database of their own, and a mailbox that can fail.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use bus::{Handler, Incoming, Outcome};
use clap::Parser;
use kit::caller::{Minter, SigningKey};
use kit::client::Upstream;
use kit::clock::MovedClock;
use kit::{Actor, Caller, Clock, ExposeSecret, Mode, Role, Scope};
use notify_svc::email::{Envelope, SendError, Sender};
use notify_svc::upstream::Directory;
use notify_svc::{Config, Rooms};
use prost::Message as _;
use proto::events::event::Data;
use proto::events::{CustomerUpserted, Event};
use proto::identity as pb;
use proto::identity::directory_service_server::{DirectoryService, DirectoryServiceServer};
use tokio::net::TcpListener;
use tonic::{Request, Response, Status};

/// Takes mails, or says no as often as the test wants.
#[derive(Default)]
pub struct Mailbox {
    pub sent: Mutex<Vec<(String, String)>>,
    pub refusals: Mutex<VecDeque<SendError>>,
}

#[async_trait]
impl Sender for Mailbox {
    async fn send(&self, mail: &Envelope) -> Result<(), SendError> {
        if let Some(no) = self.refusals.lock().unwrap().pop_front() {
            return Err(no);
        }
        let text = String::from_utf8(mail.message.formatted()).unwrap();
        self.sent.lock().unwrap().push((mail.template.clone(), text));
        Ok(())
    }

    async fn ready(&self) -> anyhow::Result<()> {
        Ok(())
    }
}

/// identity's directory, with three people.
struct People;

#[tonic::async_trait]
impl DirectoryService for People {
    async fn resolve_api_key(
        &self,
        _: Request<pb::ResolveApiKeyRequest>,
    ) -> Result<Response<pb::ResolvedKey>, Status> {
        Err(Status::not_found("no"))
    }

    async fn resolve_session(
        &self,
        _: Request<pb::ResolveSessionRequest>,
    ) -> Result<Response<pb::ResolvedSession>, Status> {
        Err(Status::not_found("no"))
    }

    async fn resolve_origin(
        &self,
        _: Request<pb::ResolveOriginRequest>,
    ) -> Result<Response<pb::ResolvedOrigin>, Status> {
        Err(Status::unimplemented("not asked here"))
    }

    async fn resolve_company(
        &self,
        _: Request<pb::ResolveCompanyRequest>,
    ) -> Result<Response<pb::ResolvedCompany>, Status> {
        Ok(Response::new(pb::ResolvedCompany {
            company_id: "com_1".into(),
            name: "Telco".into(),
            ..Default::default()
        }))
    }

    async fn list_recipients(
        &self,
        _: Request<pb::ListRecipientsRequest>,
    ) -> Result<Response<pb::ListRecipientsResponse>, Status> {
        let person = |id: &str, role: &str, locale: &str, personal| pb::Recipient {
            user_id: id.into(),
            email: format!("{id}@telco.example"),
            name: id.into(),
            locale: locale.into(),
            role: role.into(),
            sees_personal_data: personal,
        };
        let items = vec![
            person("usr_ada", "ret_admin", "en", true),
            person("usr_max", "ret_admin", "de-AT", false),
            person("usr_eve", "ret_exp", "en", false),
        ];
        Ok(Response::new(pb::ListRecipientsResponse { items }))
    }
}

pub struct World {
    pub rooms: Rooms,
    pub mailbox: Arc<Mailbox>,
    pub clock: MovedClock,
    pub scope: Scope,
    pub db: mongodb::Database,
    // Dropped last: takes the databases away.
    _test: testkit::TestDb,
}

impl World {
    pub async fn new() -> Self {
        let test = testkit::mongo().await;
        let clock = testkit::clock();
        let db = test.db("notify").await;
        let seed = SigningKey::new_seed();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let people = tonic::service::Routes::new(DirectoryServiceServer::new(People)).into_axum_router();
        tokio::spawn(async move { axum::serve(listener, people).await });
        let key = Arc::new(SigningKey::from_seed(&seed).unwrap());
        let minter = Minter::new("notify-svc", key, Arc::new(clock.clone()));
        let directory = Directory::new(Upstream::new("identity-svc", &address, minter).unwrap());
        let config = Config::parse_from(["notify-svc", &format!("--inner-key={}", seed.expose_secret())]);
        let mailbox = Arc::new(Mailbox::default());
        let rooms =
            Rooms::open(&db, Arc::new(clock.clone()), &config, directory, mailbox.clone()).await.unwrap();
        let world = Self { rooms, mailbox, clock, scope: Scope::new("com_1", Mode::Live), db, _test: test };
        world.customer("cus_1", "Grace Hopper", "grace@example.com", 1).await;
        world
    }

    pub async fn customer(&self, id: &str, name: &str, email: &str, sequence: i64) {
        let customer = CustomerUpserted {
            customer_id: id.into(),
            name: name.into(),
            email: email.into(),
            locale: "en".into(),
            ..Default::default()
        };
        self.hear("customer.upserted", id, sequence, Data::CustomerUpserted(customer)).await;
    }

    /// Tells an event and expects it to be taken.
    pub async fn hear(&self, kind: &str, subject: &str, sequence: i64, data: Data) {
        assert_eq!(self.tell(kind, subject, sequence, data, 1).await, Outcome::Done, "{kind}");
    }

    pub async fn tell(
        &self,
        kind: &str,
        subject: &str,
        sequence: i64,
        data: Data,
        deliveries: i64,
    ) -> Outcome {
        let now = self.clock.now();
        let id = format!("evt_{kind}_{subject}_{sequence}");
        let event = Event {
            id: id.clone(),
            r#type: kind.into(),
            version: 1,
            company_id: self.scope.company.clone(),
            mode: self.scope.mode.as_str().into(),
            occurred_at: Some(kit::time::to_proto(now)),
            subject: subject.into(),
            sequence,
            data: Some(data),
        };
        let incoming = Incoming {
            id,
            kind: kind.into(),
            scope: self.scope.clone(),
            subject: subject.into(),
            occurred_at: now,
            body: event.encode_to_vec().into(),
            deliveries,
            traceparent: None,
        };
        self.rooms.ears.handle(&[incoming]).await.remove(0)
    }

    /// Sends what is due; the mails of one template that went out, as text.
    pub async fn sent(&self, template: &str) -> Vec<String> {
        while self.rooms.worker.round().await.unwrap() > 0 {}
        let sent = self.mailbox.sent.lock().unwrap();
        sent.iter().filter(|(t, _)| t == template).map(|(_, text)| text.clone()).collect()
    }

    pub fn person(&self, id: &str) -> Caller {
        Caller {
            role: Role::RetAdmin,
            actor: Actor::new("user", id),
            ..Caller::internal("test", Some(self.scope.clone()))
        }
    }
}

/// A mail's parts with their encoding undone, in one text.
pub fn readable(mail: &str) -> String {
    // Quoted-printable as `lettre` writes it: soft line ends and bytes in hex.
    let joined = mail.replace("=\r\n", "");
    let (mut out, mut rest) = (Vec::new(), joined.as_bytes());
    while let [first, tail @ ..] = rest {
        match (first, tail) {
            (b'=', [a, b, after @ ..]) if a.is_ascii_hexdigit() && b.is_ascii_hexdigit() => {
                let hex = std::str::from_utf8(&tail[..2]).unwrap();
                out.push(u8::from_str_radix(hex, 16).unwrap());
                rest = after;
            }
            _ => {
                out.push(*first);
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}
