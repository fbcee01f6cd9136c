//! What a visit asks of billing and analytics, in terms of the visit; and the same over gRPC.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use async_trait::async_trait;
use kit::locale::LocalText;
use kit::{Caller, Code, Currency, Fault, Money, Timestamp};
use prost_types::value::Kind as Json;
use proto::analytics::facts_service_client::FactsServiceClient;
use proto::billing as pb;
use proto::billing::offer_service_client::OfferServiceClient;
use proto::billing::redemption_service_client::RedemptionServiceClient;
use proto::billing::subscription_service_client::SubscriptionServiceClient;

use super::model::{OnTable, Subject};
use crate::engine::Candidate;
use crate::rule::Value;
use crate::upstream::{SCREEN, Upstreams};

/// How long carrying something out may take before it is left to the job.
const ACT: Duration = Duration::from_secs(8);

/// Who is here, and with what.
#[derive(Clone, Debug, Default)]
pub struct Visitor {
    pub customer_id: String,
    pub subscription_id: String,
    pub locale: String,
    pub subject: Subject,
    /// Attributes of customer and subscription, for texts and rules.
    pub facts: BTreeMap<String, Value>,
    /// They asked that their data is not used.
    pub restricted: bool,
}

/// What analytics knows.
#[derive(Clone, Debug, Default)]
pub struct Segments {
    pub personas: BTreeSet<String>,
    pub facts: BTreeMap<String, Value>,
    pub holdout: bool,
    pub max_discount_percent: u32,
    pub allowed_kinds: Vec<String>,
}

/// What became of an attempt to carry something out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Carried {
    /// Read back: it is so.
    Done,
    /// It will not be: why.
    Refused(String),
    /// Not known yet: try again with the same key.
    Later(String),
}

/// The services below, as a visit sees them.
#[async_trait]
pub trait Billing: Send + Sync {
    async fn visitor(&self, caller: &Caller, customer: &str, subscription: &str) -> Result<Visitor, Fault>;
    async fn segments(&self, caller: &Caller, customer: &str) -> Result<Segments, Fault>;
    async fn candidates(
        &self,
        caller: &Caller,
        subscription: &str,
        offers: &[String],
        segments: &Segments,
    ) -> Result<Vec<Candidate>, Fault>;
    /// Notes that the offer is shown, with the words it is shown in.
    async fn present(
        &self,
        caller: &Caller,
        session: &str,
        subscription: &str,
        offer: &Candidate,
        segments: &Segments,
    ) -> Result<OnTable, Fault>;
    async fn claim(&self, caller: &Caller, offer: &OnTable) -> Carried;
    /// What became of an offer that was taken.
    async fn promise(&self, caller: &Caller, redemption: &str) -> Result<Promise, Fault>;
    async fn decline(&self, caller: &Caller, redemption: &str) -> Result<(), Fault>;
    async fn lapse(&self, caller: &Caller, session: &str) -> Result<(), Fault>;
    async fn cancel(
        &self,
        caller: &Caller,
        session: &str,
        subscription: &str,
        wished_at: Timestamp,
    ) -> Carried;
}

/// How a taken offer stands with the company: some are carried out by its own people or systems.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Promise {
    Kept,
    /// Still to be kept.
    Open,
    /// The company said that it cannot.
    Broken,
}

/// Over gRPC.
pub struct Upstreamed(pub Upstreams);

fn fault(status: &tonic::Status) -> Fault {
    let said = kit::error::said(status);
    match said.code {
        Code::NotFound => Fault::not_found("customer or subscription"),
        Code::Refused | Code::Conflict | Code::Invalid => Fault::new(said.code, "refused", said.message),
        _ => Fault::unavailable("upstream_unavailable", anyhow::anyhow!("{}", status.message())),
    }
}

/// A refusal is an answer; silence and trouble are not.
fn not_carried(status: &tonic::Status) -> Carried {
    let said = kit::error::said(status);
    match said.code {
        Code::Refused | Code::Invalid | Code::NotFound | Code::Unsupported => Carried::Refused(said.slug),
        _ => Carried::Later(said.slug),
    }
}

