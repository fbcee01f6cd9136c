//! Everything there is, then what happened since. Lists come newest first; what appears during a pass is in the events.

use std::collections::BTreeSet;

use anyhow::Context;
use kit::Timestamp;
use serde::{Deserialize, Serialize};

use super::client::Client;
use super::{acts, facts, map, wire};
use crate::providers::{Change, ChangePage, Cursor, ExternalId, ProviderError};

const PAGE: &str = "100";
/// Events are kept for thirty days; a cursor nearer than this to their end begins again with everything.
pub const EVENTS_REACH: i64 = 29 * 86_400;
/// How far a pass looks back before the last one began: an event may become visible a little late.
pub const OVERLAP: i64 = 300;
/// The events that change what we mirror.
const TYPES: [&str; 12] = [
    "customer.created",
    "customer.updated",
    "customer.deleted",
    "customer.subscription.created",
    "customer.subscription.updated",
    "customer.subscription.deleted",
    "customer.subscription.paused",
    "customer.subscription.resumed",
    "customer.subscription.pending_update_applied",
    "customer.subscription.pending_update_expired",
    "customer.discount.created",
    "customer.discount.deleted",
];

/// A place in a pass. `began`: when the pass did, in seconds.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Place {
    Customers {
        began: i64,
        after: Option<String>,
    },
    Subscriptions {
        began: i64,
        after: Option<String>,
    },
    Events {
        since: i64,
        began: i64,
        after: Option<String>,
    },
    /// Between passes.
    Rest {
        since: i64,
    },
}

impl Place {
    fn read(cursor: &Cursor, now: i64) -> Result<Self, ProviderError> {
        let everything = Self::Customers { began: now, after: None };
        if cursor.is_start() {
            return Ok(everything);
        }
        let place = serde_json::from_str(cursor.as_str()).context("not a cursor of ours");
        Ok(match place.map_err(ProviderError::Unreadable)? {
            Self::Rest { since } | Self::Events { since, .. } if now - since > EVENTS_REACH => everything,
            Self::Rest { since } => Self::Events { since, began: now, after: None },
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
        Place::Customers { began, after } => {
            let page: wire::List<wire::Customer> =
                list(client, "customer.list", "/v1/customers", &[], after.as_deref()).await?;
            let last = page.data.last().map(|c| c.id.clone()).filter(|_| page.has_more);
            let next = match last {
                Some(last) => Place::Customers { began, after: Some(last) },
                None => Place::Subscriptions { began, after: None },
            };
            (customers(&page.data, at)?, next)
        }
        Place::Subscriptions { began, after } => {
            let query = [
                ("status", "all"),
                ("expand[]", "data.discounts.source.coupon"),
                ("expand[]", "data.schedule"),
            ];
            let page: wire::List<wire::Subscription> =
                list(client, "subscription.list", "/v1/subscriptions", &query, after.as_deref()).await?;
            let last = page.data.last().map(|s| s.id.clone()).filter(|_| page.has_more);
            let next = match last {
                Some(last) => Place::Subscriptions { began, after: Some(last) },
                None => Place::Rest { since: began - OVERLAP },
            };
            (subscriptions(&page.data, at), next)
        }
        Place::Events { since, began, after } => {
            let from = since.to_string();
            let mut query = vec![("created[gte]", from.as_str())];
            query.extend(TYPES.map(|t| ("types[]", t)));
            let page: wire::List<wire::Event> =
                list(client, "event.list", "/v1/events", &query, after.as_deref()).await?;
            let last = page.data.last().map(|e| e.id.clone()).filter(|_| page.has_more);
            let next = match last {
                Some(last) => Place::Events { since, began, after: Some(last) },
                None => Place::Rest { since: began - OVERLAP },
            };
            (touched(client, &page.data, at).await?, next)
        }
        Place::Rest { .. } => {
            return Err(ProviderError::Unreadable(anyhow::anyhow!("a pass without a place")));
        }
    };
    Ok(ChangePage { changes, done: matches!(next, Place::Rest { .. }), next: next.cursor()? })
}

pub async fn list<T: serde::de::DeserializeOwned>(
    client: &Client,
    operation: &'static str,
    path: &str,
    query: &[(&str, &str)],
    after: Option<&str>,
) -> Result<wire::List<T>, ProviderError> {
    let mut query = query.to_vec();
    query.push(("limit", PAGE));
    if let Some(after) = after {
        query.push(("starting_after", after));
    }
    client.get(operation, path, &query).await
}

/// Every page of a list, for catalogues: short enough to be read whole.
pub async fn all<T: serde::de::DeserializeOwned>(
    client: &Client,
    operation: &'static str,
    path: &str,
    query: &[(&str, &str)],
    id: fn(&T) -> &str,
) -> Result<Vec<T>, ProviderError> {
    let mut found: Vec<T> = Vec::new();
    // A catalogue of more than 5 000 entries is cut there: nobody builds offers from it by hand.
    for _ in 0..50 {
        let after = found.last().map(|last| id(last).to_owned());
        let page: wire::List<T> = list(client, operation, path, query, after.as_deref()).await?;
        let more = page.has_more && !page.data.is_empty();
        found.extend(page.data);
        if !more {
            break;
        }
    }
    Ok(found)
}

fn customers(page: &[wire::Customer], at: Timestamp) -> Result<Vec<Change>, ProviderError> {
    let read = page.iter().map(|c| map::customer(c, at).map(Change::Customer));
    read.collect::<anyhow::Result<_>>().map_err(ProviderError::Unreadable)
}

/// One that we cannot read must not keep the others out: it is left out and named in the log.
fn subscriptions(page: &[wire::Subscription], at: Timestamp) -> Vec<Change> {
    let read = |s: &wire::Subscription| match map::subscription(s, at) {
        Ok(snapshot) => Some(Change::Subscription(Box::new(snapshot))),
        Err(e) => {
            tracing::warn!(subscription = s.id, error = %e, "a subscription at stripe cannot be read: {e}");
            None
        }
    };
    page.iter().filter_map(read).collect()
}

/// What the events are about, as it stands now, each once.
async fn touched(
    client: &Client,
    events: &[wire::Event],
    at: Timestamp,
) -> Result<Vec<Change>, ProviderError> {
    let mut people = BTreeSet::new();
    let mut contracts = BTreeSet::new();
    for event in events {
        let (customer, subscription) = facts::about(event);
        match subscription {
            Some(id) => drop(contracts.insert(id)),
            None => people.extend(customer),
        }
    }
    let mut changes = Vec::new();
    for id in people {
        match client.get::<wire::Customer>("customer.read", &format!("/v1/customers/{id}"), &[]).await {
            Ok(customer) => changes.extend(customers(&[customer], at)?),
            Err(ProviderError::NotFound(_)) => {}
            Err(e) => return Err(e),
        }
    }
    for id in contracts {
        match acts::read(client, &ExternalId::new(id)).await {
            Ok(subscription) => changes.extend(subscriptions(&[subscription], at)),
            Err(ProviderError::NotFound(_)) => {}
            Err(e) => return Err(e),
        }
    }
    Ok(changes)
}
