//! Reading the provider's list of events, for what webhooks missed. Where it was read to is kept; what is read twice is
//! known by its id. The list does not reach back for ever: after a longer outage everything is looked at again.

use kit::Timestamp;
use serde_json::json;

use super::inbox::Inbox;
use super::model::Mark;
use super::provider::Told;
use crate::error::Result;

/// How far back the first reading goes.
const FIRST_DAYS: i64 = 3;
/// How far back the list surely reaches: WorkOS lists thirty days.
const REACH_DAYS: i64 = 29;
/// The most pages of one reading.
const PAGES: usize = 50;

/// Reads on where the last reading ended.
#[derive(Clone)]
pub struct Cursor(pub Inbox);

impl Cursor {
    /// One reading, to the end of the list; how many events were new.
    pub async fn read(&self) -> Result<usize> {
        let Inbox { store, provider, clock, .. } = &self.0;
        let now = clock.now();
        let first = Mark { since: Some(kit::time::add_days(now, -FIRST_DAYS)), ..Mark::default() };
        let lost = |mark: &Mark| mark.read_at.is_some_and(|at| at < kit::time::add_days(now, -REACH_DAYS));
        let mut mark = match store.mark().await? {
            Some(mark) if lost(&mark) => {
                self.look_again(now).await?;
                first
            }
            known => known.unwrap_or(first),
        };
        let mut new = 0;
        for _ in 0..PAGES {
            let since = mark.since.unwrap_or(now);
            let page = provider.events(mark.after.as_deref(), since).await?;
            let last = page.events.last().map(|e| e.id.clone());
            for told in page.events {
                let (_, known) = self.0.keep(told).await?;
                new += usize::from(!known);
            }
            if let Some(last) = last.clone() {
                // Only when all of them are kept.
                mark = Mark { after: Some(last), since: None, ..mark };
                store.put_mark(mark.clone()).await?;
            }
            if last.is_none() || page.after.is_none() {
                if mark.read_at.is_none_or(|at| at < kit::time::add_days(now, -1)) {
                    store.put_mark(Mark { read_at: Some(now), ..mark }).await?;
                }
                break;
            }
        }
        if new > 0 {
            tracing::info!(new, "{new} events came by the provider's list and not by webhook");
        }
        Ok(new)
    }

    /// Puts down, as if it had been told, that whatever we know of may have changed; each is then read from the provider
    /// as any event leads there, at its pace and until it is done.
    async fn look_again(&self, now: Timestamp) -> Result<()> {
        let Inbox { store, provider, .. } = &self.0;
        let mut kept = 0_usize;
        let tell = async |name: &str, id: &str, data| {
            let told = Told {
                id: format!("again/{}/{name}/{id}", now.as_second()),
                name: name.into(),
                at: now,
                data,
            };
            self.0.keep(told).await
        };
        for company in store.companies().await? {
            let Some(settings) = store.settings(&company).await? else { continue };
            let Some(organization) = &settings.body.organization_id else { continue };
            tell("organization.updated", organization, json!({ "id": organization })).await?;
            for person in store.listed_ids(&company).await? {
                let data = json!({ "id": person, "organization_id": organization });
                tell("dsync.user.updated", &person, data).await?;
                kept += 1;
            }
            // Where the provider keeps no users, nobody is a member of anything.
            for person in store.identity_ids(&company).await?.iter().filter(|_| provider.keeps_users()) {
                let data = json!({ "user_id": person, "organization_id": organization });
                tell("organization_membership.updated", &format!("{organization}/{person}"), data).await?;
                kept += 1;
            }
        }
        tracing::warn!(
            kept,
            "the provider's list does not reach back to the last reading: {kept} people are looked at again"
        );
        Ok(())
    }
}
