//! Onboarding over gRPC.

use kit::{Caller, PageRequest};
use proto::identity as pb;
use proto::identity::onboarding_service_server::OnboardingService;
use serde_json::{Map, Value};
use store::Stored;
use tonic::{Request, Response, Status};

use super::model::{Onboarding, Proof, State, Step, StepKey, StepState};
use super::ops::OnboardingDetails;
use crate::error::Error;

pub(crate) struct Rpc(pub OnboardingDetails);

type Reply<T> = Result<Response<T>, Status>;

fn wrong(e: Error) -> Status {
    kit::error::status(&e)
}

fn told(outcome: Result<Stored<Onboarding>, Error>) -> Reply<pb::Onboarding> {
    outcome.map(|o| Response::new(onboarding_to(o))).map_err(wrong)
}

#[tonic::async_trait]
impl OnboardingService for Rpc {
    async fn get_onboarding(&self, request: Request<pb::GetOnboardingRequest>) -> Reply<pb::Onboarding> {
        let caller = Caller::of(&request)?;
        told(self.0.get(&caller).await)
    }

    async fn list_onboarding_overview(
        &self,
        request: Request<pb::ListOnboardingOverviewRequest>,
    ) -> Reply<pb::ListOnboardingOverviewResponse> {
        Caller::of(&request)?;
        let pb::ListOnboardingOverviewRequest { limit, cursor, state, expert_id } = request.into_inner();
        let expert = Some(expert_id.as_str()).filter(|e| !e.is_empty());
        let page = PageRequest::new(limit, cursor);
        let page = self.0.overview(state_from(state), expert, &page).await.map_err(wrong)?.map(summary_to);
        let next_cursor = page.next_cursor.unwrap_or_default();
        Ok(Response::new(pb::ListOnboardingOverviewResponse { items: page.items, next_cursor }))
    }

    async fn assign_onboarding_expert(
        &self,
        request: Request<pb::AssignOnboardingExpertRequest>,
    ) -> Reply<pb::Onboarding> {
        let caller = Caller::of(&request)?;
        told(self.0.assign_expert(&caller, &request.get_ref().user_id).await)
    }

    async fn update_onboarding_step(
        &self,
        request: Request<pb::UpdateOnboardingStepRequest>,
    ) -> Reply<pb::Onboarding> {
        let caller = Caller::of(&request)?;
        let pb::UpdateOnboardingStepRequest { key, version, data } = request.into_inner();
        let data = match data.map(proto::json::object_from_wire) {
            Some(Value::Object(data)) => data,
            _ => Map::new(),
        };
        told(self.0.save(&caller, key_from(key)?, version, data).await)
    }

    async fn complete_onboarding_step(
        &self,
        request: Request<pb::CompleteOnboardingStepRequest>,
    ) -> Reply<pb::Onboarding> {
        let caller = Caller::of(&request)?;
        told(self.0.complete(&caller, key_from(request.get_ref().key)?).await)
    }

    async fn skip_onboarding_step(
        &self,
        request: Request<pb::SkipOnboardingStepRequest>,
    ) -> Reply<pb::Onboarding> {
        let caller = Caller::of(&request)?;
        told(self.0.skip(&caller, key_from(request.get_ref().key)?).await)
    }

    async fn reopen_onboarding_step(
        &self,
        request: Request<pb::ReopenOnboardingStepRequest>,
    ) -> Reply<pb::Onboarding> {
        let caller = Caller::of(&request)?;
        told(self.0.reopen(&caller, key_from(request.get_ref().key)?).await)
    }
}

fn onboarding_to(stored: Stored<Onboarding>) -> pb::Onboarding {
    let Stored { id, scope: _, version, created_at: _, updated_at: _, body } = stored;
    let (percent, current, warnings) = (body.percent(), body.current(), body.warnings());
    let Onboarding { company_name: _, state, steps, proofs, missing, expert_id, live_at } = body;
    let steps = steps.into_iter().map(|step| step_to(step, &proofs, &missing)).collect();
    pb::Onboarding {
        company_id: id,
        state: state_to(state).into(),
        percent,
        current_step: current.map(|k| key_to(k).into()),
        steps,
        expert_id: expert_id.unwrap_or_default(),
        live_at: live_at.map(kit::time::to_proto),
        warnings: warnings.into_iter().map(|k| key_to(k).into()).collect(),
        version,
    }
}

