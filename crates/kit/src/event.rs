//! A domain event on its way out, before the bus: the document that caused it carries it (`_outbox`), so that change
//! and event are one write. The body is the protobuf `retention.events.v1.Event`; nobody here reads it.

use bytes::Bytes;
use jiff::Timestamp;

use crate::caller::Scope;

/// What is written beside a change and published later, at least once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outgoing {
    /// Unique; the bus drops a second event with the same id.
    pub id: String,
    /// Its name in the domain, such as `subscription.changed`; also its subject on the bus.
    pub kind: String,
    /// What it is about, such as a subscription's id.
    pub subject: String,
    pub scope: Scope,
    pub occurred_at: Timestamp,
    /// The encoded event.
    pub body: Bytes,
    /// The trace that caused it, as a W3C `traceparent`.
    pub traceparent: Option<String>,
}
