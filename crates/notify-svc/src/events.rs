//! What notify tells the others, and what it reads out of their events.

use kit::{Outgoing, Scope, Timestamp};
use prost::Message as _;
use proto::events::event::Data;

/// `notification.sent` or `notification.failed` for one mail.
pub fn notification_changed(
    scope: &Scope,
    mail_id: &str,
    dedupe_key: &str,
    sequence: i64,
    sent: bool,
    at: Timestamp,
) -> Outgoing {
    let (kind, state) = if sent { ("notification.sent", "sent") } else { ("notification.failed", "dead") };
    let data = proto::events::NotificationChanged {
        notification_id: mail_id.to_owned(),
        channel: String::from("email"),
        state: state.to_owned(),
        dedupe_key: dedupe_key.to_owned(),
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
