//! JSON and protobuf, both ways: what is written straight from bytes is what the decoded message says, and what is
//! written is read back as the same message.

use base64::Engine as _;
use gateway::edge::bind;
use gateway::edge::descriptors::{self, Body, Operation};
use gateway::edge::json::Plans;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use proptest::prelude::*;
use prost_reflect::prost::Message as _;
use prost_reflect::{
    DynamicMessage, FieldDescriptor, Kind, MapKey, MessageDescriptor, ReflectMessage, Value,
};
use serde_json::{Map, Value as Json, json};

/// Choices for a random message; shrinks towards the empty one.
struct Dice<'a>(&'a [u8], usize);

impl Dice<'_> {
    fn byte(&mut self) -> u8 {
        let byte = self.0.get(self.1).copied().unwrap_or(0);
        self.1 += 1;
        byte
    }

    fn number(&mut self) -> u64 {
        (0..8).fold(0, |n, _| n << 8 | u64::from(self.byte()))
    }

    fn text(&mut self) -> String {
        const PIECES: [&str; 10] = ["a", "Ünï", "\"", "\\", "\n", "\u{1}", "日本", "🙂", " ", "/%"];
        (0..self.byte() % 5).map(|_| PIECES[usize::from(self.byte()) % PIECES.len()]).collect()
    }
}

fn message(kind: &MessageDescriptor, dice: &mut Dice<'_>, depth: u8) -> DynamicMessage {
    let mut made = DynamicMessage::new(kind.clone());
    match kind.full_name() {
        "google.protobuf.Timestamp" => {
            made.set_field_by_name("seconds", Value::I64((dice.number() % 4_000_000_000) as i64));
            made.set_field_by_name("nanos", Value::I32((dice.number() % 1_000_000_000) as i32));
            return made;
        }
        "google.protobuf.Duration" => {
            made.set_field_by_name("seconds", Value::I64((dice.number() % 100_000) as i64));
            return made;
        }
        "google.protobuf.FieldMask" => {
            made.set_field_by_name("paths", Value::List(vec![Value::String("name".into())]));
            return made;
        }
        "google.protobuf.Value" => {
            let (name, value) = match dice.byte() % 4 {
                0 => ("bool_value", Value::Bool(true)),
                1 => ("string_value", Value::String(dice.text())),
                2 => ("number_value", Value::F64((dice.number() % 10_000) as f64 / 8.0)),
                _ => ("null_value", Value::EnumNumber(0)),
            };
            made.set_field_by_name(name, value);
            return made;
        }
        _ => {}
    }
    for field in kind.fields() {
        if dice.byte().is_multiple_of(3) || depth > 4 {
            continue;
        }
        // One of a oneof.
        if field.containing_oneof().is_some_and(|o| o.fields().any(|f| made.has_field(&f))) {
            continue;
        }
        let value = if field.is_map() {
            let Kind::Message(entry) = field.kind() else { unreachable!() };
            let value = single(&entry.map_entry_value_field(), dice, depth);
            Value::Map([(MapKey::String(dice.text()), value)].into())
        } else if field.is_list() {
            Value::List((0..dice.byte() % 3).map(|_| single(&field, dice, depth)).collect())
        } else {
            single(&field, dice, depth)
        };
        made.set_field(&field, value);
    }
    made
}

fn single(field: &FieldDescriptor, dice: &mut Dice<'_>, depth: u8) -> Value {
    match field.kind() {
        Kind::Bool => Value::Bool(dice.byte() % 2 == 1),
        Kind::String => Value::String(dice.text()),
        Kind::Bytes => Value::Bytes(dice.text().into()),
        Kind::Double => Value::F64(f64::from(dice.number() as i16) / 8.0),
        Kind::Float => Value::F32(f32::from(dice.byte()) / 4.0),
        Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 => Value::I32(dice.number() as i32),
        Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 => Value::I64(dice.number() as i64),
        Kind::Uint32 | Kind::Fixed32 => Value::U32(dice.number() as u32),
        Kind::Uint64 | Kind::Fixed64 => Value::U64(dice.number()),
        Kind::Enum(names) => {
            let known: Vec<_> = names.values().filter(|v| v.number() != 0).collect();
            Value::EnumNumber(known[usize::from(dice.byte()) % known.len()].number())
        }
        Kind::Message(inner) => Value::Message(message(&inner, dice, depth + 1)),
    }
}

/// What the JSON of a message is, said over the decoded message.
fn expected(message: &DynamicMessage) -> Json {
    let kind = message.descriptor();
    if kind.full_name() == "google.protobuf.Timestamp" {
        let part = |name| message.get_field_by_name(name).unwrap().into_owned();
        let at =
            jiff::Timestamp::new(part("seconds").as_i64().unwrap(), part("nanos").as_i32().unwrap()).unwrap();
        return json!(at.to_string());
    }
    if kind.full_name().starts_with("google.protobuf.") {
        return whole(serde_json::to_value(message).unwrap());
    }
    let mut fields = Map::new();
    for field in kind.fields() {
        let plain = !field.supports_presence();
        if plain || message.has_field(&field) {
            fields.insert(field.name().to_owned(), of(&field, &message.get_field(&field)));
        }
    }
    Json::Object(fields)
}

/// Free values hold numbers as doubles; one without a fraction is written as it was sent.
fn whole(json: Json) -> Json {
    match json {
        Json::Number(n) if n.as_f64().is_some_and(|n| n.fract() == 0.0) => json!(n.as_f64().unwrap() as i64),
        Json::Object(fields) => Json::Object(fields.into_iter().map(|(k, v)| (k, whole(v))).collect()),
        Json::Array(items) => items.into_iter().map(whole).collect(),
        other => other,
    }
}

