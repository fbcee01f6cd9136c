//! What can be done with invitations.

use kit::caller::Actor;
use kit::{Caller, Mode, Page, PageRequest, Role, Scope, SharedClock};
use serde_json::json;
use store::Stored;

use super::model::{Invitation, State, Terms};
use super::store::InvitationStore;
use crate::companies::{CompanyStore, Status as CompanyStatus};
use crate::db::Db;
use crate::error::{Error, Result};
use crate::events::Stamp;
use crate::global_config::{Settings, keys};
use crate::secrets;
use crate::user_profiles::{Member, PeopleStore, Permissions, Person, Status, admitted, email_key};

/// The mail that carries the token, for experts and admins alike.
const TEMPLATE: &str = "Email_Invitation_RE";

#[derive(Clone)]
pub struct Invitations {
    store: InvitationStore,
    people: PeopleStore,
    companies: CompanyStore,
    db: Db,
    settings: Settings,
    public_url: String,
    clock: SharedClock,
}

/// An invitation as it is asked for.
#[derive(Clone, Debug)]
pub struct Draft {
    pub email: String,
    pub role: Role,
    pub note: String,
    pub permissions: Permissions,
    pub locale: String,
}

/// What the invitee says of themselves.
#[derive(Clone, Debug)]
pub struct Invitee {
    pub email: String,
    pub name: String,
    pub locale: String,
    pub time_zone: String,
}

fn company(caller: &Caller) -> Result<Scope> {
    Ok(Scope::new(&caller.scope()?.company, Mode::Live))
}

impl Invitations {
    pub fn new(
        store: InvitationStore,
        people: PeopleStore,
        companies: CompanyStore,
        db: Db,
        settings: Settings,
        public_url: &str,
        clock: SharedClock,
    ) -> Self {
        let public_url = public_url.trim_end_matches('/').to_owned();
        Self { store, people, companies, db, settings, public_url, clock }
    }

    pub fn now(&self) -> kit::Timestamp {
        self.clock.now()
    }

    /// What holds for a company's invitations.
    async fn terms(&self, scope: &Scope) -> Result<Terms> {
        let company = Some(scope.company.as_str());
        let lifetime_days = self.settings.int(company, keys::INVITATION_LIFETIME_DAYS).await?;
        let most_resends = self.settings.int(company, keys::INVITATION_MAX_RESENDS).await?;
        Ok(Terms { lifetime_days, most_resends })
    }

    /// The address as it is compared, if the company may invite it.
    async fn admitted(&self, scope: &Scope, email: &str) -> Result<String> {
        let domains = self.settings.list(Some(&scope.company), keys::INVITATION_ALLOWED_DOMAINS).await?;
        admitted(email, &domains)
    }

    pub async fn create(&self, caller: &Caller, draft: Draft) -> Result<Stored<Invitation>> {
        let scope = company(caller)?;
        let key = self.admitted(&scope, &draft.email).await?;
        let company = self.companies.get(&scope.company).await?;
        if matches!(company.body.status, CompanyStatus::Closing | CompanyStatus::Closed) {
            return Err(Error::Refused("company_closed", "the company takes no new people"));
        }
        if let Some(person) = self.people.by_email(&key).await?
            && self.people.places(&person.id).await?.iter().any(|m| m.scope == scope && m.body.is_active())
        {
            return Err(Error::Refused("already_member", "this person is a member already"));
        }
        let now = self.clock.now();
        if let Some(old) = self.store.open_for(&scope, &key).await?
            && !old.body.is_open(now)
        {
            // Makes room for the new one; nobody has answered it.
            self.store.replace(&old, old.body.ended(State::Expired, None), Vec::new()).await?;
        }
        let token = secrets::token("")?;
        let inviter = self.people.person(&caller.actor.id).await.map(|p| p.body.name).unwrap_or_default();
        let invitation = Invitation {
            email: draft.email.trim().to_owned(),
            email_key: key,
            role: draft.role,
            permissions: draft.permissions,
            state: State::Sent,
            open: true,
            invited_by: caller.actor.id.clone(),
            inviter_name: inviter,
            company_name: company.body.name,
            note: draft.note,
            locale: if draft.locale.is_empty() { String::from("en") } else { draft.locale },
            token_hash: secrets::hash(&token),
            expires_at: kit::time::add_days(now, self.terms(&scope).await?.lifetime_days),
            sent_count: 1,
            user_id: None,
        };
        let id = kit::id::new("inv");
        let stamp = Stamp { scope: &scope, subject: &id, sequence: 1, at: now };
        let after = json!({ "role": invitation.role.as_str(), "state": "sent" });
        let mut events =
            vec![stamp.user_changed("invited", "", invitation.role), self.mail(stamp, &invitation, &token)];
        events.extend(stamp.audited(caller, "invitation", "invitation.create", None, Some(&after)));
        Ok(self.store.insert(&scope, id, invitation, events).await?)
    }

