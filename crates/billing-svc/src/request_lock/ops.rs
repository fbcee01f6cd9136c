//! What operators do with locks.

use kit::{Caller, Page, PageRequest, Scope, SharedClock};
use serde_json::json;
use store::lease::Held;
use store::{Leases, Stored};

use super::store::{Release, ReleaseStore};
use crate::error::Result;
use crate::events::Stamp;

/// The locks of this service, as an operator sees them.
#[derive(Clone)]
pub struct Locks {
    leases: Leases,
    releases: ReleaseStore,
    clock: SharedClock,
}

impl Locks {
    pub fn new(leases: Leases, releases: ReleaseStore, clock: SharedClock) -> Self {
        Self { leases, releases, clock }
    }

    pub async fn held(&self, page: &PageRequest) -> Result<Page<Stored<Held>>> {
        Ok(self.leases.held(page).await?)
    }

    /// Takes a lock from its holder, who finds out at the next step. Audited.
    pub async fn release(&self, caller: &Caller, key: &str) -> Result<()> {
        if !self.leases.take_from_holder(key).await? {
            return Err(kit::Fault::not_found("lock").into());
        }
        tracing::warn!(lock = key, actor = %caller.actor.id, "lock {key} was taken from its holder by an operator");
        let (id, scope) = (kit::id::new("lrl"), Scope::platform());
        let stamp = Stamp { scope: &scope, subject: &id, sequence: 1, at: self.clock.now() };
        let audit = stamp.audited(caller, "lock", "lock.release", Some(&json!({ "key": key })), None);
        let release = Release { key: key.to_owned(), by: caller.actor.id.clone() };
        Ok(self.releases.insert(id, release, audit.into_iter().collect()).await?)
    }
}
