//! A full refresh: the rules run inside the database, and only customers whose personas changed come out of it.

use std::collections::HashMap;

use futures_util::future::BoxFuture;
use futures_util::{FutureExt, StreamExt};
use kit::{Scope, SharedClock};

use super::board::Boards;
use super::model::{Refresh, Seat, Standing, Tally};
use super::store::PersonaStore;
use crate::error::Error;
use crate::events::{announce, refresh_failed, refreshed};
use crate::facts::{Customers, Write};

/// The kind of the job.
pub const KIND: &str = "segmentation_refresh";

/// How many moves are told one by one; what is beyond is told by the tally alone, so that a first refresh of a large
/// company does not flood everybody who listens.
const TOLD: usize = 10_000;
/// Passes over customers that others changed at the same time.
const PASSES: usize = 4;

#[derive(Clone)]
pub struct Refreshes {
    store: PersonaStore,
    boards: Boards,
    customers: Customers,
    clock: SharedClock,
}

impl Refreshes {
    pub fn new(store: PersonaStore, boards: Boards, customers: Customers, clock: SharedClock) -> Self {
        Self { store, boards, customers, clock }
    }

    /// Brings every customer of the company into the personas the rules say. Run twice, the second run finds nothing to
    /// do.
    pub async fn run(&self, scope: &Scope, job: &str) -> Result<(), Error> {
        if self.store.has_ended(scope, job).await? {
            return Ok(());
        }
        let board = self.boards.fresh(scope).await?;
        self.customers.count_events(scope, &board).await?;
        let mut moved: HashMap<String, (u64, u64)> = HashMap::new();
        let mut told = 0;
        for _ in 0..PASSES {
            let now = self.clock.now();
            let mut all = true;
            let mut changed = self.customers.changed(scope, &board).await?;
            let mut writing: Option<BoxFuture<'_, Result<bool, Error>>> = None;
            loop {
                // The next chunk is read while the last one is written.
                let written = async {
                    match writing.take() {
                        Some(write) => write.await,
                        None => Ok(true),
                    }
                };
                let (next, written) = tokio::join!(changed.next(), written);
                all &= written?;
                let Some(chunk) = next else { break };
                let mut writes = Vec::new();
                for found in chunk? {
                    let mut customer = found.customer.clone();
                    let matched = board.matched(&customer.facts, &customer.events);
                    let moves = customer.settle(&matched, now);
                    moves.entered.iter().for_each(|p| moved.entry(p.clone()).or_default().0 += 1);
                    moves.left.iter().for_each(|p| moved.entry(p.clone()).or_default().1 += 1);
                    let events = if told < TOLD {
                        announce(scope, &found.id, &board, &moves, found.version + 1, now)
                    } else {
                        Vec::new()
                    };
                    told += events.len();
                    writes.push(Write::moved(found, customer, events));
                }
                writing = Some(self.customers.write_personas(scope, writes).boxed());
            }
            if all {
                break;
            }
        }
        self.end(scope, job, &board, &moved).await
    }

    /// Tells that a refresh was given up. Memberships stay as far as it got; the next one goes on from there.
    pub async fn give_up(&self, scope: &Scope, job: &str, why: &str) -> Result<(), Error> {
        let events = vec![refresh_failed(scope, job, why, self.clock.now())];
        self.store.ended(scope, job, Refresh::default(), events).await
    }

    async fn end(
        &self,
        scope: &Scope,
        job: &str,
        board: &super::model::Board,
        moved: &HashMap<String, (u64, u64)>,
    ) -> Result<(), Error> {
        let now = self.clock.now();
        let tally = async |seat: &Seat| -> Result<Tally, Error> {
            let members = self.customers.count_members(scope, &seat.id).await?;
            let (entered, left) = moved.get(&seat.id).copied().unwrap_or_default();
            let standing = Standing { size: members, refreshed_at: Some(now) };
            self.store.set_standing(scope, &seat.id, standing).await?;
            Ok(Tally { persona: seat.id.clone(), name: seat.name.clone(), members, entered, left })
        };
        let tallies = board.seats.iter().map(tally);
        let (personas, customers) =
            tokio::try_join!(futures_util::future::try_join_all(tallies), self.customers.count(scope))?;
        // Personas that no longer count have nobody in them now.
        for (id, _) in moved.iter().filter(|(id, _)| board.get(id).is_none()) {
            let standing = Standing { size: 0, refreshed_at: Some(now) };
            self.store.set_standing(scope, id, standing).await?;
        }
        let events = vec![refreshed(scope, job, customers, &personas, now)];
        self.store.ended(scope, job, Refresh { customers, personas }, events).await
    }
}
