//! Stripe. Shapes of the pinned version in `wire.rs`, in our words in `map.rs`; acts in `acts.rs`, the way through lists
//! and events in `sync.rs`.

mod acts;
mod client;
mod events;
mod facts;
mod map;
mod owner;
mod refunds;
mod sync;
mod wire;

use async_trait::async_trait;
use connect::pace::Allowance;
use connect::sign;
use kit::{ExposeSecret, Mode, SecretString, SharedClock, Timestamp};

pub use client::VERSION;

use self::client::Client;
use super::{
    Abilities, Ability, AccountInfo, Act, Catalog, ChangePage, Connection, Cursor, CustomerSnapshot,
    EventPage, ExternalId, Fact, IdempotencyKey, InboundCall, Owner, Provider, ProviderError, Receipt,
    Rejected, Snapshot, Tools,
};

/// What we do at Stripe, which is less than Stripe could.
pub(super) static ABILITIES: Abilities = Abilities {
    discount: Ability::Yes,
    // Stripe's true pause has no day on which it ends by itself, so we stop the collecting instead.
    pause: Ability::If("collection_only"),
    plan_switch_now: Ability::If("single_item_without_schedule"),
    plan_switch_at_period_end: Ability::No,
    trial_extension: Ability::If("in_trial"),
    // A later invoice date takes a new trial there, and the customer would no longer count as one who pays.
    term_extension: Ability::No,
    credit: Ability::Yes,
    refund: Ability::If("paid_by_card"),
    cancel_at_period_end: Ability::Yes,
    cancel_now: Ability::Yes,
};

/// One company's account at Stripe.
pub struct Stripe {
    client: Client,
    live: Option<bool>,
    mode: Mode,
    webhook_secrets: Vec<SecretString>,
    clock: SharedClock,
}

impl Stripe {
    pub fn new(connection: &Connection, tools: &Tools) -> Result<Self, ProviderError> {
        let key = connection.key.clone().ok_or(ProviderError::Revoked)?;
        // `sk_test_…`, `rk_live_…`: the key itself says where it belongs.
        let live = match key.expose_secret().split('_').nth(1) {
            Some("live") => Some(true),
            Some("test") => Some(false),
            _ => None,
        };
        let base = connection.base_url.as_deref();
        // Stripe's own limits are 100 and 25; the company's other programs want some of it, too.
        let allowance = Allowance::per_second(if live == Some(true) { 80 } else { 20 });
        let pace = tools.paces.of("stripe", &key, allowance);
        Ok(Self {
            client: Client::new(tools.http.clone(), base, key, connection.account.clone(), pace),
            live,
            mode: connection.scope.mode,
            webhook_secrets: connection.webhook_secrets.clone(),
            clock: tools.clock.clone(),
        })
    }
}

#[async_trait]
impl Provider for Stripe {
    fn abilities(&self) -> &'static Abilities {
        &ABILITIES
    }

    fn verify(&self, call: &InboundCall<'_>) -> Result<Vec<Fact>, Rejected> {
        let header = call.header("stripe-signature");
        sign::stripe(header, call.body, &self.webhook_secrets, call.now, sign::TOLERANCE)?;
        Ok(vec![facts::read(call.body, self.mode)?])
    }

    async fn owner(&self, told: &Fact) -> Result<Option<Owner>, ProviderError> {
        owner::of(&self.client, told).await
    }

    async fn test(&self) -> Result<AccountInfo, ProviderError> {
        let account: wire::Account = self.client.get("account.read", "/v1/account", &[]).await?;
        let shown = account.settings.and_then(|s| s.dashboard).and_then(|d| d.display_name);
        let name = shown.or_else(|| account.business_profile.and_then(|b| b.name));
        let name = name.unwrap_or_else(|| account.id.clone());
        Ok(AccountInfo { id: account.id, name, live: self.live, country: account.country })
    }

    async fn subscription(&self, id: &ExternalId) -> Result<Snapshot, ProviderError> {
        // The time before the call: what changes while it is under way is newer than this reading.
        let at = self.clock.now();
        let read = acts::read(&self.client, id).await?;
        map::subscription(&read, at).map_err(ProviderError::Unreadable)
    }

    async fn customer(&self, id: &ExternalId) -> Result<CustomerSnapshot, ProviderError> {
        let at = self.clock.now();
        let plain = client::plain(id).ok_or(ProviderError::NotFound("customer"))?;
        let read = match self.client.get("customer.read", &format!("/v1/customers/{plain}"), &[]).await {
            Err(ProviderError::NotFound(_)) => return Err(ProviderError::NotFound("customer")),
            other => other?,
        };
        map::customer(&read, at).map_err(ProviderError::Unreadable)
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
        if let Some(refund) = refunds::given(&self.client, subscription, key).await? {
            return Ok(Some(refund));
        }
        acts::credit(&self.client, subscription, key).await
    }

    async fn catalog(&self) -> Result<Catalog, ProviderError> {
        let only = [("active", "true")];
        let plans =
            sync::all::<wire::Product>(&self.client, "product.list", "/v1/products", &only, |p| &p.id);
        let plans = plans.await?.iter().map(map::plan).collect();
        let only = [("active", "true"), ("type", "recurring")];
        let prices = sync::all::<wire::Price>(&self.client, "price.list", "/v1/prices", &only, |p| &p.id);
        let prices =
            prices.await?.iter().filter_map(|p| map::price(p).transpose()).collect::<anyhow::Result<_>>();
        let coupons = sync::all::<wire::Coupon>(&self.client, "coupon.list", "/v1/coupons", &[], |c| &c.id);
        let coupons = coupons.await?.iter().map(map::coupon).collect::<anyhow::Result<_>>();
        Ok(Catalog {
            plans,
            prices: prices.map_err(ProviderError::Unreadable)?,
            coupons: coupons.map_err(ProviderError::Unreadable)?,
        })
    }

    async fn changes(&self, since: &Cursor) -> Result<ChangePage, ProviderError> {
        sync::changes(&self.client, since, self.clock.now()).await
    }

    async fn events_since(&self, since: &Cursor, from: Timestamp) -> Result<EventPage, ProviderError> {
        events::since(&self.client, since, from, self.clock.now(), self.mode).await
    }
}
