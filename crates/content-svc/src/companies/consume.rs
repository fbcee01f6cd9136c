//! `company.*` of identity.

use async_trait::async_trait;
use bus::{Handler, Incoming, Outcome};

use super::store::Companies;
use crate::events::company_told;

pub struct Listener(pub Companies);

#[async_trait]
impl Handler for Listener {
    async fn handle(&self, batch: &[Incoming]) -> Vec<Outcome> {
        let mut outcomes = Vec::with_capacity(batch.len());
        for incoming in batch {
            outcomes.push(match company_told(incoming) {
                None => Outcome::Dead(String::from("this is no event of a company")),
                Some((status, sequence)) => match self.0.told(&incoming.subject, &status, sequence).await {
                    Ok(()) => Outcome::Done,
                    Err(e) => Outcome::Retry(e.to_string()),
                },
            });
        }
        outcomes
    }
}
