//! What is written is read again, and what is not known is refused with its place.

use proptest::prelude::*;

use super::file::write;
use super::file_read::{Wrong, read};
use super::model::{Branch, EndOutcome, Limits, Node, NodeKind, Reentry, Trigger, WorkflowContent};
use crate::rule::{Op, Rule, Value};

fn node(id: &str, kind: NodeKind) -> Node {
    Node { id: id.into(), name: String::new(), kind, position: None }
}

fn flow() -> WorkflowContent {
    let when = Rule::All(vec![
        Rule::Reason("too_expensive".into()),
        Rule::Not(Box::new(Rule::Region("US-CA".into()))),
        Rule::Fact { key: "tenure_months".into(), op: Op::Gte, value: Some(Value::Number(12.0)) },
    ]);
    let offer = NodeKind::Offer {
        offer_ids: vec!["off_1".into()],
        template_id: "tpl_offer".into(),
        accepted: "kept".into(),
        declined: "bye".into(),
        none: "bye".into(),
    };
    WorkflowContent {
        trigger: Trigger::CancelIntent,
        audience: Some(Rule::Persona("per_1".into())),
        start: "ask".into(),
        nodes: vec![
            node("ask", NodeKind::Step { template_id: "tpl_ask".into(), next: "which".into() }),
            node(
                "which",
                NodeKind::Condition {
                    branches: vec![Branch { when, next: "cheaper".into() }],
                    otherwise: "bye".into(),
                },
            ),
            node("cheaper", offer),
            node("kept", NodeKind::End { outcome: EndOutcome::Kept, template_id: None }),
            node("bye", NodeKind::End { outcome: EndOutcome::Canceled, template_id: Some("tpl_bye".into()) }),
        ],
        limits: Limits { max_offer_screens: 1, ..Limits::default() },
        reentry: Reentry::AfterDays(30),
        hosted_template_id: None,
        locales: vec!["en".into(), "de".into()],
    }
}

fn key(id: &str) -> String {
    id.trim_start_matches("tpl_").to_owned()
}

fn id(key: &str) -> Option<String> {
    ["ask", "offer", "bye"].contains(&key).then(|| format!("tpl_{key}"))
}

fn wrong(text: &str) -> Vec<Wrong> {
    read(text, &id).err().unwrap_or_default()
}

#[test]
fn a_file_reads_like_what_it_says() {
    insta::assert_snapshot!(write("Cancel flow", &flow(), &key).unwrap(), @r"
    # A workflow of Retention Stack. `POST /v1/workflows/import` reads it.
    workflow: Cancel flow
    trigger: cancel_intent
    audience:
      persona: per_1
    limits:
      max_offer_screens: 1
      max_screens_to_cancel: 6
      max_minutes: 120
    reentry:
      policy: after_days
      days: 30
    locales:
    - en
    - de
    start: ask
    nodes:
    - id: ask
      step:
        template: ask
        next: which
    - id: which
      condition:
        branches:
        - when:
            all:
            - reason: too_expensive
            - not:
                region: US-CA
            - fact:
                key: tenure_months
                op: gte
                value: 12.0
          next: cheaper
        otherwise: bye
    - id: cheaper
      offer:
        offers:
        - off_1
        template: offer
        accepted: kept
        declined: bye
        none: bye
    - id: kept
      end:
        outcome: kept
    - id: bye
      end:
        outcome: canceled
        template: bye
    ");
}

#[test]
fn what_was_written_is_read_again() {
    let text = write("Cancel flow", &flow(), &key).unwrap();
    assert_eq!(read(&text, &id), Ok(("Cancel flow".into(), flow())));
}

#[test]
fn what_is_not_known_is_refused_with_its_place() {
    let text = write("Cancel flow", &flow(), &key).unwrap();
    let unknown = wrong(&text.replace("    next: which", "    nexxt: which"));
    assert_eq!(unknown[0].code, "not_a_workflow");
    assert!(unknown[0].place.starts_with("line 2") && unknown[0].message.contains("nexxt"), "{unknown:?}");
    let rule = wrong(&text.replace("region: US-CA", "regoin: US-CA"));
    assert!(rule[0].message.contains("regoin") && rule[0].place.starts_with("line "), "{rule:?}");
    assert!(wrong("workflow: [")[0].place.starts_with("line"));
    assert!(!wrong(&format!("{text}colour: red\n")).is_empty());
}

#[test]
fn what_does_not_fit_is_said_all_at_once() {
    let text = write("Cancel flow", &flow(), &key).unwrap();
    let text = text.replace("template: ask", "template: nowhere").replace("op: gte", "op: exists");
    let places: Vec<_> = wrong(&text).into_iter().map(|w| (w.place, w.code)).collect();
    assert_eq!(
        places,
        [
            ("nodes[ask].step.template".to_owned(), "unknown_template"),
            ("nodes[which].condition.branches[0].when.all[2].fact.value".to_owned(), "wrong_type"),
        ]
    );
    let two =
        text.replace("  end:\n    outcome: kept\n", "  end:\n    outcome: kept\n  wait:\n    next: bye\n");
    assert!(wrong(&two).iter().any(|w| w.code == "not_one_kind" && w.place == "nodes[kept]"), "{two}");
}

#[test]
fn a_file_of_files_does_not_eat_the_memory() {
    let mut text = String::from("a: &a [x, x, x, x, x, x, x, x, x]\n");
    for (of, name) in
        ["a", "b", "c", "d", "e", "f", "g", "h"].iter().zip(["b", "c", "d", "e", "f", "g", "h", "i"])
    {
        let many = vec![format!("*{of}"); 9].join(", ");
        text.push_str(&format!("{name}: &{name} [{many}]\n"));
    }
    assert!(!wrong(&text).is_empty());
}

proptest! {
    #[test]
    fn whatever_is_sent_is_answered(text in ".{0,200}") {
        let _ = read(&text, &id);
    }
}
