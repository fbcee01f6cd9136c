//! Without NATS the door hears of no revocation, and still lets nobody in who was revoked.

use std::sync::atomic::Ordering;

use jiff::SignedDuration;
use kit::Clock;
use proto::events::AccessChanged;
use proto::events::event::Data;
use testkit::{Line, eventually};

use crate::world::World;

/// A world with a line of its own to NATS.
async fn world() -> (World, Line) {
    let url = testkit::data().nats_url;
    let line = Line::to(url.trim_start_matches("nats://")).await;
    (World::with(&[format!("--nats-url=nats://{}", line.at)]).await, line)
}

/// Identity ends the session; what replaces it has another id.
fn end(world: &World, next: &str) {
    world.behind.person.lock().unwrap().session_id = next.into();
}

/// Asks as the clock goes on until the session is out.
async fn out(world: &World, session: &str) {
    let refused = async || {
        world.clock.advance(SignedDuration::from_secs(1));
        (status(world, session).await == 401).then_some(())
    };
    eventually("the end of the session", refused).await;
}

async fn status(world: &World, session: &str) -> u16 {
    let token = world.token(&serde_json::json!({ "sid": session }));
    world.request("GET", "/v1/cards").bearer_auth(token).send().await.unwrap().status().as_u16()
}

#[tokio::test]
async fn a_revocation_holds_without_nats_and_is_heard_again_with_it() {
    let (world, line) = world().await;
    assert_eq!(status(&world, "ses_1").await, 200);
    line.cut();
    // Deaf, it asks again after a second, though nobody told it anything.
    end(&world, "ses_2");
    out(&world, "ses_1").await;
    assert_eq!(status(&world, "ses_2").await, 200);

    line.mend();
    let hears = async || {
        status(&world, "ses_2").await;
        let asked = world.behind.resolved.load(Ordering::SeqCst);
        world.clock.advance(SignedDuration::from_secs(2));
        status(&world, "ses_2").await;
        (world.behind.resolved.load(Ordering::SeqCst) == asked).then_some(())
    };
    eventually("answers that are good for longer, as changes are heard", hears).await;
    end(&world, "ses_3");
    let told = world.clock.now();
    let changed = AccessChanged { session_id: "ses_2".into(), ..Default::default() };
    world.tell("access.changed", "ses_2", Data::AccessChanged(changed)).await;
    eventually("the end of it, too", async || (status(&world, "ses_2").await == 401).then_some(())).await;
    assert!(world.clock.now().duration_since(told).as_secs() < 7, "heard, not grown old");
}

#[tokio::test]
async fn a_revocation_told_while_the_line_was_cut_holds_when_it_is_mended() {
    let (world, line) = world().await;
    assert_eq!(status(&world, "ses_1").await, 200);
    line.cut();
    end(&world, "ses_2");
    let changed = AccessChanged { session_id: "ses_1".into(), ..Default::default() };
    world.tell("access.changed", "ses_1", Data::AccessChanged(changed)).await;
    line.mend();
    // What was answered over the line that was cut is good for a second and no longer, mended or not.
    out(&world, "ses_1").await;
}
