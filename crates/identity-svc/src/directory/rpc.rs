//! The directory over gRPC, for services only, and the key set.

use kit::{Caller, Mode, Role, Scope};
use proto::google::api::HttpBody;
use proto::identity as pb;
use proto::identity::directory_service_server::DirectoryService;
use proto::identity::jwks_service_server::JwksService;
use tonic::{Request, Response, Status};

use crate::api_key::ApiKeys;
use crate::companies::CompanyStore;
use crate::error::Error;
use crate::user_profiles::PeopleStore;
use crate::user_session::{Keys, Sessions};

pub(crate) struct Directory {
    pub keys: ApiKeys,
    pub sessions: Sessions,
    pub companies: CompanyStore,
    pub people: PeopleStore,
}

type Reply<T> = Result<Response<T>, Status>;

fn wrong(e: impl Into<Error>) -> Status {
    kit::error::status(&e.into())
}

#[tonic::async_trait]
impl DirectoryService for Directory {
    async fn resolve_api_key(&self, request: Request<pb::ResolveApiKeyRequest>) -> Reply<pb::ResolvedKey> {
        let hash = hex::encode(&request.get_ref().hash);
        let (key, company_status) = self.keys.resolve(&hash).await.map_err(wrong)?;
        Ok(Response::new(pb::ResolvedKey {
            key_id: key.id,
            company_id: key.scope.company,
            mode: key.scope.mode.as_str().to_owned(),
            scopes: key.body.scopes,
            expires_at: key.body.expires_at.map(kit::time::to_proto),
            company_status,
        }))
    }

    async fn resolve_session(
        &self,
        request: Request<pb::ResolveSessionRequest>,
    ) -> Reply<pb::ResolvedSession> {
        let (session, standing) =
            self.sessions.resolve(&request.get_ref().session_id).await.map_err(wrong)?;
        Ok(Response::new(pb::ResolvedSession {
            session_id: session.id,
            user_id: session.body.user_id,
            role: standing.role.as_str().to_owned(),
            company_id: standing.company_id.unwrap_or_default(),
            grants: standing.grants,
            company_status: standing.company_status,
            modes: standing.modes.iter().map(|m| m.as_str().to_owned()).collect(),
        }))
    }

    async fn resolve_company(
        &self,
        request: Request<pb::ResolveCompanyRequest>,
    ) -> Reply<pb::ResolvedCompany> {
        let found = self.companies.by_any(&request.get_ref().key).await.map_err(wrong)?;
        let company = found.ok_or_else(|| wrong(store::Error::NotFound("company")))?;
        let c = company.body;
        Ok(Response::new(pb::ResolvedCompany {
            company_id: company.id,
            name: c.name,
            slug: c.slug,
            status: c.status.as_str().to_owned(),
            default_currency: c.default_currency,
            time_zone: c.time_zone,
            locales: c.locales,
            widget_origins: c.widget_origins,
            product_upload_enabled: c.product_upload_enabled,
            public_key: c.public_key,
        }))
    }

    async fn resolve_origin(&self, request: Request<pb::ResolveOriginRequest>) -> Reply<pb::ResolvedOrigin> {
        let company_ids = self.companies.embedded_at(&request.get_ref().origin).await.map_err(wrong)?;
        Ok(Response::new(pb::ResolvedOrigin { company_ids }))
    }

    async fn list_recipients(
        &self,
        request: Request<pb::ListRecipientsRequest>,
    ) -> Reply<pb::ListRecipientsResponse> {
        let caller = Caller::of(&request)?;
        let company = &caller.scope().map_err(|f| kit::error::status(&f))?.company;
        let scope = Scope::new(company, Mode::Live);
        let roles: Vec<Role> = [Role::RetAdmin, Role::RetExp]
            .into_iter()
            .filter(|r| request.get_ref().roles.iter().any(|n| n == r.as_str()))
            .collect();
        let members = self.people.active(&scope, &roles).await.map_err(wrong)?;
        let ids: Vec<_> = members.iter().map(|m| m.body.user_id.clone()).collect();
        let people = self.people.people(&ids).await.map_err(wrong)?;
        let items = members
            .iter()
            .filter_map(|m| {
                let person = people.iter().find(|p| p.id == m.body.user_id)?;
                Some(pb::Recipient {
                    user_id: person.id.clone(),
                    email: person.body.email.clone(),
                    name: person.body.name.clone(),
                    locale: person.body.locale.clone(),
                    role: m.body.role.as_str().to_owned(),
                    sees_personal_data: m.body.role == Role::RetAdmin || m.body.permissions.see_personal_data,
                })
            })
            .collect();
        Ok(Response::new(pb::ListRecipientsResponse { items }))
    }
}

pub(crate) struct Jwks(pub Keys);

#[tonic::async_trait]
impl JwksService for Jwks {
    async fn get_jwks(&self, _request: Request<pb::GetJwksRequest>) -> Reply<HttpBody> {
        let data = self.0.jwks().as_bytes().to_vec();
        Ok(Response::new(HttpBody {
            content_type: String::from("application/jwk-set+json"),
            data: data.into(),
            ..HttpBody::default()
        }))
    }
}
