//! Messages in the dashboard.

use kit::PageRequest;
use notify_svc::notification::{Kind, Mode, Preferences};
use proto::events::ConnectionChanged;
use proto::events::event::Data;

use crate::world::World;

fn degraded() -> Data {
    Data::ConnectionChanged(ConnectionChanged {
        provider: "stripe".into(),
        status: "degraded".into(),
        last_error: String::new(),
        synced_at: None,
    })
}

fn all() -> PageRequest {
    PageRequest::new(50, "")
}

#[tokio::test]
async fn people_read_their_own_and_nobody_elses() {
    let world = World::new().await;
    for _ in 0..2 {
        world.hear("connection.changed", "stripe", 3, degraded()).await;
    }
    let (ada, max, eve) = (world.person("usr_ada"), world.person("usr_max"), world.person("usr_eve"));
    let rooms = &world.rooms.notifications;
    let mine = rooms.list(&ada, true, &all()).await.unwrap().items;
    assert_eq!(mine.len(), 1, "told once");
    assert!(rooms.list(&eve, false, &all()).await.unwrap().items.is_empty(), "experts are not told");
    assert!(rooms.read(&max, &mine[0].id).await.is_err(), "another's is not there");
    let read = rooms.read(&ada, &mine[0].id).await.unwrap();
    let again = rooms.read(&ada, &mine[0].id).await.unwrap();
    assert_eq!(again.body.read_at, read.body.read_at, "the first time counts");
    assert!(rooms.list(&ada, true, &all()).await.unwrap().items.is_empty());
    assert_eq!((rooms.read_all(&max).await.unwrap(), rooms.read_all(&max).await.unwrap()), (1, 0));
}

#[tokio::test]
async fn who_does_not_want_to_hear_is_not_told() {
    let world = World::new().await;
    let (ada, max) = (world.person("usr_ada"), world.person("usr_max"));
    let rooms = &world.rooms.notifications;
    let off = |in_app, email| Preferences {
        in_app: [(Kind::ConnectionDegraded, in_app)].into(),
        email: [(Kind::ConnectionDegraded, email)].into(),
    };
    rooms.set_preferences(&ada, off(Mode::Off, Mode::Now)).await.unwrap();
    rooms.set_preferences(&max, off(Mode::Now, Mode::Off)).await.unwrap();
    world.hear("connection.changed", "stripe", 3, degraded()).await;
    assert!(rooms.list(&ada, false, &all()).await.unwrap().items.is_empty());
    assert_eq!(rooms.list(&max, false, &all()).await.unwrap().items.len(), 1);
    let sent = world.sent("Email_Notification_RA").await;
    assert_eq!(sent.len(), 1);
    assert!(sent[0].contains("To: usr_ada@telco.example"));
    assert_eq!(rooms.preferences(&max).await.unwrap().email(Kind::ConnectionDegraded), Mode::Off);
}