    fn mail(&self, stamp: Stamp<'_>, invitation: &Invitation, token: &str) -> kit::Outgoing {
        let link = format!("{}/v1/invitations/by-token/{token}", self.public_url);
        let values = json!({
            "company": invitation.company_name, "inviter": invitation.inviter_name,
            "role": invitation.role.as_str(), "note": invitation.note,
            "sees_personal_data":
                invitation.role == Role::RetAdmin || invitation.permissions.see_personal_data,
            "may_publish": invitation.role == Role::RetAdmin || invitation.permissions.publish_live,
            "expires_at": invitation.expires_at.to_string(),
            "accept_link": link, "decline_link": format!("{link}/decline"),
        });
        let key = format!("invitation/{}/{}", stamp.subject, invitation.sent_count);
        stamp.mail_requested(TEMPLATE, &invitation.email, &invitation.locale, key, &values)
    }

    pub async fn list(
        &self,
        caller: &Caller,
        state: Option<State>,
        page: &PageRequest,
    ) -> Result<Page<Stored<Invitation>>> {
        Ok(self.store.list(&company(caller)?, state, page).await?)
    }

    pub async fn by_token(&self, token: &str) -> Result<Stored<Invitation>> {
        Ok(self.store.by_token(&secrets::hash(token)).await?)
    }

    /// The invitation behind a token that still works. One that was answered is as good as not there.
    async fn open(&self, token: &str) -> Result<Stored<Invitation>> {
        let read = self.by_token(token).await?;
        match read.body.state_at(self.clock.now()) {
            State::Sent | State::Created | State::Undeliverable => Ok(read),
            State::Expired => Err(Error::Refused("invitation_expired", "the invitation has expired")),
            _ => Err(Error::Refused("invitation_used", "the invitation was answered already")),
        }
    }

    /// The invitee becomes a member; the company's first admin brings it into service. All in one transaction.
    pub async fn accept(&self, caller: &Caller, token: &str, who: Invitee) -> Result<Stored<Invitation>> {
        let read = self.open(token).await?;
        if email_key(&who.email) != read.body.email_key {
            return Err(Error::Refused("other_address", "the invitation is for another address"));
        }
        let scope = read.scope.clone();
        let known = self.people.by_email(&read.body.email_key).await?;
        let user_id = known.as_ref().map_or_else(|| kit::id::new("usr"), |p| p.id.clone());
        let place = match self.people.member(&scope, &user_id).await {
            Ok(place) => Some(place),
            Err(store::Error::NotFound(_)) => None,
            Err(e) => return Err(e.into()),
        };
        let company = self.companies.get(&scope.company).await?;
        let name = if who.name.is_empty() { read.body.email.clone() } else { who.name };
        let person = Person::new(&read.body.email, &name, &who.locale, &who.time_zone);
        let member = Member {
            user_id: user_id.clone(),
            role: read.body.role,
            status: Status::Active,
            permissions: read.body.permissions,
            since: Some(self.clock.now()),
        };
        let at = self.clock.now();
        let company_event =
            Stamp { scope: &scope, subject: &scope.company, sequence: company.version + 1, at };
        let active = crate::companies::Company { status: CompanyStatus::Active, ..company.body };
        let company_event = company_event.company_changed("updated", &active);
        let sequence = place.as_ref().map_or(1, |m| m.version + 1);
        let stamp = Stamp { scope: &scope, subject: &user_id, sequence, at };
        let mut activated = vec![stamp.user_changed("activated", &user_id, member.role)];
        let invitee = Caller {
            role: member.role,
            actor: Actor::new("user", user_id.clone()),
            request_id: caller.request_id.clone(),
            ..Caller::internal(crate::NAME, Some(scope.clone()))
        };
        let stamp = Stamp { subject: &read.id, ..stamp };
        let after = json!({ "role": member.role.as_str(), "state": "accepted" });
        activated.extend(stamp.audited(&invitee, "invitation", "invitation.accept", None, Some(&after)));
        let accepting = Accepting {
            store: self.store.clone(),
            people: self.people.clone(),
            companies: self.companies.clone(),
            read,
            person: known.is_none().then_some(person),
            place,
            member,
            activated,
            company_event,
        };
        store::transaction(self.db.handle(), async move |tx| accepting.clone().run(tx).await).await
    }

