//! What identity tells the others, and the audit trail. The one place where a model becomes an event.

use kit::{Caller, Outgoing, Scope, Timestamp};
use prost::Message as _;
use proto::events::event::Data;
use serde_json::Value;

use crate::companies::Company;

/// What every event of one write shares.
#[derive(Clone, Copy)]
pub struct Stamp<'a> {
    /// The company it is about, also where the record itself belongs to the installation.
    pub scope: &'a Scope,
    /// The id of the record that changes.
    pub subject: &'a str,
    /// The version the record has after the write.
    pub sequence: i64,
    pub at: Timestamp,
}

impl Stamp<'_> {
    fn event(self, kind: &str, data: Data) -> Outgoing {
        let id = kit::id::new("evt");
        let event = proto::events::Event {
            id: id.clone(),
            r#type: kind.to_owned(),
            version: 1,
            company_id: self.scope.company.clone(),
            mode: self.scope.mode.as_str().to_owned(),
            occurred_at: Some(kit::time::to_proto(self.at)),
            subject: self.subject.to_owned(),
            sequence: self.sequence,
            data: Some(data),
        };
        Outgoing {
            id,
            kind: kind.to_owned(),
            subject: self.subject.to_owned(),
            scope: self.scope.clone(),
            occurred_at: self.at,
            body: event.encode_to_vec().into(),
            traceparent: kit::telemetry::traceparent(),
        }
    }

    /// `company.<what>`.
    pub fn company_changed(self, what: &str, c: &Company) -> Outgoing {
        let data = proto::events::CompanyChanged {
            name: c.name.clone(),
            slug: c.slug.clone(),
            status: c.status.as_str().into(),
            default_currency: c.default_currency.clone(),
            time_zone: c.time_zone.clone(),
            locales: c.locales.clone(),
        };
        self.event(&format!("company.{what}"), Data::CompanyChanged(data))
    }

    /// `user.invited`, `user.activated`, `user.removed`.
    pub fn user_changed(self, what: &str, user_id: &str, role: kit::Role) -> Outgoing {
        let data = proto::events::UserChanged { user_id: user_id.to_owned(), role: role.as_str().to_owned() };
        self.event(&format!("user.{what}"), Data::UserChanged(data))
    }

    /// `mail.requested`. A second request with the same key sends nothing.
    pub fn mail_requested(
        self,
        template: &str,
        to: &str,
        locale: &str,
        dedupe_key: String,
        values: &Value,
    ) -> Outgoing {
        let data = proto::events::MailRequested {
            template: template.to_owned(),
            to: to.to_owned(),
            locale: locale.to_owned(),
            values: object(values),
            dedupe_key,
        };
        self.event("mail.requested", Data::MailRequested(data))
    }

    /// `audit.recorded`, where a person or a key is the one who acts. Pass nothing secret and nothing personal.
    pub fn audited(
        self,
        caller: &Caller,
        resource: &str,
        action: &str,
        before: Option<&Value>,
        after: Option<&Value>,
    ) -> Option<Outgoing> {
        if !(caller.role.is_person() || caller.role == kit::Role::Machine) {
            return None;
        }
        let data = proto::events::Audited {
            actor_kind: caller.actor.kind.clone(),
            actor_id: caller.actor.id.clone(),
            role: caller.role.as_str().into(),
            resource: resource.into(),
            resource_id: self.subject.to_owned(),
            action: action.into(),
            before: before.and_then(object),
            after: after.and_then(object),
            reason: caller.reason.clone().unwrap_or_default(),
            request_id: caller.request_id.clone(),
        };
        Some(self.event("audit.recorded", Data::Audited(data)))
    }
}

/// A JSON object on the wire.
pub fn object(value: &Value) -> Option<prost_types::Struct> {
    match to_wire(value).kind {
        Some(prost_types::value::Kind::StructValue(s)) => Some(s),
        _ => None,
    }
}

fn to_wire(value: &Value) -> prost_types::Value {
    use prost_types::value::Kind;
    let kind = match value {
        Value::Null => Kind::NullValue(0),
        Value::Bool(b) => Kind::BoolValue(*b),
        Value::Number(n) => Kind::NumberValue(n.as_f64().unwrap_or(0.0)),
        Value::String(s) => Kind::StringValue(s.clone()),
        Value::Array(items) => {
            Kind::ListValue(prost_types::ListValue { values: items.iter().map(to_wire).collect() })
        }
        Value::Object(fields) => Kind::StructValue(prost_types::Struct {
            fields: fields.iter().map(|(k, v)| (k.clone(), to_wire(v))).collect(),
        }),
    };
    prost_types::Value { kind: Some(kind) }
}

/// A JSON value from the wire. Whole numbers stay whole.
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
        Some(Kind::StructValue(s)) => {
            Value::Object(s.fields.into_iter().map(|(k, v)| (k, from_wire(v))).collect())
        }
    }
}
