//! The way in: out to the provider and back, bound to one browser and one company, once.

use aws_lc_rs::{constant_time, digest};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use kit::{Caller, SecretString, Timestamp};
use store::Stored;

use super::model::{
    Identity, Listed, Listing, Login, Settings, Twin, Verdict, domain_of, is_local_path, verdict,
};
use super::ops::Sso;
use super::provider::{Address, Arrival, Departure, Profile, ProviderError};
use super::store::scope;
use crate::error::{Error, Result};
use crate::secrets;
use crate::user_profiles::{Person, email_key, is_email};
use crate::user_session::{Grant, SSO};

/// How long a browser may take to come back.
const MINUTES: i64 = 10;
/// Where the provider sends browsers back to; registered there to the letter.
const CALLBACK: &str = "/v1/sso/callback";

/// Where a browser goes, and what its cookie is to hold.
#[derive(Clone, Debug)]
pub struct Begun {
    pub location: String,
    pub binding: String,
}

/// What a browser came back with.
#[derive(Clone, Copy, Debug)]
pub struct Returned<'a> {
    pub code: &'a str,
    pub state: &'a str,
    pub error: &'a str,
    pub binding: &'a str,
}

impl Sso {
    /// Begins a sign-in; none, whatever the reason, where this address has no single sign-on.
    pub async fn begin(&self, caller: &Caller, email: &str, return_to: &str) -> Result<Option<Begun>> {
        self.0.sessions.count_address(caller).await?;
        let return_to = if return_to.is_empty() { "/" } else { return_to };
        if !is_local_path(return_to) {
            return Err(Error::field(
                "return_to",
                "path",
                "must be a path of the dashboard, such as /offers",
            ));
        }
        let Some(domain) = domain_of(email).filter(|_| is_email(email)) else { return Ok(None) };
        let found = self.0.store.by_domain(&domain).await?;
        let [settings] = found.as_slice() else { return Ok(None) };
        let company = &settings.scope.company;
        let (true, Some(organization)) = (settings.body.is_ready(), &settings.body.organization_id) else {
            return Ok(None);
        };
        if !self.0.companies.get(company).await?.body.status.admits() {
            return Ok(None);
        }
        let (state, binding) = (secrets::token("")?, secrets::token("")?);
        let challenge = digest::digest(&digest::SHA256, self.verifier(&state).as_bytes());
        let challenge = URL_SAFE_NO_PAD.encode(challenge.as_ref());
        let redirect_uri = format!("{}{CALLBACK}", self.0.public_url);
        let location = self.0.provider.departure(&Departure {
            organization,
            email: email.trim(),
            redirect_uri: &redirect_uri,
            state: &state,
            challenge: &challenge,
        })?;
        let login = Login {
            company: company.clone(),
            organization: organization.clone(),
            binding: secrets::hash(&binding),
            return_to: return_to.to_owned(),
            used: false,
            expires_at: later(self.0.clock.now()),
        };
        self.0.store.begin_login(login_id(&state), login).await?;
        Ok(Some(Begun { location, binding }))
    }

    /// The PKCE verifier of a sign-in. Made from its state under a key of ours, so that nothing of it is stored.
    fn verifier(&self, state: &str) -> String {
        self.0.vault.mac(&format!("pkce/{state}"))
    }

    /// Ends a sign-in: a session for the company it was begun for, and where to go. One answer for everything that is
    /// wrong; the log says what.
    pub async fn finish(&self, caller: &Caller, returned: Returned<'_>) -> Result<(Grant, String)> {
        self.0.sessions.count_address(caller).await?;
        let denied = |why: &str| {
            tracing::info!(request.id = caller.request_id, "a single sign-on failed: {why}");
            metrics::counter!("sso_refused_total").increment(1);
            Error::SignIn
        };
        let now = self.0.clock.now();
        let login = self.0.store.take_login(&login_id(returned.state), now).await?;
        let login = login.ok_or_else(|| denied("no such sign-in, or too late, or twice"))?.body;
        let bound = secrets::hash(returned.binding);
        if constant_time::verify_slices_are_equal(bound.as_bytes(), login.binding.as_bytes()).is_err() {
            return Err(denied("another browser began it"));
        }
        if !returned.error.is_empty() || returned.code.is_empty() {
            return Err(denied(&super::answers::plain(returned.error)));
        }
        let verifier: SecretString = self.verifier(returned.state).into();
        let arrival = Arrival {
            code: returned.code,
            verifier: &verifier,
            address: caller.address.as_deref(),
            user_agent: caller.device.as_deref().unwrap_or_default(),
            now,
        };
        let profile = match self.0.provider.arrival(&arrival).await {
            Ok(profile) => profile,
            Err(ProviderError::Denied(word)) => return Err(denied(&word)),
            Err(e) => return Err(e.into()),
        };
        let entered = self.enter(caller, &login, &profile).await;
        if let Some(external_id) = profile.session {
            // Without a session here the provider's is ended as well: nobody is left signed in half.
            let (session_id, ends_at) = match &entered {
                Ok(Ok(grant)) => (grant.session.id.clone(), grant.session.body.ends_at),
                _ => (String::new(), kit::time::add_days(now, 1)),
            };
            let twin = Twin { external_id, session_id, open: true, ends_at };
            self.0.store.add_twin(twin).await?;
        }
        let grant = entered?.map_err(denied)?;
        Ok((grant, login.return_to))
    }

