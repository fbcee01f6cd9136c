//! WorkOS over HTTP.

use async_trait::async_trait;
use connect::http::{Answer, Call, Http};
use connect::sign;
use kit::{SecretString, Timestamp};
use reqwest::Method;
use serde::de::DeserializeOwned;
use serde_json::json;
use url::Url;

use super::answers::{
    self, ConnectionAnswer, DirectoryAnswer, DirectoryUserAnswer, EventAnswer, List, MembershipAnswer,
    OrganizationAnswer, PortalAnswer,
};
use super::entry::SignIn;
use super::model::EVENTS;
use super::provider::{
    Arrival, Connection, ConnectionState, Departure, DirectoryUser, IdentityProvider, Intent, Organization,
    Page, Profile, ProviderError, Result, Told, Wanted,
};
use super::token::{KeySet, Keys};

pub(super) const SYSTEM: &str = "workos";
/// The most one page of events may hold.
const PAGE: &str = "100";

/// Our place at WorkOS.
#[derive(Clone)]
pub struct Access {
    /// Such as `https://api.workos.com`.
    pub base: String,
    /// Through which of its doors people come.
    pub sign_in: SignIn,
    pub client_id: String,
    pub api_key: SecretString,
    /// Two while one is being replaced.
    pub webhook_secrets: Vec<SecretString>,
    /// Whose access tokens are believed, to the letter.
    pub issuers: Vec<String>,
}

/// The adapter.
pub struct WorkOs {
    pub(super) access: Access,
    pub(super) http: Http,
    pub(super) keys: Keys,
}

impl WorkOs {
    pub fn new(access: Access, http: Http) -> Self {
        Self { access, http, keys: Keys::default() }
    }

    pub(super) fn url(&self, path: &[&str]) -> Result<Url> {
        let wrong = || ProviderError::Unreadable("RETENTION_WORKOS_URL is no address".into());
        let mut url = Url::parse(&self.access.base).map_err(|_| wrong())?;
        // Ids of others go in as one segment each, whatever they hold.
        url.path_segments_mut().map_err(|()| wrong())?.pop_if_empty().extend(path);
        Ok(url)
    }

    fn call(&self, operation: &'static str, method: Method, path: &[&str]) -> Result<Call> {
        let url = self.url(path)?;
        Ok(self.http.call(SYSTEM, operation, method, url.as_str()).bearer(&self.access.api_key))
    }

    async fn get<T: DeserializeOwned>(
        &self,
        operation: &'static str,
        path: &[&str],
        query: &[(&str, &str)],
    ) -> Result<T> {
        read(&self.call(operation, Method::GET, path)?.query(query).send().await?)
    }

    pub(super) async fn keys(&self) -> Result<KeySet> {
        self.get("jwks", &["sso", "jwks", &self.access.client_id], &[]).await
    }

    async fn by_company(&self, company: &str) -> Result<Option<Organization>> {
        let path = ["organizations", "external_id", company];
        found(self.get::<OrganizationAnswer>("organization.by_external_id", &path, &[]).await)
    }
}

fn read<T: DeserializeOwned>(answer: &Answer) -> Result<T> {
    if !answer.is_success() {
        let request = answer.header("x-request-id").unwrap_or_default();
        tracing::debug!(status = answer.status, workos.request_id = request, "WorkOS refused");
        return Err(answers::problem(answer.status, &answer.body, answer.retry_after()));
    }
    answer.json().map_err(|e| ProviderError::Unreadable(e.to_string()))
}

/// "Not there" is an answer.
fn found<A: Into<T>, T>(answer: Result<A>) -> Result<Option<T>> {
    match answer {
        Ok(found) => Ok(Some(found.into())),
        Err(ProviderError::NotFound) => Ok(None),
        Err(e) => Err(e),
    }
}

fn domain_data(domains: &[(String, bool)]) -> serde_json::Value {
    let state = |verified: bool| if verified { "verified" } else { "pending" };
    domains.iter().map(|(d, v)| json!({ "domain": d, "state": state(*v) })).collect()
}

