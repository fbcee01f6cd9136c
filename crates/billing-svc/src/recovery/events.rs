//! What recovery hears: of payments and subscriptions, which are billing's own news, and of personas from analytics.
//! Every branch may run twice.

use async_trait::async_trait;
use bus::{Handler, Incoming, Outcome};
use prost::Message as _;
use proto::events as pb;
use proto::events::event::Data;

use super::campaigns::Campaigns;
use super::cases::Cases;
use super::store::Membership;
use crate::error::Result;

/// Hears for recovery.
pub struct Ears {
    pub cases: Cases,
    pub campaigns: Campaigns,
}

impl Ears {
    /// The families of events that recovery consumes.
    pub const FAMILIES: [&'static str; 3] = ["payment", "subscription", "persona"];

    async fn hear(&self, incoming: &Incoming, event: pb::Event) -> Result<()> {
        let scope = &incoming.scope;
        match event.data {
            Some(Data::PaymentChanged(p)) => self.cases.follow(scope, &p.subscription_id).await,
            Some(Data::SubscriptionChanged(s)) if concerns(&s) => {
                self.cases.follow(scope, &s.subscription_id).await
            }
            Some(Data::PersonaMembership(p)) => {
                let member = incoming.kind == "persona.entered";
                let pb::PersonaMembership { persona_id, persona_name: _, customer_id } = p;
                let told = Membership { customer_id, persona_id, member, sequence: event.sequence };
                self.campaigns.told(scope, told).await
            }
            _ => Ok(()),
        }
    }
}

/// Whether it may open or end a case: a first sync tells of thousands that are and were well.
fn concerns(s: &pb::SubscriptionChanged) -> bool {
    [&s.state, &s.previous_state].into_iter().any(|state| matches!(state.as_str(), "past_due" | "unknown"))
}

#[async_trait]
impl Handler for Ears {
    async fn handle(&self, batch: &[Incoming]) -> Vec<Outcome> {
        let mut outcomes = Vec::with_capacity(batch.len());
        for incoming in batch {
            outcomes.push(match pb::Event::decode(incoming.body.as_ref()) {
                Err(e) => Outcome::Dead(format!("the event cannot be read: {e}")),
                Ok(event) => match Box::pin(self.hear(incoming, event)).await {
                    Ok(()) => Outcome::Done,
                    Err(e) => Outcome::Retry(format!("{:#}", anyhow::Error::from(e))),
                },
            });
        }
        outcomes
    }
}
