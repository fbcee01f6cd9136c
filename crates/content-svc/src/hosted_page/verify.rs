//! Verification on the wire: the same for programs as JSON, and for browsers without scripts as pages with forms.

use kit::time::to_proto;
use kit::{Code, Coded as _, Fault, Mode};
use proto::content as pb;

use super::rpc::Rpc;
use crate::error::Error;
use crate::render::{self, Step};
use crate::verification::{Answer, Asking, Who};

impl Rpc {
    pub(super) async fn verified(
        &self,
        given: pb::VerifyHostedCustomerRequest,
    ) -> Result<pb::HostedVerification, Error> {
        let pb::VerifyHostedCustomerRequest { company, email, customer, code, subscription, locale, mode } =
            given;
        let who = who(&email, &customer)?;
        let asking = Asking { company, who, mode: mode_of(&mode), subscription, locale };
        let answer = if code.is_empty() {
            self.verifications.ask(&asking).await?
        } else {
            self.verifications.verify(&asking, &code).await?
        };
        use pb::HostedVerificationState as S;
        Ok(match answer {
            Answer::CodeSent { until, resend_left } => pb::HostedVerification {
                state: S::CodeSent.into(),
                expires_at: Some(to_proto(until)),
                resend_left,
                ..Default::default()
            },
            Answer::Verified { token, until } => pb::HostedVerification {
                state: S::Verified.into(),
                expires_at: Some(to_proto(until)),
                hosted_url: format!(
                    "{}{}",
                    self.public_url.trim_end_matches('/'),
                    page(&asking.company, &token)
                ),
                token,
                resend_left: false,
            },
            Answer::Manual => pb::HostedVerification { state: S::Manual.into(), ..Default::default() },
        })
    }

    /// The page that asks who it is.
    pub(super) async fn ask_who(&self, company: &str, language: &str) -> Result<pb::HostedReply, Error> {
        let name = self.verifications.company(company).await?.name;
        shown(200, render::verify(Step::Who, &name, language, &[], &page(company, "verify"))?)
    }

    /// What the form of such a page leads to.
    pub(super) async fn next_step(
        &self,
        company: &str,
        language: &str,
        fields: &[pb::FormField],
    ) -> Result<pb::HostedReply, Error> {
        let field = |name: &str| fields.iter().find(|f| f.name == name).map_or("", |f| f.value.trim());
        let name = self.verifications.company(company).await?.name;
        let page = |status, step, said: &[(&str, &str)]| {
            shown(status, render::verify(step, &name, language, said, &page(company, "verify"))?)
        };
        let Ok(who) = who(field("email"), field("customer")) else { return page(422, Step::Who, &[]) };
        let said: Vec<_> = ["email", "customer", "mode"]
            .into_iter()
            .map(|name| (name, field(name)))
            .filter(|(_, value)| !value.is_empty())
            .collect();
        let asking = Asking {
            company: company.to_owned(),
            who,
            mode: mode_of(field("mode")),
            subscription: String::new(),
            // The page speaks the customer's language, which billing may know.
            locale: String::new(),
        };
        let code = field("code");
        let answer = if code.is_empty() {
            self.verifications.ask(&asking).await
        } else {
            self.verifications.verify(&asking, code).await
        };
        match answer {
            Ok(Answer::CodeSent { resend_left, .. }) => {
                page(200, Step::Code { resend: resend_left, wrong: false }, &said)
            }
            Ok(Answer::Verified { token, .. }) => Ok(super::rpc::see_other(company, &token)),
            Ok(Answer::Manual) => page(200, Step::Manual, &[]),
            Err(e) if e.code().1 == "wrong_code" => {
                page(422, Step::Code { resend: true, wrong: true }, &said)
            }
            // The customer was found, and what is to end cannot be told by itself: people ask.
            Err(e) if matches!(e.code().0, Code::Refused | Code::NotFound) && !code.is_empty() => {
                self.verifications.wish(&asking).await?;
                page(200, Step::Manual, &[])
            }
            Err(e) => Err(e),
        }
    }
}

fn page(company: &str, last: &str) -> String {
    format!("/v1/hosted/{company}/{last}")
}

fn shown(status: u32, html: String) -> Result<pb::HostedReply, Error> {
    Ok(pb::HostedReply {
        status,
        location: String::new(),
        html,
        content_security_policy: render::POLICY.into(),
    })
}

/// The one who is meant, by exactly one of the two.
fn who(email: &str, customer: &str) -> Result<Who, Fault> {
    let (email, customer) = (email.trim().to_lowercase(), customer.trim());
    match (email.is_empty(), customer.is_empty()) {
        (false, true) if email.contains('@') && !email.contains(char::is_whitespace) => Ok(Who::Email(email)),
        (false, true) => Err(Fault::field("email", "email", "must be an e-mail address")),
        (true, false) => Ok(Who::Customer(customer.to_owned())),
        _ => Err(Fault::field("email", "one_of", "say who it is: by `email` or by `customer`")),
    }
}

fn mode_of(text: &str) -> Mode {
    Mode::parse(text).unwrap_or(Mode::Live)
}
