//! Answers the door gives by itself, and when it must not.

use std::time::{Duration, Instant};

use bus::Bus;
use kit::{Clock, Mode, Outgoing, Scope};
use prost::Message;
use proto::content::Card;

use crate::world::{FLOW, World};

const RPC: &str = "retention.content.v1.CardService.GetCard";
const ARCHIVE: &str = "retention.content.v1.CardService.ArchiveCard";

/// A card that is published, and where it is read.
async fn world(shared: bool) -> (World, String) {
    let world = World::new().await;
    let id = kit::id::new("crd");
    let card = Card { id: id.clone(), name: "What you would miss".into(), ..Default::default() };
    world.behind.answers.lock().unwrap().insert(RPC.into(), Ok(card.encode_to_vec().into()));
    world.behind.shared.lock().unwrap().extend(shared.then(|| RPC.to_owned()));
    (world, format!("/v1/cards/{id}"))
}

impl World {
    /// Reads something, and whether the service behind was asked.
    async fn reads(&self, request: reqwest::RequestBuilder) -> (serde_json::Value, bool) {
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status(), 200);
        assert_eq!(answer.headers()["cache-control"], "no-store", "browsers do not hear of changes");
        let body = answer.json().await.unwrap();
        (body, self.asked().iter().any(|(rpc, ..)| rpc == RPC))
    }
}

#[tokio::test]
async fn a_shared_answer_is_given_again_to_the_same_company_and_mode() {
    let (world, path) = world(true).await;
    let published = format!("{path}?published=true");
    let (first, asked) = world.reads(world.admin("GET", &published)).await;
    assert!(asked);
    assert_eq!(world.reads(world.admin("GET", &published)).await, (first, false));
    // Another question, another mode: another answer.
    assert!(world.reads(world.admin("GET", &path)).await.1);
    assert!(world.reads(world.admin("GET", &published).header("retention-mode", "test")).await.1);
    // Who may not ask gets nothing, kept or not.
    let refused = world.request("GET", &published).send().await.unwrap();
    assert_eq!(refused.status(), 401);
    assert_eq!(world.request("GET", &published).bearer_auth(FLOW).send().await.unwrap().status(), 403);
}

#[tokio::test]
async fn an_answer_nobody_called_shared_is_asked_for_each_time() {
    let (world, path) = world(false).await;
    for _ in 0..2 {
        assert!(world.reads(world.admin("GET", &path)).await.1);
    }
}

#[tokio::test]
async fn who_changes_something_sees_it_at_once() {
    let (world, path) = world(true).await;
    assert!(world.reads(world.admin("GET", &path)).await.1);
    // It may have been done before it failed.
    world.behind.answers.lock().unwrap().insert(ARCHIVE.into(), Err(14));
    let failed = world.admin("POST", &format!("{path}/archive")).send().await.unwrap();
    assert_eq!(failed.status(), 503);
    assert!(world.reads(world.admin("GET", &path)).await.1);
}

#[tokio::test]
async fn the_steps_of_flows_leave_it_alone() {
    let (world, path) = world(true).await;
    // Asked within its two seconds: on a slow machine the answer may have grown old, so look again.
    testkit::eventually("the answer being kept over a step of a flow", async || {
        world.reads(world.admin("GET", &path)).await;
        let step = world.request("POST", "/v1/flow/sessions/fls_1/close").bearer_auth(FLOW);
        assert_eq!(step.send().await.unwrap().status(), 200);
        (!world.reads(world.admin("GET", &path)).await.1).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_change_elsewhere_is_seen_when_its_event_passes() {
    let (world, path) = world(true).await;
    let bus = Bus::connect(&world.test.data).await.unwrap();
    testkit::eventually("the event dropping what is kept", async || {
        while !world.reads(world.admin("GET", &path)).await.1 {}
        let kept = Instant::now();
        let event = Outgoing {
            id: kit::id::new("evt"),
            kind: "content.published".into(),
            subject: "crd_1".into(),
            scope: Scope::new("com_1", Mode::Live),
            occurred_at: world.clock.now(),
            body: bytes::Bytes::new(),
            traceparent: None,
        };
        bus.publish(&[event]).await.unwrap();
        // Well before it would have been dropped by age.
        while kept.elapsed() < Duration::from_secs(1) {
            if world.reads(world.admin("GET", &path)).await.1 {
                return Some(());
            }
        }
        None
    })
    .await;
}
