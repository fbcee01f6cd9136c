//! Recurly. Shapes of the pinned version in `wire.rs`, in our words in `map.rs`; acts in `acts.rs`, `discounts.rs`,
//! `money.rs` and `refund.rs`; what stands around a subscription in `around.rs`, the way through lists in `sync.rs`.
//!
//! A version is the second of the subscription's last change. Two readings within one second have the same, and the later
//! one stands: the mirror takes what is equal as it takes what is newer. Invoices and discounts change beside the
//! subscription and leave its version as it is, for the same reason without harm.

mod acts;
mod around;
mod client;
mod decimal;
mod discounts;
mod facts;
mod map;
mod money;
mod refund;
mod region;
mod sync;
mod wire;

use async_trait::async_trait;
use connect::pace::Allowance;
use connect::sign;
use kit::{SecretString, SharedClock, Timestamp};

pub use client::VERSION;
pub use region::Region;

use self::client::{Client, PAGE};
use super::{
    Abilities, Ability, AccountInfo, Act, Catalog, ChangePage, Connection, Cursor, CustomerSnapshot,
    EventPage, ExternalId, Fact, IdempotencyKey, InboundCall, Provider, ProviderError, Receipt, Rejected,
    Snapshot, Tools,
};

/// What we do at Recurly.
pub(super) static ABILITIES: Abilities = Abilities {
    discount: Ability::If("whole_percent"),
    pause: Ability::If("at_next_renewal"),
    plan_switch_now: Ability::If("single_item_without_schedule"),
    plan_switch_at_period_end: Ability::If("single_item_without_schedule"),
    trial_extension: Ability::If("in_trial"),
    term_extension: Ability::Yes,
    credit: Ability::Yes,
    refund: Ability::If("paid_by_card"),
    cancel_at_period_end: Ability::Yes,
    cancel_now: Ability::Yes,
};

/// One company's site at Recurly.
pub struct Recurly {
    client: Client,
    webhook_secrets: Vec<SecretString>,
    clock: SharedClock,
}

impl Recurly {
    pub fn new(connection: &Connection, tools: &Tools) -> Result<Self, ProviderError> {
        let key = connection.key.clone().ok_or(ProviderError::Revoked)?;
        let base = connection.base_url.as_deref().unwrap_or(Region::default().base());
        // What is left of the site's limit stands in every answer, and the pace follows that.
        let pace = tools.paces.of("recurly", &key, Allowance::per_second(100));
        Ok(Self {
            client: Client::new(tools.http.clone(), base, key, pace, tools.clock.clone()),
            webhook_secrets: connection.webhook_secrets.clone(),
            clock: tools.clock.clone(),
        })
    }

    /// The subscription that an invoice or a payment is about: the first one, where it is about several.
    async fn about(&self, id: &ExternalId) -> Result<ExternalId, ProviderError> {
        let missing = || ProviderError::NotFound("subscription");
        let ids = if let Some(number) = id.as_str().strip_prefix(facts::INVOICE) {
            let path = format!("/invoices/number-{}", client::encoded(number));
            self.client.get::<wire::Invoice>("invoice.read", &path, &[]).await.map(|i| i.subscription_ids)
        } else if let Some(uuid) = id.as_str().strip_prefix(facts::TRANSACTION) {
            let path = format!("/transactions/uuid-{}", client::encoded(uuid));
            let read = self.client.get::<wire::Transaction>("transaction.read", &path, &[]).await;
            read.map(|t| t.subscription_ids)
        } else {
            return Ok(id.clone());
        };
        match ids {
            Ok(ids) => ids.unwrap_or_default().into_iter().next().map(ExternalId::new).ok_or_else(missing),
            Err(ProviderError::NotFound(_)) => Err(missing()),
            Err(other) => Err(other),
        }
    }
}

#[async_trait]
impl Provider for Recurly {
    fn abilities(&self) -> &'static Abilities {
        &ABILITIES
    }

    fn verify(&self, call: &InboundCall<'_>) -> Result<Vec<Fact>, Rejected> {
        facts::refuse_xml(call)?;
        sign::recurly(call.header("recurly-signature"), call.body, &self.webhook_secrets, call.now)?;
        Ok(vec![facts::read(call)?])
    }

    async fn test(&self) -> Result<AccountInfo, ProviderError> {
        let sites: Vec<wire::Site> = self.client.all("site.list", "/sites", &[("limit", PAGE)]).await?;
        let site = sites.into_iter().next().ok_or(client::unreadable("a key without a site"))?;
        Ok(AccountInfo {
            id: site.id,
            name: site.subdomain,
            live: Some(site.mode == "production"),
            country: site.address.and_then(|a| a.country),
        })
    }

    async fn subscription(&self, id: &ExternalId) -> Result<Snapshot, ProviderError> {
        let at = self.clock.now();
        let read = acts::read(&self.client, &self.about(id).await?).await?;
        around::whole(&self.client, &read, at).await
    }

    async fn customer(&self, id: &ExternalId) -> Result<CustomerSnapshot, ProviderError> {
        let account = client::account(id).ok_or(ProviderError::NotFound("customer"))?;
        match self.client.get("account.read", &format!("/accounts/{account}"), &[]).await {
            Err(ProviderError::NotFound(_)) => Err(ProviderError::NotFound("customer")),
            other => other.map(|a| map::customer(&a)),
        }
    }

    async fn apply(
        &self,
        subscription: &ExternalId,
        act: &Act,
        key: &IdempotencyKey,
    ) -> Result<Receipt, ProviderError> {
        acts::apply(&self.client, subscription, act, key, self.clock.now()).await
    }

    async fn given(
        &self,
        subscription: &ExternalId,
        key: &IdempotencyKey,
    ) -> Result<Option<ExternalId>, ProviderError> {
        let read = acts::read(&self.client, subscription).await?;
        if let Some(refund) = refund::given(&self.client, &read, key).await? {
            return Ok(Some(ExternalId::new(refund.id)));
        }
        let item = money::given(&self.client, &read, key).await?;
        Ok(item.map(|item| ExternalId::new(item.id)))
    }

    async fn catalog(&self) -> Result<Catalog, ProviderError> {
        let only = [("state", "active"), ("limit", PAGE)];
        let plans: Vec<wire::Plan> = self.client.all("plan.list", "/plans", &only).await?;
        let prices = plans.iter().map(map::prices).collect::<anyhow::Result<Vec<_>>>();
        let coupons: Vec<wire::Coupon> =
            self.client.all("coupon.list", "/coupons", &[("limit", PAGE)]).await?;
        let coupons =
            coupons.iter().filter_map(|c| map::coupon(c).transpose()).collect::<anyhow::Result<_>>();
        Ok(Catalog {
            plans: plans.iter().map(map::plan).collect(),
            prices: prices.map_err(ProviderError::Unreadable)?.into_iter().flatten().collect(),
            coupons: coupons.map_err(ProviderError::Unreadable)?,
        })
    }

    async fn changes(&self, since: &Cursor) -> Result<ChangePage, ProviderError> {
        sync::changes(&self.client, since, self.clock.now()).await
    }

    async fn events_since(&self, since: &Cursor, from: Timestamp) -> Result<EventPage, ProviderError> {
        let now = self.clock.now();
        let since = if since.is_start() { sync::since(from, now)? } else { since.clone() };
        Ok(EventPage::of_changes(sync::changes(&self.client, &since, now).await?, now))
    }
}
