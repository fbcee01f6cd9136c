//! Durable jobs on a real MongoDB.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use bson::doc;
use jiff::SignedDuration;
use kit::clock::MovedClock;
use kit::{Clock, Mode, PageRequest, Scope};
use store::jobs::{Failure, Order, Running, State, Work};
use store::{Error, Jobs};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::repo::scope;

const KIND: &str = "refresh";

type Answer = dyn Fn(&Running) -> Result<(), Failure> + Send + Sync;

/// Notes what it does, and answers as it is told.
struct Worker {
    seen: Mutex<Vec<(String, String)>>,
    /// A permit for each run that may end.
    gate: Semaphore,
    answer: Box<Answer>,
}

impl Worker {
    fn new(
        permits: usize,
        answer: impl Fn(&Running) -> Result<(), Failure> + Send + Sync + 'static,
    ) -> Arc<Self> {
        Arc::new(Self { seen: Mutex::default(), gate: Semaphore::new(permits), answer: Box::new(answer) })
    }

    fn seen(&self) -> Vec<(String, String)> {
        self.seen.lock().unwrap().clone()
    }
}

#[async_trait]
impl Work for Worker {
    async fn work(&self, job: &Running) -> Result<(), Failure> {
        self.seen.lock().unwrap().push((job.scope.company.clone(), job.key.clone()));
        self.gate.acquire().await.unwrap().forget();
        job.progress(50).await.map_err(|e| Failure::Retry(e.to_string()))?;
        (self.answer)(job)
    }
}

struct World {
    _test: testkit::TestDb,
    jobs: Jobs,
    /// The same queue as another replica sees it.
    other: Jobs,
    clock: MovedClock,
    stop: CancellationToken,
}

async fn world() -> World {
    let test = testkit::mongo().await;
    let clock = testkit::clock();
    let db = test.db("work-svc").await;
    let jobs = Jobs::open(&db, Arc::new(clock.clone())).await.unwrap();
    let other = Jobs::open(&db, Arc::new(clock.clone())).await.unwrap();
    World { _test: test, jobs, other, clock, stop: CancellationToken::new() }
}

impl World {
    async fn until(&self, id: &str, state: State) {
        testkit::eventually(&format!("job {state:?}"), || async {
            (self.jobs.get(&scope(), id).await.unwrap().body.state == state).then_some(())
        })
        .await;
    }
}

fn order(key: &str) -> Order {
    Order::new(KIND, key, doc! { "key": key })
}

#[tokio::test]
async fn two_replicas_do_each_job_once() {
    let w = world().await;
    let work = Worker::new(1_000, |_| Ok(()));
    let mut ids = Vec::new();
    for n in 0..30 {
        ids.push(w.jobs.enqueue(&scope(), order(&n.to_string())).await.unwrap());
    }
    let workers = [&w.jobs, &w.other]
        .map(|j| tokio::task::spawn(j.clone().worker(KIND, 4, work.clone(), w.stop.clone())));
    for id in &ids {
        w.until(id, State::Succeeded).await;
    }
    w.stop.cancel();
    for worker in workers {
        worker.await.unwrap().unwrap();
    }
    let mut keys: Vec<_> = work.seen().into_iter().map(|(_, key)| key).collect();
    keys.sort();
    let mut wanted: Vec<_> = (0..30).map(|n| n.to_string()).collect();
    wanted.sort();
    assert_eq!(keys, wanted);
    let done = w.jobs.get(&scope(), &ids[0]).await.unwrap().body;
    assert_eq!((done.attempts, done.progress, done.open), (1, 100, None));
    // Another company does not see it.
    let stranger = Scope::new("com_2", Mode::Live);
    assert!(matches!(w.jobs.get(&stranger, &ids[0]).await, Err(Error::NotFound("job"))));
    let page = PageRequest::new(50, "");
    assert_eq!(
        w.jobs.list(&scope(), Some(KIND), Some(State::Succeeded), &page).await.unwrap().items.len(),
        30
    );
    assert!(w.jobs.list(&stranger, None, None, &page).await.unwrap().items.is_empty());
}

