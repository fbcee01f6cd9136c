//! Mails that could not be sent, as notify tells.

use async_trait::async_trait;
use bus::{Handler, Incoming, Outcome};

use super::ops::Verifications;
use crate::events::undeliverable;

/// Hears of codes that reached nobody.
pub struct Listener(pub Verifications);

#[async_trait]
impl Handler for Listener {
    async fn handle(&self, batch: &[Incoming]) -> Vec<Outcome> {
        let mut outcomes = Vec::with_capacity(batch.len());
        for incoming in batch {
            let Some(key) = undeliverable(incoming) else {
                outcomes.push(Outcome::Done);
                continue;
            };
            let taken = self.0.undeliverable(&incoming.scope, &key).await;
            outcomes.push(taken.map_or_else(|e| Outcome::Retry(e.to_string()), |()| Outcome::Done));
        }
        outcomes
    }
}
