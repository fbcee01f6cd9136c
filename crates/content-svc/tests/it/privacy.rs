//! Visits of somebody who is erased: those without a wish go, those with one stay as evidence without the person, until
//! their time is over.

use std::sync::Arc;

use content_svc::engine::Answer;
use content_svc::flow_session::State;
use content_svc::privacy::{ContentHolder, Evidences};
use personal::{Desk, How, Kind, Order, Whose};

use crate::flow::Flow;

const WORDS: &str = "my cat Amazing unplugged the router";

async fn desk(flow: &Flow, evidence_days: u32) -> Desk {
    let (runs, _) = flow.world.runs(flow.biller.clone()).await;
    let holder = ContentHolder { visits: flow.store.clone(), runs, evidence_days };
    let clock = Arc::new(flow.world.clock.clone());
    Desk::open("content-svc", &flow.world.db, clock, Arc::new(holder)).await.unwrap()
}

fn erasure(flow: &Flow) -> Order {
    let whose = Whose { customers: vec!["cus_1".into()], external: Vec::new() };
    Order { request_id: "prv_1".into(), kind: Kind::Erasure, scope: flow.scope().clone(), whose }
}

/// A visit that ended without a wish, and one with words and a wish.
async fn visits(flow: &Flow) -> [String; 2] {
    let closed = flow.start().await;
    flow.flows.close(flow.scope(), &closed.id).await.unwrap();
    let left = flow.start().await;
    let mut session = left.body.clone();
    session.known.answers.insert("more".into(), Answer::Text(WORDS.into()));
    session.known.answers.insert("reason".into(), Answer::Choices(vec!["price".into()]));
    session.known.facts.insert("pet".into(), content_svc::rule::Value::Text(WORDS.into()));
    session.rule.as_mut().unwrap().requirements.evidence_days = 1_095;
    flow.store.replace(&left, session, Vec::new()).await.unwrap();
    let left = flow.flows.cancel(flow.scope(), &left.id).await.unwrap();
    assert_eq!(left.body.state, State::Canceled);
    [closed.id, left.id]
}

#[tokio::test]
async fn the_wish_to_cancel_is_kept_without_the_person_until_its_time_is_over() {
    let flow = Flow::new().await;
    let [closed, left] = visits(&flow).await;
    testkit::relayed(&flow.world.db).await;
    let desk = desk(&flow, 30).await;
    let part = desk.carry_out(&erasure(&flow)).await.unwrap();
    assert_eq!(testkit::holding(&flow.world.db, &[WORDS]).await, [] as [String; 0]);
    assert!(flow.store.get(flow.scope(), &closed).await.is_err());
    let kept = flow.store.get(flow.scope(), &left).await.unwrap().body;
    assert!(kept.wished_at.is_some() && !kept.trail.is_empty());
    assert_eq!(kept.known.answers["reason"], Answer::Choices(vec!["price".into()]));
    assert_eq!((part.held[0].count, part.held[0].what.as_str()), (1, "flow_sessions"));
    assert_eq!(part.held[0].until, kit::time::add_days(kit::clock::millis(kept.wished_at.unwrap()), 1_095));
    assert_eq!(desk.carry_out(&erasure(&flow)).await.unwrap(), part, "done again, it is the same");

    let evidences = Evidences {
        visits: flow.store.clone(),
        receipts: desk.receipts.clone(),
        clock: Arc::new(flow.world.clock.clone()),
    };
    assert_eq!(evidences.let_go().await.unwrap(), 0, "not yet");
    flow.world.clock.advance(jiff::SignedDuration::from_hours(24 * 1_096));
    assert_eq!(evidences.let_go().await.unwrap(), 1);
    assert!(flow.store.get(flow.scope(), &left).await.is_err());
    let given = desk.receipts.get(flow.scope(), "prv_1").await.unwrap().body.part;
    assert!(given.held.is_empty(), "{given:?}");
    let removed = given.done.iter().find(|d| d.how == How::Removed).unwrap();
    assert_eq!(removed.count, 2);
}

#[tokio::test]
async fn where_no_law_wants_evidence_none_is_kept() {
    let flow = Flow::new().await;
    let [_, left] = visits(&flow).await;
    let read = flow.store.get(flow.scope(), &left).await.unwrap();
    let mut session = read.body.clone();
    session.rule.as_mut().unwrap().requirements.evidence_days = 0;
    flow.store.replace(&read, session, Vec::new()).await.unwrap();
    let part = desk(&flow, 1_095).await.carry_out(&erasure(&flow)).await.unwrap();
    assert!(part.held.is_empty());
    assert!(flow.store.get(flow.scope(), &left).await.is_err());
}
