//! One of everything, from the wire through the database and back: what is sent is what is read.

use std::collections::HashMap;
use std::sync::Arc;

use content_svc::{cards, questionnaire, template, workflow};
use kit::{Caller, Role};
use proto::common::LocalText;
use proto::content as pb;
use proto::content::card_service_server::CardService;
use proto::content::element::Props;
use proto::content::questionnaire_service_server::QuestionnaireService;
use proto::content::rule::Kind as Case;
use proto::content::template_service_server::TemplateService;
use proto::content::workflow_node::Kind;
use proto::content::workflow_service_server::WorkflowService;
use tonic::Request;

use crate::world::{World, person};

fn text(words: &str) -> LocalText {
    let texts = HashMap::from([("en".into(), words.into()), ("zh-Hant-TW".into(), "留下".into())]);
    LocalText { default_locale: "en".into(), texts }
}

fn by<T>(caller: &Caller, message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.extensions_mut().insert(Arc::new(caller.clone()));
    request
}

fn rule(kind: Case) -> pb::Rule {
    pb::Rule { kind: Some(kind) }
}

fn value(kind: prost_types::value::Kind) -> Option<prost_types::Value> {
    Some(prost_types::Value { kind: Some(kind) })
}

/// A rule with every case in it.
fn every_rule() -> pb::Rule {
    use prost_types::value::Kind::{BoolValue, ListValue, NumberValue, StringValue};
    let fact = |op: pb::RuleOp, value| {
        rule(Case::Fact(pb::FactRule { key: "tenure_months".into(), op: op.into(), value }))
    };
    let list = [1.0, 2.5].map(|n| prost_types::Value { kind: Some(NumberValue(n)) });
    let rules = vec![
        rule(Case::Persona("per_1".into())),
        rule(Case::Region("US-CA".into())),
        rule(Case::Reason("too_expensive".into())),
        rule(Case::Not(Box::new(fact(pb::RuleOp::Exists, None)))),
        fact(pb::RuleOp::Lt, value(NumberValue(12.0))),
        fact(pb::RuleOp::In, value(ListValue(prost_types::ListValue { values: list.to_vec() }))),
        fact(pb::RuleOp::Eq, value(BoolValue(true))),
        rule(Case::Answer(pb::AnswerRule {
            question: "reason".into(),
            op: pb::RuleOp::Eq.into(),
            value: value(StringValue("price".into())),
        })),
        rule(Case::Any(pb::RuleList { rules: vec![] })),
    ];
    rule(Case::All(pb::RuleList { rules }))
}

fn every_element() -> Vec<pb::Element> {
    let some = || Some(text("Stay"));
    let column =
        |current| pb::PlanColumn { name: some(), price: some(), features: vec![text("Fast")], current };
    let props = vec![
        Props::Heading(pb::HeadingElement { text: some(), level: 3 }),
        Props::Text(pb::TextElement { text: some() }),
        Props::Image(pb::ImageElement {
            url: "https://example.com/a.png".into(),
            alt: some(),
            ..Default::default()
        }),
        Props::Image(pb::ImageElement { media_id: "med_1".into(), ..Default::default() }),
        Props::Button(pb::ButtonElement {
            label: some(),
            action: pb::ButtonAction::Link.into(),
            url: "https://example.com".into(),
        }),
        Props::List(pb::ListElement { items: vec![text("One")], ordered: true }),
        Props::Divider(pb::DividerElement {}),
        Props::Countdown(pb::CountdownElement {
            label: some(),
            until: Some(prost_types::Timestamp { seconds: 1_900_000_000, nanos: 5_000_000 }),
            attribute: String::new(),
        }),
        Props::UsageStat(pb::UsageStatElement {
            attribute: "exports_30d".into(),
            format: pb::ValueFormat::Percent.into(),
            label: some(),
            fallback: some(),
            min: Some(0.25),
        }),
        Props::Testimonial(pb::TestimonialElement { quote: some(), author: "Ada".into(), role: some() }),
        Props::OfferSlot(pb::OfferSlotElement { accept_label: some(), decline_label: None }),
        Props::QuestionSlot(pb::QuestionSlotElement { question: "reason".into() }),
        Props::PlanCompare(pb::PlanCompareElement { plans: vec![column(true), column(false)] }),
        Props::Html(pb::HtmlElement { html: some() }),
        Props::Element(Box::new(pb::ElementRef { id: "cel_1".into(), copy: None })),
    ];
    let elements = props.into_iter().enumerate().map(|(i, props)| pb::Element {
        key: format!("piece-{i}"),
        props: Some(props),
        visible_if: (i == 0).then(every_rule),
        style: HashMap::from([("align".into(), "center".into())]),
    });
    elements.collect()
}

