//! Recovery over gRPC.

use kit::{Caller, PageRequest};
use proto::billing as pb;
use proto::billing::recovery_service_server::RecoveryService;
use tonic::{Request, Response, Status};

use super::campaigns::Campaigns;
use super::cases::Cases;
use super::store::{CampaignFilter, CaseFilter};
use super::wire::{campaign_to, case_state_from, case_to, change_with, draft_from, status_from};
use crate::error::Error;

pub(crate) struct Rpc {
    pub campaigns: Campaigns,
    pub cases: Cases,
}

type Reply<T> = Result<Response<T>, Status>;

fn wrong(e: Error) -> Status {
    kit::error::status(&e)
}

#[tonic::async_trait]
impl RecoveryService for Rpc {
    async fn list_recovery_campaigns(
        &self,
        request: Request<pb::ListRecoveryCampaignsRequest>,
    ) -> Reply<pb::ListRecoveryCampaignsResponse> {
        let caller = Caller::of(&request)?;
        let pb::ListRecoveryCampaignsRequest { limit, cursor, status } = request.into_inner();
        let filter = CampaignFilter { status: status_from(status) };
        let page = self.campaigns.list(&caller, &filter, &PageRequest::new(limit, cursor)).await;
        let page = page.map_err(wrong)?.map(campaign_to);
        let next_cursor = page.next_cursor.unwrap_or_default();
        Ok(Response::new(pb::ListRecoveryCampaignsResponse { items: page.items, next_cursor }))
    }

    async fn create_recovery_campaign(
        &self,
        request: Request<pb::CreateRecoveryCampaignRequest>,
    ) -> Reply<pb::RecoveryCampaign> {
        let caller = Caller::of(&request)?;
        let made = self.campaigns.create(&caller, draft_from(request.into_inner())).await;
        Ok(Response::new(campaign_to(made.map_err(wrong)?)))
    }

    async fn update_recovery_campaign(
        &self,
        request: Request<pb::UpdateRecoveryCampaignRequest>,
    ) -> Reply<pb::RecoveryCampaign> {
        let caller = Caller::of(&request)?;
        let request = request.into_inner();
        let (id, version) = (request.id.clone(), request.version);
        let changed = self.campaigns.update(&caller, &id, version, |old| Ok(change_with(old, request))).await;
        Ok(Response::new(campaign_to(changed.map_err(wrong)?)))
    }

    async fn list_recovery_cases(
        &self,
        request: Request<pb::ListRecoveryCasesRequest>,
    ) -> Reply<pb::ListRecoveryCasesResponse> {
        let caller = Caller::of(&request)?;
        let pb::ListRecoveryCasesRequest { limit, cursor, state, subscription_id, customer_id, campaign_id } =
            request.into_inner();
        let given = |id: String| Some(id).filter(|id| !id.is_empty());
        let filter = CaseFilter {
            state: case_state_from(state),
            subscription_id: given(subscription_id),
            customer_id: given(customer_id),
            campaign_id: given(campaign_id),
        };
        let page = self.cases.list(&caller, &filter, &PageRequest::new(limit, cursor)).await;
        let page = page.map_err(wrong)?.map(case_to);
        let next_cursor = page.next_cursor.unwrap_or_default();
        Ok(Response::new(pb::ListRecoveryCasesResponse { items: page.items, next_cursor }))
    }

    async fn get_recovery_case(
        &self,
        request: Request<pb::GetRecoveryCaseRequest>,
    ) -> Reply<pb::RecoveryCase> {
        let caller = Caller::of(&request)?;
        let scope = caller.scope().map_err(|f| kit::error::status(&f))?;
        let found = self.cases.get(scope, &request.get_ref().id).await.map_err(wrong)?;
        Ok(Response::new(case_to(found)))
    }

    async fn stop_recovery_case(
        &self,
        request: Request<pb::StopRecoveryCaseRequest>,
    ) -> Reply<pb::RecoveryCase> {
        let caller = Caller::of(&request)?;
        let pb::StopRecoveryCaseRequest { id, reason } = request.into_inner();
        let stopped = self.cases.stop(&caller, &id, &reason).await.map_err(wrong)?;
        Ok(Response::new(case_to(stopped)))
    }
}
