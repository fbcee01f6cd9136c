//! Events that ride in documents, on a real MongoDB and a real NATS.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use bson::Document;
use bus::{Bus, Handler, Incoming, Outcome};
use kit::Outgoing;
use store::Repo;
use tokio_util::sync::CancellationToken;

use crate::repo::{Note, clock, note, scope};

#[derive(Default)]
struct Heard(Mutex<Vec<Incoming>>);

#[async_trait]
impl Handler for Heard {
    async fn handle(&self, batch: &[Incoming]) -> Vec<Outcome> {
        self.0.lock().unwrap().extend_from_slice(batch);
        batch.iter().map(|_| Outcome::Done).collect()
    }
}

fn event(kind: &str, subject: &str) -> Outgoing {
    Outgoing {
        id: kit::id::new("evt"),
        kind: kind.into(),
        subject: subject.into(),
        scope: scope(),
        occurred_at: clock().now(),
        body: bytes::Bytes::from_static(b"\x08\x01"),
        traceparent: Some("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".into()),
    }
}

#[tokio::test]
async fn what_was_written_is_heard_once_though_it_was_published_twice() {
    let test = testkit::mongo().await;
    let db = test.db("notes-svc").await;
    let repo = Repo::<Note>::open(&db, clock()).await.unwrap();
    let (bus, stop) = (Bus::connect(&test.data).await.unwrap(), CancellationToken::new());
    let sent = event("note.changed", "note_1");
    let made = repo.insert(&scope(), "note_1".into(), note("a"), vec![sent.clone()]).await.unwrap();
    // A relay that died between publishing and marking leaves the event to be published again.
    bus.publish(std::slice::from_ref(&sent)).await.unwrap();
    repo.replace(&made, note("b"), vec![event("note.changed", "note_1"), event("note.changed", "note_1")])
        .await
        .unwrap();

    let heard = Arc::new(Heard::default());
    let relay =
        tokio::task::spawn(store::outbox::relay(db.clone(), vec!["notes"], bus.clone(), stop.clone()));
    let consumer =
        tokio::task::spawn(bus.clone().subscribe("reader-svc", "note", heard.clone(), stop.clone()));
    testkit::eventually("hearing three events", || async {
        (heard.0.lock().unwrap().len() >= 3).then_some(())
    })
    .await;
    let notes = db.collection::<Document>("notes");
    testkit::eventually("an empty outbox", || async {
        (store::outbox::waiting(&notes).await.unwrap() == 0).then_some(())
    })
    .await;
    stop.cancel();
    relay.await.unwrap().unwrap();
    consumer.await.unwrap().unwrap();

    let heard = heard.0.lock().unwrap().clone();
    assert_eq!(heard.len(), 3);
    assert_eq!(heard[0], Incoming { deliveries: 1, ..incoming(&sent) });
    let left = notes.find_one(bson::doc! {}).await.unwrap().unwrap();
    assert!(!left.contains_key("_out") && !left.contains_key("_outbox"));
}

fn incoming(sent: &Outgoing) -> Incoming {
    Incoming {
        id: sent.id.clone(),
        kind: sent.kind.clone(),
        scope: sent.scope.clone(),
        subject: sent.subject.clone(),
        occurred_at: sent.occurred_at,
        body: sent.body.clone(),
        deliveries: 1,
        traceparent: sent.traceparent.clone(),
    }
}
