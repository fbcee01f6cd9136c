//! Notifications as they come.

use std::time::Duration;

use prost::Message;
use proto::events::event::Data;
use proto::notify::{ListNotificationsResponse, Notification};

use crate::world::{World, problem};

const LIST: &str = "retention.notify.v1.NotificationService.ListNotifications";

/// Notify's list, newest first, holds these.
fn holds(world: &World, ids: &[&str]) {
    let of =
        |id: &&str| Notification { id: (*id).into(), title: format!("About {id}"), ..Default::default() };
    let list = ListNotificationsResponse { items: ids.iter().rev().map(of).collect(), ..Default::default() };
    world.behind.answers.lock().unwrap().insert(LIST.into(), Ok(list.encode_to_vec().into()));
}

async fn tell(world: &World, user: &str) {
    let changed = proto::events::NotificationChanged { user_id: user.into(), ..Default::default() };
    world.tell("notification.sent", "ntf_1", Data::NotificationChanged(changed)).await;
}

/// Reads on until this was said; everything since the last look.
async fn until(stream: &mut reqwest::Response, said: &str) -> String {
    let mut all = String::new();
    while !all.contains(said) {
        let more = tokio::time::timeout(Duration::from_secs(10), stream.chunk()).await;
        all += std::str::from_utf8(&more.expect(said).unwrap().expect(said)).unwrap();
    }
    all
}

#[tokio::test]
async fn whoever_listens_hears_what_is_new_and_the_own_only() {
    let world = World::new().await;
    holds(&world, &["ntf_1"]);
    let mut stream = world.admin("GET", "/v1/notifications/stream").send().await.unwrap();
    assert_eq!(stream.headers()["content-type"], "text/event-stream");
    assert_eq!(stream.headers()["cache-control"], "no-store");
    let opened = until(&mut stream, "\n\n").await;
    assert!(opened.contains("retry: 3000") && !opened.contains("ntf_1"), "{opened}");

    holds(&world, &["ntf_1", "ntf_2"]);
    // What others are told wakes nobody.
    tell(&world, "usr_2").await;
    tell(&world, "usr_1").await;
    let said = until(&mut stream, "data: ").await;
    let (_, event) = said.split_once("id: ntf_2\nevent: notification\ndata: ").expect(&said);
    let event: serde_json::Value = serde_json::from_str(event.trim()).expect(&said);
    assert_eq!(event["title"], "About ntf_2");
    assert!(!said.contains("ntf_1"), "{said}");
    let asked = world.asked().into_iter().filter(|(rpc, ..)| rpc == LIST);
    assert_eq!(asked.count(), 2, "one look when it opened, one when there was something");
}

#[tokio::test]
async fn whoever_comes_back_gets_what_was_missed() {
    let world = World::new().await;
    holds(&world, &["ntf_1", "ntf_2", "ntf_3"]);
    let back = world.admin("GET", "/v1/notifications/stream").header("last-event-id", "ntf_1");
    let mut stream = back.send().await.unwrap();
    let said = until(&mut stream, "id: ntf_3").await;
    assert!(said.find("id: ntf_2") < said.find("id: ntf_3") && !said.contains("id: ntf_1"), "{said}");
}

#[tokio::test]
async fn a_stream_ends_with_its_session_before_anything_more_is_said() {
    let world = World::new().await;
    holds(&world, &["ntf_1"]);
    let mut stream = world.admin("GET", "/v1/notifications/stream").send().await.unwrap();
    until(&mut stream, "\n\n").await;
    world.behind.person.lock().unwrap().session_id = "ses_2".into();
    let ended = proto::events::AccessChanged { session_id: "ses_1".into(), ..Default::default() };
    world.tell("access.changed", "ses_1", Data::AccessChanged(ended)).await;
    let refused = async || {
        let answer = world.admin("GET", "/v1/notifications/stream").send().await.unwrap();
        (answer.status() == 401).then_some(())
    };
    testkit::eventually("the end of the session", refused).await;
    holds(&world, &["ntf_1", "ntf_2"]);
    tell(&world, "usr_1").await;
    while let Some(more) = stream.chunk().await.unwrap() {
        let more = std::str::from_utf8(&more).unwrap();
        assert!(!more.contains("ntf_2"), "{more}");
    }
}

#[tokio::test]
async fn a_person_may_have_ten_streams_open() {
    let world = World::new().await;
    let open = async || world.admin("GET", "/v1/notifications/stream").send().await.unwrap();
    let mut streams = Vec::new();
    for _ in 0..10 {
        let stream = open().await;
        assert_eq!(stream.status(), 200);
        streams.push(stream);
    }
    let (status, code, _) = problem(open().await).await;
    assert_eq!((status, code.as_str()), (429, "too_many_streams"));
    drop(streams);
    let again = async || (open().await.status() == 200).then_some(());
    testkit::eventually("a place", again).await;
    let key = world.request("GET", "/v1/notifications/stream").bearer_auth(crate::world::SECRET);
    assert_eq!(key.send().await.unwrap().status(), 403, "a machine has no notifications");
}