#[tokio::test]
async fn a_card_of_every_piece_is_read_as_it_was_sent() {
    let w = World::new().await;
    let operator = person(Role::KaleAdmin, "com_1", kit::Mode::Live);
    let content = pb::CardContent {
        kind: pb::CardKind::Offer.into(),
        elements: every_element(),
        persona_ids: vec!["per_1".into()],
        offer_id: "off_1".into(),
        questionnaire_id: "qst_1".into(),
        variables: vec![pb::Variable {
            key: "name".into(),
            attribute: "customer_name".into(),
            format: pb::ValueFormat::Text.into(),
            fallback: Some(text("there")),
        }],
        locales: vec!["en".into(), "zh-Hant-TW".into()],
    };
    let room = cards::rpc::Rpc(w.rooms.cards.clone());
    let create = pb::CreateCardRequest {
        name: "All".into(),
        access: pb::CardAccess::Private.into(),
        tags: vec!["a".into()],
        content: Some(content.clone()),
    };
    let made = room.create_card(by(&operator, create)).await.unwrap().into_inner();
    let asked = pb::GetContentRequest { id: made.id.clone(), ..Default::default() };
    let read = room.get_card(by(&w.admin, asked)).await.unwrap().into_inner();
    assert_eq!(read.content.as_ref(), Some(&content));
    assert_eq!(read, made);

    let mask = |paths: &[&str]| {
        Some(prost_types::FieldMask { paths: paths.iter().map(|p| (*p).to_owned()).collect() })
    };
    let update = pb::UpdateCardRequest {
        id: made.id.clone(),
        version: 1,
        name: Some("Renamed".into()),
        update_mask: mask(&["version", "name"]),
        ..Default::default()
    };
    let named = room.update_card(by(&w.admin, update)).await.unwrap().into_inner();
    assert_eq!((named.name.as_str(), &named.tags, named.access), ("Renamed", &made.tags, made.access));
    let update = pb::UpdateCardRequest {
        id: made.id,
        version: named.version,
        update_mask: mask(&["version", "tags"]),
        ..Default::default()
    };
    let cleared = room.update_card(by(&w.admin, update)).await.unwrap().into_inner();
    assert!(cleared.tags.is_empty() && cleared.content == Some(content), "only what was named changes");
}

#[tokio::test]
async fn a_questionnaire_of_every_type_is_read_as_it_was_sent() {
    let w = World::new().await;
    let question = |key: &str, kind: pb::QuestionType| pb::Question {
        key: key.into(),
        r#type: kind.into(),
        text: Some(text("Why?")),
        help: Some(text("A word is enough")),
        choices: vec![pb::Choice {
            key: "price".into(),
            label: Some(text("Too much")),
            reason_category: "too_expensive".into(),
            show_if: Some(every_rule()),
        }],
        shuffle: true,
        required: true,
        min_length: 10,
        scale_min: 0,
        scale_max: 10,
        show_if: Some(every_rule()),
    };
    let content = pb::QuestionnaireContent {
        kind: pb::QuestionnaireKind::FollowUp.into(),
        title: Some(text("Before you go")),
        questions: vec![
            question("a", pb::QuestionType::Single),
            question("b", pb::QuestionType::Multi),
            question("c", pb::QuestionType::Text),
            question("d", pb::QuestionType::Scale),
            question("e", pb::QuestionType::Date),
        ],
        locales: vec!["en".into()],
    };
    let room = questionnaire::rpc::Rpc(w.rooms.questionnaires.clone());
    let create = pb::CreateQuestionnaireRequest { name: "All".into(), content: Some(content.clone()) };
    let made = room.create_questionnaire(by(&w.admin, create)).await.unwrap().into_inner();
    let asked = pb::GetContentRequest { id: made.id, ..Default::default() };
    let read = room.get_questionnaire(by(&w.admin, asked)).await.unwrap().into_inner();
    assert_eq!(read.content, Some(content));
}

