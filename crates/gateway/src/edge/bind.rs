//! From HTTP to a message: query, then body, then path, the later winning. What the message does not know is refused
//! by name: a typo in a filter must not widen a result, nor one in a body be lost.

use kit::error::FieldError;
use prost_reflect::{
    DynamicMessage, EnumDescriptor, FieldDescriptor, Kind, MapKey, MessageDescriptor, ReflectMessage, Value,
};
use serde_json::Value as Json;

use super::descriptors::{Body, Operation};
use super::problem::Problem;

/// How deep JSON may be nested: deeper than any message of ours, far from what exhausts a stack.
const DEEPEST: usize = 60;

/// Reads a request into the operation's message.
pub fn request(
    op: &Operation,
    path: &str,
    query: Option<&str>,
    body: &[u8],
) -> Result<DynamicMessage, Problem> {
    let mut message = DynamicMessage::new(op.input.clone());
    let mut wrong = Vec::new();
    read_query(&mut message, query.unwrap_or_default(), &mut wrong);
    read_body(op, &mut message, body, &mut wrong)?;
    let values = op
        .template
        .values(path)
        .ok_or_else(|| Problem::bad_request("invalid_path", "the path is no UTF-8"))?;
    for (name, text) in values {
        if let Some(field) = op.input.get_field_by_name(name) {
            match scalar(&field.kind(), &text) {
                Some(value) => message.set_field(&field, value),
                None => wrong.push(FieldError::new(name, "invalid_value", "is not a value of this field")),
            }
        }
    }
    if wrong.is_empty() { Ok(message) } else { Err(Problem::fields(wrong)) }
}

/// Reads a message out of a query alone: for operations whose reply is a stream.
pub fn query<T: prost::Message + Default>(name: &str, query: Option<&str>) -> Result<T, Problem> {
    let failed = || Problem::new(500, "internal", "something failed on our side");
    let mut message = DynamicMessage::new(proto::pool().get_message_by_name(name).ok_or_else(failed)?);
    let mut wrong = Vec::new();
    read_query(&mut message, query.unwrap_or_default(), &mut wrong);
    let broken = proto::check::violations(&message).map_err(|_| failed())?;
    wrong.extend(broken.into_iter().map(|(field, code, text)| FieldError::new(field, code, text)));
    if wrong.is_empty() { message.transcode_to().map_err(|_| failed()) } else { Err(Problem::fields(wrong)) }
}

fn read_body(
    op: &Operation,
    message: &mut DynamicMessage,
    body: &[u8],
    wrong: &mut Vec<FieldError>,
) -> Result<(), Problem> {
    let descriptor = match &op.body {
        Body::None if body.is_empty() => return Ok(()),
        Body::None => return Err(Problem::bad_request("unexpected_body", "this operation takes no body")),
        Body::Whole => op.input.clone(),
        Body::Field(field) => match field.kind() {
            Kind::Message(inner) => inner,
            _ => return Ok(()),
        },
    };
    // No body is an empty object: actions without words are posted so.
    let json: Json = if body.is_empty() {
        Json::Object(serde_json::Map::new())
    } else {
        serde_json::from_slice(body)
            .map_err(|e| Problem::bad_request("invalid_json", format!("the body is no JSON: {e}")))?
    };
    let Json::Object(fields) = &json else {
        return Err(Problem::bad_request("invalid_json", "the body is no JSON object"));
    };
    match &op.body {
        Body::Field(field) => {
            let mut inner = DynamicMessage::new(descriptor);
            fill(&mut inner, fields, "", 0, wrong);
            message.set_field(field, Value::Message(inner));
        }
        _ => {
            fill(message, fields, "", 0, wrong);
            fill_mask(op, message, fields);
        }
    }
    Ok(())
}

/// A PATCH that does not say which fields it means, means those it names.
fn fill_mask(op: &Operation, message: &mut DynamicMessage, body: &serde_json::Map<String, Json>) {
    let Some(mask) = op.input.get_field_by_name("update_mask") else { return };
    let Kind::Message(kind) = mask.kind() else { return };
    if op.method != http::Method::PATCH || message.has_field(&mask) {
        return;
    }
    let named = body.keys().filter(|k| !matches!(k.as_str(), "id" | "version" | "update_mask"));
    let paths = named.map(|k| Value::String(k.clone())).collect();
    let mut value = DynamicMessage::new(kind);
    value.set_field_by_name("paths", Value::List(paths));
    message.set_field(&mask, Value::Message(value));
}

fn read_query(message: &mut DynamicMessage, query: &str, wrong: &mut Vec<FieldError>) {
    for (key, text) in form_urlencoded::parse(query.as_bytes()) {
        set_path(message, &key, &key, &text, wrong);
    }
}

