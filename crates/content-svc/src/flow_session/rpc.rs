//! Flow sessions' face on the wire: the customer's browser by the session's token, the company's server, the dashboard.

use kit::time::to_proto;
use kit::{Caller, Code, Fault, PageRequest, Role, Scope};
use proto::content as pb;
use proto::content::flow_session_service_server::{FlowSessionService, FlowSessionServiceServer};
use store::Stored;
use tonic::Request;

use super::convert;
use super::model::{FlowSession, State};
use super::ops::FlowSessions;
use super::token::Use;
use crate::error::Error;
use crate::render;
use crate::wire::{Reply, Wire, reply, some};

/// The room's gRPC service; `public_url` is where customers reach the gateway.
pub fn service(room: FlowSessions, public_url: String) -> FlowSessionServiceServer<Rpc> {
    FlowSessionServiceServer::new(Rpc { room, public_url })
}

/// The room behind its gRPC service.
pub struct Rpc {
    pub room: FlowSessions,
    pub public_url: String,
}

impl Rpc {
    async fn screen(&self, read: Stored<FlowSession>, token: String) -> Result<pb::FlowScreen, Error> {
        let page = self.room.page(&read).await?;
        let mut screen = render::screen(&read.body, page.as_ref(), &read.id);
        screen.from_elsewhere(&self.public_url);
        Ok(convert::screen(&read, screen, token))
    }
}

/// The visit a widget's caller may touch: the own one and no other.
fn own<'c>(caller: &'c Caller, id: &str) -> Result<&'c Scope, Error> {
    if caller.role == Role::Widget && caller.actor.id != id {
        return Err(Fault::not_found("flow session").into());
    }
    Ok(caller.scope()?)
}

#[tonic::async_trait]
impl FlowSessionService for Rpc {
    async fn issue_flow_token(&self, request: Request<pb::IssueFlowTokenRequest>) -> Reply<pb::FlowToken> {
        let caller = Caller::of(&request)?;
        let pb::IssueFlowTokenRequest { customer, subscription, locale, region } = request.into_inner();
        let company = caller.scope().map(|s| s.company.clone()).unwrap_or_default();
        let issued = self.room.issue(&caller, &customer, &subscription, locale, region).await;
        reply(issued.map(|(token, expires_at)| pb::FlowToken {
            hosted_url: format!("{}/v1/hosted/{company}/{token}", self.public_url.trim_end_matches('/')),
            token,
            expires_at: Some(to_proto(expires_at)),
        }))
    }

    async fn start_flow_session(
        &self,
        request: Request<pb::StartFlowSessionRequest>,
    ) -> Reply<pb::FlowScreen> {
        let pb::StartFlowSessionRequest { token, locale } = request.into_inner();
        let started = async {
            let read = Box::pin(self.room.start(&token, &locale)).await?;
            let token = self.room.session_token(&read.scope, &read.id)?;
            self.screen(read, token).await
        };
        reply(started.await)
    }

    async fn get_flow_screen(&self, request: Request<pb::FlowSessionRequest>) -> Reply<pb::FlowScreen> {
        let caller = Caller::of(&request)?;
        let id = request.into_inner().id;
        let seen = async { self.screen(self.room.get(own(&caller, &id)?, &id).await?, String::new()).await };
        reply(seen.await)
    }

    async fn answer_flow(&self, request: Request<pb::AnswerFlowRequest>) -> Reply<pb::FlowScreen> {
        let caller = Caller::of(&request)?;
        let pb::AnswerFlowRequest { id, answers } = request.into_inner();
        let answered = async {
            let scope = own(&caller, &id)?;
            let read = self.room.answer(scope, &id, |page| convert::answers(page, answers)).await?;
            self.screen(read, String::new()).await
        };
        reply(answered.await)
    }

