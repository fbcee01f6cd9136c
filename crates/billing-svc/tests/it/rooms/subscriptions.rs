//! Acts on subscriptions, and whom a flow deals with.

use std::collections::BTreeMap;

use billing_svc::customers::{Definition, Said, Source, Type};
use billing_svc::providers::simulated::{Fixture, Fixtures};
use billing_svc::providers::{Act, IdempotencyKey, ProviderKind};
use billing_svc::subscription::{Action, Ask, State};
use futures_util::future::join_all;
use kit::Coded;
use serde_json::json;

use super::Fault;
use super::world::{World, row};

fn ask(action: Action, key: &str) -> Ask {
    Ask { action, months: 2, wished_at: None, key: key.into() }
}

#[tokio::test]
async fn invariant_3_cancelling_is_true_when_the_provider_shows_it() {
    let w = World::start().await;
    let s = w.subscriber("ada").await;
    let done = w.rooms.subscriptions.act(&w.caller, &s.id, ask(Action::Cancel, "k1")).await.unwrap();
    assert_eq!((done.body.state, done.body.cancel_at), (State::NonRenewing, s.body.period_end));
    let again = w.rooms.subscriptions.act(&w.caller, &s.id, ask(Action::Cancel, "k1")).await.unwrap();
    assert_eq!((again.body.state, w.faults.asked().len()), (State::NonRenewing, 1));
    let back = w.rooms.subscriptions.act(&w.caller, &s.id, ask(Action::Undo, "k2")).await.unwrap();
    assert_eq!((back.body.state, back.body.wish), (State::Active, None));
    assert_eq!(w.at_provider("sub_ada").await.cancel_at, None);
    // The key of the first cancellation has acted: sent late once more, it does not cancel again.
    let late = w.rooms.subscriptions.act(&w.caller, &s.id, ask(Action::Cancel, "k1")).await.unwrap();
    assert_eq!(late.body.state, State::Active);
    w.faults.next(&[Fault::Forgets]);
    let forgotten = w.rooms.subscriptions.act(&w.caller, &s.id, ask(Action::Cancel, "k3")).await.unwrap_err();
    assert_eq!(forgotten.slug(), "not_confirmed");
}

#[tokio::test]
async fn cancelling_at_once_ends_it_for_good() {
    let w = World::start().await;
    let s = w.subscriber("ada").await;
    let act = async |action, key| w.rooms.subscriptions.act(&w.caller, &s.id, ask(action, key)).await;
    // One that is leaving anyway can still be ended at once, under the same key.
    assert_eq!(act(Action::Cancel, "k1").await.unwrap().body.state, State::NonRenewing);
    w.minutes_later(1);
    let gone = act(Action::CancelNow, "k1").await.unwrap().body;
    assert_eq!((gone.state, gone.mrr.minor), (State::Ended, 0));
    assert!(
        gone.wish.is_some_and(|wish| wish.at < kit::Clock::now(&w.clock)),
        "the first wish is the one that counts"
    );
    assert_eq!(w.at_provider("sub_ada").await.state, billing_svc::providers::State::Ended);
    for (action, key) in [(Action::CancelNow, "k1"), (Action::CancelNow, "k2"), (Action::Cancel, "k3")] {
        assert_eq!(act(action, key).await.unwrap().body.state, State::Ended);
    }
    assert_eq!(w.faults.asked().len(), 2, "what has ended is not ended again");
    for action in [Action::Undo, Action::Pause, Action::Resume] {
        assert_eq!(act(action, "k4").await.unwrap_err().slug(), "already_ended");
    }
    let audits = w.told_times("subscriptions", "audit.recorded").await;
    assert_eq!(audits, 5, "the wish, and each act with a key of its own");
}

