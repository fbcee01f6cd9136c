//! Free values between protobuf and BSON, without a tree of values in between.

use bson::raw::CString;
use bson::{RawArrayBuf, RawBson, RawBsonRef, RawDocument, RawDocumentBuf};
use prost_types::value::Kind;
use prost_types::{ListValue, Struct, Value};

/// The document a struct says; none where a name holds a NUL, which BSON cannot say.
pub fn to_bson(fields: &Struct) -> Option<RawDocumentBuf> {
    let mut document = RawDocumentBuf::new();
    for (name, value) in &fields.fields {
        document.append(CString::try_from(name.as_str()).ok()?, raw(value)?);
    }
    Some(document)
}

fn raw(value: &Value) -> Option<RawBson> {
    Some(match &value.kind {
        None | Some(Kind::NullValue(_)) => RawBson::Null,
        Some(Kind::BoolValue(b)) => RawBson::Boolean(*b),
        Some(Kind::NumberValue(n)) => RawBson::Double(*n),
        Some(Kind::StringValue(t)) => RawBson::String(t.clone()),
        Some(Kind::StructValue(s)) => RawBson::Document(to_bson(s)?),
        Some(Kind::ListValue(l)) => {
            let mut array = RawArrayBuf::new();
            for item in &l.values {
                array.push(raw(item)?);
            }
            RawBson::Array(array)
        }
    })
}

/// The struct a document of ours says.
pub fn to_proto(document: &RawDocument) -> Struct {
    let fields = document.iter().filter_map(Result::ok);
    Struct { fields: fields.map(|(name, value)| (name.as_str().to_owned(), proto(value))).collect() }
}

fn proto(value: RawBsonRef<'_>) -> Value {
    let kind = match value {
        RawBsonRef::Boolean(b) => Kind::BoolValue(b),
        RawBsonRef::Double(n) => Kind::NumberValue(n),
        RawBsonRef::String(t) => Kind::StringValue(t.to_owned()),
        RawBsonRef::Document(d) => Kind::StructValue(to_proto(d)),
        RawBsonRef::Array(a) => {
            let values = a.into_iter().filter_map(Result::ok).map(proto).collect();
            Kind::ListValue(ListValue { values })
        }
        // Nothing else was ever written.
        _ => Kind::NullValue(0),
    };
    Value { kind: Some(kind) }
}
