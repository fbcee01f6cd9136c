//! Hearing about customers, and knowing them.

use std::collections::{BTreeMap, HashMap};

use futures_util::StreamExt;
use jiff::SignedDuration;
use kit::{Page, PageRequest, Scope, SharedClock, Timestamp};
use store::Stored;

use super::model::{Customer, Moves, Told};
use super::store::{Changed, Chunks, CustomerStore, Write};
use crate::error::Error;
use crate::events::announce;
use crate::persona::{Board, Boards};
use crate::rules::{EventCounts, Facts, Rule, event_key};
use crate::user_events::UserEvents;

/// How often a write is decided anew when somebody else was faster.
const TRIES: usize = 6;

/// Two records that are one person, or are not after all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Joined {
    pub survivor: String,
    pub absorbed: String,
    /// What the company calls the absorbed one.
    pub external_ids: Vec<String>,
    /// What went with it.
    pub subscriptions: Vec<String>,
}

/// A customer as seen now.
#[derive(Clone, Debug, PartialEq)]
pub struct Seen {
    pub id: String,
    pub facts: Facts,
    /// Persona and why, strongest first.
    pub personas: Vec<(String, String)>,
    pub board: Board,
}

#[derive(Clone)]
pub struct Customers {
    store: CustomerStore,
    boards: Boards,
    events: UserEvents,
    clock: SharedClock,
}

impl Customers {
    pub fn new(store: CustomerStore, boards: Boards, events: UserEvents, clock: SharedClock) -> Self {
        Self { store, boards, events, clock }
    }

    /// Takes in what was told about customers of one company: facts and personas follow at once. Hearing the same again
    /// changes nothing.
    pub async fn hear(&self, scope: &Scope, told: Vec<(String, Told)>) -> Result<(), Error> {
        let board = self.boards.active(scope).await?;
        let told = self.forwarded(scope, told).await?;
        for (id, t) in &told {
            if matches!(t, Told::Erased) {
                let references = self.references(scope, id).await?;
                self.events.erase(scope, &references).await?;
            }
        }
        let mut by_customer: BTreeMap<String, Vec<Told>> = BTreeMap::new();
        for (id, told) in told {
            by_customer.entry(id).or_default().push(told);
        }
        self.change(scope, &board, by_customer, |customer, told| {
            told.iter().cloned().for_each(|t| customer.hear(t));
        })
        .await
    }

    /// What is told of a record that stands aside is told of whom it became part of. Its profile is not: that one has its
    /// own.
    async fn forwarded(
        &self,
        scope: &Scope,
        told: Vec<(String, Told)>,
    ) -> Result<Vec<(String, Told)>, Error> {
        let ids: Vec<_> = told.iter().map(|(id, _)| id.clone()).collect();
        let aside: HashMap<_, _> = self
            .store
            .get_many(scope, &ids)
            .await?
            .into_iter()
            .filter_map(|(id, c)| Some((id, c.body.merged?.survivor)))
            .collect();
        let to = |(id, told): (String, Told)| match (&told, aside.get(&id)) {
            (Told::Erased | Told::Customer { .. }, _) | (_, None) => (id, told),
            (_, Some(survivor)) => (survivor.clone(), told),
        };
        Ok(told.into_iter().map(to).collect())
    }

    /// Looks at customers no more, or again: they leave their personas, or are sorted anew.
    pub async fn restrict(&self, scope: &Scope, ids: &[String], restricted: bool) -> Result<(), Error> {
        let board = self.boards.active(scope).await?;
        let changes = ids.iter().map(|id| (id.clone(), ())).collect();
        self.change(scope, &board, changes, |customer, ()| customer.restricted = restricted).await
    }

