//! What became of the mails that carried tokens.

use async_trait::async_trait;
use bus::{Handler, Incoming, Outcome};
use prost::Message as _;
use proto::events::event::Data;

use super::ops::Invitations;

/// Hears `notification.failed` of invitation mails.
pub struct Undelivered(pub Invitations);

#[async_trait]
impl Handler for Undelivered {
    async fn handle(&self, batch: &[Incoming]) -> Vec<Outcome> {
        let mut outcomes = Vec::with_capacity(batch.len());
        for incoming in batch {
            outcomes.push(match self.one(incoming).await {
                Ok(()) => Outcome::Done,
                Err(e) => Outcome::Retry(e.to_string()),
            });
        }
        outcomes
    }
}

impl Undelivered {
    async fn one(&self, incoming: &Incoming) -> crate::error::Result<()> {
        let Ok(event) = proto::events::Event::decode(incoming.body.clone()) else { return Ok(()) };
        let Some(Data::NotificationChanged(mail)) = event.data else { return Ok(()) };
        // `invitation/<id>/<how often it was sent>`: the key the mail was asked for with.
        let mut key = mail.dedupe_key.split('/');
        let (Some("invitation"), Some(id), Some(nth)) = (key.next(), key.next(), key.next()) else {
            return Ok(());
        };
        match (incoming.kind.as_str(), nth.parse()) {
            ("notification.failed", Ok(nth)) => self.0.undeliverable(&incoming.scope, id, nth).await,
            _ => Ok(()),
        }
    }
}
