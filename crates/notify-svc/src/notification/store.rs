//! The queries of messages and preferences.

use std::time::Duration;

use bson::doc;
use kit::{Page, PageRequest, Scope, SharedClock, Timestamp};
use mongodb::Database;
use store::{Index, Record, Repo, Sort, Stored};

use crate::events::delivered;

use super::model::{Notification, Preferences};

impl Record for Notification {
    const COLLECTION: &'static str = "notifications";
    const NOUN: &'static str = "notification";

    fn indexes() -> Vec<Index> {
        vec![
            Index::on(&["body.user_id", "body.dedupe_key"]).unique(),
            Index::on(&["body.user_id", "_id"]),
            Index::on(&["body.about"]).partial(doc! { "body.about": { "$exists": true } }),
            Index::on(&["body.user_id", "body.read_at", "_id"]),
            Index::global(&["created_at"]).ttl(Duration::from_secs(180 * 24 * 3600)),
        ]
    }
}

/// Has the id of the person.
impl Record for Preferences {
    const COLLECTION: &'static str = "notification_preferences";
    const NOUN: &'static str = "preferences";

    fn indexes() -> Vec<Index> {
        Vec::new()
    }
}

#[derive(Clone)]
pub struct NotificationStore {
    notifications: Repo<Notification>,
    preferences: Repo<Preferences>,
}

impl NotificationStore {
    pub async fn open(db: &Database, clock: SharedClock) -> Result<Self, store::Error> {
        let notifications = Repo::open(db, clock.clone()).await?;
        Ok(Self { notifications, preferences: Repo::open(db, clock).await? })
    }

    /// Keeps a message, once per person and key.
    pub async fn keep(
        &self,
        scope: &Scope,
        notification: Notification,
        now: Timestamp,
    ) -> Result<(), store::Error> {
        let id = kit::id::new("ntf");
        let told = vec![delivered(scope, &id, &notification.user_id, now)];
        match self.notifications.insert(scope, id, notification, told).await {
            Ok(_) | Err(store::Error::Duplicate(_)) => Ok(()),
            Err(e) => Err(e),
        }
    }

    pub async fn list(
        &self,
        scope: &Scope,
        user: &str,
        unread: bool,
        page: &PageRequest,
    ) -> Result<Page<Stored<Notification>>, store::Error> {
        let mut filter = doc! { "body.user_id": user };
        if unread {
            filter.insert("body.read_at", bson::Bson::Null);
        }
        self.notifications.list(scope, filter, Sort::Newest, page).await
    }

    /// Marks one of a person's own as read, at the first time.
    pub async fn read(
        &self,
        scope: &Scope,
        user: &str,
        id: &str,
        now: Timestamp,
    ) -> Result<Stored<Notification>, store::Error> {
        let unread = doc! { "body.user_id": user, "body.read_at": bson::Bson::Null };
        let update = doc! { "$set": { "body.read_at": store::time::to_bson(now) } };
        if let Some(read) = self.notifications.update(scope, id, unread, update, Vec::new()).await? {
            return Ok(read);
        }
        let own = self.notifications.find(scope, doc! { "_id": id, "body.user_id": user }).await?;
        own.ok_or(store::Error::NotFound(Notification::NOUN))
    }

    pub async fn read_all(&self, scope: &Scope, user: &str, now: Timestamp) -> Result<u64, store::Error> {
        let unread = doc! { "body.user_id": user, "body.read_at": bson::Bson::Null };
        let update = doc! { "$set": { "body.read_at": store::time::to_bson(now) } };
        self.notifications.update_many(scope, unread, update).await
    }

    pub async fn preferences(&self, scope: &Scope, user: &str) -> Result<Preferences, store::Error> {
        let found = self.preferences.find(scope, doc! { "_id": user }).await?;
        Ok(found.map(|p| p.body).unwrap_or_default())
    }

    pub async fn set_preferences(
        &self,
        scope: &Scope,
        user: &str,
        preferences: Preferences,
    ) -> Result<(), store::Error> {
        self.preferences.upsert(scope, user.to_owned(), preferences, Vec::new()).await.map(|_| ())
    }
}
