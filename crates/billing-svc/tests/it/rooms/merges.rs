//! Two records that are one person: names, subscriptions and limits follow, and an undo gives everything back.

use std::collections::BTreeMap;

use billing_svc::customer_merge::Pair;
use billing_svc::customers::{Customer, Said, State};
use billing_svc::offer::{Draft, Limits, Stacking};
use billing_svc::providers::ProviderKind;
use kit::PageRequest;
use store::Stored;

use super::world::{World, draft, percent};

async fn customer(w: &World, id: &str) -> Stored<Customer> {
    w.rooms.customers.get(&w.scope, id).await.unwrap()
}

async fn pair(w: &World, survivor: &str, absorbed: &str) -> Pair {
    let version = |c: Stored<Customer>| (c.id, c.version);
    Pair { survivor: version(customer(w, survivor).await), absorbed: version(customer(w, absorbed).await) }
}

#[tokio::test]
async fn every_name_of_the_absorbed_one_leads_to_the_survivor_and_back_after_an_undo() {
    let w = World::start().await;
    let (a, b) = (w.subscriber("ada").await.body.customer_id, w.subscriber("bob").await.body.customer_id);
    let before = (customer(&w, &a).await, customer(&w, &b).await);
    let asked = pair(&w, &a, &b).await;
    let merged = w.rooms.merges.merge(&w.caller, &asked).await.unwrap();
    assert_eq!(merged.customer.body.subscription_count, 2);
    assert_eq!(merged.customer.body.mrr.unwrap().minor, 4_000);
    let again = w.rooms.merges.merge(&w.caller, &asked).await.unwrap();
    assert_eq!(again.merge.id, merged.merge.id, "the same merge again answers the first");

    assert_eq!(customer(&w, &b).await.id, a, "the absorbed one's id answers with the survivor");
    assert_eq!(w.rooms.customers.named(&w.scope, "bob").await.unwrap().id, a);
    let linked =
        w.rooms.customers.linked_to(&w.scope, ProviderKind::Simulated, &before.1.body.links["simulated"]);
    assert_eq!(linked.await.unwrap().unwrap().id, a);
    let said = Said { external_id: "bob".into(), owner: Some("sales".into()), ..Said::default() };
    assert_eq!(w.rooms.customers.upsert(&w.caller, &said).await.unwrap().id, a);
    let imported = w.rooms.customers.import(&w.caller, vec![(said, vec![])]).await.unwrap();
    assert_eq!((imported.created, imported.unchanged), (0, 1), "an import makes no second record");
    w.sync().await;
    let all = w.rooms.customers.list(&w.caller, &Default::default(), &PageRequest::new(0, "")).await.unwrap();
    assert_eq!(all.items.iter().map(|c| &c.id).collect::<Vec<_>>(), [&a], "nor does a sync");
    assert_eq!(
        all.items[0].body.links, before.0.body.links,
        "the first record at the provider stays the first"
    );

    let undone = w.rooms.merges.undo(&w.caller, &merged.merge.id).await.unwrap();
    assert!(undone.merge.body.undone_at.is_some());
    let after = (customer(&w, &a).await, customer(&w, &b).await);
    assert!(after.1.body == before.1.body, "the absorbed one is as it was");
    let owner = Customer { owner: String::new(), ..after.0.body.clone() };
    assert!(owner == before.0.body, "the survivor is as it was, but for what came after");
    assert_eq!(after.0.body.owner, "sales");
    assert_eq!(w.mirrored("sub_bob").await.body.customer_id, b);
    w.rooms.merges.undo(&w.caller, &merged.merge.id).await.unwrap();
    let told = w.told("customers").await;
    let times = |kind: &str| told.iter().filter(|k| *k == kind).count();
    assert_eq!((times("customer.merged"), times("customer.unmerged")), (1, 1), "{told:?}");
}

