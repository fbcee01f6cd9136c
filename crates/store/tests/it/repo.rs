//! Repositories on a real MongoDB.

use std::sync::Arc;

use bson::doc;
use kit::caller::{Mode, Scope};
use kit::{PageRequest, SharedClock};
use serde::{Deserialize, Serialize};
use store::{Error, Index, Record, Repo, Sort};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Note {
    pub text: String,
    pub left: i64,
}

impl Record for Note {
    const COLLECTION: &'static str = "notes";
    const NOUN: &'static str = "note";

    fn indexes() -> Vec<Index> {
        vec![Index::on(&["body.text"]).unique()]
    }
}

pub fn note(text: &str) -> Note {
    Note { text: text.into(), left: 1 }
}

pub fn clock() -> SharedClock {
    Arc::new(testkit::clock())
}

pub fn scope() -> Scope {
    Scope::new("com_1", Mode::Live)
}

#[tokio::test]
async fn another_company_and_another_mode_find_nothing() {
    let test = testkit::mongo().await;
    let repo = Repo::<Note>::open(&test.db("notes-svc").await, clock()).await.unwrap();
    let made = repo.insert(&scope(), kit::id::new("note"), note("mine"), vec![]).await.unwrap();
    assert_eq!(repo.get(&scope(), &made.id).await.unwrap(), made);
    for other in [Scope::new("com_2", Mode::Live), Scope::new("com_1", Mode::Test)] {
        assert!(matches!(repo.get(&other, &made.id).await, Err(Error::NotFound("note"))));
        // Not even a filter that names the owner gets there.
        assert!(repo.find(&other, doc! { "company_id": "com_1", "mode": "live" }).await.unwrap().is_none());
        assert!(matches!(
            repo.replace(&store::Stored { scope: other.clone(), ..made.clone() }, note("yours"), vec![])
                .await,
            Err(Error::NotFound(_))
        ));
        assert!(!repo.remove(&other, &made.id).await.unwrap());
    }
}

#[tokio::test]
async fn a_stale_version_and_a_second_of_a_name_are_refused() {
    let test = testkit::mongo().await;
    let repo = Repo::<Note>::open(&test.db("notes-svc").await, clock()).await.unwrap();
    let first = repo.insert(&scope(), kit::id::new("note"), note("a"), vec![]).await.unwrap();
    assert!(matches!(
        repo.insert(&scope(), kit::id::new("note"), note("a"), vec![]).await,
        Err(Error::Duplicate("note"))
    ));
    let second = repo.replace(&first, note("b"), vec![]).await.unwrap();
    assert_eq!((second.version, repo.get(&scope(), &first.id).await.unwrap()), (2, second));
    assert!(matches!(repo.replace(&first, note("c"), vec![]).await, Err(Error::Stale("note"))));
    let answers = repo
        .insert_many(
            &scope(),
            vec![
                ("note_1".into(), note("x"), vec![]),
                ("note_2".into(), note("x"), vec![]),
                ("note_3".into(), note("y"), vec![]),
            ],
        )
        .await
        .unwrap();
    assert!(answers[0].is_ok() && matches!(answers[1], Err(Error::Duplicate(_))) && answers[2].is_ok());
}

#[tokio::test]
async fn pages_hold_each_record_once_and_cursors_stay_in_their_list() {
    let test = testkit::mongo().await;
    let repo = Repo::<Note>::open(&test.db("notes-svc").await, clock()).await.unwrap();
    for n in 0..7 {
        repo.insert(&scope(), kit::id::new("note"), note(&format!("n{n}")), vec![]).await.unwrap();
    }
    for sort in [Sort::Newest, Sort::Oldest, Sort::By("body.text")] {
        let (mut seen, mut page) = (Vec::new(), PageRequest::new(3, ""));
        loop {
            let got = repo.list(&scope(), doc! {}, sort, &page).await.unwrap();
            seen.extend(got.items.into_iter().map(|n| n.body.text));
            let Some(next) = got.next_cursor else { break };
            assert!(matches!(
                repo.list(
                    &Scope::new("com_2", Mode::Live),
                    doc! {},
                    sort,
                    &PageRequest::new(3, next.clone())
                )
                .await,
                Err(Error::Cursor)
            ));
            page = PageRequest::new(3, next);
        }
        let mut wanted: Vec<_> = (0..7).map(|n| format!("n{n}")).collect();
        if sort == Sort::Newest {
            wanted.reverse();
        }
        assert_eq!(seen, wanted);
    }
}

#[tokio::test]
async fn of_many_conditional_writes_only_as_many_succeed_as_there_is_left() {
    let test = testkit::mongo().await;
    let repo = Repo::<Note>::open(&test.db("notes-svc").await, clock()).await.unwrap();
    let made = repo
        .insert(&scope(), kit::id::new("note"), Note { text: "a".into(), left: 3 }, vec![])
        .await
        .unwrap();
    let takes = (0..12).map(|_| {
        repo.update(
            &made.scope,
            &made.id,
            doc! { "body.left": { "$gt": 0 } },
            doc! { "$inc": { "body.left": -1 } },
            vec![],
        )
    });
    let taken = futures_util::future::join_all(takes).await;
    assert_eq!(taken.into_iter().filter(|t| t.as_ref().unwrap().is_some()).count(), 3);
    let after = repo.get(&scope(), &made.id).await.unwrap();
    assert_eq!((after.body.left, after.version), (0, 4));
}

#[tokio::test]
async fn a_transaction_writes_all_or_nothing() {
    let test = testkit::mongo().await;
    let db = test.db("notes-svc").await;
    let repo = Repo::<Note>::open(&db, clock()).await.unwrap();
    let outcome: Result<(), Error> = store::transaction(&db, async |tx| {
        repo.insert_in(tx, &scope(), "note_a".into(), note("a"), vec![]).await?;
        repo.insert_in(tx, &scope(), "note_b".into(), note("a"), vec![]).await?;
        Ok(())
    })
    .await;
    assert!(matches!(outcome, Err(Error::Duplicate(_))));
    assert_eq!(repo.count(&scope(), doc! {}).await.unwrap(), 0);
    let outcome: Result<(), Error> = store::transaction(&db, async |tx| {
        let made = repo.insert_in(tx, &scope(), "note_a".into(), note("a"), vec![]).await?;
        repo.replace_in(tx, &made, note("b"), vec![]).await?;
        Ok(())
    })
    .await;
    outcome.unwrap();
    assert_eq!(repo.get(&scope(), "note_a").await.unwrap().body.text, "b");
}

#[tokio::test]
async fn no_read_by_id_or_list_scans_the_collection() {
    let test = testkit::mongo().await;
    let db = test.db("notes-svc").await;
    let repo = Repo::<Note>::open(&db, clock()).await.unwrap();
    for filter in [doc! {}, doc! { "_id": "note_1" }, doc! { "body.text": "a" }] {
        let plan = repo.explain(&db, &scope(), filter, Sort::Newest).await.unwrap().to_string();
        assert!(plan.contains("IXSCAN") && !plan.contains("COLLSCAN"), "{plan}");
    }
}
