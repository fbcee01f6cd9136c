//! What Chargebee would have told by webhook: its list of events, the oldest first.

use anyhow::{Context, anyhow};
use kit::Timestamp;
use serde::{Deserialize, Serialize};

use super::client::Client;
use super::{facts, sync};
use crate::providers::{Cursor, EventPage, Heard, ProviderError};

/// A place in a look.
#[derive(Serialize, Deserialize)]
struct Place {
    /// The oldest second that is looked at.
    since: i64,
    /// When this look began; none between looks.
    began: Option<i64>,
    offset: Option<String>,
}

#[derive(Deserialize)]
struct Page {
    list: Vec<serde_json::Value>,
    next_offset: Option<String>,
}

pub async fn since(
    client: &Client,
    cursor: &Cursor,
    from: Timestamp,
    now: Timestamp,
    live: bool,
) -> Result<EventPage, ProviderError> {
    let place = match cursor.is_start() {
        true => Place { since: from.as_second(), began: None, offset: None },
        false => serde_json::from_str(cursor.as_str())
            .context("not a cursor of ours")
            .map_err(ProviderError::Unreadable)?,
    };
    let Place { since, began, offset } = place;
    let began = began.unwrap_or(now.as_second());
    // `after` leaves its own second out.
    let after = (since - 1).to_string();
    let mut query =
        vec![("occurred_at[after]", after.as_str()), ("sort_by[asc]", "occurred_at"), ("limit", "100")];
    query.extend(offset.as_deref().map(|offset| ("offset", offset)));
    let page: Page = client.get("event.list", "/events", &query).await?;
    if offset.is_some() && page.next_offset == offset {
        return Err(ProviderError::Unreadable(anyhow!("event.list repeats its offset")));
    }
    let next = match page.next_offset {
        offset @ Some(_) => Place { since, began: Some(began), offset },
        None => Place { since: began - sync::OVERLAP, began: None, offset: None },
    };
    let done = next.began.is_none();
    let next = serde_json::to_string(&next).map_err(|e| ProviderError::Unreadable(e.into()))?;
    let events = page.list.iter().filter_map(|wrapped| heard(&wrapped["event"], live)).collect();
    Ok(EventPage { events, next: Cursor::new(next), done })
}

/// One that cannot be read must not hide the others.
fn heard(event: &serde_json::Value, live: bool) -> Option<Heard> {
    let raw = event.to_string();
    match facts::read(raw.as_bytes(), live) {
        Ok(fact) => Some(Heard { fact, raw }),
        Err(e) => {
            let id = event["id"].as_str().unwrap_or_default();
            tracing::warn!(event = id, error = %e, "an event at chargebee cannot be read: {e}");
            None
        }
    }
}