#[async_trait]
impl IdentityProvider for WorkOs {
    fn name(&self) -> &'static str {
        "workos"
    }

    fn keeps_users(&self) -> bool {
        self.access.sign_in == SignIn::Authkit
    }

    fn departure(&self, departure: &Departure<'_>) -> Result<String> {
        match self.access.sign_in {
            SignIn::Authkit => self.authkit_departure(departure),
            SignIn::Sso => self.sso_departure(departure),
        }
    }

    async fn arrival(&self, arrival: &Arrival<'_>) -> Result<Profile> {
        match self.access.sign_in {
            SignIn::Authkit => self.authkit_arrival(arrival).await,
            SignIn::Sso => self.sso_arrival(arrival).await,
        }
    }

    async fn ensure_organization(&self, wanted: &Wanted<'_>) -> Result<Organization> {
        let mut there = match wanted.known {
            Some(id) => {
                found(self.get::<OrganizationAnswer>("organization.get", &["organizations", id], &[]).await)?
            }
            None => None,
        };
        if there.is_none() {
            there = self.by_company(wanted.company).await?;
        }
        let body = json!({
            "name": wanted.name,
            "external_id": wanted.company,
            "domain_data": domain_data(wanted.domains),
        });
        let Some(there): Option<Organization> = there else {
            let call = self.call("organization.create", Method::POST, &["organizations"])?.json(&body).once();
            let made = read::<OrganizationAnswer>(&call.send().await?);
            return match made {
                Ok(made) => Ok(made.into()),
                // Another call was first, or our first one arrived after all.
                Err(e @ ProviderError::Refused(_)) => self.by_company(wanted.company).await?.ok_or(e),
                Err(e) => Err(e),
            };
        };
        let mut domains = [there.domains.clone(), wanted.domains.to_vec()];
        domains.iter_mut().for_each(|d| d.sort());
        let same_names = |a: &[(String, bool)], b: &[(String, bool)]| {
            a.iter().map(|d| &d.0).eq(b.iter().map(|d| &d.0))
                // What the provider has proved since is not taken back.
                && a.iter().zip(b).all(|(has, want)| has.1 || !want.1)
        };
        let as_wanted = there.name == wanted.name
            && there.external_id.as_deref() == Some(wanted.company)
            && same_names(&domains[0], &domains[1]);
        if as_wanted {
            return Ok(there);
        }
        let keeps = |d: &(String, bool)| (d.0.clone(), d.1 || there.domains.contains(&(d.0.clone(), true)));
        let kept: Vec<_> = wanted.domains.iter().map(keeps).collect();
        let body =
            json!({ "domain_data": domain_data(&kept), "name": wanted.name, "external_id": wanted.company });
        let call = self.call("organization.update", Method::PUT, &["organizations", &there.id])?.json(&body);
        Ok(read::<OrganizationAnswer>(&call.send().await?)?.into())
    }

    async fn organization(&self, id: &str) -> Result<Organization> {
        Ok(self.get::<OrganizationAnswer>("organization.get", &["organizations", id], &[]).await?.into())
    }

    async fn connection(&self, organization: &str) -> Result<Option<Connection>> {
        let query = [("organization_id", organization), ("limit", "100")];
        let list: List<ConnectionAnswer> = self.get("connection.list", &["connections"], &query).await?;
        let mut all: Vec<Connection> = list.data.into_iter().map(Connection::from).collect();
        all.sort_by_key(|c| c.state != ConnectionState::Active);
        Ok(all.into_iter().next())
    }

    async fn directory(&self, organization: &str) -> Result<Option<String>> {
        let query = [("organization_id", organization), ("limit", "100")];
        let list: List<DirectoryAnswer> = self.get("directory.list", &["directories"], &query).await?;
        Ok(list.data.into_iter().find(DirectoryAnswer::is_linked).map(|d| d.id))
    }

    async fn directory_user(&self, id: &str) -> Result<Option<DirectoryUser>> {
        found(self.get::<DirectoryUserAnswer>("directory_user.get", &["directory_users", id], &[]).await)
    }

    async fn directory_user_by_email(&self, directory: &str, email: &str) -> Result<Option<DirectoryUser>> {
        let query = [("directory", directory), ("email", email), ("limit", "10")];
        let list: List<DirectoryUserAnswer> =
            self.get("directory_user.list", &["directory_users"], &query).await?;
        let mine = list.data.into_iter().map(DirectoryUser::from);
        let mut mine: Vec<_> = mine.filter(|u| u.email.eq_ignore_ascii_case(email)).collect();
        // A person who left and came back may be listed twice.
        mine.sort_by_key(|u| !u.active);
        Ok(mine.into_iter().next())
    }

    async fn is_member(&self, organization: &str, user: &str) -> Result<bool> {
        let query = [("organization_id", organization), ("user_id", user), ("limit", "10")];
        let path = ["user_management", "organization_memberships"];
        match self.get::<List<MembershipAnswer>>("membership.list", &path, &query).await {
            Ok(list) => Ok(list.data.iter().any(|m| m.status == "active")),
            Err(ProviderError::NotFound) => Ok(false),
            Err(e) => Err(e),
        }
    }

    async fn portal_link(&self, organization: &str, intent: Intent, return_url: &str) -> Result<String> {
        let intent = match intent {
            Intent::Sso => "sso",
            Intent::Dsync => "dsync",
            Intent::DomainVerification => "domain_verification",
            Intent::CertificateRenewal => "certificate_renewal",
        };
        let body = json!({ "organization": organization, "intent": intent, "return_url": return_url });
        let call = self.call("portal.link", Method::POST, &["portal", "generate_link"])?.json(&body);
        Ok(read::<PortalAnswer>(&call.send().await?)?.link)
    }

    async fn revoke_session(&self, session: &str) -> Result<()> {
        let path = ["user_management", "sessions", "revoke"];
        let call = self.call("session.revoke", Method::POST, &path)?.json(&json!({ "session_id": session }));
        let answer = call.send().await?;
        match answers::problem(answer.status, &answer.body, answer.retry_after()) {
            _ if answer.is_success() => Ok(()),
            // It is over already, or was never there.
            ProviderError::NotFound | ProviderError::Refused(_) => Ok(()),
            other => Err(other),
        }
    }

    async fn events(&self, after: Option<&str>, since: Timestamp) -> Result<Page> {
        let since = since.to_string();
        let place = after.map_or(("range_start", since.as_str()), |id| ("after", id));
        let names = EVENTS.iter().map(|name| ("events", *name));
        let query: Vec<_> = [("limit", PAGE), place].into_iter().chain(names).collect();
        let list: List<EventAnswer> = self.get("event.list", &["events"], &query).await?;
        let after = list.list_metadata.after;
        Ok(Page { events: list.data.into_iter().map(Told::from).collect(), after })
    }

    fn webhook(&self, signature: &str, body: &[u8], now: Timestamp) -> Result<Told> {
        sign::workos(Some(signature), body, &self.access.webhook_secrets, now)
            .map_err(|why| ProviderError::Denied(why.to_string()))?;
        let event: EventAnswer =
            serde_json::from_slice(body).map_err(|e| ProviderError::Unreadable(e.to_string()))?;
        Ok(event.into())
    }
}
