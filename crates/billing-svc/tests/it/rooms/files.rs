//! Customers by file: in, once per row whatever breaks off, and out, for those who may see them.

use std::collections::BTreeMap;

use billing_svc::customer_export::{self, Wanted};
use billing_svc::customer_import::{Head, State};
use billing_svc::customers::{Definition, Source, Type};
use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream};
use kit::{Coded, PageRequest, Role};
use serde_json::json;

use super::world::World;

async fn declare(w: &World, key: &str, r#type: Type, personal: bool) {
    let definition = Definition {
        key: key.into(),
        r#type,
        source: Source::Upload,
        personal,
        in_rules: true,
        in_text: false,
    };
    w.rooms.customers.define(&w.caller, definition).await.unwrap();
}

fn file(text: &str) -> impl futures_util::Stream<Item = Result<Bytes, tonic::Status>> + Send + use<> {
    let pieces: Vec<_> = text.as_bytes().chunks(1000).map(|p| Ok(Bytes::copy_from_slice(p))).collect();
    stream::iter(pieces)
}

fn head(name: &str, mapping: &[(&str, &str)]) -> Head {
    let mapping = mapping.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect::<BTreeMap<_, _>>();
    Head { file_name: name.into(), content_type: String::new(), mapping }
}

#[tokio::test]
async fn a_csv_is_imported_row_by_row_and_the_wrong_rows_are_told() {
    let w = World::start().await;
    declare(&w, "seats", Type::Int, false).await;
    let csv = "\u{feff}Kunde,email,Plätze,weather\n\
        c-1,ada@example.com,12,sun\n\
        c-2,nowhere,3,rain\n\
        ,x@example.com,1,rain\n\
        c-3,,many,rain\n\
        c-4,\"d@example.com\",,rain\n\
        c-5,e@example.com\n";
    let mapping = [("Kunde", "external_id"), ("Plätze", "attributes.seats")];
    let wrong = w.rooms.imports.upload(&w.caller, head("a.csv", &[("x", "height")]), file(csv)).await;
    assert_eq!(wrong.unwrap_err().fields()[0].field, "mapping.x");
    let queued = w.rooms.imports.upload(&w.caller, head("a.csv", &mapping), file(csv)).await.unwrap();
    assert_eq!(queued.body.state, State::Queued);
    w.rooms.imports.run(&w.scope, &queued.id).await.unwrap();
    let done = w.rooms.imports.get(&w.scope, &queued.id).await.unwrap().body;
    assert_eq!(done.state, State::CompletedWithErrors);
    assert_eq!((done.counts.rows, done.counts.created, done.counts.rejected), (6, 2, 4));
    let faults = w.rooms.imports.faults(&w.scope, &queued.id, &PageRequest::new(0, "")).await.unwrap();
    let told: Vec<_> =
        faults.items.iter().map(|f| (f.body.row, f.body.field.as_str(), f.body.code.as_str())).collect();
    let expected = [
        (2, "email", "invalid"),
        (3, "external_id", "required"),
        (4, "attributes.seats", "wrong_type"),
        (6, "", "ragged"),
    ];
    assert_eq!(told, expected);
    let ada = w.rooms.customers.named(&w.scope, "c-1").await.unwrap().body;
    assert_eq!(
        (&ada.attributes["seats"].value, ada.attributes["seats"].source),
        (&json!(12), Source::Upload)
    );

    let again = w.rooms.imports.upload(&w.caller, head("b.csv", &mapping), file(csv)).await.unwrap();
    assert_eq!(again.id, queued.id, "the same file is imported once");
    let other = w.rooms.imports.upload(&w.caller, head("a.csv", &mapping[..1]), file(csv)).await.unwrap();
    assert_ne!(other.id, queued.id, "with another mapping it says something else");
    w.rooms.imports.cancel(&w.caller, &other.id).await.unwrap();
    w.rooms.imports.run(&w.scope, &other.id).await.unwrap();
    assert_eq!(w.rooms.imports.get(&w.scope, &other.id).await.unwrap().body.state, State::Canceled);
}

