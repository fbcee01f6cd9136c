//! Sessions of people an identity provider vouches for, and the ends its word brings.

use kit::{Caller, Outgoing};
use store::Stored;

use super::model::{Session, SignIn, State};
use super::ops::{Grant, Sessions, scope_of};
use crate::error::Result;
use crate::events::{Access, Stamp};
use crate::user_profiles::Person;

impl Sessions {
    /// A session for one company; none where the person has no standing there.
    pub async fn begin_for(
        &self,
        caller: &Caller,
        person: &Stored<Person>,
        company: &str,
        method: &str,
    ) -> Result<Option<Grant>> {
        let Some(standing) = self.standing(person, Some(company)).await? else { return Ok(None) };
        let (address, device) = (caller.address.clone(), caller.device.clone());
        let sign_in = SignIn { method: method.to_owned(), address, device, at: self.clock.now() };
        self.begin(&caller.request_id, person, &standing, sign_in).await.map(Some)
    }

    /// Ends one session, as its other half elsewhere was ended.
    pub async fn revoke_one(&self, id: &str) -> Result<()> {
        let session = match self.store.get(id).await {
            Ok(session) => session,
            Err(store::Error::NotFound(_)) => return Ok(()),
            Err(e) => return Err(e.into()),
        };
        self.store.end(id, State::Revoked, self.over(&session)).await?;
        Ok(())
    }

    /// Ends each of a person's sessions for one company.
    pub async fn revoke_each(&self, user_id: &str, company: &str) -> Result<()> {
        for session in self.store.all(user_id, Some(company)).await? {
            self.store.end(&session.id, State::Revoked, self.over(&session)).await?;
        }
        Ok(())
    }

    /// Ends the sessions for a company that were, or were not, begun in this way. Who tells that the company changed
    /// tells the gateway as well.
    pub async fn revoke_by_method(&self, company: &str, method: &str, unlike: bool) -> Result<u64> {
        Ok(self.store.revoke_by_method(company, method, unlike).await?)
    }

    fn over(&self, session: &Stored<Session>) -> Vec<Outgoing> {
        let scope = scope_of(&session.body);
        let (subject, sequence) = (session.id.as_str(), session.version + 1);
        let stamp = Stamp { scope: &scope, subject, sequence, at: self.clock.now() };
        vec![stamp.access_changed(Access::Session(subject))]
    }
}
