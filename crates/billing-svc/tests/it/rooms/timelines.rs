//! Timelines: each event once, in the order in which things happened, through merges, and gone with an erasure.

use billing_svc::customers::Said;
use billing_svc::timeline::{Ears, Kind};
use bus::{Handler, Incoming, Outcome};
use kit::{PageRequest, Timestamp};
use prost::Message as _;
use proto::events::event::Data;
use proto::events::{CustomerErased, CustomerTagged, Event, FlowSessionChanged, UsageUploadCompleted};

use super::world::World;

fn heard(w: &World, id: &str, kind: &str, at: &str, sequence: i64, data: Data) -> Incoming {
    let occurred_at: Timestamp = at.parse().unwrap();
    let event = Event { id: id.into(), sequence, data: Some(data), ..Event::default() };
    Incoming {
        id: id.into(),
        kind: kind.into(),
        scope: w.scope.clone(),
        subject: String::new(),
        occurred_at,
        body: event.encode_to_vec().into(),
        deliveries: 1,
        traceparent: None,
    }
}

fn flow(customer: &str, state: &str) -> Data {
    Data::FlowSessionChanged(FlowSessionChanged {
        customer_id: customer.into(),
        state: state.into(),
        reason: "too_expensive".into(),
        ..Default::default()
    })
}

async fn shown(w: &World, customer: &str, kinds: &[Kind]) -> Vec<String> {
    let (mut all, mut cursor) = (Vec::new(), String::new());
    loop {
        let page =
            w.rooms.timeline.of(&w.scope, customer, kinds, &PageRequest::new(2, cursor)).await.unwrap();
        all.extend(page.items.into_iter().map(|e| e.body.r#type));
        match page.next_cursor {
            Some(next) => cursor = next,
            None => return all,
        }
    }
}

#[tokio::test]
async fn events_of_all_services_stand_once_and_in_their_order_whatever_order_they_come_in() {
    let w = World::start().await;
    let made = |id: &str| Said { external_id: id.into(), ..Said::default() };
    let ada = w.rooms.customers.upsert(&w.caller, &made("ada")).await.unwrap();
    let bob = w.rooms.customers.upsert(&w.caller, &made("bob")).await.unwrap();
    let tags = CustomerTagged { customer_id: ada.id.clone(), added: vec!["vip".into()], removed: vec![] };
    let usage =
        UsageUploadCompleted { customer_ids: vec![ada.id.clone(), bob.id.clone()], ..Default::default() };
    let saved = heard(&w, "evt_3", "flow.session.saved", "2026-03-01T10:00:00Z", 7, flow(&ada.id, "saved"));
    let batch = [
        saved.clone(),
        heard(&w, "evt_4", "customer.tagged", "2026-03-02T10:00:00Z", 2, Data::CustomerTagged(tags)),
        heard(&w, "evt_2", "flow.session.started", "2026-03-01T10:00:00Z", 1, flow(&ada.id, "active")),
        heard(
            &w,
            "evt_1",
            "usage.upload.applied",
            "2026-02-01T00:00:00Z",
            1,
            Data::UsageUploadCompleted(usage),
        ),
        heard(&w, "evt_5", "flow.session.canceled", "2026-03-05T10:00:00Z", 3, flow(&bob.id, "canceled")),
        saved,
    ];
    let ears = Ears::shared(w.rooms.timeline.clone());
    for _ in 0..2 {
        assert!(ears.handle(&batch).await.iter().all(|o| *o == Outcome::Done));
    }
    let own = ["customer.tagged", "flow.session.saved", "flow.session.started", "usage.upload.applied"];
    assert_eq!(shown(&w, &ada.id, &[]).await, own);
    assert_eq!(shown(&w, &ada.id, &[Kind::Tag, Kind::Upload]).await, [own[0], own[3]]);

    let pair = billing_svc::customer_merge::Pair {
        survivor: (ada.id.clone(), ada.version),
        absorbed: (bob.id.clone(), bob.version),
    };
    let merged = w.rooms.merges.merge(&w.caller, &pair).await.unwrap();
    assert_eq!(shown(&w, &bob.id, &[]).await.len(), 6, "both, by either id");
    w.rooms.merges.undo(&w.caller, &merged.merge.id).await.unwrap();
    assert_eq!(shown(&w, &ada.id, &[]).await, own, "each its own again");
    assert_eq!(shown(&w, &bob.id, &[]).await, ["flow.session.canceled", "usage.upload.applied"]);

    let gone = Data::CustomerErased(CustomerErased { customer_id: ada.id.clone() });
    let erased = heard(&w, "evt_6", "customer.erased", "2026-04-01T00:00:00Z", 9, gone);
    assert_eq!(ears.handle(&[erased]).await, [Outcome::Done]);
    assert_eq!(shown(&w, &ada.id, &[]).await.len(), 0);
    assert_eq!(shown(&w, &bob.id, &[]).await.len(), 2);
}
