//! From a questionnaire to a published workflow, and what stands in the way.

use content_svc::Error;
use content_svc::card_elements::Props;
use content_svc::cards::CardKind;
use content_svc::text::Finding;
use content_svc::versioned::{Filter, Which};
use content_svc::workflow::{NodeKind, Trigger};
use kit::{Mode, PageRequest, Role};

use crate::world::{World, card, element, heading, person, survey_card, template, text, workflow};

fn codes<T>(outcome: Result<T, Error>) -> Vec<&'static str> {
    match outcome {
        Err(Error::NotPublishable(found)) => found.into_iter().map(|f: Finding| f.code).collect(),
        Err(other) => panic!("{other}"),
        Ok(_) => Vec::new(),
    }
}

#[tokio::test]
async fn a_workflow_is_published_and_serves_its_pages_as_they_were() {
    let w = World::new().await;
    let pages = w.pages().await;
    let made = w.workflow(&pages).await;
    let served = w.rooms.workflows.published(w.scope(), Trigger::CancelIntent).await.unwrap();
    assert_eq!(served.len(), 1);
    let flow = &served[0];
    assert_eq!((&flow.id, flow.release.number), (&made.id, 1));

    // The card changes and is published, but not the page and not the workflow.
    let survey = w.rooms.cards.objects.get(&w.admin, &pages.survey, Which::Working).await.unwrap();
    let mut changed = survey_card(&pages.questionnaire);
    changed.elements.push(heading("New"));
    let edited = w
        .rooms
        .cards
        .objects
        .edit(&w.admin, &pages.survey, survey.version, |o| o.edit(changed))
        .await
        .unwrap();
    w.rooms.cards.publish(&w.admin, &pages.survey, edited.version, String::new()).await.unwrap();
    let page = w.rooms.workflows.page(w.scope(), &flow.frozen, &pages.ask).await.unwrap();
    assert_eq!(page.cards[0].content.elements.len(), 1, "what was published stays as it was");
    assert_eq!(page.questionnaires[0].content.questions[0].key, "reason");

    // Publishing the page takes the card up, although the page itself has no draft.
    let ask = w.rooms.templates.objects.get(&w.admin, &pages.ask, Which::Working).await.unwrap();
    let ask = w.rooms.templates.publish(&w.admin, &pages.ask, ask.version, String::new()).await.unwrap();
    assert_eq!(ask.release.unwrap().number, 2);
    let flow = w.rooms.workflows.publish(&w.admin, &made.id, made.version, String::new()).await.unwrap();
    let frozen = w.rooms.workflows.version(w.scope(), &made.id, &flow.release.unwrap().hash).await.unwrap();
    let page = w.rooms.workflows.page(w.scope(), &frozen, &pages.ask).await.unwrap();
    assert_eq!(page.cards[0].content.elements.len(), 2);
}

#[tokio::test]
async fn a_paused_or_archived_workflow_starts_nothing() {
    let w = World::new().await;
    let pages = w.pages().await;
    let made = w.workflow(&pages).await;
    let workflows = &w.rooms.workflows;
    let serving = async || workflows.published(w.scope(), Trigger::CancelIntent).await.unwrap().len();
    assert_eq!(serving().await, 1);
    workflows.pause(&w.admin, &made.id, false).await.unwrap();
    assert_eq!(serving().await, 0);
    workflows.pause(&w.admin, &made.id, true).await.unwrap();
    assert_eq!(serving().await, 1);
    assert!(workflows.published(w.scope(), Trigger::Manual).await.unwrap().is_empty());
    workflows.archive(&w.admin, &made.id).await.unwrap();
    assert_eq!(serving().await, 0);
}

#[tokio::test]
async fn workflows_serve_in_their_order() {
    let w = World::new().await;
    let pages = w.pages().await;
    let first = w.workflow(&pages).await;
    let second = w.workflow(&pages).await;
    let workflows = &w.rooms.workflows;
    let serving = async || {
        let served = workflows.published(w.scope(), Trigger::CancelIntent).await.unwrap();
        served.iter().map(|f| f.id.clone()).collect::<Vec<_>>()
    };
    assert_eq!(serving().await, [first.id.clone(), second.id.clone()]);
    workflows.order(&w.admin, std::slice::from_ref(&second.id)).await.unwrap();
    assert_eq!(serving().await, [second.id.clone(), first.id.clone()]);
    let page = PageRequest::new(1, "");
    let listed = workflows.objects.list(&w.admin, Filter::default(), &page).await.unwrap();
    assert_eq!(listed.items[0].id, second.id, "the list goes by the order, too");
    let rest = PageRequest::new(1, listed.next_cursor.unwrap());
    let listed = workflows.objects.list(&w.admin, Filter::default(), &rest).await.unwrap();
    assert_eq!((listed.items[0].id.as_str(), listed.next_cursor), (first.id.as_str(), None));
    assert!(workflows.order(&w.admin, &["wfl_nobody".into()]).await.is_err());
}

