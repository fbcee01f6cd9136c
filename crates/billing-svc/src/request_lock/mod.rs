//! Locks on what must not be changed twice at once: leases of the shared store, their names in this service, and the
//! rooms in which an operator sees and releases them.

mod ops;
mod rpc;
mod store;

use std::time::Duration;

use ::store::{Lease, Leases};

use crate::error::{Error, Result};
pub use ops::Locks;
pub(crate) use rpc::Rpc;
pub use store::ReleaseStore;

/// The lock of one subscription.
pub fn subscription(id: &str) -> String {
    format!("subscription:{id}")
}

/// The lock of a company's sync with a provider.
pub fn sync(provider: &str, scope: &kit::Scope) -> String {
    format!("sync:{provider}:{}:{}", scope.company, scope.mode.as_str())
}

/// The lock of the look for what a provider told a company and never arrived.
pub fn watch(provider: &str, scope: &kit::Scope) -> String {
    format!("watch:{provider}:{}:{}", scope.company, scope.mode.as_str())
}

/// The lock of events about one thing at a provider.
pub fn inbound(provider: &str, scope: &kit::Scope, subject: &str) -> String {
    format!("inbound:{provider}:{}:{}:{subject}", scope.company, scope.mode.as_str())
}

/// The lock of one recovery case.
pub fn recovery(id: &str) -> String {
    format!("recovery:{id}")
}

/// The lock of a company's clock while it is moved.
pub fn test_clock(scope: &kit::Scope) -> String {
    format!("test_clock:{}:{}", scope.company, scope.mode.as_str())
}

/// Takes a lock, waiting for its present holder up to `wait`.
pub async fn hold(leases: &Leases, key: &str, purpose: &str, wait: Duration) -> Result<Lease> {
    match leases.acquire_within(key, crate::NAME, purpose, wait).await {
        Err(::store::Error::Busy) => Err(Error::Busy),
        other => Ok(other?),
    }
}
