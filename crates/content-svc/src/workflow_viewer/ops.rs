//! Reading a workflow and rehearsing it.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use kit::locale::LocalText;
use kit::{Caller, Code, Fault, Scope, Timestamp};

use super::heat::Heat;
use super::layout::{Edge, Picture, layout};
use crate::engine::{Answer, Candidate, Course, Known, Script, rehearse};
use crate::error::Error;
use crate::flow_session::{Billing, FlowStore, Segments};
use crate::questionnaire::QuestionnaireContent;
use crate::text::Findings;
use crate::versioned::{Frozen, Which};
use crate::workflow::{Page, WorkflowContent, Workflows};

/// The looks at workflows.
#[derive(Clone)]
pub struct WorkflowViewer {
    workflows: Workflows,
    visits: FlowStore,
    billing: Arc<dyn Billing>,
}

/// A graph, laid out, with what the checks say.
pub struct Graph {
    pub name: String,
    pub content: WorkflowContent,
    pub picture: Picture,
    pub findings: Findings,
}

/// Who goes through a rehearsal.
pub enum Sample {
    /// A customer of the company.
    Real { customer: String, subscription: String },
    /// Somebody made up, and the offers they may not have.
    MadeUp { known: Box<Known>, withheld: BTreeSet<String> },
}

/// A rehearsal of one version; 0 is the working copy.
pub struct Played {
    pub workflow_id: String,
    pub number: u32,
    pub course: Course,
}

impl WorkflowViewer {
    pub fn new(workflows: Workflows, visits: FlowStore, billing: Arc<dyn Billing>) -> Self {
        Self { workflows, visits, billing }
    }

    /// The graph of a version, or of the working copy (0).
    pub async fn graph(&self, caller: &Caller, id: &str, number: u32) -> Result<Graph, Error> {
        let which = if number == 0 { Which::Working } else { Which::Number(number) };
        let view = self.workflows.objects.get(caller, id, which).await?;
        let content = view.content.ok_or_else(|| Fault::not_found("content of this workflow"))?;
        let findings = self.workflows.look_over(caller, &content).await?;
        Ok(Graph { name: view.name, picture: layout(&content), content, findings })
    }

    /// The traffic of a version, or of the one in use (0), with its edges and its number.
    pub async fn heat(
        &self,
        caller: &Caller,
        id: &str,
        number: u32,
        since: Option<Timestamp>,
        until: Option<Timestamp>,
    ) -> Result<(u32, Vec<Edge>, Heat), Error> {
        let scope = caller.scope()?;
        let (number, frozen) = self.version(caller, scope, id, number).await?;
        let trodden = self.visits.trodden(scope, id, number, since, until).await?;
        Ok((number, layout(&frozen.content).edges, Heat::over(&frozen.content, &trodden)))
    }

    /// The way somebody would take. `read` makes answers of what was sent, by the questions the flow asks.
    pub async fn simulate(
        &self,
        caller: &Caller,
        id: &str,
        number: u32,
        who: Sample,
        takes: BTreeSet<String>,
        read: impl FnOnce(&[&QuestionnaireContent]) -> Result<Vec<(String, Answer)>, Fault> + Send,
    ) -> Result<Played, Error> {
        let scope = caller.scope()?;
        let (content, pages) = if number == 0 {
            let content = self.workflows.objects.working(scope, id).await?;
            let pages = self.workflows.pages_now(scope, &content).await?;
            (content, pages)
        } else {
            let (_, frozen) = self.version(caller, scope, id, number).await?;
            (frozen.content.clone(), self.workflows.pages_pinned(scope, &frozen).await?)
        };
        let asked: Vec<_> =
            pages.values().flat_map(|p| p.questionnaires.iter().map(|q| &q.content)).collect();
        let answers = read(&asked)?.into_iter().collect();
        let (known, candidates, customer) = match who {
            Sample::MadeUp { known, withheld } => (*known, made_up(&content, &withheld), String::new()),
            Sample::Real { customer, subscription } => {
                let (visitor, segments) = tokio::join!(
                    self.billing.visitor(caller, &customer, &subscription),
                    self.billing.segments(caller, &customer),
                );
                let (visitor, segments) = (visitor?, segments?);
                let subscription = visitor.subscription_id.clone();
                let candidates = self.candidates(caller, &subscription, &content, &segments).await?;
                let known = Known::of(&visitor.subject.country, visitor.facts, &segments);
                (known, candidates, visitor.customer_id)
            }
        };
        let script = Script { answers, candidates, takes, workflow: id.to_owned(), customer };
        Ok(played(id, number, &content, &pages, known, &script))
    }