#[async_trait]
impl Billing for Upstreamed {
    async fn visitor(&self, caller: &Caller, customer: &str, subscription: &str) -> Result<Visitor, Fault> {
        let up = &self.0.billing;
        let asked =
            pb::GetFlowSubjectRequest { customer: customer.into(), subscription: subscription.into() };
        let request = up.request(caller, SCREEN, asked).map_err(|s| fault(&s))?;
        let reply = SubscriptionServiceClient::new(up.channel()).get_flow_subject(request).await;
        Ok(visitor(reply.map_err(|s| fault(&s))?.into_inner()))
    }

    async fn segments(&self, caller: &Caller, customer: &str) -> Result<Segments, Fault> {
        let up = &self.0.analytics;
        let asked = proto::analytics::GetCustomerFactsRequest { customer_id: customer.into() };
        let request = up.request(caller, SCREEN, asked).map_err(|s| fault(&s))?;
        let reply = FactsServiceClient::new(up.channel()).get_customer_facts(request).await;
        Ok(segments(reply.map_err(|s| fault(&s))?.into_inner()))
    }

    async fn candidates(
        &self,
        caller: &Caller,
        subscription: &str,
        offers: &[String],
        segments: &Segments,
    ) -> Result<Vec<Candidate>, Fault> {
        let found = self.eligible(caller, subscription, offers, segments).await?;
        Ok(found.into_iter().filter_map(candidate).collect())
    }

    async fn present(
        &self,
        caller: &Caller,
        session: &str,
        subscription: &str,
        offer: &Candidate,
        segments: &Segments,
    ) -> Result<OnTable, Fault> {
        let up = &self.0.billing;
        let asked = pb::PresentOfferRequest {
            offer_id: offer.offer_id.clone(),
            subscription_id: subscription.into(),
            flow_session_id: session.into(),
            persona_ids: segments.personas.iter().cloned().collect(),
        };
        let request = up.request(caller, SCREEN, asked).map_err(|s| fault(&s))?;
        let reply = RedemptionServiceClient::new(up.channel()).present_offer(request).await;
        let redemption = reply.map_err(|s| fault(&s))?.into_inner();
        Ok(OnTable {
            offer_id: offer.offer_id.clone(),
            name: offer.name.clone(),
            kind: offer.kind.clone(),
            redemption_id: redemption.id,
            terms_hash: redemption.terms_hash,
            text: offer.text.clone(),
            terms_text: text(redemption.terms_text),
            url: offer.url.clone(),
        })
    }

    async fn claim(&self, caller: &Caller, offer: &OnTable) -> Carried {
        let up = &self.0.billing;
        let asked = pb::ClaimRedemptionRequest {
            id: offer.redemption_id.clone(),
            terms_hash: offer.terms_hash.clone(),
        };
        let request = match up.request(caller, ACT, asked) {
            Ok(request) => request,
            Err(status) => return not_carried(&status),
        };
        use pb::RedemptionState as S;
        match RedemptionServiceClient::new(up.channel()).claim_redemption(request).await {
            Err(status) => not_carried(&status),
            Ok(reply) => match reply.get_ref().state() {
                S::Verified | S::FulfilPending | S::Exhausted => Carried::Done,
                S::Claimed | S::Applying | S::Applied | S::Presented | S::Unspecified => {
                    Carried::Later("applying".into())
                }
                S::Failed | S::Reversed | S::Rejected | S::Declined | S::Lapsed => {
                    Carried::Refused(reply.into_inner().failure)
                }
            },
        }
    }

    async fn promise(&self, caller: &Caller, redemption: &str) -> Result<Promise, Fault> {
        let up = &self.0.billing;
        let asked = pb::GetRedemptionRequest { id: redemption.into() };
        let request = up.request(caller, SCREEN, asked).map_err(|s| fault(&s))?;
        let reply = RedemptionServiceClient::new(up.channel()).get_redemption(request).await;
        Ok(match reply.map_err(|s| fault(&s))?.into_inner().state() {
            pb::RedemptionState::FulfilPending => Promise::Open,
            pb::RedemptionState::Rejected => Promise::Broken,
            _ => Promise::Kept,
        })
    }