fn of(field: &FieldDescriptor, value: &Value) -> Json {
    match value {
        Value::Bool(b) => json!(b),
        Value::I32(n) => json!(n),
        Value::I64(n) => json!(n),
        Value::U32(n) => json!(n),
        Value::U64(n) => json!(n),
        Value::F32(n) => json!(n),
        Value::F64(n) => json!(n),
        Value::String(s) => json!(s),
        Value::Bytes(b) => json!(base64::engine::general_purpose::STANDARD.encode(b)),
        Value::EnumNumber(n) => {
            let Kind::Enum(names) = field.kind() else { unreachable!() };
            json!(bind::short_name(&names, names.get_value(*n).unwrap().name()))
        }
        Value::Message(m) => expected(m),
        Value::List(items) => items.iter().map(|i| of(field, i)).collect(),
        Value::Map(entries) => {
            let Kind::Message(entry) = field.kind() else { unreachable!() };
            let entries = entries
                .iter()
                .map(|(k, v)| (k.as_str().unwrap().to_owned(), of(&entry.map_entry_value_field(), v)));
            Json::Object(entries.collect())
        }
    }
}

fn types() -> Vec<MessageDescriptor> {
    proto::pool()
        .all_messages()
        .filter(|m| m.full_name().starts_with("retention.") && !m.is_map_entry())
        .collect()
}

fn bodies() -> Vec<std::sync::Arc<Operation>> {
    descriptors::load().unwrap().into_iter().filter(|op| matches!(op.body, Body::Whole)).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn what_is_written_from_bytes_is_what_the_message_says(which in any::<prop::sample::Index>(), bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        let types = types();
        let kind = &types[which.index(types.len())];
        let message = message(kind, &mut Dice(&bytes, 0), 0);
        let plans = Plans::of([kind.clone()]);
        let written = plans.json(kind.full_name(), &message.encode_to_vec()).unwrap();
        let read: Json = serde_json::from_slice(&written).unwrap();
        prop_assert_eq!(read, expected(&message), "{}", kind.full_name());
    }

    #[test]
    fn what_is_written_is_read_back(which in any::<prop::sample::Index>(), bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        let bodies = bodies();
        let op = &bodies[which.index(bodies.len())];
        let mut message = message(&op.input, &mut Dice(&bytes, 0), 0);
        let mut path = op.template.description();
        for name in op.template.variables() {
            let field = op.input.get_field_by_name(name).unwrap();
            let value = message.get_field(&field).into_owned();
            let text = match (&value, field.kind()) {
                (Value::String(s), _) => utf8_percent_encode(s, NON_ALPHANUMERIC).to_string(),
                (Value::EnumNumber(n), Kind::Enum(names)) => {
                    // Zero cannot be said.
                    let n = if *n == 0 { names.values().find(|v| v.number() != 0).unwrap().number() } else { *n };
                    message.set_field(&field, Value::EnumNumber(n));
                    bind::short_name(&names, names.get_value(n).unwrap().name())
                }
                (other, _) => other.to_string(),
            };
            path = path.replace(&format!("{{{name}}}"), &text);
        }
        // A PATCH without a mask gets one: it is said here, so that nothing is added.
        if let Some(mask) = op.input.get_field_by_name("update_mask") {
            let Kind::Message(kind) = mask.kind() else { unreachable!() };
            message.set_field(&mask, Value::Message(self::message(&kind, &mut Dice(&[], 0), 0)));
        }
        let mut json = expected(&message);
        let fields = json.as_object_mut().unwrap();
        for name in op.template.variables() {
            fields.remove(name);
        }
        strip_unspecified(&mut json);
        let read = bind::request(op, &path, None, json.to_string().as_bytes());
        let read = read.map_err(|p| TestCaseError::fail(format!("{} {path} {json}: {p:?}", op.method)))?;
        prop_assert_eq!(read.encode_to_vec().len(), message.encode_to_vec().len());
        prop_assert_eq!(expected(&read), expected(&message));
    }

    #[test]
    fn damage_is_an_error_and_never_a_panic(which in any::<prop::sample::Index>(), bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let types = types();
        let kind = &types[which.index(types.len())];
        let plans = Plans::of([kind.clone()]);
        // What the decoder takes we must take as well, and the other way round we may be more lenient with strangers.
        let written = plans.json(kind.full_name(), &bytes);
        if let Ok(written) = written {
            prop_assert!(serde_json::from_slice::<Json>(&written).is_ok());
        }
    }

    #[test]
    fn no_body_and_no_query_makes_binding_panic(which in any::<prop::sample::Index>(), body in "\\PC{0,200}", query in "[a-z_.=&%0-9]{0,80}") {
        let all = descriptors::load().unwrap();
        let op = &all[which.index(all.len())];
        bind::request(op, &op.template.description(), Some(&query), body.as_bytes()).ok();
    }
}

/// An enum at zero is written as `unspecified` and is never accepted: a sender leaves it out.
fn strip_unspecified(json: &mut Json) {
    match json {
        Json::Object(fields) => {
            fields.retain(|_, v| v != "unspecified");
            fields.values_mut().for_each(strip_unspecified);
        }
        Json::Array(items) => items.iter_mut().for_each(strip_unspecified),
        _ => {}
    }
}

#[test]
fn numbers_beyond_what_a_script_holds_are_whole() {
    let kind = proto::pool().get_message_by_name("retention.common.v1.Money").unwrap();
    let mut money = DynamicMessage::new(kind.clone());
    money.set_field_by_name("minor", Value::I64(i64::MAX));
    let written = Plans::of([kind.clone()]).json(kind.full_name(), &money.encode_to_vec()).unwrap();
    assert!(String::from_utf8(written).unwrap().contains("9223372036854775807"));
}
