//! What notify tells the others, and what it reads out of their events.

use kit::{Outgoing, Scope, Timestamp};
use prost::Message as _;
use proto::events::event::Data;

use crate::email::Mail;

/// `notification.sent` or `notification.failed` for one mail.
pub fn mail_changed(
    scope: &Scope,
    mail_id: &str,
    mail: &Mail,
    sequence: i64,
    sent: bool,
    at: Timestamp,
) -> Outgoing {
    let (kind, state) = if sent { ("notification.sent", "sent") } else { ("notification.failed", "dead") };
    let data = proto::events::NotificationChanged {
        notification_id: mail_id.to_owned(),
        channel: String::from("email"),
        state: state.to_owned(),
        dedupe_key: mail.dedupe_key.clone(),
        user_id: String::new(),
        customer_id: mail.customer_id.clone().unwrap_or_default(),
        template: mail.template.clone(),
    };
    changed(scope, kind, data, sequence, at)
}

/// `notification.sent` for a message in the dashboard: whoever has it open sees it at once.
pub fn delivered(scope: &Scope, notification_id: &str, user_id: &str, at: Timestamp) -> Outgoing {
    let data = proto::events::NotificationChanged {
        notification_id: notification_id.to_owned(),
        channel: String::from("in_app"),
        state: String::from("delivered"),
        dedupe_key: String::new(),
        user_id: user_id.to_owned(),
        customer_id: String::new(),
        template: String::new(),
    };
    changed(scope, "notification.sent", data, 1, at)
}

fn changed(
    scope: &Scope,
    kind: &str,
    data: proto::events::NotificationChanged,
    sequence: i64,
    at: Timestamp,
) -> Outgoing {
    let subject = data.notification_id.clone();
    let id = kit::id::new("evt");
    let event = proto::events::Event {
        id: id.clone(),
        r#type: kind.to_owned(),
        version: 1,
        company_id: scope.company.clone(),
        mode: scope.mode.as_str().to_owned(),
        occurred_at: Some(kit::time::to_proto(at)),
        subject: subject.clone(),
        sequence,
        data: Some(Data::NotificationChanged(data)),
    };
    Outgoing {
        id,
        kind: kind.to_owned(),
        subject,
        scope: scope.clone(),
        occurred_at: at,
        body: event.encode_to_vec().into(),
        traceparent: kit::telemetry::traceparent(),
    }
}
