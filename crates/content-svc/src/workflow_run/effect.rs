//! Doing what an action says, once per key.

use kit::{Caller, Outgoing, Timestamp};
use proto::events::MailRequested;
use proto::events::event::Data;
use serde_json::{Map, Value, json};
use store::Stored;

use super::billing::{Carrier, NotDone};
use super::model::{Began, Effect, WorkflowRun};
use super::stride::Seen;
use crate::events::event;
use crate::render;
use crate::workflow::{Action, Deed, Mail, Trigger};

/// Does an action, and answers what the trace says of it with the events that go out in the same write. A tag is set at
/// once: whoever sets it again after a crash changes nothing. A mail is one of the events.
pub async fn act(
    carrier: &dyn Carrier,
    read: &Stored<WorkflowRun>,
    action: &Action,
    key: &str,
    seen: &Seen,
    now: Timestamp,
) -> Result<(Effect, Vec<Outgoing>), NotDone> {
    let (outcome, events) = match action.deed() {
        // No published workflow holds one.
        None => return Err(NotDone { code: "action_not_supported".into(), hopeless: true }),
        Some(Deed::Tag(tag)) => {
            let caller = Caller::internal("content-svc", Some(read.scope.clone()));
            carrier.tag(&caller, &read.body.customer_id, tag).await?;
            ("done", Vec::new())
        }
        Some(Deed::Mail(mail)) => ("asked", vec![requested(read, mail, key, seen, now)]),
    };
    let effect =
        Effect { key: key.to_owned(), action: action.action.clone(), outcome: outcome.into(), at: now };
    Ok((effect, events))
}

fn requested(read: &Stored<WorkflowRun>, mail: &Mail, key: &str, seen: &Seen, now: Timestamp) -> Outgoing {
    let run = &read.body;
    // Where it is about a payment, paying or leaving stops it as late as right before it is sent.
    let of_payment = run.began == Began::By(Trigger::PaymentFailed);
    let data = MailRequested {
        template: "workflow_mail".into(),
        to: String::new(),
        locale: String::new(),
        values: proto::json::object_to_wire(&values(mail, seen)),
        dedupe_key: key.to_owned(),
        customer_id: run.customer_id.clone(),
        recovery_of: if of_payment { run.subscription_id.clone() } else { String::new() },
    };
    event(&read.scope, now, "mail.requested", &read.id, read.version + 1, Data::MailRequested(data))
}

/// The company's words, and what is known of the names in them.
fn values(mail: &Mail, seen: &Seen) -> Value {
    let facts = &seen.known.facts;
    let mut values = Map::new();
    let mut fallbacks = Map::new();
    for variable in &mail.variables {
        let known = facts.get(&variable.attribute);
        if let Some(known) = known.and_then(|v| render::value(v, variable.format, &seen.locale, facts)) {
            values.insert(variable.key.clone(), known.into());
        }
        fallbacks.insert(variable.key.clone(), json!(variable.fallback));
    }
    values.insert("link".into(), mail.link.clone().into());
    let text = json!({ "subject": mail.subject, "body": mail.body, "fallbacks": fallbacks });
    values.insert("text".into(), text);
    Value::Object(values)
}
