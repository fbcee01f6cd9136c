//! The active personas of a company, kept for a moment: every event and every cancel flow asks for them.

use std::time::Duration;

use kit::{PageRequest, Scope};
use moka::future::Cache;

use super::model::{Board, Seat};
use super::store::PersonaStore;
use crate::error::Error;

/// How long another replica may decide by an older board.
const KEPT: Duration = Duration::from_secs(2);

#[derive(Clone)]
pub struct Boards {
    store: PersonaStore,
    kept: Cache<Scope, Board>,
}

impl Boards {
    pub fn new(store: PersonaStore) -> Self {
        Self { store, kept: Cache::builder().max_capacity(10_000).time_to_live(KEPT).build() }
    }

    /// The board, perhaps a moment old.
    pub async fn active(&self, scope: &Scope) -> Result<Board, Error> {
        if let Some(board) = self.kept.get(scope).await {
            return Ok(board);
        }
        self.fresh(scope).await
    }

    /// The board as it is stored now.
    pub async fn fresh(&self, scope: &Scope) -> Result<Board, Error> {
        let active = self.store.active(scope).await?;
        let categories = self.store.categories(scope, &PageRequest::new(200, "")).await?.items;
        let exclusive = |id: &Option<String>| {
            let category = categories.iter().find(|c| Some(&c.id) == id.as_ref())?;
            category.body.exclusive.then(|| category.id.clone())
        };
        let seats = active.into_iter().map(|p| Seat {
            exclusive: exclusive(&p.body.category),
            id: p.id,
            name: p.body.name,
            priority: p.body.priority,
            rule: p.body.rule,
            guard_rails: p.body.guard_rails,
        });
        let board = Board::new(seats.collect());
        self.kept.insert(scope.clone(), board.clone()).await;
        Ok(board)
    }

    /// What is kept no longer holds.
    pub async fn forget(&self, scope: &Scope) {
        self.kept.invalidate(scope).await;
    }
}
