//! Region rules' face on the wire.

use kit::Caller;
use kit::time::to_proto;
use proto::content as pb;
use proto::content::region_rule_service_server::{RegionRuleService, RegionRuleServiceServer};
use tonic::Request;

use super::model::{Applied, Requirements, Whereabouts};
use super::ops::{Held, RegionRules};
use crate::wire::{Reply, reply};

/// The room's gRPC service.
pub fn service(room: RegionRules) -> RegionRuleServiceServer<Rpc> {
    RegionRuleServiceServer::new(Rpc(room))
}

/// The room behind its gRPC service.
pub struct Rpc(pub RegionRules);

#[tonic::async_trait]
impl RegionRuleService for Rpc {
    async fn list_region_rules(
        &self,
        request: Request<pb::ListRegionRulesRequest>,
    ) -> Reply<pb::ListRegionRulesResponse> {
        let caller = Caller::of(&request)?;
        let rows = self.0.list(&caller).await;
        reply(
            rows.map(|rows| pb::ListRegionRulesResponse {
                items: rows.into_iter().map(Into::into).collect(),
            }),
        )
    }

    async fn tighten_region_rule(
        &self,
        request: Request<pb::TightenRegionRuleRequest>,
    ) -> Reply<pb::RegionRule> {
        let caller = Caller::of(&request)?;
        let pb::TightenRegionRuleRequest { region, requirements } = request.into_inner();
        let requirements = requirements.unwrap_or_default().into();
        reply(self.0.tighten(&caller, &region, requirements).await.map(Into::into))
    }

    async fn reset_region_rule(&self, request: Request<pb::ResetRegionRuleRequest>) -> Reply<pb::RegionRule> {
        let caller = Caller::of(&request)?;
        reply(self.0.reset(&caller, &request.into_inner().region).await.map(Into::into))
    }

    async fn resolve_region_rule(
        &self,
        request: Request<pb::ResolveRegionRuleRequest>,
    ) -> Reply<pb::AppliedRegionRule> {
        let caller = Caller::of(&request)?;
        let pb::ResolveRegionRuleRequest { billing, stated, address } = request.into_inner();
        let known = Whereabouts { billing: &billing, stated: &stated, address: &address };
        let resolved = async { self.0.applied(caller.scope()?, &known).await };
        reply(resolved.await.map(Into::into))
    }
}

impl From<Held> for pb::RegionRule {
    fn from(held: Held) -> Self {
        let Held { row, requirements, tightened, updated_at } = held;
        Self {
            region: row.region.clone(),
            name: row.name.clone(),
            requirements: Some(requirements.into()),
            shipped: Some(row.requirements.into()),
            tightened,
            updated_at: updated_at.map(to_proto),
        }
    }
}

impl From<Applied> for pb::AppliedRegionRule {
    fn from(applied: Applied) -> Self {
        let Applied { regions, source, rows, requirements, doubt } = applied;
        Self { regions, source: source.as_str().into(), rows, requirements: Some(requirements.into()), doubt }
    }
}

impl From<Requirements> for pb::RegionRequirements {
    fn from(requirements: Requirements) -> Self {
        let Requirements {
            persistent_cancel,
            max_screens,
            max_offers,
            consent,
            reminder_mails,
            plain_terms,
            evidence_days,
        } = requirements;
        Self {
            persistent_cancel,
            max_screens,
            max_offers,
            consent,
            reminder_mails,
            plain_terms,
            evidence_days,
        }
    }
}

impl From<pb::RegionRequirements> for Requirements {
    fn from(requirements: pb::RegionRequirements) -> Self {
        let pb::RegionRequirements {
            persistent_cancel,
            max_screens,
            max_offers,
            consent,
            reminder_mails,
            plain_terms,
            evidence_days,
        } = requirements;
        Self {
            persistent_cancel,
            max_screens,
            max_offers,
            consent,
            reminder_mails,
            plain_terms,
            evidence_days,
        }
    }
}
