//! Invitations over gRPC.

use kit::{Caller, PageRequest, Role, Timestamp};
use proto::identity as pb;
use proto::identity::invitation_service_server::InvitationService;
use store::Stored;
use tonic::{Request, Response, Status};

use super::model::{Invitation, State};
use super::ops::{Draft, Invitations, Invitee};
use crate::error::Error;
use crate::user_profiles::{permissions_from, permissions_to, role_from, role_to};

pub(crate) struct Rpc(pub Invitations);

type Reply<T> = Result<Response<T>, Status>;

fn wrong(e: Error) -> Status {
    kit::error::status(&e)
}

#[tonic::async_trait]
impl InvitationService for Rpc {
    async fn create_invitation(
        &self,
        request: Request<pb::CreateInvitationRequest>,
    ) -> Reply<pb::Invitation> {
        let caller = Caller::of(&request)?;
        let pb::CreateInvitationRequest { email, role, note, permissions, locale } = request.into_inner();
        let draft = Draft {
            email,
            role: role_from(role).unwrap_or(Role::RetExp),
            note,
            permissions: permissions_from(permissions.unwrap_or_default()),
            locale,
        };
        let made = self.0.create(&caller, draft).await.map_err(wrong)?;
        Ok(Response::new(self.reply(made)))
    }

    async fn list_invitations(
        &self,
        request: Request<pb::ListInvitationsRequest>,
    ) -> Reply<pb::ListInvitationsResponse> {
        let caller = Caller::of(&request)?;
        let pb::ListInvitationsRequest { limit, cursor, state } = request.into_inner();
        let page = PageRequest::new(limit, cursor);
        let page = self.0.list(&caller, state_from(state), &page).await.map_err(wrong)?;
        let page = page.map(|i| self.reply(i));
        let next_cursor = page.next_cursor.unwrap_or_default();
        Ok(Response::new(pb::ListInvitationsResponse { items: page.items, next_cursor }))
    }

    async fn get_invitation_by_token(
        &self,
        request: Request<pb::GetInvitationByTokenRequest>,
    ) -> Reply<pb::InvitationOffer> {
        let found = self.0.by_token(&request.get_ref().token).await.map_err(wrong)?;
        let i = found.body;
        Ok(Response::new(pb::InvitationOffer {
            role: role_to(i.role).into(),
            state: state_to(i.state_at(self.0.now())).into(),
            expires_at: Some(kit::time::to_proto(i.expires_at)),
            company_name: i.company_name,
            inviter: i.inviter_name,
            note: i.note,
        }))
    }

    async fn accept_invitation(
        &self,
        request: Request<pb::AcceptInvitationRequest>,
    ) -> Reply<pb::Invitation> {
        let caller = Caller::of(&request)?;
        let pb::AcceptInvitationRequest { token, email, name, locale, time_zone } = request.into_inner();
        let who = Invitee { email, name, locale, time_zone };
        let stored = self.0.accept(&caller, &token, who).await.map_err(wrong)?;
        Ok(Response::new(self.reply(stored)))
    }

    async fn decline_invitation(
        &self,
        request: Request<pb::DeclineInvitationRequest>,
    ) -> Reply<pb::Invitation> {
        let stored = self.0.decline(&request.get_ref().token).await.map_err(wrong)?;
        Ok(Response::new(self.reply(stored)))
    }

    async fn resend_invitation(
        &self,
        request: Request<pb::ResendInvitationRequest>,
    ) -> Reply<pb::Invitation> {
        let caller = Caller::of(&request)?;
        let pb::ResendInvitationRequest { id, email } = request.into_inner();
        let email = Some(email).filter(|e| !e.is_empty());
        let stored = self.0.resend(&caller, &id, email.as_deref()).await.map_err(wrong)?;
        Ok(Response::new(self.reply(stored)))
    }

    async fn revoke_invitation(
        &self,
        request: Request<pb::RevokeInvitationRequest>,
    ) -> Reply<pb::Invitation> {
        let caller = Caller::of(&request)?;
        let stored = self.0.revoke(&caller, &request.get_ref().id).await.map_err(wrong)?;
        Ok(Response::new(self.reply(stored)))
    }
}

impl Rpc {
    fn reply(&self, stored: Stored<Invitation>) -> pb::Invitation {
        invitation_to(stored, self.0.now())
    }
}

fn invitation_to(stored: Stored<Invitation>, now: Timestamp) -> pb::Invitation {
    let Stored { id, scope: _, version, created_at, updated_at, body } = stored;
    let state = body.state_at(now);
    let Invitation { email, role, permissions, invited_by, note, expires_at, sent_count, user_id, .. } = body;
    pb::Invitation {
        id,
        email,
        role: role_to(role).into(),
        state: state_to(state).into(),
        invited_by,
        note,
        permissions: Some(permissions_to(permissions)),
        expires_at: Some(kit::time::to_proto(expires_at)),
        sent_count,
        user_id: user_id.unwrap_or_default(),
        created_at: Some(kit::time::to_proto(created_at)),
        updated_at: Some(kit::time::to_proto(updated_at)),
        version,
    }
}

fn state_to(state: State) -> pb::InvitationState {
    match state {
        State::Created => pb::InvitationState::Created,
        State::Sent => pb::InvitationState::Sent,
        State::Accepted => pb::InvitationState::Accepted,
        State::Declined => pb::InvitationState::Declined,
        State::Expired => pb::InvitationState::Expired,
        State::Revoked => pb::InvitationState::Revoked,
        State::Undeliverable => pb::InvitationState::Undeliverable,
    }
}

fn state_from(state: i32) -> Option<State> {
    match pb::InvitationState::try_from(state).ok()? {
        pb::InvitationState::Unspecified => None,
        pb::InvitationState::Created => Some(State::Created),
        pb::InvitationState::Sent => Some(State::Sent),
        pb::InvitationState::Accepted => Some(State::Accepted),
        pb::InvitationState::Declined => Some(State::Declined),
        pb::InvitationState::Expired => Some(State::Expired),
        pb::InvitationState::Revoked => Some(State::Revoked),
        pb::InvitationState::Undeliverable => Some(State::Undeliverable),
    }
}
