//! What WorkOS tells: directories, memberships, sessions; by webhook, and by its list for what webhooks missed.

use jiff::SignedDuration;
use kit::clock::Clock as _;
use kit::{Caller, Role};
use proto::identity as pb;
use serde_json::json;

use crate::rig::{person, slug};
use crate::sso::{Site, sso};

const DORA: &str = "dora@telco.example";

impl Site {
    async fn ended(&self, session: &str) {
        testkit::eventually("the session ending", async || {
            self.rig.resolve(session).await.is_err().then_some(())
        })
        .await;
    }

    /// Waits until an event has been worked on.
    async fn done(&self, event: &str) {
        let events = self.rig.db.db("identity-svc").await;
        let events = events.collection::<bson::Document>("sso_events");
        let done = bson::doc! { "_id": event, "body.state": { "$in": ["processed", "ignored"] } };
        testkit::eventually("the event", async || events.find_one(done.clone()).await.unwrap().map(drop))
            .await;
    }

    /// What the trail says the provider did to people, oldest first: the act and why.
    async fn trail(&self) -> Vec<(String, String)> {
        let mut audit = pb::audit_service_client::AuditServiceClient::new(self.rig.up.channel());
        let all = self.rig.ask(&self.ada, pb::ListAuditEntriesRequest::default());
        let page = audit.list_audit_entries(all).await.unwrap().into_inner();
        let by_provider = |e: &pb::AuditEntry| {
            (e.actor_kind.as_str(), e.actor_id.as_str(), e.role.as_str())
                == ("provider", "workos", "provider")
        };
        let acts = page.items.into_iter().filter(by_provider);
        let mut acts: Vec<_> =
            acts.map(|e| (e.action.trim_start_matches("user.").to_owned(), e.reason)).collect();
        acts.reverse();
        acts
    }

    async fn status(&self, email: &str, wanted: pb::UserStatus) {
        testkit::eventually("the status", async || {
            self.user(email).await.filter(|u| u.status() == wanted).map(drop)
        })
        .await;
    }
}

#[tokio::test]
async fn who_is_deactivated_in_the_directory_is_out_and_comes_back_with_it() {
    let site = Site::start().await;
    let dora = site.fake.add_person(&site.directory, DORA, &[&site.experts]);
    let grant = site.sign_in(DORA).await.unwrap();
    site.fake.set_state(&dora, "suspended");
    site.told("dsync.user.updated").await;
    site.ended(&grant.session_id).await;
    site.status(DORA, pb::UserStatus::Suspended).await;
    assert_eq!(slug(site.sign_in(DORA).await), "sign_in_failed");
    site.fake.set_state(&dora, "active");
    site.told("dsync.user.updated").await;
    site.status(DORA, pb::UserStatus::Active).await;
    let grant = site.sign_in(DORA).await.unwrap();
    // Gone from the directory: out, and what is told late and out of order changes nothing.
    let late = site.fake.delivery("dsync.user.created");
    site.fake.delete_person(&dora);
    site.told("dsync.user.deleted").await;
    site.ended(&grant.session_id).await;
    site.receive(&late.0, late.1).await.unwrap();
    site.told("dsync.user.updated").await;
    site.status(DORA, pb::UserStatus::Suspended).await;
    testkit::eventually("the trail of what the provider did", async || {
        let trail = site.trail().await;
        let (gone, back) = ("deactivated in the directory", "");
        let wanted = [("join", ""), ("suspend", gone), ("restore", back), ("suspend", gone)];
        trail.iter().map(|(a, r)| (a.as_str(), r.as_str())).eq(wanted).then_some(())
    })
    .await;
}

#[tokio::test]
async fn an_admin_s_suspension_is_not_the_directory_s_to_lift() {
    let site = Site::start().await;
    let dora = site.fake.add_person(&site.directory, DORA, &[&site.experts]);
    site.sign_in(DORA).await.unwrap();
    let id = site.user(DORA).await.unwrap().id;
    let mut users = pb::user_profile_service_client::UserProfileServiceClient::new(site.rig.up.channel());
    users.suspend_user(site.rig.ask(&site.ada, pb::SuspendUserRequest { id })).await.unwrap();
    site.fake.set_state(&dora, "active");
    let known = site.told("dsync.user.updated").await;
    site.done(&known.event_id).await;
    assert_eq!(site.user(DORA).await.unwrap().status(), pb::UserStatus::Suspended);
    assert_eq!(slug(site.sign_in(DORA).await), "sign_in_failed");
}

