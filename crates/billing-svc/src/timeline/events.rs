//! What the services tell, as entries. Only what says something about the customer, and nothing that says who it is.

use std::sync::Arc;

use async_trait::async_trait;
use bus::{Handler, Incoming, Outcome};
use prost::Message as _;
use proto::common::Money;
use proto::events::Event;
use proto::events::event::Data;
use serde_json::{Map, Value, json};

use super::model::{Kind, Told};
use super::ops::Timeline;

/// The name its consumers go by at the bus.
pub const NAME: &str = "billing-svc-timeline";
/// The families of events that tell of customers.
pub const FAMILIES: [&str; 8] =
    ["customer", "subscription", "payment", "redemption", "flow", "persona", "usage", "notification"];

/// Hears everybody.
pub struct Ears(pub Timeline);

impl Ears {
    pub fn shared(timeline: Timeline) -> Arc<Self> {
        Arc::new(Self(timeline))
    }
}

#[async_trait]
impl Handler for Ears {
    async fn handle(&self, batch: &[Incoming]) -> Vec<Outcome> {
        let mut outcomes = Vec::with_capacity(batch.len());
        // Events of one company that come together are written together.
        for same in batch.chunk_by(|a, b| a.scope == b.scope) {
            let (mut told, mut erased, mut read) = (Vec::new(), Vec::new(), Vec::new());
            for incoming in same {
                match Event::decode(incoming.body.as_ref()) {
                    Ok(event) => {
                        if let Some(Data::CustomerErased(c)) = &event.data {
                            erased.push(c.customer_id.clone());
                        }
                        told.extend(entries(incoming, event));
                        read.push(None);
                    }
                    Err(e) => read.push(Some(Outcome::Dead(format!("the event cannot be read: {e}")))),
                }
            }
            let scope = &same[0].scope;
            let kept = async {
                self.0.keep(scope, told).await?;
                for customer in &erased {
                    self.0.forget(scope, customer).await?;
                }
                Ok::<_, crate::error::Error>(())
            };
            let failed = kept.await.err().map(|e| format!("{:#}", anyhow::Error::from(e)));
            outcomes.extend(read.into_iter().map(|dead| match (dead, &failed) {
                (Some(dead), _) => dead,
                (None, Some(why)) => Outcome::Retry(why.clone()),
                (None, None) => Outcome::Done,
            }));
        }
        outcomes
    }
}

/// What an event says about customers: for most, one entry.
fn entries(incoming: &Incoming, event: Event) -> Vec<Told> {
    let Event { id, sequence, subject, data, .. } = event;
    let told = |customer_id: &str, kind, details: Value| Told {
        event: id.clone(),
        sequence,
        customer_id: customer_id.to_owned(),
        kind,
        r#type: incoming.kind.clone(),
        subject: subject.clone(),
        details: said(details),
        occurred_at: kit::clock::millis(incoming.occurred_at),
    };
    let one = match data {
        Some(Data::CustomerUpserted(c)) if !c.import_id.is_empty() => {
            let details = json!({ "import_id": c.import_id, "new": sequence == 1 });
            told(&c.customer_id, Kind::Upload, details)
        }
        Some(Data::CustomerUpserted(c)) if sequence == 1 => {
            told(&c.customer_id, Kind::Customer, json!({ "external_id": c.external_id, "state": c.state }))
        }
        Some(Data::CustomerTagged(c)) => {
            told(&c.customer_id, Kind::Tag, json!({ "added": c.added, "removed": c.removed }))
        }
        Some(Data::CustomerMerged(m)) => {
            let details = json!({
                "merge_id": m.merge_id,
                "absorbed_id": m.absorbed_id,
                "external_ids": m.external_ids,
                "subscriptions": m.subscription_ids.len(),
            });
            told(&m.survivor_id, Kind::Merge, details)
        }
        Some(Data::SubscriptionChanged(s)) => {
            let details = json!({
                "state": s.state,
                "previous_state": s.previous_state,
                "plan": s.plan,
                "provider": s.provider,
                "mrr": money(s.mrr.as_ref()),
            });
            told(&s.customer_id, Kind::Subscription, details)
        }
        Some(Data::PaymentChanged(p)) => {
            let details = json!({
                "subscription_id": p.subscription_id,
                "amount": money(p.amount.as_ref()),
                "attempt": p.attempt,
            });
            told(&p.customer_id, Kind::Payment, details)
        }
        Some(Data::RedemptionChanged(r)) => {
            let details = json!({
                "offer_id": r.offer_id,
                "offer": r.offer_name,
                "kind": r.kind,
                "state": r.state,
                "subscription_id": r.subscription_id,
                "flow_session_id": r.flow_session_id,
                "cost": money(r.cost.as_ref()),
            });
            told(&r.customer_id, Kind::Offer, details)
        }
        // Answers may hold whatever somebody wrote: only the reason, which has a key, is told.
        Some(Data::FlowSessionChanged(f)) => {
            let details = json!({
                "state": f.state,
                "subscription_id": f.subscription_id,
                "workflow_id": f.workflow_id,
                "reason": f.reason,
                "reason_category": f.reason_category,
                "offer_id": f.offer_id,
                "mrr": money(f.mrr.as_ref()),
            });
            told(&f.customer_id, Kind::Flow, details)
        }
        Some(Data::PersonaMembership(p)) => {
            let details = json!({ "persona_id": p.persona_id, "persona": p.persona_name });
            told(&p.customer_id, Kind::Persona, details)
        }
        Some(Data::UsageUploadCompleted(u)) => {
            let details = json!({ "upload_id": u.upload_id, "dataset": u.dataset });
            return u.customer_ids.iter().map(|c| told(c, Kind::Upload, details.clone())).collect();
        }
        Some(Data::NotificationChanged(n)) => {
            told(&n.customer_id, Kind::Mail, json!({ "mail": n.template, "state": n.state }))
        }
        _ => return Vec::new(),
    };
    Some(one).filter(|t| !t.customer_id.is_empty()).into_iter().collect()
}

/// What is said; what is empty says nothing.
fn said(details: Value) -> Map<String, Value> {
    let Value::Object(mut fields) = details else { return Map::new() };
    fields
        .retain(|_, v| !v.is_null() && v.as_str() != Some("") && v.as_array().is_none_or(|l| !l.is_empty()));
    fields
}

fn money(m: Option<&Money>) -> Value {
    m.map_or(Value::Null, |m| json!({ "minor": m.minor, "currency": m.currency }))
}
