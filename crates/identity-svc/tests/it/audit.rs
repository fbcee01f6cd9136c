//! The chain of the audit trail, under writers at once and under somebody with access to the database.

use std::sync::Arc;

use bson::doc;
use identity_svc::audit::verify::verify;
use identity_svc::audit::{Audit, AuditStore, Entry};
use kit::clock::Clock as _;
use kit::{Mode, Scope};
use proto::identity as pb;

use crate::rig::Rig;

fn entry(at: kit::Timestamp, n: usize) -> Entry {
    Entry {
        actor_kind: "user".into(),
        actor_id: format!("usr_{n}"),
        role: "ret_admin".into(),
        resource: "offer".into(),
        resource_id: "ofr_1".into(),
        action: "offer.update".into(),
        before: None,
        after: None,
        reason: String::new(),
        request_id: String::new(),
        occurred_at: at,
        position: 0,
        previous_hash: String::new(),
        hash: String::new(),
    }
}

#[tokio::test]
async fn writers_at_once_make_one_chain_and_an_event_told_twice_is_one_entry() {
    let db = testkit::mongo().await;
    let clock = testkit::clock();
    let now = clock.now();
    let store = AuditStore::open(&db.db("identity-svc").await, Arc::new(clock)).await.unwrap();
    let audit = Audit::new(store.clone());
    let scopes = [Scope::new("com_1", Mode::Live), Scope::new("com_2", Mode::Live)];
    let batches = (0..8).map(|writer| {
        let entries = (0..10).map(|n| {
            // Half of what each writer has, its neighbour has, too.
            let n = writer * 5 + n;
            (scopes[n % 2].clone(), format!("aud_{n:03}"), entry(now, n))
        });
        audit.record(entries.collect())
    });
    for outcome in futures_util::future::join_all(batches).await {
        outcome.unwrap();
    }
    assert_eq!(store.chains().await.unwrap(), scopes);
    let mut positions = 0;
    for scope in &scopes {
        let verdict = verify(&store, scope).await.unwrap();
        assert_eq!(verdict.broken, None);
        positions += verdict.head.position;
    }
    assert_eq!(positions, 45, "each event once");
}

#[tokio::test]
async fn whoever_changes_or_removes_an_entry_is_found_out() {
    let db = testkit::mongo().await;
    let clock = testkit::clock();
    let now = clock.now();
    let database = db.db("identity-svc").await;
    let store = AuditStore::open(&database, Arc::new(clock)).await.unwrap();
    let scope = Scope::new("com_1", Mode::Live);
    let entries = (0..300).map(|n| (scope.clone(), format!("aud_{n:03}"), entry(now, n))).collect();
    Audit::new(store.clone()).record(entries).await.unwrap();
    let raw = database.collection::<bson::Document>("audit_entries");
    let set = |text: &str| doc! { "$set": { "body.actor_id": text } };
    raw.update_one(doc! { "_id": "aud_250" }, set("usr_somebody_else")).await.unwrap();
    let broken = verify(&store, &scope).await.unwrap().broken.unwrap();
    assert_eq!(broken, ("aud_250".into(), "it was changed"));
    raw.update_one(doc! { "_id": "aud_250" }, set("usr_250")).await.unwrap();
    assert_eq!(verify(&store, &scope).await.unwrap().broken, None);
    raw.delete_one(doc! { "_id": "aud_100" }).await.unwrap();
    let verdict = verify(&store, &scope).await.unwrap();
    assert_eq!(verdict.broken.unwrap(), ("aud_101".into(), "an entry is missing before it"));
    assert_eq!(verdict.head.position, 100);
}

#[tokio::test]
async fn the_trail_leaves_as_a_file() {
    let rig = Rig::start().await;
    let (company, ada) = rig.company("Telco", "ada@telco.example").await;
    rig.join(&ada, "eve@telco.example", pb::UserRole::RetExp).await;
    let audit = pb::audit_service_client::AuditServiceClient::new(rig.up.channel());
    let export = async |format: pb::AuditFormat, action: &str| {
        let wanted = pb::ExportAuditEntriesRequest {
            format: format.into(),
            action: action.into(),
            ..Default::default()
        };
        let answer = audit.clone().export_audit_entries(rig.ask(&ada, wanted)).await.unwrap();
        let disposition = answer.metadata().get("content-disposition").unwrap().clone();
        assert!(disposition.to_str().unwrap().contains(&company.id));
        let (mut stream, mut text) = (answer.into_inner(), String::new());
        let mut types = std::collections::BTreeSet::new();
        while let Some(piece) = stream.message().await.unwrap() {
            text += std::str::from_utf8(&piece.data).unwrap();
            types.insert(piece.content_type);
        }
        assert_eq!(types.len(), 1, "a file of no entries says its type, too");
        text
    };
    let text = testkit::eventually("both invitations and their acceptance", async || {
        let text = export(pb::AuditFormat::Jsonl, "").await;
        (text.matches("\"invitation.create\"").count() == 2
            && text.matches("\"invitation.accept\"").count() == 2)
            .then_some(text)
    })
    .await;
    assert_eq!(export(pb::AuditFormat::Jsonl, "nobody.does_this").await, "");
    for line in text.lines() {
        let entry: serde_json::Value = serde_json::from_str(line).unwrap();
        assert_eq!(entry["company_id"], company.id);
        assert_eq!(entry["hash"].as_str().unwrap().len(), 64);
    }
    let csv = export(pb::AuditFormat::Csv, "invitation.accept").await;
    let mut lines = csv.lines();
    assert!(lines.next().unwrap().starts_with("id,position,occurred_at,"));
    assert_eq!(lines.count(), 2);
}
