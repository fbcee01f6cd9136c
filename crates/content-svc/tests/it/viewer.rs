//! Looking at a workflow: as a graph, by its traffic, and by going through it without a customer.

use std::collections::BTreeSet;

use content_svc::engine::{Answer, Curtain, Known};
use content_svc::rule::Rule;
use content_svc::workflow::{Branch, NodeKind, WorkflowContent};
use content_svc::workflow_viewer::{Played, Sample, WorkflowViewer, svg};
use kit::{Coded, Mode, Role};

use crate::flow::Flow;
use crate::world::{person, workflow};

fn viewer(flow: &Flow) -> WorkflowViewer {
    WorkflowViewer::new(flow.world.rooms.workflows.clone(), flow.store.clone(), flow.biller.clone())
}

fn because(reason: &str) -> Vec<(String, Answer)> {
    vec![("reason".to_owned(), Answer::Choices(vec![reason.to_owned()]))]
}

fn nodes(played: &Played) -> Vec<(&str, &str)> {
    played.course.scenes.iter().map(|s| (s.node.as_str(), s.exit.as_str())).collect()
}

async fn next_version(flow: &Flow, content: WorkflowContent) {
    let (workflows, admin) = (&flow.world.rooms.workflows, &flow.world.admin);
    let read =
        workflows.objects.get(admin, &flow.workflow, content_svc::versioned::Which::Working).await.unwrap();
    let edited =
        workflows.objects.edit(admin, &flow.workflow, read.version, |o| o.edit(content)).await.unwrap();
    workflows.publish(admin, &flow.workflow, edited.version, String::new()).await.unwrap();
}

#[tokio::test]
async fn the_graph_is_there_as_data_and_as_a_picture_with_what_the_checks_say() {
    let flow = Flow::new().await;
    let viewer = viewer(&flow);
    let admin = &flow.world.admin;
    let graph = viewer.graph(admin, &flow.workflow, 1).await.unwrap();
    assert_eq!((graph.picture.nodes.len(), graph.picture.edges.len()), (5, 6));
    assert!(!graph.findings.has_errors() && graph.picture.nodes.iter().all(|n| n.reachable));
    let drawn = svg(&graph.name, &graph.picture, &graph.findings, None);
    assert!(drawn.starts_with("<svg") && drawn.contains("accepted") && !drawn.contains("error\""), "{drawn}");

    // A draft is drawn too, with what is wrong with it.
    let workflows = &flow.world.rooms.workflows;
    let mut broken = workflow(&flow.pages);
    broken.nodes[3].kind = NodeKind::Step { template_id: "tpl_none".into(), next: "nowhere".into() };
    let read =
        workflows.objects.get(admin, &flow.workflow, content_svc::versioned::Which::Working).await.unwrap();
    workflows.objects.edit(admin, &flow.workflow, read.version, |o| o.edit(broken)).await.unwrap();
    let graph = viewer.graph(admin, &flow.workflow, 0).await.unwrap();
    let drawn = svg(&graph.name, &graph.picture, &graph.findings, None);
    assert!(graph.findings.has("unknown_node") && drawn.contains("n step error"), "{drawn}");
    let none = viewer.graph(admin, &flow.workflow, 9).await.err().unwrap();
    assert_eq!(none.code().0.http(), 404);
    let other = person(Role::RetAdmin, "com_2", Mode::Live);
    assert_eq!(viewer.graph(&other, &flow.workflow, 1).await.err().unwrap().code().0.http(), 404);
}

#[tokio::test]
async fn traffic_is_counted_along_the_edges_of_the_version_it_took() {
    let flow = Flow::new().await;
    let viewer = viewer(&flow);
    // One leaves for a reason nothing is offered for, one declines, one closes the page on the offer.
    let first = flow.start().await;
    flow.because(&first.id, "unused").await;
    flow.flows.cancel(flow.scope(), &first.id).await.unwrap();
    for (customer, declines) in [("a", true), ("b", false)] {
        let caller = person(Role::Machine, "com_1", Mode::Live);
        let subscription = format!("sub_{customer}");
        let token =
            flow.flows.issue(&caller, customer, &subscription, "en".into(), String::new()).await.unwrap().0;
        let read = flow.flows.start(&token, "").await.unwrap();
        let read = flow.because(&read.id, "price").await;
        if declines {
            let offer = read.body.offer.unwrap().offer_id;
            flow.flows.decline(flow.scope(), &read.id, &offer).await.unwrap();
        } else {
            flow.flows.close(flow.scope(), &read.id).await.unwrap();
        }
    }
    let (number, edges, heat) = viewer.heat(&flow.world.admin, &flow.workflow, 0, None, None).await.unwrap();
    let along = |from: &str, exit: &str| heat.along(from, exit);
    assert_eq!((number, heat.sessions, edges.len()), (1, 3, 6));
    assert_eq!(
        (along("ask", "next"), along("which", "branches[0].next"), along("which", "otherwise")),
        (3, 2, 1)
    );
    assert_eq!((along("cheaper", "declined"), along("cheaper", "accepted")), (1, 0));
    let at = |node: &str| heat.nodes.get(node).copied().unwrap_or_default();
    assert_eq!(
        (at("ask").visits, at("which").visits, at("cheaper").visits, at("cheaper").left),
        (3, 3, 2, 1)
    );
    assert_eq!(at("ask").left + at("bye").left, 0, "who canceled did not leave without deciding");

    // The next version begins at nothing.
    let mut content = workflow(&flow.pages);
    content.nodes[0].name = "Ask why".into();
    next_version(&flow, content).await;
    let later = viewer.heat(&flow.world.admin, &flow.workflow, 2, None, None).await.unwrap();
    assert_eq!((later.0, later.2.sessions), (2, 0));
}

