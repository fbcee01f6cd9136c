//! What becomes of each event. Most only say where to look: what holds is read from the provider, so that late, doubled
//! and unordered events leave the same state.

use std::sync::Arc;

use kit::Timestamp;
use serde_json::Value;
use store::Stored;

use super::model::{Event, Listed, Listing, NO_GROUP, Settings};
use super::place::Places;
use super::provider::{IdentityProvider, ProviderError};
use super::store::{SsoStore, scope};
use crate::error::{Error, Result};
use crate::user_profiles::PeopleStore;
use crate::user_session::Sessions;

/// Brings our people up to what the provider tells.
#[derive(Clone)]
pub struct Sync {
    pub store: SsoStore,
    pub provider: Arc<dyn IdentityProvider>,
    pub places: Places,
    pub people: PeopleStore,
    pub sessions: Sessions,
}

fn text<'a>(data: &'a Value, pointer: &str) -> Option<&'a str> {
    data.pointer(pointer).and_then(Value::as_str).filter(|t| !t.is_empty())
}

impl Sync {
    /// Applies an event; false when nothing in it was about us.
    pub async fn apply(&self, event: &Event) -> Result<bool> {
        let unreadable = || Error::from(ProviderError::Unreadable("the event's data".into()));
        let data: Value = serde_json::from_str(&event.data).map_err(|_| unreadable())?;
        let id = text(&data, "/id");
        match event.name.as_str() {
            "session.revoked" => self.session_revoked(id.ok_or_else(unreadable)?).await,
            "user.deleted" => self.user_deleted(id.ok_or_else(unreadable)?).await,
            "organization.deleted" => self.organization_deleted(id.ok_or_else(unreadable)?).await,
            "organization.updated" => self.organization(id.ok_or_else(unreadable)?).await,
            name if name.starts_with("organization_membership.") => {
                let user = text(&data, "/user_id").ok_or_else(unreadable)?;
                self.membership(text(&data, "/organization_id").ok_or_else(unreadable)?, user).await
            }
            name if name.starts_with("dsync.user.") => {
                let dated = name == "dsync.user.updated";
                self.listed(&data, id.ok_or_else(unreadable)?, dated).await
            }
            "dsync.group.user_added" | "dsync.group.user_removed" => {
                let user = data.get("user").ok_or_else(unreadable)?;
                self.listed(user, text(user, "/id").ok_or_else(unreadable)?, false).await
            }
            name if name.starts_with("dsync.group.") => self.group(&data, id.ok_or_else(unreadable)?).await,
            // Domains, connections and directories: whatever it was, the organization is read again.
            name if name.starts_with("organization_domain.")
                || name.starts_with("connection.")
                || name.starts_with("dsync.") =>
            {
                let direct = text(&data, "/organization_id");
                match direct.or_else(|| text(&data, "/organization_domain/organization_id")) {
                    Some(organization) => self.organization(organization).await,
                    None => Ok(false),
                }
            }
            // A person's name and address here are the person's own to change.
            _ => Ok(false),
        }
    }

    async fn session_revoked(&self, id: &str) -> Result<bool> {
        let twins = self.store.twins(id).await?;
        for twin in &twins {
            self.sessions.revoke_one(&twin.body.session_id).await?;
            self.store.shut(&twin.id).await?;
        }
        Ok(!twins.is_empty())
    }

    /// Somebody is gone at the provider, at all companies.
    async fn user_deleted(&self, id: &str) -> Result<bool> {
        let identities = self.store.identities(id).await?;
        for identity in &identities {
            self.places.keep_out(&identity.scope, &identity.body.user_id, "deleted at the provider").await?;
            self.store.remove_identity(identity).await?;
        }
        Ok(!identities.is_empty())
    }

    async fn membership(&self, organization: &str, user: &str) -> Result<bool> {
        let Some(settings) = self.store.by_organization(organization).await? else { return Ok(false) };
        let company = &settings.scope.company;
        let Some(identity) = self.store.identity(company, user).await? else { return Ok(false) };
        let user_id = &identity.body.user_id;
        if self.provider.is_member(organization, user).await? {
            self.places.let_in(&settings.scope, user_id, None).await?;
        } else {
            self.places.keep_out(&settings.scope, user_id, "not a member at the provider").await?;
        }
        Ok(true)
    }

