//! Visits and screens on the wire.

use kit::time::to_proto;
use kit::{Fault, Money};
use proto::content as pb;
use store::Stored;

use super::durable::Durability;
use super::evidence::{Evidence, Seen};
use super::model::{FlowSession, State};
use crate::engine::Answer;
use crate::questionnaire::{QuestionType, QuestionnaireContent};
use crate::render::{CardView, ChoiceView, OfferView, Piece, PlaceView, QuestionView, Screen};
use crate::wire::{Wire, mirror};
use crate::workflow::Page;

mirror!(Durability => pb::FlowDurability { Pending, Held30, Held60, Held90, Lost });
mirror!(State => pb::FlowState { Created, Active, Settling, Saved, Canceled, Manual, Abandoned, Bounced });

/// Reads answers by the kind of the question they answer; what no question asks is left for the visit to refuse.
pub fn answers(page: Option<&Page>, given: Vec<pb::FlowAnswer>) -> Result<Vec<(String, Answer)>, Fault> {
    let asked: Vec<_> = page.iter().flat_map(|p| p.questionnaires.iter().map(|q| &q.content)).collect();
    answers_among(&asked, given)
}

/// The same, among the questions of several pages.
pub fn answers_among(
    asked: &[&QuestionnaireContent],
    given: Vec<pb::FlowAnswer>,
) -> Result<Vec<(String, Answer)>, Fault> {
    let kind = |key: &str| asked.iter().find_map(|q| q.question(key)).map(|q| q.kind);
    let read = given.into_iter().enumerate().filter_map(|(i, answer)| {
        let pb::FlowAnswer { question, choices, text } = answer;
        let answer = match kind(&question) {
            Some(QuestionType::Scale) => match text.trim().parse() {
                Ok(n) => Answer::Scale(n),
                Err(_) if text.trim().is_empty() => return None,
                Err(_) => {
                    let field = format!("answers[{i}].text");
                    return Some(Err(Fault::field(field, "wrong_type", "a whole number is expected")));
                }
            },
            Some(QuestionType::Text | QuestionType::Date) if text.trim().is_empty() => return None,
            Some(QuestionType::Text | QuestionType::Date) => Answer::Text(text.trim().to_owned()),
            _ if choices.is_empty() => return None,
            _ => Answer::Choices(choices),
        };
        Some(Ok((question, answer)))
    });
    read.collect()
}

/// What the customer sees now.
pub fn screen(read: &Stored<FlowSession>, screen: Screen, token: String) -> pb::FlowScreen {
    let Screen {
        locale,
        direction,
        title,
        notice,
        places,
        offer,
        can_cancel,
        cancel_label,
        continue_url,
        continue_label,
        theme,
        node: _,
    } = screen;
    let offer = offer.map(|OfferView { id, kind, text, terms, terms_hash, consent }| pb::FlowOffer {
        id,
        kind,
        text,
        terms,
        terms_hash,
        consent_required: !consent.is_empty(),
        consent_text: consent,
    });
    let places = places.into_iter().map(|PlaceView { name, cards }| {
        let cards = cards.into_iter().map(|CardView { id, kind, pieces }| {
            let pieces = pieces.into_iter().map(Into::into).collect();
            pb::FlowCard { id, kind, pieces }
        });
        pb::FlowPlace { name, cards: cards.collect() }
    });
    pb::FlowScreen {
        session_id: read.id.clone(),
        session_token: token,
        state: read.body.state.to_wire(),
        locale,
        title,
        notice,
        places: places.collect(),
        offer,
        can_cancel,
        continue_url,
        theme: theme.into_iter().collect(),
        direction: direction.into(),
        cancel_label,
        continue_label,
    }
}

impl From<Piece> for pb::FlowPiece {
    fn from(piece: Piece) -> Self {
        let Piece { kind, text, level, action, url, items, ordered, value, question, width, height, srcset } =
            piece;
        Self {
            kind: kind.into(),
            text,
            level,
            action: action.into(),
            url,
            items,
            ordered,
            value,
            question: question.map(Into::into),
            width,
            height,
            srcset,
        }
    }
}