#[tokio::test]
async fn groups_give_and_take_roles() {
    let site = Site::start().await;
    let dora = site.fake.add_person(&site.directory, DORA, &[&site.experts]);
    let grant = site.sign_in(DORA).await.unwrap();
    site.fake.join(&dora, &site.admins);
    site.told("dsync.group.user_added").await;
    site.ended(&grant.session_id).await;
    assert_eq!(site.sign_in(DORA).await.unwrap().role(), pb::UserRole::RetAdmin, "the strongest counts");
    site.fake.leave(&dora, &site.admins);
    site.told("dsync.group.user_removed").await;
    testkit::eventually("the role", async || {
        site.user(DORA).await.filter(|u| u.role() == pb::UserRole::RetExp).map(drop)
    })
    .await;
    site.fake.leave(&dora, &site.experts);
    assert_eq!(slug(site.sign_in(DORA).await), "sign_in_failed", "before it is told");
    site.told("dsync.group.user_removed").await;
    site.status(DORA, pb::UserStatus::Suspended).await;
    site.fake.set_state(&dora, "active");
    let told = site.told("dsync.user.updated").await;
    site.done(&told.event_id).await;
    assert_eq!(slug(site.sign_in(DORA).await), "sign_in_failed", "in no group");
    site.fake.join(&dora, &site.experts);
    site.told("dsync.group.user_added").await;
    site.status(DORA, pb::UserStatus::Active).await;
    assert!(site.sign_in(DORA).await.is_ok());
}

#[tokio::test]
async fn the_last_admin_loses_the_session_and_keeps_the_place() {
    let site = Site::start().await;
    let ada = site.fake.add_person(&site.directory, "ada@telco.example", &[&site.admins]);
    let grant = site.sign_in("ada@telco.example").await.unwrap();
    site.fake.set_state(&ada, "inactive");
    site.told("dsync.user.updated").await;
    site.ended(&grant.session_id).await;
    assert_eq!(site.user("ada@telco.example").await.unwrap().status(), pb::UserStatus::Active);
    assert_eq!(slug(site.sign_in("ada@telco.example").await), "sign_in_failed");
}

#[tokio::test]
async fn memberships_and_accounts_end_sessions() {
    let site = Site::start().await;
    site.fake.add_person(&site.directory, DORA, &[&site.experts]);
    let grant = site.sign_in(DORA).await.unwrap();
    site.fake.set_membership(&site.organization, DORA, "inactive");
    site.told("organization_membership.updated").await;
    site.ended(&grant.session_id).await;
    site.fake.set_membership(&site.organization, DORA, "active");
    site.told("organization_membership.updated").await;
    site.status(DORA, pb::UserStatus::Active).await;
    let grant = site.sign_in(DORA).await.unwrap();
    site.fake.delete_user(DORA);
    site.told("user.deleted").await;
    site.ended(&grant.session_id).await;
    site.status(DORA, pb::UserStatus::Suspended).await;
}

#[tokio::test]
async fn a_session_ends_on_both_sides() {
    let site = Site::start().await;
    site.fake.add_person(&site.directory, DORA, &[&site.experts]);
    let grant = site.sign_in(DORA).await.unwrap();
    let id = site.user(DORA).await.unwrap().id;
    let me = Caller {
        session: Some(grant.session_id.clone()),
        ..person(Role::RetExp, &id, Some(&site.company.id))
    };
    assert_eq!(site.fake.sessions().len(), 1);
    let out = pb::DeleteCurrentSessionRequest {};
    site.rig.sessions().delete_current_session(site.rig.ask(&me, out)).await.unwrap();
    testkit::eventually("WorkOS' session ending", async || site.fake.sessions().is_empty().then_some(()))
        .await;
    site.told("session.revoked").await;
    let grant = site.sign_in(DORA).await.unwrap();
    site.fake.end_session(&site.fake.sessions()[0]);
    site.told("session.revoked").await;
    site.ended(&grant.session_id).await;
}

