//! Campaigns and cases between the wire and the model; `rpc.rs` would be too long with them.

use kit::locale::LocalText;
use proto::billing as pb;
use proto::common;
use store::Stored;

use super::case::{Case, Outcome, Planned, State};
use super::model::{Campaign, Change, Draft, Plan, Status, Step, StepKind};
use super::text::Variable;
use crate::events::money;
use crate::offer::local_to;

pub(super) fn draft_from(request: pb::CreateRecoveryCampaignRequest) -> Draft {
    let pb::CreateRecoveryCampaignRequest { name, priority, audience, plan } = request;
    Draft {
        name,
        priority,
        persona_ids: audience.map(|a| a.persona_ids).unwrap_or_default(),
        plan: plan.map(plan_from).unwrap_or_default(),
    }
}

/// The campaign as a draft, with the fields changed that the request gives or its mask names.
pub(super) fn change_with(old: &Campaign, request: pb::UpdateRecoveryCampaignRequest) -> Change {
    let pb::UpdateRecoveryCampaignRequest {
        id: _,
        version: _,
        name,
        status,
        priority,
        audience,
        plan,
        update_mask,
    } = request;
    let paths = update_mask.map(|m| m.paths).unwrap_or_default();
    let given = |field: &str, there: bool| {
        there || paths.iter().any(|p| p == field || p.starts_with(&format!("{field}.")))
    };
    let mut change = old.as_it_is(status.and_then(status_from));
    let draft = &mut change.draft;
    draft.name = name.unwrap_or_else(|| old.name.clone());
    draft.priority = priority.unwrap_or(old.priority);
    if given("audience", audience.is_some()) {
        draft.persona_ids = audience.map(|a| a.persona_ids).unwrap_or_default();
    }
    if given("plan", plan.is_some()) {
        draft.plan = plan.map(plan_from).unwrap_or_default();
    }
    change
}

fn plan_from(plan: pb::RecoveryPlan) -> Plan {
    let pb::RecoveryPlan { steps, variables, stop_rules, limits } = plan;
    let pb::RecoveryStopRules { give_up_after_days, go_on_when_disputed } = stop_rules.unwrap_or_default();
    let pb::RecoveryLimits { max_mails } = limits.unwrap_or_default();
    let variables = variables.into_iter().map(|v| {
        let pb::RecoveryVariable { key, fallback } = v;
        Variable { key, fallback: fallback.map(local_from).unwrap_or_default() }
    });
    Plan {
        steps: steps.into_iter().filter_map(step_from).collect(),
        variables: variables.collect(),
        give_up_after_days,
        go_on_when_disputed,
        max_mails,
    }
}

fn step_from(step: pb::RecoveryStep) -> Option<Step> {
    let pb::RecoveryStep { kind, day, hour, subject, body, offer_id, link } = step;
    // Validation has refused a kind that is none.
    let kind = StepKind::ALL.into_iter().find(|k| i32::from(kind_to(*k)) == kind)?;
    Some(Step {
        kind,
        day,
        hour,
        subject: subject.map(local_from),
        body: body.map(local_from),
        offer_id,
        link,
    })
}

fn local_from(text: common::LocalText) -> LocalText {
    let common::LocalText { default_locale, texts } = text;
    LocalText { default_locale, texts: texts.into_iter().collect() }
}

pub(super) fn campaign_to(stored: Stored<Campaign>) -> pb::RecoveryCampaign {
    let Stored { id, scope: _, version, created_at, updated_at, body } = stored;
    let Campaign { name, status, number, priority, persona_ids, plan, claims: _, begun: _ } = body;
    pb::RecoveryCampaign {
        id,
        name,
        status: status_to(status).into(),
        number,
        priority,
        audience: Some(pb::RecoveryAudience { persona_ids }),
        plan: Some(plan_to(plan)),
        created_at: Some(kit::time::to_proto(created_at)),
        updated_at: Some(kit::time::to_proto(updated_at)),
        version,
    }
}

