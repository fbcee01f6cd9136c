//! The wish of somebody who could not show who they are: recorded with its time, and left to people.

use kit::{Caller, Scope};
use store::Stored;

use super::model::State;
use super::ops::FlowSessions;
use super::tell::changed;
use crate::engine::Decision;
use crate::error::Error;

impl FlowSessions {
    /// Records the wish of a customer as a visit that ended with it; `key` names the occasion, and twice is once. Nothing
    /// is changed at the biller: people ask before they act. A biller that does not answer stops nothing.
    pub async fn wish_by_hand(&self, scope: &Scope, customer: &str, key: &str) -> Result<(), Error> {
        if self.store.started_by(scope, key).await?.is_some() {
            return Ok(());
        }
        let caller = Caller::internal("content-svc", Some(scope.clone()));
        let visitor = self.billing.visitor(&caller, customer, "").await.unwrap_or_default();
        let (id, locale) = (kit::id::new("fls"), visitor.locale.clone());
        let subscription = visitor.subscription_id;
        let mut session = self.welcome(scope, customer.to_owned(), subscription, locale, "").await?;
        let now = self.clock.now();
        let read = Stored {
            id: id.clone(),
            scope: scope.clone(),
            version: 0,
            created_at: now,
            updated_at: now,
            body: session.clone(),
        };
        session.starts.push(key.to_owned());
        // No page of it was shown.
        session.flow = None;
        session.unverified = true;
        let said = "whoever said to cancel could not show who they are: people ask before they act";
        session.note(now, Decision::new("", "unverified", said));
        session.note(now, Decision::new("", "wished", "the customer said to cancel"));
        session.wish(now);
        session.end(State::Manual, now);
        let event = changed(&read, &session, "manual_requested", now);
        match self.store.insert(scope, id.clone(), session, vec![event]).await {
            // The same occasion, at the same time.
            Err(store::Error::Duplicate(_)) => Ok(()),
            other => {
                other?;
                tracing::info!(flow_session.id = %id, "flow session {id} is a wish that people carry out");
                Ok(())
            }
        }
    }
}