    async fn decline(&self, caller: &Caller, redemption: &str) -> Result<(), Fault> {
        let up = &self.0.billing;
        let asked = pb::DeclineRedemptionRequest { id: redemption.into() };
        let request = up.request(caller, SCREEN, asked).map_err(|s| fault(&s))?;
        let reply = RedemptionServiceClient::new(up.channel()).decline_redemption(request).await;
        reply.map(|_| ()).map_err(|s| fault(&s))
    }

    async fn lapse(&self, caller: &Caller, session: &str) -> Result<(), Fault> {
        let up = &self.0.billing;
        let asked = pb::LapseRedemptionsRequest { flow_session_id: session.into() };
        let request = up.request(caller, SCREEN, asked).map_err(|s| fault(&s))?;
        let reply = RedemptionServiceClient::new(up.channel()).lapse_redemptions(request).await;
        reply.map(|_| ()).map_err(|s| fault(&s))
    }

    async fn cancel(
        &self,
        caller: &Caller,
        session: &str,
        subscription: &str,
        wished_at: Timestamp,
    ) -> Carried {
        let up = &self.0.billing;
        let asked = pb::ActOnSubscriptionRequest {
            id: subscription.into(),
            action: pb::SubscriptionAction::Cancel.into(),
            months: 0,
            wished_at: Some(kit::time::to_proto(wished_at)),
            key: format!("flow:{session}"),
            when: pb::CancelWhen::PeriodEnd.into(),
        };
        let request = match up.request(caller, ACT, asked) {
            Ok(request) => request,
            Err(status) => return not_carried(&status),
        };
        use pb::SubscriptionState as S;
        match SubscriptionServiceClient::new(up.channel()).act_on_subscription(request).await {
            Err(status) => not_carried(&status),
            Ok(reply) => match reply.get_ref().state() {
                S::NonRenewing | S::Ended => Carried::Done,
                // The provider took it and does not show it yet.
                _ => Carried::Later("not_shown_yet".into()),
            },
        }
    }
}

impl Upstreamed {
    async fn eligible(
        &self,
        caller: &Caller,
        subscription: &str,
        offers: &[String],
        segments: &Segments,
    ) -> Result<Vec<pb::OfferEligibility>, Fault> {
        let up = &self.0.billing;
        let asked = pb::ListEligibleOffersRequest {
            offer_ids: offers.to_vec(),
            subscription_id: subscription.into(),
            persona_ids: segments.personas.iter().cloned().collect(),
            max_discount_percent: segments.max_discount_percent,
            allowed_kinds: segments.allowed_kinds.clone(),
        };
        let request = up.request(caller, SCREEN, asked).map_err(|s| fault(&s))?;
        let reply = OfferServiceClient::new(up.channel()).list_eligible_offers(request).await;
        Ok(reply.map_err(|s| fault(&s))?.into_inner().items)
    }
}

fn candidate(seen: pb::OfferEligibility) -> Option<Candidate> {
    let pb::OfferEligibility { offer, eligible, reasons } = seen;
    let offer = offer?;
    let kind = offer.kind().as_str_name().trim_start_matches("OFFER_KIND_").to_ascii_lowercase();
    let reasons = reasons.into_iter().map(|r| (r.code, r.message)).collect();
    use pb::offer_terms::Kind;
    let url = match offer.terms.and_then(|t| t.kind) {
        Some(Kind::Contact(pb::ContactTerms { url, .. }) | Kind::Redirect(pb::RedirectTerms { url })) => url,
        _ => String::new(),
    };
    let (terms_text, text) = (text(offer.terms_text), text(offer.text));
    Some(Candidate { offer_id: offer.id, name: offer.name, kind, text, terms_text, url, eligible, reasons })
}

fn text(given: Option<proto::common::LocalText>) -> LocalText {
    let proto::common::LocalText { default_locale, texts } = given.unwrap_or_default();
    LocalText { default_locale, texts: texts.into_iter().collect() }
}

