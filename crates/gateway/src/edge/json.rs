//! A message as JSON, written straight from its encoded bytes: the one place that decides how our JSON looks. A plan
//! per message type is made once; a reply is then copied field by field, without a value in between.
//!
//! Names in snake_case, enums short and lower case, 64-bit integers as numbers, times in RFC 3339 with `Z`. A plain
//! field is always written, one with presence only when it is there, a list or map also when it is empty.

use std::collections::HashMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use prost_reflect::{EnumDescriptor, FieldDescriptor, Kind, MessageDescriptor};

use super::bind::short_name;
use super::well_known::{duration, list_value, mask, structure, timestamp, value};

/// The message cannot be read: damaged, or another service's newer form of it.
#[derive(Debug, PartialEq, Eq)]
pub struct Damaged;

/// Plans of all message types that can be replied.
pub struct Plans {
    plans: Vec<Plan>,
    by_name: HashMap<String, usize>,
}

enum Plan {
    Fields(Vec<Field>),
    Timestamp,
    Duration,
    FieldMask,
    Struct,
    Value,
    ListValue,
    /// A wrapper such as `google.protobuf.Int64Value`: its one field, bare.
    Wrapper(Type),
}

struct Field {
    number: u32,
    /// `"name":`, ready to be written.
    key: String,
    kind: Type,
    shape: Shape,
}

enum Shape {
    Plain,
    Presence,
    List,
    Map { key: Type },
}

#[derive(Clone)]
enum Type {
    Bool,
    Int,
    Uint32,
    Uint,
    Sint,
    Fixed32,
    Fixed64,
    Sfixed32,
    Sfixed64,
    Float,
    Double,
    Text,
    Bytes,
    Enum(Vec<(i32, String)>),
    Message(usize),
}

/// A value as it stands on the wire.
#[derive(Clone, Copy)]
pub(super) enum Wire<'a> {
    Varint(u64),
    Fixed64(u64),
    Fixed32(u32),
    Bytes(&'a [u8]),
}

/// How deep messages may be nested; prost stops at 100.
pub(super) const DEEPEST: usize = 100;

impl Plans {
    /// Plans for these types and all they hold.
    pub fn of(types: impl IntoIterator<Item = MessageDescriptor>) -> Self {
        let mut plans = Self { plans: Vec::new(), by_name: HashMap::new() };
        for kind in types {
            plans.plan(&kind);
        }
        plans
    }

    fn plan(&mut self, kind: &MessageDescriptor) -> usize {
        if let Some(known) = self.by_name.get(kind.full_name()) {
            return *known;
        }
        let index = self.plans.len();
        self.by_name.insert(kind.full_name().to_owned(), index);
        // Held by a place-holder meanwhile: types may hold themselves.
        self.plans.push(Plan::Fields(Vec::new()));
        self.plans[index] = match kind.full_name() {
            "google.protobuf.Timestamp" => Plan::Timestamp,
            "google.protobuf.Duration" => Plan::Duration,
            "google.protobuf.FieldMask" => Plan::FieldMask,
            "google.protobuf.Struct" => Plan::Struct,
            "google.protobuf.Value" => Plan::Value,
            "google.protobuf.ListValue" => Plan::ListValue,
            name if name.starts_with("google.protobuf.") && name.ends_with("Value") => {
                match kind.fields().next() {
                    Some(field) => Plan::Wrapper(self.kind(&field.kind())),
                    None => Plan::Fields(Vec::new()),
                }
            }
            _ => Plan::Fields(kind.fields().map(|f| self.field(&f)).collect()),
        };
        index
    }

    fn field(&mut self, field: &FieldDescriptor) -> Field {
        let key = format!("\"{}\":", field.name());
        let (kind, shape) = match field.kind() {
            Kind::Message(entry) if field.is_map() => {
                let key = self.kind(&entry.map_entry_key_field().kind());
                (self.kind(&entry.map_entry_value_field().kind()), Shape::Map { key })
            }
            kind if field.is_list() => (self.kind(&kind), Shape::List),
            kind if field.supports_presence() => (self.kind(&kind), Shape::Presence),
            kind => (self.kind(&kind), Shape::Plain),
        };
        Field { number: field.number(), key, kind, shape }
    }

