//! Hosted pages' face on the wire: a browser's request in, status, page and headers out.

use kit::{Coded, Fault, Scope};
use proto::content as pb;
use proto::content::hosted_page_service_server::{HostedPageService, HostedPageServiceServer};
use store::Stored;
use tonic::Request;

use crate::error::Error;
use crate::flow_session::{FlowSession, FlowSessions, Use, answers_of};
use crate::render;
use crate::verification::Verifications;
use crate::wire::{Reply, reply};

/// The room's gRPC service; `public_url` is where customers reach the gateway.
pub fn service(
    flows: FlowSessions,
    verifications: Verifications,
    public_url: String,
) -> HostedPageServiceServer<Rpc> {
    HostedPageServiceServer::new(Rpc { flows, verifications, public_url })
}

/// The room behind its gRPC service.
pub struct Rpc {
    pub flows: FlowSessions,
    pub verifications: Verifications,
    pub public_url: String,
}

#[tonic::async_trait]
impl HostedPageService for Rpc {
    async fn show_hosted_page(&self, request: Request<pb::ShowHostedPageRequest>) -> Reply<pb::HostedReply> {
        let pb::ShowHostedPageRequest { company, token, accept_language } = request.into_inner();
        let language = language(&accept_language);
        reply(refused(self.show(&company, &token).await, &language))
    }

    async fn submit_hosted_page(
        &self,
        request: Request<pb::SubmitHostedPageRequest>,
    ) -> Reply<pb::HostedReply> {
        let pb::SubmitHostedPageRequest { company, token, fields } = request.into_inner();
        reply(refused(self.submit(&company, &token, fields).await, "en"))
    }

    async fn verify_hosted_customer(
        &self,
        request: Request<pb::VerifyHostedCustomerRequest>,
    ) -> Reply<pb::HostedVerification> {
        reply(self.verified(request.into_inner()).await)
    }

    async fn show_verify_page(&self, request: Request<pb::ShowVerifyPageRequest>) -> Reply<pb::HostedReply> {
        let pb::ShowVerifyPageRequest { company, accept_language } = request.into_inner();
        let language = language(&accept_language);
        reply(refused(self.ask_who(&company, &language).await, &language))
    }

    async fn submit_verify_page(
        &self,
        request: Request<pb::SubmitVerifyPageRequest>,
    ) -> Reply<pb::HostedReply> {
        let pb::SubmitVerifyPageRequest { company, accept_language, fields } = request.into_inner();
        let language = language(&accept_language);
        reply(refused(self.next_step(&company, &language, &fields).await, &language))
    }
}

impl Rpc {
    async fn show(&self, company: &str, token: &str) -> Result<pb::HostedReply, Error> {
        let claims = self.flows.claims(token)?;
        let scope = claims.scope();
        // The address may hold the company's id or one of its names; the token says which it is.
        match claims.purpose {
            Use::Start { .. } => {
                let read = Box::pin(self.flows.start(token, "")).await?;
                let token = self.flows.session_token(&scope, &read.id)?;
                Ok(see_other(company, &token))
            }
            Use::Session { id } => {
                let read = self.flows.get(&scope, &id).await?;
                self.page(company, token, &read).await
            }
            Use::Look => {
                Err(Fault::new(kit::Code::Unauthenticated, "invalid_token", "this is no way in").into())
            }
        }
    }

    async fn page(
        &self,
        company: &str,
        token: &str,
        read: &Stored<FlowSession>,
    ) -> Result<pb::HostedReply, Error> {
        let page = self.flows.page(read).await?;
        let frame = self.flows.frame(read).await?;
        let frame = frame.map(|f| render::screen(&framed(&read.body), Some(&f), &read.id));
        let screen = render::screen(&read.body, page.as_ref(), &read.id);
        let html = render::html(&screen, frame.as_ref(), &address(company, token))?;
        Ok(pb::HostedReply {
            status: 200,
            location: String::new(),
            html,
            content_security_policy: render::POLICY.into(),
        })
    }

