//! The overview, from events to figures.

use analytics_svc::analytics::Query;
use kit::{Clock, Currency};
use proto::events::event::Data;
use proto::events::{FlowSessionChanged, RedemptionChanged};

use crate::world::World;

impl World {
    fn session(&self, n: usize, sequence: i64, state: &str) -> bus::Incoming {
        let data = FlowSessionChanged {
            flow_session_id: format!("fls_{n}"),
            customer_id: format!("cus_{n:05}"),
            subscription_id: format!("sub_{n:05}"),
            state: state.into(),
            reason_category: if n.is_multiple_of(2) { "price".into() } else { "service".into() },
            offers_presented: vec!["off_1".into()],
            mrr: Some(proto::common::Money { minor: 7_000, currency: "USD".into() }),
            started_at: Some(kit::time::to_proto(self.clock.now())),
            ..Default::default()
        };
        self.incoming(
            &format!("flow.session.{state}"),
            &format!("fls_{n}"),
            sequence,
            Data::FlowSessionChanged(data),
        )
    }

    fn redemption(&self, n: usize, sequence: i64, state: &str) -> bus::Incoming {
        let data = RedemptionChanged {
            redemption_id: format!("red_{n}"),
            offer_id: "off_1".into(),
            offer_name: "A third off".into(),
            kind: "discount".into(),
            flow_session_id: format!("fls_{n}"),
            state: state.into(),
            ..Default::default()
        };
        self.incoming(
            &format!("redemption.{state}"),
            &format!("red_{n}"),
            sequence,
            Data::RedemptionChanged(data),
        )
    }

    async fn overview(&self) -> analytics_svc::analytics::Overview {
        let query = Query {
            from: kit::time::add_days(self.clock.now(), -365),
            to: kit::time::add_days(self.clock.now(), 1),
            include_holdout: false,
            persona: None,
            reason_category: None,
            offer: None,
        };
        self.rooms.overviews.overview(&self.scope, &query).await.unwrap()
    }
}

#[tokio::test]
async fn the_overview_follows_the_events() {
    let world = World::new().await;
    for n in 0..30 {
        let saved = n < 20;
        let end = if saved { "saved" } else { "canceled" };
        // The end before the beginning: events come in any order.
        let events = [
            world.session(n, 2, end),
            world.session(n, 1, "active"),
            world.redemption(n, 1, "presented"),
            world.redemption(n, 2, if saved { "verified" } else { "declined" }),
        ];
        world.tell(&events).await;
        if !saved {
            world.tell(&[world.subscription(n, 5, "non_renewing", 3)]).await;
        }
    }
    world.tell(&[world.session(99, 1, "bounced")]).await;
    let all = world.overview().await;
    assert_eq!((all.sessions, all.saved, all.canceled), (30, 20, 10));
    assert_eq!(all.accepted_save.percent(), Some(66.7));
    assert_eq!((all.acceptance.count, all.acceptance.of), (20, 30));
    assert_eq!(all.offers["off_1"].0, "A third off");
    assert_eq!(all.kept[&Currency::parse("USD").unwrap()], 140_000);
    assert_eq!(all.reasons["price"].0, 15);
    assert_eq!(all.durable[0].of, 0, "nothing is 30 days old");
    // A saved customer leaves after all, twenty days later.
    world.clock.advance(jiff::SignedDuration::from_hours(24 * 20));
    world.tell(&[world.subscription(0, 6, "ended", 3)]).await;
    world.clock.advance(jiff::SignedDuration::from_hours(24 * 11));
    let all = world.overview().await;
    assert_eq!((all.durable[0].count, all.durable[0].of, all.durable[1].of), (19, 30, 0));
    assert_eq!(all.accepted_save.count, 20, "what was accepted stays accepted");
    // Hearing everything once more changes no figure.
    world.tell(&[world.session(0, 1, "active"), world.redemption(0, 1, "presented")]).await;
    assert_eq!(world.overview().await, all);
}