    fn kind(&mut self, kind: &Kind) -> Type {
        match kind {
            Kind::Bool => Type::Bool,
            Kind::Int32 | Kind::Int64 => Type::Int,
            Kind::Uint32 => Type::Uint32,
            Kind::Uint64 => Type::Uint,
            Kind::Sint32 | Kind::Sint64 => Type::Sint,
            Kind::Fixed32 => Type::Fixed32,
            Kind::Fixed64 => Type::Fixed64,
            Kind::Sfixed32 => Type::Sfixed32,
            Kind::Sfixed64 => Type::Sfixed64,
            Kind::Float => Type::Float,
            Kind::Double => Type::Double,
            Kind::String => Type::Text,
            Kind::Bytes => Type::Bytes,
            Kind::Enum(names) => Type::Enum(values(names)),
            Kind::Message(m) => Type::Message(self.plan(m)),
        }
    }

    /// The JSON of an encoded message of a planned type.
    pub fn json(&self, kind: &str, encoded: &[u8]) -> Result<Vec<u8>, Damaged> {
        let plan = *self.by_name.get(kind).ok_or(Damaged)?;
        let mut out = Vec::with_capacity(encoded.len() * 2 + 64);
        self.message(plan, encoded, 0, &mut out)?;
        Ok(out)
    }

    fn message(&self, plan: usize, encoded: &[u8], depth: usize, out: &mut Vec<u8>) -> Result<(), Damaged> {
        if depth > DEEPEST {
            return Err(Damaged);
        }
        match &self.plans[plan] {
            Plan::Fields(fields) => self.fields(fields, encoded, depth, out),
            Plan::Timestamp => timestamp(encoded, out),
            Plan::Duration => duration(encoded, out),
            Plan::FieldMask => mask(encoded, out),
            Plan::Struct => structure(encoded, depth, out),
            Plan::Value => value(encoded, depth, out),
            Plan::ListValue => list_value(encoded, depth, out),
            Plan::Wrapper(kind) => {
                let mut last = None;
                for item in Reader(encoded) {
                    let (number, wire) = item?;
                    if number == 1 {
                        last = Some(wire);
                    }
                }
                match last {
                    Some(wire) => self.value(kind, wire, depth, out),
                    None => default(kind, out),
                }
            }
        }
    }

