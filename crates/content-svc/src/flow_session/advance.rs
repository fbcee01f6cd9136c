//! From one page of a visit to the next.

use std::sync::Arc;

use kit::{Caller, Scope, Timestamp};
use store::Stored;

use super::billing::Segments;
use super::model::{FlowSession, State};
use super::ops::FlowSessions;
use crate::engine::{Decision, Halt, Walker, choose, draw, walk};
use crate::error::Error;
use crate::versioned::Frozen;
use crate::workflow::{EndOutcome, NodeKind, WorkflowContent};

impl FlowSessions {
    /// The frozen workflow of a visit.
    pub(super) async fn frozen(
        &self,
        scope: &Scope,
        session: &FlowSession,
    ) -> Result<Option<Arc<Frozen<WorkflowContent>>>, Error> {
        let Some(flow) = &session.flow else { return Ok(None) };
        Ok(Some(self.workflows.version(scope, &flow.id, &flow.hash).await?))
    }

    /// Where an exit of the node leads that the visit stands at.
    pub(super) async fn exit(
        &self,
        scope: &Scope,
        session: &FlowSession,
        name: &str,
    ) -> Result<Option<String>, Error> {
        let frozen = self.frozen(scope, session).await?;
        let node = frozen.as_ref().and_then(|f| f.content.node(&session.node));
        let exits = node.map(|n| n.kind.exits()).unwrap_or_default();
        Ok(exits.into_iter().find(|(exit, _)| exit == name).map(|(_, to)| to.to_owned()))
    }

    /// Goes on from a node to the next page, asking billing where offers are to be looked at. Without a node, the plain
    /// way to cancel is shown.
    pub(super) async fn advance(
        &self,
        read: &Stored<FlowSession>,
        session: &mut FlowSession,
        from: Option<&str>,
    ) -> Result<(), Error> {
        let now = self.clock.now();
        session.offer = None;
        let (Some(frozen), Some(from)) = (self.frozen(&read.scope, session).await?, from) else {
            session.show("", now);
            return Ok(());
        };
        let mut at = from.to_owned();
        let region = session.rule.as_ref().map(|r| r.requirements);
        let (most_pages, most_offers) = region.map_or((0, 0), |r| (r.max_screens, r.max_offers));
        // No way of a published flow is longer; the bound holds even if one that goes round were stored.
        for _ in 0..=frozen.content.nodes.len() {
            let shown = u32::try_from(session.presented.len()).unwrap_or(u32::MAX);
            let halt = session.walk(&frozen, &at, shown, now);
            let over = most_pages > 0 && session.pages_shown() >= most_pages;
            match halt {
                Halt::Step(node) | Halt::Offer { node, .. } if over => {
                    let message = format!("{most_pages} pages were shown, the most the region allows");
                    session.note(now, Decision::new(&node, "region_screen_limit", message));
                    session.show("", now);
                    return Ok(());
                }
                Halt::Offer { node, none, .. } if most_offers > 0 && shown >= most_offers => {
                    let message = format!("{shown} offers were shown, the most the region allows");
                    session.note(now, Decision::new(&node, "region_offer_limit", message));
                    at = none;
                }
                Halt::Step(node) => {
                    session.show(&node, now);
                    return Ok(());
                }
                Halt::Action { node, next } => {
                    session.ask_for(&node, now);
                    at = next;
                }
                // Not to be published; nobody is made to wait all the same.
                Halt::Wait { next, .. } => at = next,
                Halt::Offer { node, offer_ids, none } => {
                    if self.offer(read, session, &node, &offer_ids).await? {
                        session.show(&node, now);
                        return Ok(());
                    }
                    at = none;
                }
                Halt::End { node, outcome } => {
                    session.show(&node, now);
                    match outcome {
                        EndOutcome::Kept => {
                            session.note(
                                now,
                                Decision::new(&node, "stays", "the customer stays without an offer"),
                            );
                            session.end(State::Abandoned, now);
                        }
                        EndOutcome::Canceled => session.wish(now),
                        EndOutcome::Manual => {
                            session.wished_at.get_or_insert(now);
                            session.end(State::Manual, now);
                        }
                    }
                    return Ok(());
                }
            }
        }
        session.show("", now);
        Ok(())
    }

