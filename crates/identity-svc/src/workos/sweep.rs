//! Ends sessions at the provider whose session here is over, however it ended. A look at both, not a call at sign-out:
//! what the provider does not take now is tried again, and nobody waits for it.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::provider::IdentityProvider;
use super::store::SsoStore;
use crate::error::Result;

const TICK: Duration = Duration::from_secs(2);
/// The longest wait after failures.
const LONGEST: Duration = Duration::from_secs(120);

#[derive(Clone)]
pub struct Sweep {
    pub store: SsoStore,
    pub provider: Arc<dyn IdentityProvider>,
}

impl Sweep {
    /// Sweeps until stopped.
    pub async fn run(self, stop: CancellationToken) -> anyhow::Result<()> {
        let mut wait = TICK;
        while stop.run_until_cancelled(tokio::time::sleep(wait)).await.is_some() {
            wait = match self.round().await {
                Ok(()) => TICK,
                Err(e) => {
                    tracing::warn!(error = %e, "sessions at the identity provider wait to be ended: {e}");
                    (wait * 2).min(LONGEST)
                }
            };
        }
        Ok(())
    }

    async fn round(&self) -> Result<()> {
        for (id, external_id) in self.store.widowed().await? {
            self.provider.revoke_session(&external_id).await?;
            self.store.shut(&id).await?;
        }
        Ok(())
    }
}
