//! The chain: each entry of a company and mode has the next position and a hash over itself and the hash before it.
//! Whoever changes, takes out or puts in an entry breaks every hash from there on; whoever cuts off the end is shown by
//! a position and hash noted elsewhere.

use aws_lc_rs::digest::{Context, SHA256};
use kit::Scope;

use super::model::Entry;

/// Where a chain stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Head {
    pub position: i64,
    pub hash: String,
}

/// The entry in its place after `head`, and the head it becomes.
pub fn linked(head: &Head, scope: &Scope, id: &str, entry: Entry) -> (Entry, Head) {
    let entry = Entry { position: head.position + 1, previous_hash: head.hash.clone(), ..entry };
    let hash = hash(scope, id, &entry);
    let head = Head { position: entry.position, hash: hash.clone() };
    (Entry { hash, ..entry }, head)
}

/// Why an entry does not follow, if it does not.
pub fn broken(head: &Head, scope: &Scope, id: &str, entry: &Entry) -> Option<&'static str> {
    if entry.position != head.position + 1 {
        Some("an entry is missing before it")
    } else if entry.previous_hash != head.hash {
        Some("it does not follow the entry before it")
    } else if entry.hash != hash(scope, id, entry) {
        Some("it was changed")
    } else {
        None
    }
}

/// SHA-256 over every field with its length, so that no two entries have the same bytes.
fn hash(scope: &Scope, id: &str, entry: &Entry) -> String {
    let Entry {
        actor_kind,
        actor_id,
        role,
        resource,
        resource_id,
        action,
        before,
        after,
        reason,
        request_id,
        occurred_at,
        position,
        previous_hash,
        hash: _,
    } = entry;
    let mut context = Context::new(&SHA256);
    let mut add = |bytes: &[u8]| {
        context.update(&(bytes.len() as u64).to_be_bytes());
        context.update(bytes);
    };
    add(b"retention audit 1");
    add(previous_hash.as_bytes());
    add(&position.to_be_bytes());
    for text in [&scope.company, scope.mode.as_str(), id] as [&str; 3] {
        add(text.as_bytes());
    }
    add(&occurred_at.as_millisecond().to_be_bytes());
    for text in [actor_kind, actor_id, role, resource, resource_id, action, reason, request_id] {
        add(text.as_bytes());
    }
    for json in [before, after] {
        // Absent and empty are not the same.
        add(json.as_ref().map_or(&b"-"[..], |_| b"+"));
        add(json.as_deref().unwrap_or_default().as_bytes());
    }
    hex::encode(context.finish())
}

#[cfg(test)]
mod tests {
    use super::*;
    use kit::{Mode, Timestamp};
    use proptest::prelude::*;

    fn entry(n: usize) -> Entry {
        Entry {
            actor_kind: "user".into(),
            actor_id: format!("usr_{n}"),
            role: "ret_admin".into(),
            resource: "offer".into(),
            resource_id: "ofr_1".into(),
            action: "offer.update".into(),
            before: None,
            after: Some(format!("{{\"n\":{n}}}")),
            reason: String::new(),
            request_id: "req_1".into(),
            occurred_at: Timestamp::from_second(1_700_000_000).unwrap(),
            position: 0,
            hash: String::new(),
            previous_hash: String::new(),
        }
    }

    fn chain(scope: &Scope, length: usize) -> Vec<(String, Entry)> {
        let mut head = Head::default();
        (0..length)
            .map(|n| {
                let id = format!("aud_{n}");
                let (linked, next) = linked(&head, scope, &id, entry(n));
                head = next;
                (id, linked)
            })
            .collect()
    }

    fn first_broken(scope: &Scope, entries: &[(String, Entry)]) -> Option<usize> {
        let mut head = Head::default();
        entries.iter().position(|(id, e)| {
            let broken = broken(&head, scope, id, e).is_some();
            head = Head { position: e.position, hash: e.hash.clone() };
            broken
        })
    }

    proptest! {
        #[test]
        fn any_change_breaks_the_chain_where_it_was_made(length in 2_usize..20, at in 0_usize..20, how in 0_usize..6) {
            let scope = Scope::new("com_1", Mode::Live);
            let mut entries = chain(&scope, length);
            prop_assert_eq!(first_broken(&scope, &entries), None);
            let at = at % length;
            match how {
                0 => entries[at].1.after = None,
                1 => entries[at].1.actor_id.push('x'),
                2 => entries[at].0.push('x'),
                3 => entries[at].1.before = Some(String::new()),
                // Moved from one field to its neighbour.
                4 => {
                    let e = &mut entries[at].1;
                    let moved = e.resource.pop().unwrap();
                    e.resource_id.insert(0, moved);
                }
                _ if at + 1 < length => { entries.remove(at); }
                _ => entries[at].1.position += 1,
            }
            prop_assert_eq!(first_broken(&scope, &entries), Some(at));
            prop_assert_eq!(first_broken(&Scope::new("com_2", Mode::Live), &chain(&scope, 1)), Some(0));
        }
    }
}
