//! Grouped inserts on a real MongoDB.

use store::grouped::Inserter;
use store::{Error, Repo};
use tokio_util::sync::CancellationToken;

use crate::repo::{Note, clock, note, scope};

#[tokio::test]
async fn each_caller_hears_of_its_own_document() {
    let test = testkit::mongo().await;
    let repo = Repo::<Note>::open(&test.db("notes-svc").await, clock()).await.unwrap();
    let (inserter, stop) = (Inserter::new(repo.clone()), CancellationToken::new());
    let writer = tokio::task::spawn(inserter.clone().run(stop.clone()));
    // Every text twice: one of each two is refused, and no other suffers.
    let inserts =
        (0..200).map(|n| {
            let inserter = &inserter;
            async move {
                inserter.insert(&scope(), format!("note_{n}"), note(&format!("t{}", n / 2)), vec![]).await
            }
        });
    let outcomes = futures_util::future::join_all(inserts).await;
    let made: Vec<_> = outcomes.iter().filter_map(|o| o.as_ref().ok()).collect();
    assert_eq!(made.len(), 100);
    assert_eq!(outcomes.iter().filter(|o| matches!(o, Err(Error::Duplicate("note")))).count(), 100);
    for stored in made {
        assert_eq!(&repo.get(&scope(), &stored.id).await.unwrap(), stored);
    }
    stop.cancel();
    writer.await.unwrap().unwrap();
    let late = inserter.insert(&scope(), "note_late".into(), note("late"), vec![]).await;
    assert!(matches!(late, Err(Error::Full)));
}

#[tokio::test]
async fn what_was_waiting_when_it_stopped_is_written() {
    let test = testkit::mongo().await;
    let repo = Repo::<Note>::open(&test.db("notes-svc").await, clock()).await.unwrap();
    let (inserter, stop) = (Inserter::new(repo.clone()), CancellationToken::new());
    let waiting = (0..20).map(|n| {
        let inserter = inserter.clone();
        async move { inserter.insert(&scope(), format!("note_{n}"), note(&format!("t{n}")), vec![]).await }
    });
    // All are in the queue before the writer begins, which is told to stop at once.
    let all = futures_util::future::join_all(waiting);
    let writer = async {
        stop.cancel();
        inserter.clone().run(stop.clone()).await
    };
    let (outcomes, written) = tokio::join!(all, writer);
    written.unwrap();
    assert!(outcomes.iter().all(Result::is_ok), "{outcomes:?}");
    assert_eq!(repo.count(&scope(), bson::doc! {}).await.unwrap(), 20);
}

#[tokio::test]
async fn more_than_may_wait_is_refused() {
    let test = testkit::mongo().await;
    let repo = Repo::<Note>::open(&test.db("notes-svc").await, clock()).await.unwrap();
    // Nobody writes: what waits stays in the queue.
    let inserter = Inserter::new(repo);
    let large = "x".repeat(1024 * 1024);
    let scope = scope();
    let inserts = (0..64).map(|n| inserter.insert(&scope, format!("note_{n}"), note(&large), vec![]));
    let mut waiting: Vec<_> = inserts.map(Box::pin).collect();
    let mut refused = 0;
    for insert in &mut waiting {
        if let std::task::Poll::Ready(outcome) = futures_util::poll!(insert) {
            assert!(matches!(outcome, Err(Error::Full)));
            refused += 1;
        }
    }
    assert_eq!(refused, 1, "64 MiB and their envelopes do not fit into 64 MiB");
}
