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

/// What a door may have kept, by id.
#[derive(Clone, Copy, Debug)]
pub enum Access<'a> {
    Session(&'a str),
    /// All sessions of a person for the company of the event.
    User(&'a str),
    Key(&'a str),
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

    /// `access.changed`: whoever kept something about this asks again.
    pub fn access_changed(self, what: Access<'_>) -> Outgoing {
        let mut data = proto::events::AccessChanged::default();
        match what {
            Access::Session(id) => id.clone_into(&mut data.session_id),
            Access::User(id) => id.clone_into(&mut data.user_id),
            Access::Key(id) => id.clone_into(&mut data.key_id),
        }
        self.event("access.changed", Data::AccessChanged(data))
    }

    /// `config.changed`: what a level gives a setting.
    pub fn config_changed(self) -> Outgoing {
        let data = proto::events::ConfigChanged { key: self.subject.to_owned() };
        self.event("config.changed", Data::ConfigChanged(data))
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
            values: proto::json::object_to_wire(values),
            dedupe_key,
            customer_id: String::new(),
            recovery_of: String::new(),
        };
        self.event("mail.requested", Data::MailRequested(data))
    }

    /// `audit.recorded`, where a person, a key or a company's identity provider is the one who acts. Pass nothing secret and
    /// nothing personal.
    pub fn audited(
        self,
        caller: &Caller,
        resource: &str,
        action: &str,
        before: Option<&Value>,
        after: Option<&Value>,
    ) -> Option<Outgoing> {
        if !(caller.role.is_person() || matches!(caller.role, kit::Role::Machine | kit::Role::Provider)) {
            return None;
        }
        let data = proto::events::Audited {
            actor_kind: caller.actor.kind.clone(),
            actor_id: caller.actor.id.clone(),
            role: caller.role.as_str().into(),
            resource: resource.into(),
            resource_id: self.subject.to_owned(),
            action: action.into(),
            before: before.and_then(proto::json::object_to_wire),
            after: after.and_then(proto::json::object_to_wire),
            reason: caller.reason.clone().unwrap_or_default(),
            request_id: caller.request_id.clone(),
        };
        Some(self.event("audit.recorded", Data::Audited(data)))
    }
}
