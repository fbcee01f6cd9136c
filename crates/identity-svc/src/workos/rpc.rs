//! Single sign-on over gRPC.

use kit::Caller;
use proto::identity as pb;
use proto::identity::workos_service_server::WorkosService;
use store::Stored;
use tonic::{Request, Response, Status};

use super::inbox::Inbox;
use super::model::{Change, RoleMapping, Settings};
use super::ops::Sso;
use super::provider::{ConnectionState, Intent};
use super::sign_in::Returned;
use crate::error::Error;
use crate::user_profiles::{role_from, role_to};
use crate::user_session::grant_to;

pub(crate) struct Rpc {
    pub sso: Sso,
    pub inbox: Inbox,
}

type Reply<T> = Result<Response<T>, Status>;

fn wrong(e: Error) -> Status {
    kit::error::status(&e)
}

#[tonic::async_trait]
impl WorkosService for Rpc {
    async fn begin_sso(&self, request: Request<pb::BeginSsoRequest>) -> Reply<pb::BeginSsoResponse> {
        let caller = Caller::of(&request)?;
        let pb::BeginSsoRequest { email, return_to } = request.into_inner();
        let begun = self.sso.begin(&caller, &email, &return_to).await.map_err(wrong)?;
        let (location, binding) = begun.map(|b| (b.location, b.binding)).unwrap_or_default();
        Ok(Response::new(pb::BeginSsoResponse { location, binding }))
    }

    async fn finish_sso(&self, request: Request<pb::FinishSsoRequest>) -> Reply<pb::FinishSsoResponse> {
        let caller = Caller::of(&request)?;
        let pb::FinishSsoRequest { code, state, error, binding } = request.into_inner();
        let returned = Returned { code: &code, state: &state, error: &error, binding: &binding };
        let (grant, return_to) = self.sso.finish(&caller, returned).await.map_err(wrong)?;
        Ok(Response::new(pb::FinishSsoResponse { grant: Some(grant_to(grant)), return_to }))
    }

    async fn receive_workos_event(
        &self,
        request: Request<pb::ReceiveWorkosEventRequest>,
    ) -> Reply<pb::ReceiveWorkosEventResponse> {
        let pb::ReceiveWorkosEventRequest { body, signature } = request.into_inner();
        let (event_id, duplicate) = self.inbox.receive(&signature, &body).await.map_err(wrong)?;
        Ok(Response::new(pb::ReceiveWorkosEventResponse { event_id, duplicate }))
    }

    async fn get_sso(&self, request: Request<pb::GetSsoRequest>) -> Reply<pb::SsoSettings> {
        let caller = Caller::of(&request)?;
        let id = request.into_inner().id;
        let found = self.sso.get(&caller, &id).await.map_err(wrong)?;
        Ok(Response::new(settings_to(id, self.sso.provider(), found)))
    }

    async fn put_sso(&self, request: Request<pb::PutSsoRequest>) -> Reply<pb::SsoSettings> {
        let caller = Caller::of(&request)?;
        let pb::PutSsoRequest { id, version, domains, role_mapping, sso_required, domains_verified } =
            request.into_inner();
        let mapping = |m: pb::SsoRoleMapping| {
            let role = role_from(m.role).ok_or_else(|| {
                let fault = kit::Fault::field("role_mapping", "enum.in", "names a role nobody can have");
                kit::error::status(&fault)
            })?;
            Ok::<_, Status>(RoleMapping { group: m.group, role })
        };
        let role_mapping = role_mapping.into_iter().map(mapping).collect::<Result<_, _>>()?;
        let change = Change { domains, domains_verified, role_mapping, sso_required };
        let stored = self.sso.put(&caller, &id, version, change).await.map_err(wrong)?;
        Ok(Response::new(settings_to(id, self.sso.provider(), Some(stored))))
    }

    async fn delete_sso(&self, request: Request<pb::DeleteSsoRequest>) -> Reply<proto::common::Empty> {
        let caller = Caller::of(&request)?;
        self.sso.delete(&caller, &request.get_ref().id).await.map_err(wrong)?;
        Ok(Response::new(proto::common::Empty {}))
    }

    async fn create_sso_portal_link(
        &self,
        request: Request<pb::CreateSsoPortalLinkRequest>,
    ) -> Reply<pb::SsoPortalLink> {
        let caller = Caller::of(&request)?;
        let request = request.into_inner();
        let intent = match request.intent() {
            pb::SsoPortalIntent::Dsync => Intent::Dsync,
            pb::SsoPortalIntent::DomainVerification => Intent::DomainVerification,
            pb::SsoPortalIntent::CertificateRenewal => Intent::CertificateRenewal,
            pb::SsoPortalIntent::Sso | pb::SsoPortalIntent::Unspecified => Intent::Sso,
        };
        let link = self.sso.portal_link(&caller, intent, &request.return_to).await.map_err(wrong)?;
        Ok(Response::new(pb::SsoPortalLink { link }))
    }
}

fn settings_to(company_id: String, provider: &str, stored: Option<Stored<Settings>>) -> pb::SsoSettings {
    let Some(Stored { id: _, scope: _, version, created_at, updated_at, body }) = stored else {
        return pb::SsoSettings { company_id, provider: provider.to_owned(), ..Default::default() };
    };
    let Settings { organization_id, connection, directory_id, domains, role_mapping, sso_required } = body;
    let state = match connection.as_ref().map(|c| c.state) {
        None => pb::SsoConnectionState::Unspecified,
        Some(ConnectionState::Draft) => pb::SsoConnectionState::Draft,
        Some(ConnectionState::Active) => pb::SsoConnectionState::Active,
        Some(ConnectionState::Inactive) => pb::SsoConnectionState::Inactive,
    };
    let mapping = |m: RoleMapping| pb::SsoRoleMapping { group: m.group, role: role_to(m.role).into() };
    pb::SsoSettings {
        company_id,
        provider: provider.to_owned(),
        organization_id: organization_id.unwrap_or_default(),
        connection_id: connection.map(|c| c.id).unwrap_or_default(),
        connection_state: state.into(),
        domains: domains
            .into_iter()
            .map(|d| pb::SsoDomain { domain: d.domain, verified: d.verified })
            .collect(),
        role_mapping: role_mapping.into_iter().map(mapping).collect(),
        sso_required,
        directory_id: directory_id.unwrap_or_default(),
        created_at: Some(kit::time::to_proto(created_at)),
        updated_at: Some(kit::time::to_proto(updated_at)),
        version,
    }
}