fn plan_to(plan: Plan) -> pb::RecoveryPlan {
    let Plan { steps, variables, give_up_after_days, go_on_when_disputed, max_mails } = plan;
    let variables = variables.into_iter().map(|v| {
        let Variable { key, fallback } = v;
        pb::RecoveryVariable { key, fallback: Some(local_to(fallback)) }
    });
    let steps = steps.into_iter().map(|s| {
        let Step { kind, day, hour, subject, body, offer_id, link } = s;
        let (subject, body) = (subject.map(local_to), body.map(local_to));
        pb::RecoveryStep { kind: kind_to(kind).into(), day, hour, subject, body, offer_id, link }
    });
    pb::RecoveryPlan {
        steps: steps.collect(),
        variables: variables.collect(),
        stop_rules: Some(pb::RecoveryStopRules { give_up_after_days, go_on_when_disputed }),
        limits: Some(pb::RecoveryLimits { max_mails }),
    }
}

pub(super) fn case_to(stored: Stored<Case>) -> pb::RecoveryCase {
    let Stored { id, scope: _, version, created_at, updated_at: _, body } = stored;
    let Case {
        subscription_id,
        customer_id,
        pin,
        persona_ids,
        state,
        reason,
        amount_due,
        amount_paid,
        failed_at,
        gives_up_at,
        steps,
        mails,
        max_mails: _,
        go_on_when_disputed: _,
        redemption_id,
        next_at: _,
        holds: _,
        ended_at,
        last_error,
    } = body;
    let (campaign_id, campaign_number) = pin.map(|p| (p.campaign_id, p.number)).unwrap_or_default();
    pb::RecoveryCase {
        id,
        subscription_id,
        customer_id,
        campaign_id,
        campaign_number,
        persona_ids,
        state: case_state_to(state).into(),
        reason,
        amount_due: Some(money(amount_due)),
        amount_paid: amount_paid.map(money),
        failed_at: Some(kit::time::to_proto(failed_at)),
        opened_at: Some(kit::time::to_proto(created_at)),
        ended_at: ended_at.map(kit::time::to_proto),
        gives_up_at: Some(kit::time::to_proto(gives_up_at)),
        steps: steps.into_iter().map(planned_to).collect(),
        mails,
        redemption_id,
        last_error,
        version,
    }
}

fn planned_to(step: Planned) -> pb::RecoveryCaseStep {
    let Planned { kind, day, due_at, result, why, at } = step;
    let result = match result {
        Outcome::Waiting => pb::RecoveryStepResult::Waiting,
        Outcome::Taken => pb::RecoveryStepResult::Taken,
        Outcome::Skipped => pb::RecoveryStepResult::Skipped,
    };
    pb::RecoveryCaseStep {
        kind: kind_to(kind).into(),
        day,
        due_at: Some(kit::time::to_proto(due_at)),
        result: result.into(),
        why,
        at: at.map(kit::time::to_proto),
    }
}

fn kind_to(kind: StepKind) -> pb::RecoveryStepKind {
    match kind {
        StepKind::RetryHint => pb::RecoveryStepKind::RetryHint,
        StepKind::Mail => pb::RecoveryStepKind::Mail,
        StepKind::InAppNotice => pb::RecoveryStepKind::InAppNotice,
        StepKind::LastChanceOffer => pb::RecoveryStepKind::LastChanceOffer,
        StepKind::Ticket => pb::RecoveryStepKind::Ticket,
    }
}

fn status_to(status: Status) -> pb::RecoveryCampaignStatus {
    match status {
        Status::Draft => pb::RecoveryCampaignStatus::Draft,
        Status::Active => pb::RecoveryCampaignStatus::Active,
        Status::Paused => pb::RecoveryCampaignStatus::Paused,
        Status::Archived => pb::RecoveryCampaignStatus::Archived,
    }
}

/// A status from the wire; none where it is left out.
pub(super) fn status_from(status: i32) -> Option<Status> {
    Status::ALL.into_iter().find(|s| i32::from(status_to(*s)) == status)
}

fn case_state_to(state: State) -> pb::RecoveryCaseState {
    match state {
        State::Open => pb::RecoveryCaseState::Open,
        State::Contacting => pb::RecoveryCaseState::Contacting,
        State::LastChance => pb::RecoveryCaseState::LastChance,
        State::Recovered => pb::RecoveryCaseState::Recovered,
        State::Exhausted => pb::RecoveryCaseState::Exhausted,
        State::CanceledByCustomer => pb::RecoveryCaseState::CanceledByCustomer,
        State::Stopped => pb::RecoveryCaseState::Stopped,
    }
}

/// A state from the wire; none where it is left out.
pub(super) fn case_state_from(state: i32) -> Option<State> {
    State::ALL.into_iter().find(|s| i32::from(case_state_to(*s)) == state)
}