#[tokio::test]
async fn a_webhook_is_believed_when_it_is_signed_now_and_taken_once() {
    let site = Site::start().await;
    site.fake.add_person(&site.directory, DORA, &[&site.experts]);
    let (signature, body) = site.fake.delivery("dsync.user.created");
    let forged = body.replace(DORA, "mallory@telco.example");
    assert_eq!(slug(site.receive(&signature, forged).await), "bad_signature");
    assert_eq!(slug(site.receive("", body.clone()).await), "bad_signature");
    let first = site.receive(&signature, body.clone()).await.unwrap();
    let second = site.receive(&signature, body.clone()).await.unwrap();
    assert_eq!((first.duplicate, second.duplicate), (false, true));
    assert_eq!(first.event_id, second.event_id);
    let sign = |secret: &str, body: &str| {
        connect::sign::sign_workos(&secret.into(), site.rig.clock.now(), body.as_bytes())
    };
    let unknown = json!({ "id": "event_t", "event": "a.name.of.tomorrow", "data": {}, "created_at": "2026-01-01T00:00:00Z" });
    let unknown = unknown.to_string();
    let taken = site.receive(&sign("whsec_older", &unknown), unknown.clone()).await;
    assert!(taken.is_ok(), "signed with the secret that is being replaced, and of no name we know");
    assert_eq!(slug(site.receive(&sign("whsec_fake_workos", "[]"), "[]".into()).await), "invalid_request");
    site.rig.clock.advance(SignedDuration::from_secs(181));
    assert_eq!(slug(site.receive(&signature, body).await), "bad_signature", "too old");
}

#[tokio::test]
async fn what_webhooks_missed_comes_by_the_list() {
    let site = Site::start().await;
    let dora = site.fake.add_person(&site.directory, DORA, &[&site.experts]);
    let grant = site.sign_in(DORA).await.unwrap();
    // More than one page.
    for _ in 0..60 {
        site.fake.set_state(&dora, "active");
        site.fake.join(&dora, &site.admins);
        site.fake.leave(&dora, &site.admins);
    }
    site.fake.set_state(&dora, "inactive");
    site.rig.clock.advance(SignedDuration::from_secs(61));
    site.ended(&grant.session_id).await;
    let events = site.rig.db.db("identity-svc").await;
    let events = events.collection::<bson::Document>("sso_events");
    let named = bson::doc! { "body.name": "dsync.user.updated" };
    testkit::eventually("the whole list", async || {
        (events.count_documents(named.clone()).await.unwrap() == 61).then_some(())
    })
    .await;
    let late = site.told("dsync.user.updated").await;
    assert!(late.duplicate, "the webhook comes after all, and is known");
    // The next reading goes on where the last one ended. One that is due while another runs is left out, so time goes on
    // until one begins.
    let reads = || site.fake.seen().iter().filter(|s| s.path == "/events").count();
    let before = reads();
    testkit::eventually("the next reading", async || {
        site.rig.clock.advance(SignedDuration::from_secs(60));
        (reads() > before).then_some(())
    })
    .await;
}

#[tokio::test]
async fn after_an_outage_longer_than_the_list_everybody_is_looked_at_again() {
    let site = Site::start().await;
    let dora = site.fake.add_person(&site.directory, DORA, &[&site.experts]);
    site.sign_in(DORA).await.unwrap();
    site.fake.add_user("ada@telco.example", true);
    site.sign_in("ada@telco.example").await.unwrap();
    let reads = || site.fake.seen().iter().filter(|s| s.path == "/events").count();
    site.rig.clock.advance(SignedDuration::from_secs(61));
    testkit::eventually("a reading to the end", async || (reads() > 0).then_some(())).await;
    testkit::eventually("its mark", async || {
        let marks = site.rig.db.db("identity-svc").await;
        let marks = marks.collection::<bson::Document>("sso_marks");
        marks.find_one(bson::doc! { "body.read_at": { "$type": "date" } }).await.unwrap().map(drop)
    })
    .await;

    site.fake.set_state(&dora, "inactive");
    site.rig.clock.advance(SignedDuration::from_hours(24 * 40));
    site.status(DORA, pb::UserStatus::Suspended).await;
    assert_eq!(site.user("ada@telco.example").await.unwrap().status(), pb::UserStatus::Active);
}

#[tokio::test]
async fn domains_are_proved_at_the_provider() {
    let site = Site::start().await;
    let read = site.settings().await;
    let put = pb::PutSsoRequest {
        id: site.company.id.clone(),
        version: read.version,
        domains: vec!["telco.example".into(), "telco.test".into()],
        role_mapping: read.role_mapping,
        ..Default::default()
    };
    let put = sso(&site.rig).put_sso(site.rig.ask(&site.ada, put)).await.unwrap().into_inner();
    let proved: Vec<_> = put.domains.iter().map(|d| d.verified).collect();
    assert_eq!(proved, [true, false]);
    site.fake.verify_domains(&site.organization);
    site.told("organization_domain.verified").await;
    site.until("the proof", |s| s.domains.iter().all(|d| d.verified)).await;
}
