//! Sign-in by mailed code. What a caller sees is the same whether or not an address is somebody's.

use kit::{Caller, Scope};
use serde_json::json;

use super::model::SignIn;
use super::ops::{Grant, Sessions};
use crate::error::{Error, Result};
use crate::events::Stamp;
use crate::global_config::keys;
use crate::secrets;
use crate::user_profiles::email_key;

/// How often sign-in may be tried in an hour.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    pub per_address: u32,
}

impl Sessions {
    /// Mails a code, if the address is that of somebody who may sign in.
    pub async fn ask_for_code(&self, caller: &Caller, email: &str) -> Result<()> {
        self.count_address(caller).await?;
        let key = email_key(email);
        let account = self.vault.mac(&key);
        let most = self.settings.int(None, keys::SIGN_IN_CODES_PER_ACCOUNT).await?;
        self.count(&format!("account_{account}"), u32::try_from(most).unwrap_or(u32::MAX)).await?;
        let person = self.people.by_email(&key).await?;
        let standing = match &person {
            Some(person) => self.default_standing(person).await?,
            // As many look-ups as for somebody.
            None => {
                self.people.places("").await?;
                None
            }
        };
        let code = secrets::digits()?;
        let scope = Scope::platform();
        let request = kit::id::new("otp");
        let stamp = Stamp { scope: &scope, subject: &request, sequence: 1, at: self.clock.now() };
        let events = match (person, standing) {
            (Some(p), Some(_)) => {
                let values = json!({ "code": code, "minutes": 10, "name": p.body.name });
                let key = format!("sign_in/{request}");
                vec![stamp.mail_requested("sign_in_code", &p.body.email, &p.body.locale, key, &values)]
            }
            _ => Vec::new(),
        };
        self.codes.put(&account, self.code_hash(&key, &code), events).await?;
        Ok(())
    }

    /// Trades a code for a session.
    pub async fn sign_in(&self, caller: &Caller, email: &str, code: &str) -> Result<Grant> {
        self.count_address(caller).await?;
        let key = email_key(email);
        let right = self.codes.take(&self.vault.mac(&key), &self.code_hash(&key, code)).await?;
        let person = self.people.by_email(&key).await?;
        let (true, Some(person)) = (right, person) else {
            tracing::info!(request.id = caller.request_id, "a sign-in failed");
            return Err(Error::SignIn);
        };
        let standing = self.default_standing(&person).await?.ok_or(Error::SignIn)?;
        let (address, device) = (caller.address.clone(), caller.device.clone());
        let sign_in = SignIn { method: String::from("otp"), address, device, at: self.clock.now() };
        self.begin(&caller.request_id, &person, &standing, sign_in).await
    }

    fn code_hash(&self, key: &str, code: &str) -> String {
        self.vault.mac(&format!("code/{key}/{code}"))
    }

    /// Counts a try from the caller's address.
    pub(crate) async fn count_address(&self, caller: &Caller) -> Result<()> {
        let Some(address) = &caller.address else { return Ok(()) };
        let what = format!("address_{}", self.vault.mac(address));
        self.count(&what, self.limits.per_address).await
    }

    async fn count(&self, what: &str, most: u32) -> Result<()> {
        match self.codes.count(what, most).await? {
            Some(wait) => Err(Error::Throttled(wait)),
            None => Ok(()),
        }
    }
}
