//! The whole service: gRPC in front, events through the bus, jobs behind.

use std::sync::Arc;
use std::time::Duration;

use analytics_svc::Config;
use clap::Parser;
use kit::caller::{Minter, SigningKey};
use kit::{Actor, Caller, ExposeSecret, Mode, Role, Scope};
use proto::analytics as pb;
use proto::analytics::facts_service_client::FactsServiceClient;
use proto::analytics::persona_service_client::PersonaServiceClient;
use proto::analytics::product_usage_service_client::ProductUsageServiceClient;
use proto::analytics::user_events_service_client::UserEventsServiceClient;
use tokio_util::sync::CancellationToken;

use crate::world::World;

const DEADLINE: Duration = Duration::from_secs(10);

struct Running {
    upstream: kit::client::Upstream,
    bus: bus::Bus,
    stop: CancellationToken,
    served: tokio::task::JoinHandle<anyhow::Result<()>>,
    folder: std::path::PathBuf,
}

impl Running {
    #[expect(clippy::disallowed_methods, reason = "a test hangs the service on its own runtime")]
    async fn start(data: &kit::config::Data) -> Self {
        let seed = SigningKey::new_seed();
        let folder = std::env::temp_dir().join(&data.mongo_prefix);
        let config = Config::try_parse_from([
            "analytics-svc",
            // With `=`, as a key may begin with a dash.
            &format!("--inner-key={}", seed.expose_secret()),
            "--mongo-uri",
            &data.mongo_uri,
            "--mongo-prefix",
            &data.mongo_prefix,
            "--nats-url",
            &data.nats_url,
            "--nats-prefix",
            &data.nats_prefix,
            "--objects-dir",
            folder.to_str().unwrap(),
        ]);
        let service = analytics_svc::service(config.unwrap()).await.unwrap();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let stop = CancellationToken::new();
        let served = tokio::spawn(kit::run::serve(service, listener, stop.clone(), Duration::from_secs(5)));
        let key = Arc::new(SigningKey::from_seed(&seed).unwrap());
        let minter = Minter::new("gateway", key, Arc::new(kit::clock::SystemClock));
        let upstream = kit::client::Upstream::new("analytics-svc", &address, minter).unwrap();
        Self { upstream, bus: bus::Bus::connect(data).await.unwrap(), stop, served, folder }
    }

    fn ask<T>(&self, caller: &Caller, message: T) -> tonic::Request<T> {
        self.upstream.request(caller, DEADLINE, message).unwrap()
    }

    async fn end(self) {
        self.stop.cancel();
        self.served.await.unwrap().unwrap();
        std::fs::remove_dir_all(self.folder).ok();
    }
}

fn outgoing(incoming: bus::Incoming) -> kit::Outgoing {
    let bus::Incoming { id, kind, scope, subject, occurred_at, body, .. } = incoming;
    kit::Outgoing { id, kind, subject, scope, occurred_at, body, traceparent: None }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_customer_heard_of_on_the_bus_is_known_with_usage_and_personas() {
    let test = testkit::mongo().await;
    let world = World::new().await;
    let running = Running::start(&test.data).await;
    let scope = Scope::new("com_1", Mode::Live);
    let admin = Caller {
        role: Role::RetAdmin,
        actor: Actor::new("user", "usr_1"),
        ..Caller::internal("gateway", Some(scope.clone()))
    };
    let told: Vec<_> = (0..50).map(|n| outgoing(world.customer(n, 1))).collect();
    running.bus.publish(&told).await.unwrap();
    running.bus.publish(&[outgoing(world.subscription(1, 1, "active", 5))]).await.unwrap();

    let facts = FactsServiceClient::new(running.upstream.channel());
    let known = |key: &'static str| {
        let mut facts = facts.clone();
        let request = running.ask(&admin, pb::GetCustomerFactsRequest { customer_id: "ext-1".into() });
        async move {
            let reply = facts.get_customer_facts(request).await.unwrap().into_inner();
            reply.facts.is_some_and(|f| f.fields.contains_key(key)).then_some(reply.personas)
        }
    };
    testkit::eventually("the plan is known", || known("plan")).await;

    let mut personas = PersonaServiceClient::new(running.upstream.channel());
    let fact = pb::FactRule {
        key: "usage_minutes".into(),
        op: pb::FactOp::Gte.into(),
        value: Some(prost_types::Value { kind: Some(prost_types::value::Kind::NumberValue(1.0)) }),
    };
    let message = pb::CreatePersonaRequest {
        name: "users".into(),
        rule: Some(pb::Rule { rule: Some(pb::rule::Rule::Fact(fact)) }),
        ..Default::default()
    };
    let made = personas.create_persona(running.ask(&admin, message)).await.unwrap().into_inner();
    let message = pb::ActivatePersonaRequest { id: made.id.clone() };
    let active = personas.activate_persona(running.ask(&admin, message)).await.unwrap().into_inner();
    assert_eq!(active.status(), pb::PersonaStatus::Active);

    let mut usage = ProductUsageServiceClient::new(running.upstream.channel());
    let head = pb::UploadHead { dataset: "features".into(), auto_confirm: true, ..Default::default() };
    let file = (0..50).map(|n| format!("ext-{n},{n}\n")).collect::<String>();
    let parts = [
        pb::upload_part::Part::Head(head),
        pb::upload_part::Part::Chunk("external_id,minutes\n".into()),
        pb::upload_part::Part::Chunk(file.into()),
        pb::upload_part::Part::End(true),
    ];
    let parts = parts.map(|p| pb::UploadPart { part: Some(p) });
    let mut request = tonic::Request::new(futures_util::stream::iter(parts));
    running.upstream.prepare(&admin, DEADLINE, request.metadata_mut()).unwrap();
    let upload = usage.upload_usage(request).await.unwrap().into_inner();
    let done = testkit::eventually("the upload is imported", || {
        let request = running.ask(&admin, pb::GetUploadRequest { id: upload.id.clone() });
        let mut usage = usage.clone();
        async move {
            let now = usage.get_upload(request).await.unwrap().into_inner();
            (now.state() == pb::UploadState::Completed).then_some(now)
        }
    })
    .await;
    assert_eq!((done.rows, done.imported), (50, 50));
    testkit::eventually("the refresh found the members", || {
        let message = pb::ListMembersRequest { id: made.id.clone(), limit: 100, cursor: String::new() };
        let (mut personas, request) = (personas.clone(), running.ask(&admin, message));
        async move {
            let members = personas.list_members(request).await.unwrap().into_inner();
            (members.items.len() == 49).then_some(())
        }
    })
    .await;
    let in_personas = known("usage_minutes").await.unwrap();
    assert_eq!(in_personas[0].reason, "usage_minutes is at least 1 (1)");

    let mut events = UserEventsServiceClient::new(running.upstream.channel());
    let event = pb::NewEvent { name: "login".into(), customer: "ext-1".into(), ..Default::default() };
    let message = pb::RecordEventsRequest { events: vec![event] };
    let reply = events.record_events(running.ask(&admin, message)).await.unwrap().into_inner();
    assert_eq!(reply.items[0].status(), pb::EventOutcome::Accepted);
    // The rules of the protos hold here as well as at the gateway.
    let refused = events.record_events(running.ask(&admin, pb::RecordEventsRequest::default())).await;
    assert_eq!(refused.unwrap_err().code(), tonic::Code::InvalidArgument);
    running.end().await;
}
