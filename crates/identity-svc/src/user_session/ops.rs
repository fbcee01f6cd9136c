//! Sessions: begun, looked up, ended.

use kit::{Caller, Page, PageRequest, Role, Scope, SharedClock};
use serde::Serialize;
use store::Stored;

use super::codes::CodeStore;
use super::keys::Keys;
use super::model::{ACCESS, SSO, Session, SignIn, State, idle_until};
use super::sign_in::Limits;
use super::store::SessionStore;
use crate::companies::CompanyStore;
use crate::error::{Error, Result};
use crate::events::{Access, Stamp};
use crate::global_config::{Settings, keys};
use crate::secrets::{self, Vault};
use crate::user_profiles::{PeopleStore, Permissions, Person};

#[derive(Clone)]
pub struct Sessions {
    pub(super) store: SessionStore,
    pub(super) codes: CodeStore,
    pub(super) people: PeopleStore,
    pub(super) companies: CompanyStore,
    pub(super) keys: Keys,
    pub(super) vault: Vault,
    pub(super) limits: Limits,
    pub(super) settings: Settings,
    pub(super) clock: SharedClock,
}

/// What a person gets for a sign-in or a refresh.
#[derive(Clone, Debug)]
pub struct Grant {
    pub session: Stored<Session>,
    pub access_token: String,
    pub refresh_token: String,
}

/// What an access token says. Ids only: nothing secret and nothing personal.
#[derive(Serialize)]
struct Claims<'a> {
    iss: &'static str,
    aud: &'static str,
    sub: &'a str,
    sid: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    tid: Option<&'a str>,
    mode: &'static str,
    roles: [&'static str; 1],
    grants: &'a [String],
    amr: [&'a str; 1],
    auth_time: i64,
    jti: String,
    iat: i64,
    nbf: i64,
    exp: i64,
}

/// What a person may do in a company now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    pub role: Role,
    pub company_id: Option<String>,
    pub grants: Vec<String>,
    /// Empty for an operator without a company.
    pub company_status: String,
    /// What the company has enabled.
    pub modes: Vec<kit::Mode>,
    /// Sessions begun before this are over: a role changed, a company closed.
    pub since: Option<kit::Timestamp>,
    /// The company lets nobody in but by single sign-on.
    pub sso_required: bool,
}

impl Sessions {
    #[expect(clippy::too_many_arguments, reason = "put together once, in lib.rs")]
    pub fn new(
        store: SessionStore,
        codes: CodeStore,
        people: PeopleStore,
        companies: CompanyStore,
        keys: Keys,
        vault: Vault,
        limits: Limits,
        settings: Settings,
        clock: SharedClock,
    ) -> Self {
        Self { store, codes, people, companies, keys, vault, limits, settings, clock }
    }

    pub fn keys(&self) -> &Keys {
        &self.keys
    }

    pub fn now(&self) -> kit::Timestamp {
        self.clock.now()
    }

    /// What a person may do in this company, or as an operator; none when they may not sign in there.
    pub async fn standing(&self, person: &Stored<Person>, company: Option<&str>) -> Result<Option<Standing>> {
        let Some(id) = company else {
            let operator = Standing {
                role: Role::KaleAdmin,
                company_id: None,
                grants: Permissions::all().names(),
                company_status: String::new(),
                modes: Vec::new(),
                since: None,
                sso_required: false,
            };
            return Ok(person.body.kale_admin.then_some(operator));
        };
        let company = match self.companies.get(id).await {
            Ok(company) => company,
            Err(store::Error::NotFound(_)) => return Ok(None),
            Err(e) => return Err(e.into()),
        };
        if !company.body.status.admits() {
            return Ok(None);
        }
        let company_status = company.body.status.as_str().to_owned();
        let sso_required = company.body.sso_required && !person.body.kale_admin;
        let (role, grants, since) = if person.body.kale_admin {
            (Role::KaleAdmin, Permissions::all().names(), None)
        } else {
            let scope = Scope::new(id, kit::Mode::Live);
            match self.people.member(&scope, &person.id).await {
                Ok(m) if m.body.is_active() => {
                    let c = &company.body;
                    let grants = m.body.grants(c.product_upload_enabled, c.expert_rights);
                    (m.body.role, grants, m.body.since.max(c.sessions_since))
                }
                Ok(_) | Err(store::Error::NotFound(_)) => return Ok(None),
                Err(e) => return Err(e.into()),
            }
        };
        let (company_id, modes) = (Some(id.to_owned()), company.body.modes);
        Ok(Some(Standing { role, company_id, grants, company_status, modes, since, sso_required }))
    }