#[tokio::test]
async fn a_failing_job_comes_back_later_and_later_and_is_dead_in_the_end() {
    let w = world().await;
    let work = Worker::new(1_000, |job| Err(Failure::Retry(format!("attempt {}", job.attempt))));
    let id = w.jobs.enqueue(&scope(), order("a")).await.unwrap();
    let worker = tokio::task::spawn(w.jobs.clone().worker(KIND, 1, work.clone(), w.stop.clone()));
    for attempt in 1..=7 {
        let due = testkit::eventually("the next attempt put off", || async {
            let job = w.jobs.get(&scope(), &id).await.unwrap().body;
            (job.attempts == attempt && job.state == State::Queued).then_some(job.due_at)
        })
        .await;
        let wait = due.duration_since(w.clock.now());
        // Not a moment early; then at once.
        assert!(wait > SignedDuration::ZERO || attempt == 1);
        w.clock.advance(wait.max(SignedDuration::ZERO) + SignedDuration::from_millis(1));
    }
    w.until(&id, State::Dead).await;
    let dead = w.jobs.get(&scope(), &id).await.unwrap().body;
    assert_eq!((dead.attempts, dead.last_error.as_deref()), (8, Some("attempt 8")));
    // Somebody mended the cause.
    assert!(w.jobs.revive(&scope(), &id).await.unwrap());
    testkit::eventually("another attempt", || async { (work.seen().len() == 9).then_some(()) }).await;
    w.stop.cancel();
    worker.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_hopeless_job_is_not_tried_again_and_a_canceled_one_not_at_all() {
    let w = world().await;
    let work = Worker::new(1_000, |_| Err(Failure::Dead("no such file".into())));
    let canceled = w.jobs.enqueue(&scope(), order("a")).await.unwrap();
    assert!(w.jobs.cancel(&scope(), &canceled).await.unwrap());
    let hopeless = w.jobs.enqueue(&scope(), order("b")).await.unwrap();
    let worker = tokio::task::spawn(w.jobs.clone().worker(KIND, 1, work.clone(), w.stop.clone()));
    w.until(&hopeless, State::Dead).await;
    w.stop.cancel();
    worker.await.unwrap().unwrap();
    assert_eq!(work.seen(), [(scope().company, "b".to_owned())]);
    assert!(!w.jobs.cancel(&scope(), &hopeless).await.unwrap());
}

#[tokio::test]
async fn what_is_asked_for_again_while_it_runs_runs_once_more() {
    let w = world().await;
    let work = Worker::new(0, |_| Ok(()));
    let id = w.jobs.enqueue(&scope(), order("a")).await.unwrap();
    assert_eq!(w.jobs.enqueue(&scope(), order("a")).await.unwrap(), id, "one waits: no second");
    let worker = tokio::task::spawn(w.jobs.clone().worker(KIND, 2, work.clone(), w.stop.clone()));
    w.until(&id, State::Leased).await;
    for _ in 0..2 {
        assert_eq!(w.jobs.enqueue(&scope(), order("a")).await.unwrap(), id);
    }
    work.gate.add_permits(2);
    w.until(&id, State::Succeeded).await;
    assert_eq!(work.seen().len(), 2);
    assert_ne!(w.jobs.enqueue(&scope(), order("a")).await.unwrap(), id, "it ended: a new one");
    work.gate.add_permits(1);
    w.stop.cancel();
    worker.await.unwrap().unwrap();
}

#[tokio::test]
async fn the_job_of_a_killed_worker_is_done_by_another_and_its_late_answer_counts_for_nothing() {
    let w = world().await;
    let stuck = Worker::new(0, |_| Err(Failure::Dead("late".into())));
    let id = w.jobs.enqueue(&scope(), order("a")).await.unwrap();
    let late = tokio::task::spawn(w.jobs.clone().worker(KIND, 1, stuck.clone(), w.stop.clone()));
    w.until(&id, State::Leased).await;
    w.clock.advance(SignedDuration::from_secs(61));
    let work = Worker::new(1, |_| Ok(()));
    let second = tokio::task::spawn(w.other.clone().worker(KIND, 1, work.clone(), w.stop.clone()));
    w.until(&id, State::Succeeded).await;
    stuck.gate.add_permits(1);
    w.stop.cancel();
    late.await.unwrap().unwrap();
    second.await.unwrap().unwrap();
    let done = w.jobs.get(&scope(), &id).await.unwrap().body;
    assert_eq!((done.state, done.attempts, done.last_error), (State::Succeeded, 2, None));
}

#[tokio::test]
async fn a_job_that_panics_is_a_failed_attempt() {
    let w = world().await;
    let work = Worker::new(1_000, |job| if job.attempt == 1 { panic!("by design") } else { Ok(()) });
    let id = w.jobs.enqueue(&scope(), order("a")).await.unwrap();
    let worker = tokio::task::spawn(w.jobs.clone().worker(KIND, 1, work.clone(), w.stop.clone()));
    w.until(&id, State::Queued).await;
    testkit::eventually("the failed attempt", || async {
        (w.jobs.get(&scope(), &id).await.unwrap().body.last_error.as_deref() == Some("it panicked"))
            .then_some(())
    })
    .await;
    w.clock.advance(SignedDuration::from_secs(5));
    w.until(&id, State::Succeeded).await;
    w.stop.cancel();
    worker.await.unwrap().unwrap();
}

#[tokio::test]
async fn companies_take_turns_and_the_important_goes_first() {
    let w = world().await;
    let work = Worker::new(1_000, |_| Ok(()));
    let (busy, small) = (Scope::new("com_a", Mode::Live), Scope::new("com_b", Mode::Live));
    for n in 0..4 {
        w.jobs.enqueue(&busy, order(&format!("a{n}"))).await.unwrap();
    }
    w.jobs.enqueue(&busy, order("urgent").priority(5)).await.unwrap();
    w.jobs
        .enqueue(&busy, order("tomorrow").at(w.clock.now() + SignedDuration::from_hours(24)))
        .await
        .unwrap();
    let last = w.jobs.enqueue(&small, order("b")).await.unwrap();
    let worker = tokio::task::spawn(w.jobs.clone().worker(KIND, 1, work.clone(), w.stop.clone()));
    testkit::eventually("six jobs", || async { (work.seen().len() == 6).then_some(()) }).await;
    w.stop.cancel();
    worker.await.unwrap().unwrap();
    let keys: Vec<_> = work.seen().into_iter().map(|(_, key)| key).collect();
    assert_eq!(keys, ["urgent", "b", "a0", "a1", "a2", "a3"]);
    assert_eq!(w.jobs.get(&small, &last).await.unwrap().body.state, State::Succeeded);
}