/// Sets `a.b=text`; a key that stands again fills a list.
fn set_path(message: &mut DynamicMessage, key: &str, whole: &str, text: &str, wrong: &mut Vec<FieldError>) {
    let descriptor = message.descriptor();
    let (head, rest) = key.split_once('.').map_or((key, None), |(head, rest)| (head, Some(rest)));
    let Some(field) = descriptor.get_field_by_name(head) else {
        wrong.push(FieldError::new(whole, "unknown_field", "is not a parameter of this operation"));
        return;
    };
    let mut refuse =
        || wrong.push(FieldError::new(whole, "invalid_value", "is not a value of this parameter"));
    match (field.kind(), rest) {
        (Kind::Message(inner), Some(rest)) if !field.is_list() && !field.is_map() => {
            if !message.has_field(&field) {
                message.set_field(&field, Value::Message(DynamicMessage::new(inner)));
            }
            if let Value::Message(inner) = message.get_field_mut(&field) {
                set_path(inner, rest, whole, text, wrong);
            }
        }
        (_, Some(_)) => refuse(),
        (kind, None) if field.is_list() => match scalar(&kind, text) {
            Some(value) => {
                if let Value::List(list) = message.get_field_mut(&field) {
                    list.push(value);
                }
            }
            None => refuse(),
        },
        (kind, None) if !field.is_map() => match scalar(&kind, text) {
            Some(value) => message.set_field(&field, value),
            None => refuse(),
        },
        _ => refuse(),
    }
}

/// A value from plain text, as paths and queries have it.
fn scalar(kind: &Kind, text: &str) -> Option<Value> {
    Some(match kind {
        Kind::String => Value::String(text.to_owned()),
        Kind::Bool => Value::Bool(text.parse().ok()?),
        Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 => Value::I32(text.parse().ok()?),
        Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 => Value::I64(text.parse().ok()?),
        Kind::Uint32 | Kind::Fixed32 => Value::U32(text.parse().ok()?),
        Kind::Uint64 | Kind::Fixed64 => Value::U64(text.parse().ok()?),
        Kind::Float => Value::F32(text.parse().ok().filter(|f: &f32| f.is_finite())?),
        Kind::Double => Value::F64(text.parse().ok().filter(|f: &f64| f.is_finite())?),
        Kind::Enum(names) => Value::EnumNumber(number_of(names, text)?),
        Kind::Bytes => return None,
        Kind::Message(m) => well_known(m, &Json::String(text.to_owned()))?,
    })
}

/// An enum's number by its short lower-case name.
pub fn number_of(names: &EnumDescriptor, text: &str) -> Option<i32> {
    names.values().find(|v| short_name(names, v.name()) == text && v.number() != 0).map(|v| v.number())
}

/// `OFFER_STATE_ACTIVE` of `OfferState` → `active`.
pub fn short_name(names: &EnumDescriptor, value: &str) -> String {
    let mut prefix = String::new();
    for (at, c) in names.name().char_indices() {
        if c.is_ascii_uppercase() && at > 0 {
            prefix.push('_');
        }
        prefix.push(c.to_ascii_uppercase());
    }
    let short = value.strip_prefix(&prefix).and_then(|v| v.strip_prefix('_')).unwrap_or(value);
    short.to_ascii_lowercase()
}

/// Puts the fields of a JSON object into a message.
fn fill(
    message: &mut DynamicMessage,
    fields: &serde_json::Map<String, Json>,
    at: &str,
    depth: usize,
    wrong: &mut Vec<FieldError>,
) {
    if depth > DEEPEST {
        wrong.push(FieldError::new(at, "too_deep", "is nested too deeply"));
        return;
    }
    let descriptor = message.descriptor();
    for (key, json) in fields {
        let path = if at.is_empty() { key.clone() } else { format!("{at}.{key}") };
        let Some(field) = descriptor.get_field_by_name(key) else {
            wrong.push(FieldError::new(path, "unknown_field", "is not a field of this message"));
            continue;
        };
        // Absent and null are the same, but for a free value, which may be null.
        if json.is_null() && !is_value(&field) {
            continue;
        }
        if let Some(oneof) = field.containing_oneof()
            && oneof.fields().any(|other| other != field && message.has_field(&other))
        {
            wrong.push(FieldError::new(
                path,
                "oneof",
                format!("only one of {} may be given", names(oneof.fields())),
            ));
            continue;
        }
        if let Some(value) = field_value(&field, json, &path, depth, wrong) {
            message.set_field(&field, value);
        }
    }
}

fn names(fields: impl Iterator<Item = FieldDescriptor>) -> String {
    fields.map(|f| f.name().to_owned()).collect::<Vec<_>>().join(", ")
}

fn is_value(field: &FieldDescriptor) -> bool {
    matches!(field.kind(), Kind::Message(m) if m.full_name() == "google.protobuf.Value")
        && !field.is_list()
        && !field.is_map()
}

