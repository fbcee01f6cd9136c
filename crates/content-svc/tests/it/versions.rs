//! Drafts, publishing, rolling back (§10.4), on cards; templates, workflows and questionnaires share the mechanism.

use content_svc::Error;
use content_svc::cards::{CardContent, CardKind};
use content_svc::versioned::{Filter, State, Which};
use kit::{Coded, Mode, PageRequest, Role};

use crate::world::{World, card, heading, person};

fn value(words: &str) -> CardContent {
    card(CardKind::Value, vec![heading(words)])
}

async fn edit(w: &World, id: &str, version: i64, words: &str) -> Result<i64, Error> {
    let content = value(words);
    let edited = w.rooms.cards.objects.edit(&w.admin, id, version, |o| o.edit(content)).await;
    edited.map(|view| view.version)
}

#[tokio::test]
async fn a_draft_is_published_edited_and_rolled_back() {
    let w = World::new().await;
    let cards = &w.rooms.cards;
    let first = w.card(value("one")).await;
    assert_eq!(first.state, State::Published);
    let version = edit(&w, &first.id, first.version, "two").await.unwrap();
    let draft = cards.objects.get(&w.admin, &first.id, Which::Working).await.unwrap();
    assert_eq!((draft.state, draft.content), (State::Draft, Some(value("two"))));
    let seen = cards.objects.get(&w.admin, &first.id, Which::Published).await.unwrap();
    assert_eq!(seen.content, Some(value("one")), "customers see the frozen one");

    let second = cards.publish(&w.admin, &first.id, version, "shorter".into()).await.unwrap();
    let back =
        cards.objects.rollback(&w.admin, &first.id, second.version, 1, "too short".into()).await.unwrap();
    let release = back.release.unwrap();
    assert_eq!((release.number, release.copy_of), (3, Some(1)));
    assert_eq!(release.hash, first.release.unwrap().hash, "the same content has the same hash");
    let seen = cards.objects.get(&w.admin, &first.id, Which::Published).await.unwrap();
    assert_eq!(seen.content, Some(value("one")));

    let numbers: Vec<_> = cards.objects.releases(&w.admin, &first.id).await.unwrap();
    assert_eq!(numbers.iter().map(|r| r.number).collect::<Vec<_>>(), [3, 2, 1]);
    let old = cards.objects.get(&w.admin, &first.id, Which::Number(2)).await.unwrap();
    assert_eq!(old.content, Some(value("two")));
    let changes = cards.objects.diff(&w.admin, &first.id, 1, 2).await.unwrap();
    let fields: Vec<_> = changes.iter().map(|c| c.field.as_str()).collect();
    assert_eq!(fields, ["elements[0].props.heading.text.texts.en"]);
}

#[tokio::test]
async fn a_rollback_leaves_an_open_draft_as_it_is() {
    let w = World::new().await;
    let cards = &w.rooms.cards;
    let made = w.card(value("one")).await;
    let version = edit(&w, &made.id, made.version, "two").await.unwrap();
    let made = cards.publish(&w.admin, &made.id, version, String::new()).await.unwrap();
    let version = edit(&w, &made.id, made.version, "three").await.unwrap();
    let back = cards.objects.rollback(&w.admin, &made.id, version, 1, String::new()).await.unwrap();
    assert_eq!((back.state, back.content), (State::Draft, Some(value("three"))));
    let seen = cards.objects.get(&w.admin, &made.id, Which::Published).await.unwrap();
    assert_eq!(seen.content, Some(value("one")));
}

#[tokio::test]
async fn a_stale_version_changes_nothing() {
    let w = World::new().await;
    let cards = &w.rooms.cards;
    let made = w.card(value("one")).await;
    edit(&w, &made.id, made.version, "two").await.unwrap();
    for refused in [
        edit(&w, &made.id, made.version, "three").await.err(),
        cards.publish(&w.admin, &made.id, made.version, String::new()).await.err(),
        cards.objects.rollback(&w.admin, &made.id, made.version, 1, String::new()).await.err(),
        cards.objects.submit(&w.admin, &made.id, made.version, false, String::new()).await.err(),
    ] {
        assert_eq!(refused.unwrap().code().1, "stale_version");
    }
    let now = cards.objects.get(&w.admin, &made.id, Which::Working).await.unwrap();
    assert_eq!(now.content, Some(value("two")));
}

#[tokio::test]
async fn of_two_who_publish_at_once_one_is_stale() {
    let w = World::new().await;
    let cards = &w.rooms.cards;
    let made = w.card(value("one")).await;
    let version = edit(&w, &made.id, made.version, "two").await.unwrap();
    let (a, b) = tokio::join!(
        cards.publish(&w.admin, &made.id, version, String::new()),
        cards.publish(&w.admin, &made.id, version, String::new()),
    );
    assert_eq!(usize::from(a.is_ok()) + usize::from(b.is_ok()), 1);
    let refused = a.err().or(b.err()).unwrap();
    assert_eq!(refused.code().1, "stale_version");
    assert_eq!(cards.objects.releases(&w.admin, &made.id).await.unwrap().len(), 2);
}

