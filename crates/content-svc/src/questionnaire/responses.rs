//! Answers to questionnaires: taking them outside of a page, reading them, counting them. What a customer answered is kept
//! with the visit and nowhere else, so that erasing the one erases the other.

use std::collections::BTreeMap;

use kit::{Caller, Code, Fault, Page, PageRequest, Role, Scope, SharedClock, Timestamp};
use store::Stored;

use super::model::{Question, QuestionnaireContent, QuestionnaireKind};
use super::store::{Asked, Given, Intake, IntakeStore};
use super::summary::{Summary, count};
use crate::engine::{Answer, Known};
use crate::error::Error;
use crate::events;
use crate::flow_session::{FlowSession, FlowStore, changed};
use crate::versioned::{Content, Objects, Published};

/// Answers to questionnaires.
#[derive(Clone)]
pub struct Responses {
    visits: FlowStore,
    intake: IntakeStore,
    clock: SharedClock,
}

/// What one customer, or the company, answered.
#[derive(Clone, Debug, PartialEq)]
pub struct Response {
    pub id: String,
    pub number: u32,
    /// None: the company itself.
    pub customer_id: Option<String>,
    pub answers: BTreeMap<String, Answer>,
    pub complete: bool,
    pub started_at: Timestamp,
    pub answered_at: Timestamp,
}

/// A questionnaire as it is read for its answers: the questions of every version, those in use first.
struct Read {
    kind: QuestionnaireKind,
    questions: Vec<Question>,
    /// The questions of the version in use that everybody must answer.
    required: Vec<String>,
}

impl Responses {
    pub fn new(visits: FlowStore, intake: IntakeStore, clock: SharedClock) -> Self {
        Self { visits, intake, clock }
    }

    /// Takes answers: of the customer whose session the caller holds, or of the company. `read` makes answers of what was
    /// sent, by the questions that are asked.
    pub async fn answer(
        &self,
        objects: &Objects<QuestionnaireContent>,
        caller: &Caller,
        id: &str,
        read: impl FnOnce(&[&QuestionnaireContent]) -> Result<Vec<(String, Answer)>, Fault> + Send,
    ) -> Result<Response, Error> {
        let scope = caller.scope()?;
        let asked = objects.published(scope, id).await?;
        let asked = asked.ok_or_else(|| Fault::not_found("published version of this questionnaire"))?;
        let given = read(&[&asked.frozen.content])?;
        let intake = asked.frozen.content.kind == QuestionnaireKind::OnboardingIntake;
        match (caller.role == Role::Widget, intake) {
            (true, false) => self.of_customer(scope, &caller.actor.id, &asked, given).await,
            (false, true) => self.of_company(caller, scope, &asked, given).await,
            (true, true) => {
                let message = "the company answers this one, not its customers";
                Err(Fault::new(Code::Refused, "not_for_customers", message).into())
            }
            (false, false) => {
                let message = "customers answer this one, through their sessions";
                Err(Fault::new(Code::Refused, "only_for_customers", message).into())
            }
        }
    }

    async fn of_customer(
        &self,
        scope: &Scope,
        session: &str,
        asked: &Published<QuestionnaireContent>,
        given: Vec<(String, Answer)>,
    ) -> Result<Response, Error> {
        loop {
            let read = self.visits.get(scope, session).await?;
            let mut visit = read.body.clone();
            hear(&mut visit.known, &asked.frozen.content, given.clone())?;
            visit.hear(&asked.id, asked.release.number, &asked.frozen.hash, self.clock.now());
            let event = changed(&read, &visit, "answered", self.clock.now());
            match self.visits.replace(&read, visit, vec![event]).await {
                // Somebody else changed the visit meanwhile: the answers are taken all the same.
                Err(store::Error::Stale(_)) => {}
                other => return Ok(of_visit(other?, &asked.id, &asked.frozen.content.questions)),
            }
        }
    }

    async fn of_company(
        &self,
        caller: &Caller,
        scope: &Scope,
        asked: &Published<QuestionnaireContent>,
        given: Vec<(String, Answer)>,
    ) -> Result<Response, Error> {
        loop {
            let now = self.clock.now();
            let read = self.intake.of(scope, &asked.id).await?;
            let before = read.as_ref().map(|r| r.body.answers.clone()).unwrap_or_default();
            let mut known = Known { answers: before, ..Known::default() };
            hear(&mut known, &asked.frozen.content, given.clone())?;
            let this = Given {
                at: now,
                by: format!("{}:{}", caller.actor.kind, caller.actor.id),
                number: asked.release.number,
                answers: given.iter().cloned().collect(),
            };
            let mut all = read.as_ref().map(|r| r.body.given.clone()).unwrap_or_default();
            all.push(this);
            let intake = Intake {
                questionnaire_id: asked.id.clone(),
                number: asked.release.number,
                answers: known.answers,
                given: all,
            };
            let noun = QuestionnaireContent::NOUN;
            let audit = vec![events::audited(caller, scope, now, noun, &asked.id, "answer")];
            let written = match &read {
                Some(read) => self.intake.replace(read, intake, audit).await,
                None => self.intake.insert(scope, intake, audit).await,
            };
            match written {
                Err(store::Error::Stale(_) | store::Error::Duplicate(_)) => {}
                other => return Ok(of_intake(other?, &asked.frozen.content.questions)),
            }
        }
    }

