//! Companies over gRPC.

use kit::{Caller, Mode, PageRequest};
use proto::identity as pb;
use proto::identity::company_service_server::CompanyService;
use store::Stored;
use tonic::{Request, Response, Status as GrpcStatus};

use super::model::{Company, Status, Wanted};
use super::ops::Companies;
use crate::error::Error;
use crate::user_profiles::{permissions_from, permissions_to};

pub(crate) struct Rpc(pub Companies);

type Reply<T> = Result<Response<T>, GrpcStatus>;

fn wrong(e: Error) -> GrpcStatus {
    kit::error::status(&e)
}

#[tonic::async_trait]
impl CompanyService for Rpc {
    async fn create_company(&self, request: Request<pb::CreateCompanyRequest>) -> Reply<pb::Company> {
        let caller = Caller::of(&request)?;
        let pb::CreateCompanyRequest {
            name,
            slug,
            domain,
            logo_url,
            plan,
            default_currency,
            time_zone,
            locales,
            regions,
            widget_origins,
            product_upload_enabled,
            raw_data_days,
            modes,
            expert_rights,
        } = request.into_inner();
        let wanted = Wanted {
            modes: Some(modes_from(&modes)).filter(|m| !m.is_empty()),
            expert_rights: expert_rights.map(permissions_from),
            name: None,
            domain: Some(domain),
            logo_url: Some(logo_url),
            plan: Some(plan),
            default_currency: Some(default_currency),
            time_zone: Some(time_zone).filter(|t| !t.is_empty()),
            locales: Some(locales).filter(|l| !l.is_empty()),
            regions: Some(regions),
            widget_origins: Some(widget_origins),
            product_upload_enabled: Some(product_upload_enabled),
            raw_data_days: Some(raw_data_days).filter(|d| *d > 0),
        };
        let made = self.0.create(&caller, name, slug, wanted).await.map_err(wrong)?;
        Ok(Response::new(company_to(made)))
    }

    async fn list_companies(
        &self,
        request: Request<pb::ListCompaniesRequest>,
    ) -> Reply<pb::ListCompaniesResponse> {
        let caller = Caller::of(&request)?;
        let pb::ListCompaniesRequest { limit, cursor, status } = request.into_inner();
        let page = PageRequest::new(limit, cursor);
        let page = self.0.list(&caller, status_from(status), &page).await.map_err(wrong)?.map(company_to);
        let next_cursor = page.next_cursor.unwrap_or_default();
        Ok(Response::new(pb::ListCompaniesResponse { items: page.items, next_cursor }))
    }

    async fn get_company(&self, request: Request<pb::GetCompanyRequest>) -> Reply<pb::Company> {
        let caller = Caller::of(&request)?;
        let found = self.0.get(&caller, &request.get_ref().id).await.map_err(wrong)?;
        Ok(Response::new(company_to(found)))
    }

    async fn update_company(&self, request: Request<pb::UpdateCompanyRequest>) -> Reply<pb::Company> {
        let caller = Caller::of(&request)?;
        let pb::UpdateCompanyRequest {
            id,
            version,
            name,
            domain,
            logo_url,
            plan,
            default_currency,
            time_zone,
            locales,
            regions,
            widget_origins,
            product_upload_enabled,
            raw_data_days,
            update_mask,
            modes,
            expert_rights,
        } = request.into_inner();
        let named = |field: &str| update_mask.as_ref().is_some_and(|m| m.paths.iter().any(|p| p == field));
        let wanted = Wanted {
            modes: named("modes").then(|| modes_from(&modes)),
            expert_rights: expert_rights.map(permissions_from),
            name,
            domain,
            logo_url,
            plan,
            default_currency,
            time_zone,
            locales: named("locales").then_some(locales),
            regions: named("regions").then_some(regions),
            widget_origins: named("widget_origins").then_some(widget_origins),
            product_upload_enabled,
            raw_data_days,
        };
        let stored = self.0.update(&caller, &id, version, wanted).await.map_err(wrong)?;
        Ok(Response::new(company_to(stored)))
    }

    async fn suspend_company(&self, request: Request<pb::SuspendCompanyRequest>) -> Reply<pb::Company> {
        let caller = Caller::of(&request)?;
        let pb::SuspendCompanyRequest { id, reason } = request.into_inner();
        let stored = self.0.suspend(&caller, &id, &reason).await.map_err(wrong)?;
        Ok(Response::new(company_to(stored)))
    }

    async fn close_company(&self, request: Request<pb::CloseCompanyRequest>) -> Reply<pb::Company> {
        let caller = Caller::of(&request)?;
        let pb::CloseCompanyRequest { id, reason } = request.into_inner();
        let stored = self.0.close(&caller, &id, &reason).await.map_err(wrong)?;
        Ok(Response::new(company_to(stored)))
    }

    async fn reactivate_company(&self, request: Request<pb::ReactivateCompanyRequest>) -> Reply<pb::Company> {
        let caller = Caller::of(&request)?;
        let stored = self.0.reactivate(&caller, &request.get_ref().id).await.map_err(wrong)?;
        Ok(Response::new(company_to(stored)))
    }
}

fn company_to(stored: Stored<Company>) -> pb::Company {
    let Stored { id, scope: _, version, created_at, updated_at, body } = stored;
    let Company {
        name,
        slug,
        status,
        public_key,
        domain,
        logo_url,
        plan,
        default_currency,
        time_zone,
        locales,
        regions,
        widget_origins,
        product_upload_enabled,
        raw_data_days,
        modes,
        expert_rights,
        closes_at,
        sessions_since: _,
        sso_required: _,
        admins_epoch: _,
    } = body;
    pb::Company {
        id,
        name,
        slug,
        status: status_to(status).into(),
        public_key,
        domain,
        logo_url,
        plan,
        default_currency,
        time_zone,
        locales,
        regions,
        widget_origins,
        product_upload_enabled,
        raw_data_days,
        created_at: Some(kit::time::to_proto(created_at)),
        updated_at: Some(kit::time::to_proto(updated_at)),
        version,
        modes: modes.into_iter().map(|m| m.as_str().to_owned()).collect(),
        expert_rights: Some(permissions_to(expert_rights)),
        closes_at: closes_at.map(kit::time::to_proto),
    }
}

fn modes_from(names: &[String]) -> Vec<Mode> {
    names.iter().filter_map(|m| Mode::parse(m)).collect()
}

fn status_to(status: Status) -> pb::CompanyStatus {
    match status {
        Status::Pending => pb::CompanyStatus::Pending,
        Status::Active => pb::CompanyStatus::Active,
        Status::Suspended => pb::CompanyStatus::Suspended,
        Status::Closing => pb::CompanyStatus::Closing,
        Status::Closed => pb::CompanyStatus::Closed,
    }
}

fn status_from(status: i32) -> Option<Status> {
    match pb::CompanyStatus::try_from(status).ok()? {
        pb::CompanyStatus::Unspecified => None,
        pb::CompanyStatus::Pending => Some(Status::Pending),
        pb::CompanyStatus::Active => Some(Status::Active),
        pb::CompanyStatus::Suspended => Some(Status::Suspended),
        pb::CompanyStatus::Closing => Some(Status::Closing),
        pb::CompanyStatus::Closed => Some(Status::Closed),
    }
}
