//! How a visit begins: a token leads in, what is known of the customer chooses the flow, the first page is shown.

use std::collections::BTreeMap;

use kit::{Caller, Code, Fault, Scope};
use store::Stored;

use super::billing::{Segments, Visitor};
use super::model::{FlowRef, FlowSession};
use super::ops::FlowSessions;
use super::tell::changed;
use super::token::{START, Use};
use crate::engine::{Decision, Known, choose_workflow};
use crate::error::Error;
use crate::region_rule::{Whereabouts, regions};
use crate::rule::Value;
use crate::versioned::Published;
use crate::workflow::{Reentry, Trigger, WorkflowContent};

impl FlowSessions {
    /// A start token for one customer and one subscription, and when its time is over.
    pub async fn issue(
        &self,
        caller: &Caller,
        customer: &str,
        subscription: &str,
        locale: String,
        region: String,
    ) -> Result<(String, kit::Timestamp), Error> {
        let scope = caller.scope()?;
        let visitor = self.billing.visitor(caller, customer, subscription).await?;
        let expires = self.clock.now() + START;
        let locale = if locale.is_empty() { visitor.locale } else { locale };
        let (customer, subscription) = (visitor.customer_id, visitor.subscription_id);
        let purpose = Use::Start { customer, subscription, locale, region };
        Ok((self.tokens.seal(scope, purpose, expires)?, expires))
    }

    /// Starts the flow a token leads to, or resumes the open visit of its subscription.
    pub async fn start(&self, token: &str, locale: &str) -> Result<Stored<FlowSession>, Error> {
        let claims = self.claims(token)?;
        let scope = claims.scope();
        let Use::Start { customer, subscription, locale: own, region } = claims.purpose else {
            return Err(Fault::new(Code::Unauthenticated, "invalid_token", "this is no start token").into());
        };
        if self.store.started_by(&scope, &claims.id).await?.is_some() {
            return Err(Fault::new(Code::Refused, "token_used", "this link was used before").into());
        }
        if let Some(open) = self.store.open_for(&scope, &subscription).await? {
            let mut session = open.body.clone();
            session.starts.push(claims.id);
            return Ok(self.store.replace(&open, session, Vec::new()).await?);
        }
        let locale = if locale.is_empty() { own } else { locale.to_owned() };
        let id = kit::id::new("fls");
        let mut session = self.welcome(&scope, customer, subscription, locale, &region).await?;
        session.starts.push(claims.id);
        let now = self.clock.now();
        let read = Stored {
            id: id.clone(),
            scope: scope.clone(),
            version: 0,
            created_at: now,
            updated_at: now,
            body: session.clone(),
        };
        let start = self.frozen(&scope, &session).await?.map(|f| f.content.start.clone());
        Box::pin(self.advance(&read, &mut session, start.as_deref())).await?;
        let event = changed(&read, &session, "started", now);
        match self.store.insert(&scope, id, session, vec![event]).await {
            // Two starts at once: one opened it, this one resumes it.
            Err(store::Error::Duplicate(_)) => {
                let open = self.store.open_for(&scope, &read.body.subscription_id).await?;
                Ok(open.ok_or(Error::Stale)?)
            }
            other => Ok(other?),
        }
    }

    /// Who is here, what is known of them, and which flow is theirs. A service that does not answer costs the customer
    /// nothing but the offers.
    pub(super) async fn welcome(
        &self,
        scope: &Scope,
        customer: String,
        subscription: String,
        locale: String,
        region: &str,
    ) -> Result<FlowSession, Error> {
        let caller = Caller::internal("content-svc", Some(scope.clone()));
        let (visitor, segments) = tokio::join!(
            self.billing.visitor(&caller, &customer, &subscription),
            self.billing.segments(&caller, &customer),
        );
        let now = self.clock.now();
        let mut why = Vec::new();
        let mut or_nothing = |what: &str, failed: &Fault| {
            tracing::warn!(error = %failed, "{what} does not answer; the flow goes on without");
            why.push(Decision::new("", "went_without", format!("{what} did not answer")));
        };
        let known_visitor = visitor.is_ok();
        let visitor = visitor.unwrap_or_else(|e| {
            or_nothing("billing", &e);
            Visitor::default()
        });
        let segments = segments.unwrap_or_else(|e| {
            or_nothing("analytics", &e);
            Segments::default()
        });
        let Visitor { subject, facts, .. } = visitor;
        // An address in the network names no country here: that would take somebody's list of addresses.
        let known = Whereabouts { billing: &subject.country, stated: region, address: "" };
        let rule = self.rules.applied(scope, &known).await?;
        let known = Known { regions: rule.regions.clone(), ..Known::of("", facts, &segments) };
        let mut session = FlowSession::new(customer, subscription, subject, known, locale, rule);
        session.holdout = segments.holdout;
        session.max_discount_percent = segments.max_discount_percent;
        session.allowed_kinds = segments.allowed_kinds;
        for decision in why {
            session.note(now, decision);
        }
        let (flow, decision) = self.choose_flow(scope, &session, known_visitor).await?;
        session.note(now, decision);
        session.flow = flow;
        Ok(session)
    }

    async fn choose_flow(
        &self,
        scope: &Scope,
        session: &FlowSession,
        known_visitor: bool,
    ) -> Result<(Option<FlowRef>, Decision), Error> {
        let plain = |code: &str, message: &str| Ok((None, Decision::new("", code, message)));
        if session.subject.is_leaving() {
            return plain("already_leaving", "the subscription ends already");
        }
        if session.holdout {
            return plain("holdout", "the customer is in the standing holdout: the plain way to cancel");
        }
        if !known_visitor || !session.subject.hands_off.is_empty() {
            return plain(
                "offers_withheld",
                "the subscription cannot be changed safely: the plain way to cancel",
            );
        }
        if !self.companies.in_service(scope).await? {
            return plain(
                "company_out_of_service",
                "the company is suspended or closing: the plain way to cancel",
            );
        }
        let served = self.workflows.published(scope, Trigger::CancelIntent).await?;
        let flows = served.iter().map(|p: &Published<WorkflowContent>| (p, &p.frozen.content));
        let Some(chosen) = choose_workflow(flows, &session.known) else {
            return plain("no_workflow", "no published workflow is for this customer");
        };
        let last = match chosen.frozen.content.reentry {
            Reentry::Always => None,
            _ => self.store.last_of(scope, &session.subscription_id).await?,
        };
        let again = match (chosen.frozen.content.reentry, last) {
            (_, None) | (Reentry::Always, _) => true,
            (Reentry::Never, Some(_)) => false,
            (Reentry::AfterDays(days), Some(last)) => {
                // Not when it was last written: looks at the subscription write to it for months.
                let ended = last.body.ended_at.unwrap_or(last.updated_at);
                kit::time::add_days(ended, i64::from(days)) <= self.clock.now()
            }
        };
        if !again {
            return plain("no_reentry", "the customer went through the flow before: the plain way to cancel");
        }
        let flow = FlowRef {
            id: chosen.id.clone(),
            number: chosen.release.number,
            hash: chosen.release.hash.clone(),
        };
        let message = format!("{} is the first whose audience fits", chosen.name);
        Ok((Some(flow), Decision::new("", "workflow_chosen", message)))
    }
}

impl Known {
    /// What is known of a customer before they say anything.
    pub fn of(country: &str, mut facts: BTreeMap<String, Value>, segments: &Segments) -> Self {
        facts.extend(segments.facts.clone());
        let regions = regions(country);
        Self { personas: segments.personas.clone(), facts, regions, ..Self::default() }
    }
}
