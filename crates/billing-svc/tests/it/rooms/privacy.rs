//! Privacy requests on a real database: who asked, what billing itself does, and that nobody comes back.

use std::collections::BTreeMap;

use billing_svc::customer_export::{self, Format, Wanted};
use billing_svc::customers::{self, Said};
use billing_svc::inbound::Call;
use billing_svc::privacy::{Asked, Ears, Kind, SERVICES, State};
use billing_svc::providers::simulated::{Fixture, Fixtures, SIGNATURE};
use billing_svc::redemption;
use bus::{Handler, Incoming, Outcome};
use kit::Clock;
use personal::{How, Order, Whose};
use prost::Message as _;
use proto::events::event::Data;
use proto::events::{Event, PrivacyHold, PrivacyReceipt};

use super::world::{COMPANY_KEY, World, draft, percent, row, webhook_secret};

const EMAIL: &str = "grace@navy.example";
const NAME: &str = "Grace Brewster Hopper";

/// A subscriber with an address and a name, as the provider knows her.
async fn grace(w: &World) -> (String, store::Stored<billing_svc::subscription::Subscription>) {
    let started_at = kit::time::add_days(w.clock.now(), -100);
    let known = Fixture { started_at, email: Some(EMAIL.into()), name: Some(NAME.into()), ..row("grace") };
    w.import(Fixtures { rows: vec![known], prices: Vec::new() }).await;
    let subscription = w.mirrored("sub_grace").await;
    (subscription.body.customer_id.clone(), subscription)
}

fn asked(kind: Kind, customer: &str) -> Asked {
    Asked { kind, customer: customer.into(), verification: "signed in".into(), note: NAME.into() }
}

fn order(w: &World, kind: personal::Kind, customers: &[&str]) -> Order {
    let whose = Whose { customers: customers.iter().map(|c| (*c).to_owned()).collect(), external: vec![] };
    Order { request_id: "prv_1".into(), kind, scope: w.scope.clone(), whose }
}

/// A webhook that carries who it is about, as real ones do.
async fn webhook(w: &World, event: &str) {
    let body = serde_json::json!({
        "id": event, "type": "subscription.changed", "subscription": "sub_grace", "customer": "grace",
        "occurred_at": w.clock.now().to_string(), "billing_details": { "email": EMAIL, "name": NAME },
    });
    let body = body.to_string().into_bytes();
    let signature = connect::sign::sign_stripe(&webhook_secret(), w.clock.now(), &body);
    let call = Call {
        provider: "simulated".into(),
        company_key: COMPANY_KEY.into(),
        headers: vec![(SIGNATURE.into(), signature)],
        body: body.into(),
    };
    w.rooms.inbound.receive(&call).await.unwrap();
    w.rooms.worker.round().await.unwrap();
}

async fn answer(w: &World, request: &str, service: &str, sequence: i64, kind: &str, held: bool) {
    let now = w.clock.now();
    let until = Some(kit::time::to_proto(kit::time::add_days(now, 100)));
    let hold = PrivacyHold { what: "flow_sessions".into(), count: 1, why: "evidence".into(), until };
    let data = PrivacyReceipt {
        request_id: request.into(),
        service: service.into(),
        kind: kind.into(),
        done: Vec::new(),
        held: held.then_some(hold).into_iter().collect(),
    };
    let event = Event { sequence, data: Some(Data::PrivacyReceipt(data)), ..Event::default() };
    let incoming = Incoming {
        id: kit::id::new("evt"),
        kind: "privacy.receipt".into(),
        scope: w.scope.clone(),
        subject: request.into(),
        occurred_at: now,
        body: event.encode_to_vec().into(),
        deliveries: 1,
        traceparent: None,
    };
    assert_eq!(Ears(w.rooms.privacy.clone()).handle(&[incoming]).await, [Outcome::Done]);
}

