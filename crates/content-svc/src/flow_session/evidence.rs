//! What a customer was shown, when, and by which rule of the region: kept with the visit, as it was decided then. The page
//! and the terms are named by their hashes, and what a hash names never changes.

use kit::{Scope, Timestamp};
use store::Stored;

use super::model::{FlowSession, ShownOffer};
use super::ops::FlowSessions;
use crate::error::Error;
use crate::versioned::Pin;

/// One page, and what stood on it.
#[derive(Clone, Debug, PartialEq)]
pub struct Seen {
    pub at: Timestamp,
    pub node: String,
    /// None for pages of ours.
    pub page: Option<Pin>,
    pub offer: Option<ShownOffer>,
}

/// What can be shown of a visit to whoever asks.
#[derive(Clone, Debug)]
pub struct Evidence {
    pub read: Stored<FlowSession>,
    pub pages: Vec<Seen>,
    /// Until when the region asks for it; none while the visit goes on, and where there was no rule yet.
    pub keep_until: Option<Timestamp>,
}

impl FlowSessions {
    /// What the customer of a visit saw.
    pub async fn evidence(&self, scope: &Scope, id: &str) -> Result<Evidence, Error> {
        let read = self.get(scope, id).await?;
        let frozen = self.frozen(scope, &read.body).await?;
        let pages = read.body.trail.iter().map(|visit| {
            let shown = frozen.as_ref().and_then(|f| {
                let template = f.content.node(&visit.node)?.kind.template_id()?;
                f.pin("template", template).cloned()
            });
            Seen { at: visit.at, node: visit.node.clone(), page: shown, offer: visit.offer.clone() }
        });
        let pages = pages.collect();
        let days = read.body.rule.as_ref().map(|r| i64::from(r.requirements.evidence_days));
        let keep_until = days.zip(read.body.ended_at).map(|(days, ended)| kit::time::add_days(ended, days));
        Ok(Evidence { read, pages, keep_until })
    }
}