    /// Reads an organization again: its domains, its connection, its directory.
    async fn organization(&self, id: &str) -> Result<bool> {
        let Some(read) = self.store.by_organization(id).await? else { return Ok(false) };
        let organization = self.provider.organization(id).await?;
        let settings = Settings {
            connection: self.provider.connection(id).await?,
            directory_id: self.provider.directory(id).await?,
            ..read.body.seen(&organization)
        };
        if settings != read.body {
            self.store.replace_settings(&read, settings).await?;
        }
        Ok(true)
    }

    /// Without its organization a company's single sign-on leads nowhere. That it is required stays: only its people or
    /// an operator may open another door.
    async fn organization_deleted(&self, id: &str) -> Result<bool> {
        let Some(read) = self.store.by_organization(id).await? else { return Ok(false) };
        let settings = Settings {
            organization_id: None,
            connection: None,
            directory_id: None,
            domains: Vec::new(),
            ..read.body.clone()
        };
        self.store.replace_settings(&read, settings).await?;
        Ok(true)
    }

    /// Somebody in a directory, or no longer. `dated`: the event's time of the person says whether it is news.
    async fn listed(&self, data: &Value, id: &str, dated: bool) -> Result<bool> {
        let Some(organization) = text(data, "/organization_id") else { return Ok(false) };
        let Some(settings) = self.store.by_organization(organization).await? else { return Ok(false) };
        let company = settings.scope.company.as_str();
        let known = self.store.listed(company, id).await?;
        let told_at = text(data, "/updated_at").and_then(|t| t.parse::<Timestamp>().ok());
        if let (Some(known), Some(told_at), true) = (&known, told_at, dated)
            && known.body.changed_at > kit::clock::millis(told_at)
        {
            // A newer state was read before this older one came.
            return Ok(true);
        }
        let found = self.provider.directory_user(id).await?;
        let found = found.filter(|u| u.organization.as_deref().is_none_or(|o| o == organization));
        let now = match (&found, &known) {
            (Some(user), _) => Listed::from(user),
            (None, Some(known)) => Listed { active: false, groups: Vec::new(), ..known.body.clone() },
            (None, None) => return Ok(false),
        };
        self.store.put_listed(company, now.clone()).await?;
        self.follow(&settings, &now, known.as_ref().map(|k| &k.body)).await
    }

    /// A group changed or went: everybody who was in it is read again.
    async fn group(&self, data: &Value, id: &str) -> Result<bool> {
        let Some(organization) = text(data, "/organization_id") else { return Ok(false) };
        let Some(settings) = self.store.by_organization(organization).await? else { return Ok(false) };
        let company = settings.scope.company.as_str();
        let members = self.store.listed_in(company, id).await?;
        for member in &members {
            let now = match self.provider.directory_user(&member.body.external_id).await? {
                Some(user) => Listed::from(&user),
                None => Listed { active: false, groups: Vec::new(), ..member.body.clone() },
            };
            self.store.put_listed(company, now.clone()).await?;
            self.follow(&settings, &now, Some(&member.body)).await?;
        }
        Ok(!members.is_empty())
    }

    /// The place of a listed person, if they have one here: shut, opened again, or with another role. Newcomers get
    /// theirs when they first sign in.
    async fn follow(
        &self,
        settings: &Stored<Settings>,
        listed: &Listed,
        before: Option<&Listed>,
    ) -> Result<bool> {
        let scope = scope(&settings.scope.company);
        let Some(person) = self.people.by_email(&listed.email_key).await? else { return Ok(true) };
        if person.body.kale_admin || self.places.place(&scope.company, &person.id).await?.is_none() {
            return Ok(true);
        }
        let listing = Listing::of(&settings.body, listed.active, &listed.groups, before);
        if !listing.active {
            self.places.keep_out(&scope, &person.id, "deactivated in the directory").await?;
        } else if listing.lost {
            self.places.keep_out(&scope, &person.id, NO_GROUP).await?;
        } else {
            let hold = self.store.hold(&scope.company, &person.id).await?;
            // Who is out for want of a group needs one to come in again.
            if listing.role.is_some() || hold.is_none_or(|h| h.body.why != NO_GROUP) {
                self.places.let_in(&scope, &person.id, listing.role).await?;
            }
        }
        Ok(true)
    }
}
