//! User sessions over gRPC.

use kit::{Caller, PageRequest, Timestamp};
use proto::identity as pb;
use proto::identity::user_session_service_server::UserSessionService;
use store::Stored;
use tonic::{Request, Response, Status};

use super::model::{ACCESS, Session, State};
use super::ops::{Grant, Sessions};
use crate::error::Error;
use crate::user_profiles::role_to;

pub(crate) struct Rpc(pub Sessions);

type Reply<T> = Result<Response<T>, Status>;

fn wrong(e: Error) -> Status {
    kit::error::status(&e)
}

#[tonic::async_trait]
impl UserSessionService for Rpc {
    async fn create_session(&self, request: Request<pb::CreateSessionRequest>) -> Reply<pb::SessionGrant> {
        let caller = Caller::of(&request)?;
        let pb::CreateSessionRequest { email, code } = request.into_inner();
        if code.is_empty() {
            self.0.ask_for_code(&caller, &email).await.map_err(wrong)?;
            let sent = pb::SessionGrant { state: pb::SessionState::CodeSent.into(), ..Default::default() };
            return Ok(Response::new(sent));
        }
        let grant = self.0.sign_in(&caller, &email, &code).await.map_err(wrong)?;
        Ok(Response::new(grant_to(grant)))
    }

    async fn refresh_session(&self, request: Request<pb::RefreshSessionRequest>) -> Reply<pb::SessionGrant> {
        let caller = Caller::of(&request)?;
        let grant = self.0.refresh(&caller.request_id, &request.get_ref().refresh_token).await;
        let grant = grant.map_err(wrong)?;
        Ok(Response::new(grant_to(grant)))
    }

    async fn list_sessions(
        &self,
        request: Request<pb::ListSessionsRequest>,
    ) -> Reply<pb::ListSessionsResponse> {
        let caller = Caller::of(&request)?;
        let pb::ListSessionsRequest { limit, cursor } = request.into_inner();
        let now = self.0.now();
        let page = self.0.list(&caller, &PageRequest::new(limit, cursor)).await.map_err(wrong)?;
        let page = page.map(|s| session_to(s, caller.session.as_deref(), now));
        let next_cursor = page.next_cursor.unwrap_or_default();
        Ok(Response::new(pb::ListSessionsResponse { items: page.items, next_cursor }))
    }

    async fn delete_current_session(
        &self,
        request: Request<pb::DeleteCurrentSessionRequest>,
    ) -> Reply<proto::common::Empty> {
        let caller = Caller::of(&request)?;
        self.0.sign_out(&caller).await.map_err(wrong)?;
        Ok(Response::new(proto::common::Empty {}))
    }

    async fn delete_session(
        &self,
        request: Request<pb::DeleteSessionRequest>,
    ) -> Reply<proto::common::Empty> {
        let caller = Caller::of(&request)?;
        self.0.delete(&caller, &request.get_ref().id).await.map_err(wrong)?;
        Ok(Response::new(proto::common::Empty {}))
    }

    async fn delete_sessions(
        &self,
        request: Request<pb::DeleteSessionsRequest>,
    ) -> Reply<proto::common::Empty> {
        let caller = Caller::of(&request)?;
        let user = Some(request.get_ref().user_id.as_str()).filter(|id| !id.is_empty());
        self.0.delete_all(&caller, user).await.map_err(wrong)?;
        Ok(Response::new(proto::common::Empty {}))
    }

    async fn switch_company(&self, request: Request<pb::SwitchCompanyRequest>) -> Reply<pb::SessionGrant> {
        let caller = Caller::of(&request)?;
        let grant = self.0.switch(&caller, &request.get_ref().company_id).await.map_err(wrong)?;
        Ok(Response::new(grant_to(grant)))
    }
}

pub(crate) fn grant_to(grant: Grant) -> pb::SessionGrant {
    let Grant { session, access_token, refresh_token } = grant;
    pb::SessionGrant {
        state: pb::SessionState::Active.into(),
        session_id: session.id,
        access_token,
        refresh_token,
        expires_in: u32::try_from(ACCESS.as_secs()).unwrap_or(600),
        role: role_to(session.body.role).into(),
        company_id: session.body.company_id.unwrap_or_default(),
        // The door makes one for browsers.
        csrf_token: String::new(),
    }
}

fn session_to(stored: Stored<Session>, current: Option<&str>, now: Timestamp) -> pb::Session {
    let Stored { id, scope: _, version: _, created_at, updated_at: _, body } = stored;
    let state = match body.state_at(now) {
        State::Active => pb::SessionState::Active,
        State::LoggedOut => pb::SessionState::LoggedOut,
        State::IdleExpired => pb::SessionState::IdleExpired,
        State::Expired => pb::SessionState::Expired,
        State::Revoked => pb::SessionState::Revoked,
    };
    let Session { company_id, role, method, address, device, rotated_at, ends_at, .. } = body;
    pb::Session {
        current: current == Some(id.as_str()),
        id,
        state: state.into(),
        company_id: company_id.unwrap_or_default(),
        role: role_to(role).into(),
        method,
        address: address.unwrap_or_default(),
        device: device.unwrap_or_default(),
        created_at: Some(kit::time::to_proto(created_at)),
        last_used_at: Some(kit::time::to_proto(rotated_at)),
        expires_at: Some(kit::time::to_proto(ends_at)),
    }
}
