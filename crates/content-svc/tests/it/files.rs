//! Content that travels: from test mode to live, and as text files between companies. And where it is used.

use content_svc::card_elements::{Element, Props};
use content_svc::cards::CardKind;
use content_svc::template::{Act, Promoted};
use content_svc::versioned::{State, Which};
use content_svc::workflow::{Imported, Used};
use kit::{Caller, Coded, Mode, Role};

use crate::world::{Pages, World, card, element, heading, offer_card, person, workflow};

fn in_test() -> Caller {
    person(Role::RetAdmin, "com_1", Mode::Test)
}

/// The same rooms, as somebody who works in test mode.
async fn tested() -> (World, Pages) {
    let mut world = World::new().await;
    world.admin = in_test();
    let pages = world.pages().await;
    (world, pages)
}

async fn promote(
    world: &World,
    ids: &[&str],
    publish: bool,
    dry_run: bool,
) -> Result<Vec<Promoted>, content_svc::Error> {
    let ids: Vec<String> = ids.iter().map(|id| (*id).to_owned()).collect();
    let how = content_svc::template::Promotion { publish, dry_run, ..Default::default() };
    Box::pin(world.rooms.templates.promote(&world.admin, &ids, &how)).await
}

fn acts(promoted: &[Promoted]) -> Vec<(&str, Act)> {
    promoted.iter().map(|p| (p.kind, p.act)).collect()
}

#[tokio::test]
async fn what_was_tested_goes_live_with_everything_it_holds_and_once() {
    let (world, pages) = tested().await;
    let live = person(Role::RetAdmin, "com_1", Mode::Live);
    let plan = promote(&world, &[&pages.ask], true, true).await.unwrap();
    let fresh = [("questionnaire", Act::Create), ("card", Act::Create), ("template", Act::Create)];
    assert_eq!(acts(&plan), fresh);
    let none = world.rooms.templates.objects.get(&live, &plan[2].id, Which::Working).await;
    assert_eq!(none.unwrap_err().code().1, "not_found", "a plan changes nothing");

    let done = promote(&world, &[&pages.ask], true, false).await.unwrap();
    assert!(done.iter().all(|p| p.state == Some(State::Published)), "{done:?}");
    assert_eq!(done[2].id, plan[2].id);
    let page = world.rooms.templates.objects.get(&live, &done[2].id, Which::Published).await.unwrap();
    assert_eq!(page.content.unwrap().places[0].card_ids, [done[1].id.clone()], "it holds the copies");
    let again = promote(&world, &[&pages.ask], true, false).await.unwrap();
    assert!(again.iter().all(|p| p.act == Act::Nothing && p.state == Some(State::Published)), "{again:?}");

    // What changed in test is changed in live, and nothing else.
    let cards = &world.rooms.cards;
    let read = cards.objects.get(&world.admin, &pages.survey, Which::Working).await.unwrap();
    let mut content = read.content.clone().unwrap();
    content.elements.insert(0, heading("New words"));
    let edited =
        cards.objects.edit(&world.admin, &pages.survey, read.version, |o| o.edit(content)).await.unwrap();
    cards.publish(&world.admin, &pages.survey, edited.version, String::new()).await.unwrap();
    let read = world.rooms.templates.objects.get(&world.admin, &pages.ask, Which::Working).await.unwrap();
    world.rooms.templates.publish(&world.admin, &pages.ask, read.version, String::new()).await.unwrap();
    let changed = promote(&world, &[&pages.ask], false, false).await.unwrap();
    assert_eq!(
        acts(&changed),
        [("questionnaire", Act::Nothing), ("card", Act::Update), ("template", Act::Nothing)]
    );
    assert_eq!((changed[1].state, changed[1].changes.is_empty()), (Some(State::Draft), false));
}

