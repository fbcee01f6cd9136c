//! Laws of the graph's checks, over random graphs.

use proptest::prelude::*;

use super::graph::check;
use super::model::*;
use super::node::{Action, Split, Tag, Wait};
use crate::rule::{Op, Rule, Value};

pub fn workflow(nodes: Vec<Node>) -> WorkflowContent {
    WorkflowContent {
        trigger: Trigger::CancelIntent,
        audience: None,
        start: nodes.first().map(|n| n.id.clone()).unwrap_or_default(),
        nodes,
        limits: Limits { max_screens_to_cancel: 50, ..Limits::default() },
        reentry: Reentry::Always,
        hosted_template_id: None,
        locales: vec!["en".into()],
    }
}

pub fn node(id: &str, kind: NodeKind) -> Node {
    Node { id: id.into(), name: String::new(), kind, position: None }
}

pub fn step(id: &str, next: &str) -> Node {
    node(id, NodeKind::Step { template_id: "tpl_1".into(), next: next.into() })
}

fn offer(id: &str, accepted: &str, declined: &str, none: &str) -> Node {
    let kind = NodeKind::Offer {
        offer_ids: vec!["off_1".into()],
        template_id: "tpl_2".into(),
        accepted: accepted.into(),
        declined: declined.into(),
        none: none.into(),
    };
    node(id, kind)
}

pub fn condition(id: &str, when: Rule, next: &str, otherwise: &str) -> Node {
    let branches = vec![Branch { when, next: next.into() }];
    node(id, NodeKind::Condition { branches, otherwise: otherwise.into() })
}

pub fn action(id: &str, next: &str) -> Node {
    let tag = Some(Tag { add: vec!["seen".into()], remove: Vec::new() });
    node(id, NodeKind::Action(Action { action: "tag".into(), tag, mail: None, next: next.into() }))
}

pub fn split(id: &str, blue: &str, green: &str, otherwise: &str) -> Node {
    let arms = vec![("blue".into(), blue.into()), ("green".into(), green.into())];
    node(id, NodeKind::Split(Split { arms, otherwise: otherwise.into(), ..Split::default() }))
}

pub fn wait(id: &str, hours: u32, event: &str, next: &str) -> Node {
    let (event, next) = (event.into(), next.into());
    node(id, NodeKind::Wait(Wait { hours, event, next, late: None }))
}

pub fn end(id: &str, outcome: EndOutcome) -> Node {
    node(id, NodeKind::End { outcome, template_id: None })
}

fn answered() -> Rule {
    Rule::Answer { question: "reason".into(), op: Op::Eq, value: Some(Value::Text("price".into())) }
}

pub fn known() -> Rule {
    Rule::Persona("per_1".into())
}

/// A plain flow: ask, offer, end.
fn plain() -> Vec<Node> {
    vec![
        step("ask", "cheaper"),
        offer("cheaper", "kept", "bye", "bye"),
        end("kept", EndOutcome::Kept),
        end("bye", EndOutcome::Canceled),
    ]
}

#[test]
fn a_plain_flow_passes_without_a_word() {
    assert!(check(&workflow(plain())).into_vec().is_empty());
}

#[test]
fn loose_ends_circles_and_doubles_are_errors() {
    let mut loose = plain();
    loose[0] = step("ask", "nowhere");
    assert!(check(&workflow(loose)).has("unknown_node"));
    let mut circle = plain();
    circle[1] = offer("cheaper", "kept", "ask", "bye");
    assert!(check(&workflow(circle)).has("circle"));
    let mut double = plain();
    double.push(end("bye", EndOutcome::Manual));
    assert!(check(&workflow(double)).has("duplicate_node"));
    let mut waits = plain();
    waits[0] = wait("ask", 1, "", "cheaper");
    assert!(check(&workflow(waits)).has("wait_before_leaving"));
    assert!(check(&workflow(Vec::new())).has("unknown_node"));
}

#[test]
fn what_we_know_of_a_customer_must_not_keep_them() {
    let trap = |when| {
        let mut nodes = plain();
        nodes[1] = condition("cheaper", when, "kept", "bye");
        check(&workflow(nodes))
    };
    assert!(trap(known()).has("no_way_to_cancel"), "nobody can help being in a persona");
    assert!(!trap(answered()).has_errors(), "an answer is the customer's own");
}

#[test]
fn a_flow_that_only_keeps_is_refused_and_an_unreachable_node_is_told() {
    let mut keeps = plain();
    keeps[1] = offer("cheaper", "kept", "kept", "kept");
    let found = check(&workflow(keeps));
    assert!(found.has("no_way_to_cancel") && found.has("unreachable"));
}

#[test]
fn too_many_screens_to_the_cancellation_are_refused() {
    let mut nodes: Vec<Node> = (0..4).map(|i| step(&format!("s{i}"), &format!("s{}", i + 1))).collect();
    nodes.push(end("s4", EndOutcome::Canceled));
    let mut flow = workflow(nodes);
    flow.limits.max_screens_to_cancel = 4;
    assert!(!check(&flow).has_errors());
    flow.limits.max_screens_to_cancel = 3;
    assert!(check(&flow).has("too_many_screens"));
}