    /// Where a person signs in to by code: the company of the last session if it still stands, else the oldest place.
    /// Companies that ask for single sign-on are not among them.
    pub(super) async fn default_standing(&self, person: &Stored<Person>) -> Result<Option<Standing>> {
        if person.body.kale_admin {
            return self.standing(person, None).await;
        }
        let mut companies: Vec<_> = self
            .people
            .places(&person.id)
            .await?
            .into_iter()
            .filter(|m| m.body.is_active())
            .map(|m| m.scope.company)
            .collect();
        if let Some(last) = companies.iter().position(|c| Some(c) == person.body.last_company.as_ref()) {
            companies.swap(0, last);
        }
        for company in companies {
            let standing = self.standing(person, Some(&company)).await?;
            if let Some(standing) = standing.filter(|s| !s.sso_required) {
                return Ok(Some(standing));
            }
        }
        Ok(None)
    }

    /// A new session with its tokens.
    pub async fn begin(
        &self,
        request_id: &str,
        person: &Stored<Person>,
        standing: &Standing,
        sign_in: SignIn,
    ) -> Result<Grant> {
        let now = self.clock.now();
        let refresh_token = secrets::token("rrt_")?;
        let SignIn { method, address, device, at: signed_in_at } = sign_in;
        let company = standing.company_id.as_deref();
        let days = self.settings.int(company, keys::SESSION_ABSOLUTE_DAYS).await?;
        let idle_hours = self.settings.int(company, keys::SESSION_IDLE_HOURS).await?;
        let ends_at = kit::time::add_days(signed_in_at, days);
        let session = Session {
            user_id: person.id.clone(),
            company_id: standing.company_id.clone(),
            role: standing.role,
            state: State::Active,
            method,
            address,
            device,
            current: secrets::hash(&refresh_token),
            previous: None,
            successor: None,
            used: Vec::new(),
            rotated_at: now,
            signed_in_at,
            idle_until: idle_until(now, ends_at, idle_hours),
            ends_at,
        };
        let id = kit::id::new("ses");
        let events = self.trace(request_id, &id, &session, "session.begin");
        let session = self.store.insert(id, session, events).await?;
        self.people.seen(&person.id, now, standing.company_id.as_deref()).await?;
        tracing::info!(session.id = session.id, user.id = person.id, "session {} began", session.id);
        let access_token = self.access(&session, standing)?;
        Ok(Grant { session, access_token, refresh_token })
    }

    /// An entry of the trail about a session, in the name of its person.
    pub(super) fn trace(
        &self,
        request_id: &str,
        id: &str,
        session: &Session,
        action: &str,
    ) -> Vec<kit::Outgoing> {
        let scope = scope_of(session);
        let person = Caller {
            role: session.role,
            actor: kit::caller::Actor::new("user", session.user_id.clone()),
            request_id: request_id.to_owned(),
            ..Caller::internal(crate::NAME, Some(scope.clone()))
        };
        let stamp = Stamp { scope: &scope, subject: id, sequence: 0, at: self.clock.now() };
        let after = serde_json::json!({ "method": session.method });
        stamp.audited(&person, "session", action, None, Some(&after)).into_iter().collect()
    }

    /// An access token for a session, saying what its person may do now.
    pub(super) fn access(&self, session: &Stored<Session>, standing: &Standing) -> Result<String> {
        let now = self.clock.now().as_second();
        let claims = Claims {
            iss: "retention-identity",
            aud: "gateway",
            sub: &session.body.user_id,
            sid: &session.id,
            tid: standing.company_id.as_deref(),
            mode: "live",
            roles: [standing.role.as_str()],
            grants: &standing.grants,
            amr: [&session.body.method],
            auth_time: session.body.signed_in_at.as_second(),
            jti: kit::id::new("jti"),
            iat: now,
            nbf: now,
            exp: now + i64::try_from(ACCESS.as_secs()).unwrap_or(600),
        };
        Ok(self.keys.active()?.sign("at+jwt", &claims)?)
    }

    /// The session as it stands now, for the gateway; refused when it is over.
    pub async fn resolve(&self, id: &str) -> Result<(Stored<Session>, Standing)> {
        let session = match self.store.get(id).await {
            Ok(session) => session,
            Err(store::Error::NotFound(_)) => return Err(Error::SessionEnded),
            Err(e) => return Err(e.into()),
        };
        if session.body.state_at(self.clock.now()) != State::Active {
            return Err(Error::SessionEnded);
        }
        let person = self.people.person(&session.body.user_id).await?;
        let standing = self.standing(&person, session.body.company_id.as_deref()).await?;
        let standing = standing.filter(|s| still_good(&session, s)).ok_or(Error::SessionEnded)?;
        Ok((session, standing))
    }

    pub async fn list(&self, caller: &Caller, page: &PageRequest) -> Result<Page<Stored<Session>>> {
        Ok(self.store.list(&caller.actor.id, self.clock.now(), page).await?)
    }