#[tokio::test]
async fn a_template_and_a_graph_of_every_node_are_read_as_they_were_sent() {
    let w = World::new().await;
    let content = pb::TemplateContent {
        kind: pb::TemplateKind::FlowPage.into(),
        layout: pb::TemplateLayout::Split.into(),
        title: Some(text("Before you go")),
        theme: HashMap::from([("accent".into(), "#0b5fff".into())]),
        places: vec![pb::Place { name: "side".into(), card_ids: vec!["crd_1".into()] }],
        variables: vec![],
        locales: vec!["en".into()],
    };
    let room = template::rpc::Rpc(w.rooms.templates.clone());
    let create =
        pb::CreateTemplateRequest { key: "all".into(), name: "All".into(), content: Some(content.clone()) };
    let made = room.create_template(by(&w.admin, create.clone())).await.unwrap().into_inner();
    let asked = pb::GetContentRequest { id: made.id, ..Default::default() };
    let read = room.get_template(by(&w.admin, asked)).await.unwrap().into_inner();
    assert_eq!(read.content, Some(content));
    let twice = room.create_template(by(&w.admin, create)).await.unwrap_err();
    assert_eq!(kit::error::said(&twice).slug, "already_exists");

    let to = || "end".to_owned();
    let kinds = vec![
        Kind::Step(pb::StepNode { template_id: "tpl_1".into(), next: to() }),
        Kind::Condition(pb::ConditionNode {
            branches: vec![pb::Branch { when: Some(every_rule()), next: to() }],
            otherwise: to(),
        }),
        Kind::Offer(pb::OfferNode {
            offer_ids: vec!["off_1".into()],
            template_id: "tpl_1".into(),
            accepted: to(),
            declined: to(),
            none: to(),
        }),
        Kind::End(pb::EndNode { outcome: pb::EndOutcome::Manual.into(), template_id: "tpl_1".into() }),
        Kind::Action(pb::ActionNode { action: "ticket".into(), next: to(), ..Default::default() }),
        Kind::Action(pb::ActionNode {
            action: "mail".into(),
            next: to(),
            mail: Some(pb::MailAction {
                subject: Some(text("Hello")),
                body: Some(text("There")),
                link: "https://example.com".into(),
                variables: vec![pb::Variable {
                    key: "plan".into(),
                    attribute: "plan".into(),
                    format: pb::ValueFormat::Text.into(),
                    fallback: Some(text("your plan")),
                }],
            }),
            tag: None,
        }),
        Kind::Action(pb::ActionNode {
            action: "tag".into(),
            next: to(),
            mail: None,
            tag: Some(pb::TagAction { add: vec!["a".into()], remove: vec!["b".into()] }),
        }),
        Kind::Split(pb::SplitNode {
            experiment_id: "exp_1".into(),
            arms: HashMap::from([("a".into(), to()), ("b".into(), to())]),
            otherwise: to(),
            weights: HashMap::from([("a".into(), 3), ("b".into(), 1)]),
        }),
        Kind::Wait(pb::WaitNode { hours: 2, event: "payment.recovered".into(), next: to(), late: to() }),
    ];
    let nodes = kinds.into_iter().enumerate().map(|(i, kind)| pb::WorkflowNode {
        id: format!("n{i}"),
        name: "Node".into(),
        kind: Some(kind),
        position: Some(pb::NodePosition { x: -3, y: 4 }),
    });
    let content = pb::WorkflowContent {
        trigger: pb::WorkflowTrigger::PauseEnding.into(),
        audience: Some(every_rule()),
        start: "n0".into(),
        nodes: nodes.collect(),
        limits: Some(pb::WorkflowLimits {
            max_offer_screens: 1,
            max_screens_to_cancel: 3,
            max_minutes: 60,
            max_days: 7,
        }),
        reentry: Some(pb::Reentry { policy: pb::ReentryPolicy::AfterDays.into(), days: 30 }),
        hosted_template_id: "tpl_2".into(),
        locales: vec!["en".into()],
    };
    let room = workflow::rpc::Rpc(w.rooms.workflows.clone(), w.runs(Arc::default()).await.0);
    let create = pb::CreateWorkflowRequest { name: "All".into(), content: Some(content.clone()) };
    let made = room.create_workflow(by(&w.admin, create)).await.unwrap().into_inner();
    let asked = pb::GetContentRequest { id: made.id, ..Default::default() };
    let read = room.get_workflow(by(&w.admin, asked)).await.unwrap().into_inner();
    assert_eq!(read.content, Some(content));
}

#[tokio::test]
async fn what_cannot_be_meant_is_refused_with_its_place() {
    let w = World::new().await;
    let room = cards::rpc::Rpc(w.rooms.cards.clone());
    let refused = async |element: pb::Element| {
        let content = pb::CardContent {
            kind: pb::CardKind::Value.into(),
            elements: vec![element],
            ..Default::default()
        };
        let create =
            pb::CreateCardRequest { name: "No".into(), content: Some(content), ..Default::default() };
        let said = kit::error::said(&room.create_card(by(&w.admin, create)).await.unwrap_err());
        said.fields[0].field.clone()
    };
    let of = |props| pb::Element { props: Some(props), ..Default::default() };
    assert_eq!(refused(pb::Element::default()).await, "content.elements[0]");
    let mut wrong = text("Stay");
    wrong.texts.insert("a.b".into(), "a locale with a dot would be a path in the database".into());
    let heading = Props::Heading(pb::HeadingElement { text: Some(wrong), level: 0 });
    assert_eq!(refused(of(heading)).await, "content.elements[0].heading.text");
    let deep = (0..9).fold(rule(Case::Persona("per_1".into())), |r, _| rule(Case::Not(Box::new(r))));
    let shown = pb::Element { visible_if: Some(deep), ..of(Props::Divider(pb::DividerElement {})) };
    assert!(refused(shown).await.starts_with("content.elements[0].visible_if.not"));
}