    fn fields(
        &self,
        fields: &[Field],
        encoded: &[u8],
        depth: usize,
        out: &mut Vec<u8>,
    ) -> Result<(), Damaged> {
        // Index of the field, and its value; a stable sort keeps the order of a list's items.
        let mut found: Vec<(usize, Wire<'_>)> = Vec::with_capacity(fields.len());
        for item in Reader(encoded) {
            let (number, wire) = item?;
            if let Some(at) = fields.iter().position(|f| f.number == number) {
                found.push((at, wire));
            }
        }
        found.sort_by_key(|(at, _)| *at);
        out.push(b'{');
        let (mut rest, mut first) = (found.as_slice(), true);
        for (at, field) in fields.iter().enumerate() {
            let count = rest.iter().take_while(|(of, _)| *of == at).count();
            let (values, after) = rest.split_at(count);
            rest = after;
            if values.is_empty() && matches!(field.shape, Shape::Presence) {
                continue;
            }
            if !first {
                out.push(b',');
            }
            first = false;
            out.extend_from_slice(field.key.as_bytes());
            match (&field.shape, values.last()) {
                (Shape::List, _) => self.list(&field.kind, values, depth, out)?,
                (Shape::Map { key }, _) => self.map(key, &field.kind, values, depth, out)?,
                (_, Some((_, wire))) => self.value(&field.kind, *wire, depth, out)?,
                (_, None) => default(&field.kind, out)?,
            }
        }
        out.push(b'}');
        Ok(())
    }

    fn list(
        &self,
        kind: &Type,
        values: &[(usize, Wire<'_>)],
        depth: usize,
        out: &mut Vec<u8>,
    ) -> Result<(), Damaged> {
        out.push(b'[');
        let start = out.len();
        let comma = |out: &mut Vec<u8>| {
            if out.len() > start {
                out.push(b',');
            }
        };
        for (_, wire) in values {
            match (wire, kind) {
                (Wire::Bytes(_), Type::Text | Type::Bytes | Type::Message(_)) => {
                    comma(out);
                    self.value(kind, *wire, depth, out)?;
                }
                // Numbers come packed: many in one field.
                (Wire::Bytes(packed), _) => {
                    let mut packed = *packed;
                    while !packed.is_empty() {
                        let (one, after) = unpack(kind, packed)?;
                        packed = after;
                        comma(out);
                        self.value(kind, one, depth, out)?;
                    }
                }
                _ => {
                    comma(out);
                    self.value(kind, *wire, depth, out)?;
                }
            }
        }
        out.push(b']');
        Ok(())
    }

    fn map(
        &self,
        key: &Type,
        kind: &Type,
        entries: &[(usize, Wire<'_>)],
        depth: usize,
        out: &mut Vec<u8>,
    ) -> Result<(), Damaged> {
        // The last entry of a key wins, and keys are written in order, so that an answer has one form.
        let mut sorted = std::collections::BTreeMap::new();
        for (_, entry) in entries {
            let Wire::Bytes(entry) = entry else { return Err(Damaged) };
            let (mut name, mut wire) = (None, None);
            for item in Reader(entry) {
                match item? {
                    (1, of) => name = Some(of),
                    (2, of) => wire = Some(of),
                    _ => {}
                }
            }
            let mut text = Vec::new();
            match name {
                Some(of) => self.value(key, of, depth, &mut text)?,
                None => default(key, &mut text)?,
            }
            if text.first() != Some(&b'"') {
                text.insert(0, b'"');
                text.push(b'"');
            }
            sorted.insert(text, wire);
        }
        out.push(b'{');
        for (at, (name, wire)) in sorted.into_iter().enumerate() {
            if at > 0 {
                out.push(b',');
            }
            out.extend_from_slice(&name);
            out.push(b':');
            match (wire, kind) {
                (Some(wire), _) => self.value(kind, wire, depth, out)?,
                (None, Type::Message(plan)) => self.message(*plan, &[], depth + 1, out)?,
                (None, _) => default(kind, out)?,
            }
        }
        out.push(b'}');
        Ok(())
    }

    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_possible_wrap,
        reason = "what protobuf says of its varints"
    )]
    fn value(&self, kind: &Type, wire: Wire<'_>, depth: usize, out: &mut Vec<u8>) -> Result<(), Damaged> {
        match (kind, wire) {
            (Type::Bool, Wire::Varint(n)) => out.extend_from_slice(if n != 0 { b"true" } else { b"false" }),
            (Type::Int, Wire::Varint(n)) => integer(n as i64, out),
            (Type::Uint32, Wire::Varint(n)) => integer(n as u32, out),
            (Type::Uint, Wire::Varint(n)) => integer(n, out),
            (Type::Sint, Wire::Varint(n)) => integer((n >> 1) as i64 ^ -((n & 1) as i64), out),
            (Type::Fixed32, Wire::Fixed32(n)) => integer(n, out),
            (Type::Sfixed32, Wire::Fixed32(n)) => integer(n as i32, out),
            (Type::Fixed64, Wire::Fixed64(n)) => integer(n, out),
            (Type::Sfixed64, Wire::Fixed64(n)) => integer(n as i64, out),
            (Type::Float, Wire::Fixed32(n)) => {
                number(f64::from(f32::from_bits(n)), Some(f32::from_bits(n)), out)
            }
            (Type::Double, Wire::Fixed64(n)) => number(f64::from_bits(n), None, out),
            (Type::Text, Wire::Bytes(b)) => text(std::str::from_utf8(b).map_err(|_| Damaged)?, out),
            (Type::Bytes, Wire::Bytes(b)) => text(&STANDARD.encode(b), out),
            (Type::Enum(names), Wire::Varint(n)) => {
                match names.iter().find(|(number, _)| *number == n as i32) {
                    Some((_, name)) => text(name, out),
                    // A value this build does not know yet: its number is still the truth.
                    None => integer(n as i32, out),
                }
            }
            (Type::Message(plan), Wire::Bytes(b)) => self.message(*plan, b, depth + 1, out)?,
            _ => return Err(Damaged),
        }
        Ok(())
    }
}

fn values(names: &EnumDescriptor) -> Vec<(i32, String)> {
    names.values().map(|v| (v.number(), short_name(names, v.name()))).collect()
}

fn default(kind: &Type, out: &mut Vec<u8>) -> Result<(), Damaged> {
    let text: &[u8] = match kind {
        Type::Bool => b"false",
        Type::Text | Type::Bytes => b"\"\"",
        Type::Enum(names) => {
            let zero = names.iter().find(|(n, _)| *n == 0).map_or("unspecified", |(_, name)| name);
            return {
                self::text(zero, out);
                Ok(())
            };
        }
        Type::Float | Type::Double => b"0.0",
        Type::Message(_) => return Err(Damaged),
        _ => b"0",
    };
    out.extend_from_slice(text);
    Ok(())
}

pub(super) fn integer(n: impl itoa::Integer, out: &mut Vec<u8>) {
    out.extend_from_slice(itoa::Buffer::new().format(n).as_bytes());
}

/// JSON has no infinities; protobuf's own mapping writes them as text.
pub(super) fn number(n: f64, short: Option<f32>, out: &mut Vec<u8>) {
    let written = match (n.is_finite(), short) {
        (true, None) => serde_json::to_vec(&n),
        (true, Some(f)) => serde_json::to_vec(&f),
        (false, _) if n.is_nan() => Ok(b"\"NaN\"".to_vec()),
        (false, _) => Ok(if n > 0.0 { b"\"Infinity\"".to_vec() } else { b"\"-Infinity\"".to_vec() }),
    };
    out.extend_from_slice(&written.unwrap_or_default());
}

pub(super) fn text(text: &str, out: &mut Vec<u8>) {
    // Writing to memory does not fail.
    serde_json::to_writer(out, text).ok();
}

fn unpack<'a>(kind: &Type, packed: &'a [u8]) -> Result<(Wire<'a>, &'a [u8]), Damaged> {
    match kind {
        Type::Fixed32 | Type::Sfixed32 | Type::Float => {
            let (head, rest) = packed.split_first_chunk::<4>().ok_or(Damaged)?;
            Ok((Wire::Fixed32(u32::from_le_bytes(*head)), rest))
        }
        Type::Fixed64 | Type::Sfixed64 | Type::Double => {
            let (head, rest) = packed.split_first_chunk::<8>().ok_or(Damaged)?;
            Ok((Wire::Fixed64(u64::from_le_bytes(*head)), rest))
        }
        _ => varint(packed).map(|(n, rest)| (Wire::Varint(n), rest)),
    }
}

fn varint(bytes: &[u8]) -> Result<(u64, &[u8]), Damaged> {
    let mut n = 0_u64;
    for (at, byte) in bytes.iter().take(10).enumerate() {
        n |= u64::from(byte & 0x7f).checked_shl(7 * at as u32).unwrap_or(0);
        if byte & 0x80 == 0 {
            return Ok((n, &bytes[at + 1..]));
        }
    }
    Err(Damaged)
}

/// The fields of an encoded message, in the order of the wire.
pub(super) struct Reader<'a>(pub(super) &'a [u8]);

impl<'a> Reader<'a> {
    fn field(&mut self) -> Result<(u32, Wire<'a>), Damaged> {
        let (tag, rest) = varint(self.0)?;
        let number = u32::try_from(tag >> 3).map_err(|_| Damaged)?;
        let (wire, rest) = match tag & 7 {
            0 => varint(rest).map(|(n, rest)| (Wire::Varint(n), rest))?,
            1 => rest
                .split_first_chunk::<8>()
                .map(|(b, rest)| (Wire::Fixed64(u64::from_le_bytes(*b)), rest))
                .ok_or(Damaged)?,
            2 => {
                let (length, rest) = varint(rest)?;
                let length = usize::try_from(length).map_err(|_| Damaged)?;
                let (bytes, rest) = rest.split_at_checked(length).ok_or(Damaged)?;
                (Wire::Bytes(bytes), rest)
            }
            5 => rest
                .split_first_chunk::<4>()
                .map(|(b, rest)| (Wire::Fixed32(u32::from_le_bytes(*b)), rest))
                .ok_or(Damaged)?,
            // Groups left the language long ago.
            _ => return Err(Damaged),
        };
        self.0 = rest;
        Ok((number, wire))
    }
}

impl<'a> Iterator for Reader<'a> {
    type Item = Result<(u32, Wire<'a>), Damaged>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let field = self.field();
        if field.is_err() {
            self.0 = &[];
        }
        Some(field)
    }
}