    /// The way the customer of a visit would take through a version of its workflow, or the one in use (0).
    pub async fn replay(&self, caller: &Caller, session: &str, number: u32) -> Result<Played, Error> {
        let scope = caller.scope()?;
        let visit = self.visits.get(scope, session).await?.body;
        let Some(flow) = &visit.flow else {
            let message = "the session took the plain way: there is no workflow to replay";
            return Err(Fault::new(Code::Refused, "no_workflow", message).into());
        };
        let (number, frozen) = self.version(caller, scope, &flow.id, number).await?;
        let pages = self.workflows.pages_pinned(scope, &frozen).await?;
        let segments = Segments {
            personas: visit.known.personas.clone(),
            max_discount_percent: visit.max_discount_percent,
            allowed_kinds: visit.allowed_kinds.clone(),
            ..Segments::default()
        };
        let mut candidates =
            self.candidates(caller, &visit.subscription_id, &frozen.content, &segments).await?;
        for shown in candidates.iter_mut().filter(|c| visit.presented.contains(&c.offer_id)) {
            shown.eligible = true;
        }
        let answers: BTreeMap<_, _> = visit.known.answers.clone();
        let known = Known { answers: BTreeMap::new(), reason: None, ..visit.known };
        let takes = visit.taken_offer_id.into_iter().collect();
        let (workflow, customer) = (flow.id.clone(), visit.customer_id.clone());
        let script = Script { answers, candidates, takes, workflow, customer };
        Ok(played(&flow.id, number, &frozen.content, &pages, known, &script))
    }

    async fn candidates(
        &self,
        caller: &Caller,
        subscription: &str,
        content: &WorkflowContent,
        segments: &Segments,
    ) -> Result<Vec<Candidate>, Error> {
        let offers: Vec<String> = content.offer_ids().into_iter().map(str::to_owned).collect();
        if offers.is_empty() {
            return Ok(Vec::new());
        }
        Ok(self.billing.candidates(caller, subscription, &offers, segments).await?)
    }

    /// A frozen version by its number, or the one in use (0).
    async fn version(
        &self,
        caller: &Caller,
        scope: &Scope,
        id: &str,
        number: u32,
    ) -> Result<(u32, Arc<Frozen<WorkflowContent>>), Error> {
        let releases = self.workflows.objects.releases(caller, id).await?;
        let newest = releases.iter().max_by_key(|r| r.number);
        let asked = if number == 0 { newest } else { releases.iter().find(|r| r.number == number) };
        let Some(release) = asked else { return Err(Fault::not_found("version of this workflow").into()) };
        Ok((release.number, self.workflows.version(scope, id, &release.hash).await?))
    }
}

/// Every offer of a flow, to be had unless it is withheld.
fn made_up(content: &WorkflowContent, withheld: &BTreeSet<String>) -> Vec<Candidate> {
    let offers = content.offer_ids().into_iter().map(|id| {
        let eligible = !withheld.contains(id);
        let why = if eligible {
            Vec::new()
        } else {
            vec![("withheld".into(), "the sample may not have it".into())]
        };
        Candidate {
            offer_id: id.to_owned(),
            name: id.to_owned(),
            kind: String::new(),
            text: LocalText::default(),
            terms_text: LocalText::default(),
            url: String::new(),
            eligible,
            reasons: why,
        }
    });
    offers.collect()
}

fn played(
    id: &str,
    number: u32,
    content: &WorkflowContent,
    pages: &HashMap<String, Page>,
    known: Known,
    script: &Script,
) -> Played {
    Played { workflow_id: id.to_owned(), number, course: rehearse(content, pages, known, script) }
}