    async fn accept_flow_offer(&self, request: Request<pb::AcceptFlowOfferRequest>) -> Reply<pb::FlowScreen> {
        let caller = Caller::of(&request)?;
        let pb::AcceptFlowOfferRequest { id, oid, consent } = request.into_inner();
        let taken = async {
            let read = self.room.accept(own(&caller, &id)?, &id, &oid, consent).await?;
            self.screen(read, String::new()).await
        };
        reply(taken.await)
    }

    async fn decline_flow_offer(&self, request: Request<pb::FlowOfferRequest>) -> Reply<pb::FlowScreen> {
        let caller = Caller::of(&request)?;
        let pb::FlowOfferRequest { id, oid } = request.into_inner();
        let declined = async {
            let read = self.room.decline(own(&caller, &id)?, &id, &oid).await?;
            self.screen(read, String::new()).await
        };
        reply(declined.await)
    }

    async fn cancel_flow(&self, request: Request<pb::FlowSessionRequest>) -> Reply<pb::FlowScreen> {
        let caller = Caller::of(&request)?;
        let id = request.into_inner().id;
        let canceled =
            async { self.screen(self.room.cancel(own(&caller, &id)?, &id).await?, String::new()).await };
        reply(canceled.await)
    }

    async fn close_flow(&self, request: Request<pb::FlowSessionRequest>) -> Reply<pb::FlowScreen> {
        let caller = Caller::of(&request)?;
        let id = request.into_inner().id;
        let closed =
            async { self.screen(self.room.close(own(&caller, &id)?, &id).await?, String::new()).await };
        reply(closed.await)
    }

    async fn list_flow_sessions(
        &self,
        request: Request<pb::ListFlowSessionsRequest>,
    ) -> Reply<pb::ListFlowSessionsResponse> {
        let caller = Caller::of(&request)?;
        let pb::ListFlowSessionsRequest { limit, cursor, state, customer_id } = request.into_inner();
        let (state, customer) = (State::of_wire(state), some(customer_id));
        let page =
            self.room.list(&caller, state, customer.as_deref(), &PageRequest::new(limit, cursor)).await;
        let personal = caller.sees_personal_data();
        reply(page.map(|page| pb::ListFlowSessionsResponse {
            items: page.items.into_iter().map(|s| convert::session(s, personal)).collect(),
            next_cursor: page.next_cursor.unwrap_or_default(),
        }))
    }

    async fn get_flow_session(&self, request: Request<pb::FlowSessionRequest>) -> Reply<pb::FlowSession> {
        let caller = Caller::of(&request)?;
        let id = request.into_inner().id;
        let read = async { self.room.get(caller.scope()?, &id).await };
        reply(read.await.map(|s| convert::session(s, caller.sees_personal_data())))
    }

    async fn explain_flow_session(
        &self,
        request: Request<pb::FlowSessionRequest>,
    ) -> Reply<pb::FlowExplanation> {
        let caller = Caller::of(&request)?;
        let id = request.into_inner().id;
        let read = async { self.room.get(caller.scope()?, &id).await };
        reply(read.await.map(convert::explanation))
    }

    async fn get_flow_evidence(&self, request: Request<pb::FlowSessionRequest>) -> Reply<pb::FlowEvidence> {
        let caller = Caller::of(&request)?;
        let id = request.into_inner().id;
        let seen = async { self.room.evidence(caller.scope()?, &id).await };
        reply(seen.await.map(convert::evidence))
    }

    async fn resolve_flow_token(
        &self,
        request: Request<pb::ResolveFlowTokenRequest>,
    ) -> Reply<pb::ResolvedFlowToken> {
        let claims = self.room.claims(&request.into_inner().token);
        let resolved = claims.and_then(|claims| match claims.purpose {
            Use::Session { id } => Ok(pb::ResolvedFlowToken {
                session_id: id,
                company_id: claims.company,
                mode: claims.mode.as_str().into(),
                expires_at: Some(prost_types::Timestamp { seconds: claims.expires, nanos: 0 }),
            }),
            Use::Start { .. } | Use::Look => {
                Err(Fault::new(Code::Unauthenticated, "invalid_token", "this is no session token").into())
            }
        });
        reply(resolved)
    }
}
