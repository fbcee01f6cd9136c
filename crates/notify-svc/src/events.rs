//! What notify tells the others, and what it reads out of their events.

use kit::{Outgoing, Scope, Timestamp};
use prost::Message as _;
use proto::events::event::Data;
use serde_json::Value;

/// `notification.sent` or `notification.failed` for one mail.
pub fn notification_changed(
    scope: &Scope,
    mail_id: &str,
    sequence: i64,
    sent: bool,
    at: Timestamp,
) -> Outgoing {
    let (kind, state) = if sent { ("notification.sent", "sent") } else { ("notification.failed", "dead") };
    let data = proto::events::NotificationChanged {
        notification_id: mail_id.to_owned(),
        channel: String::from("email"),
        state: state.to_owned(),
    };
    let id = kit::id::new("evt");
    let event = proto::events::Event {
        id: id.clone(),
        r#type: kind.to_owned(),
        version: 1,
        company_id: scope.company.clone(),
        mode: scope.mode.as_str().to_owned(),
        occurred_at: Some(kit::time::to_proto(at)),
        subject: mail_id.to_owned(),
        sequence,
        data: Some(Data::NotificationChanged(data)),
    };
    Outgoing {
        id,
        kind: kind.to_owned(),
        subject: mail_id.to_owned(),
        scope: scope.clone(),
        occurred_at: at,
        body: event.encode_to_vec().into(),
        traceparent: kit::telemetry::traceparent(),
    }
}

/// A free value from the wire. Whole numbers stay whole.
pub fn from_wire(value: prost_types::Value) -> Value {
    use prost_types::value::Kind;
    match value.kind {
        None | Some(Kind::NullValue(_)) => Value::Null,
        Some(Kind::BoolValue(b)) => Value::Bool(b),
        Some(Kind::NumberValue(n)) if n.fract() == 0.0 && n.abs() < 9_007_199_254_740_992.0 => {
            #[expect(clippy::cast_possible_truncation, reason = "whole and small, by the guard")]
            let whole = n as i64;
            Value::from(whole)
        }
        Some(Kind::NumberValue(n)) => Value::from(n),
        Some(Kind::StringValue(s)) => Value::String(s),
        Some(Kind::ListValue(l)) => Value::Array(l.values.into_iter().map(from_wire).collect()),
        Some(Kind::StructValue(s)) => object(s),
    }
}

/// An object from the wire.
pub fn object(fields: prost_types::Struct) -> Value {
    Value::Object(fields.fields.into_iter().map(|(k, v)| (k, from_wire(v))).collect())
}
