//! What the tests begin with: a company, its rooms, and events as the bus brings them.

use std::sync::Arc;

use analytics_svc::{Ears, Rooms};
use bus::{Handler, Incoming, Outcome};
use connect::objects::Objects;
use kit::clock::MovedClock;
use kit::{Actor, Caller, Clock, Mode, Role, Scope};
use prost::Message;
use proto::events::event::Data;
use proto::events::{CustomerUpserted, Event, SubscriptionChanged};
use tokio_util::sync::CancellationToken;

pub struct World {
    pub rooms: Rooms,
    pub clock: MovedClock,
    pub scope: Scope,
    pub db: mongodb::Database,
    pub caller: Caller,
    ears: Arc<Ears>,
    _folder: Option<Folder>,
    // Dropped last: takes the databases away.
    _test: testkit::TestDb,
}

impl World {
    pub async fn new() -> Self {
        Self::with(Objects::memory()).await
    }

    /// One that keeps files as a service does.
    pub async fn in_a_folder() -> Self {
        let folder = std::env::temp_dir().join(kit::id::new("objects"));
        let world = Self::with(Objects::folder(&folder).unwrap()).await;
        Self { _folder: Some(Folder(folder)), ..world }
    }

    async fn with(objects: Objects) -> Self {
        let test = testkit::mongo().await;
        let clock = testkit::clock();
        let db = test.db("analytics").await;
        let rooms = Rooms::open(&db, Arc::new(clock.clone()), objects, 0).await.unwrap();
        let scope = Scope::new("com_1", Mode::Live);
        let caller = Caller {
            role: Role::RetAdmin,
            actor: Actor::new("user", "usr_1"),
            ..Caller::internal("test", Some(scope.clone()))
        };
        Self { ears: rooms.ears(), rooms, clock, scope, db, caller, _folder: None, _test: test }
    }

    /// Runs the grouped inserts and the queue beside the test, until it ends.
    #[expect(clippy::disallowed_methods, reason = "tests have no service to hang tasks on")]
    pub fn run(&self) -> Running {
        let stop = CancellationToken::new();
        tokio::spawn(self.rooms.intake.group().run(stop.clone()));
        tokio::spawn(self.rooms.work.clone().run(self.rooms.doing(), stop.clone()));
        Running(stop)
    }

    /// Does the queued work that there is, and what follows from it.
    pub async fn work(&self) {
        let stop = CancellationToken::new();
        let all = self.rooms.work.clone().run(self.rooms.doing(), stop.clone());
        let jobs = self.db.collection::<bson::Document>("jobs");
        let idle = async {
            testkit::eventually("the queue is empty", async || {
                let open = bson::doc! { "state": { "$in": ["queued", "leased"] } };
                (jobs.count_documents(open).await.unwrap() == 0).then_some(())
            })
            .await;
            stop.cancel();
        };
        let (ended, ()) = tokio::join!(all, idle);
        ended.unwrap();
    }

    /// Tells the service an event, as the bus would.
    pub async fn tell(&self, events: &[Incoming]) {
        let outcomes = self.ears.handle(events).await;
        assert!(outcomes.iter().all(|o| *o == Outcome::Done), "{outcomes:?}");
    }

    pub fn incoming(&self, kind: &str, subject: &str, sequence: i64, data: Data) -> Incoming {
        let now = self.clock.now();
        let event = Event {
            id: format!("evt_{kind}_{subject}_{sequence}"),
            r#type: kind.into(),
            version: 1,
            company_id: self.scope.company.clone(),
            mode: self.scope.mode.as_str().into(),
            occurred_at: Some(kit::time::to_proto(now)),
            subject: subject.into(),
            sequence,
            data: Some(data),
        };
        Incoming {
            id: event.id.clone(),
            kind: kind.into(),
            scope: self.scope.clone(),
            subject: subject.into(),
            occurred_at: now,
            body: event.encode_to_vec().into(),
            deliveries: 1,
            traceparent: None,
        }
    }

    pub fn customer(&self, n: usize, sequence: i64) -> Incoming {
        let id = format!("cus_{n:05}");
        let attributes = prost_types::Struct {
            fields: [(
                "Contract".to_owned(),
                text(if n.is_multiple_of(2) { "Month-to-month" } else { "Two year" }),
            )]
            .into_iter()
            .collect(),
        };
        let data = CustomerUpserted {
            customer_id: id.clone(),
            external_id: format!("ext-{n}"),
            email: format!("C{n}@example.com"),
            state: "active".into(),
            country: "US".into(),
            attributes: Some(attributes),
            ..Default::default()
        };
        self.incoming("customer.upserted", &id, sequence, Data::CustomerUpserted(data))
    }

    pub fn subscription(&self, n: usize, sequence: i64, state: &str, months: i64) -> Incoming {
        let started = kit::time::add_days(self.clock.now(), -31 * months);
        let data = SubscriptionChanged {
            subscription_id: format!("sub_{n:05}"),
            customer_id: format!("cus_{n:05}"),
            state: state.into(),
            plan: "fibre".into(),
            interval: "month".into(),
            interval_count: 1,
            mrr: Some(proto::common::Money { minor: 7_000, currency: "USD".into() }),
            started_at: Some(kit::time::to_proto(started)),
            ..Default::default()
        };
        self.incoming(
            "subscription.changed",
            &format!("sub_{n:05}"),
            sequence,
            Data::SubscriptionChanged(data),
        )
    }

    /// Everything that is stored, without when it was written: two of these are equal when nothing changed.
    pub async fn everything(&self, collections: &[&str]) -> String {
        use futures_util::TryStreamExt;
        let mut all = String::new();
        for name in collections {
            let all_of_it = self.db.collection::<bson::Document>(name);
            let found = all_of_it.find(bson::doc! {}).sort(bson::doc! { "_id": 1 });
            let documents: Vec<_> = found.await.unwrap().try_collect().await.unwrap();
            for mut d in documents {
                for field in ["updated_at", "version", "_out"] {
                    d.remove(field);
                }
                all.push_str(&format!("{name} {d}\n"));
            }
        }
        all
    }
}

/// A folder that goes with its world.
struct Folder(std::path::PathBuf);

impl Drop for Folder {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.0).ok();
    }
}

/// Stops what [`World::run`] began.
pub struct Running(CancellationToken);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.cancel();
    }
}

pub fn text(t: &str) -> prost_types::Value {
    prost_types::Value { kind: Some(prost_types::value::Kind::StringValue(t.into())) }
}
