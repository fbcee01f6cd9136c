//! Chargebee, with either of its product catalogues. Their shapes are in `wire.rs`, in our words in `map.rs`; acts in
//! `acts.rs`, money given and paid back in `credit.rs` and `refund.rs`, the way through their lists in `sync.rs`.

mod acts;
mod client;
mod credit;
mod events;
mod facts;
mod map;
mod refund;
mod sync;
mod wire;

use async_trait::async_trait;
use connect::pace::Allowance;
use connect::sign;
use kit::{ExposeSecret, SecretString, SharedClock, Timestamp};

use self::client::{Catalogue, Client, step};
use super::{
    Abilities, Ability, AccountInfo, Act, Catalog, ChangePage, Connection, Cursor, CustomerSnapshot,
    EventPage, ExternalId, Fact, IdempotencyKey, InboundCall, Provider, ProviderError, Receipt, Rejected,
    Snapshot, Tools,
};

/// What we do at Chargebee, which is less than Chargebee could.
pub(super) static ABILITIES: Abilities = Abilities {
    discount: Ability::Yes,
    pause: Ability::Yes,
    plan_switch_now: Ability::If("single_item_without_schedule"),
    plan_switch_at_period_end: Ability::If("single_item_without_schedule"),
    trial_extension: Ability::If("in_trial"),
    term_extension: Ability::Yes,
    credit: Ability::Yes,
    refund: Ability::If("paid_by_card"),
    cancel_at_period_end: Ability::Yes,
    cancel_now: Ability::Yes,
};

/// Whether a site may be called so: it becomes the host of every call.
pub fn is_site(name: &str) -> bool {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    !name.is_empty()
        && name.len() <= 63
        && name.bytes().all(plain)
        && !name.starts_with('-')
        && !name.ends_with('-')
}

/// One company's site at Chargebee.
pub struct Chargebee {
    client: Client,
    site: String,
    /// User names and passwords that webhooks may come with.
    callers: Vec<(String, SecretString)>,
    clock: SharedClock,
}

impl Chargebee {
    pub fn new(connection: &Connection, tools: &Tools) -> Result<Self, ProviderError> {
        let key = connection.key.clone().ok_or(ProviderError::Revoked)?;
        let site = connection.site.clone().filter(|s| is_site(s));
        let site = site.ok_or(ProviderError::NotOffered("site_missing"))?;
        let own = format!("https://{site}.chargebee.com");
        let base = connection.base_url.as_deref().unwrap_or(&own);
        // The password may hold colons, the user name may not.
        let pair = |secret: &SecretString| {
            let (user, password) = secret.expose_secret().split_once(':')?;
            Some((user.to_owned(), SecretString::from(password)))
        };
        // A test site has 150 a minute. A live one has as many as its plan says, which no answer does: from 150 to 3 500. We
        // begin in the middle, and what it refuses makes us slower; the company's other programs want some of it, too.
        let allowance = Allowance::per_minute(if is_live(&site) { 800 } else { 120 });
        let pace = tools.paces.of("chargebee", &key, allowance);
        Ok(Self {
            client: Client::new(tools.http.clone(), base, key, pace),
            callers: connection.webhook_secrets.iter().filter_map(pair).collect(),
            site,
            clock: tools.clock.clone(),
        })
    }

    fn is_live(&self) -> bool {
        is_live(&self.site)
    }
}

/// Test sites are told by their names.
fn is_live(site: &str) -> bool {
    !site.ends_with("-test")
}