    /// What these customers are called in what others sent: further names of the company's, and addresses.
    pub async fn called(&self, scope: &Scope, ids: &[String]) -> Result<(Vec<String>, Vec<String>), Error> {
        let (mut names, mut emails) = (Vec::new(), Vec::new());
        for read in self.store.get_many(scope, ids).await?.into_values() {
            let Customer { external_id, email, aliases, merged, .. } = read.body;
            names.extend(aliases);
            names.push(external_id);
            emails.push(email);
            if let Some(aside) = merged {
                names.extend(aside.aliases);
                names.push(aside.external_id);
                emails.push(aside.email);
            }
        }
        names.retain(|n| !n.is_empty());
        emails.retain(|e| !e.is_empty());
        Ok((names, emails))
    }

    /// How many of these customers anything is known of.
    pub async fn not_erased(&self, scope: &Scope, ids: &[String]) -> Result<u64, Error> {
        let found = self.store.get_many(scope, ids).await?;
        Ok(found.values().filter(|c| !c.body.erased || c.body.merged.is_some()).count() as u64)
    }

    /// Two customers are one person: what is known of the one is known of the other. Told again, nothing changes.
    pub async fn join(&self, scope: &Scope, m: &Joined) -> Result<(), Error> {
        let board = self.boards.active(scope).await?;
        let read = self.store.get_many(scope, std::slice::from_ref(&m.absorbed)).await?.remove(&m.absorbed);
        let known = read.map(|r| r.body.merged.map_or(r.body.known, |aside| aside.known)).unwrap_or_default();
        let changes = BTreeMap::from([(m.survivor.clone(), true), (m.absorbed.clone(), false)]);
        self.change(scope, &board, changes, |customer, survives| {
            if *survives {
                customer.take_over(&m.absorbed, &m.external_ids, &known);
            } else {
                customer.stand_aside(&m.survivor);
            }
        })
        .await
    }

    /// They were not: each has its own again. Told again, nothing changes.
    pub async fn part(&self, scope: &Scope, m: &Joined) -> Result<(), Error> {
        let board = self.boards.active(scope).await?;
        let read = self.store.get_many(scope, std::slice::from_ref(&m.absorbed)).await?.remove(&m.absorbed);
        let Some(aside) = read.and_then(|r| r.body.merged) else { return Ok(()) };
        let changes = BTreeMap::from([(m.survivor.clone(), true), (m.absorbed.clone(), false)]);
        self.change(scope, &board, changes, |customer, survives| {
            if *survives {
                customer.give_back(&m.absorbed, &aside, &m.subscriptions);
            } else {
                customer.come_back();
            }
        })
        .await
    }

    /// Writes columns of usage as facts; personas follow with the refresh that comes after an import.
    pub async fn set_usage(&self, scope: &Scope, columns: BTreeMap<String, Facts>) -> Result<(), Error> {
        let board = self.boards.active(scope).await?;
        self.change(scope, &board, columns, |customer, usage| {
            customer.known.usage.extend(usage.clone());
        })
        .await
    }

    /// Takes columns of usage away.
    pub async fn unset_usage(&self, scope: &Scope, ids: Vec<String>, keys: &[String]) -> Result<(), Error> {
        let board = self.boards.active(scope).await?;
        let ids = ids.into_iter().map(|id| (id, ())).collect();
        self.change(scope, &board, ids, |customer, ()| {
            customer.known.usage.retain(|k, _| !keys.contains(k));
        })
        .await
    }

    /// Changes many customers, each once, whoever else does so at the same time.
    async fn change<T>(
        &self,
        scope: &Scope,
        board: &Board,
        changes: BTreeMap<String, T>,
        apply: impl Fn(&mut Customer, &T),
    ) -> Result<(), Error> {
        let ids: Vec<_> = changes.keys().cloned().collect();
        for _ in 0..TRIES {
            let now = self.clock.now();
            let mut known = self.store.get_many(scope, &ids).await?;
            let mut writes = Vec::new();
            for (id, change) in &changes {
                let read = known.remove(id);
                let mut customer = read.as_ref().map(|r| r.body.clone()).unwrap_or_default();
                apply(&mut customer, change);
                customer.derive(now);
                let moves = settle(&mut customer, board, now);
                if read.as_ref().is_some_and(|r| same(&r.body, &customer)) {
                    continue;
                }
                let events =
                    announce(scope, id, board, &moves, read.as_ref().map_or(1, |r| r.version + 1), now);
                writes.push(Write { read: read.map(|r| r.version), id: id.clone(), customer, events });
            }
            if writes.is_empty() || self.store.write(scope, writes, now).await? {
                return Ok(());
            }
        }
        Err(store::Error::Stale("customer").into())
    }

