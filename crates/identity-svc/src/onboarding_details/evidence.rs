//! Which event proves which step, and hearing them. Some of these events no service tells yet (tickets, challenges,
//! Slack): their rules stand here by the names of the domain (§12), and their steps can be skipped until then.

use async_trait::async_trait;
use bus::{Handler, Incoming, Outcome};
use kit::{Mode, Scope, Timestamp};
use moka::sync::Cache;
use prost::Message as _;
use proto::events::Event;
use proto::events::event::Data;

use super::model::{Proof, StepKey};
use super::ops::OnboardingDetails;
use crate::error::{Error, Result};

/// The families of events that are consumed.
pub const FAMILIES: [&str; 9] =
    ["company", "user", "connection", "usage", "persona", "challenge", "content", "flow", "ticket"];

/// Hears what proves steps. Every event may come twice and late: proofs know their order.
pub struct Witness {
    rooms: OnboardingDetails,
    /// Companies and modes whose first session is noted: each later one proves nothing new.
    sessions: Cache<Scope, ()>,
}

impl Witness {
    pub fn new(rooms: OnboardingDetails) -> Self {
        Self { rooms, sessions: Cache::new(10_000) }
    }

    async fn hear(&self, incoming: &Incoming) -> Result<()> {
        if !counts(&incoming.kind) {
            return Ok(());
        }
        let Ok(event) = Event::decode(incoming.body.clone()) else { return Ok(()) };
        let Some(mode) = Mode::parse(&event.mode) else { return Ok(()) };
        // Company and mode stand in the event: the record it rode in may belong to the installation.
        let scope = Scope::new(event.company_id.clone(), mode);
        let session = incoming.kind == "flow.session.started";
        if scope.company == Scope::platform().company || (session && self.sessions.contains_key(&scope)) {
            return Ok(());
        }
        let heard = match incoming.kind.split('.').next() {
            Some("company") => self.rooms.company_changed(&scope.company).await,
            Some("user") => self.rooms.person_removed(&scope.company, &incoming.subject).await,
            _ => self.rooms.seen(&scope.company, proofs(incoming, mode, &event)).await,
        };
        match heard {
            Ok(()) if session => self.sessions.insert(scope, ()),
            // The company is not there (any more): nobody waits for its steps.
            Ok(()) | Err(Error::Store(store::Error::NotFound(_))) => {}
            Err(e) => return Err(e),
        }
        Ok(())
    }
}

#[async_trait]
impl Handler for Witness {
    async fn handle(&self, batch: &[Incoming]) -> Vec<Outcome> {
        let mut outcomes = Vec::with_capacity(batch.len());
        for incoming in batch {
            outcomes.push(match Box::pin(self.hear(incoming)).await {
                Ok(()) => Outcome::Done,
                Err(e) => Outcome::Retry(e.to_string()),
            });
        }
        outcomes
    }
}

/// Whether this type of event says anything: the families of flows and personas tell of every customer.
fn counts(kind: &str) -> bool {
    match kind.split('.').next() {
        Some("flow") => kind == "flow.session.started",
        Some("persona") => kind == "persona.refreshed",
        Some("user") => kind == "user.removed",
        _ => true,
    }
}

/// What an event says about steps.
fn proofs(incoming: &Incoming, mode: Mode, event: &Event) -> Vec<Proof> {
    let word = Word {
        kind: &incoming.kind,
        source: format!("{}/{}", mode.as_str(), incoming.subject),
        sequence: event.sequence,
        seen_at: incoming.occurred_at,
    };
    let once = |step, about: &str| vec![word.once(step, mode, about)];
    match (incoming.kind.as_str(), &event.data) {
        ("connection.changed", Some(Data::ConnectionChanged(c))) => {
            // Degraded is still connected: the provider may be down for an hour.
            let holds = matches!(c.status.as_str(), "connected" | "degraded");
            match c.provider.as_str() {
                "zendesk" | "freshdesk" => {
                    vec![word.says(StepKey::TicketingConnected, &c.provider, holds)]
                }
                "slack" => vec![word.says(StepKey::SlackConnected, &c.provider, holds)],
                _ => {
                    let mut both = vec![word.says(StepKey::BillingConnected, &c.provider, holds)];
                    if c.synced_at.is_some() {
                        both.push(word.once(StepKey::CustomersSynced, mode, &c.provider));
                    }
                    both
                }
            }
        }
        ("ticket.linked", _) => once(StepKey::TicketingConnected, "ticket"),
        ("usage.upload.completed", _) => once(StepKey::UsageUploaded, &incoming.subject),
        ("persona.refreshed", Some(Data::PersonasRefreshed(p))) if p.failure.is_empty() => {
            // Each refresh is a subject of its own; the newest one counts.
            let about = format!("{} personas", p.personas.len());
            let newest = Word { source: mode.as_str().to_owned(), sequence: 0, ..word };
            vec![newest.says(StepKey::PersonasDefined, &about, !p.personas.is_empty())]
        }
        ("content.published" | "content.archived", Some(Data::ContentPublished(c)))
            if c.kind == "workflow" =>
        {
            let holds = incoming.kind == "content.published";
            vec![word.says(StepKey::FlowPublished, &c.content_id, holds)]
        }
        ("flow.session.started", _) => match mode {
            Mode::Test => once(StepKey::WidgetVerified, &incoming.subject),
            Mode::Live => once(StepKey::GoLive, &incoming.subject),
        },
        (kind, _) if kind.starts_with("challenge.") => once(StepKey::ChallengesChosen, &incoming.subject),
        _ => Vec::new(),
    }
}

