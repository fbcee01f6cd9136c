//! Everything there is, then what changed since: lists by the time of the last change, oldest first, as Recurly advises
//! (the other way round, rows that change during a pass slip behind its place). An invoice that falls due or is paid does
//! not touch its subscription, so a later pass looks at invoices, too.

use std::collections::BTreeSet;

use anyhow::Context;
use kit::Timestamp;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::client::{Client, PAGE};
use super::{acts, around, map, wire};
use crate::providers::{Change, ChangePage, Cursor, ExternalId, ProviderError};

/// How far a pass looks back before the last one began: a change may become visible a little late.
const OVERLAP: i64 = 300;

/// A place in a pass. `began`: when the pass did, in seconds; `since`: from when on changes count, none for everything;
/// `next`: the page, as Recurly named it.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Place {
    Accounts {
        began: i64,
        since: Option<i64>,
        next: Option<String>,
    },
    Subscriptions {
        began: i64,
        since: Option<i64>,
        next: Option<String>,
    },
    Invoices {
        began: i64,
        since: i64,
        next: Option<String>,
    },
    /// Between passes.
    Rest {
        since: i64,
    },
}

impl Place {
    fn read(cursor: &Cursor, now: i64) -> Result<Self, ProviderError> {
        if cursor.is_start() {
            return Ok(Self::Accounts { began: now, since: None, next: None });
        }
        let place = serde_json::from_str(cursor.as_str()).context("not a cursor of ours");
        Ok(match place.map_err(ProviderError::Unreadable)? {
            Self::Rest { since } => Self::Accounts { began: now, since: Some(since), next: None },
            under_way => under_way,
        })
    }

    fn cursor(&self) -> Result<Cursor, ProviderError> {
        let text = serde_json::to_string(self).map_err(|e| ProviderError::Unreadable(e.into()))?;
        Ok(Cursor::new(text))
    }
}

/// The place of a pass over what changed from then on.
pub fn since(from: Timestamp, now: Timestamp) -> Result<Cursor, ProviderError> {
    Place::Accounts { began: now.as_second(), since: Some(from.as_second()), next: None }.cursor()
}

pub async fn changes(client: &Client, since: &Cursor, at: Timestamp) -> Result<ChangePage, ProviderError> {
    let (changes, next) = match Place::read(since, at.as_second())? {
        Place::Accounts { began, since, next } => {
            let (page, next) =
                list::<wire::Account>(client, "account.list", "/accounts", since, next.as_deref()).await?;
            let next = match next {
                None => Place::Subscriptions { began, since, next: None },
                next => Place::Accounts { began, since, next },
            };
            (page.iter().map(|a| Change::Customer(map::customer(a))).collect(), next)
        }
        Place::Subscriptions { began, since, next } => {
            let (page, next) =
                list(client, "subscription.list", "/subscriptions", since, next.as_deref()).await?;
            let next = match (next, since) {
                (None, None) => Place::Rest { since: began - OVERLAP },
                (None, Some(since)) => Place::Invoices { began, since, next: None },
                (next, since) => Place::Subscriptions { began, since, next },
            };
            let read = around::page(client, &page, at).await?;
            (read.into_iter().map(|s| Change::Subscription(Box::new(s))).collect(), next)
        }
        Place::Invoices { began, since, next } => {
            let (page, next) =
                list::<wire::Invoice>(client, "invoice.list", "/invoices", Some(since), next.as_deref())
                    .await?;
            let next = match next {
                None => Place::Rest { since: began - OVERLAP },
                next => Place::Invoices { began, since, next },
            };
            (touched(client, page, at).await?, next)
        }
        Place::Rest { .. } => return Err(super::client::unreadable("a pass without a place")),
    };
    Ok(ChangePage { changes, done: matches!(next, Place::Rest { .. }), next: next.cursor()? })
}

async fn list<T: DeserializeOwned>(
    client: &Client,
    operation: &'static str,
    path: &str,
    since: Option<i64>,
    next: Option<&str>,
) -> Result<(Vec<T>, Option<String>), ProviderError> {
    let since = since.map(|at| Timestamp::from_second(at).unwrap_or_default().to_string());
    let mut query = vec![("sort", "updated_at"), ("order", "asc"), ("limit", PAGE)];
    query.extend(since.as_deref().map(|since| ("begin_time", since)));
    client.page(operation, path, &query, next).await
}

/// The subscriptions of these invoices as they stand now, each once.
async fn touched(
    client: &Client,
    invoices: Vec<wire::Invoice>,
    at: Timestamp,
) -> Result<Vec<Change>, ProviderError> {
    let ids: BTreeSet<String> =
        invoices.into_iter().flat_map(|i| i.subscription_ids.unwrap_or_default()).collect();
    let mut changes = Vec::new();
    for id in ids {
        match acts::read(client, &ExternalId::new(id)).await {
            Ok(s) => {
                let read = around::page(client, &[s], at).await?;
                changes.extend(read.into_iter().map(|s| Change::Subscription(Box::new(s))));
            }
            Err(ProviderError::NotFound(_)) => {}
            Err(e) => return Err(e),
        }
    }
    Ok(changes)
}
