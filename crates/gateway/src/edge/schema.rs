//! JSON Schemas of messages, with the comments and the validation rules of the protos.

use std::collections::{BTreeMap, HashMap};

use prost_reflect::{
    DynamicMessage, ExtensionDescriptor, FieldDescriptor, Kind, MessageDescriptor, Value as Reflected,
};
use serde_json::{Map, Value, json};

use super::bind::short_name;

/// Comments by proto file and place in it.
pub struct Comments(HashMap<(String, Vec<i32>), String>);

impl Comments {
    pub fn read() -> Self {
        let mut all = HashMap::new();
        for file in proto::pool().files() {
            let proto = file.file_descriptor_proto();
            for place in proto.source_code_info.iter().flat_map(|i| &i.location) {
                if let Some(text) = &place.leading_comments {
                    let lines: Vec<_> = text.lines().map(str::trim).collect();
                    all.insert(
                        (file.name().to_owned(), place.path.clone()),
                        lines.join("\n").trim().to_owned(),
                    );
                }
            }
        }
        Self(all)
    }

    pub fn of(&self, file: &str, path: &[i32]) -> &str {
        self.0.get(&(file.to_owned(), path.to_vec())).map_or("", String::as_str)
    }
}

/// Schemas met so far, by message name.
pub struct Schemas<'a> {
    comments: &'a Comments,
    rules: Option<ExtensionDescriptor>,
    example: Option<ExtensionDescriptor>,
    pub made: BTreeMap<String, Value>,
}

impl<'a> Schemas<'a> {
    pub fn new(comments: &'a Comments) -> Self {
        let extension = |name| proto::pool().get_extension_by_name(name);
        Self {
            comments,
            rules: extension("buf.validate.field"),
            example: extension("edge.v1.example"),
            made: BTreeMap::new(),
        }
    }

    /// A reference to a message's schema, which is made on first use.
    pub fn reference(&mut self, message: &MessageDescriptor) -> Value {
        if let Some(known) = well_known(message.full_name()) {
            return known;
        }
        let name = name(message);
        if !self.made.contains_key(&name) {
            self.made.insert(name.clone(), Value::Null);
            let schema = self.object(message, &[]);
            self.made.insert(name.clone(), schema);
        }
        json!({ "$ref": format!("#/components/schemas/{name}") })
    }

    /// A message's schema without the fields that the path binds.
    pub fn object(&mut self, message: &MessageDescriptor, without: &[&str]) -> Value {
        let (mut properties, mut required) = (Map::new(), Vec::new());
        for field in message.fields().filter(|f| !without.contains(&f.name())) {
            let rules = self.field_rules(&field);
            if rules.as_ref().is_some_and(|r| is_required(&field, r)) {
                required.push(field.name().to_owned());
            }
            properties.insert(field.name().to_owned(), self.field(&field, rules.as_ref()));
        }
        let mut schema = json!({ "type": "object", "properties": properties, "additionalProperties": false });
        if !required.is_empty() {
            schema["required"] = json!(required);
        }
        let comment = self.comments.of(message.parent_file().name(), message.path());
        if !comment.is_empty() {
            schema["description"] = json!(comment);
        }
        if let Some(example) = self.example_of(message) {
            schema["examples"] = json!([example]);
        }
        schema
    }

    /// The example a message gives of itself.
    pub fn example_of(&self, message: &MessageDescriptor) -> Option<Value> {
        let options = message.options();
        let extension = self.example.as_ref().filter(|e| options.has_extension(e))?;
        serde_json::from_str(options.get_extension(extension).as_str()?).ok()
    }

    pub fn field_rules(&self, field: &FieldDescriptor) -> Option<DynamicMessage> {
        let options = field.options();
        let extension = self.rules.as_ref().filter(|e| options.has_extension(e))?;
        options.get_extension(extension).as_message().cloned()
    }

    /// The schema of one field, its list or map included.
    pub fn field(&mut self, field: &FieldDescriptor, rules: Option<&DynamicMessage>) -> Value {
        let mut schema = if field.is_map() {
            let Kind::Message(entry) = field.kind() else { return json!({}) };
            json!({ "type": "object", "additionalProperties": self.kind(&entry.map_entry_value_field().kind()) })
        } else if field.is_list() {
            json!({ "type": "array", "items": self.kind(&field.kind()) })
        } else {
            self.kind(&field.kind())
        };
        if let Some(rules) = rules {
            constrain(&mut schema, rules, &field.kind());
        }
        let comment = self.comments.of(field.parent_message().parent_file().name(), field.path());
        if !comment.is_empty() {
            schema["description"] = json!(comment);
        }
        schema
    }