fn summary_to(stored: Stored<Onboarding>) -> pb::OnboardingSummary {
    let Stored { id, scope: _, version: _, created_at: _, updated_at, body } = stored;
    pb::OnboardingSummary {
        company_id: id,
        state: state_to(body.state).into(),
        percent: body.percent(),
        current_step: body.current().map(|k| key_to(k).into()),
        warnings: body.warnings().into_iter().map(|k| key_to(k).into()).collect(),
        company_name: body.company_name,
        expert_id: body.expert_id.unwrap_or_default(),
        live_at: body.live_at.map(kit::time::to_proto),
        updated_at: Some(kit::time::to_proto(updated_at)),
    }
}

fn step_to(step: Step, proofs: &[Proof], missing: &[String]) -> pb::OnboardingStep {
    let Step { key, state, data, done_by, done_at, reopened, held: _ } = step;
    let evidence = proofs.iter().filter(|p| p.step == key).map(|p| pb::OnboardingEvidence {
        kind: p.kind.clone(),
        about: p.about.clone(),
        holds: p.holds,
        seen_at: Some(kit::time::to_proto(p.seen_at)),
    });
    pb::OnboardingStep {
        key: key_to(key).into(),
        state: step_state_to(state).into(),
        optional: key.is_optional(),
        content: key.is_content(),
        data: proto::json::object_to_wire(&Value::Object(data)),
        done_by: done_by.unwrap_or_default(),
        done_at: done_at.map(kit::time::to_proto),
        evidence: evidence.collect(),
        missing: if key == StepKey::CompanyProfile { missing.to_vec() } else { Vec::new() },
        reopened,
    }
}

fn key_to(key: StepKey) -> pb::OnboardingStepKey {
    match key {
        StepKey::CompanyProfile => pb::OnboardingStepKey::CompanyProfile,
        StepKey::Intake => pb::OnboardingStepKey::Intake,
        StepKey::BillingConnected => pb::OnboardingStepKey::BillingConnected,
        StepKey::CustomersSynced => pb::OnboardingStepKey::CustomersSynced,
        StepKey::TicketingConnected => pb::OnboardingStepKey::TicketingConnected,
        StepKey::SlackConnected => pb::OnboardingStepKey::SlackConnected,
        StepKey::UsageUploaded => pb::OnboardingStepKey::UsageUploaded,
        StepKey::PersonasDefined => pb::OnboardingStepKey::PersonasDefined,
        StepKey::ChallengesChosen => pb::OnboardingStepKey::ChallengesChosen,
        StepKey::FlowPublished => pb::OnboardingStepKey::FlowPublished,
        StepKey::WidgetVerified => pb::OnboardingStepKey::WidgetVerified,
        StepKey::GoLive => pb::OnboardingStepKey::GoLive,
    }
}

fn key_from(key: i32) -> Result<StepKey, Status> {
    let named = pb::OnboardingStepKey::try_from(key).ok();
    let found = StepKey::ALL.into_iter().find(|k| Some(key_to(*k)) == named);
    found.ok_or_else(|| wrong(Error::field("key", "enum", "is no step")))
}

fn step_state_to(state: StepState) -> pb::OnboardingStepState {
    match state {
        StepState::Locked => pb::OnboardingStepState::Locked,
        StepState::Available => pb::OnboardingStepState::Available,
        StepState::InProgress => pb::OnboardingStepState::InProgress,
        StepState::Completed => pb::OnboardingStepState::Completed,
        StepState::Skipped => pb::OnboardingStepState::Skipped,
    }
}

fn state_to(state: State) -> pb::OnboardingState {
    match state {
        State::NotStarted => pb::OnboardingState::NotStarted,
        State::InProgress => pb::OnboardingState::InProgress,
        State::Ready => pb::OnboardingState::Ready,
        State::Live => pb::OnboardingState::Live,
    }
}

fn state_from(state: i32) -> Option<State> {
    match pb::OnboardingState::try_from(state).ok()? {
        pb::OnboardingState::Unspecified => None,
        pb::OnboardingState::NotStarted => Some(State::NotStarted),
        pb::OnboardingState::InProgress => Some(State::InProgress),
        pb::OnboardingState::Ready => Some(State::Ready),
        pb::OnboardingState::Live => Some(State::Live),
    }
}
