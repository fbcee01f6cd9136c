//! The services this one asks, and how long it waits for each.

use std::collections::HashMap;
use std::time::Duration;

use async_trait::async_trait;
use kit::caller::Minter;
use kit::client::Upstream;
use kit::locale::LocalText;
use kit::{Caller, Fault};
use proto::billing;
use proto::billing::connection_service_client::ConnectionServiceClient;
use proto::billing::offer_service_client::OfferServiceClient;

use crate::config::Config;
use crate::offers::{OfferFacts, Offers};

/// How long a customer's screen waits for another service before it goes on without the answer.
pub const SCREEN: Duration = Duration::from_millis(1_500);
/// How long a check of the dashboard waits.
pub const CHECK: Duration = Duration::from_secs(3);

/// Connections to the services below this one.
#[derive(Clone)]
pub struct Upstreams {
    pub billing: Upstream,
    pub analytics: Upstream,
    pub identity: Upstream,
}

impl Upstreams {
    pub fn new(config: &Config, minter: &Minter) -> anyhow::Result<Self> {
        Ok(Self {
            billing: Upstream::new("billing-svc", &config.billing_addr, minter.clone())?,
            analytics: Upstream::new("analytics-svc", &config.analytics_addr, minter.clone())?,
            identity: Upstream::new("identity-svc", &config.identity_addr, minter.clone())?,
        })
    }
}

/// Offers as billing-svc knows them.
pub struct BillingOffers(pub Upstream);

#[async_trait]
impl Offers for BillingOffers {
    async fn look_up(&self, caller: &Caller, ids: &[&str]) -> Result<HashMap<String, OfferFacts>, Fault> {
        if ids.is_empty() {
            return Ok(HashMap::new());
        }
        let can = self.capabilities(caller).await?;
        let mut asked = Vec::with_capacity(ids.len());
        for id in ids {
            asked.push(self.offer(caller, id));
        }
        let found = futures_util::future::try_join_all(asked).await?;
        let facts = found.into_iter().flatten().map(|offer| {
            let kind = offer.kind().as_str_name().trim_start_matches("OFFER_KIND_").to_ascii_lowercase();
            let active = offer.state() == billing::OfferState::Active;
            let supported = can.iter().any(|c| capability(c, offer.kind()));
            let facts = OfferFacts {
                active,
                kind,
                supported,
                name: offer.name,
                text: text(offer.text),
                terms_text: text(offer.terms_text),
                terms_hash: offer.terms_hash,
            };
            (offer.id, facts)
        });
        Ok(facts.collect())
    }
}

impl BillingOffers {
    async fn offer(&self, caller: &Caller, id: &str) -> Result<Option<billing::Offer>, Fault> {
        let message = billing::GetOfferRequest { id: id.to_owned() };
        let request = self.0.request(caller, CHECK, message).map_err(|s| failed(&s))?;
        match OfferServiceClient::new(self.0.channel()).get_offer(request).await {
            Ok(reply) => Ok(Some(reply.into_inner())),
            Err(status) if status.code() == tonic::Code::NotFound => Ok(None),
            Err(status) => Err(failed(&status)),
        }
    }

    /// What each connected provider can do.
    async fn capabilities(&self, caller: &Caller) -> Result<Vec<billing::Capabilities>, Fault> {
        let request =
            self.0.request(caller, CHECK, billing::ListConnectionsRequest {}).map_err(|s| failed(&s))?;
        let reply = ConnectionServiceClient::new(self.0.channel())
            .list_connections(request)
            .await
            .map_err(|s| failed(&s))?;
        let connected = reply.into_inner().items.into_iter().filter(|c| {
            matches!(c.status(), billing::ConnectionStatus::Connected | billing::ConnectionStatus::Degraded)
        });
        let asked = connected.map(|c| self.capabilities_of(caller, c.provider));
        futures_util::future::try_join_all(asked).await
    }

    async fn capabilities_of(
        &self,
        caller: &Caller,
        provider: String,
    ) -> Result<billing::Capabilities, Fault> {
        let message = billing::GetCapabilitiesRequest { provider };
        let request = self.0.request(caller, CHECK, message).map_err(|s| failed(&s))?;
        let reply = ConnectionServiceClient::new(self.0.channel()).get_capabilities(request).await;
        Ok(reply.map_err(|s| failed(&s))?.into_inner())
    }
}

fn text(given: Option<proto::common::LocalText>) -> LocalText {
    let proto::common::LocalText { default_locale, texts } = given.unwrap_or_default();
    LocalText { default_locale, texts: texts.into_iter().collect() }
}

fn capability(can: &billing::Capabilities, kind: billing::OfferKind) -> bool {
    let said = match kind {
        billing::OfferKind::Discount => &can.discount,
        billing::OfferKind::Pause => &can.pause,
        billing::OfferKind::PlanSwitch => &can.plan_switch,
        billing::OfferKind::TrialExtension => &can.trial_extension,
        billing::OfferKind::TermExtension => &can.term_extension,
        billing::OfferKind::Credit => &can.credit,
        billing::OfferKind::Refund => &can.refund,
        // These need nothing of a provider.
        billing::OfferKind::Contact | billing::OfferKind::Redirect | billing::OfferKind::Custom => {
            return true;
        }
        billing::OfferKind::Unspecified => return false,
    };
    matches!(said.as_str(), "yes" | "conditional")
}

/// What a refusal or silence of another service means here.
pub fn failed(status: &tonic::Status) -> Fault {
    let said = kit::error::said(status);
    if said.code.is_public() {
        return Fault::internal(anyhow::anyhow!("billing-svc refused: {}: {}", said.slug, said.message));
    }
    Fault::unavailable("billing_unavailable", anyhow::anyhow!("billing-svc: {}", status.message()))
}