#[tokio::test]
async fn an_end_at_once_whose_answer_is_lost_is_read_back() {
    let w = World::start().await;
    let s = w.subscriber("ada").await;
    w.faults.next(&[Fault::AnswerLost]);
    let done = w.rooms.subscriptions.act(&w.caller, &s.id, ask(Action::CancelNow, "k1")).await.unwrap();
    assert_eq!(done.body.state, State::Ended);
    let t = w.subscriber("bob").await;
    w.faults.next(&[Fault::Forgets]);
    let forgotten = w.rooms.subscriptions.act(&w.caller, &t.id, ask(Action::CancelNow, "k1")).await;
    assert_eq!(forgotten.unwrap_err().slug(), "not_confirmed");
    let strangers =
        kit::Caller { scope: Some(kit::Scope::new("com_2", kit::Mode::Live)), ..w.caller.clone() };
    let hidden = w.rooms.subscriptions.act(&strangers, &t.id, ask(Action::CancelNow, "k1")).await;
    assert_eq!(hidden.unwrap_err().slug(), "not_found");
}

#[tokio::test]
async fn invariant_1_the_wish_is_written_down_even_when_the_provider_is_down() {
    let w = World::start().await;
    let s = w.subscriber("ada").await;
    w.faults.down(true);
    let wished_at = kit::time::add_days(kit::Clock::now(&w.clock), -1);
    let wish = Ask { wished_at: Some(wished_at), ..ask(Action::Cancel, "k1") };
    let failed = w.rooms.subscriptions.act(&w.caller, &s.id, wish.clone()).await.unwrap_err();
    assert_eq!(failed.code().0, kit::Code::Unavailable);
    let kept = w.rooms.subscriptions.get(&w.scope, &s.id).await.unwrap();
    assert_eq!(kept.body.wish.unwrap().at, wished_at);
    w.faults.down(false);
    let done = w.rooms.subscriptions.act(&w.caller, &s.id, wish).await.unwrap();
    assert_eq!((done.body.state, done.body.wish.unwrap().at), (State::NonRenewing, wished_at));
}

#[tokio::test]
async fn acts_at_once_with_one_key_act_once() {
    let w = World::start().await;
    let s = w.subscriber("ada").await;
    let all =
        join_all((0..5).map(|_| w.rooms.subscriptions.act(&w.caller, &s.id, ask(Action::Pause, "k1")))).await;
    for done in all {
        assert_eq!(done.unwrap().body.state, State::Paused);
    }
    assert_eq!(w.faults.asked().len(), 1);
    let resumed = w.rooms.subscriptions.act(&w.caller, &s.id, ask(Action::Resume, "k2")).await.unwrap();
    assert_eq!(resumed.body.state, State::Active);
}

#[tokio::test]
async fn an_answer_that_is_lost_is_read_back_and_a_second_try_says_the_same() {
    let w = World::start().await;
    let s = w.subscriber("ada").await;
    w.faults.next(&[Fault::AnswerLost]);
    let done = w.rooms.subscriptions.act(&w.caller, &s.id, ask(Action::Cancel, "k1")).await.unwrap();
    assert_eq!(done.body.state, State::NonRenewing);
    let t = w.subscriber("bob").await;
    w.faults.next(&[Fault::NoAnswer]);
    w.rooms.subscriptions.act(&w.caller, &t.id, ask(Action::Pause, "k1")).await.unwrap_err();
    w.minutes_later(3);
    let done = w.rooms.subscriptions.act(&w.caller, &t.id, ask(Action::Pause, "k1")).await.unwrap();
    assert_eq!(done.body.state, State::Paused);
}

#[tokio::test]
async fn what_cannot_be_done_is_refused_with_its_reason() {
    let w = World::start().await;
    let s = w.subscriber("ada").await;
    let missing = w.rooms.subscriptions.act(&w.caller, "sub_0", ask(Action::Cancel, "")).await.unwrap_err();
    assert_eq!(missing.slug(), "not_found");
    w.minutes_later(60 * 24 * 9);
    w.faults.down(true);
    assert_eq!(w.rooms.subscriptions.check_silent().await.unwrap(), 1);
    w.faults.down(false);
    let unknown = w.rooms.subscriptions.act(&w.caller, &s.id, ask(Action::Cancel, "k")).await.unwrap_err();
    assert_eq!(unknown.slug(), "unknown_state");
    let kept = w.rooms.subscriptions.get(&w.scope, &s.id).await.unwrap();
    assert!(kept.body.state == State::Unknown && kept.body.wish.is_some());
    assert_eq!(w.rooms.subscriptions.refresh(&w.scope, &s.id).await.unwrap().body.state, State::Active);
}

