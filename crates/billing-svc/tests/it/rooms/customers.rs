//! Customers: one record per external id, whoever writes at once.

use std::collections::BTreeMap;

use billing_svc::customers::{Definition, Said, Source, Type};
use futures_util::future::join_all;
use kit::{Coded, PageRequest, Role};
use serde_json::json;

use super::world::World;

fn said(id: &str, name: &str) -> Said {
    Said { external_id: id.into(), name: Some(name.into()), ..Said::default() }
}

async fn declare(w: &World, key: &str, r#type: Type) {
    let definition = Definition {
        key: key.into(),
        r#type,
        source: Source::Api,
        personal: false,
        in_rules: true,
        in_text: false,
    };
    w.rooms.customers.define(&w.caller, definition).await.unwrap();
}

#[tokio::test]
async fn many_upserts_at_once_make_one_customer() {
    let w = World::start().await;
    let names: Vec<_> = (0..8).map(|n| said("c1", &format!("Ada {n}"))).collect();
    let all = join_all(names.iter().map(|s| w.rooms.customers.upsert(&w.caller, s))).await;
    let first = all[0].as_ref().unwrap().id.clone();
    for stored in all {
        assert_eq!(stored.unwrap().id, first);
    }
    let again = w.rooms.customers.get(&w.scope, &first).await.unwrap();
    let same = said("c1", &again.body.name);
    let unchanged = w.rooms.customers.upsert(&w.caller, &same).await.unwrap();
    assert_eq!(unchanged.version, again.version, "saying the same writes nothing");
    let stale = w.rooms.customers.update(&w.caller, &first, 1, &said("", "Eve")).await.unwrap_err();
    assert_eq!(stale.slug(), "stale_version");
}

#[tokio::test]
async fn an_import_writes_the_good_rows_and_lists_the_wrong_ones() {
    let w = World::start().await;
    declare(&w, "tenure", Type::Int).await;
    let with = |id: &str, tenure: serde_json::Value| Said {
        attributes: BTreeMap::from([("tenure".to_owned(), tenure)]),
        ..said(id, "Ada")
    };
    let mut rows: Vec<_> = (0..500).map(|n| (with(&format!("c{n}"), json!(n)), vec![])).collect();
    rows[3].0.email = Some("nowhere".into());
    rows[4].0.attributes.insert("tenure".into(), json!("long"));
    rows[5].0.attributes.insert("height".into(), json!(1));
    rows.push((with("c0", json!(99)), vec![]));
    let done = w.rooms.customers.import(&w.caller, rows.clone()).await.unwrap();
    assert_eq!((done.created, done.updated, done.unchanged), (497, 1, 0));
    let wrong: Vec<_> = done.errors.iter().map(|(n, e)| (*n, e.field.as_str(), e.code.as_str())).collect();
    assert_eq!(
        wrong,
        [
            (3, "email", "invalid"),
            (4, "attributes.tenure", "wrong_type"),
            (5, "attributes.height", "unknown_attribute"),
        ]
    );
    let first = w.rooms.customers.named(&w.scope, "c0").await.unwrap();
    assert_eq!(first.body.attributes["tenure"].value, json!(99), "rows of one customer keep their order");
    rows.truncate(3);
    rows.remove(0);
    let again = w.rooms.customers.import(&w.caller, rows).await.unwrap();
    assert_eq!((again.created, again.updated, again.unchanged), (0, 0, 2), "the same rows change nothing");
}

#[tokio::test]
async fn a_provider_s_id_belongs_to_one_customer() {
    let w = World::start().await;
    let linked = |id: &str| Said {
        links: BTreeMap::from([("stripe".to_owned(), "cus_x".to_owned())]),
        ..said(id, "Ada")
    };
    w.rooms.customers.upsert(&w.caller, &linked("c1")).await.unwrap();
    w.rooms.customers.upsert(&w.caller, &said("c2", "Bob")).await.unwrap();
    for id in ["c2", "c3"] {
        let taken = w.rooms.customers.upsert(&w.caller, &linked(id)).await.unwrap_err();
        assert_eq!(taken.slug(), "already_exists", "{id}");
    }
}

#[tokio::test]
async fn wrong_values_are_refused_by_name_and_change_nothing() {
    let w = World::start().await;
    declare(&w, "tenure", Type::Int).await;
    let c = w.rooms.customers.upsert(&w.caller, &said("c1", "Ada")).await.unwrap();
    let values = BTreeMap::from([("tenure".to_owned(), json!(1.5)), ("x".to_owned(), json!(1))]);
    let wrong = w.rooms.customers.put_attributes(&w.caller, &c.id, &values, None).await.unwrap_err();
    assert_eq!(wrong.fields().len(), 2);
    let twice = Definition {
        key: "tenure".into(),
        r#type: Type::Text,
        source: Source::Api,
        personal: false,
        in_rules: false,
        in_text: false,
    };
    assert_eq!(w.rooms.customers.define(&w.caller, twice).await.unwrap_err().slug(), "already_exists");
    assert_eq!(w.rooms.customers.get(&w.scope, &c.id).await.unwrap().version, c.version);
    let tagged = w.rooms.customers.tag(&w.caller, &c.id, &["b".into(), "a".into()], &[]).await.unwrap();
    assert_eq!(tagged.body.tags, ["a", "b"]);
    let mut expert = w.caller.clone();
    expert.role = Role::RetExp;
    let by_email = billing_svc::customers::Filter { email: Some("a@b.c".into()), ..Default::default() };
    let hidden = w.rooms.customers.list(&expert, &by_email, &PageRequest::new(0, "")).await.unwrap_err();
    assert_eq!(hidden.slug(), "personal_data_hidden");
}
