//! Everything one merge, or its undo, writes: one transaction, all or nothing.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use kit::{Outgoing, Scope};
use store::{Stored, Transaction};

use super::model::Merge;
use super::ops::Merges;
use crate::customers::Customer;
use crate::offer::Ledger;
use crate::subscription::Subscription;

/// A record as it was read and as it is to be, with what the others hear of it.
pub struct Change<T> {
    pub read: Stored<T>,
    pub next: T,
    pub events: Vec<Outgoing>,
}

/// Where the merge itself is written.
pub enum Noted {
    New(String),
    Was(Box<Stored<Merge>>),
}

/// What is written.
pub struct Plan {
    pub merges: Merges,
    pub noted: Noted,
    pub merge: Merge,
    pub survivor: Change<Customer>,
    pub absorbed: Change<Customer>,
    pub ledgers: [(Stored<Ledger>, Ledger); 2],
    pub subscriptions: Vec<Change<Subscription>>,
    /// The redemptions that move: from whom, to whom, which.
    pub redemptions: (String, String, Vec<String>),
}

/// The merge and the survivor as they then are.
pub type Done = (Stored<Merge>, Stored<Customer>);

impl Plan {
    pub async fn carry_out(self) -> Result<Done, store::Error> {
        let plan = Arc::new(self);
        let db = plan.merges.customers.store().db().clone();
        store::transaction(&db, async move |tx| plan.clone().run(tx).await).await
    }

    /// Boxed, as the compiler cannot see through an async closure that such a future may move between threads.
    fn run(self: Arc<Self>, tx: &mut Transaction) -> BoxFuture<'_, Result<Done, store::Error>> {
        Box::pin(async move {
            let Merges { store, customers, subscriptions, redemptions, ledgers, .. } = &self.merges;
            let scope: &Scope = &self.survivor.read.scope;
            // The one that gives up names comes first, as no two may have the same: at a merge the absorbed one, at an
            // undo the survivor.
            let undo = matches!(self.noted, Noted::Was(_));
            let (first, second) =
                if undo { (&self.survivor, &self.absorbed) } else { (&self.absorbed, &self.survivor) };
            let customers = customers.store();
            let write = |c: &Change<Customer>| (c.next.clone(), c.events.clone());
            let (next, events) = write(first);
            let one = customers.replace_in(tx, &first.read, next, events).await?;
            let (next, events) = write(second);
            let other = customers.replace_in(tx, &second.read, next, events).await?;
            for (read, next) in &self.ledgers {
                ledgers.replace(tx, read, next.clone()).await?;
            }
            for Change { read, next, events } in &self.subscriptions {
                subscriptions.replace_in(tx, read, next.clone(), events.clone()).await?;
            }
            let (from, to, ids) = &self.redemptions;
            redemptions.move_in(tx, scope, (from, to), ids).await?;
            let merge = match &self.noted {
                Noted::New(id) => store.insert_in(tx, scope, id.clone(), self.merge.clone()).await?,
                Noted::Was(read) => store.replace_in(tx, read, self.merge.clone()).await?,
            };
            Ok((merge, if undo { one } else { other }))
        })
    }
}
