//! Refresh: each token works once. One that comes again ends the session it belongs to, except within ten seconds,
//! when it is another tab and gets the same successor.

use kit::ExposeSecret;
use store::Stored;

use super::model::{Presented, Session, State, idle_until};
use super::ops::{Grant, Sessions, scope_of, still_good};
use crate::error::{Error, Result};
use crate::events::{Access, Stamp};
use crate::global_config::keys;
use crate::secrets;

/// How often a refresh that lost a race to another tab looks again.
const TRIES: usize = 3;

impl Sessions {
    pub async fn refresh(&self, request_id: &str, token: &str) -> Result<Grant> {
        let hash = secrets::hash(token);
        for _ in 0..TRIES {
            let session = self.store.by_token(&hash).await?.ok_or(Error::Refresh)?;
            let now = self.clock.now();
            match session.body.state_at(now) {
                State::Active => {}
                over => {
                    // Written down so that lists and tokens agree; a no-op where it was before.
                    self.store.end(&session.id, over, Vec::new()).await?;
                    return Err(Error::Refresh);
                }
            }
            let (session, refresh_token) = match session.body.presented(&hash, now) {
                Presented::Reused => {
                    self.revoke(request_id, &session, "session.reuse_detected").await?;
                    tracing::warn!(
                        session.id = session.id,
                        user.id = session.body.user_id,
                        "a used refresh token came again: session {} is revoked",
                        session.id
                    );
                    metrics_reuse();
                    return Err(Error::Refresh);
                }
                Presented::JustUsed => {
                    let sealed = session.body.successor.as_ref().ok_or(Error::Refresh)?;
                    let successor = secrets::open_under(token, sealed)?.expose_secret().to_owned();
                    (session, successor)
                }
                Presented::Current => match self.rotate(&session, token, &hash).await? {
                    Some(rotated) => rotated,
                    // Another tab was first: look again at what it left.
                    None => continue,
                },
            };
            let person = self.people.person(&session.body.user_id).await?;
            let standing = self.standing(&person, session.body.company_id.as_deref()).await?;
            let Some(standing) = standing.filter(|s| still_good(&session, s)) else {
                self.revoke(request_id, &session, "session.revoke").await?;
                return Err(Error::Refresh);
            };
            let access_token = self.access(&session, &standing)?;
            return Ok(Grant { session, access_token, refresh_token });
        }
        Err(Error::Refresh)
    }

    /// Ends the session for good, with all that were made from it.
    async fn revoke(&self, request_id: &str, session: &Stored<Session>, why: &str) -> Result<()> {
        let scope = scope_of(&session.body);
        let (at, sequence) = (self.clock.now(), session.version + 1);
        let stamp = Stamp { scope: &scope, subject: &session.id, sequence, at };
        let mut events = self.trace(request_id, &session.id, &session.body, why);
        events.push(stamp.access_changed(Access::Session(&session.id)));
        self.store.end(&session.id, State::Revoked, events).await?;
        Ok(())
    }

    async fn rotate(
        &self,
        session: &Stored<Session>,
        token: &str,
        hash: &str,
    ) -> Result<Option<(Stored<Session>, String)>> {
        let successor = secrets::token("rrt_")?;
        let sealed = secrets::seal_under(token, &successor)?;
        let now = self.clock.now();
        let hours = self.settings.int(session.body.company_id.as_deref(), keys::SESSION_IDLE_HOURS).await?;
        let idle = idle_until(now, session.body.ends_at, hours);
        let to = secrets::hash(&successor);
        let rotated = self.store.rotate(&session.id, hash, &to, &sealed, now, idle).await?;
        Ok(rotated.map(|s| (s, successor)))
    }
}

fn metrics_reuse() {
    metrics::counter!("refresh_token_reuse_total").increment(1);
}
