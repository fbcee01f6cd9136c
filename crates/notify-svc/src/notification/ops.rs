//! Telling people, and what they do with what they are told.

use kit::{Caller, Page, PageRequest, Scope, SharedClock};
use serde_json::Value;
use store::Stored;

use super::model::{Kind, Mode, Notification, Post, Preferences, Recipient};
use super::store::NotificationStore;
use super::words::word;
use crate::email::{Draft, Mails, fill};
use crate::error::Result;
use crate::upstream::Directory;

const MAIL: &str = "Email_Notification_RA";

#[derive(Clone)]
pub struct Notifications {
    store: NotificationStore,
    mails: Mails,
    directory: Directory,
    public_url: String,
    clock: SharedClock,
}

impl Notifications {
    pub fn new(
        store: NotificationStore,
        mails: Mails,
        directory: Directory,
        public_url: &str,
        clock: SharedClock,
    ) -> Self {
        let public_url = public_url.trim_end_matches('/').to_owned();
        Self { store, mails, directory, public_url, clock }
    }

    /// Tells a company's people of the post's roles; how many there are. Done again, it tells nobody twice.
    pub async fn tell(&self, scope: &Scope, post: &Post) -> Result<u32> {
        let people = self.directory.people(scope).await?;
        let admins = [String::from("ret_admin")];
        let roles: &[String] = if post.roles.is_empty() { &admins } else { &post.roles };
        let mut told = 0;
        for person in people.iter().filter(|p| roles.contains(&p.role)) {
            self.tell_one(scope, post, person).await?;
            told += 1;
        }
        Ok(told)
    }

    async fn tell_one(&self, scope: &Scope, post: &Post, person: &Recipient) -> Result<()> {
        let wants = self.store.preferences(scope, &person.user_id).await?;
        let (title, body) = words_for(post, person);
        if wants.in_app(post.kind) == Mode::Now {
            let notification = Notification {
                user_id: person.user_id.clone(),
                kind: post.kind,
                severity: post.severity,
                title: title.clone(),
                body: body.clone(),
                link: post.link.clone(),
                subject: post.subject.clone(),
                dedupe_key: post.dedupe_key.clone(),
                about: post.about.clone(),
                read_at: None,
            };
            self.store.keep(scope, notification, self.clock.now()).await?;
        }
        if post.in_app_only || wants.email(post.kind) != Mode::Now || person.email.is_empty() {
            return Ok(());
        }
        let mut values = post.values.clone();
        if !values.is_object() {
            values = Value::Object(serde_json::Map::new());
        }
        values["title"] = title.into();
        values["body"] = body.into();
        values["link"] = format!("{}{}", self.public_url, post.link).into();
        values["company"] = self.directory.company_name(scope).await?.as_ref().into();
        if let Some((name, masked)) = &post.customer {
            let shown = if person.sees_personal_data { name } else { masked };
            values["customer"] = shown.as_str().into();
        }
        if let Some(value) = post.value {
            values["value"] = value.to_string().into();
        }
        let draft = Draft {
            template: post.template.unwrap_or(MAIL).to_owned(),
            to: person.email.clone(),
            locale: person.locale.clone(),
            from_name: String::new(),
            values,
            dedupe_key: format!("{}/{}", post.dedupe_key, person.user_id),
            customer_id: None,
            about: post.about.clone(),
            recovery_of: None,
        };
        self.mails.queue(scope, draft).await
    }

    pub async fn list(
        &self,
        caller: &Caller,
        unread: bool,
        page: &PageRequest,
    ) -> Result<Page<Stored<Notification>>> {
        Ok(self.store.list(caller.scope()?, &caller.actor.id, unread, page).await?)
    }

    pub async fn read(&self, caller: &Caller, id: &str) -> Result<Stored<Notification>> {
        Ok(self.store.read(caller.scope()?, &caller.actor.id, id, self.clock.now()).await?)
    }

    pub async fn read_all(&self, caller: &Caller) -> Result<u64> {
        Ok(self.store.read_all(caller.scope()?, &caller.actor.id, self.clock.now()).await?)
    }

    pub async fn preferences(&self, caller: &Caller) -> Result<Preferences> {
        Ok(self.store.preferences(caller.scope()?, &caller.actor.id).await?)
    }

    pub async fn set_preferences(&self, caller: &Caller, preferences: Preferences) -> Result<Preferences> {
        self.store.set_preferences(caller.scope()?, &caller.actor.id, preferences.clone()).await?;
        Ok(preferences)
    }
}

/// Title and body as one person reads them.
fn words_for(post: &Post, person: &Recipient) -> (String, String) {
    let locale = person.locale.as_str();
    let (title, body) = match &post.words {
        Some((title, body)) => (title.get(locale).to_owned(), body.get(locale).to_owned()),
        None => (word(&post.title, locale), word(&post.body, locale)),
    };
    // Elsewhere two braces are what somebody wrote.
    if post.kind != Kind::PaymentRecovery {
        return (title, body);
    }
    let value = |name: &str| match (name, &post.customer) {
        ("name", Some((name, masked))) => (if person.sees_personal_data { name } else { masked }).clone(),
        ("name", None) => word("a_customer", locale),
        (name, _) => post.values.get(name).and_then(Value::as_str).unwrap_or_default().to_owned(),
    };
    (fill(&title, value), fill(&body, value))
}
