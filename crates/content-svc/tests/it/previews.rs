//! Looking at pages before customers do: by the code that shows them, and without anything being written.

use std::collections::BTreeMap;

use content_svc::engine::{Answer, Known};
use content_svc::region_rule::Requirements;
use content_svc::rule::Value;
use content_svc::template_viewer::{LinkStore, Look, Shared, Shown, TemplateViewer, What};
use content_svc::versioned::Which;
use content_svc::workflow_viewer::Sample;
use kit::{Coded, Mode, Role};

use crate::flow::Flow;
use crate::world::{card, element, heading, person, survey_card, text};
use content_svc::card_elements::Props;
use content_svc::cards::CardKind;
use content_svc::text::{Format, Variable};

struct Viewing {
    flow: Flow,
    viewer: TemplateViewer,
}

impl Viewing {
    async fn new() -> Self {
        let flow = Flow::new().await;
        let clock = std::sync::Arc::new(flow.world.clock.clone());
        let links = LinkStore::open(&flow.world.db, clock.clone()).await.unwrap();
        let viewer = TemplateViewer::new(
            flow.world.rooms.clone(),
            flow.biller.clone(),
            flow.world.offers.clone(),
            flow.rules.clone(),
            links,
            clock,
        );
        Self { flow, viewer }
    }

    async fn look(&self, what: What, look: Look, who: Option<Sample>) -> Result<Shown, content_svc::Error> {
        self.viewer.preview(&self.flow.world.admin, &what, &look, who, |_| Ok(Vec::new())).await
    }

    /// Every document of every collection, so that what a look wrote would be seen.
    async fn everything(&self) -> BTreeMap<String, u64> {
        let db = &self.flow.world.db;
        let mut counts = BTreeMap::new();
        for name in db.list_collection_names().await.unwrap() {
            let of = db.collection::<bson::Document>(&name).count_documents(bson::doc! {}).await.unwrap();
            counts.insert(name, of);
        }
        counts
    }
}

fn real() -> Option<Sample> {
    Some(Sample::Real { customer: "cus_1".into(), subscription: "sub_1".into() })
}

#[tokio::test]
async fn a_preview_is_the_page_a_visit_shows_to_the_letter_and_leaves_no_trace() {
    let v = Viewing::new().await;
    let visit = v.flow.start().await;
    let page = v.flow.flows.page(&visit).await.unwrap();
    let served = content_svc::render::screen(&visit.body, page.as_ref(), "");
    v.flow.biller.take();
    let before = v.everything().await;
    let shown = v.look(What::template(&v.flow.pages.ask, 1, false), Look::default(), real()).await.unwrap();
    let mut seen = shown.screen.clone();
    seen.node.clone_from(&served.node);
    assert_eq!(seen, served, "the same words in the same places");
    assert!(shown.html.contains("Why do you leave?") && shown.html.contains("data-cancel-now"));
    assert_eq!((shown.warnings.iter().count(), shown.hidden.len()), (0, 0));

    let look = Look { offer_id: Some("off_good".into()), ..Look::default() };
    let offer = v.look(What::template(&v.flow.pages.cheaper, 0, false), look, real()).await.unwrap();
    assert!(
        offer.html.contains("20 % less") && offer.html.contains("20 % off for 3 months"),
        "{}",
        offer.html
    );
    assert_eq!(v.flow.biller.take(), Vec::<String>::new(), "no offer was presented");
    assert_eq!(v.everything().await, before);
}

