//! Reading the provider's list of events, for what webhooks missed. Where it was read to is kept; what is read twice is
//! known by its id.

use super::inbox::Inbox;
use super::model::Mark;
use crate::error::Result;

/// How far back the first reading goes.
const FIRST_DAYS: i64 = 3;
/// The most pages of one reading.
const PAGES: usize = 50;

/// Reads on where the last reading ended.
#[derive(Clone)]
pub struct Cursor(pub Inbox);

impl Cursor {
    /// One reading, to the end of the list; how many events were new.
    pub async fn read(&self) -> Result<usize> {
        let Inbox { store, provider, clock, .. } = &self.0;
        let mut mark = match store.mark().await? {
            Some(mark) => mark,
            None => Mark { after: None, since: Some(kit::time::add_days(clock.now(), -FIRST_DAYS)) },
        };
        let mut new = 0;
        for _ in 0..PAGES {
            let since = mark.since.unwrap_or_else(|| clock.now());
            let page = provider.events(mark.after.as_deref(), since).await?;
            let Some(last) = page.events.last().map(|e| e.id.clone()) else { break };
            for told in page.events {
                let (_, known) = self.0.keep(told).await?;
                new += usize::from(!known);
            }
            // Only when all of them are kept.
            mark = Mark { after: Some(last), since: None };
            store.put_mark(mark.clone()).await?;
            if page.after.is_none() {
                break;
            }
        }
        if new > 0 {
            tracing::info!(new, "{new} events came by the provider's list and not by webhook");
        }
        Ok(new)
    }
}