    fn kind(&mut self, kind: &Kind) -> Value {
        match kind {
            Kind::Bool => json!({ "type": "boolean" }),
            Kind::String => json!({ "type": "string" }),
            Kind::Bytes => json!({ "type": "string", "contentEncoding": "base64" }),
            Kind::Float | Kind::Double => json!({ "type": "number" }),
            Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 => {
                json!({ "type": "integer", "format": "int32", "minimum": i32::MIN, "maximum": i32::MAX })
            }
            Kind::Uint32 | Kind::Fixed32 => json!({ "type": "integer", "minimum": 0, "maximum": u32::MAX }),
            Kind::Uint64 | Kind::Fixed64 => json!({ "type": "integer", "minimum": 0 }),
            Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 => json!({ "type": "integer", "format": "int64" }),
            Kind::Enum(names) => {
                let known: Vec<_> = names.values().map(|v| short_name(names, v.name())).collect();
                json!({ "type": "string", "enum": known })
            }
            Kind::Message(message) => self.reference(message),
        }
    }
}

/// `retention.billing.v1.Offer` → `billing.Offer`.
pub fn name(message: &MessageDescriptor) -> String {
    let full = message.full_name();
    full.strip_prefix("retention.").map_or(full.to_owned(), |rest| rest.replacen(".v1.", ".", 1))
}

fn well_known(name: &str) -> Option<Value> {
    Some(match name {
        "google.protobuf.Timestamp" => json!({ "type": "string", "format": "date-time" }),
        "google.protobuf.Duration" => json!({ "type": "string", "pattern": "^-?[0-9]+(\\.[0-9]+)?s$" }),
        "google.protobuf.FieldMask" => json!({ "type": "string" }),
        "google.protobuf.Struct" => json!({ "type": "object" }),
        "google.protobuf.Value" => json!({}),
        "google.protobuf.ListValue" => json!({ "type": "array" }),
        _ => return None,
    })
}

/// Whether a request without the field is refused. A field that knows absence is so only where the rule says it; the
/// zero of any other is held to the rules like every value.
pub fn is_required(field: &FieldDescriptor, rules: &DynamicMessage) -> bool {
    let flag = |name: &str| rules.get_field_by_name(name).and_then(|v| v.as_bool()).unwrap_or(false);
    if flag("required") {
        return true;
    }
    // IGNORE_IF_ZERO_VALUE and IGNORE_ALWAYS.
    let ignored = rules.get_field_by_name("ignore").and_then(|v| v.as_enum_number()).unwrap_or_default() > 0;
    if field.supports_presence() || ignored {
        return false;
    }
    let held = |kind: &str, rule: &str, least: f64| {
        nested(rules, kind).and_then(|r| number(&r, rule)).is_some_and(|n| n >= least)
    };
    let counted = [("string", "min_len"), ("string", "len"), ("repeated", "min_items"), ("map", "min_pairs")];
    let whole = ["int32", "int64", "uint32", "uint64", "double", "float"];
    counted.iter().any(|(kind, rule)| held(kind, rule, 1.0))
        || whole.iter().any(|kind| held(kind, "gt", 0.0) || held(kind, "gte", f64::MIN_POSITIVE))
        || matches!(field.kind(), Kind::Enum(_)) && !enum_allows(rules, 0)
        || texts(rules).is_some_and(|known| !known.iter().any(String::is_empty))
}

/// Whether a rule of an enum lets a number pass.
fn enum_allows(rules: &DynamicMessage, number: i32) -> bool {
    let Some(held) = nested(rules, "enum") else { return true };
    let listed = |name: &str| {
        let list = held.get_field_by_name(name)?;
        let list = list.as_list()?;
        (!list.is_empty()).then(|| list.iter().any(|n| n.as_i32() == Some(number)))
    };
    listed("in").unwrap_or(true) && !listed("not_in").unwrap_or(false)
}

