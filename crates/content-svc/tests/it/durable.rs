//! Whether a subscription holds after a visit: by the biller's word after 30, 60 and 90 days, and by its events at once.

use bus::{Handler, Incoming, Outcome};
use content_svc::flow_session::{Durability, Promise, State, Turns};
use jiff::SignedDuration;
use kit::Scope;
use prost::Message as _;
use proto::events::event::Data;
use proto::events::{Event, SubscriptionChanged};

use crate::flow::Flow;

async fn saved(flow: &Flow) -> String {
    let visit = flow.start().await;
    flow.because(&visit.id, "price").await;
    flow.flows.accept(flow.scope(), &visit.id, "off_good", false).await.unwrap();
    visit.id
}

async fn held(flow: &Flow, id: &str) -> Option<Durability> {
    flow.flows.get(flow.scope(), id).await.unwrap().body.durable.map(|d| d.state)
}

async fn days(flow: &Flow, days: i64) {
    flow.world.clock.advance(SignedDuration::from_hours(24 * days));
    use kit::clock::Clock as _;
    flow.flows.check_durability(flow.world.clock.now()).await.unwrap();
}

fn turned(flow: &Flow, scope: &Scope, state: &str) -> Incoming {
    use kit::clock::Clock as _;
    let data = SubscriptionChanged {
        subscription_id: "sub_1".into(),
        state: state.into(),
        ..SubscriptionChanged::default()
    };
    let event = Event { data: Some(Data::SubscriptionChanged(data)), ..Event::default() };
    Incoming {
        id: "evt_1".into(),
        kind: "subscription.changed".into(),
        scope: scope.clone(),
        subject: "sub_1".into(),
        occurred_at: flow.world.clock.now(),
        body: event.encode_to_vec().into(),
        deliveries: 1,
        traceparent: None,
    }
}

#[tokio::test]
async fn a_subscription_that_stays_passes_30_60_and_90_days() {
    let flow = Flow::new().await;
    let id = saved(&flow).await;
    assert_eq!(held(&flow, &id).await, Some(Durability::Pending));
    for (after, state) in [
        (29, Durability::Pending),
        (2, Durability::Held30),
        (30, Durability::Held60),
        (30, Durability::Held90),
        (300, Durability::Held90),
    ] {
        days(&flow, after).await;
        assert_eq!(held(&flow, &id).await, Some(state));
    }
    let read = flow.flows.get(flow.scope(), &id).await.unwrap();
    days(&flow, 1).await;
    assert_eq!(
        flow.flows.get(flow.scope(), &id).await.unwrap().version,
        read.version,
        "it is looked at no more"
    );
    assert_eq!(flow.told(&id).await.len(), 4, "looking tells nobody anything");
}

#[tokio::test]
async fn a_promise_counts_when_it_is_kept_and_never_when_it_is_not() {
    let flow = Flow::new().await;
    let id = saved(&flow).await;
    *flow.biller.promise.lock().unwrap() = Some(Promise::Open);
    days(&flow, 40).await;
    assert_eq!(held(&flow, &id).await, Some(Durability::Pending), "the company has yet to keep its word");
    *flow.biller.promise.lock().unwrap() = Some(Promise::Kept);
    days(&flow, 1).await;
    assert_eq!(held(&flow, &id).await, Some(Durability::Held30));

    let flow = Flow::new().await;
    let id = saved(&flow).await;
    *flow.biller.promise.lock().unwrap() = Some(Promise::Broken);
    days(&flow, 31).await;
    days(&flow, 60).await;
    assert_eq!(held(&flow, &id).await, Some(Durability::Pending), "nothing was kept that could hold");
    Turns(flow.store.clone()).handle(&[turned(&flow, flow.scope(), "ended")]).await;
    assert_eq!(held(&flow, &id).await, Some(Durability::Lost));
}

#[tokio::test]
async fn one_that_is_on_its_way_out_is_lost_at_the_next_look_and_by_its_event_at_once() {
    let flow = Flow::new().await;
    let id = saved(&flow).await;
    *flow.biller.state.lock().unwrap() = "non_renewing".into();
    days(&flow, 31).await;
    assert_eq!(held(&flow, &id).await, Some(Durability::Lost));

    let flow = Flow::new().await;
    let id = saved(&flow).await;
    days(&flow, 31).await;
    let turns = Turns(flow.store.clone());
    for (scope, state) in [(Scope::new("com_2", kit::Mode::Live), "ended"), (flow.scope().clone(), "paused")]
    {
        assert_eq!(turns.handle(&[turned(&flow, &scope, state)]).await, [Outcome::Done]);
        assert_eq!(held(&flow, &id).await, Some(Durability::Held30), "another company's, or no loss");
    }
    for _ in 0..2 {
        let told = turned(&flow, flow.scope(), "non_renewing");
        assert_eq!(turns.handle(&[told]).await, [Outcome::Done]);
        assert_eq!(held(&flow, &id).await, Some(Durability::Lost));
    }
    days(&flow, 60).await;
    assert_eq!(held(&flow, &id).await, Some(Durability::Lost), "lost is lost");
}

#[tokio::test]
async fn news_from_before_the_end_lose_nothing_and_silence_is_asked_again() {
    let flow = Flow::new().await;
    let before = turned(&flow, flow.scope(), "non_renewing");
    flow.world.clock.advance(SignedDuration::from_mins(5));
    let id = saved(&flow).await;
    Turns(flow.store.clone()).handle(&[before]).await;
    assert_eq!(held(&flow, &id).await, Some(Durability::Pending));
    *flow.biller.down.lock().unwrap() = true;
    days(&flow, 31).await;
    assert_eq!(held(&flow, &id).await, Some(Durability::Pending));
    *flow.biller.down.lock().unwrap() = false;
    days(&flow, 1).await;
    assert_eq!(held(&flow, &id).await, Some(Durability::Held30));
}

#[tokio::test]
async fn who_cancels_is_lost_at_once_and_who_comes_back_begins_anew() {
    let flow = Flow::new().await;
    let visit = flow.start().await;
    let closed = flow.flows.close(flow.scope(), &visit.id).await.unwrap();
    assert_eq!((closed.body.state, held(&flow, &visit.id).await), (State::Bounced, None));
    flow.because(&visit.id, "price").await;
    flow.flows.close(flow.scope(), &visit.id).await.unwrap();
    assert_eq!(held(&flow, &visit.id).await, Some(Durability::Pending), "a deflection may hold, too");
    flow.flows.cancel(flow.scope(), &visit.id).await.unwrap();
    assert_eq!(held(&flow, &visit.id).await, Some(Durability::Lost));
}