    /// A customer as of now: facts that age are worked out anew, events are counted, rules are asked. What changed is
    /// kept. One we have never heard of has nothing.
    pub async fn see(&self, scope: &Scope, reference: &str) -> Result<Option<Seen>, Error> {
        let board = self.boards.active(scope).await?;
        let Some(read) = self.store.resolve(scope, reference).await? else { return Ok(None) };
        let seen = self.look(scope, &board, &read).await?;
        let now = self.clock.now();
        let mut customer = seen;
        let moves = settle(&mut customer, &board, now);
        let id = read.id.clone();
        let out = Seen {
            id: id.clone(),
            facts: customer.facts.clone(),
            personas: customer.personas.iter().map(|m| (m.persona.clone(), m.why.clone())).collect(),
            board: board.clone(),
        };
        if !same(&read.body, &customer) {
            let events = announce(scope, &id, &board, &moves, read.version + 1, now);
            // Somebody faster has written the same or something newer; the answer stands either way.
            let write = Write { id, customer, events, read: Some(read.version) };
            self.store.write(scope, vec![write], now).await?;
        }
        Ok(Some(out))
    }

    /// Facts and counts of events as of now.
    async fn look(&self, scope: &Scope, board: &Board, read: &Stored<Customer>) -> Result<Customer, Error> {
        let now = self.clock.now();
        let mut customer = read.body.clone();
        if customer.erased || customer.restricted {
            return Ok(customer);
        }
        let references = references_of(read);
        customer.known.activity.last_event_at = self.events.last(scope, &references).await?;
        if customer.known.activity.last_event_at.is_some() {
            let n = self.events.count(scope, &references, None, days_ago(now, 30)).await?;
            customer.known.activity.events_30d = u32::try_from(n).unwrap_or(u32::MAX);
        }
        let mut counts = EventCounts::new();
        for (name, days) in board.event_windows() {
            let n = self.events.count(scope, &references, Some(&name), days_ago(now, days)).await?;
            if n > 0 {
                counts.insert(event_key(&name, days), u32::try_from(n).unwrap_or(u32::MAX));
            }
        }
        customer.events = counts;
        customer.derive(now);
        Ok(customer)
    }

    /// What a customer is called in events: our id and the company's.
    pub async fn references(&self, scope: &Scope, reference: &str) -> Result<Vec<String>, Error> {
        let found = self.store.resolve(scope, reference).await?;
        Ok(found.as_ref().map_or_else(|| vec![reference.to_owned()], references_of))
    }

    pub async fn get(&self, scope: &Scope, reference: &str) -> Result<Stored<Customer>, Error> {
        let found = self.store.resolve(scope, reference).await?.filter(|c| !c.body.erased);
        found.ok_or_else(|| Error::not_found("customer"))
    }

    /// Facts that age, worked out anew for every customer of the company. How many there are.
    pub async fn recompute_all(&self, scope: &Scope) -> Result<u64, Error> {
        let board = self.boards.active(scope).await?;
        let (mut after, mut all) = (String::new(), 0);
        loop {
            let chunk = self.store.chunk(scope, &after, kit::page::MAX_LIMIT).await?;
            let Some(last) = chunk.last() else { return Ok(all) };
            after.clone_from(&last.id);
            all += chunk.len() as u64;
            let ids = chunk.into_iter().filter(|c| !c.body.erased).map(|c| (c.id, ())).collect();
            self.change(scope, &board, ids, |_, ()| {}).await?;
        }
    }

