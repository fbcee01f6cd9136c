//! What Stripe would have told by webhook: its list of events, of the types we act on. Kept there for thirty days; what
//! is older is found by a full sync.

use anyhow::Context;
use kit::{Mode, Timestamp};
use serde::{Deserialize, Serialize};

use super::client::Client;
use super::{facts, sync, wire};
use crate::providers::{Cursor, EventPage, Heard, ProviderError};

/// The types that change what we know: Stripe takes twenty at most.
const TYPES: [&str; 20] = [
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
    "invoice.paid",
    "invoice.payment_succeeded",
    "invoice.payment_failed",
    "charge.refunded",
    "refund.created",
    "refund.failed",
    "charge.dispute.created",
    "charge.dispute.closed",
];

/// A place in a look. The list runs from the newest to the oldest, so a look ends where the one before began.
#[derive(Serialize, Deserialize)]
struct Place {
    /// The oldest second that is looked at.
    since: i64,
    /// When this look began; none between looks.
    began: Option<i64>,
    after: Option<String>,
}

pub async fn since(
    client: &Client,
    cursor: &Cursor,
    from: Timestamp,
    now: Timestamp,
    mode: Mode,
) -> Result<EventPage, ProviderError> {
    let now = now.as_second();
    let place = match cursor.is_start() {
        true => Place { since: from.as_second(), began: None, after: None },
        false => serde_json::from_str(cursor.as_str())
            .context("not a cursor of ours")
            .map_err(ProviderError::Unreadable)?,
    };
    let Place { since, began, after } = place;
    let since = since.max(now - sync::EVENTS_REACH);
    let began = began.unwrap_or(now);
    let from = since.to_string();
    let mut query = vec![("created[gte]", from.as_str())];
    query.extend(TYPES.map(|t| ("types[]", t)));
    let page: wire::List<serde_json::Value> =
        sync::list(client, "event.list", "/v1/events", &query, after.as_deref()).await?;
    let last = page.data.last().and_then(|e| e["id"].as_str()).filter(|_| page.has_more);
    let next = match last {
        Some(last) => Place { since, began: Some(began), after: Some(last.to_owned()) },
        None => Place { since: began - sync::OVERLAP, began: None, after: None },
    };
    let done = next.began.is_none();
    let next = serde_json::to_string(&next).map_err(|e| ProviderError::Unreadable(e.into()))?;
    let events = page.data.iter().filter_map(|event| heard(event, mode)).collect();
    Ok(EventPage { events, next: Cursor::new(next), done })
}

/// One that cannot be read must not hide the others.
fn heard(event: &serde_json::Value, mode: Mode) -> Option<Heard> {
    let raw = event.to_string();
    match facts::read(raw.as_bytes(), mode) {
        Ok(fact) => Some(Heard { fact, raw }),
        Err(e) => {
            let id = event["id"].as_str().unwrap_or_default();
            tracing::warn!(event = id, error = %e, "an event at stripe cannot be read: {e}");
            None
        }
    }
}