#[tokio::test]
async fn a_sample_goes_through_a_draft_and_nothing_happens() {
    let flow = Flow::new().await;
    let viewer = viewer(&flow);
    let play = |takes: &[&str], withheld: &[&str], answers: Vec<(String, Answer)>| {
        let takes: BTreeSet<String> = takes.iter().map(|t| (*t).to_owned()).collect();
        let withheld = withheld.iter().map(|t| (*t).to_owned()).collect();
        let who = Sample::MadeUp { known: Box::new(Known::default()), withheld };
        viewer.simulate(&flow.world.admin, &flow.workflow, 0, who, takes, move |_| Ok(answers))
    };
    let saved = play(&["off_good"], &[], because("price")).await.unwrap();
    assert_eq!(saved.course.ended, Curtain::Saved);
    assert_eq!(nodes(&saved), [("ask", "next"), ("cheaper", "accepted"), ("kept", "")]);
    let leaves = play(&[], &[], because("price")).await.unwrap();
    assert_eq!(nodes(&leaves), [("ask", "next"), ("cheaper", "declined"), ("bye", "")]);
    let none = play(&["off_good"], &["off_good"], because("price")).await.unwrap();
    assert_eq!((none.course.ended, nodes(&none).len()), (Curtain::Canceled, 2));
    assert!(none.course.why.iter().any(|d| d.code == "offer_withheld"));
    let silent = play(&[], &[], Vec::new()).await.unwrap();
    assert_eq!((silent.course.ended, nodes(&silent)), (Curtain::Unanswered, vec![("ask", "")]));
    assert!(silent.course.why.iter().any(|d| d.code == "required"));
    // A customer of the company, as billing and analytics know them.
    let who = Sample::Real { customer: "cus_1".into(), subscription: "sub_1".into() };
    let real =
        viewer.simulate(&flow.world.admin, &flow.workflow, 1, who, BTreeSet::new(), |_| Ok(because("price")));
    assert_eq!(real.await.unwrap().course.ended, Curtain::Canceled);
    assert_eq!(flow.biller.take(), Vec::<String>::new(), "nothing was shown, claimed or canceled");
}

#[tokio::test]
async fn a_session_is_replayed_on_another_version() {
    let flow = Flow::new().await;
    let viewer = viewer(&flow);
    let read = flow.start().await;
    flow.because(&read.id, "unused").await;
    flow.biller.take();
    // The next version has an offer for this reason, too.
    let mut content = workflow(&flow.pages);
    let reason = Rule::Any(vec![Rule::Reason("too_expensive".into()), Rule::Reason("not_using".into())]);
    let branch = Branch { when: reason, next: "cheaper".into() };
    content.nodes[1].kind = NodeKind::Condition { branches: vec![branch], otherwise: "bye".into() };
    next_version(&flow, content).await;
    let admin = &flow.world.admin;
    let before = viewer.replay(admin, &read.id, 1).await.unwrap();
    assert_eq!(nodes(&before), [("ask", "next"), ("bye", "")]);
    let after = viewer.replay(admin, &read.id, 0).await.unwrap();
    assert_eq!(
        (after.number, nodes(&after)),
        (2, vec![("ask", "next"), ("cheaper", "declined"), ("bye", "")])
    );
    assert_eq!(flow.biller.take(), Vec::<String>::new());
    let same = flow.flows.get(flow.scope(), &read.id).await.unwrap();
    assert_eq!(same.body.flow.unwrap().number, 1, "the session stays where it is");
}
