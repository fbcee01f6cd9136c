//! Somebody is erased, or asks to be left in peace.

use personal::{How, Kind, Order, Whose};
use proto::events::event::Data;
use proto::events::{MailRequested, NotificationRequested};
use serde_json::json;

use crate::world::World;

fn order(world: &World, kind: Kind) -> Order {
    let whose = Whose { customers: vec!["cus_1".into()], external: Vec::new() };
    Order { request_id: "prv_1".into(), kind, scope: world.scope.clone(), whose }
}

fn mail(template: &str, key: &str) -> Data {
    Data::MailRequested(MailRequested {
        template: template.into(),
        values: proto::json::object_to_wire(&json!({ "wished_at": "2026-03-01T00:00:00Z" })),
        dedupe_key: key.into(),
        customer_id: "cus_1".into(),
        ..Default::default()
    })
}

#[tokio::test]
async fn who_is_erased_is_in_no_mail_and_no_message_and_does_not_come_back() {
    let world = World::new().await;
    world.hear("mail.requested", "a", 1, mail("cancel_request_received", "sent")).await;
    assert_eq!(world.sent("cancel_request_received").await.len(), 1);
    let notice = NotificationRequested {
        kind: "payment_recovery".into(),
        values: proto::json::object_to_wire(&json!({ "amount_due": "1 USD", "failed_at": "2026-03-01" })),
        dedupe_key: "recovery/1".into(),
        customer_id: "cus_1".into(),
        ..Default::default()
    };
    world.hear("notification.requested", "rcs_1", 1, Data::NotificationRequested(notice)).await;
    world.hear("mail.requested", "b", 1, mail("cancel_request_received", "waits")).await;
    testkit::relayed(&world.db).await;
    let words = ["grace@example.com", "Grace Hopper"];
    assert!(!testkit::holding(&world.db, &words).await.is_empty());

    let done = world.rooms.desk.carry_out(&order(&world, Kind::Erasure)).await.unwrap();
    assert_eq!(testkit::holding(&world.db, &words).await, [] as [String; 0]);
    let count =
        |what: &str, how: How| done.done.iter().find(|d| d.what == what && d.how == how).map(|d| d.count);
    assert_eq!(count("contacts", How::Emptied), Some(1), "{done:?}");
    assert_eq!(count("mails", How::Emptied), Some(2), "{done:?}");
    assert_eq!(count("notifications", How::Removed), Some(2), "{done:?}");
    assert_eq!(world.sent("cancel_request_received").await.len(), 1, "what waited is not sent");
    // Told before the erasure, and heard after it.
    world.customer("cus_1", "Grace Hopper", "grace@example.com", 2).await;
    testkit::relayed(&world.db).await;
    assert_eq!(testkit::holding(&world.db, &words).await, [] as [String; 0]);
    assert_eq!(world.rooms.desk.carry_out(&order(&world, Kind::Erasure)).await.unwrap(), done);
}

#[tokio::test]
async fn who_is_restricted_hears_only_that_the_wish_to_leave_was_heard() {
    let world = World::new().await;
    world.rooms.desk.carry_out(&order(&world, Kind::Restriction)).await.unwrap();
    // What billing tells later does not lift it.
    world.customer("cus_1", "Grace Hopper", "grace@example.com", 2).await;
    world.hear("mail.requested", "a", 1, mail("recovery_retry_hint", "hint")).await;
    world.hear("mail.requested", "b", 1, mail("cancel_request_received", "leaves")).await;
    assert_eq!(world.sent("cancel_request_received").await.len(), 1);
    assert!(world.sent("recovery_retry_hint").await.is_empty());
    world.rooms.desk.carry_out(&order(&world, Kind::Lift)).await.unwrap();
    world.hear("mail.requested", "c", 1, mail("cancel_request_received", "again")).await;
    assert_eq!(world.sent("cancel_request_received").await.len(), 2);
}