#[tokio::test]
async fn an_erasure_leaves_nothing_personal_and_done_again_finds_nothing() {
    let w = World::start().await;
    let (ada, subscription) = grace(&w).await;
    let twin = Said {
        external_id: "twin".into(),
        email: Some("g.hopper@navy.example".into()),
        tags: vec!["admiral".into()],
        links: BTreeMap::from([("stripe".to_owned(), "cus_hopper".to_owned())]),
        ..Said::default()
    };
    let twin = w.rooms.customers.upsert(&w.caller, &twin).await.unwrap();
    let read = w.rooms.customers.get(&w.scope, &ada).await.unwrap();
    let pair = billing_svc::customer_merge::Pair {
        survivor: (ada.clone(), read.version),
        absorbed: (twin.id.clone(), twin.version),
    };
    w.rooms.merges.merge(&w.caller, &pair).await.unwrap();
    webhook(&w, "evt_before").await;
    let offer = w.offer(draft(percent(20, 3))).await;
    let shown = w.present(&offer, &subscription).await;
    let wanted = Wanted { format: Format::Csv, state: None, tag: None };
    let export = w.rooms.exports.begin(&w.caller, wanted, false).await.unwrap();
    w.rooms.exports.run(&w.scope, &export.id).await.unwrap();
    testkit::relayed(&w.db).await;
    let words = [EMAIL, NAME, "g.hopper@navy.example", "cus_hopper", "admiral"];
    assert!(!testkit::holding(&w.db, &words).await.is_empty(), "it is there before");

    let order = order(&w, personal::Kind::Erasure, &[&ada, &twin.id]);
    let done = w.rooms.desk.carry_out(&order).await.unwrap();
    testkit::relayed(&w.db).await;
    assert_eq!(testkit::holding(&w.db, &words).await, [] as [String; 0]);
    let count =
        |what: &str, how: How| done.done.iter().find(|d| d.what == what && d.how == how).map(|d| d.count);
    assert_eq!(count("customers", How::Emptied), Some(2), "{done:?}");
    assert_eq!(count("inbound_events", How::Emptied), Some(1), "{done:?}");
    assert_eq!(count("subscriptions", How::Kept), Some(1), "{done:?}");
    assert_eq!(count("customer_exports", How::Removed), Some(1), "{done:?}");
    assert_eq!(w.redemption(&shown.id).await.state, redemption::State::Lapsed);
    let file = w.rooms.exports.get(&w.caller, &export.id).await.unwrap().body;
    assert_eq!(file.state, customer_export::State::Expired);
    let again = w.rooms.desk.carry_out(&order).await.unwrap();
    assert_eq!(again, done, "done again, nothing more is found and nothing is counted twice");
}

#[tokio::test]
async fn no_webhook_no_sync_and_no_import_brings_somebody_back_and_the_company_may_begin_anew() {
    let w = World::start().await;
    let (grace, _) = grace(&w).await;
    w.rooms.desk.carry_out(&order(&w, personal::Kind::Erasure, &[&grace])).await.unwrap();
    // The provider goes on knowing her, as real ones do.
    let known = Fixture { email: Some(EMAIL.into()), name: Some(NAME.into()), ..row("grace") };
    w.import(Fixtures { rows: vec![known], prices: Vec::new() }).await;
    webhook(&w, "evt_after").await;
    w.sync().await;
    testkit::relayed(&w.db).await;
    let left = testkit::holding(&w.db, &[EMAIL, NAME]).await;
    assert!(
        left.iter().all(|l| l.contains(".simulated_customers ")),
        "but the provider's own books: {left:?}"
    );

    let said =
        |email: &str| Said { external_id: "grace".into(), email: Some(email.into()), ..Said::default() };
    let rows =
        vec![(said(EMAIL), Vec::new()), (Said { external_id: "bob".into(), ..Said::default() }, vec![])];
    let imported = w.rooms.customers.import(&w.caller, rows).await.unwrap();
    assert_eq!((imported.created, imported.errors.len()), (1, 1));
    assert_eq!(imported.errors[0].1.code, "customer_erased");
    let tagged = w.rooms.customers.tag(&w.caller, &grace, &["vip".into()], &[]).await.unwrap_err();
    assert_eq!(tagged.slug(), "customer_erased");

    let anew = w.rooms.customers.upsert(&w.caller, &said("new@navy.example")).await.unwrap();
    assert_ne!(anew.id, grace);
    let old = w.rooms.customers.get(&w.scope, &grace).await.unwrap().body;
    assert_eq!((old.state, old.email.as_str()), (customers::State::Erased, ""));
    let imported = w.rooms.customers.import(&w.caller, vec![(said(EMAIL), Vec::new())]).await.unwrap();
    assert_eq!((imported.updated, imported.errors.len()), (1, 0), "who is one anew is imported again");
}