    async fn submit(
        &self,
        company: &str,
        token: &str,
        fields: Vec<pb::FormField>,
    ) -> Result<pb::HostedReply, Error> {
        let claims = self.flows.claims(token)?;
        let scope = claims.scope();
        let Use::Session { id } = claims.purpose else {
            return Err(Fault::field("token", "invalid_token", "this is no session token").into());
        };
        let field =
            |name: &str| fields.iter().find(|f| f.name == name).map(|f| f.value.clone()).unwrap_or_default();
        let read = self.flows.get(&scope, &id).await?;
        let act = field("do");
        // Going on from a page that is not shown any more would skip what is: only the wish to cancel counts always.
        let old = field("step") != read.body.node;
        let done = match act.as_str() {
            "cancel" => self.flows.cancel(&scope, &id).await,
            _ if old => Ok(read.clone()),
            "accept" => self.flows.accept(&scope, &id, &field("offer"), field("consent") == "yes").await,
            "decline" => self.flows.decline(&scope, &id, &field("offer")).await,
            "close" => self.flows.close(&scope, &id).await,
            _ => self.next(&scope, &id, fields).await,
        };
        match done {
            Ok(_) => Ok(see_other(company, token)),
            Err(wrong @ (Error::Answers(_) | Error::ConsentMissing)) => {
                let mut told = read;
                let notice = if matches!(wrong, Error::Answers(_)) { "answers" } else { "consent_missing" };
                told.body.notice = Some(notice.into());
                let page = self.page(company, token, &told).await?;
                Ok(pb::HostedReply { status: 422, ..page })
            }
            // Somebody was faster, in another tab or by a second press: the page as it now stands says so.
            Err(e) if matches!(e.code().0, kit::Code::Conflict | kit::Code::Refused) => {
                Ok(see_other(company, token))
            }
            Err(e) => Err(e),
        }
    }

    async fn next(
        &self,
        scope: &Scope,
        id: &str,
        fields: Vec<pb::FormField>,
    ) -> Result<Stored<FlowSession>, Error> {
        let mut given: Vec<pb::FlowAnswer> = Vec::new();
        for field in fields {
            let Some(key) = field.name.strip_prefix("q.") else { continue };
            match given.iter_mut().find(|a| a.question == key) {
                Some(answer) => answer.choices.push(field.value),
                None => given.push(pb::FlowAnswer {
                    question: key.to_owned(),
                    choices: vec![field.value.clone()],
                    text: field.value,
                }),
            }
        }
        self.flows.answer(scope, id, |page| answers_of(page, given)).await
    }
}

/// A visit as the frame shows it: it stands around every page, whatever became of the visit.
pub(crate) fn framed(session: &FlowSession) -> FlowSession {
    FlowSession {
        state: crate::flow_session::State::Active,
        pending: None,
        notice: None,
        subject: Default::default(),
        ..session.clone()
    }
}

fn address(company: &str, token: &str) -> String {
    format!("/v1/hosted/{company}/{token}")
}

pub(super) fn see_other(company: &str, token: &str) -> pb::HostedReply {
    pb::HostedReply {
        status: 303,
        location: address(company, token),
        html: String::new(),
        content_security_policy: render::POLICY.into(),
    }
}

/// A link that does not work gets a page that says so; our own faults stay faults.
fn refused(outcome: Result<pb::HostedReply, Error>, language: &str) -> Result<pb::HostedReply, Error> {
    let error = match outcome {
        Ok(reply) => return Ok(reply),
        Err(error) => error,
    };
    let (code, _) = error.code();
    if !code.is_public() {
        return Err(error);
    }
    let status =
        if code == kit::Code::Refused || code == kit::Code::Unauthenticated { 410 } else { code.http() };
    Ok(pb::HostedReply {
        status: u32::from(status),
        location: String::new(),
        html: render::refusal(language)?,
        content_security_policy: render::POLICY.into(),
    })
}

/// The first language a browser asks for.
pub(super) fn language(accept: &str) -> String {
    let first = accept.split(',').next().unwrap_or_default();
    let first = first.split(';').next().unwrap_or_default().trim();
    if first.is_empty() || first == "*" { "en".into() } else { first.to_owned() }
}
