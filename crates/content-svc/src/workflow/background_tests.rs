//! What the checks say of workflows that run with nobody looking on, and of what actions, splits and waits hold.

use kit::locale::LocalText;

use super::graph::check;
use super::graph_tests::{action, condition, end, known, node, split, step, wait, workflow};
use super::model::*;
use super::node::{Action, Mail, Split, Wait};
use crate::text::{Findings, Format, Variable};

fn background(nodes: Vec<Node>) -> WorkflowContent {
    WorkflowContent { trigger: Trigger::PaymentFailed, ..workflow(nodes) }
}

fn codes(found: Findings) -> Vec<(&'static str, String)> {
    found.into_vec().into_iter().map(|f| (f.code, f.field)).collect()
}

fn one(code: &'static str, field: &str) -> Vec<(&'static str, String)> {
    vec![(code, field.to_owned())]
}

fn mail(mail: Mail) -> Vec<Node> {
    let kind = Action { action: "mail".into(), mail: Some(mail), tag: None, next: "kept".into() };
    vec![node("ask", NodeKind::Action(kind)), end("kept", EndOutcome::Kept)]
}

fn words(text: &str) -> Mail {
    let variable = Variable {
        key: "plan".into(),
        attribute: "plan".into(),
        format: Format::Text,
        fallback: LocalText::of("en", "your plan"),
    };
    Mail {
        subject: LocalText::of("en", "Your payment"),
        body: LocalText::of("en", text),
        link: String::new(),
        variables: vec![variable],
    }
}

#[test]
fn a_circle_goes_through_a_wait_or_not_at_all() {
    let again = |through: Node| {
        vec![
            action("tag", "which"),
            condition("which", known(), "kept", "again"),
            through,
            end("kept", EndOutcome::Kept),
        ]
    };
    assert_eq!(codes(check(&background(again(wait("again", 24, "", "tag"))))), []);
    let found = check(&background(again(split("again", "tag", "kept", "kept"))));
    assert!(found.has("circle"), "{found:?}");
    // One wait on the way does not excuse a circle beside it.
    let beside = vec![
        wait("day", 24, "", "tag"),
        action("tag", "which"),
        condition("which", known(), "kept", "tag"),
        end("kept", EndOutcome::Kept),
    ];
    assert!(check(&background(beside)).has("circle"));
    let before_leaving = vec![
        condition("which", known(), "bye", "again"),
        wait("again", 24, "", "which"),
        end("bye", EndOutcome::Canceled),
    ];
    assert!(check(&workflow(before_leaving)).has("circle"));
}

#[test]
fn what_goes_round_must_have_a_way_out() {
    let round = vec![
        condition("which", known(), "kept", "tag"),
        action("tag", "day"),
        wait("day", 24, "", "tag"),
        end("kept", EndOutcome::Kept),
    ];
    let found: Vec<_> = codes(check(&background(round))).into_iter().map(|(_, field)| field).collect();
    assert_eq!(found, ["nodes[day]", "nodes[tag]"], "the other way reaches an end");
}

#[test]
fn nobody_looks_on_in_the_background() {
    let of = |nodes: Vec<Node>| codes(check(&background(nodes)));
    let shown = vec![step("ask", "kept"), end("kept", EndOutcome::Kept)];
    assert_eq!(of(shown), one("nobody_looks_on", "nodes[ask]"));
    let cancels = vec![action("tag", "bye"), end("bye", EndOutcome::Canceled)];
    assert_eq!(of(cancels), one("nobody_looks_on", "nodes[bye]"));
    let asked = crate::rule::Rule::Reason("too_expensive".into());
    let answers = vec![condition("which", asked, "kept", "kept"), end("kept", EndOutcome::Kept)];
    assert_eq!(of(answers), one("nobody_looks_on", "nodes[which]"));
}