#[tokio::test]
async fn a_draft_is_seen_as_it_would_be_published_and_with_drafts_as_it_stands() {
    let v = Viewing::new().await;
    let (world, pages) = (&v.flow.world, &v.flow.pages);
    let cards = &world.rooms.cards.objects;
    let mut content = survey_card(&pages.questionnaire);
    content.elements.insert(0, heading("New words"));
    let read = cards.get(&world.admin, &pages.survey, Which::Working).await.unwrap();
    cards.edit(&world.admin, &pages.survey, read.version, |o| o.edit(content)).await.unwrap();
    let what = |drafts| What::template(&pages.ask, 0, drafts);
    let published = v.look(what(false), Look::default(), None).await.unwrap();
    assert!(!published.html.contains("New words"), "publishing the page would take up the published card");
    let drafts = v.look(what(true), Look::default(), None).await.unwrap();
    assert!(drafts.html.contains("New words"));
    let version = v.look(What::template(&pages.ask, 1, true), Look::default(), None).await.unwrap();
    assert!(!version.html.contains("New words"), "a version is what it is");

    // A card that was never published is shown all the same, and said.
    let head = content_svc::cards::CardHead { access: content_svc::cards::CardAccess::Company, tags: vec![] };
    let fresh = card(CardKind::Value, vec![heading("Fresh")]);
    let fresh = cards.create(&world.admin, "Fresh".into(), head, fresh).await.unwrap();
    let templates = &world.rooms.templates.objects;
    let page = templates.get(&world.admin, &pages.ask, Which::Working).await.unwrap();
    let mut content = page.content.clone().unwrap();
    content.places[0].card_ids.push(fresh.id.clone());
    templates.edit(&world.admin, &page.id, page.version, |o| o.edit(content)).await.unwrap();
    let shown = v.look(what(false), Look::default(), None).await.unwrap();
    assert!(shown.html.contains("Fresh") && shown.warnings.has("card_not_published"));
    let one = v.look(What::card(&fresh.id, 0, false), Look::default(), None).await.unwrap();
    assert!(one.html.contains("Fresh") && !one.html.contains("Why do you leave?"));
    assert_eq!(one.screen.places[0].cards[0].id, fresh.id);
}

#[tokio::test]
async fn what_a_page_shows_follows_the_customer_the_answers_and_the_region() {
    let v = Viewing::new().await;
    let (world, pages) = (&v.flow.world, &v.flow.pages);
    let months = Variable {
        key: "months".into(),
        attribute: "tenure_months".into(),
        format: Format::Number,
        fallback: text("Many"),
    };
    let words = element(Props::Heading { text: text("{{months}} months together"), level: 2 });
    let mut content = card(CardKind::Value, vec![words]);
    content.variables = vec![months];
    content.persona_ids = vec!["per_old".into()];
    let made = world.card(content).await;
    let known = |personas: &[&str]| Known {
        personas: personas.iter().map(|p| (*p).to_owned()).collect(),
        facts: BTreeMap::from([("tenure_months".to_owned(), Value::Number(34.0))]),
        ..Known::default()
    };
    let sample = |known| Some(Sample::MadeUp { known: Box::new(known), withheld: Default::default() });
    let what = || What::card(&made.id, 0, false);
    let seen = v.look(what(), Look::default(), sample(known(&["per_old"]))).await.unwrap();
    assert!(seen.html.contains("34 months together"), "{}", seen.html);
    let hidden = v.look(what(), Look::default(), sample(known(&[]))).await.unwrap();
    assert_eq!(hidden.hidden, std::slice::from_ref(&made.id), "who is not in the persona does not see it");

    let offer = |region: &str| Look {
        region: region.into(),
        offer_id: Some("off_good".into()),
        locale: "de-AT".into(),
        ..Look::default()
    };
    let what = || What::template(&pages.cheaper, 0, false);
    let austria = v.look(what(), offer("AT"), None).await.unwrap();
    assert_eq!(austria.rule.rows, ["EU"]);
    assert!(
        austria.html.contains("name=\"consent\"") && austria.html.contains("Ich stimme"),
        "{}",
        austria.html
    );
    let texas = v.look(what(), offer("US-TX"), None).await.unwrap();
    assert!(!texas.html.contains("name=\"consent\""));
    let none = v.look(what(), Look::default(), None).await.unwrap();
    assert!(none.warnings.has("no_offer_on_the_table") && none.hidden.len() == 1);

    let answers = vec![("reason".to_owned(), Answer::Choices(vec!["nothing".into()]))];
    let what = What::template(&pages.ask, 0, false);
    let admin = &world.admin;
    let wrong = v.viewer.preview(admin, &what, &Look::default(), None, |_| Ok(answers)).await;
    assert_eq!(wrong.unwrap_err().code().1, "invalid_request");
}

