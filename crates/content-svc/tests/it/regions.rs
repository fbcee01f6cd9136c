//! Region rules on a real database, and in the way a customer takes.

use content_svc::flow_session::State;
use content_svc::region_rule::{Requirements, shipped};
use kit::{Coded, Mode, Role, Scope};

use crate::flow::{Flow, refused};
use crate::world::{person, workflow};
use content_svc::versioned::Which;
use content_svc::workflow::NodeKind;

fn of(region: &str) -> Requirements {
    shipped().iter().find(|r| r.region == region).unwrap().requirements
}

#[tokio::test]
async fn a_company_makes_a_row_stricter_and_never_laxer() {
    let flow = Flow::new().await;
    let (rules, admin) = (&flow.rules, &flow.world.admin);
    let laxer = Requirements { max_offers: 2, consent: false, ..of("DE") };
    let wrong = rules.tighten(admin, "DE", laxer).await.unwrap_err();
    let points: Vec<_> = wrong.fields().into_iter().map(|f| (f.field, f.code)).collect();
    assert_eq!(
        points,
        [
            ("requirements.max_offers".to_owned(), "not_stricter".to_owned()),
            ("requirements.consent".to_owned(), "not_stricter".to_owned())
        ]
    );
    assert_eq!(rules.tighten(admin, "XX", of("DE")).await.unwrap_err().code().1, "not_found");
    let stricter = Requirements { max_screens: 2, ..of("DE") };
    for _ in 0..2 {
        let held = rules.tighten(admin, "DE", stricter).await.unwrap();
        assert_eq!((held.requirements, held.tightened), (stricter, true));
    }
    let tightened = |all: Vec<content_svc::region_rule::Held>| -> Vec<String> {
        all.into_iter().filter(|h| h.tightened).map(|h| h.row.region.clone()).collect()
    };
    assert_eq!(tightened(rules.list(admin).await.unwrap()), ["DE"]);
    let other = person(Role::RetAdmin, "com_2", Mode::Live);
    assert!(tightened(rules.list(&other).await.unwrap()).is_empty(), "another company's rows are its own");
    let test = person(Role::RetAdmin, "com_1", Mode::Test);
    assert!(tightened(rules.list(&test).await.unwrap()).is_empty());
    let back = rules.reset(admin, "DE").await.unwrap();
    assert_eq!((back.requirements, back.tightened), (of("DE"), false));
}

#[tokio::test]
async fn the_rule_is_chosen_when_the_visit_begins_and_kept_with_it() {
    let flow = Flow::new().await;
    *flow.biller.country.lock().unwrap() = "de".into();
    let visit = flow.start().await;
    let rule = visit.body.rule.clone().unwrap();
    assert_eq!(
        (rule.rows.as_slice(), rule.regions[0].as_str()),
        (["EU".to_owned(), "DE".to_owned()].as_slice(), "DE")
    );
    flow.rules.tighten(&flow.world.admin, "DE", Requirements { max_screens: 1, ..of("DE") }).await.unwrap();
    let later = flow.because(&visit.id, "price").await;
    assert_eq!(later.body.rule.unwrap(), rule, "a visit under way keeps its rule");

    // The company says more than the biller knows, or something else.
    let caller = person(Role::Machine, "com_1", Mode::Live);
    let started = async |subscription: &str, country: &str, stated: &str| {
        *flow.biller.country.lock().unwrap() = country.into();
        let issued =
            flow.flows.issue(&caller, "cus_1", subscription, "en".into(), stated.into()).await.unwrap();
        flow.flows.start(&issued.0, "").await.unwrap().body.rule.unwrap()
    };
    assert_eq!(started("sub_2", "US", "US-NY").await.rows, ["US", "US-NY"]);
    let doubtful = started("sub_3", "US-TX", "FR").await;
    assert!(doubtful.requirements.consent && !doubtful.doubt.is_empty(), "{doubtful:?}");
}