#[tokio::test]
async fn limits_count_for_the_united_person_and_for_each_again_after_an_undo() {
    let w = World::start().await;
    let limits = Limits { per_customer: 1, ..Limits::default() };
    let offer = w.offer(Draft { limits, stacking: Stacking::Merge, ..draft(percent(20, 3)) }).await;
    let (a, b) = (w.subscriber("ada").await, w.subscriber("bob").await);
    let taken = w.claim(&w.present(&offer, &b).await).await.unwrap();
    // Shown before the merge, taken after it: it counts for whoever the person is then.
    let shown = w.present(&offer, &a).await;
    let asked = pair(&w, &a.body.customer_id, &b.body.customer_id).await;
    let merged = w.rooms.merges.merge(&w.caller, &asked).await.unwrap();
    assert_eq!(merged.customer.body.state, State::Saved);
    assert_eq!(w.redemption(&taken.id).await.customer_id, a.body.customer_id);
    assert_eq!(w.claim(&shown).await.unwrap_err().slug(), "customer_limit_reached");

    w.rooms.merges.undo(&w.caller, &merged.merge.id).await.unwrap();
    assert_eq!(customer(&w, &a.body.customer_id).await.body.state, State::Active);
    assert_eq!(customer(&w, &b.body.customer_id).await.body.state, State::Saved);
    assert_eq!(w.redemption(&taken.id).await.customer_id, b.body.customer_id);
    w.claim(&shown).await.unwrap();
}

#[tokio::test]
async fn a_stale_version_a_second_master_and_a_late_undo_are_refused() {
    let w = World::start().await;
    let made = |id: &str| Said { external_id: id.into(), ..Said::default() };
    let mut ids = Vec::new();
    for id in ["a", "b", "c"] {
        ids.push(w.rooms.customers.upsert(&w.caller, &made(id)).await.unwrap().id);
    }
    let mut stale = pair(&w, &ids[0], &ids[1]).await;
    stale.absorbed.1 += 1;
    assert_eq!(w.rooms.merges.merge(&w.caller, &stale).await.unwrap_err().slug(), "stale_version");
    let itself = pair(&w, &ids[0], &ids[0]).await;
    assert_eq!(w.rooms.merges.merge(&w.caller, &itself).await.unwrap_err().slug(), "invalid_request");
    let asked = pair(&w, &ids[0], &ids[1]).await;
    let first = w.rooms.merges.merge(&w.caller, &asked).await.unwrap();
    let mut other = pair(&w, &ids[2], &ids[2]).await;
    other.absorbed = asked.absorbed.clone();
    assert_eq!(w.rooms.merges.merge(&w.caller, &other).await.unwrap_err().slug(), "already_merged");

    let second = pair(&w, &ids[2], &ids[0]).await;
    let second = w.rooms.merges.merge(&w.caller, &second).await.unwrap();
    assert_eq!(customer(&w, &ids[1]).await.id, ids[2], "through two merges");
    let early = w.rooms.merges.undo(&w.caller, &first.merge.id).await.unwrap_err();
    assert_eq!(early.slug(), "merged_again");
    w.rooms.merges.undo(&w.caller, &second.merge.id).await.unwrap();
    assert_eq!(customer(&w, &ids[1]).await.id, ids[0]);
    w.minutes_later(31 * 24 * 60);
    let late = w.rooms.merges.undo(&w.caller, &first.merge.id).await.unwrap_err();
    assert_eq!(late.slug(), "undo_expired");
}

#[tokio::test]
async fn who_is_erased_leaves_nothing_in_the_records_that_were_merged() {
    let w = World::start().await;
    let named = |id: &str| Said {
        external_id: id.into(),
        email: Some(format!("{id}@example.com")),
        links: BTreeMap::from([("stripe".to_owned(), format!("cus_{id}"))]),
        ..Said::default()
    };
    let a = w.rooms.customers.upsert(&w.caller, &named("a")).await.unwrap().id;
    let b = w.rooms.customers.upsert(&w.caller, &named("bob")).await.unwrap().id;
    let asked = pair(&w, &a, &b).await;
    w.rooms.merges.merge(&w.caller, &asked).await.unwrap();
    w.rooms.merges.forget(&w.scope, &a).await.unwrap();
    w.rooms.merges.forget(&w.scope, &a).await.unwrap();
    for (collection, id) in [("customers", &b), ("customer_merges", &a)] {
        let field = if collection == "customers" { "_id" } else { "body.survivor_id" };
        let collection = w.db.collection::<bson::Document>(collection);
        let mut found = collection.find_one(bson::doc! { field: id }).await.unwrap().unwrap();
        found.remove("_outbox");
        assert!(!format!("{found}").contains("bob"), "{found}");
    }
    assert_eq!(w.told_times("customers", "customer.erased").await, 1);
}