    /// Counts the events that rules ask for, for every customer.
    pub async fn count_events(&self, scope: &Scope, board: &Board) -> Result<(), Error> {
        let now = self.clock.now();
        for (name, days) in board.event_windows() {
            let key = event_key(&name, days);
            // A customer may be named by our id in one event and by the company's in the next.
            let mut totals: HashMap<String, u32> = HashMap::new();
            let mut counts = self.events.counts(scope, &name, days_ago(now, days)).await?;
            while let Some(chunk) = counts.next().await {
                let chunk = chunk?;
                let named: Vec<_> = chunk.iter().map(|(customer, _)| customer.clone()).collect();
                let ids = self.store.match_keys(scope, "body.external_id", &named).await?;
                for (customer, n) in chunk {
                    if let Some(id) = ids.get(&customer) {
                        let total = totals.entry(id.clone()).or_default();
                        *total = total.saturating_add(n);
                    }
                }
            }
            let gone = self.store.counted(scope, &key).await?;
            let gone: Vec<_> = gone.into_iter().filter(|id| !totals.contains_key(id)).collect();
            self.store.set_event_counts(scope, &key, totals).await?;
            self.store.unset_event_counts(scope, &key, &gone).await?;
        }
        Ok(())
    }

    pub async fn changed(&self, scope: &Scope, board: &Board) -> Result<Chunks<Changed>, Error> {
        self.store.changed(scope, board).await
    }

    pub async fn write_personas(&self, scope: &Scope, moved: Vec<Write>) -> Result<bool, Error> {
        self.store.write_personas(scope, moved, self.clock.now()).await
    }

    pub async fn preview(
        &self,
        scope: &Scope,
        rule: &Rule,
    ) -> Result<(u64, Vec<Stored<Customer>>, Vec<(String, u64)>), Error> {
        let (size, ids, overlap) = self.store.preview(scope, rule, 10).await?;
        let sample = self.store.get_many(scope, &ids).await?.into_values().collect();
        Ok((size, sample, overlap))
    }

    pub async fn members(
        &self,
        scope: &Scope,
        persona: &str,
        page: &PageRequest,
    ) -> Result<Page<Stored<Customer>>, Error> {
        self.store.members(scope, persona, page).await
    }

    pub async fn count_members(&self, scope: &Scope, persona: &str) -> Result<u64, Error> {
        self.store.count_members(scope, persona).await
    }

    pub async fn count(&self, scope: &Scope) -> Result<u64, Error> {
        self.store.count(scope).await
    }

    /// How many of these keys, all different, name a customer.
    pub async fn count_keys(&self, scope: &Scope, field: &str, keys: &[String]) -> Result<u64, Error> {
        self.store.count_keys(scope, field, keys).await
    }

    /// The customers behind keys: key to our id.
    pub async fn match_keys(
        &self,
        scope: &Scope,
        field: &str,
        keys: &[String],
    ) -> Result<HashMap<String, String>, Error> {
        self.store.match_keys(scope, field, keys).await
    }
}

/// Puts a customer where the board says. One who was erased, or is not to be looked at, is nowhere.
fn settle(customer: &mut Customer, board: &Board, now: Timestamp) -> Moves {
    let nowhere = customer.erased || customer.restricted;
    let matched = if nowhere { Vec::new() } else { board.matched(&customer.facts, &customer.events) };
    let moves = customer.settle(&matched, now);
    if customer.erased {
        customer.past.clear();
    }
    moves
}

/// Whether two states of a customer differ in nothing but when they were worked out.
fn same(a: &Customer, b: &Customer) -> bool {
    let mut b = b.clone();
    b.computed_at = a.computed_at;
    *a == b
}

fn references_of(customer: &Stored<Customer>) -> Vec<String> {
    let external = Some(customer.body.external_id.clone()).filter(|e| !e.is_empty());
    std::iter::once(customer.id.clone())
        .chain(external)
        .chain(customer.body.aliases.iter().cloned())
        .collect()
}

fn days_ago(now: Timestamp, days: u32) -> Timestamp {
    now.saturating_sub(SignedDuration::from_hours(24 * i64::from(days))).unwrap_or(Timestamp::MIN)
}