#[tokio::test]
async fn an_offer_needs_a_consent_of_its_own_where_the_region_says_so() {
    let flow = Flow::new().await;
    *flow.biller.country.lock().unwrap() = "DE".into();
    let visit = flow.start().await;
    flow.because(&visit.id, "price").await;
    flow.biller.take();
    assert_eq!(
        refused(flow.flows.accept(flow.scope(), &visit.id, "off_good", false).await),
        "consent_required"
    );
    assert_eq!(flow.biller.take(), Vec::<String>::new(), "nothing was claimed");
    let saved = flow.flows.accept(flow.scope(), &visit.id, "off_good", true).await.unwrap();
    assert_eq!(saved.body.state, State::Saved);

    let evidence = flow.flows.evidence(flow.scope(), &visit.id).await.unwrap();
    let pages: Vec<_> =
        evidence.pages.iter().map(|p| (p.node.as_str(), p.page.as_ref().map(|p| p.number))).collect();
    assert_eq!(pages, [("ask", Some(1)), ("cheaper", Some(1)), ("kept", None)]);
    let offer = evidence.pages[1].offer.clone().unwrap();
    assert_eq!((offer.offer_id.as_str(), offer.terms_hash.as_str()), ("off_good", "hash-of-the-terms"));
    assert!(offer.consented_at.is_some());
    let until = kit::time::add_days(saved.body.ended_at.unwrap(), 1095);
    assert_eq!(evidence.keep_until, Some(until));
    let other = Scope::new("com_2", Mode::Live);
    assert_eq!(flow.flows.evidence(&other, &visit.id).await.unwrap_err().code().1, "not_found");
}

#[tokio::test]
async fn terms_a_customer_cannot_read_are_not_offered_where_the_region_says_so() {
    let flow = Flow::new().await;
    *flow.biller.country.lock().unwrap() = "FR".into();
    let caller = person(Role::Machine, "com_1", Mode::Live);
    let issued = flow.flows.issue(&caller, "cus_1", "sub_1", "fr".into(), String::new()).await.unwrap();
    let visit = flow.flows.start(&issued.0, "").await.unwrap();
    let asked = flow.because(&visit.id, "price").await;
    assert!(asked.body.presented.is_empty(), "the terms are there in English only");
    assert!(asked.body.why.iter().any(|n| n.decision.message.contains("terms_not_in_language")));
}

#[tokio::test]
async fn no_more_pages_and_offers_are_shown_than_the_region_allows() {
    let flow = Flow::new().await;
    let (workflows, admin) = (&flow.world.rooms.workflows, &flow.world.admin);
    // Who declines the first offer is offered a second; then another page, and another.
    let mut content = workflow(&flow.pages);
    let declined = |next: &str| NodeKind::Offer {
        offer_ids: vec!["off_good".into(), "off_pause_2_months".into()],
        template_id: flow.pages.cheaper.clone(),
        accepted: "kept".into(),
        declined: next.into(),
        none: next.into(),
    };
    content.nodes[2].kind = declined("second");
    content.nodes.push(crate::world::node("second", declined("again")));
    let page = |next: &str| NodeKind::Step { template_id: flow.pages.ask.clone(), next: next.into() };
    content.nodes.push(crate::world::node("again", page("more")));
    content.nodes.push(crate::world::node("more", page("bye")));
    let read = workflows.objects.get(admin, &flow.workflow, Which::Working).await.unwrap();
    let edited =
        workflows.objects.edit(admin, &flow.workflow, read.version, |o| o.edit(content)).await.unwrap();
    workflows.publish(admin, &flow.workflow, edited.version, String::new()).await.unwrap();

    *flow.biller.country.lock().unwrap() = "DE".into();
    let visit = flow.start().await;
    flow.because(&visit.id, "price").await;
    let declined = flow.flows.decline(flow.scope(), &visit.id, "off_good").await.unwrap();
    assert_eq!(
        (declined.body.node.as_str(), declined.body.presented.len()),
        ("again", 1),
        "one offer is the most"
    );
    assert!(declined.body.why.iter().any(|n| n.decision.code == "region_offer_limit"));
    let last = flow.because(&visit.id, "price").await;
    assert_eq!((last.body.node.as_str(), last.body.state), ("", State::Active), "three pages are the most");
    assert!(last.body.why.iter().any(|n| n.decision.code == "region_screen_limit"));
    let canceled = flow.flows.cancel(flow.scope(), &visit.id).await.unwrap();
    assert_eq!(canceled.body.state, State::Canceled, "the way out is on that page as on every other");
}
