//! What was heard to have changed of sessions, people, keys and companies: an answer about one of them that was asked
//! for before is not used again. Every replica hears every change; one that cannot hear asks more often instead.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bus::Heard;
use moka::sync::Cache;
use prost::Message as _;
use proto::events::event::Data;

/// The families of events that change who may do what.
pub const FAMILIES: [&str; 2] = ["access", "company"];

/// The changes heard, by id and in order.
pub struct Changes {
    last: AtomicU64,
    heard: Cache<String, u64>,
}

impl Changes {
    /// `keep`: at least as long as any answer.
    pub fn new(keep: Duration) -> Self {
        let heard = Cache::builder().max_capacity(1_000_000).time_to_live(keep).build();
        Self { last: AtomicU64::new(0), heard }
    }

    /// Where the order stands; taken before an answer is asked for.
    pub fn mark(&self) -> u64 {
        self.last.load(Ordering::Acquire)
    }

    /// Whether something about one of these ids was heard after the mark.
    pub fn since(&self, mark: u64, ids: &[&str]) -> bool {
        // Nearly always, nothing was: then nothing is looked up.
        self.mark() > mark && ids.iter().any(|id| self.heard.get(*id).is_some_and(|at| at > mark))
    }

    /// Notes what an event says.
    pub fn hear(&self, heard: &Heard) {
        if let Some(id) = subject(heard) {
            // Who takes a mark from now on asks after the change was made, and is answered with it.
            let at = self.last.fetch_add(1, Ordering::AcqRel) + 1;
            self.heard.insert(id, at);
        }
    }
}

fn subject(heard: &Heard) -> Option<String> {
    if heard.kind.starts_with("company.") {
        return Some(heard.subject.clone());
    }
    let event = proto::events::Event::decode(heard.body.clone()).ok()?;
    let Some(Data::AccessChanged(a)) = event.data else { return None };
    [a.session_id, a.user_id, a.key_id].into_iter().find(|id| !id.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use kit::{Mode, Scope};

    #[test]
    fn what_was_asked_before_a_change_is_old_and_what_was_asked_after_is_not() {
        let changes = Changes::new(Duration::from_secs(60));
        let company = Heard {
            kind: "company.suspended".into(),
            scope: Scope::new("com_1", Mode::Live),
            subject: "com_1".into(),
            body: bytes::Bytes::new(),
        };
        let before = changes.mark();
        changes.hear(&company);
        assert!(changes.since(before, &["ses_1", "com_1"]));
        assert!(!changes.since(before, &["ses_1", "com_2"]));
        assert!(!changes.since(changes.mark(), &["com_1"]));
        let again = changes.mark();
        changes.hear(&company);
        assert!(changes.since(again, &["com_1"]));
    }
}
