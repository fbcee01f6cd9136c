//! Consumers on a real NATS.

#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::large_futures,
    reason = "a test that cannot go on should stop and say where"
)]

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use async_trait::async_trait;
use bus::{Bus, Handler, Incoming, Outcome};
use kit::Outgoing;
use kit::caller::{Mode, Scope};
use kit::config::Data;
use testkit::Line;
use tokio_util::sync::CancellationToken;

/// Fails until the n-th time it is asked.
struct Stubborn {
    asked: AtomicU32,
    until: u32,
    hopeless: bool,
}

#[async_trait]
impl Handler for Stubborn {
    async fn handle(&self, batch: &[Incoming]) -> Vec<Outcome> {
        let asked = self.asked.fetch_add(1, Ordering::SeqCst);
        let outcome = match (asked < self.until, self.hopeless) {
            (false, _) => Outcome::Done,
            (true, true) => Outcome::Dead("cannot be read".into()),
            (true, false) => Outcome::Retry("not yet".into()),
        };
        batch.iter().map(|_| outcome.clone()).collect()
    }
}

fn event() -> Outgoing {
    Outgoing {
        id: kit::id::new("evt"),
        kind: "note.changed".into(),
        subject: "note_1".into(),
        scope: Scope::new("com_1", Mode::Test),
        occurred_at: "2026-11-23T10:00:00Z".parse().unwrap(),
        body: bytes::Bytes::from_static(b"\x08\x01"),
        traceparent: None,
    }
}

#[tokio::test]
async fn a_server_that_comes_late_is_waited_for() {
    let test = testkit::mongo().await;
    let line = Line::to(test.data.nats_url.trim_start_matches("nats://")).await;
    line.cut();
    let data = Data { nats_url: format!("nats://{}", line.at), ..test.data.clone() };
    let coming = tokio::task::spawn(async move { Bus::connect(&data).await });
    // The client tries again after 1, 2, 4 … 4,096 ms: the first request for a stream has long been given up.
    testkit::eventually("many connections in vain", || async { (line.begun() > 13).then_some(()) }).await;
    line.mend();
    coming.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_failed_event_is_given_again() {
    let test = testkit::mongo().await;
    let (bus, stop) = (Bus::connect(&test.data).await.unwrap(), CancellationToken::new());
    let handler = Arc::new(Stubborn { asked: 0.into(), until: 2, hopeless: false });
    let consumer =
        tokio::task::spawn(bus.clone().subscribe("reader-svc", "note", handler.clone(), stop.clone()));
    bus.publish(&[event()]).await.unwrap();
    testkit::eventually("the third delivery", || async {
        (handler.asked.load(Ordering::SeqCst) == 3).then_some(())
    })
    .await;
    assert_eq!(bus.dead().await.unwrap(), 0);
    stop.cancel();
    consumer.await.unwrap().unwrap();
}

/// Counts.
#[derive(Default)]
struct Counter(AtomicU32);

#[async_trait]
impl Handler for Counter {
    async fn handle(&self, batch: &[Incoming]) -> Vec<Outcome> {
        self.0.fetch_add(u32::try_from(batch.len()).unwrap(), Ordering::SeqCst);
        batch.iter().map(|_| Outcome::Done).collect()
    }
}

#[tokio::test]
async fn events_that_trickle_in_all_arrive_the_first_time() {
    let test = testkit::mongo().await;
    let (bus, stop) = (Bus::connect(&test.data).await.unwrap(), CancellationToken::new());
    let counter = Arc::new(Counter::default());
    let consumer =
        tokio::task::spawn(bus.clone().subscribe("reader-svc", "note", counter.clone(), stop.clone()));
    // One by one, so that each batch ends while the next event is on its way.
    for _ in 0..300 {
        bus.publish(&[event()]).await.unwrap();
    }
    testkit::eventually("all of them", || async { (counter.0.load(Ordering::SeqCst) == 300).then_some(()) })
        .await;
    stop.cancel();
    consumer.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_hopeless_event_is_kept_aside_and_can_be_replayed() {
    let test = testkit::mongo().await;
    let (bus, stop) = (Bus::connect(&test.data).await.unwrap(), CancellationToken::new());
    let handler = Arc::new(Stubborn { asked: 0.into(), until: 1, hopeless: true });
    let consumer =
        tokio::task::spawn(bus.clone().subscribe("reader-svc", "note", handler.clone(), stop.clone()));
    bus.publish(&[event()]).await.unwrap();
    testkit::eventually("a dead letter", || async { (bus.dead().await.unwrap() == 1).then_some(()) }).await;
    assert_eq!(bus.replay("reader-svc").await.unwrap(), 1);
    testkit::eventually("the replay", || async { (handler.asked.load(Ordering::SeqCst) == 2).then_some(()) })
        .await;
    assert_eq!(bus.dead().await.unwrap(), 0);
    stop.cancel();
    consumer.await.unwrap().unwrap();
}

#[tokio::test]
async fn every_listener_hears_an_event_as_it_passes() {
    let test = testkit::mongo().await;
    let (bus, stop) = (Bus::connect(&test.data).await.unwrap(), CancellationToken::new());
    let heard = [Arc::new(AtomicU32::new(0)), Arc::new(AtomicU32::new(0))];
    let listeners = heard.clone().map(|count| {
        let hear = move |event: bus::Heard| {
            assert_eq!((event.kind.as_str(), event.subject.as_str()), ("note.changed", "note_1"));
            count.fetch_add(1, Ordering::SeqCst);
        };
        tokio::task::spawn(bus.clone().overhear("note", hear, stop.clone()))
    });
    testkit::eventually("both hear", || async {
        // Published again and again: what passes before somebody listens is not heard.
        bus.publish(&[event()]).await.unwrap();
        heard.iter().all(|count| count.load(Ordering::SeqCst) > 0).then_some(())
    })
    .await;
    stop.cancel();
    for listener in listeners {
        listener.await.unwrap().unwrap();
    }
}