    /// A session for the person the provider vouches for; why there is none, for the log.
    async fn enter(
        &self,
        caller: &Caller,
        login: &Login,
        profile: &Profile,
    ) -> Result<std::result::Result<Grant, &'static str>> {
        if profile.organization.as_deref() != Some(&login.organization) {
            return Ok(Err("it came back from another organization"));
        }
        if profile.impersonated {
            return Ok(Err("somebody acts as the person"));
        }
        let person = match self.admit(login, profile).await? {
            Ok(person) => person,
            Err(why) => return Ok(Err(why)),
        };
        let grant = self.0.sessions.begin_for(caller, &person, &login.company, SSO).await?;
        Ok(grant.ok_or("the person has no place in the company"))
    }

    /// Whether the person the provider vouches for is let in to the company, and who it is; why not, for the log.
    async fn admit(
        &self,
        login: &Login,
        profile: &Profile,
    ) -> Result<std::result::Result<Stored<Person>, &'static str>> {
        let company = login.company.as_str();
        let settings = match self.0.store.settings(company).await? {
            Some(settings) if settings.body.organization_id.as_ref() == Some(&login.organization) => {
                settings.body
            }
            _ => return Ok(Err("the company's single sign-on has changed meanwhile")),
        };
        let known = self.0.store.identity(company, &profile.user).await?;
        let key = email_key(&profile.email);
        let proved = match profile.address {
            Address::Verified => true,
            Address::Unverified => false,
            Address::Asserted => settings.owns(&profile.email),
        };
        let person = match &known {
            Some(identity) => Some(self.0.people.person(&identity.body.user_id).await?),
            // From here on the address decides, so somebody must have proved it.
            None if !proved || !is_email(&profile.email) => {
                return Ok(Err("the address is not verified"));
            }
            None => self.0.people.by_email(&key).await?,
        };
        if person.as_ref().is_some_and(|p| p.body.kale_admin) {
            return Ok(Err("an operator does not come in by a company's door"));
        }
        let place = match &person {
            Some(person) => self.0.places.place(company, &person.id).await?,
            None => None,
        };
        // Who is not the company's yet must at least come from a domain that is.
        if place.is_none() && !settings.owns(&profile.email) {
            return Ok(Err("a stranger from a domain that is not the company's"));
        }
        let listing = self.listing(company, &settings, &profile.email).await?;
        let held = match &person {
            Some(person) => self.0.store.hold(company, &person.id).await?.is_some(),
            None => false,
        };
        let standing = place.as_ref().map(|m| (m.body.status, m.body.role));
        let verdict = verdict(standing, held, listing);
        let scope = scope(company);
        let person = match (verdict, person) {
            (Verdict::Refuse(why), _) => return Ok(Err(why)),
            (Verdict::Welcome(role), person) => {
                self.0.places.welcome(&scope, person, &profile.email, &profile.name, role).await?
            }
            (_, None) => return Ok(Err("there is no such person")),
            (Verdict::LetIn, Some(person)) => person,
            (Verdict::LetInAs(role), Some(person)) => {
                self.0.places.set_role(&scope, &person.id, role).await?;
                person
            }
            (Verdict::LetInAgain(role), Some(person)) => {
                self.0.places.let_in(&scope, &person.id, Some(role)).await?;
                person
            }
        };
        if known.is_none() {
            let identity = Identity { external_id: profile.user.clone(), user_id: person.id.clone() };
            match self.0.store.add_identity(company, identity).await {
                // The same person in another tab.
                Ok(()) | Err(store::Error::Duplicate(_)) => {}
                Err(e) => return Err(e.into()),
            }
        }
        Ok(Ok(person))
    }

    /// What the company's directory says of an address, asked now; none where it says nothing.
    async fn listing(&self, company: &str, settings: &Settings, email: &str) -> Result<Option<Listing>> {
        let Some(directory) = &settings.directory_id else { return Ok(None) };
        let Some(user) = self.0.provider.directory_user_by_email(directory, email).await? else {
            return Ok(None);
        };
        let before = self.0.store.listed(company, &user.id).await?;
        if before.is_none() {
            // From here on events tell of changes; they need to know what changed.
            self.0.store.put_listed(company, Listed::from(&user)).await?;
        }
        let before = before.as_ref().map(|b| &b.body);
        Ok(Some(Listing::of(settings, user.active, &user.groups, before)))
    }
}

fn login_id(state: &str) -> String {
    format!("ssl_{}", secrets::hash(state))
}

fn later(now: Timestamp) -> Timestamp {
    now.checked_add(jiff::SignedDuration::from_mins(MINUTES)).unwrap_or(now)
}