    pub async fn decline(&self, token: &str) -> Result<Stored<Invitation>> {
        let read = self.open(token).await?;
        let ended = read.body.ended(State::Declined, None);
        Ok(self.store.replace(&read, ended, Vec::new()).await?)
    }

    /// Sends it again, to a corrected address where the first one was undeliverable.
    pub async fn resend(&self, caller: &Caller, id: &str, email: Option<&str>) -> Result<Stored<Invitation>> {
        let read = self.store.get(&company(caller)?, id).await?;
        let corrected = match email.filter(|e| email_key(e) != read.body.email_key) {
            Some(_) if read.body.state != State::Undeliverable => {
                let text = "the address can be changed once a mail to it has come back";
                return Err(Error::Refused("wrong_state", text));
            }
            Some(email) => Some((email.trim().to_owned(), self.admitted(&read.scope, email).await?)),
            None => None,
        };
        let token = secrets::token("")?;
        let now = self.clock.now();
        let mut changed = read
            .body
            .resent(secrets::hash(&token), self.terms(&read.scope).await?, now)
            .ok_or(Error::Refused("wrong_state", "it was answered, or sent too often"))?;
        if let Some((email, email_key)) = corrected {
            changed = Invitation { email, email_key, ..changed };
        }
        let stamp = Stamp { scope: &read.scope, subject: id, sequence: read.version + 1, at: now };
        let mut events = vec![self.mail(stamp, &changed, &token)];
        events.extend(stamp.audited(caller, "invitation", "invitation.resend", None, None));
        Ok(self.store.replace(&read, changed, events).await?)
    }

    /// A mail that carried a token came back, or could not be sent: `sent → undeliverable`. Only of the last one sent.
    pub async fn undeliverable(&self, scope: &Scope, id: &str, nth: u32) -> Result<()> {
        let read = match self.store.get(scope, id).await {
            Err(store::Error::NotFound(_)) => return Ok(()),
            other => other?,
        };
        if !read.body.open || read.body.sent_count != nth || read.body.state == State::Undeliverable {
            return Ok(());
        }
        let changed = Invitation { state: State::Undeliverable, ..read.body.clone() };
        self.store.replace(&read, changed, Vec::new()).await?;
        Ok(())
    }

    /// Writes down what expired: the job `invitation_expiry`.
    pub async fn expire(&self) -> Result<()> {
        self.store.expire(self.clock.now()).await?;
        Ok(())
    }

    pub async fn revoke(&self, caller: &Caller, id: &str) -> Result<Stored<Invitation>> {
        let read = self.store.get(&company(caller)?, id).await?;
        if !read.body.open {
            return Err(Error::Refused("wrong_state", "the invitation was answered already"));
        }
        let now = self.clock.now();
        let stamp = Stamp { scope: &read.scope, subject: id, sequence: read.version + 1, at: now };
        let events = stamp.audited(caller, "invitation", "invitation.revoke", None, None);
        let changed = read.body.ended(State::Revoked, None);
        Ok(self.store.replace(&read, changed, events.into_iter().collect()).await?)
    }
}

/// Everything an acceptance writes.
#[derive(Clone)]
struct Accepting {
    store: InvitationStore,
    people: PeopleStore,
    companies: CompanyStore,
    read: Stored<Invitation>,
    /// Who is new to the installation.
    person: Option<Person>,
    /// The place of somebody who was a member before.
    place: Option<Stored<Member>>,
    member: Member,
    activated: Vec<kit::Outgoing>,
    company_event: kit::Outgoing,
}

impl Accepting {
    async fn run(self, tx: &mut store::Transaction) -> Result<Stored<Invitation>> {
        let Self { store, people, companies, read, person, place, member, activated, company_event } = self;
        let (scope, role, user_id) = (read.scope.clone(), member.role, member.user_id.clone());
        let ended = read.body.ended(State::Accepted, Some(user_id.clone()));
        let stored = store.replace_in(tx, &read, ended).await?;
        if let Some(person) = person {
            people.add_person_in(tx, user_id, person).await?;
        }
        match place {
            Some(old) => people.replace_member_in(tx, &old, member, activated).await?,
            None => people.add_member_in(tx, &scope, kit::id::new("mem"), member, activated).await?,
        };
        if role == Role::RetAdmin {
            companies.activate(tx, &scope.company, vec![company_event]).await?;
        }
        Ok(stored)
    }
}
