//! What this service tells the others, and what it hears from them.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use bus::{Handler, Incoming, Outcome};
use kit::{Caller, Currency, Money, Outgoing, Scope, Timestamp};
use prost::Message as _;
use prost_types::value::Kind;
use proto::events::event::Data;
use proto::events::{
    Audited, Event, FlowSessionChanged, PersonaCount, PersonaMembership, PersonasRefreshed,
    RedemptionChanged, SubscriptionChanged, UsageUploadCompleted,
};

use crate::analytics::{Heard, Overviews, Redemption, SessionTold};
use crate::facts::{Customers, FlowEnd, Joined, Moves, Profile, Raw, Returned, Subscription, Told, flatten};
use crate::persona::{Board, Tally};
use crate::rules::Value;

/// Wraps what happened into an event, to be written beside the change that caused it.
fn event(scope: &Scope, now: Timestamp, kind: &str, subject: &str, sequence: i64, data: Data) -> Outgoing {
    with_id(kit::id::new("evt"), scope, now, kind, subject, sequence, data)
}

fn with_id(
    id: String,
    scope: &Scope,
    now: Timestamp,
    kind: &str,
    subject: &str,
    sequence: i64,
    data: Data,
) -> Outgoing {
    let event = Event {
        id: id.clone(),
        r#type: kind.to_owned(),
        version: 1,
        company_id: scope.company.clone(),
        mode: scope.mode.as_str().to_owned(),
        occurred_at: Some(kit::time::to_proto(now)),
        subject: subject.to_owned(),
        sequence,
        data: Some(data),
    };
    Outgoing {
        id,
        kind: kind.to_owned(),
        subject: subject.to_owned(),
        scope: scope.clone(),
        occurred_at: now,
        body: event.encode_to_vec().into(),
        traceparent: kit::telemetry::traceparent(),
    }
}

/// A write by a person or a key, for the audit trail. Nothing here is secret or personal, so the entry names the act.
pub fn audited(
    caller: &Caller,
    scope: &Scope,
    now: Timestamp,
    resource: &str,
    id: &str,
    act: &str,
) -> Outgoing {
    let data = Audited {
        actor_kind: caller.actor.kind.clone(),
        actor_id: caller.actor.id.clone(),
        role: caller.role.as_str().to_owned(),
        resource: resource.to_owned(),
        resource_id: id.to_owned(),
        action: format!("{resource}.{act}"),
        before: None,
        after: None,
        reason: caller.reason.clone().unwrap_or_default(),
        request_id: caller.request_id.clone(),
    };
    event(scope, now, "audit.recorded", id, 0, Data::Audited(data))
}

/// `persona.entered` and `persona.left` for a customer that moved.
pub fn announce(
    scope: &Scope,
    customer: &str,
    board: &Board,
    moves: &Moves,
    sequence: i64,
    now: Timestamp,
) -> Vec<Outgoing> {
    let told = |kind: &str, persona: &String| {
        let data = PersonaMembership {
            persona_id: persona.clone(),
            persona_name: board.get(persona).map_or_else(String::new, |s| s.name.clone()),
            customer_id: customer.to_owned(),
        };
        event(scope, now, kind, customer, sequence, Data::PersonaMembership(data))
    };
    let entered = moves.entered.iter().map(|p| told("persona.entered", p));
    entered.chain(moves.left.iter().map(|p| told("persona.left", p))).collect()
}

/// `persona.refreshed`. The id follows from the job's, so that a job that ran twice tells it once.
pub fn refreshed(scope: &Scope, job: &str, customers: u64, personas: &[Tally], now: Timestamp) -> Outgoing {
    let personas = personas.iter().map(|t| PersonaCount {
        persona_id: t.persona.clone(),
        name: t.name.clone(),
        members: t.members,
        entered: t.entered,
        left: t.left,
    });
    let data = PersonasRefreshed {
        job_id: job.to_owned(),
        data_from: None,
        data_to: Some(kit::time::to_proto(now)),
        customers,
        personas: personas.collect(),
        rejected_rows: 0,
        failure: String::new(),
        next_try: None,
    };
    let id = format!("evt_{job}_refreshed");
    with_id(id, scope, now, "persona.refreshed", job, 1, Data::PersonasRefreshed(data))
}

/// `persona.refreshed` of a refresh that failed too often.
pub fn refresh_failed(scope: &Scope, job: &str, why: &str, now: Timestamp) -> Outgoing {
    let data = PersonasRefreshed { job_id: job.to_owned(), failure: why.to_owned(), ..Default::default() };
    let id = format!("evt_{job}_refreshed");
    with_id(id, scope, now, "persona.refreshed", job, 1, Data::PersonasRefreshed(data))
}

