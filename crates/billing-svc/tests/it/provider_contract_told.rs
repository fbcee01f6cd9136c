//! The part of the providers' suite that is about what a provider tells by itself, and what it is asked for when it did not.

use std::collections::HashSet;

use billing_svc::providers::{Act, Cursor, Fact, InboundCall, Rejected};
use jiff::SignedDuration;
use kit::clock::Clock;

use crate::provider_contract::{Rig, act};

pub async fn a_call_is_believed_when_signed_and_fresh(rig: impl Rig) {
    let (p, id) = (rig.provider(), rig.subscription().await);
    let (headers, body) = rig.delivery(&id).await;
    let now = rig.clock().now();
    let facts = p.verify(&InboundCall { headers: &headers, body: &body, now }).unwrap();
    assert_eq!(facts.len(), 1);
    assert_eq!(facts[0].subscription.as_ref(), Some(&id));
    assert!(!facts[0].id.is_empty() && !facts[0].name.is_empty());
    let again = p.verify(&InboundCall { headers: &headers, body: &body, now }).unwrap();
    assert_eq!(again, facts, "the same call is the same fact");

    let refused = |headers: &[(String, String)], body: &[u8], now| {
        let said = p.verify(&InboundCall { headers, body, now });
        assert!(matches!(said, Err(Rejected::Signature(_))), "{said:?}");
    };
    refused(&[], &body, now);
    if !rig.signs() {
        assert!(p.confirms(&facts[0]).await.unwrap(), "what no signature covers can be looked up");
        let other = Fact { id: "ev_none".into(), ..facts[0].clone() };
        assert!(!p.confirms(&other).await.unwrap());
        return;
    }
    let mut altered = body.clone();
    *altered.last_mut().unwrap() = b' ';
    refused(&headers, &altered, now);
    refused(&headers, &body, now + SignedDuration::from_secs(301));
}

pub async fn what_never_arrived_can_be_asked_for(rig: impl Rig) {
    let (p, id) = (rig.provider(), rig.subscription().await);
    rig.clock().advance(SignedDuration::from_mins(2));
    let from = rig.clock().now();
    act(&p, &id, Act::CancelAtPeriodEnd { feedback: None }).await;
    let told = async |since: Cursor, from| {
        let (mut cursor, mut heard) = (since, Vec::new());
        loop {
            let page = p.events_since(&cursor, from).await.unwrap();
            heard.extend(page.events.into_iter().map(|e| e.fact));
            cursor = page.next;
            if page.done {
                return (heard, cursor);
            }
        }
    };
    let (first, rest) = told(Cursor::start(), from).await;
    assert!(first.iter().any(|f| f.subscription.as_ref() == Some(&id)), "{first:?}");
    let ids = |facts: &[Fact]| -> HashSet<String> { facts.iter().map(|f| f.id.clone()).collect() };
    let (again, _) = told(Cursor::start(), from).await;
    assert_eq!(ids(&again), ids(&first), "the same events have the same ids");
    rig.clock().advance(SignedDuration::from_mins(10));
    // A look may reach behind the one before it, and tells nothing that did not happen.
    let (later, _) = told(rest, from).await;
    let (all, _) = told(Cursor::start(), from - SignedDuration::from_hours(1)).await;
    assert!(ids(&later).is_subset(&ids(&all)), "nothing new happened: {later:?}");
}