#[tokio::test]
async fn publishing_what_has_not_changed_is_refused() {
    let w = World::new().await;
    let made = w.card(value("one")).await;
    let again = w.rooms.cards.publish(&w.admin, &made.id, made.version, String::new()).await;
    assert!(matches!(again, Err(Error::NoDraft)));
}

#[tokio::test]
async fn a_submitted_draft_that_is_edited_is_a_draft_again() {
    let w = World::new().await;
    let cards = &w.rooms.cards;
    let made = w.card(value("one")).await;
    let version = edit(&w, &made.id, made.version, "two").await.unwrap();
    let submitted = cards.objects.submit(&w.admin, &made.id, version, false, "please".into()).await.unwrap();
    assert_eq!(submitted.state, State::InReview);
    edit(&w, &made.id, submitted.version, "three").await.unwrap();
    let now = cards.objects.get(&w.admin, &made.id, Which::Working).await.unwrap();
    assert_eq!(now.state, State::Draft);
}

#[tokio::test]
async fn the_write_that_publishes_carries_the_event_and_the_audit_entry() {
    let w = World::new().await;
    let made = w.card(value("one")).await;
    let waiting = w.waiting::<CardContent>(&made.id).await;
    assert_eq!(waiting, ["audit.recorded", "audit.recorded", "content.published"]);
}

/// Invariant 4: no record is reachable with another company's or another mode's credentials.
#[tokio::test]
async fn another_company_and_another_mode_see_nothing() {
    let w = World::new().await;
    let cards = &w.rooms.cards;
    let made = w.card(value("one")).await;
    for stranger in [person(Role::RetAdmin, "com_2", Mode::Live), person(Role::RetAdmin, "com_1", Mode::Test)]
    {
        for which in [Which::Working, Which::Published, Which::Number(1)] {
            let refused = cards.objects.get(&stranger, &made.id, which).await.unwrap_err();
            assert_eq!(refused.code().1, "not_found");
        }
        let content = value("stolen");
        let refused = cards.objects.edit(&stranger, &made.id, made.version, |o| o.edit(content)).await;
        assert_eq!(refused.unwrap_err().code().1, "not_found");
        assert!(cards.objects.archive(&stranger, &made.id).await.is_err());
        let seen = cards.objects.list(&stranger, Filter::default(), &PageRequest::new(20, "")).await.unwrap();
        assert!(seen.items.is_empty());
    }
}

#[tokio::test]
async fn an_archived_card_is_out_of_lists_and_cannot_be_changed() {
    let w = World::new().await;
    let cards = &w.rooms.cards;
    let made = w.card(value("one")).await;
    let gone = cards.objects.archive(&w.admin, &made.id).await.unwrap();
    assert_eq!(gone.state, State::Archived);
    assert!(matches!(edit(&w, &made.id, gone.version, "two").await, Err(Error::Archived)));
    let page = PageRequest::new(20, "");
    let seen = cards.objects.list(&w.admin, Filter::default(), &page).await.unwrap();
    assert!(seen.items.is_empty());
    let all = Filter { archived: true, ..Filter::default() };
    assert_eq!(cards.objects.list(&w.admin, all, &page).await.unwrap().items.len(), 1);
    assert_eq!(
        cards.objects.archive(&w.admin, &made.id).await.unwrap().version,
        gone.version,
        "twice is once"
    );
}

#[tokio::test]
async fn lists_go_page_by_page_newest_first() {
    let w = World::new().await;
    let cards = &w.rooms.cards;
    let mut made = Vec::new();
    for i in 0..5 {
        made.push(w.card(value(&i.to_string())).await.id);
    }
    made.reverse();
    let mut seen = Vec::new();
    let mut cursor = String::new();
    loop {
        let page =
            cards.objects.list(&w.admin, Filter::default(), &PageRequest::new(2, cursor)).await.unwrap();
        seen.extend(page.items.into_iter().map(|c| c.id));
        match page.next_cursor {
            Some(next) => cursor = next,
            None => break,
        }
    }
    assert_eq!(seen, made);
}

/// The list of cards is a hot path: it walks an index, in the index's order.
#[tokio::test]
async fn the_list_of_cards_scans_and_sorts_nothing() {
    let w = World::new().await;
    for filter in [
        bson::doc! { "company_id": "com_1", "mode": "live", "body.archived": false },
        bson::doc! { "company_id": "com_1", "mode": "live", "body.archived": false, "body.facet": "offer" },
        bson::doc! { "company_id": "com_1", "mode": "live", "body.head.tags": "bench" },
    ] {
        let find = bson::doc! { "find": "cards", "filter": filter, "sort": { "_id": -1 }, "limit": 21 };
        let explain = bson::doc! { "explain": find, "verbosity": "queryPlanner" };
        let plan = w.db.run_command(explain).await.unwrap();
        let plan =
            plan.get_document("queryPlanner").unwrap().get_document("winningPlan").unwrap().to_string();
        assert!(plan.contains("IXSCAN") && !plan.contains("COLLSCAN"), "{plan}");
        assert!(!plan.contains("\"SORT\""), "{plan}");
    }
}