#[tokio::test]
async fn a_workflow_that_promises_what_cannot_be_had_is_refused() {
    let w = World::new().await;
    let pages = w.pages().await;
    let workflows = &w.rooms.workflows;
    for (offer, code) in [
        ("off_nobody", "offer_missing"),
        ("off_asleep", "offer_not_active"),
        ("off_impossible", "offer_not_supported"),
    ] {
        let mut content = workflow(&pages);
        if let NodeKind::Offer { offer_ids, .. } = &mut content.nodes[2].kind {
            offer_ids.push(offer.into());
        }
        let made = workflows.create(&w.admin, "Cancel".into(), content).await.unwrap();
        let said = workflows.validate(&w.admin, &made.id).await.unwrap();
        assert!(said.has(code), "validate says {code}");
        assert_eq!(codes(workflows.publish(&w.admin, &made.id, made.version, String::new()).await), [code]);
    }
    assert!(workflows.published(w.scope(), Trigger::CancelIntent).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_workflow_over_unpublished_pages_and_unknown_reasons_is_refused() {
    let w = World::new().await;
    let mut pages = w.pages().await;
    let workflows = &w.rooms.workflows;
    let draft =
        w.rooms.templates.create(&w.admin, "draft".into(), "Draft".into(), template(&pages.survey)).await;
    pages.ask = draft.unwrap().id;
    let made = workflows.create(&w.admin, "Cancel".into(), workflow(&pages)).await.unwrap();
    let said = codes(workflows.publish(&w.admin, &made.id, made.version, String::new()).await);
    assert!(said.contains(&"template_not_published"));
    assert!(said.contains(&"unknown_reason"), "the only page that asks is not published: {said:?}");
}

#[tokio::test]
async fn a_card_that_says_what_it_does_not_know_is_refused() {
    let w = World::new().await;
    let cards = &w.rooms.cards;
    let head = content_svc::cards::CardHead { access: content_svc::cards::CardAccess::Company, tags: vec![] };
    let mut content = card(CardKind::Value, vec![heading("{{months}} months")]);
    content.locales.push("de".into());
    let made = cards.objects.create(&w.admin, "Card".into(), head, content).await.unwrap();
    let said = codes(cards.publish(&w.admin, &made.id, made.version, String::new()).await);
    assert_eq!(said, ["unknown_variable", "translation_missing"], "errors first, then warnings");
}

#[tokio::test]
async fn a_kept_piece_is_copied_into_what_is_published() {
    let w = World::new().await;
    let made = w.rooms.elements.create(&w.admin, "Thanks".into(), heading("Thanks"), false).await.unwrap();
    let reference = || element(Props::Element { id: made.id.clone(), copy: None });
    let shown = w.card(card(CardKind::Value, vec![reference()])).await;
    let element = Some(heading("Many thanks"));
    w.rooms.elements.edit(&w.admin, &made.id, made.version, None, element).await.unwrap();
    let seen = w.rooms.cards.objects.get(&w.admin, &shown.id, Which::Published).await.unwrap();
    assert_eq!(*seen.content.unwrap().elements[0].resolved(), heading("Thanks"));
    let used = w.rooms.cards.holding_element(&w.admin, &made.id).await.unwrap();
    assert_eq!(used, [(shown.id.clone(), "Card".to_owned())]);
    let now = w.rooms.cards.publish(&w.admin, &shown.id, shown.version, String::new()).await.unwrap();
    assert_eq!(*now.content.unwrap().elements[0].resolved(), heading("Many thanks"));

    w.rooms.elements.archive(&w.admin, &made.id).await.unwrap();
    let again = w.rooms.cards.publish(&w.admin, &shown.id, now.version, String::new()).await;
    assert_eq!(codes(again), ["element_missing"]);
}

#[tokio::test]
async fn html_and_the_library_are_the_operators() {
    let w = World::new().await;
    let elements = &w.rooms.elements;
    let html = || element(Props::Html { html: text("<b>Stay</b><script>alert(1)</script>") });
    assert!(elements.create(&w.admin, "Html".into(), html(), false).await.is_err());
    assert!(elements.create(&w.admin, "Shared".into(), heading("Hello"), true).await.is_err());
    let operator = person(Role::KaleAdmin, "com_1", Mode::Live);
    let kept = elements.create(&operator, "Html".into(), html(), true).await.unwrap();
    assert_eq!(kept.body.element, element(Props::Html { html: text("<b>Stay</b>") }));
    let seen = elements.get(&w.admin, &kept.id).await.unwrap();
    assert_eq!(seen.id, kept.id, "every company sees the library");
    assert!(elements.edit(&w.admin, &kept.id, 1, Some("Mine".into()), None).await.is_err());
    let copy = elements.duplicate(&w.admin, &kept.id, String::new()).await.unwrap();
    assert_eq!((&copy.scope, copy.body.name.as_str()), (w.scope(), "Html (copy)"));
}