#[tokio::test]
async fn a_refresh_takes_what_somebody_else_did() {
    let w = World::start().await;
    let s = w.subscriber("ada").await;
    let provider = w.rooms.connections.provider(&w.scope, ProviderKind::Simulated).await.unwrap();
    let cancel = Act::CancelAtPeriodEnd { feedback: None };
    provider.apply(&"sub_ada".into(), &cancel, &IdempotencyKey::new("theirs")).await.unwrap();
    let told = w.told_times("subscriptions", "subscription.changed").await;
    for _ in 0..3 {
        let read = w.rooms.subscriptions.refresh(&w.scope, &s.id).await.unwrap();
        assert_eq!(read.body.state, State::NonRenewing);
    }
    assert_eq!(w.told_times("subscriptions", "subscription.changed").await, told + 1);
    let customer = w.rooms.customers.get(&w.scope, &s.body.customer_id).await.unwrap();
    assert!(customer.body.at_risk);
}

#[tokio::test]
async fn a_flow_finds_its_subject_by_any_name() {
    let w = World::start().await;
    let s = w.subscriber("ada").await;
    let definition = |key: &str, in_rules| Definition {
        key: key.into(),
        r#type: Type::Int,
        source: Source::Api,
        personal: false,
        in_rules,
        in_text: false,
    };
    w.rooms.customers.define(&w.caller, definition("tenure", true)).await.unwrap();
    w.rooms.customers.define(&w.caller, definition("hidden", false)).await.unwrap();
    let attributes = BTreeMap::from([("tenure".to_owned(), json!(12)), ("hidden".to_owned(), json!(1))]);
    let said = Said { external_id: "ada".into(), attributes, ..Said::default() };
    w.rooms.customers.upsert(&w.caller, &said).await.unwrap();
    for (customer, subscription) in
        [("ada", ""), ("ada", "sub_ada"), (s.body.customer_id.as_str(), s.id.as_str())]
    {
        let subject = w.rooms.subscriptions.subject(&w.scope, customer, subscription).await.unwrap();
        assert_eq!(subject.subscription.id, s.id);
        assert_eq!(subject.attributes, BTreeMap::from([("tenure".to_owned(), "12".to_owned())]));
    }
    let second = Fixture { subscription_id: Some("sub_second".into()), ..row("ada") };
    w.import(Fixtures { rows: vec![second], prices: Vec::new() }).await;
    let snapshot = w.at_provider("sub_second").await;
    w.rooms.subscriptions.observe(&w.scope, ProviderKind::Simulated, snapshot, None).await.unwrap();
    let several = w.rooms.subscriptions.subject(&w.scope, "ada", "").await.unwrap_err();
    assert_eq!(several.slug(), "subscription_required");
    w.subscriber("bob").await;
    let strangers = w.rooms.subscriptions.subject(&w.scope, "bob", &s.id).await.unwrap_err();
    assert_eq!(strangers.slug(), "not_found");
}

#[tokio::test]
async fn an_operator_sees_locks_and_takes_one_from_its_holder() {
    let w = World::start().await;
    let operator = kit::Caller { role: kit::Role::KaleAdmin, scope: None, ..w.caller.clone() };
    let lease = w.rooms.leases.acquire("subscription:sub_1", "somebody", "test").await.unwrap();
    let held = w.rooms.locks.held(&kit::PageRequest::new(0, "")).await.unwrap();
    assert_eq!(held.items.into_iter().map(|l| l.id).collect::<Vec<_>>(), ["subscription:sub_1"]);
    w.rooms.locks.release(&operator, "subscription:sub_1").await.unwrap();
    assert!(lease.renew().await.is_err(), "the holder finds out");
    let gone = w.rooms.locks.release(&operator, "subscription:sub_1").await.unwrap_err();
    assert_eq!(gone.slug(), "not_found");
    assert_eq!(w.told("lock_releases").await, ["audit.recorded"]);
}