/// `usage.upload.completed`.
pub fn upload_completed(
    scope: &Scope,
    upload: &str,
    dataset: &str,
    rows: u64,
    rejected: u64,
    now: Timestamp,
) -> Outgoing {
    let data = UsageUploadCompleted {
        upload_id: upload.to_owned(),
        dataset_id: dataset.to_owned(),
        rows,
        rejected,
        ..Default::default()
    };
    let id = format!("evt_{upload}_completed");
    with_id(id, scope, now, "usage.upload.completed", upload, 1, Data::UsageUploadCompleted(data))
}

/// `usage.upload.applied`: some of the customers an upload speaks of. The id follows from the first, so that they are
/// named once however often the work was begun.
pub fn upload_applied(
    scope: &Scope,
    upload: &str,
    dataset: (&str, &str),
    customers: Vec<String>,
    now: Timestamp,
) -> Option<Outgoing> {
    let id = format!("evt_{upload}_{}", customers.first()?);
    let data = UsageUploadCompleted {
        upload_id: upload.to_owned(),
        dataset_id: dataset.0.to_owned(),
        dataset: dataset.1.to_owned(),
        customer_ids: customers,
        ..Default::default()
    };
    let data = Data::UsageUploadCompleted(data);
    Some(with_id(id, scope, now, "usage.upload.applied", upload, 1, data))
}

/// Hears what billing and content tell: customers, subscriptions, payments, redemptions, cancel flows.
pub struct Ears {
    pub customers: Customers,
    pub overviews: Overviews,
}

/// The families of events this service consumes.
pub const FAMILIES: [&str; 5] = ["customer", "subscription", "redemption", "payment", "flow"];

impl Ears {
    pub fn shared(self) -> Arc<Self> {
        Arc::new(self)
    }

    async fn take(&self, scope: &Scope, events: &[(&Incoming, Event)]) -> Result<(), crate::error::Error> {
        let mut told = Vec::new();
        let mut heard = Vec::new();
        for (incoming, event) in events {
            let Some(data) = &event.data else { continue };
            told.extend(about_customer(incoming, event.sequence, data));
            heard.extend(about_flows(incoming, event.sequence, data));
        }
        if !told.is_empty() {
            self.customers.hear(scope, told).await?;
        }
        for (incoming, event) in events {
            let Some(Data::CustomerMerged(m)) = &event.data else { continue };
            let joined = Joined {
                survivor: m.survivor_id.clone(),
                absorbed: m.absorbed_id.clone(),
                external_ids: m.external_ids.clone(),
                subscriptions: m.subscription_ids.clone(),
            };
            match incoming.kind.as_str() {
                "customer.unmerged" => self.customers.part(scope, &joined).await?,
                _ => self.customers.join(scope, &joined).await?,
            }
        }
        if !heard.is_empty() {
            self.overviews.hear(scope, heard).await?;
        }
        Ok(())
    }
}

#[async_trait]
impl Handler for Ears {
    async fn handle(&self, batch: &[Incoming]) -> Vec<Outcome> {
        let mut outcomes: Vec<_> = batch.iter().map(|_| Outcome::Done).collect();
        let mut scopes: BTreeMap<&Scope, Vec<(usize, Event)>> = BTreeMap::new();
        for (i, incoming) in batch.iter().enumerate() {
            match Event::decode(incoming.body.as_ref()) {
                Ok(event) => scopes.entry(&incoming.scope).or_default().push((i, event)),
                Err(e) => outcomes[i] = Outcome::Dead(format!("the event cannot be read: {e}")),
            }
        }
        for (scope, events) in scopes {
            let places: Vec<_> = events.iter().map(|(i, _)| *i).collect();
            let events: Vec<_> = events.into_iter().map(|(i, e)| (&batch[i], e)).collect();
            if let Err(e) = self.take(scope, &events).await {
                let text = format!("{:#}", anyhow::Error::from(e));
                places.into_iter().for_each(|i| outcomes[i] = Outcome::Retry(text.clone()));
            }
        }
        outcomes
    }
}