    pub async fn sign_out(&self, caller: &Caller) -> Result<()> {
        let session = self.store.get(caller.session.as_deref().ok_or(Error::SessionEnded)?).await?;
        self.end(caller, &session, State::LoggedOut, "session.sign_out").await
    }

    /// Ends an own session, or, for admins, one of a person in their company.
    pub async fn delete(&self, caller: &Caller, id: &str) -> Result<()> {
        let session = self.store.get(id).await?;
        let own = session.body.user_id == caller.actor.id;
        let company = caller.scope.as_ref().map(|s| s.company.as_str());
        let theirs = match caller.role {
            Role::KaleAdmin => true,
            Role::RetAdmin => session.body.company_id.as_deref() == company,
            _ => false,
        };
        if !own && !theirs {
            return Err(store::Error::NotFound("session").into());
        }
        let to = if own { State::LoggedOut } else { State::Revoked };
        self.end(caller, &session, to, "session.end").await
    }

    /// Ends all own sessions, or, for admins, those of a person in their company.
    pub async fn delete_all(&self, caller: &Caller, user_id: Option<&str>) -> Result<()> {
        let other = user_id.filter(|id| *id != caller.actor.id);
        let company = match (other, caller.role, &caller.scope) {
            (None, ..) | (Some(_), Role::KaleAdmin, None) => None,
            (Some(_), Role::KaleAdmin | Role::RetAdmin, Some(scope)) => Some(scope.company.as_str()),
            _ => return Err(store::Error::NotFound("user").into()),
        };
        if let (Some(user), Some(company)) = (other, company) {
            // Whose place is elsewhere is not there.
            self.people.member(&Scope::new(company, kit::Mode::Live), user).await?;
        }
        let to = if other.is_some() { State::Revoked } else { State::LoggedOut };
        for session in self.store.all(other.unwrap_or(&caller.actor.id), company).await? {
            self.end(caller, &session, to, "session.end").await?;
        }
        Ok(())
    }

    async fn end(&self, caller: &Caller, session: &Stored<Session>, to: State, action: &str) -> Result<()> {
        let scope = scope_of(&session.body);
        let stamp = Stamp {
            scope: &scope,
            subject: &session.id,
            sequence: session.version + 1,
            at: self.clock.now(),
        };
        let mut events = vec![stamp.access_changed(Access::Session(&session.id))];
        events.extend(stamp.audited(caller, "session", action, None, None));
        self.store.end(&session.id, to, events).await?;
        Ok(())
    }

    /// Writes down what idled out or ended by itself: the job `session_sweep`.
    pub async fn sweep(&self) -> Result<()> {
        let now = self.clock.now();
        self.store.sweep(now).await?;
        Ok(())
    }

    /// Ends a person's sessions for one company: their role or place there has changed.
    pub async fn revoke_at(&self, user_id: &str, company: &str) -> Result<()> {
        let count = self.store.revoke(user_id, Some(company)).await?;
        tracing::info!(user.id = user_id, count, "{count} sessions of {user_id} were revoked");
        Ok(())
    }

    /// Ends the present session and begins one for another company of the same person.
    pub async fn switch(&self, caller: &Caller, company: &str) -> Result<Grant> {
        let old = self.store.get(caller.session.as_deref().ok_or(Error::SessionEnded)?).await?;
        if old.body.user_id != caller.actor.id || old.body.state_at(self.clock.now()) != State::Active {
            return Err(Error::SessionEnded);
        }
        let person = self.people.person(&caller.actor.id).await?;
        let standing =
            self.standing(&person, Some(company)).await?.ok_or(store::Error::NotFound("company"))?;
        // One company's identity provider vouches for nobody at another.
        let other = old.body.company_id.as_deref() != Some(company);
        if standing.sso_required || (other && old.body.method == SSO) {
            return Err(Error::Refused("sign_in_there", "sign in to that company itself"));
        }
        self.end(caller, &old, State::LoggedOut, "session.switch_company").await?;
        let Session { method, address, device, signed_in_at: at, .. } = old.body;
        let sign_in = SignIn { method, address, device, at };
        self.begin(&caller.request_id, &person, &standing, sign_in).await
    }
}

/// Whether a session is still what its person may have: the same role, begun since that was so, and in a way the company
/// allows.
pub(super) fn still_good(session: &Stored<Session>, standing: &Standing) -> bool {
    let allowed = !standing.sso_required || session.body.method == SSO;
    let since = standing.since.is_none_or(|since| session.created_at >= since);
    session.body.role == standing.role && since && allowed
}

/// The company a session is for, or the installation.
pub(super) fn scope_of(session: &Session) -> Scope {
    session.company_id.as_ref().map_or_else(Scope::platform, |id| Scope::new(id, kit::Mode::Live))
}