/// What the proofs of one event share.
struct Word<'a> {
    kind: &'a str,
    source: String,
    sequence: i64,
    seen_at: Timestamp,
}

impl Word<'_> {
    /// Holds, or does not, until the same source says otherwise.
    fn says(&self, step: StepKey, about: &str, holds: bool) -> Proof {
        Proof {
            step,
            source: self.source.clone(),
            kind: self.kind.to_owned(),
            about: about.to_owned(),
            holds,
            sequence: self.sequence,
            seen_at: self.seen_at,
        }
    }

    /// Happened, and nothing takes it back: the first one of a mode is proof enough.
    fn once(&self, step: StepKey, mode: Mode, about: &str) -> Proof {
        let source = format!("{}/first", mode.as_str());
        Proof { source, sequence: 0, seen_at: self.seen_at, ..self.says(step, about, true) }
    }
}

#[cfg(test)]
mod tests {
    use proto::events as pb;

    use super::*;

    fn heard(kind: &str, mode: Mode, sequence: i64, data: Option<Data>) -> Vec<(StepKey, String, bool)> {
        let event = Event { sequence, data, ..Default::default() };
        let incoming = Incoming {
            id: "evt_1".into(),
            kind: kind.into(),
            scope: Scope::new("com_1", mode),
            subject: "sub_1".into(),
            occurred_at: Timestamp::UNIX_EPOCH,
            body: event.encode_to_vec().into(),
            deliveries: 1,
            traceparent: None,
        };
        proofs(&incoming, mode, &event).into_iter().map(|p| (p.step, p.source, p.holds)).collect()
    }

    fn connection(provider: &str, status: &str, synced: bool) -> Option<Data> {
        Some(Data::ConnectionChanged(pb::ConnectionChanged {
            provider: provider.into(),
            status: status.into(),
            last_error: String::new(),
            synced_at: synced.then(|| kit::time::to_proto(Timestamp::UNIX_EPOCH)),
        }))
    }

    #[test]
    fn connections_prove_and_break() {
        let changed = |p, s, y| heard("connection.changed", Mode::Live, 3, connection(p, s, y));
        let billing = |holds| (StepKey::BillingConnected, String::from("live/sub_1"), holds);
        assert_eq!(changed("stripe", "connecting", false), [billing(false)]);
        assert_eq!(changed("stripe", "degraded", false), [billing(true)]);
        let synced = (StepKey::CustomersSynced, String::from("live/first"), true);
        assert_eq!(changed("recurly", "connected", true), [billing(true), synced.clone()]);
        assert_eq!(changed("stripe", "revoked", true), [billing(false), synced], "a sync has been");
        assert_eq!(changed("slack", "connected", false)[0].0, StepKey::SlackConnected);
        assert_eq!(
            changed("zendesk", "revoked", false)[0],
            (StepKey::TicketingConnected, "live/sub_1".into(), false)
        );
    }

    #[test]
    fn sessions_prove_by_mode_and_content_by_kind() {
        assert_eq!(heard("flow.session.started", Mode::Test, 1, None)[0].0, StepKey::WidgetVerified);
        assert_eq!(heard("flow.session.started", Mode::Live, 1, None)[0].0, StepKey::GoLive);
        let content = |kind: &str| {
            Some(Data::ContentPublished(pb::ContentPublished {
                kind: kind.into(),
                content_id: "wfl_1".into(),
                ..Default::default()
            }))
        };
        assert!(heard("content.published", Mode::Test, 1, content("card")).is_empty());
        assert!(heard("content.published", Mode::Test, 1, content("workflow"))[0].2);
        assert!(!heard("content.archived", Mode::Test, 1, content("workflow"))[0].2);
        let refreshed = |failure: &str, personas: usize| {
            Some(Data::PersonasRefreshed(pb::PersonasRefreshed {
                failure: failure.into(),
                personas: vec![pb::PersonaCount::default(); personas],
                ..Default::default()
            }))
        };
        assert!(heard("persona.refreshed", Mode::Live, 1, refreshed("down", 2)).is_empty());
        assert!(heard("persona.refreshed", Mode::Live, 1, refreshed("", 2))[0].2);
        assert!(!heard("persona.refreshed", Mode::Live, 1, refreshed("", 0))[0].2);
        assert_eq!(heard("challenge.achieved", Mode::Live, 1, None)[0].0, StepKey::ChallengesChosen);
        assert_eq!(heard("ticket.linked", Mode::Live, 1, None)[0].0, StepKey::TicketingConnected);
        assert_eq!(heard("usage.upload.completed", Mode::Live, 1, None)[0].0, StepKey::UsageUploaded);
        assert!(heard("customer.upserted", Mode::Live, 1, None).is_empty());
    }
}
