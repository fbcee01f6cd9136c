//! Taking an upload back: rows it overwrote say again what they said, rows it brought go, and the facts follow.

use std::collections::HashMap;

use kit::Caller;
use store::Stored;

use super::model::{State, Upload};
use super::ops::{Usage, fact};
use super::validate::field;
use crate::error::Error;
use crate::events::audited;

const CHUNK: i64 = 1_000;

impl Usage {
    /// Within 7 days, and while no later upload touched the same rows. Interrupted and asked again, it goes on.
    pub async fn revert(&self, caller: &Caller, id: &str) -> Result<Stored<Upload>, Error> {
        let scope = caller.scope()?;
        let upload = self.get(scope, id).await?;
        let now = self.clock.now();
        upload.body.may_revert(now)?;
        let dataset_id = upload.body.dataset_id.clone().unwrap_or_default();
        let dataset = self.store.datasets.get(scope, &dataset_id).await?;
        if self.store.touched_later(scope, &dataset_id, id).await? {
            return Err(Error::TouchedLater);
        }
        let facts: Vec<_> = dataset.body.columns.iter().map(|c| fact(&c.name)).collect();
        let mut after = String::new();
        loop {
            let rows = self.store.rows(scope, &dataset_id, &after, CHUNK).await?;
            let Some((last, _)) = rows.last() else { break };
            after.clone_from(last);
            let own: Vec<_> = rows.into_iter().filter(|(_, k)| k.upload == id).collect();
            if own.is_empty() {
                continue;
            }
            let ids: Vec<_> = own.iter().map(|(row, _)| row.clone()).collect();
            self.store.put_back(scope, &ids, id).await?;
            // What is left of each key, newest period first.
            let mut left = HashMap::new();
            let mut gone = Vec::new();
            for (_, kept) in own {
                match self.store.of_key(scope, &dataset_id, &kept.key).await?.into_iter().next() {
                    Some(newest) => drop(left.insert(newest.key, newest.values)),
                    None => gone.push(kept.key),
                }
            }
            let customers = self.customers.match_keys(scope, field(dataset.body.join_key), &gone).await?;
            self.customers.unset_usage(scope, customers.into_values().collect(), &facts).await?;
            self.set_facts(scope, &dataset, left).await?;
        }
        let mut reverted = upload.body.clone();
        reverted.end(State::Reverted, "", id, now);
        let events = vec![audited(caller, scope, now, "usage_upload", id, "revert")];
        let stored = self.store.replace(&upload, reverted, events).await?;
        self.work.refresh(scope).await?;
        Ok(stored)
    }
}