fn visitor(subject: pb::FlowSubject) -> Visitor {
    let pb::FlowSubject {
        customer_id,
        external_id,
        name,
        locale,
        country,
        subscription,
        hands_off,
        attributes,
        restricted,
    } = subject;
    let subscription = subscription.unwrap_or_default();
    let state =
        subscription.state().as_str_name().trim_start_matches("SUBSCRIPTION_STATE_").to_ascii_lowercase();
    let mut facts: BTreeMap<String, Value> =
        attributes.into_iter().filter(|(k, _)| storable(k)).map(|(k, v)| (k, Value::Text(v))).collect();
    let mut put = |key: &str, text: String| {
        if !text.is_empty() {
            facts.insert(key.to_owned(), Value::Text(text));
        }
    };
    put("customer_name", name);
    put("customer_external_id", external_id);
    put("country", country.clone());
    put("plan", subscription.plan.clone());
    put("subscription_state", state.clone());
    let period_end = subscription.period_end.as_ref().and_then(kit::time::from_proto);
    for (key, at) in [("trial_end", &subscription.trial_end), ("resumes_at", &subscription.resumes_at)] {
        let at = at.as_ref().and_then(kit::time::from_proto);
        put(key, at.map(|t| t.to_string()).unwrap_or_default());
    }
    put("period_end", period_end.map(|t| t.to_string()).unwrap_or_default());
    if let Some(price) = &subscription.price {
        put("currency", price.currency.clone());
        #[expect(clippy::cast_precision_loss, reason = "prices are far below what a double holds exactly")]
        facts.insert("price".into(), Value::Number(price.minor as f64));
    }
    let mrr = subscription.mrr.as_ref();
    let mrr = mrr.and_then(|m| Some(Money::new(m.minor, Currency::parse(&m.currency)?)));
    let subject = Subject { country, state, mrr, hands_off };
    Visitor { customer_id, subscription_id: subscription.id, locale, subject, facts, restricted }
}

fn segments(known: proto::analytics::CustomerFacts) -> Segments {
    let proto::analytics::CustomerFacts { customer_id: _, personas, facts, holdout } = known;
    // The strictest guard rail of all personas holds.
    let deepest = personas.iter().map(|p| p.max_discount_percent).filter(|p| *p > 0).min().unwrap_or(0);
    let mut allowed: Option<BTreeSet<String>> = None;
    for persona in personas.iter().filter(|p| !p.allowed_offer_kinds.is_empty()) {
        let kinds: BTreeSet<String> = persona.allowed_offer_kinds.iter().cloned().collect();
        allowed = Some(allowed.map_or(kinds.clone(), |a| a.intersection(&kinds).cloned().collect()));
    }
    Segments {
        facts: facts_of(facts),
        holdout,
        max_discount_percent: deepest,
        // Nothing is allowed by all: an offer of no kind there is.
        allowed_kinds: match allowed {
            Some(kinds) if kinds.is_empty() => vec!["none".into()],
            kinds => kinds.unwrap_or_default().into_iter().collect(),
        },
        personas: personas.into_iter().map(|p| p.persona_id).collect(),
    }
}

/// Facts as they come over the wire; what rules cannot look at is left out.
pub fn facts_of(given: Option<prost_types::Struct>) -> BTreeMap<String, Value> {
    let given = given.map(|f| f.fields).unwrap_or_default().into_iter();
    given.filter(|(k, _)| storable(k)).filter_map(|(k, v)| Some((k, value(v.kind?)?))).collect()
}

/// A key that can stand in a stored document.
fn storable(key: &str) -> bool {
    !key.is_empty() && !key.contains('.') && !key.starts_with('$')
}

fn value(kind: Json) -> Option<Value> {
    Some(match kind {
        Json::BoolValue(b) => Value::Bool(b),
        Json::NumberValue(n) => Value::Number(n),
        Json::StringValue(s) => Value::Text(s),
        Json::ListValue(list) => {
            Value::List(list.values.into_iter().filter_map(|v| value(v.kind?)).collect())
        }
        Json::NullValue(_) | Json::StructValue(_) => return None,
    })
}