#[async_trait]
impl Provider for Chargebee {
    fn abilities(&self) -> &'static Abilities {
        &ABILITIES
    }

    /// Chargebee signs nothing: whoever knows the credentials may have written anything, and a call has no age. What it
    /// says is looked up before it is believed, see [`Provider::confirms`].
    fn verify(&self, call: &InboundCall<'_>) -> Result<Vec<Fact>, Rejected> {
        sign::chargebee(call.header("authorization"), &self.callers)?;
        Ok(vec![facts::read(call.body, self.is_live())?])
    }

    async fn confirms(&self, told: &Fact) -> Result<bool, ProviderError> {
        let id = ExternalId::new(&told.id);
        let Some(step) = step(&id) else { return Ok(false) };
        match self.client.get::<wire::Wrapped>("event.read", &format!("/events/{step}"), &[]).await {
            Ok(answer) => Ok(answer.event.is_some_and(|event| facts::is_told(&event, told))),
            Err(ProviderError::NotFound(_)) => Ok(false),
            Err(e) => Err(e),
        }
    }

    async fn test(&self) -> Result<AccountInfo, ProviderError> {
        self.client.catalogue().await?;
        // The API does not say how the company calls its site.
        let (id, name) = (self.site.clone(), self.site.clone());
        Ok(AccountInfo { id, name, live: Some(self.is_live()), country: None })
    }

    async fn subscription(&self, id: &ExternalId) -> Result<Snapshot, ProviderError> {
        let at = self.clock.now();
        let read = acts::read(&self.client, id).await?;
        let beside = sync::beside(&self.client, &read).await?;
        map::subscription(&read, &beside, at).map_err(ProviderError::Unreadable)
    }

    async fn customer(&self, id: &ExternalId) -> Result<CustomerSnapshot, ProviderError> {
        let at = self.clock.now();
        let path = format!("/customers/{}", step(id).ok_or(ProviderError::NotFound("customer"))?);
        let read = match self.client.get::<wire::Wrapped>("customer.read", &path, &[]).await {
            Err(ProviderError::NotFound(_)) => return Err(ProviderError::NotFound("customer")),
            other => other?.customer.ok_or(ProviderError::NotFound("customer"))?,
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
        let read = acts::read(&self.client, subscription).await?;
        if let Some(refund) = refund::given(&self.client, &read, key).await? {
            return Ok(Some(refund));
        }
        let found = credit::find(&self.client, &read.customer_id, key).await?;
        Ok(found.filter(|credit| !credit.taken).map(|credit| credit.id))
    }

    async fn catalog(&self) -> Result<Catalog, ProviderError> {
        let mut catalog = Catalog::default();
        let kind = self.client.catalogue().await?;
        let unreadable = ProviderError::Unreadable;
        if kind == Catalogue::Items {
            let only = [("type[is]", "plan"), ("status[is]", "active")];
            let items = sync::all(&self.client, "item.list", "/items", &only).await?;
            catalog.plans = items.iter().filter_map(|a| a.item.as_ref()).map(map::item).collect();
            let only = [("item_type[is]", "plan"), ("status[is]", "active")];
            let prices = sync::all(&self.client, "item_price.list", "/item_prices", &only).await?;
            let prices = prices.iter().filter_map(|a| a.item_price.as_ref()).map(map::item_price);
            catalog.prices = prices.collect::<anyhow::Result<_>>().map_err(unreadable)?;
        } else {
            let only = [("status[is]", "active")];
            for plan in sync::all(&self.client, "plan.list", "/plans", &only)
                .await?
                .iter()
                .filter_map(|a| a.plan.as_ref())
            {
                let (plan, price) = map::plan(plan).map_err(unreadable)?;
                catalog.plans.push(plan);
                catalog.prices.push(price);
            }
        }
        let coupons = sync::all(&self.client, "coupon.list", "/coupons", &[]).await?;
        let coupons =
            coupons.iter().filter_map(|a| a.coupon.as_ref()).filter_map(|c| map::coupon(c).transpose());
        catalog.coupons = coupons.collect::<anyhow::Result<_>>().map_err(unreadable)?;
        Ok(catalog)
    }

    async fn changes(&self, since: &Cursor) -> Result<ChangePage, ProviderError> {
        sync::changes(&self.client, since, self.clock.now()).await
    }

    async fn events_since(&self, since: &Cursor, from: Timestamp) -> Result<EventPage, ProviderError> {
        events::since(&self.client, since, from, self.clock.now(), self.is_live()).await
    }
}

#[cfg(test)]
mod tests {
    use super::is_site;

    #[test]
    fn a_site_is_one_plain_name() {
        for good in ["adafibre", "ada-fibre-test", "x1"] {
            assert!(is_site(good), "{good}");
        }
        let long = "a".repeat(64);
        for bad in
            ["", "Ada", "ada.evil", "ada/..", "ada@evil", "ada:80", "evil.com#", "-a", "a-", "ä", &long]
        {
            assert!(!is_site(bad), "{bad}");
        }
    }
}