#[tokio::test]
async fn a_request_is_done_when_all_have_answered_and_asked_again_it_is_the_same_one() {
    let w = World::start().await;
    let (grace, _) = grace(&w).await;
    let unknown = w.rooms.privacy.create(&w.caller, &asked(Kind::Access, "nobody")).await.unwrap_err();
    assert_eq!(unknown.slug(), "not_found");
    let first = w.rooms.privacy.create(&w.caller, &asked(Kind::Erasure, "grace")).await.unwrap();
    assert_eq!((first.body.state, first.body.customer_id.as_str()), (State::Running, grace.as_str()));
    let again = w.rooms.privacy.create(&w.caller, &asked(Kind::Erasure, &grace)).await.unwrap();
    assert_eq!(again.id, first.id);

    w.rooms.desk.carry_out(&order(&w, personal::Kind::Erasure, &[&grace])).await.unwrap();
    for service in SERVICES {
        assert_eq!(w.told_times("privacy_requests", "customer.erased").await, 0, "before all have answered");
        let held = service == "content-svc";
        for _ in 0..2 {
            answer(&w, &first.id, service, 1, "erasure", held).await;
        }
    }
    let held = w.rooms.privacy.get(&w.scope, &first.id).await.unwrap().body;
    assert_eq!((held.state, held.note.as_str()), (State::PartlyHeld, ""));
    assert_eq!(w.told_times("privacy_requests", "customer.erased").await, 1);
    answer(&w, &first.id, "content-svc", 2, "erasure", false).await;
    let done = w.rooms.privacy.get(&w.scope, &first.id).await.unwrap().body;
    assert_eq!(done.state, State::Completed);
    assert_eq!(w.told_times("privacy_requests", "customer.erased").await, 1, "told once");

    let again = w.rooms.privacy.create(&w.caller, &asked(Kind::Erasure, &grace)).await.unwrap();
    assert_eq!((again.id, again.body.state), (first.id, State::Completed));
    let late = w.rooms.privacy.create(&w.caller, &asked(Kind::Access, &grace)).await.unwrap_err();
    assert_eq!(late.slug(), "customer_erased");
    let others = kit::Caller { scope: Some(kit::Scope::new("com_2", kit::Mode::Live)), ..w.caller.clone() };
    let theirs = w.rooms.privacy.create(&others, &asked(Kind::Access, &grace)).await.unwrap_err();
    assert_eq!(theirs.slug(), "not_found", "another company's customer is nobody");
}

