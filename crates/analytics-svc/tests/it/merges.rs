//! Records that were merged: one person for rules, personas and reports, and two again after an undo.

use proto::events::CustomerMerged;
use proto::events::event::Data;

use crate::world::World;

#[tokio::test]
async fn what_is_known_of_two_records_is_known_of_one_person_until_the_undo() {
    let w = World::new().await;
    w.tell(&[w.customer(1, 1), w.customer(2, 1)]).await;
    w.tell(&[w.subscription(1, 1, "active", 3), w.subscription(2, 1, "past_due", 5)]).await;
    let known = async |reference: &str| w.rooms.customers.get(&w.scope, reference).await.unwrap();
    let before = (known("cus_00001").await.body.known, known("cus_00002").await.body.known);
    let data = CustomerMerged {
        merge_id: "mrg_1".into(),
        survivor_id: "cus_00001".into(),
        absorbed_id: "cus_00002".into(),
        external_ids: vec!["ext-2".into()],
        subscription_ids: vec!["sub_00002".into()],
        redemption_ids: vec![],
    };
    let told =
        |kind: &str, sequence| w.incoming(kind, "cus_00001", sequence, Data::CustomerMerged(data.clone()));
    for _ in 0..2 {
        w.tell(&[told("customer.merged", 2)]).await;
    }
    assert_eq!(w.rooms.customers.count(&w.scope).await.unwrap(), 1);
    for name in ["cus_00001", "cus_00002", "ext-1", "ext-2"] {
        let one = known(name).await;
        assert_eq!((one.id.as_str(), one.body.known.subscriptions.len()), ("cus_00001", 2), "{name}");
    }
    let keys = ["ext-2".to_owned(), "cus_00002".to_owned()];
    let matched = w.rooms.customers.match_keys(&w.scope, "body.external_id", &keys).await.unwrap();
    assert!(keys.iter().all(|k| matched[k] == "cus_00001"), "usage of either name: {matched:?}");
    // Told under the old id by somebody who has not heard yet.
    w.tell(&[w.subscription(2, 2, "active", 5)]).await;
    assert_eq!(known("cus_00001").await.body.known.subscriptions["sub_00002"].state, "active");

    for _ in 0..2 {
        w.tell(&[told("customer.unmerged", 3)]).await;
    }
    let after = (known("cus_00001").await.body.known, known("ext-2").await.body.known);
    assert_eq!(after, before);
    assert_eq!(w.rooms.customers.count(&w.scope).await.unwrap(), 2);
}
