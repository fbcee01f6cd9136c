//! What runs by the clock, on a real MongoDB.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use jiff::SignedDuration;
use kit::{Clock, Scope, Timestamp};
use store::Repo;
use store::cron::{self, Schedule};
use tokio_util::sync::CancellationToken;

const KEY: &str = "flow_session_expiry";

#[derive(Clone, Default)]
struct Runs(Arc<Mutex<Vec<Timestamp>>>);

impl Runs {
    fn count(&self) -> usize {
        self.0.lock().unwrap().len()
    }
}

struct World {
    _test: testkit::TestDb,
    db: mongodb::Database,
    clock: kit::clock::MovedClock,
    schedules: Repo<Schedule>,
}

async fn world() -> World {
    let test = testkit::mongo().await;
    let clock = testkit::clock();
    let db = test.db("content-svc").await;
    let schedules = Repo::open(&db, Arc::new(clock.clone())).await.unwrap();
    World { _test: test, db, clock, schedules }
}

impl World {
    /// One replica that notes when its runs were due.
    fn replica(&self, runs: &Runs, stop: &CancellationToken) -> tokio::task::JoinHandle<anyhow::Result<()>> {
        let runs = runs.clone();
        let work = move |due| {
            let runs = runs.clone();
            async move {
                runs.0.lock().unwrap().push(due);
                Ok(())
            }
        };
        tokio::task::spawn(cron::every(
            self.db.clone(),
            Arc::new(self.clock.clone()),
            KEY,
            "0 * * * *",
            work,
            stop.clone(),
        ))
    }

    async fn schedule(&self) -> Option<Schedule> {
        self.schedules.get(&Scope::platform(), KEY).await.ok().map(|s| s.body)
    }
}

#[tokio::test]
async fn two_replicas_run_each_due_time_once_and_missed_ones_together_once() {
    let w = world().await;
    let (runs, stop) = (Runs::default(), CancellationToken::new());
    let replicas = [w.replica(&runs, &stop), w.replica(&runs, &stop)];
    let first = testkit::eventually("the schedule", || w.schedule()).await;
    assert_eq!(runs.count(), 0, "nothing is due yet");
    for n in 1..=3 {
        let before = w.schedule().await.unwrap().due_at;
        w.clock.advance(before.duration_since(w.clock.now()) + SignedDuration::from_millis(5));
        testkit::eventually("the run", || async { (w.schedule().await?.due_at > before).then_some(()) })
            .await;
        assert_eq!(runs.count(), n);
    }
    // All replicas were away for two days.
    stop.cancel();
    for replica in replicas {
        replica.await.unwrap().unwrap();
    }
    let before = w.schedule().await.unwrap();
    w.clock.advance(SignedDuration::from_hours(48));
    let stop = CancellationToken::new();
    let replicas = [w.replica(&runs, &stop), w.replica(&runs, &stop)];
    testkit::eventually("one run", || async { (w.schedule().await?.token > before.token).then_some(()) })
        .await;
    let after = testkit::eventually("the next time", || async {
        w.schedule().await.filter(|s| s.due_at > w.clock.now())
    })
    .await;
    stop.cancel();
    for replica in replicas {
        replica.await.unwrap().unwrap();
    }
    assert_eq!((runs.count(), after.token), (4, 4));
    let due = runs.0.lock().unwrap().clone();
    assert_eq!(due[0], first.due_at);
    assert!(due.windows(2).all(|w| w[0] < w[1]));
}

#[tokio::test]
async fn a_run_that_died_is_begun_again_and_one_that_failed_waits_for_its_next_time() {
    let w = world().await;
    let started = Arc::new(AtomicU32::new(0));
    let stop = CancellationToken::new();
    let replica = |forever: bool| {
        let started = started.clone();
        let work = move |_| {
            started.fetch_add(1, Ordering::SeqCst);
            async move {
                if forever {
                    std::future::pending::<()>().await;
                }
                anyhow::bail!("not today")
            }
        };
        let clock = Arc::new(w.clock.clone());
        tokio::task::spawn(cron::every(w.db.clone(), clock, KEY, "0 * * * *", work, stop.clone()))
    };
    let dying = replica(true);
    testkit::eventually("the schedule", || w.schedule()).await;
    w.clock.advance(SignedDuration::from_hours(1));
    testkit::eventually("a run", || async { (started.load(Ordering::SeqCst) == 1).then_some(()) }).await;
    dying.abort();
    assert!(dying.await.unwrap_err().is_cancelled());
    let other = replica(false);
    w.clock.advance(SignedDuration::from_secs(61));
    let failed = testkit::eventually("the failure", || async {
        w.schedule().await.filter(|s| s.last_error.is_some())
    })
    .await;
    assert_eq!((started.load(Ordering::SeqCst), failed.last_error.as_deref()), (2, Some("not today")));
    assert!(failed.due_at > w.clock.now());
    stop.cancel();
    other.await.unwrap().unwrap();
}
