//! The demo company's content, from its files through the gRPC faces of the rooms to what customers see.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::Path;

use content_svc::rule::Rule;
use content_svc::workflow::{NodeKind, Trigger};
use content_svc::{card_elements, cards, questionnaire, template, workflow};
use prost_reflect::{DynamicMessage, Kind, MessageDescriptor, ReflectMessage};
use proto::content as pb;
use proto::content::card_element_service_server::CardElementService;
use proto::content::card_service_server::CardService;
use proto::content::questionnaire_service_server::QuestionnaireService;
use proto::content::template_service_server::TemplateService;
use proto::content::workflow_service_server::WorkflowService;
use serde_json::Value;
use tonic::Request;

use crate::world::World;

/// Enum names as the wire's JSON says them, out of the short ones of the public API.
fn long_names(value: &mut Value, message: &MessageDescriptor) {
    let Value::Object(fields) = value else { return };
    for (name, value) in fields {
        let Some(field) = message.get_field_by_name(name) else { continue };
        let kind = if field.is_map() {
            let Kind::Message(entry) = field.kind() else { continue };
            entry.map_entry_value_field().kind()
        } else {
            field.kind()
        };
        let each: Vec<&mut Value> = match value {
            Value::Array(items) => items.iter_mut().collect(),
            Value::Object(entries) if field.is_map() => entries.values_mut().collect(),
            other => vec![other],
        };
        for value in each {
            match &kind {
                Kind::Message(inner) => long_names(value, inner),
                Kind::Enum(names) => {
                    let short = value.as_str().unwrap().to_uppercase();
                    let found = names.values().find(|v| v.name().ends_with(&format!("_{short}")));
                    *value = found.unwrap().name().into();
                }
                _ => {}
            }
        }
    }
}

struct Loader<'a> {
    world: &'a World,
    saved: HashMap<String, (String, i64)>,
}

impl Loader<'_> {
    fn filled(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for (name, (id, version)) in &self.saved {
            text = text.replace(&format!("\"{{{{{name}.version}}}}\""), &version.to_string());
            text = text.replace(&format!("{{{{{name}}}}}"), id);
        }
        text
    }

    /// The request as the gateway makes it: the body's fields and the id of the path, checked by the rules of the fields.
    fn request<M: prost::Message + Default>(&self, name: &str, id: Option<&str>, body: &Value) -> Request<M> {
        let descriptor = proto::pool().get_message_by_name(&format!("retention.content.v1.{name}")).unwrap();
        let mut body = body.clone();
        if let Some(id) = id {
            body["id"] = id.into();
        }
        long_names(&mut body, &descriptor);
        let message = DynamicMessage::deserialize(descriptor, body).unwrap();
        assert_eq!(proto::check::violations(&message).unwrap(), [], "{name}");
        let mut request = Request::new(message.transcode_to().unwrap());
        request.extensions_mut().insert(std::sync::Arc::new(self.world.admin.clone()));
        request
    }

    async fn call(&mut self, step: &Value) {
        let path = step["path"].as_str().unwrap().to_owned();
        let parts: Vec<&str> = path.trim_start_matches("/v1/").split('/').collect();
        let (body, id) = (&step["body"], parts.get(1).copied());
        let rooms = self.world.rooms.clone();
        let elements = card_elements::rpc::Rpc { room: rooms.elements.clone(), cards: rooms.cards.clone() };
        let (questionnaires, cards) =
            (questionnaire::rpc::Rpc(rooms.questionnaires.clone()), cards::rpc::Rpc(rooms.cards.clone()));
        let (runs, _) = self.world.runs(Default::default()).await;
        let (templates, workflows) =
            (template::rpc::Rpc(rooms.templates.clone()), workflow::rpc::Rpc(rooms.workflows.clone(), runs));
        macro_rules! call {
            ($room:ident . $rpc:ident, $name:literal) => {{
                let reply = $room.$rpc(self.request($name, id, body)).await;
                let reply = reply.unwrap_or_else(|e| panic!("{path}: {e:?}")).into_inner();
                (reply.id.clone(), reply.version)
            }};
        }
        let answer = match (parts[0], id.is_some()) {
            ("questionnaires", false) => {
                call!(questionnaires.create_questionnaire, "CreateQuestionnaireRequest")
            }
            ("questionnaires", true) => call!(questionnaires.publish_questionnaire, "PublishContentRequest"),
            ("card-elements", _) => call!(elements.create_card_element, "CreateCardElementRequest"),
            ("cards", false) => call!(cards.create_card, "CreateCardRequest"),
            ("cards", true) => call!(cards.publish_card, "PublishContentRequest"),
            ("templates", false) => call!(templates.create_template, "CreateTemplateRequest"),
            ("templates", true) => call!(templates.publish_template, "PublishContentRequest"),
            ("workflows", false) => call!(workflows.create_workflow, "CreateWorkflowRequest"),
            ("workflows", true) => call!(workflows.publish_workflow, "PublishContentRequest"),
            other => panic!("no room for {other:?}"),
        };
        self.saved.insert(step["save_as"].as_str().unwrap().to_owned(), answer);
    }
}

