//! Everything there is, then what changed since, both in the order of change. Their lists are of whole objects, so a
//! pass reads nothing twice.

use anyhow::{Context, anyhow};
use kit::Timestamp;
use serde::{Deserialize, Serialize};

use super::client::{Client, step};
use super::{map, wire};
use crate::providers::{Change, ChangePage, Cursor, ExternalId, ProviderError};

const PAGE: &str = "100";
/// How far a pass looks back before the last one began: a change may become visible a little late.
pub const OVERLAP: i64 = 300;
/// The most pages of a list that is read as a whole.
const PAGES: usize = 50;

/// A place in a pass. `began`: when the pass did; `since`: changes before it are not asked for. Seconds.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Place {
    Customers {
        since: Option<i64>,
        began: i64,
        offset: Option<String>,
    },
    Subscriptions {
        since: Option<i64>,
        began: i64,
        offset: Option<String>,
    },
    /// Between passes.
    Rest {
        since: i64,
    },
}

impl Place {
    fn read(cursor: &Cursor, now: i64) -> Result<Self, ProviderError> {
        if cursor.is_start() {
            return Ok(Self::Customers { since: None, began: now, offset: None });
        }
        let place = serde_json::from_str(cursor.as_str()).context("not a cursor of ours");
        Ok(match place.map_err(ProviderError::Unreadable)? {
            Self::Rest { since } => Self::Customers { since: Some(since), began: now, offset: None },
            under_way => under_way,
        })
    }

    fn cursor(&self) -> Result<Cursor, ProviderError> {
        let text = serde_json::to_string(self).map_err(|e| ProviderError::Unreadable(e.into()))?;
        Ok(Cursor::new(text))
    }
}

pub async fn changes(client: &Client, since: &Cursor, at: Timestamp) -> Result<ChangePage, ProviderError> {
    let (changes, next) = match Place::read(since, at.as_second())? {
        Place::Customers { since, began, offset } => {
            let page = changed(client, "customer.list", "/customers", since, offset.as_deref()).await?;
            let people = page.list.iter().filter_map(|a| a.customer.as_ref());
            let people = people.map(|c| map::customer(c, at).map(Change::Customer));
            let people = people.collect::<anyhow::Result<_>>().map_err(ProviderError::Unreadable)?;
            let next = match page.next_offset {
                offset @ Some(_) => Place::Customers { since, began, offset },
                None => Place::Subscriptions { since, began, offset: None },
            };
            (people, next)
        }
        Place::Subscriptions { since, began, offset } => {
            let page =
                changed(client, "subscription.list", "/subscriptions", since, offset.as_deref()).await?;
            let mut found = Vec::new();
            for s in page.list.iter().filter_map(|a| a.subscription.as_ref()) {
                let beside = beside(client, s).await?;
                match map::subscription(s, &beside, at) {
                    Ok(snapshot) => found.push(Change::Subscription(Box::new(snapshot))),
                    // One that we cannot read must not keep the others out.
                    Err(e) => {
                        tracing::warn!(subscription = s.id, error = %e, "a subscription at chargebee cannot be read: {e}");
                    }
                }
            }
            let next = match page.next_offset {
                offset @ Some(_) => Place::Subscriptions { since, began, offset },
                None => Place::Rest { since: began - OVERLAP },
            };
            (found, next)
        }
        Place::Rest { .. } => return Err(ProviderError::Unreadable(anyhow!("a pass without a place"))),
    };
    Ok(ChangePage { changes, done: matches!(next, Place::Rest { .. }), next: next.cursor()? })
}

async fn changed(
    client: &Client,
    operation: &'static str,
    path: &str,
    since: Option<i64>,
    offset: Option<&str>,
) -> Result<wire::List, ProviderError> {
    let since = since.map(|s| s.to_string());
    // In a first pass the order of making: what changes meanwhile keeps its place, and the next pass brings the change.
    let order = if since.is_some() { "updated_at" } else { "created_at" };
    let mut query = vec![("sort_by[asc]", order), ("include_deleted", "true")];
    query.extend(since.as_deref().map(|since| ("updated_at[after]", since)));
    page(client, operation, path, &query, offset).await
}

async fn page(
    client: &Client,
    operation: &'static str,
    path: &str,
    query: &[(&str, &str)],
    offset: Option<&str>,
) -> Result<wire::List, ProviderError> {
    let mut query = query.to_vec();
    query.push(("limit", PAGE));
    query.extend(offset.map(|offset| ("offset", offset)));
    let page: wire::List = client.get(operation, path, &query).await?;
    // A list that goes on where it began would never end.
    if offset.is_some() && page.next_offset.as_deref() == offset {
        return Err(ProviderError::Unreadable(anyhow!("{operation} repeats its offset")));
    }
    Ok(page)
}

/// Every page of a list, for those short enough to be read whole.
pub async fn all(
    client: &Client,
    operation: &'static str,
    path: &str,
    query: &[(&str, &str)],
) -> Result<Vec<wire::Wrapped>, ProviderError> {
    let (mut found, mut offset) = (Vec::new(), None::<String>);
    for _ in 0..PAGES {
        let page = page(client, operation, path, query, offset.as_deref()).await?;
        found.extend(page.list);
        offset = page.next_offset;
        if offset.is_none() {
            return Ok(found);
        }
    }
    Err(ProviderError::Unreadable(anyhow!("{operation} has more than {PAGES} pages")))
}

/// The discounts of a subscription, by coupon and by hand. Most have none, and then nothing is asked.
pub async fn discounts(
    client: &Client,
    s: &wire::Subscription,
) -> Result<Vec<wire::Discount>, ProviderError> {
    if s.coupons.is_empty() && s.discounts.is_empty() {
        return Ok(Vec::new());
    }
    let id = ExternalId::new(&s.id);
    let step = step(&id).ok_or(ProviderError::NotFound("subscription"))?;
    let found = all(client, "discount.list", &format!("/subscriptions/{step}/discounts"), &[]).await?;
    Ok(found.into_iter().filter_map(|a| a.discount).collect())
}

/// The price a subscription will have after the change that is scheduled.
pub async fn next_price(client: &Client, s: &wire::Subscription) -> Result<Option<String>, ProviderError> {
    let id = ExternalId::new(&s.id);
    let step = step(&id).ok_or(ProviderError::NotFound("subscription"))?;
    let path = format!("/subscriptions/{step}/retrieve_with_scheduled_changes");
    match client.get::<wire::Wrapped>("subscription.read_scheduled", &path, &[]).await {
        Ok(answer) => Ok(answer.subscription.as_ref().and_then(map::price_of).map(str::to_owned)),
        // The change took effect, or was taken back, between the two readings.
        Err(ProviderError::NotFound(_) | ProviderError::Refused { .. }) => Ok(None),
        Err(e) => Err(e),
    }
}

/// What is to be known beside a subscription.
pub async fn beside(client: &Client, s: &wire::Subscription) -> Result<map::Beside, ProviderError> {
    let next_price = if s.has_scheduled_changes { next_price(client, s).await? } else { None };
    let plan = match (&s.plan_id, map::price_of(s)) {
        (Some(plan), _) => plan.clone(),
        (None, Some(price)) => client.item_of(price).await?,
        (None, None) => String::new(),
    };
    let gone = matches!(s.status.as_str(), "cancelled" | "transferred") || s.deleted;
    let discounts = if gone { Vec::new() } else { discounts(client, s).await? };
    Ok(map::Beside { plan, discounts, next_price })
}