impl From<QuestionView> for pb::FlowQuestion {
    fn from(question: QuestionView) -> Self {
        let QuestionView {
            key,
            kind,
            text,
            help,
            required,
            choices,
            scale_min,
            scale_max,
            min_length,
            answered: _,
        } = question;
        let choices =
            choices.into_iter().map(|ChoiceView { key, label, chosen: _ }| pb::FlowChoice { key, label });
        let choices = choices.collect();
        Self { key, r#type: kind.into(), text, help, required, choices, scale_min, scale_max, min_length }
    }
}

/// A visit as the dashboard reads it; `personal` says whether free words are shown.
pub fn session(read: Stored<FlowSession>, personal: bool) -> pb::FlowSession {
    let Stored { id, created_at, body, .. } = read;
    let money = |m: Money| proto::common::Money { minor: m.minor, currency: m.currency.as_str().into() };
    let (workflow_id, workflow_number, workflow_hash) =
        body.flow.map(|f| (f.id, f.number, f.hash)).unwrap_or_default();
    let answers = body.known.answers.into_iter().map(|(q, a)| answer_to_wire(q, a, personal));
    pb::FlowSession {
        id,
        customer_id: body.customer_id,
        subscription_id: body.subscription_id,
        state: body.state.to_wire(),
        workflow_id,
        workflow_number,
        workflow_hash,
        persona_ids: body.known.personas.into_iter().collect(),
        holdout: body.holdout,
        region: body.known.regions.into_iter().next().unwrap_or_default(),
        locale: body.locale,
        trail: body
            .trail
            .into_iter()
            .map(|v| pb::FlowVisit { node: v.node, at: Some(to_proto(v.at)) })
            .collect(),
        answers: answers.collect(),
        reason_category: body.known.reason.unwrap_or_default(),
        offers_presented: body.presented,
        redemption_id: body.redemption_id.unwrap_or_default(),
        mrr: body.subject.mrr.map(money),
        started_at: Some(to_proto(created_at)),
        wished_at: body.wished_at.map(to_proto),
        ended_at: body.ended_at.map(to_proto),
        durability: body.durable.map_or(0, |d| d.state.to_wire()),
        rule: body.rule.map(Into::into),
        unverified: body.unverified,
    }
}

/// An answer; `personal` says whether free words are shown.
pub fn answer_to_wire(question: String, answer: Answer, personal: bool) -> pb::FlowAnswer {
    match answer {
        Answer::Choices(choices) => pb::FlowAnswer { question, choices, text: String::new() },
        Answer::Scale(n) => pb::FlowAnswer { question, choices: Vec::new(), text: n.to_string() },
        Answer::Text(text) => {
            let text = if personal { text } else { "•••".into() };
            pb::FlowAnswer { question, choices: Vec::new(), text }
        }
    }
}

/// What the customer saw.
pub fn evidence(evidence: Evidence) -> pb::FlowEvidence {
    let Evidence { read, pages, keep_until } = evidence;
    let Stored { id, body, .. } = read;
    let (workflow_id, workflow_number, workflow_hash) =
        body.flow.map(|f| (f.id, f.number, f.hash)).unwrap_or_default();
    let pages = pages.into_iter().map(|Seen { at, node, page, offer }| {
        let (template_id, template_number, template_hash) =
            page.map(|p| (p.id, p.number, p.hash)).unwrap_or_default();
        let (offer_id, terms_hash, consented_at) =
            offer.map(|o| (o.offer_id, o.terms_hash, o.consented_at)).unwrap_or_default();
        pb::FlowEvidencePage {
            at: Some(to_proto(at)),
            node,
            template_id,
            template_number,
            template_hash,
            offer_id,
            terms_hash,
            consented_at: consented_at.map(to_proto),
        }
    });
    pb::FlowEvidence {
        session_id: id,
        workflow_id,
        workflow_number,
        workflow_hash,
        locale: body.locale,
        rule: body.rule.map(Into::into),
        pages: pages.collect(),
        wished_at: body.wished_at.map(to_proto),
        ended_at: body.ended_at.map(to_proto),
        state: body.state.to_wire(),
        keep_until: keep_until.map(to_proto),
    }
}

/// Why it went as it went.
pub fn explanation(read: Stored<FlowSession>) -> pb::FlowExplanation {
    let arms = read.body.arms.into_iter().collect();
    let decisions = read.body.why.into_iter().map(|noted| pb::FlowDecision {
        at: Some(to_proto(noted.at)),
        node: noted.decision.node,
        code: noted.decision.code,
        message: noted.decision.message,
    });
    pb::FlowExplanation { decisions: decisions.collect(), arms }
}
