//! What this service tells the others, and what it hears from them.

use kit::{Caller, Outgoing, Scope, Timestamp};
use prost::Message as _;
use proto::events::event::Data;
use proto::events::{Audited, ContentPublished, Event, MailRequested};

use crate::Rooms;

/// Wraps what happened into an event, to be written beside the change that caused it.
pub fn event(
    scope: &Scope,
    now: Timestamp,
    kind: &str,
    subject: &str,
    sequence: i64,
    data: Data,
) -> Outgoing {
    let id = kit::id::new("evt");
    let event = Event {
        id: id.clone(),
        r#type: kind.to_owned(),
        version: 1,
        company_id: scope.company.clone(),
        mode: scope.mode.as_str().to_owned(),
        occurred_at: Some(kit::time::to_proto(now)),
        subject: subject.to_owned(),
        sequence,
        data: Some(data),
    };
    Outgoing {
        id,
        kind: kind.to_owned(),
        subject: subject.to_owned(),
        scope: scope.clone(),
        occurred_at: now,
        body: event.encode_to_vec().into(),
        traceparent: kit::telemetry::traceparent(),
    }
}

/// A write by a person or a key, for the audit trail. Content holds neither secrets nor personal data; what changed is
/// told by its versions, so the entry names the act.
pub fn audited(
    caller: &Caller,
    scope: &Scope,
    now: Timestamp,
    resource: &str,
    id: &str,
    act: &str,
) -> Outgoing {
    let data = Audited {
        actor_kind: caller.actor.kind.clone(),
        actor_id: caller.actor.id.clone(),
        role: caller.role.as_str().to_owned(),
        resource: resource.to_owned(),
        resource_id: id.to_owned(),
        action: format!("{resource}.{act}"),
        before: None,
        after: None,
        reason: caller.reason.clone().unwrap_or_default(),
        request_id: caller.request_id.clone(),
    };
    event(scope, now, "audit.recorded", id, 0, Data::Audited(data))
}

/// `content.published`, or with another verb whatever else changes what customers see (`content.archived`).
pub fn content(
    scope: &Scope,
    now: Timestamp,
    verb: &str,
    noun: &str,
    id: &str,
    number: u32,
    hash: &str,
) -> Outgoing {
    let data =
        ContentPublished { kind: noun.to_owned(), content_id: id.to_owned(), number, hash: hash.to_owned() };
    let sequence = i64::from(number);
    event(scope, now, &format!("content.{verb}"), id, sequence, Data::ContentPublished(data))
}

/// `mail.requested`: a code for a customer who is to show who they are. To the address the company has, in the language of
/// the customer.
#[expect(clippy::too_many_arguments, reason = "what a mail says, part by part")]
pub fn code_mail(
    scope: &Scope,
    now: Timestamp,
    verification: &str,
    sequence: u32,
    customer: &str,
    dedupe_key: String,
    code: &str,
    minutes: i64,
) -> Outgoing {
    let values = serde_json::json!({ "code": code, "minutes": minutes });
    let data = MailRequested {
        template: HOSTED_CODE.into(),
        values: proto::json::object_to_wire(&values),
        dedupe_key,
        customer_id: customer.to_owned(),
        ..Default::default()
    };
    event(scope, now, "mail.requested", verification, i64::from(sequence), Data::MailRequested(data))
}

/// The key of a code's mail that could not be sent.
pub fn undeliverable(incoming: &bus::Incoming) -> Option<String> {
    if incoming.kind != "notification.failed" {
        return None;
    }
    let event = Event::decode(incoming.body.clone()).ok()?;
    let Some(Data::NotificationChanged(mail)) = event.data else { return None };
    (mail.template == HOSTED_CODE).then_some(mail.dedupe_key)
}

/// The template of codes for customers.
const HOSTED_CODE: &str = "hosted_code";

/// Drops what this process remembers of content that changed elsewhere.
pub fn drop_remembered(rooms: &Rooms, heard: &bus::Heard) {
    let (scope, id) = (&heard.scope, heard.subject.as_str());
    rooms.questionnaires.objects.forget(scope, id);
    rooms.cards.objects.forget(scope, id);
    rooms.templates.objects.forget(scope, id);
    rooms.workflows.objects.forget(scope, id);
    rooms.workflows.forget(scope);
}

/// Whom a merge made part of whom, or parted again: absorbed and survivor.
pub fn merge_told(incoming: &bus::Incoming) -> Option<(String, String)> {
    let event = Event::decode(incoming.body.clone()).ok()?;
    let Some(Data::CustomerMerged(merge)) = event.data else { return None };
    Some((merge.absorbed_id, merge.survivor_id))
}

/// The subscription a `subscription.changed` tells of, and whether it is on its way out.
pub fn subscription_told(incoming: &bus::Incoming) -> Option<(String, bool)> {
    let event = Event::decode(incoming.body.clone()).ok()?;
    let Some(Data::SubscriptionChanged(told)) = event.data else { return None };
    let gone = matches!(told.state.as_str(), "non_renewing" | "ended");
    Some((told.subscription_id, gone))
}

/// The status a `company.*` event tells, and the version of the company it was true of.
pub fn company_told(incoming: &bus::Incoming) -> Option<(String, i64)> {
    let event = Event::decode(incoming.body.clone()).ok()?;
    let Some(Data::CompanyChanged(company)) = event.data else { return None };
    Some((company.status, event.sequence))
}
