//! Actions and splits in a flow with a customer: nobody waits for an action, and the same customer is in the same arm.

use content_svc::flow_session::State;
use content_svc::workflow::{Action, NodeKind, Split, Tag, WorkflowContent};
use content_svc::workflow_run::{Began, RunState, WorkflowRun};
use kit::Coded;
use store::Stored;

use crate::flow::Flow;
use crate::world::{node, workflow};

fn tag(add: &str, next: &str) -> NodeKind {
    let tag = Some(Tag { add: vec![add.into()], remove: Vec::new() });
    NodeKind::Action(Action { action: "tag".into(), tag, mail: None, next: next.into() })
}

/// The flow of the tests, with a split behind the first page, and tags where the customer decided.
fn tagged(flow: &Flow) -> WorkflowContent {
    let mut content = workflow(&flow.pages);
    let arms = vec![("offer".into(), "which".into()), ("plain".into(), "plain".into())];
    let split = Split { experiment_id: "exp_1".into(), arms, otherwise: "bye".into(), weights: Vec::new() };
    if let NodeKind::Step { next, .. } = &mut content.nodes[0].kind {
        *next = "seen".into();
    }
    if let NodeKind::Offer { accepted, .. } = &mut content.nodes[2].kind {
        *accepted = "took".into();
    }
    content.nodes.extend([
        node("seen", tag("asked", "draw")),
        node("draw", NodeKind::Split(split)),
        node("plain", tag("plain", "bye")),
        node("took", tag("took", "kept")),
    ]);
    content
}

async fn publish(flow: &Flow, content: WorkflowContent) {
    let (workflows, admin) = (&flow.world.rooms.workflows, &flow.world.admin);
    let which = content_svc::versioned::Which::Working;
    let read = workflows.objects.get(admin, &flow.workflow, which).await.unwrap();
    let edited =
        workflows.objects.edit(admin, &flow.workflow, read.version, |o| o.edit(content)).await.unwrap();
    workflows.publish(admin, &flow.workflow, edited.version, String::new()).await.unwrap();
}

/// The runs a visit's explanation names.
async fn asked_for(flow: &Flow, id: &str) -> Vec<Stored<WorkflowRun>> {
    let (runs, _) = flow.world.runs(flow.biller.clone()).await;
    let visit = flow.flows.get(flow.scope(), id).await.unwrap();
    let mut found = Vec::new();
    for noted in visit.body.why.iter().filter(|n| n.decision.code == "action_asked_for") {
        let run = noted.decision.message.split(' ').nth(1).unwrap();
        found.push(runs.get(&flow.world.admin, run).await.unwrap());
    }
    found
}

#[tokio::test]
async fn an_action_in_a_flow_is_a_run_of_its_own_and_holds_nobody_up() {
    let flow = Flow::new().await;
    publish(&flow, tagged(&flow)).await;
    let visit = flow.start().await;
    let answered = flow.because(&visit.id, "price").await;
    let arm = answered.body.arms["draw"].clone();
    let drawn: Vec<_> = answered
        .body
        .why
        .iter()
        .filter(|n| n.decision.code == "arm_drawn")
        .map(|n| &n.decision.message)
        .collect();
    assert!(drawn.len() == 1 && drawn[0].contains(&format!("arm {arm} of exp_1")), "{drawn:?}");
    assert!(!flow.biller.take().iter().any(|line| line.starts_with("tag")), "later, and by somebody else");
    let asked = asked_for(&flow, &visit.id).await;
    assert_eq!(asked[0].body.node, "seen");
    assert_eq!((asked[0].body.began, asked[0].body.state), (Began::Action, RunState::Queued));
    assert_eq!(asked[0].body.session_id.as_deref(), Some(visit.id.as_str()));

    let (runs, occasions) = flow.world.runs(flow.biller.clone()).await;
    for _ in 0..2 {
        runs.round(&occasions).await.unwrap();
    }
    let first = flow.biller.take();
    assert_eq!(first.iter().filter(|line| *line == "tag cus_1 +asked -").count(), 1, "{first:?}");
    let run = runs.get(&flow.world.admin, &asked[0].id).await.unwrap();
    assert_eq!(run.body.state, RunState::Completed);
    assert_eq!(run.body.visits.len(), 1, "it does that one thing and no more");
    let effect = run.body.visits[0].effect.clone().unwrap();
    assert_eq!(effect.key, format!("workflow/{}/seen/1", run.id));

    // Biller and all: nothing outside holds a customer who wants to leave.
    *flow.biller.down.lock().unwrap() = true;
    let leaving = flow.flows.cancel(flow.scope(), &visit.id).await.unwrap();
    assert!(leaving.body.wished_at.is_some());
}

#[tokio::test]
async fn who_takes_the_offer_is_tagged_on_the_way_to_the_last_page() {
    let flow = Flow::new().await;
    let mut content = tagged(&flow);
    // Everybody sees the offer.
    for found in &mut content.nodes {
        if let NodeKind::Split(split) = &mut found.kind {
            split.weights = vec![("offer".into(), 1)];
        }
    }
    publish(&flow, content).await;
    let visit = flow.start().await;
    flow.because(&visit.id, "price").await;
    let saved = flow.flows.accept(flow.scope(), &visit.id, "off_good", false).await.unwrap();
    assert_eq!((saved.body.state, saved.body.node.as_str()), (State::Saved, "kept"));
    let (runs, occasions) = flow.world.runs(flow.biller.clone()).await;
    runs.round(&occasions).await.unwrap();
    let tags: Vec<_> = flow.biller.take().into_iter().filter(|line| line.starts_with("tag")).collect();
    assert_eq!(tags.len(), 2, "{tags:?}");
    assert!(tags.contains(&"tag cus_1 +took -".to_owned()));
    // Pressed once more, nothing is done once more.
    flow.flows.accept(flow.scope(), &visit.id, "off_good", false).await.unwrap();
    runs.round(&occasions).await.unwrap();
    assert_eq!(asked_for(&flow, &visit.id).await.len(), 2);
}

#[tokio::test]
async fn the_same_customer_is_in_the_same_arm_in_every_version() {
    let flow = Flow::new().await;
    publish(&flow, tagged(&flow)).await;
    let mut arms = Vec::new();
    for n in 0..3 {
        let visit = flow.start().await;
        arms.push(flow.because(&visit.id, "unused").await.body.arms["draw"].clone());
        flow.flows.close(flow.scope(), &visit.id).await.ok();
        let mut content = tagged(&flow);
        content.nodes[0].name = format!("Version {n}");
        publish(&flow, content).await;
        flow.world.clock.advance(jiff::SignedDuration::from_hours(1));
    }
    assert!(arms.windows(2).all(|w| w[0] == w[1]), "{arms:?}");
}

#[tokio::test]
async fn a_flow_with_what_cannot_be_carried_out_is_not_published_and_says_where() {
    let flow = Flow::new().await;
    let mut content = tagged(&flow);
    content.nodes[5].kind =
        NodeKind::Action(Action { action: "slack".into(), next: "draw".into(), ..Action::default() });
    let (workflows, admin) = (&flow.world.rooms.workflows, &flow.world.admin);
    let made = workflows.create(admin, "Slack".into(), content).await.unwrap();
    let refused = workflows.publish(admin, &made.id, made.version, String::new()).await.unwrap_err();
    let fields: Vec<_> = refused.fields().into_iter().map(|f| (f.field, f.code)).collect();
    assert_eq!(fields, [("nodes[seen].action.action".to_owned(), "action_not_supported".to_owned())]);
}