    /// Who answered what, newest first.
    pub async fn list(
        &self,
        objects: &Objects<QuestionnaireContent>,
        caller: &Caller,
        id: &str,
        asked: &Asked,
        page: &PageRequest,
    ) -> Result<Page<Response>, Error> {
        let scope = caller.scope()?;
        let read = self.read(objects, scope, id).await?;
        if read.kind == QuestionnaireKind::OnboardingIntake {
            let page = self.intake.list(scope, id, asked, page).await?;
            return Ok(page.map(|stored| of_intake(stored, &read.questions)));
        }
        let page = self.visits.answered(scope, id, asked, page).await?;
        Ok(page.map(|stored| of_visit(stored, id, &read.questions)))
    }

    /// The answers counted.
    pub async fn summary(
        &self,
        objects: &Objects<QuestionnaireContent>,
        caller: &Caller,
        id: &str,
        asked: &Asked,
    ) -> Result<Summary, Error> {
        let scope = caller.scope()?;
        let read = self.read(objects, scope, id).await?;
        let required: Vec<&str> = read.required.iter().map(String::as_str).collect();
        let (responses, complete, tallies) = match read.kind {
            QuestionnaireKind::OnboardingIntake => self.intake.counted(scope, id, asked, &required).await?,
            _ => self.visits.counted(scope, id, asked, &required).await?,
        };
        Ok(Summary { responses, complete, questions: count(&read.questions, &tallies) })
    }

    /// The questions of every version: answers to those that are asked no more are not lost.
    async fn read(
        &self,
        objects: &Objects<QuestionnaireContent>,
        scope: &Scope,
        id: &str,
    ) -> Result<Read, Error> {
        let stored = objects.one(scope, id).await?;
        let working =
            stored.body.working().ok_or_else(|| Fault::not_found("content of this questionnaire"))?;
        let mut read = Read { kind: working.kind, questions: Vec::new(), required: Vec::new() };
        for (newest, release) in stored.body.releases().into_iter().enumerate().map(|(i, r)| (i == 0, r)) {
            let version = objects.version(scope, id, &release.hash).await?;
            for question in &version.content.questions {
                if newest && is_required(question) {
                    read.required.push(question.key.clone());
                }
                if !read.questions.iter().any(|q| q.key == question.key) {
                    read.questions.push(question.clone());
                }
            }
        }
        Ok(read)
    }
}

/// Takes answers as a page does; none is required, as the others may come later.
fn hear(known: &mut Known, asked: &QuestionnaireContent, given: Vec<(String, Answer)>) -> Result<(), Error> {
    known.hear(given, &[asked], &[]).map_err(|f| Error::Answers(f.into_vec()))
}

/// Whether everybody must answer it; one that is asked of some only may be missing.
fn is_required(question: &Question) -> bool {
    question.required && question.show_if.is_none()
}

fn of_visit(stored: Stored<FlowSession>, id: &str, questions: &[Question]) -> Response {
    let Stored { id: session, created_at, updated_at, body, .. } = stored;
    let heard = body.heard.into_iter().find(|h| h.questionnaire_id == id);
    let (number, first, last) =
        heard.map_or((0, created_at, updated_at), |h| (h.number, h.first_at, h.last_at));
    response(session, number, Some(body.customer_id), body.known.answers, questions, first, last)
}

fn of_intake(stored: Stored<Intake>, questions: &[Question]) -> Response {
    let Stored { id, created_at, updated_at, body, .. } = stored;
    response(id, body.number, None, body.answers, questions, created_at, updated_at)
}

fn response(
    id: String,
    number: u32,
    customer_id: Option<String>,
    mut answers: BTreeMap<String, Answer>,
    questions: &[Question],
    started_at: Timestamp,
    answered_at: Timestamp,
) -> Response {
    answers.retain(|key, _| questions.iter().any(|q| q.key == *key));
    let complete = questions.iter().filter(|q| is_required(q)).all(|q| answers.contains_key(&q.key));
    Response { id, number, customer_id, answers, complete, started_at, answered_at }
}
