//! Offers: their states, what may be activated, who may have them.

use billing_svc::offer::{Audience, Draft, Limits, State, Terms, Wanted};
use billing_svc::providers::Interval;
use kit::{Caller, Mode, PageRequest, Scope};

use super::world::{World, draft, eur, percent};

fn switch(price_id: &str, minor: i64) -> Terms {
    Terms::PlanSwitch {
        plan: "dsl".into(),
        price_id: price_id.into(),
        price: eur(minor),
        interval: Interval::Month,
        interval_count: 1,
    }
}

#[tokio::test]
async fn states_go_their_way_and_no_other() {
    let w = World::start().await;
    let offers = &w.rooms.offers;
    let offer = offers.create(&w.caller, draft(percent(20, 3))).await.unwrap();
    assert_eq!(offer.body.state, State::Draft);
    let early = offers.set_state(&w.caller, &offer.id, State::Paused).await.unwrap_err();
    assert_eq!(early.slug(), "wrong_state");
    for state in [State::Active, State::Paused, State::Active, State::Archived, State::Archived] {
        assert_eq!(offers.set_state(&w.caller, &offer.id, state).await.unwrap().body.state, state);
    }
    let gone = offers.set_state(&w.caller, &offer.id, State::Active).await.unwrap_err();
    assert_eq!(gone.slug(), "wrong_state");
    let stale = offers.update(&w.caller, &offer.id, 1, |_| Ok(draft(percent(1, 1)))).await.unwrap_err();
    assert_eq!(stale.slug(), "stale_version");
    assert_eq!(w.told_times("offers", "audit.recorded").await, 5);
}

#[tokio::test]
async fn what_the_provider_does_not_sell_is_not_activated() {
    let w = World::start().await;
    let activate = async |terms: Terms| {
        let offer = w.rooms.offers.create(&w.caller, draft(terms)).await.unwrap();
        w.rooms
            .offers
            .set_state(&w.caller, &offer.id, State::Active)
            .await
            .map_err(|e| kit::Coded::fields(&e))
    };
    assert!(activate(switch("dsl_month", 1_500)).await.is_ok());
    assert_eq!(activate(switch("no_such", 1_500)).await.unwrap_err()[0].code, "unknown_price");
    assert_eq!(activate(switch("dsl_month", 900)).await.unwrap_err()[0].code, "price_differs");
    let other = Caller { scope: Some(Scope::new("com_2", Mode::Live)), ..w.caller.clone() };
    let offer = w.rooms.offers.create(&other, draft(percent(20, 3))).await.unwrap();
    let unconnected = w.rooms.offers.set_state(&other, &offer.id, State::Active).await.unwrap_err();
    assert_eq!(unconnected.slug(), "not_connected");
}

#[tokio::test]
async fn a_flow_learns_of_every_offer_whether_and_why_not() {
    let w = World::start().await;
    let s = w.subscriber("ada").await;
    let good = w.offer(draft(percent(20, 3))).await;
    let deep = w.offer(draft(percent(60, 3))).await;
    let pause = w.offer(draft(Terms::Pause { months: 1 })).await;
    let audience = Audience { persona_ids: vec!["per_1".into()], ..Audience::default() };
    let personal = w.offer(Draft { audience, ..draft(percent(10, 1)) }).await;
    let ids = [&personal.id, &deep.id, &pause.id, &good.id].map(Clone::clone);
    let ids = ids.into_iter().chain(["off_0".to_owned()]).collect();
    let wanted = Wanted { max_discount_percent: 50, kinds: vec!["discount".into()] };
    let seen = w.rooms.offers.eligible(&w.scope, ids, &s.id, &[], &wanted).await.unwrap();
    let codes: Vec<Vec<_>> = seen.iter().map(|o| o.reasons.iter().map(|r| r.code).collect()).collect();
    assert_eq!(
        codes,
        [
            vec!["persona_not_met"],
            vec!["above_max_discount"],
            vec!["kind_not_allowed"],
            vec![],
            vec!["offer_missing"],
        ]
    );
    let all = w.rooms.offers.eligible(&w.scope, vec![], &s.id, &["per_1".into()], &Wanted::default()).await;
    assert!(all.unwrap().iter().all(|o| o.reasons.is_empty()));
}

#[tokio::test]
async fn invariant_4_another_company_and_mode_find_nothing() {
    let w = World::start().await;
    let s = w.subscriber("ada").await;
    let offer = w.offer(Draft { limits: Limits::default(), ..draft(percent(20, 3)) }).await;
    let shown = w.present(&offer, &s).await;
    for scope in [Scope::new("com_2", Mode::Live), Scope::new("com_1", Mode::Test)] {
        let stranger = Caller { scope: Some(scope.clone()), ..w.caller.clone() };
        let missing = [
            w.rooms.offers.get(&scope, &offer.id).await.err(),
            w.rooms.subscriptions.get(&scope, &s.id).await.err(),
            w.rooms.customers.get(&scope, &s.body.customer_id).await.err(),
            w.rooms.redemptions.get(&scope, &shown.id).await.err(),
            w.rooms.redemptions.claim(&stranger, &shown.id, &shown.body.terms_hash).await.err(),
            w.rooms.redemptions.reverse(&stranger, &shown.id, "mine").await.err(),
            w.rooms.offers.set_state(&stranger, &offer.id, State::Paused).await.err(),
        ];
        for error in missing {
            assert_eq!(error.unwrap().slug(), "not_found");
        }
        let page = PageRequest::new(0, "");
        assert!(w.rooms.offers.list(&stranger, &Default::default(), &page).await.unwrap().0.items.is_empty());
    }
    assert_eq!(w.faults.asked(), []);
}