#[tokio::test]
async fn a_link_is_readable_by_whoever_holds_it_until_it_is_over() {
    let v = Viewing::new().await;
    let (admin, ask) = (&v.flow.world.admin, v.flow.pages.ask.clone());
    let what = What::template(&ask, 0, false);
    let share = |days| v.viewer.share(admin, &what, Look::default(), None, days, |_| Ok(Vec::new()));
    let (link, token) = share(0).await.unwrap();
    let kept = v.flow.world.db.collection::<bson::Document>("share_links");
    let kept = kept.find_one(bson::doc! { "_id": &link.id }).await.unwrap().unwrap();
    assert!(!kept.to_string().contains(&token), "the token is nowhere kept");
    let Shared::Page(page) = v.viewer.shared(&token).await.unwrap() else { panic!("the link leads nowhere") };
    assert!(page.html.contains("Why do you leave?"));
    assert!(matches!(v.viewer.shared("something else").await.unwrap(), Shared::Unknown));

    let others = person(Role::RetAdmin, "com_2", Mode::Live);
    assert_eq!(v.viewer.revoke(&others, &link.id).await.unwrap_err().code().0.http(), 404);
    assert!(v.viewer.links(&others, None, &kit::PageRequest::new(10, "")).await.unwrap().items.is_empty());
    assert!(matches!(v.viewer.shared(&token).await.unwrap(), Shared::Page(_)));
    let revoked = v.viewer.revoke(admin, &link.id).await.unwrap();
    let again = v.viewer.revoke(admin, &link.id).await.unwrap();
    assert_eq!(again.body.revoked_at, revoked.body.revoked_at, "twice is once");
    assert!(matches!(v.viewer.shared(&token).await.unwrap(), Shared::Over));

    let (_, token) = share(2).await.unwrap();
    v.flow.world.clock.advance(jiff::SignedDuration::from_hours(47));
    assert!(matches!(v.viewer.shared(&token).await.unwrap(), Shared::Page(_)));
    v.flow.world.clock.advance(jiff::SignedDuration::from_hours(1));
    assert!(matches!(v.viewer.shared(&token).await.unwrap(), Shared::Over));
    assert_eq!(
        v.viewer.links(admin, Some(&ask), &kit::PageRequest::new(10, "")).await.unwrap().items.len(),
        2
    );
}

#[tokio::test]
async fn nobody_looks_at_anothers_pages_and_no_real_customer_is_shared() {
    let v = Viewing::new().await;
    let what = What::template(&v.flow.pages.ask, 0, false);
    for other in [person(Role::RetAdmin, "com_2", Mode::Live), person(Role::RetAdmin, "com_1", Mode::Test)] {
        let seen = v.viewer.preview(&other, &what, &Look::default(), None, |_| Ok(Vec::new())).await;
        assert_eq!(seen.unwrap_err().code().1, "not_found");
        let seen = v.viewer.share(&other, &what, Look::default(), None, 1, |_| Ok(Vec::new())).await;
        assert_eq!(seen.unwrap_err().code().1, "not_found");
    }
    let admin = &v.flow.world.admin;
    let shared = v.viewer.share(admin, &what, Look::default(), real(), 1, |_| Ok(Vec::new())).await;
    assert_eq!(shared.unwrap_err().code().1, "only_samples_are_shared");
}

#[tokio::test]
async fn a_row_a_company_made_stricter_holds_in_its_previews() {
    let v = Viewing::new().await;
    let strict = Requirements {
        persistent_cancel: true,
        max_screens: 3,
        max_offers: 1,
        consent: true,
        reminder_mails: true,
        plain_terms: true,
        evidence_days: 4000,
    };
    v.flow.rules.tighten(&v.flow.world.admin, "US", strict).await.unwrap();
    let look = Look { offer_id: Some("off_good".into()), region: "US-TX".into(), ..Look::default() };
    let shown = v.look(What::template(&v.flow.pages.cheaper, 0, false), look, None).await.unwrap();
    assert!(shown.html.contains("name=\"consent\"") && shown.rule.requirements == strict);
}