/// The texts a rule lists, where it does.
fn texts(rules: &DynamicMessage) -> Option<Vec<String>> {
    let held = nested(rules, "string")?;
    let list = held.get_field_by_name("in")?;
    let known: Vec<_> = list.as_list()?.iter().filter_map(|v| v.as_str().map(str::to_owned)).collect();
    (!known.is_empty()).then_some(known)
}

fn nested(rules: &DynamicMessage, name: &str) -> Option<DynamicMessage> {
    rules.has_field_by_name(name).then(|| rules.get_field_by_name(name)).flatten()?.as_message().cloned()
}

fn number(rules: &DynamicMessage, name: &str) -> Option<f64> {
    if !rules.has_field_by_name(name) {
        return None;
    }
    match rules.get_field_by_name(name)?.as_ref() {
        Reflected::I32(n) => Some(f64::from(*n)),
        Reflected::U32(n) => Some(f64::from(*n)),
        #[expect(clippy::cast_precision_loss, reason = "bounds are far from where a double loses count")]
        Reflected::I64(n) => Some(*n as f64),
        #[expect(clippy::cast_precision_loss, reason = "bounds are far from where a double loses count")]
        Reflected::U64(n) => Some(*n as f64),
        Reflected::F32(n) => Some(f64::from(*n)),
        Reflected::F64(n) => Some(*n),
        _ => None,
    }
}

/// The rules that JSON Schema can say too.
fn constrain(schema: &mut Value, rules: &DynamicMessage, kind: &Kind) {
    if let Kind::Enum(names) = kind
        && let Some(known) = schema.get_mut("enum").and_then(Value::as_array_mut)
    {
        let allowed = names.values().filter(|v| enum_allows(rules, v.number()));
        *known = allowed.map(|v| json!(short_name(names, v.name()))).collect();
        return;
    }
    if let Some(text) = nested(rules, "string") {
        bound(schema, "minLength", number(&text, "min_len").or_else(|| number(&text, "len")));
        bound(schema, "maxLength", number(&text, "max_len").or_else(|| number(&text, "len")));
        if let Some(pattern) =
            text.has_field_by_name("pattern").then(|| text.get_field_by_name("pattern")).flatten()
        {
            schema["pattern"] = json!(pattern.as_str());
        }
        for format in ["email", "uri", "hostname"] {
            if text
                .get_field_by_name(format)
                .is_some_and(|v| text.has_field_by_name(format) && v.as_bool() == Some(true))
            {
                schema["format"] = json!(format);
            }
        }
        if let Some(known) = texts(rules) {
            schema["enum"] = json!(known);
        }
        return;
    }
    if let Some(list) = nested(rules, "repeated") {
        bound(schema, "minItems", number(&list, "min_items"));
        bound(schema, "maxItems", number(&list, "max_items"));
        if let (Some(rules), Some(items)) = (nested(&list, "items"), schema.get_mut("items")) {
            constrain(items, &rules, kind);
        }
        return;
    }
    if let Some(map) = nested(rules, "map") {
        bound(schema, "minProperties", number(&map, "min_pairs"));
        bound(schema, "maxProperties", number(&map, "max_pairs"));
        let Kind::Message(entry) = kind else { return };
        if let (Some(rules), Some(values)) = (nested(&map, "values"), schema.get_mut("additionalProperties"))
        {
            constrain(values, &rules, &entry.map_entry_value_field().kind());
        }
        if let Some(rules) = nested(&map, "keys") {
            let mut keys = json!({ "type": "string" });
            constrain(&mut keys, &rules, &Kind::String);
            schema["propertyNames"] = keys;
        }
        return;
    }
    for kind in ["int32", "int64", "uint32", "uint64", "double", "float"] {
        if let Some(bounds) = nested(rules, kind) {
            bound(schema, "minimum", number(&bounds, "gte"));
            bound(schema, "maximum", number(&bounds, "lte"));
            bound(schema, "exclusiveMinimum", number(&bounds, "gt"));
            bound(schema, "exclusiveMaximum", number(&bounds, "lt"));
        }
    }
}

fn bound(schema: &mut Value, key: &str, value: Option<f64>) {
    if let Some(value) = value {
        #[expect(clippy::cast_possible_truncation, reason = "whole bounds are written as whole numbers")]
        let value = if value.fract() == 0.0 { json!(value as i64) } else { json!(value) };
        schema[key] = value;
    }
}
