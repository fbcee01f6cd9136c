//! Redemptions over gRPC.

use kit::Caller;
use proto::billing as pb;
use proto::billing::redemption_service_server::RedemptionService;
use store::Stored;
use tonic::{Request, Response, Status};

use super::model::{Redemption, State};
use super::ops::Redemptions;
use crate::error::Error;
use crate::events::money;
use crate::offer::local_to;

pub(crate) struct Rpc(pub Redemptions);

type Reply<T> = Result<Response<T>, Status>;

fn wrong(e: Error) -> Status {
    kit::error::status(&e)
}

#[tonic::async_trait]
impl RedemptionService for Rpc {
    async fn present_offer(&self, request: Request<pb::PresentOfferRequest>) -> Reply<pb::Redemption> {
        let caller = Caller::of(&request)?;
        let pb::PresentOfferRequest { offer_id, subscription_id, flow_session_id, persona_ids } =
            request.into_inner();
        let shown = self.0.present(&caller, &offer_id, &subscription_id, &flow_session_id, persona_ids).await;
        Ok(Response::new(redemption_to(shown.map_err(wrong)?)))
    }

    async fn claim_redemption(&self, request: Request<pb::ClaimRedemptionRequest>) -> Reply<pb::Redemption> {
        let caller = Caller::of(&request)?;
        let pb::ClaimRedemptionRequest { id, terms_hash } = request.into_inner();
        let room = self.0.clone();
        let claim = kit::task::to_the_end(async move { room.claim(&caller, &id, &terms_hash).await });
        let claimed = claim.await.map_err(|f| kit::error::status(&f))?.map_err(wrong)?;
        Ok(Response::new(redemption_to(claimed)))
    }

    async fn decline_redemption(
        &self,
        request: Request<pb::DeclineRedemptionRequest>,
    ) -> Reply<pb::Redemption> {
        let caller = Caller::of(&request)?;
        let declined = self.0.decline(&caller, &request.get_ref().id).await.map_err(wrong)?;
        Ok(Response::new(redemption_to(declined)))
    }

    async fn lapse_redemptions(
        &self,
        request: Request<pb::LapseRedemptionsRequest>,
    ) -> Reply<pb::LapseRedemptionsResponse> {
        let caller = Caller::of(&request)?;
        let lapsed = self.0.lapse(&caller, &request.get_ref().flow_session_id).await.map_err(wrong)?;
        Ok(Response::new(pb::LapseRedemptionsResponse { lapsed }))
    }

    async fn get_redemption(&self, request: Request<pb::GetRedemptionRequest>) -> Reply<pb::Redemption> {
        let caller = Caller::of(&request)?;
        let scope = caller.scope().map_err(|f| kit::error::status(&f))?;
        let found = self.0.get(scope, &request.get_ref().id).await.map_err(wrong)?;
        Ok(Response::new(redemption_to(found)))
    }

    async fn fulfil_redemption(
        &self,
        request: Request<pb::FulfilRedemptionRequest>,
    ) -> Reply<pb::Redemption> {
        let caller = Caller::of(&request)?;
        let pb::FulfilRedemptionRequest { id, note } = request.into_inner();
        let fulfilled = self.0.fulfil(&caller, &id, &note).await.map_err(wrong)?;
        Ok(Response::new(redemption_to(fulfilled)))
    }

    async fn reject_redemption(
        &self,
        request: Request<pb::RejectRedemptionRequest>,
    ) -> Reply<pb::Redemption> {
        let caller = Caller::of(&request)?;
        let pb::RejectRedemptionRequest { id, reason } = request.into_inner();
        let rejected = self.0.reject(&caller, &id, &reason).await.map_err(wrong)?;
        Ok(Response::new(redemption_to(rejected)))
    }

    async fn reverse_redemption(
        &self,
        request: Request<pb::ReverseRedemptionRequest>,
    ) -> Reply<pb::Redemption> {
        let caller = Caller::of(&request)?;
        let pb::ReverseRedemptionRequest { id, reason } = request.into_inner();
        let room = self.0.clone();
        let reverse = kit::task::to_the_end(async move { room.reverse(&caller, &id, &reason).await });
        let reversed = reverse.await.map_err(|f| kit::error::status(&f))?.map_err(wrong)?;
        Ok(Response::new(redemption_to(reversed)))
    }
}

pub(crate) fn redemption_to(stored: Stored<Redemption>) -> pb::Redemption {
    let Stored { id, version, body, .. } = stored;
    let Redemption {
        offer_id,
        offer_name: _,
        offer_number,
        kind: _,
        customer_id,
        subscription_id,
        flow_session_id,
        persona_ids: _,
        state,
        terms: _,
        terms_hash,
        terms_text,
        stacking: _,
        provider: _,
        code,
        cost,
        budget_month: _,
        presented_at,
        claimed_at,
        applied_at: _,
        verified_at,
        effect_ends_at,
        failure,
        attempts: _,
        asked_at: _,
        undos: _,
        fence: _,
        before: _,
        effect: _,
    } = body;
    pb::Redemption {
        id,
        offer_id,
        offer_version: offer_number,
        customer_id,
        subscription_id,
        flow_session_id,
        state: state_to(state).into(),
        terms_hash,
        terms_text: Some(local_to(terms_text)),
        code,
        cost: cost.map(money),
        presented_at: Some(kit::time::to_proto(presented_at)),
        claimed_at: claimed_at.map(kit::time::to_proto),
        verified_at: verified_at.map(kit::time::to_proto),
        effect_ends_at: effect_ends_at.map(kit::time::to_proto),
        failure,
        version,
    }
}

fn state_to(state: State) -> pb::RedemptionState {
    match state {
        State::Presented => pb::RedemptionState::Presented,
        State::Declined => pb::RedemptionState::Declined,
        State::Lapsed => pb::RedemptionState::Lapsed,
        State::Claimed => pb::RedemptionState::Claimed,
        State::Applying => pb::RedemptionState::Applying,
        State::Applied => pb::RedemptionState::Applied,
        State::Verified => pb::RedemptionState::Verified,
        State::Exhausted => pb::RedemptionState::Exhausted,
        State::FulfilPending => pb::RedemptionState::FulfilPending,
        State::Rejected => pb::RedemptionState::Rejected,
        State::Failed => pb::RedemptionState::Failed,
        State::Reversed => pb::RedemptionState::Reversed,
    }
}

/// A state from the wire; none where it is left out.
pub(crate) fn redemption_from_state(state: i32) -> Option<State> {
    State::ALL.into_iter().find(|s| i32::from(state_to(*s)) == state)
}