#[tokio::test]
async fn only_published_templates_of_ones_own_test_mode_are_promoted() {
    let (mut world, pages) = tested().await;
    let draft = world.rooms.templates.create(
        &world.admin,
        "draft".into(),
        "Draft".into(),
        crate::world::template(&pages.survey),
    );
    let draft = draft.await.unwrap();
    for id in [draft.id.as_str(), "tpl_none"] {
        assert_eq!(promote(&world, &[id], true, false).await.unwrap_err().code().1, "not_found");
    }
    world.admin = person(Role::RetAdmin, "com_2", Mode::Live);
    assert_eq!(promote(&world, &[&pages.ask], true, false).await.unwrap_err().code().1, "not_found");
}

#[tokio::test]
async fn a_kept_piece_goes_live_as_a_copy_and_offers_by_their_names_there() {
    let (world, _) = tested().await;
    let kept = world
        .rooms
        .elements
        .create(&world.admin, "Hello".into(), heading("Kept words"), false)
        .await
        .unwrap();
    let reference: Element = element(Props::Element { id: kept.id, copy: None });
    let mut content = offer_card();
    content.elements.insert(0, reference);
    content.offer_id = Some("off_discount_20".into());
    let offer = world.card(content).await;
    let page = world.page("offer", &offer.id).await;
    let how = content_svc::template::Promotion {
        replace: [("off_discount_20".to_owned(), "off_good".to_owned())].into(),
        publish: true,
        ..Default::default()
    };
    let done = Box::pin(world.rooms.templates.promote(&world.admin, &[page.id], &how)).await.unwrap();
    let live = person(Role::RetAdmin, "com_1", Mode::Live);
    let card =
        world.rooms.cards.objects.get(&live, &done[0].id, Which::Published).await.unwrap().content.unwrap();
    assert_eq!(card.offer_id.as_deref(), Some("off_good"));
    assert_eq!(card.elements[0], heading("Kept words"));
}

async fn import(
    world: &World,
    text: &str,
    id: Option<&str>,
    dry_run: bool,
) -> Result<Imported, content_svc::Error> {
    let (name, content) = world.rooms.workflows.read_file(&world.admin, text).await?;
    world.rooms.workflows.import(&world.admin, id, name, content, dry_run).await
}

#[tokio::test]
async fn a_workflow_goes_out_as_text_and_comes_back_as_it_was() {
    let world = World::new().await;
    let pages = world.pages().await;
    let made = world.workflow(&pages).await;
    let workflows = &world.rooms.workflows;
    let text = workflows.export(&world.admin, &made.id, 0).await.unwrap();
    assert!(text.contains("template: ask") && !text.contains("tpl_"), "pages go by their keys: {text}");
    assert_eq!(workflows.export(&world.admin, &made.id, 1).await.unwrap(), text);
    let same = import(&world, &text, None, false).await.unwrap();
    assert_eq!((same.act, same.changes.len()), (Act::Nothing, 0));
    assert_eq!(same.view.unwrap().version, made.version, "nothing was written");

    let changed = text.replace("declined: bye", "declined: kept");
    let plan = import(&world, &changed, None, true).await.unwrap();
    let places: Vec<_> = plan.changes.iter().map(|c| c.field.as_str()).collect();
    assert_eq!((plan.act, places), (Act::Update, vec!["nodes[2].kind.offer.declined"]));
    assert!(plan.findings.has("no_way_to_cancel"), "it says what publishing would say: {:?}", plan.findings);
    assert_eq!(workflows.export(&world.admin, &made.id, 0).await.unwrap(), text, "a plan changes nothing");
    let done = import(&world, &changed, None, false).await.unwrap();
    assert_eq!(done.view.unwrap().state, State::Draft, "what customers see is not touched");
    assert_eq!(workflows.export(&world.admin, &made.id, 0).await.unwrap(), changed);

    // Under another name it is another workflow.
    let other = text.replace("workflow: Cancel", "workflow: Another");
    assert!(import(&world, &other, None, true).await.unwrap().view.is_none());
    let created = import(&world, &other, None, false).await.unwrap();
    assert_eq!((created.act, created.view.unwrap().head.priority), (Act::Create, 2));
    assert_eq!(import(&world, &other, None, false).await.unwrap().act, Act::Nothing, "twice is once");
    workflows.create(&world.admin, "Cancel".into(), workflow(&pages)).await.unwrap();
    assert_eq!(import(&world, &text, None, false).await.unwrap_err().code().1, "ambiguous_name");
    assert_eq!(import(&world, &text, Some(&made.id), true).await.unwrap().act, Act::Update);
}

