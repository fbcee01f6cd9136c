//! Customers that were merged, or parted again, as billing tells.

use async_trait::async_trait;
use bus::{Handler, Incoming, Outcome};

use super::store::FlowStore;
use crate::events::merge_told;

/// Follows merges with the visits.
pub struct Listener(pub FlowStore);

#[async_trait]
impl Handler for Listener {
    async fn handle(&self, batch: &[Incoming]) -> Vec<Outcome> {
        let mut outcomes = Vec::with_capacity(batch.len());
        for incoming in batch {
            let Some((absorbed, survivor)) = merge_told(incoming) else {
                outcomes.push(Outcome::Done);
                continue;
            };
            let scope = &incoming.scope;
            let followed = match incoming.kind.as_str() {
                "customer.unmerged" => self.0.part(scope, &absorbed, &survivor).await,
                _ => self.0.join(scope, &absorbed, &survivor).await,
            };
            outcomes.push(followed.map_or_else(|e| Outcome::Retry(e.to_string()), |()| Outcome::Done));
        }
        outcomes
    }
}