    /// The last page of a visit that took its offer, with what is to be done on the way there.
    pub(super) async fn after_accepting(
        &self,
        scope: &Scope,
        session: &mut FlowSession,
    ) -> Result<String, Error> {
        let now = self.clock.now();
        let accepted = self.exit(scope, session, "accepted").await?;
        let (Some(frozen), Some(mut at)) = (self.frozen(scope, session).await?, accepted) else {
            return Ok(String::new());
        };
        for _ in 0..=frozen.content.nodes.len() {
            match session.walk(&frozen, &at, u32::MAX, now) {
                Halt::Action { node, next } => {
                    session.ask_for(&node, now);
                    at = next;
                }
                Halt::Wait { next, .. } => at = next,
                Halt::Step(node) | Halt::Offer { node, .. } | Halt::End { node, .. } => return Ok(node),
            }
        }
        Ok(String::new())
    }

    /// Puts the first offer on the table that may be had; says whether there is one.
    async fn offer(
        &self,
        read: &Stored<FlowSession>,
        session: &mut FlowSession,
        node: &str,
        offer_ids: &[String],
    ) -> Result<bool, Error> {
        let caller = Caller::internal("content-svc", Some(read.scope.clone()));
        let now = self.clock.now();
        let segments = Segments {
            personas: session.known.personas.clone(),
            max_discount_percent: session.max_discount_percent,
            allowed_kinds: session.allowed_kinds.clone(),
            ..Segments::default()
        };
        let fresh: Vec<String> =
            offer_ids.iter().filter(|id| !session.presented.contains(id)).cloned().collect();
        if fresh.is_empty() {
            session.note(now, Decision::new(node, "all_shown", "every offer here was shown before"));
            return Ok(false);
        }
        let subscription = session.subscription_id.clone();
        let mut candidates = match self.billing.candidates(&caller, &subscription, &fresh, &segments).await {
            Ok(candidates) => candidates,
            Err(e) => {
                session.note(now, Decision::new(node, "offers_unavailable", format!("billing: {e}")));
                return Ok(false);
            }
        };
        if session.rule.as_ref().is_some_and(|r| r.requirements.plain_terms) {
            for unread in candidates.iter_mut().filter(|c| !c.terms_text.covers(&session.locale)) {
                let message = format!("its terms are not there in {}", session.locale);
                unread.eligible = false;
                unread.reasons.push(("terms_not_in_language".into(), message));
            }
        }
        let mut why = Vec::new();
        let chosen = choose(node, &fresh, &candidates, &mut why);
        why.into_iter().for_each(|d| session.note(now, d));
        let Some(chosen) = chosen else { return Ok(false) };
        match self.billing.present(&caller, &read.id, &subscription, chosen, &segments).await {
            Ok(offer) => {
                session.presented.push(offer.offer_id.clone());
                session.offer = Some(offer);
                Ok(true)
            }
            Err(e) => {
                session.note(now, Decision::new(node, "offers_unavailable", format!("billing: {e}")));
                Ok(false)
            }
        }
    }
}

impl FlowSession {
    /// Walks on, and notes why and which arms were drawn.
    fn walk(&mut self, frozen: &Frozen<WorkflowContent>, from: &str, shown: u32, now: Timestamp) -> Halt {
        let (flow, workflow) = (&frozen.content, frozen.object_id.as_str());
        let who = Walker { holdout: self.holdout, ..Walker::new(&self.known, workflow, &self.customer_id) };
        let mut why = Vec::new();
        let halt = walk(flow, from, &who, shown, &mut why);
        for decision in why {
            if decision.code == "arm_drawn"
                && let Some(NodeKind::Split(split)) = flow.node(&decision.node).map(|n| &n.kind)
                && let Some(arm) = draw(split, workflow, &decision.node, &self.customer_id)
            {
                self.arms.insert(decision.node.clone(), arm.to_owned());
            }
            self.note(now, decision);
        }
        halt
    }
}
