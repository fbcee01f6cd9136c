//! The receipts of all services, as they are told.

use async_trait::async_trait;
use bus::{Handler, Incoming, Outcome};
use personal::{Done, Held, How, Part};
use prost::Message as _;
use proto::events::event::Data;
use proto::events::{Event, PrivacyDone, PrivacyHold, PrivacyReceipt};

use super::model::Receipt;
use super::ops::PrivacyRequests;

/// The name its consumer goes by at the bus, beside the one that does billing's own part.
pub const NAME: &str = "billing-svc-privacy";

/// Collects receipts.
pub struct Ears(pub PrivacyRequests);

#[async_trait]
impl Handler for Ears {
    async fn handle(&self, batch: &[Incoming]) -> Vec<Outcome> {
        let mut outcomes = Vec::with_capacity(batch.len());
        for incoming in batch {
            outcomes.push(match Event::decode(incoming.body.as_ref()) {
                Err(e) => Outcome::Dead(format!("the event cannot be read: {e}")),
                Ok(event) => self.hear(incoming, event).await,
            });
        }
        outcomes
    }
}

impl Ears {
    async fn hear(&self, incoming: &Incoming, event: Event) -> Outcome {
        let Some(Data::PrivacyReceipt(told)) = event.data else { return Outcome::Done };
        let Some(order) = personal::Kind::parse(&told.kind) else {
            return Outcome::Dead(format!("nobody asked for {}", told.kind));
        };
        let PrivacyReceipt { request_id, service, kind: _, done, held } = told;
        let part = Part {
            done: done.into_iter().filter_map(done_from).collect(),
            held: held.into_iter().filter_map(held_from).collect(),
        };
        let receipt = Receipt { answered_at: incoming.occurred_at, sequence: event.sequence, part };
        let answered = self.0.answered(&incoming.scope, &request_id, (&service, order), receipt).await;
        match answered {
            Ok(()) => Outcome::Done,
            Err(e) => Outcome::Retry(format!("{:#}", anyhow::Error::from(e))),
        }
    }
}

fn done_from(done: PrivacyDone) -> Option<Done> {
    let all = [How::Found, How::Removed, How::Emptied, How::Kept, How::Restricted, How::Lifted];
    let how = all.into_iter().find(|h| h.as_str() == done.how)?;
    Some(Done { why: done.why, ..Done::new(done.what, how, done.count) })
}

fn held_from(held: PrivacyHold) -> Option<Held> {
    let PrivacyHold { what, count, why, until } = held;
    let until = kit::time::from_proto(&until?)?;
    Some(Held { what, count: i64::try_from(count).unwrap_or(i64::MAX), why, until })
}