#[tokio::test]
async fn a_file_is_read_by_the_pages_of_whoever_reads_it() {
    let mut world = World::new().await;
    let pages = world.pages().await;
    let made = world.workflow(&pages).await;
    let text = world.rooms.workflows.export(&world.admin, &made.id, 0).await.unwrap();
    world.admin = person(Role::RetAdmin, "com_2", Mode::Live);
    assert_eq!(
        world.rooms.workflows.export(&world.admin, &made.id, 0).await.unwrap_err().code().1,
        "not_found"
    );
    let unknown = import(&world, &text, None, false).await.unwrap_err();
    let fields: Vec<_> = unknown.fields().into_iter().map(|f| (f.field, f.code)).collect();
    assert_eq!(fields[0], ("nodes[ask].step.template".to_owned(), "unknown_template".to_owned()));
    let theirs = world.pages().await;
    let done = import(&world, &text, None, false).await.unwrap();
    assert_eq!(
        done.view.unwrap().content.unwrap().template_ids(),
        [theirs.ask.as_str(), theirs.cheaper.as_str()]
    );
    let theirs = import(&world, &text, Some(&made.id), false).await;
    assert_eq!(theirs.unwrap_err().code().1, "not_found", "another company's workflow");
}

#[tokio::test]
async fn everything_says_where_it_is_used() {
    let world = World::new().await;
    let pages = world.pages().await;
    let flow = world.workflow(&pages).await;
    let workflows = &world.rooms.workflows;
    let uses = async |kind, id: &str| workflows.uses(&world.admin, kind, id).await.unwrap();
    let ask = uses(Used::Template, &pages.ask).await;
    assert_eq!(
        (ask[0].id.as_str(), ask[0].places.as_slice()),
        (flow.id.as_str(), ["nodes[ask]".to_owned()].as_slice())
    );
    assert!(ask[0].published && ask[0].draft);
    assert_eq!(uses(Used::Card, &pages.survey).await[0].places, ["main"]);
    assert_eq!(uses(Used::Questionnaire, &pages.questionnaire).await[0].id, pages.survey);
    assert_eq!(uses(Used::Offer, "off_good").await[0].places, ["nodes[cheaper]"]);
    assert!(uses(Used::Persona, "per_1").await.is_empty());
    let mut aimed = card(CardKind::Value, vec![heading("Hello")]);
    aimed.persona_ids = vec!["per_1".into()];
    let aimed = world.card(aimed).await;
    assert_eq!(uses(Used::Persona, "per_1").await[0].id, aimed.id);
    // Taken out of the draft, it is still in what is published.
    let read = workflows.objects.get(&world.admin, &flow.id, Which::Working).await.unwrap();
    let mut content = read.content.clone().unwrap();
    content.nodes[0].kind = content.nodes[4].kind.clone();
    workflows.objects.edit(&world.admin, &flow.id, read.version, |o| o.edit(content)).await.unwrap();
    let ask = uses(Used::Template, &pages.ask).await;
    assert!(ask[0].published && !ask[0].draft);
    let other = person(Role::RetAdmin, "com_2", Mode::Live);
    assert_eq!(workflows.uses(&other, Used::Template, &pages.ask).await.unwrap_err().code().1, "not_found");
    assert!(workflows.uses(&other, Used::Offer, "off_good").await.unwrap().is_empty());
}
