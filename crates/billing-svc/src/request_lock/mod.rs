//! Locks on what must not be changed twice at once: leases of the shared store, their names in this service, and the
//! rooms in which an operator sees and releases them.

mod lease;
mod rpc;

use std::time::Duration;

use crate::error::{Error, Result};
pub use lease::{Lease, Leases};
pub(crate) use rpc::Rpc;

/// The lock of one subscription.
pub fn subscription(id: &str) -> String {
    format!("subscription:{id}")
}

/// The lock of a company's sync with a provider.
pub fn sync(provider: &str, scope: &kit::Scope) -> String {
    format!("sync:{provider}:{}:{}", scope.company, scope.mode.as_str())
}

/// The lock of events about one thing at a provider.
pub fn inbound(provider: &str, scope: &kit::Scope, subject: &str) -> String {
    format!("inbound:{provider}:{}:{}:{subject}", scope.company, scope.mode.as_str())
}

/// Takes a lock, waiting for its present holder up to `wait`.
pub async fn hold(leases: &Leases, key: &str, purpose: &str, wait: Duration) -> Result<Lease> {
    let begun = tokio::time::Instant::now();
    let mut pause = Duration::from_millis(15);
    loop {
        match leases.acquire(key, "billing-svc", purpose).await {
            Ok(lease) => return Ok(lease),
            Err(store::Error::Busy) if begun.elapsed() < wait => {
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(Duration::from_millis(250));
            }
            Err(store::Error::Busy) => return Err(Error::Busy),
            Err(other) => return Err(other.into()),
        }
    }
}