/// What an event says about what is known of a customer.
fn about_customer(incoming: &Incoming, sequence: i64, data: &Data) -> Option<(String, Told)> {
    match data {
        Data::CustomerUpserted(c) => {
            let profile = Profile {
                sequence,
                state: c.state.clone(),
                country: c.country.clone(),
                locale: c.locale.clone(),
                currency: c.currency.clone(),
                attributes: c.attributes.as_ref().map(|s| flatten(fields(s))).unwrap_or_default(),
            };
            let told = Told::Customer { external_id: c.external_id.clone(), email: c.email.clone(), profile };
            Some((c.customer_id.clone(), told))
        }
        Data::CustomerErased(c) => Some((c.customer_id.clone(), Told::Erased)),
        Data::SubscriptionChanged(s) => {
            let SubscriptionChanged { subscription_id, customer_id, .. } = s;
            let subscription = Subscription {
                sequence,
                state: s.state.clone(),
                plan: s.plan.clone(),
                interval: s.interval.clone(),
                mrr: money(s.mrr.as_ref()),
                started_at: at(s.started_at.as_ref()),
                ended_at: at(s.ended_at.as_ref()),
            };
            Some((customer_id.clone(), Told::Subscription { id: subscription_id.clone(), subscription }))
        }
        Data::PaymentChanged(p) if incoming.kind == "payment.failed" => {
            let told = Told::PaymentFailed { event: incoming.id.clone(), at: incoming.occurred_at };
            Some((p.customer_id.clone(), told))
        }
        Data::PaymentChanged(p) if ["payment.refunded", "payment.disputed"].contains(&&*incoming.kind) => {
            let disputed = incoming.kind == "payment.disputed";
            let returned = Returned { at: incoming.occurred_at, amount: money(p.amount.as_ref()), disputed };
            Some((p.customer_id.clone(), Told::Returned { event: incoming.id.clone(), returned }))
        }
        Data::FlowSessionChanged(f) if !f.holdout => {
            let end = FlowEnd { sequence, state: f.state.clone() };
            Some((f.customer_id.clone(), Told::Flow { session: f.flow_session_id.clone(), end }))
        }
        _ => None,
    }
    .filter(|(customer, _)| !customer.is_empty())
}

/// What an event says about cancel flows and offers.
fn about_flows(incoming: &Incoming, sequence: i64, data: &Data) -> Option<Heard> {
    match data {
        Data::FlowSessionChanged(f) => {
            let FlowSessionChanged { flow_session_id, .. } = f;
            Some(Heard::Session {
                id: flow_session_id.clone(),
                sequence,
                told: SessionTold {
                    customer: f.customer_id.clone(),
                    subscription: f.subscription_id.clone(),
                    state: f.state.clone(),
                    bounced: incoming.kind == "flow.session.bounced" || f.state == "bounced",
                    personas: f.persona_ids.clone(),
                    reason: f.reason.clone(),
                    reason_category: f.reason_category.clone(),
                    offers: f.offers_presented.clone(),
                    offer: f.offer_id.clone(),
                    mrr: money(f.mrr.as_ref()),
                    started_at: at(f.started_at.as_ref()).unwrap_or(incoming.occurred_at),
                    ended_at: at(f.ended_at.as_ref()),
                    holdout: f.holdout,
                },
            })
        }
        Data::SubscriptionChanged(s) => Some(Heard::Subscription {
            id: s.subscription_id.clone(),
            sequence,
            gone: matches!(s.state.as_str(), "non_renewing" | "ended"),
            at: incoming.occurred_at,
        }),
        Data::RedemptionChanged(r) => {
            let RedemptionChanged { redemption_id, .. } = r;
            Some(Heard::Redemption {
                id: redemption_id.clone(),
                sequence,
                told: Redemption {
                    offer: r.offer_id.clone(),
                    name: r.offer_name.clone(),
                    kind: r.kind.clone(),
                    session: r.flow_session_id.clone(),
                    state: r.state.clone(),
                    claimed: r.state != "presented" && r.state != "declined" && r.state != "lapsed",
                    at: incoming.occurred_at,
                },
            })
        }
        _ => None,
    }
}

fn at(t: Option<&prost_types::Timestamp>) -> Option<Timestamp> {
    t.and_then(kit::time::from_proto)
}

fn money(m: Option<&proto::common::Money>) -> Option<Money> {
    let m = m?;
    Some(Money::new(m.minor, Currency::parse(&m.currency)?))
}

fn fields(s: &prost_types::Struct) -> Vec<(String, Raw)> {
    s.fields.iter().map(|(k, v)| (k.clone(), raw(v))).collect()
}

fn raw(value: &prost_types::Value) -> Raw {
    match &value.kind {
        None | Some(Kind::NullValue(_)) => Raw::Nothing,
        Some(Kind::BoolValue(b)) => Raw::One(Value::Bool(*b)),
        Some(Kind::NumberValue(n)) if n.is_finite() => Raw::One(Value::Number(*n)),
        Some(Kind::NumberValue(_)) => Raw::Nothing,
        Some(Kind::StringValue(t)) => Raw::One(Value::Text(t.clone())),
        Some(Kind::ListValue(l)) => Raw::List(l.values.iter().map(raw).collect()),
        Some(Kind::StructValue(s)) => Raw::Object(fields(s)),
    }
}