#[tokio::test]
async fn whoever_is_silent_is_asked_again_and_nothing_begins_unverified() {
    let w = World::start().await;
    let (grace, _) = grace(&w).await;
    let unverified = Asked { verification: String::new(), ..asked(Kind::Access, &grace) };
    let received = w.rooms.privacy.create(&w.caller, &unverified).await.unwrap();
    assert_eq!(received.body.state, State::Received);
    assert_eq!(w.told_times("privacy_requests", "privacy.requested").await, 0);
    let begun = w.rooms.privacy.verify(&w.caller, &received.id, "by letter").await.unwrap();
    let body = &begun.body;
    assert_eq!((body.state, body.verified_by.as_str()), (State::Running, "usr_1"));
    assert_eq!(w.rooms.privacy.ask_again().await.unwrap(), 0, "not yet");
    w.minutes_later(2);
    assert_eq!(w.rooms.privacy.ask_again().await.unwrap(), 1);
    assert_eq!(w.rooms.privacy.ask_again().await.unwrap(), 0);
    assert_eq!(w.told_times("privacy_requests", "privacy.requested").await, 2);
    let early = w.rooms.privacy.open_file(&w.caller, &received.id).await.unwrap_err();
    assert_eq!(early.slug(), "file_not_ready");
    for service in SERVICES {
        answer(&w, &received.id, service, 1, "access", false).await;
    }
    let whose = w.rooms.privacy.open_file(&w.caller, &received.id).await.unwrap();
    assert_eq!((whose.customers, whose.external), (vec![grace.clone()], vec!["grace".to_owned()]));
    w.minutes_later(8 * 24 * 60);
    let late = w.rooms.privacy.open_file(&w.caller, &received.id).await.unwrap_err();
    assert_eq!(late.slug(), "file_not_ready");

    let second = w.rooms.privacy.create(&w.caller, &unverified).await.unwrap();
    assert_ne!(second.id, received.id, "what is known may be asked for again");
    let refused = w.rooms.privacy.refuse(&w.caller, &second.id, "nobody knows who asked").await.unwrap();
    assert_eq!(
        (refused.body.state, refused.body.reason.as_str()),
        (State::Refused, "nobody knows who asked")
    );
    let late = w.rooms.privacy.verify(&w.caller, &second.id, "by letter").await.unwrap_err();
    assert_eq!(late.slug(), "wrong_state");
}

#[tokio::test]
async fn who_is_restricted_is_offered_nothing_until_that_is_lifted() {
    let w = World::start().await;
    let (grace, subscription) = grace(&w).await;
    let offer = w.offer(draft(percent(20, 3))).await;
    let shown = w.present(&offer, &subscription).await;
    w.rooms.desk.carry_out(&order(&w, personal::Kind::Restriction, &[&grace])).await.unwrap();
    assert!(w.rooms.customers.get(&w.scope, &grace).await.unwrap().body.restricted);
    assert_eq!(w.redemption(&shown.id).await.state, redemption::State::Lapsed);
    let check = || w.rooms.offers.check(&w.scope, &offer.id, &subscription.id, &[]);
    let why: Vec<_> = check().await.unwrap().0.reasons.into_iter().map(|r| r.code).collect();
    assert_eq!(why, ["customer_restricted"]);
    let subject = w.rooms.subscriptions.subject(&w.scope, &grace, "").await.unwrap();
    assert_eq!(subject.subscription.id, subscription.id, "the way to leave stays open");

    let request = w.rooms.privacy.create(&w.caller, &asked(Kind::Restriction, &grace)).await.unwrap();
    let early = w.rooms.privacy.lift(&w.caller, &request.id).await.unwrap_err();
    assert_eq!(early.slug(), "wrong_state");
    for service in SERVICES {
        answer(&w, &request.id, service, 1, "restriction", false).await;
    }
    let lifting = w.rooms.privacy.lift(&w.caller, &request.id).await.unwrap();
    assert_eq!((lifting.body.state, lifting.body.lifted_at), (State::Completed, None));
    w.rooms.desk.carry_out(&order(&w, personal::Kind::Lift, &[&grace])).await.unwrap();
    for service in SERVICES {
        answer(&w, &request.id, service, 2, "lift", false).await;
    }
    assert!(w.rooms.privacy.get(&w.scope, &request.id).await.unwrap().body.lifted_at.is_some());
    assert!(check().await.unwrap().0.reasons.is_empty());
}
