//! Leases on a real MongoDB.

use std::sync::Arc;
use std::time::Duration;

use jiff::SignedDuration;
use kit::PageRequest;
use store::{Error, Leases};

const KEY: &str = "subscription:sub_1";

#[tokio::test]
async fn a_holder_that_died_loses_to_one_with_a_larger_token() {
    let test = testkit::mongo().await;
    let clock = testkit::clock();
    let leases = Leases::open(&test.db("money-svc").await, Arc::new(clock.clone())).await.unwrap();
    let first = leases.acquire(KEY, "a", "redemption").await.unwrap();
    assert!(matches!(leases.acquire(KEY, "b", "redemption").await, Err(Error::Busy)));
    // Renewed it outlasts its term.
    clock.advance(SignedDuration::from_secs(20));
    first.renew().await.unwrap();
    clock.advance(SignedDuration::from_secs(20));
    assert!(matches!(leases.acquire(KEY, "b", "redemption").await, Err(Error::Busy)));
    // Not renewed it is the next one's, and the first finds out.
    clock.advance(SignedDuration::from_secs(31));
    let second = leases.acquire(KEY, "b", "redemption").await.unwrap();
    assert!(second.token() > first.token());
    assert!(matches!(first.renew().await, Err(Error::Busy)));
    first.release().await;
    second.renew().await.unwrap();
    second.release().await;
    let third = leases.acquire(KEY, "a", "redemption").await.unwrap();
    let held = leases.held(&PageRequest::new(10, "")).await.unwrap().items;
    assert_eq!((held.len(), held[0].id.as_str(), held[0].body.token), (1, KEY, third.token()));
}

#[tokio::test]
async fn of_many_who_want_it_one_has_it_at_a_time() {
    let test = testkit::mongo().await;
    let leases = Leases::open(&test.db("money-svc").await, Arc::new(testkit::clock())).await.unwrap();
    let inside = std::sync::atomic::AtomicU32::new(0);
    let turns = (0..6).map(|n| {
        let (leases, inside) = (&leases, &inside);
        async move {
            let lease =
                leases.acquire_within(KEY, &n.to_string(), "test", Duration::from_secs(20)).await.unwrap();
            let there = lease
                .during(async {
                    let before = inside.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
                    tokio::task::yield_now().await;
                    inside.fetch_sub(1, std::sync::atomic::Ordering::SeqCst);
                    before
                })
                .await
                .unwrap();
            let token = lease.token();
            lease.release().await;
            (there, token)
        }
    });
    let turns = futures_util::future::join_all(turns).await;
    assert!(turns.iter().all(|(there, _)| *there == 0));
    let mut tokens: Vec<_> = turns.iter().map(|(_, token)| *token).collect();
    tokens.sort_unstable();
    tokens.dedup();
    assert_eq!(tokens.len(), 6);
}

#[tokio::test]
async fn an_operator_takes_it_and_the_holder_cannot_bring_it_back() {
    let test = testkit::mongo().await;
    let leases = Leases::open(&test.db("money-svc").await, Arc::new(testkit::clock())).await.unwrap();
    let held = leases.acquire(KEY, "a", "redemption").await.unwrap();
    assert!(leases.take_from_holder(KEY).await.unwrap());
    assert!(!leases.take_from_holder(KEY).await.unwrap());
    assert!(leases.held(&PageRequest::new(10, "")).await.unwrap().items.is_empty());
    assert!(matches!(held.renew().await, Err(Error::Busy)));
    assert!(leases.acquire(KEY, "b", "redemption").await.unwrap().token() > held.token());
}
