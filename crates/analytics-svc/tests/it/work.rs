//! The queue.

use std::time::Duration;

use analytics_svc::work::{REFRESH, WorkStore};
use kit::clock::Clock;
use kit::{Mode, Scope};

const LEASE: Duration = Duration::from_secs(60);

#[tokio::test]
async fn work_is_not_begun_a_second_time_beside_itself() {
    let test = testkit::mongo().await;
    let store = WorkStore::open(&test.db("analytics-svc").await).await.unwrap();
    let (now, scope) = (testkit::clock().now(), Scope::new("com_1", Mode::Live));
    let first = store.put(&scope, REFRESH, "all", now).await.unwrap();
    let running = store.claim(now, LEASE).await.unwrap().unwrap();
    assert_eq!(running.id, first);

    // What is asked for while it runs comes after it, and others do not wait for it.
    let next = store.put(&scope, REFRESH, "all", now).await.unwrap();
    assert!(store.claim(now, LEASE).await.unwrap().is_none());
    let other = store.put(&Scope::new("com_2", Mode::Live), REFRESH, "all", now).await.unwrap();
    assert_eq!(store.claim(now, LEASE).await.unwrap().unwrap().id, other);
    store.succeeded(&running, now).await.unwrap();
    assert_eq!(store.claim(now, LEASE).await.unwrap().unwrap().id, next);
}