#[test]
fn an_action_says_what_it_does_and_can_be_carried_out() {
    let of = |action: Action| {
        let nodes = vec![node("do", NodeKind::Action(action)), end("kept", EndOutcome::Kept)];
        codes(check(&background(nodes)))
    };
    let named = |action: &str| Action { action: action.into(), next: "kept".into(), ..Action::default() };
    for kind in ["ticket", "slack", "webhook"] {
        assert_eq!(of(named(kind)), one("action_not_supported", "nodes[do].action.action"));
    }
    assert_eq!(of(named("dance")), one("unknown_action", "nodes[do].action.action"));
    assert_eq!(of(named("mail")), one("required", "nodes[do].action.mail"));
    assert_eq!(of(named("tag")), one("required", "nodes[do].action.tag"));
    assert_eq!(codes(check(&background(mail(words("Dear customer of {{plan}},\n\npay."))))), []);
    let unknown = codes(check(&background(mail(words("Dear {{iban}}")))));
    assert_eq!(unknown, one("unknown_variable", "nodes[ask].action.mail.body"));
    for link in ["http://pay.example", "javascript:alert(1)", "https:///x"] {
        let found = check(&background(mail(Mail { link: link.into(), ..words("Pay") })));
        assert_eq!(codes(found), one("not_https", "nodes[ask].action.mail.link"));
    }
}

#[test]
fn a_split_has_an_arm_to_draw_and_a_wait_an_end() {
    let of = |kind: NodeKind| codes(check(&background(vec![node("n", kind), end("kept", EndOutcome::Kept)])));
    let split = |weights: &[(&str, u32)]| {
        let arms = vec![("blue".into(), "kept".into())];
        let weights = weights.iter().map(|(arm, weight)| ((*arm).into(), *weight)).collect();
        of(NodeKind::Split(Split { arms, weights, otherwise: "kept".into(), ..Split::default() }))
    };
    assert_eq!(split(&[]), []);
    assert_eq!(split(&[("blue", 0)]), one("no_arms", "nodes[n].split.arms"));
    assert_eq!(split(&[("blue", 1), ("red", 1)]), one("unknown_arm", "nodes[n].split.weights[red]"));
    let wait = |hours, event: &str, late: Option<&str>| {
        let (event, late) = (event.into(), late.map(str::to_owned));
        of(NodeKind::Wait(Wait { hours, event, next: "kept".into(), late }))
    };
    for event in ["payment.recovered", "subscription.active", "flow.session.saved"] {
        assert_eq!(wait(0, event, None), []);
    }
    assert_eq!(wait(24, "persona.left", Some("kept")), []);
    assert_eq!(wait(0, "", None), one("required", "nodes[n].wait.hours"));
    assert_eq!(wait(1, "subscription.happy", None), one("unknown_event", "nodes[n].wait.event"));
    assert_eq!(wait(0, "persona.left", Some("kept")), one("never_late", "nodes[n].wait.late"));
}

#[test]
fn a_file_holds_all_that_actions_splits_and_waits_hold() {
    let split = Split {
        experiment_id: "exp_1".into(),
        arms: vec![("blue".into(), "day".into()), ("green".into(), "kept".into())],
        otherwise: "kept".into(),
        weights: vec![("blue".into(), 3), ("green".into(), 1)],
    };
    let wait =
        Wait { hours: 24, event: "persona.left".into(), next: "kept".into(), late: Some("tag".into()) };
    let mut nodes =
        vec![node("draw", NodeKind::Split(split)), node("day", NodeKind::Wait(wait)), action("tag", "ask")];
    nodes.extend(mail(Mail { link: "https://pay.example/now".into(), ..words("Dear {{plan}}") }));
    let flow = WorkflowContent { limits: Limits { max_days: 7, ..Limits::default() }, ..background(nodes) };
    assert_eq!(codes(check(&flow)), []);
    let text = super::file::write("Dunning", &flow, &str::to_owned).unwrap();
    let read = super::file_read::read(&text, &|key| Some(key.to_owned()));
    assert_eq!(read, Ok(("Dunning".into(), flow)), "{text}");
}
