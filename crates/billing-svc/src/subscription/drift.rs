//! Where the mirror and the provider differ, found a page at a time.

use std::collections::HashMap;

use kit::{Scope, Timestamp};
use serde_json::Value;

use super::model::{Reading, Subscription};
use super::ops::Subscriptions;
use crate::connections::{Drift, DriftKind};
use crate::error::{Error, Result};
use crate::events::Stamp;
use crate::providers::{ExternalId, ProviderError, ProviderKind, Snapshot};

/// How many are asked for one by one in one go.
const SWEPT: u32 = 50;
/// What differs between two readings of the same thing.
const NO_DRIFT: [&str; 2] = ["provider_version", "synced_at"];

impl Subscriptions {
    /// What is not in the mirror as the provider has it. Changes nothing.
    pub async fn drift(&self, scope: &Scope, provider: ProviderKind, seen: &[Snapshot]) -> Result<Drift> {
        let ids: Vec<_> = seen.iter().map(|s| s.id.as_str()).collect();
        let known = self.store.by_externals(scope, provider, &ids).await?;
        let known: HashMap<_, _> = known.into_iter().map(|s| (s.body.external_id.clone(), s.body)).collect();
        let mut drift = Drift::default();
        for snapshot in seen {
            let id = snapshot.id.as_str();
            let Some(mirror) = known.get(id) else {
                drift.add(id, DriftKind::Missing, Vec::new());
                continue;
            };
            let Reading::Newer(next) = mirror.read(snapshot.clone(), self.clocks.machine()) else { continue };
            let fields = differing(mirror, &next)?;
            if !fields.is_empty() {
                let newer = snapshot.provider_version > mirror.provider_version;
                drift.add(id, if newer { DriftKind::Stale } else { DriftKind::Changed }, fields);
            }
        }
        Ok(drift)
    }

    /// Notes that a sync which began at `since` has seen these.
    pub async fn heard_of(
        &self,
        scope: &Scope,
        provider: ProviderKind,
        ids: &[ExternalId],
        since: Timestamp,
    ) -> Result<()> {
        let ids: Vec<_> = ids.iter().map(ExternalId::as_str).collect();
        Ok(self.store.heard_of(scope, provider, &ids, since, self.clocks.machine()).await?)
    }

    /// Asks for some that a sync of everything, which began at `since`, has not seen. What the provider has no more is
    /// lost sight of. What came of it, and whether none is left.
    pub async fn sweep(
        &self,
        scope: &Scope,
        provider: ProviderKind,
        since: Timestamp,
    ) -> Result<(Drift, bool)> {
        let unseen = self.store.unseen(scope, provider, since, SWEPT).await?;
        let mut drift = Drift::default();
        for read in &unseen {
            let id = ExternalId::new(read.body.external_id.as_str());
            match self.read_back(scope, &read.body).await {
                Ok(_) => self.heard_of(scope, provider, &[id], since).await?,
                Err(Error::Provider(ProviderError::NotFound(_))) => {
                    if self.lose(read).await? {
                        drift.add(id.as_str(), DriftKind::Vanished, vec!["state".into()]);
                    }
                }
                // It is there and says something we cannot read: the week without news decides.
                Err(Error::Provider(ProviderError::Unreadable(_))) => {
                    self.heard_of(scope, provider, &[id], since).await?;
                }
                Err(other) => return Err(other),
            }
        }
        Ok((drift, unseen.len() < SWEPT as usize))
    }

    /// Notes that a subscription is lost sight of; false when somebody else noted something.
    pub(super) async fn lose(&self, read: &store::Stored<Subscription>) -> Result<bool> {
        let now = self.clocks.machine();
        let next = read.body.lost(now);
        let stamp = Stamp { scope: &read.scope, subject: &read.id, sequence: read.version + 1, at: now };
        let events = vec![stamp.subscription_changed(&next, Some(&read.body))];
        match self.store.replace(read, next, events).await {
            Ok(_) => Ok(true),
            Err(store::Error::Stale(_)) => Ok(false),
            Err(other) => Err(other.into()),
        }
    }
}

/// The names of the fields in which two readings differ.
fn differing(before: &Subscription, after: &Subscription) -> Result<Vec<String>> {
    let fields = |s: &Subscription| serde_json::to_value(s).map_err(store_broken);
    let (before, after) = (fields(before)?, fields(after)?);
    let (Value::Object(before), Value::Object(after)) = (before, after) else { return Ok(Vec::new()) };
    let differs = |(name, value): &(&String, &Value)| {
        !NO_DRIFT.contains(&name.as_str()) && before.get(name.as_str()) != Some(*value)
    };
    Ok(after.iter().filter(differs).map(|(name, _)| name.clone()).collect())
}

fn store_broken(e: serde_json::Error) -> Error {
    Error::Provider(ProviderError::Unreadable(e.into()))
}