async fn load(world: &World) -> HashMap<String, (String, i64)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../demo/content");
    let mut files: Vec<_> = fs::read_dir(folder).unwrap().map(|e| e.unwrap().path()).collect();
    files.sort();
    let known =
        ["discount_20", "pause_2_months", "lite_plan", "technician_calls"].map(|o| format!("offers.{o}"));
    let mut saved: HashMap<_, _> = known.into_iter().map(|o| (o, ("off_good".to_owned(), 1))).collect();
    // Offers need ids of their own: a card shows one of them.
    for (name, (id, _)) in &mut saved {
        *id = format!("off_{}", name.trim_start_matches("offers."));
    }
    for persona in ["new_fibre", "committed", "heavy_user", "phone_only"] {
        saved.insert(format!("personas.{persona}"), (format!("per_{persona}"), 1));
    }
    let mut loader = Loader { world, saved };
    for file in files {
        let steps: Vec<Value> = serde_json::from_str(&fs::read_to_string(file).unwrap()).unwrap();
        for step in steps {
            let step = serde_json::from_str(&loader.filled(&step.to_string())).unwrap();
            loader.call(&step).await;
        }
    }
    loader.saved
}

#[tokio::test]
async fn the_demo_content_is_published_with_four_reasons_and_four_offers() {
    let w = World::new().await;
    load(&w).await;
    let served = w.rooms.workflows.published(w.scope(), Trigger::CancelIntent).await.unwrap();
    let flow = &served[0].frozen.content;
    let mut reasons = BTreeMap::new();
    for node in &flow.nodes {
        if let NodeKind::Condition { branches, .. } = &node.kind {
            for branch in branches {
                if let (Rule::Reason(reason), Some(NodeKind::Offer { offer_ids, .. })) =
                    (&branch.when, flow.node(&branch.next).map(|n| &n.kind))
                {
                    reasons.insert(reason.as_str(), offer_ids[0].as_str());
                }
            }
        }
    }
    let expected = [
        ("more_than_needed", "off_lite_plan"),
        ("not_using", "off_pause_2_months"),
        ("technical_issues", "off_technician_calls"),
        ("too_expensive", "off_discount_20"),
    ];
    assert_eq!(reasons, BTreeMap::from(expected));
    let said = w.rooms.workflows.validate(&w.admin, &served[0].id).await.unwrap();
    assert!(said.into_vec().is_empty(), "every text is there in English and German");
}

/// The public form of what is published: a change here is a change for everybody who reads it.
#[tokio::test]
async fn a_published_card_reads_as_it_always_did() {
    let w = World::new().await;
    let saved = load(&w).await;
    let room = cards::rpc::Rpc(w.rooms.cards.clone());
    let asked = pb::GetContentRequest { id: saved["cards.value"].0.clone(), published: true, number: 0 };
    let mut request = Request::new(asked);
    request.extensions_mut().insert(std::sync::Arc::new(w.admin.clone()));
    let card = room.get_card(request).await.unwrap().into_inner();
    let descriptor = proto::pool().get_message_by_name("retention.content.v1.Card").unwrap();
    let mut message = DynamicMessage::new(descriptor);
    message.transcode_from(&card).unwrap();
    assert_eq!(message.descriptor().name(), "Card");
    let options =
        prost_reflect::SerializeOptions::new().use_proto_field_name(true).stringify_64_bit_integers(false);
    let mut json = Vec::new();
    message.serialize_with_options(&mut serde_json::Serializer::new(&mut json), &options).unwrap();
    let json: Value = serde_json::from_slice(&json).unwrap();
    insta::assert_json_snapshot!("published_card", json, {
        ".id" => "[id]",
        ".created_at" => "[time]",
        ".updated_at" => "[time]",
        ".published.hash" => "[hash]",
        ".published.published_at" => "[time]",
        ".content.elements[].element.id" => "[id]",
    });
}

/// The gateway reads the examples of messages at its start; one that does not fit would stop it.
#[test]
fn every_example_fits_its_message() {
    let example = proto::pool().get_extension_by_name("edge.v1.example").unwrap();
    let mut seen = 0;
    for message in proto::pool().all_messages().filter(|m| m.package_name() == "retention.content.v1") {
        let options = message.options();
        if !options.has_extension(&example) {
            continue;
        }
        let text = options.get_extension(&example).as_str().unwrap().to_owned();
        let mut json = serde_json::from_str(&text).unwrap_or_else(|e| panic!("{}: {e}", message.full_name()));
        long_names(&mut json, &message);
        DynamicMessage::deserialize(message.clone(), json)
            .unwrap_or_else(|e| panic!("{}: {e}", message.full_name()));
        seen += 1;
    }
    assert!(seen >= 5);
}
