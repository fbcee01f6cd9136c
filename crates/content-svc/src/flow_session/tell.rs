//! What the others hear of a visit.

use kit::{Money, Outgoing, Timestamp};
use proto::events::FlowSessionChanged;
use proto::events::event::Data;
use store::Stored;

use super::model::FlowSession;
use crate::engine::Answer;
use crate::events::event;

/// `flow.session.{verb}`. Free words are personal and stay here.
pub fn changed(read: &Stored<FlowSession>, session: &FlowSession, verb: &str, now: Timestamp) -> Outgoing {
    let money = |m: Money| proto::common::Money { minor: m.minor, currency: m.currency.as_str().into() };
    let at = |t: Option<Timestamp>| t.map(kit::time::to_proto);
    let answers = session.known.answers.iter().filter_map(|(key, answer)| {
        let value = match answer {
            Answer::Choices(keys) if keys.len() == 1 => serde_json::json!(keys[0]),
            Answer::Choices(keys) => serde_json::json!(keys),
            Answer::Scale(n) => serde_json::json!(n),
            Answer::Text(_) => return None,
        };
        Some((key.clone(), proto::json::to_wire(&value)))
    });
    let chosen = session.known.answers.values().find_map(|a| match a {
        Answer::Choices(keys) => keys.first().cloned(),
        _ => None,
    });
    let data = FlowSessionChanged {
        flow_session_id: read.id.clone(),
        customer_id: session.customer_id.clone(),
        subscription_id: session.subscription_id.clone(),
        state: session.state.as_str().into(),
        workflow_id: session.flow.as_ref().map(|f| f.id.clone()).unwrap_or_default(),
        workflow_version: session.flow.as_ref().map_or(0, |f| f.number),
        persona_ids: session.known.personas.iter().cloned().collect(),
        reason: session.known.reason.as_ref().and(chosen).unwrap_or_default(),
        reason_category: session.known.reason.clone().unwrap_or_default(),
        offers_presented: session.presented.clone(),
        redemption_id: session.redemption_id.clone().unwrap_or_default(),
        offer_id: session.taken_offer_id.clone().unwrap_or_default(),
        mrr: session.subject.mrr.map(money),
        started_at: at(Some(read.created_at)),
        ended_at: at(session.ended_at),
        wished_at: at(session.wished_at),
        region: session.known.regions.first().cloned().unwrap_or_default(),
        locale: session.locale.clone(),
        screens: u32::try_from(session.trail.len()).unwrap_or(u32::MAX),
        answers: Some(prost_types::Struct { fields: answers.collect() }),
        holdout: session.holdout,
        unverified: session.unverified,
    };
    let kind = format!("flow.session.{verb}");
    event(&read.scope, now, &kind, &read.id, read.version + 1, Data::FlowSessionChanged(data))
}
