//! The two doors of WorkOS. AuthKit is a whole sign-in, with users and sessions that WorkOS keeps. Standalone SSO, for
//! installations without AuthKit, only carries over what the company's own identity provider says: nobody is asked to
//! prove an address there, no session stays at WorkOS, and there is no PKCE, so that our own key alone guards the code.

use clap::ValueEnum;
use connect::http::Call;
use kit::ExposeSecret;
use reqwest::Method;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::answers::{self, SignedIn, SsoSignedIn};
use super::api::{SYSTEM, WorkOs};
use super::provider::{Address, Arrival, Departure, Profile, ProviderError, Result};

/// Which door people come in by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum SignIn {
    Authkit,
    Sso,
}

impl WorkOs {
    pub(super) fn authkit_departure(&self, departure: &Departure<'_>) -> Result<String> {
        self.door(
            &["user_management", "authorize"],
            departure,
            &[
                ("organization_id", departure.organization),
                ("code_challenge", departure.challenge),
                ("code_challenge_method", "S256"),
            ],
        )
    }

    pub(super) fn sso_departure(&self, departure: &Departure<'_>) -> Result<String> {
        self.door(&["sso", "authorize"], departure, &[("organization", departure.organization)])
    }

    fn door(&self, path: &[&str], departure: &Departure<'_>, more: &[(&str, &str)]) -> Result<String> {
        let mut url = self.url(path)?;
        url.query_pairs_mut()
            .extend_pairs([
                ("response_type", "code"),
                ("client_id", &self.access.client_id),
                ("redirect_uri", departure.redirect_uri),
                ("state", departure.state),
                ("login_hint", departure.email),
            ])
            .extend_pairs(more);
        Ok(url.into())
    }

    pub(super) async fn authkit_arrival(&self, arrival: &Arrival<'_>) -> Result<Profile> {
        let mut body = self.trade(arrival);
        body["code_verifier"] = arrival.verifier.expose_secret().into();
        if let Some(address) = arrival.address {
            body["ip_address"] = address.into();
        }
        if !arrival.user_agent.is_empty() {
            body["user_agent"] = arrival.user_agent.into();
        }
        let url = self.url(&["user_management", "authenticate"])?;
        let call = self.http.call(SYSTEM, "authenticate", Method::POST, url.as_str());
        let said: SignedIn = signed_in(call, &body).await?;
        let issuers = &self.access.issuers;
        let claims =
            self.keys.check(&said.access_token, issuers, arrival.now, async || self.keys().await).await?;
        if claims.sub != said.user.id || claims.org_id != said.organization_id {
            return Err(ProviderError::Unreadable("the access token is about somebody else".into()));
        }
        let proved = said.user.email_verified;
        Ok(Profile {
            name: said.user.full_name(),
            user: said.user.id,
            email: said.user.email,
            address: if proved { Address::Verified } else { Address::Unverified },
            organization: said.organization_id,
            session: claims.sid,
            impersonated: said.impersonator.is_some() || claims.act.is_some(),
        })
    }

    pub(super) async fn sso_arrival(&self, arrival: &Arrival<'_>) -> Result<Profile> {
        let url = self.url(&["sso", "token"])?;
        let call = self.http.call(SYSTEM, "token", Method::POST, url.as_str());
        let said: SsoSignedIn = signed_in(call, &self.trade(arrival)).await?;
        let profile = said.profile;
        Ok(Profile {
            name: profile.full_name(),
            // An id of the company's own provider means nothing beyond its connection.
            user: format!("{}/{}", profile.connection_id, profile.idp_id),
            email: profile.email,
            address: Address::Asserted,
            organization: profile.organization_id,
            session: None,
            impersonated: false,
        })
    }

    fn trade(&self, arrival: &Arrival<'_>) -> Value {
        json!({
            "client_id": self.access.client_id,
            "client_secret": self.access.api_key.expose_secret(),
            "grant_type": "authorization_code",
            "code": arrival.code,
        })
    }
}

/// Trades a code, once: a second try would say that it was stolen.
async fn signed_in<T: DeserializeOwned>(call: Call, body: &Value) -> Result<T> {
    let answer = call.json(body).once().send().await?;
    if !answer.is_success() {
        return Err(answers::sign_in_problem(answer.status, &answer.body, answer.retry_after()));
    }
    answer.json().map_err(|e| ProviderError::Unreadable(e.to_string()))
}