#[test]
fn offers_beyond_the_limit_are_a_warning() {
    let nodes = vec![
        offer("o1", "kept", "o2", "o2"),
        offer("o2", "kept", "o3", "o3"),
        offer("o3", "kept", "bye", "bye"),
        end("kept", EndOutcome::Kept),
        end("bye", EndOutcome::Canceled),
    ];
    let found = check(&workflow(nodes));
    assert!(found.has("offers_beyond_limit") && !found.has_errors());
}

/// Nodes n0, n1, …, each leading to random others, and the ends.
fn random_graph() -> impl Strategy<Value = WorkflowContent> {
    let kinds = (0_u8..7, any::<u8>(), any::<u8>(), any::<u8>(), 0_u8..3);
    proptest::collection::vec(kinds, 1..12).prop_map(|made| {
        let n = made.len();
        let name = |i: usize| match i {
            i if i < n => format!("n{i}"),
            i if i == n => "kept".into(),
            _ => "bye".into(),
        };
        let mut nodes: Vec<Node> = made
            .iter()
            .enumerate()
            .map(|(i, (kind, a, b, c, forward))| {
                // Mostly forward, so that graphs without circles are common enough to say something.
                let to = |x: &u8| match forward {
                    0 => name(usize::from(*x) % (n + 2)),
                    _ => name(i + 1 + usize::from(*x) % (n + 1 - i)),
                };
                let id = format!("n{i}");
                match kind {
                    0 => step(&id, &to(a)),
                    1 => offer(&id, &to(a), &to(b), &to(c)),
                    2 => condition(&id, known(), &to(a), &to(b)),
                    3 => action(&id, &to(a)),
                    4 => split(&id, &to(a), &to(b), &to(c)),
                    _ => condition(&id, answered(), &to(a), &to(b)),
                }
            })
            .collect();
        nodes.push(end("kept", EndOutcome::Kept));
        nodes.push(end("bye", EndOutcome::Canceled));
        workflow(nodes)
    })
}

/// Walks the graph as a customer who wants to leave: `luck` decides what is known of them and which arm they are in, they
/// choose what helps. How many screens it takes; none where they cannot.
fn leaves(flow: &WorkflowContent, at: &str, luck: &mut dyn FnMut() -> bool, steps: usize) -> Option<u32> {
    assert!(steps < 100, "a published graph has no circle");
    let on = |next: &str, luck: &mut dyn FnMut() -> bool| leaves(flow, next, luck, steps + 1);
    match &flow.node(at).unwrap().kind {
        NodeKind::End { outcome, .. } => (*outcome != EndOutcome::Kept).then_some(0),
        NodeKind::Step { next, .. } => on(next, luck).map(|n| n + 1),
        NodeKind::Offer { declined, .. } if luck() => on(declined, luck).map(|n| n + 1),
        NodeKind::Offer { none, .. } => on(none, luck),
        NodeKind::Condition { branches, otherwise } => {
            let branch = &branches[0];
            if branch.when.asks_the_customer() {
                [on(&branch.next, luck), on(otherwise, luck)].into_iter().flatten().min()
            } else {
                let next = if luck() { &branch.next } else { otherwise };
                on(next, luck)
            }
        }
        NodeKind::Action(Action { next, .. }) => on(next, luck),
        NodeKind::Split(Split { arms, otherwise, .. }) => {
            let next = match (luck(), luck()) {
                (true, true) => &arms[0].1,
                (true, false) => &arms[1].1,
                _ => otherwise,
            };
            on(next, luck)
        }
        NodeKind::Wait(_) => unreachable!("nobody is made to wait before leaving"),
    }
}

proptest! {
    /// Invariant 1, on the graph's side: from every step of every published flow a customer can cancel, within the screens
    /// the flow allows itself.
    #[test]
    fn from_every_step_of_a_publishable_flow_a_customer_can_cancel(
        flow in random_graph(),
        luck in proptest::collection::vec(any::<bool>(), 64),
        most in 1_u32..10,
    ) {
        let limits = Limits { max_screens_to_cancel: most, ..flow.limits };
        let flow = WorkflowContent { limits, ..flow };
        let found = check(&flow);
        if found.has_errors() {
            return Ok(());
        }
        let lost: Vec<_> = found.into_vec().into_iter().filter(|f| f.code == "unreachable").map(|f| f.field).collect();
        for node in &flow.nodes {
            let screen = matches!(node.kind, NodeKind::Step { .. } | NodeKind::Offer { .. });
            if !screen || lost.contains(&format!("nodes[{}]", node.id)) {
                continue;
            }
            let mut at = 0;
            let mut luck = || { at += 1; luck[at % luck.len()] };
            let screens = leaves(&flow, &node.id, &mut luck, 0);
            prop_assert!(screens.is_some_and(|n| n <= most), "{screens:?} screens from {} on", node.id);
        }
    }

    /// The checks themselves end on every graph, and say the same twice.
    #[test]
    fn checks_end_and_repeat(flow in random_graph()) {
        prop_assert_eq!(check(&flow), check(&flow));
    }
}