#[tokio::test]
async fn an_import_that_was_cut_off_goes_on_where_it_was() {
    let w = World::start().await;
    declare(&w, "seats", Type::Int, false).await;
    let line = |n: usize| {
        format!("{{\"external_id\":\"c-{n}\",\"attributes\":{{\"seats\":{n}}},\"tags\":[\"new\"]}}\n")
    };
    let lines: String = (0..1_200).map(line).collect();
    let queued = w.rooms.imports.upload(&w.caller, head("a.jsonl", &[]), file(&lines)).await.unwrap();
    // As a process leaves it that died after the first lot was noted.
    let imports = w.db.collection::<bson::Document>("customer_imports");
    let noted = bson::doc! { "$set": { "body.state": "importing", "body.counts.rows": 500_i64, "body.counts.created": 500_i64 } };
    imports.update_one(bson::doc! { "_id": &queued.id }, noted).await.unwrap();
    w.rooms.imports.run(&w.scope, &queued.id).await.unwrap();
    let done = w.rooms.imports.get(&w.scope, &queued.id).await.unwrap().body;
    assert_eq!((done.state, done.counts.rows, done.counts.created), (State::Completed, 1_200, 1_200));
    assert!(
        w.rooms.customers.named(&w.scope, "c-499").await.is_err(),
        "what was dealt with is not read again"
    );
    let last = w.rooms.customers.named(&w.scope, "c-1199").await.unwrap().body;
    assert_eq!(
        (&last.attributes["seats"].value, last.tags.as_slice()),
        (&json!(1_199), &["new".to_owned()][..])
    );
    w.rooms.imports.run(&w.scope, &queued.id).await.unwrap();

    let none = w.rooms.imports.upload(&w.caller, head("b.csv", &[]), file("who,what\na,b\n")).await.unwrap();
    w.rooms.imports.run(&w.scope, &none.id).await.unwrap();
    let failed = w.rooms.imports.get(&w.scope, &none.id).await.unwrap().body;
    assert_eq!((failed.state, failed.reason.as_str()), (State::Failed, "no_external_id"));
}

#[tokio::test]
async fn an_export_is_written_once_fetched_by_whoever_may_and_gone_after_a_day() {
    let w = World::start().await;
    declare(&w, "motto", Type::Text, true).await;
    let line = |n: usize| format!("c-{n},c{n}@example.com,\"=1+{n}\"\n");
    let csv = String::from("external_id,email,motto\n") + &(0..450).map(line).collect::<String>();
    let queued = w.rooms.imports.upload(&w.caller, head("a.csv", &[]), file(&csv)).await.unwrap();
    w.rooms.imports.run(&w.scope, &queued.id).await.unwrap();

    let wanted = Wanted { format: customer_export::Format::Csv, state: None, tag: None };
    let asked = w.rooms.exports.begin(&w.caller, wanted.clone(), false).await.unwrap();
    let same = w.rooms.exports.begin(&w.caller, wanted.clone(), true).await.unwrap();
    assert_eq!(same.id, asked.id, "the one under way answers");
    let early = w.rooms.exports.download(&w.caller, &asked.id).await;
    assert_eq!(early.err().unwrap().slug(), "export_not_ready");
    w.rooms.exports.run(&w.scope, &asked.id).await.unwrap();
    let mut expert = w.caller.clone();
    expert.role = Role::RetExp;
    let hidden = w.rooms.exports.download(&expert, &asked.id).await;
    assert_eq!(hidden.err().unwrap().slug(), "personal_data_hidden");
    let (ready, object) = w.rooms.exports.download(&w.caller, &asked.id).await.unwrap();
    assert_eq!((ready.body.state, ready.body.rows), (customer_export::State::Ready, 450));
    let pieces: Vec<Bytes> = object.body.map(|p| p.map_err(anyhow::Error::from)).try_collect().await.unwrap();
    let text = String::from_utf8(pieces.concat()).unwrap();
    assert_eq!(text.lines().count(), 451);
    assert!(
        text.starts_with("id,external_id,") && text.lines().next().unwrap().ends_with(",attributes.motto")
    );
    assert!(text.contains(",c-449,") && text.contains(",c449@example.com,") && text.contains(",'=1+449"));
    let told = w.told("customer_exports").await;
    assert_eq!(told, ["audit.recorded", "audit.recorded"], "who asked and who fetched");

    w.minutes_later(25 * 60);
    assert_eq!(
        w.rooms.exports.download(&w.caller, &asked.id).await.err().unwrap().slug(),
        "export_not_ready"
    );
    assert_eq!(w.rooms.exports.expire().await.unwrap(), 1);
    assert_eq!(
        w.rooms.exports.get(&w.caller, &asked.id).await.unwrap().body.state,
        customer_export::State::Expired
    );
    let next = w.rooms.exports.begin(&w.caller, wanted, false).await.unwrap();
    assert_ne!(next.id, asked.id);
}