fn field_value(
    field: &FieldDescriptor,
    json: &Json,
    path: &str,
    depth: usize,
    wrong: &mut Vec<FieldError>,
) -> Option<Value> {
    let mut refuse = |what: &str| {
        wrong.push(FieldError::new(path, "wrong_type", format!("must be {what}")));
        None
    };
    if field.is_map() {
        let Json::Object(entries) = json else { return refuse("an object") };
        let Kind::Message(entry) = field.kind() else { return None };
        let (key_kind, value_field) = (entry.map_entry_key_field().kind(), entry.map_entry_value_field());
        let mut map = std::collections::HashMap::new();
        for (key, json) in entries {
            let path = format!("{path}.{key}");
            let Some(map_key) = map_key(&key_kind, key) else {
                wrong.push(FieldError::new(path, "wrong_type", "is no key of this map"));
                continue;
            };
            if let Some(value) = single(&value_field, json, &path, depth + 1, wrong) {
                map.insert(map_key, value);
            }
        }
        return Some(Value::Map(map));
    }
    if field.is_list() {
        let Json::Array(items) = json else { return refuse("an array") };
        let values = items
            .iter()
            .enumerate()
            .filter_map(|(n, json)| single(field, json, &format!("{path}[{n}]"), depth + 1, wrong));
        return Some(Value::List(values.collect()));
    }
    single(field, json, path, depth, wrong)
}

fn map_key(kind: &Kind, text: &str) -> Option<MapKey> {
    Some(match kind {
        Kind::String => MapKey::String(text.to_owned()),
        Kind::Bool => MapKey::Bool(text.parse().ok()?),
        Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 => MapKey::I32(text.parse().ok()?),
        Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 => MapKey::I64(text.parse().ok()?),
        Kind::Uint32 | Kind::Fixed32 => MapKey::U32(text.parse().ok()?),
        Kind::Uint64 | Kind::Fixed64 => MapKey::U64(text.parse().ok()?),
        _ => return None,
    })
}

/// One value, not a list or map, of a field's type.
fn single(
    field: &FieldDescriptor,
    json: &Json,
    path: &str,
    depth: usize,
    wrong: &mut Vec<FieldError>,
) -> Option<Value> {
    let kind = field.kind();
    let value = match (&kind, json) {
        (Kind::Message(m), json) if m.full_name().starts_with("google.protobuf.") => well_known(m, json),
        (Kind::Message(m), Json::Object(fields)) => {
            let mut inner = DynamicMessage::new(m.clone());
            fill(&mut inner, fields, path, depth + 1, wrong);
            Some(Value::Message(inner))
        }
        (Kind::String, Json::String(text)) => Some(Value::String(text.clone())),
        (Kind::Bool, Json::Bool(b)) => Some(Value::Bool(*b)),
        (Kind::Int32 | Kind::Sint32 | Kind::Sfixed32, Json::Number(n)) => {
            n.as_i64().and_then(|n| n.try_into().ok()).map(Value::I32)
        }
        (Kind::Int64 | Kind::Sint64 | Kind::Sfixed64, Json::Number(n)) => n.as_i64().map(Value::I64),
        (Kind::Uint32 | Kind::Fixed32, Json::Number(n)) => {
            n.as_u64().and_then(|n| n.try_into().ok()).map(Value::U32)
        }
        (Kind::Uint64 | Kind::Fixed64, Json::Number(n)) => n.as_u64().map(Value::U64),
        (Kind::Double, Json::Number(n)) => n.as_f64().map(Value::F64),
        #[expect(clippy::cast_possible_truncation, reason = "a float field holds what a float can")]
        (Kind::Float, Json::Number(n)) => {
            n.as_f64().map(|n| n as f32).filter(|n| n.is_finite()).map(Value::F32)
        }
        (Kind::Enum(names), Json::String(text)) => match number_of(names, text) {
            Some(number) => Some(Value::EnumNumber(number)),
            None => {
                let known = names.values().filter(|v| v.number() != 0).map(|v| short_name(names, v.name()));
                let known = known.collect::<Vec<_>>().join(", ");
                wrong.push(FieldError::new(path, "unknown_value", format!("must be one of {known}")));
                return None;
            }
        },
        (Kind::Bytes, Json::String(text)) => {
            use base64::Engine as _;
            base64::engine::general_purpose::STANDARD.decode(text).ok().map(|b| Value::Bytes(b.into()))
        }
        _ => None,
    };
    if value.is_none() {
        wrong.push(FieldError::new(path, "wrong_type", format!("must be {}", what_is(&kind))));
    }
    value
}

/// Google's own types have a JSON of their own, which `prost-reflect` reads.
fn well_known(kind: &MessageDescriptor, json: &Json) -> Option<Value> {
    let message = DynamicMessage::deserialize(kind.clone(), json.clone()).ok()?;
    Some(Value::Message(message))
}

fn what_is(kind: &Kind) -> String {
    match kind {
        Kind::String | Kind::Enum(_) => "a string".into(),
        Kind::Bool => "true or false".into(),
        Kind::Bytes => "a string in base64".into(),
        Kind::Double | Kind::Float => "a number".into(),
        Kind::Uint32 | Kind::Uint64 | Kind::Fixed32 | Kind::Fixed64 => "a whole number, not negative".into(),
        Kind::Message(m) => match m.full_name() {
            "google.protobuf.Timestamp" => "a time in RFC 3339, such as 2026-11-23T10:00:00Z".into(),
            "google.protobuf.FieldMask" => "field names, separated by commas".into(),
            _ => "an object".into(),
        },
        _ => "a whole number".into(),
    }
}
