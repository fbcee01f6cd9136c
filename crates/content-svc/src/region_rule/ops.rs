//! What can be done with region rules, and what a visit asks of them.

use std::sync::Arc;
use std::time::Duration;

use kit::{Caller, Fault, FieldError, Scope, SharedClock, Timestamp};
use moka::sync::Cache;

use super::model::{Applied, Requirements, Row, Whereabouts, resolve, shipped};
use super::store::{RuleStore, Tightened};
use crate::error::Error;
use crate::events;

/// How long a company's rows are believed. A row that was made stricter holds on every replica after this long.
const LIFE: Duration = Duration::from_secs(5);

/// The region rules.
#[derive(Clone)]
pub struct RegionRules {
    store: RuleStore,
    clock: SharedClock,
    rows: Cache<Scope, Arc<Vec<Row>>>,
}

/// A row as it holds for a company.
#[derive(Clone, Debug, PartialEq)]
pub struct Held {
    pub row: &'static Row,
    /// What holds.
    pub requirements: Requirements,
    pub tightened: bool,
    pub updated_at: Option<Timestamp>,
}

impl RegionRules {
    pub fn new(store: RuleStore, clock: SharedClock) -> Self {
        let rows = Cache::builder().max_capacity(20_000).time_to_live(LIFE).build();
        Self { store, clock, rows }
    }

    /// Every row, in the order in which they are shipped.
    pub async fn list(&self, caller: &Caller) -> Result<Vec<Held>, Error> {
        let own = self.store.all(caller.scope()?).await?;
        let held = shipped().iter().map(|row| {
            let own = own.iter().find(|o| o.body.region == row.region);
            held(row, own.and_then(|o| o.body.requirements), own.map(|o| o.updated_at))
        });
        Ok(held.collect())
    }

    /// Makes a row stricter.
    pub async fn tighten(
        &self,
        caller: &Caller,
        region: &str,
        requirements: Requirements,
    ) -> Result<Held, Error> {
        let row = known(region)?;
        let laxer = requirements.laxer_than(&row.requirements);
        if !laxer.is_empty() {
            let wrong = laxer.into_iter().map(|point| {
                let message = format!("{} asks for more than this", row.name);
                FieldError::new(format!("requirements.{point}"), "not_stricter", message)
            });
            return Err(Fault::invalid(wrong.collect()).into());
        }
        self.put(caller, row, Some(requirements), "tighten").await
    }

    /// Back to the row as it is shipped.
    pub async fn reset(&self, caller: &Caller, region: &str) -> Result<Held, Error> {
        self.put(caller, known(region)?, None, "reset").await
    }

    async fn put(
        &self,
        caller: &Caller,
        row: &'static Row,
        requirements: Option<Requirements>,
        act: &str,
    ) -> Result<Held, Error> {
        let scope = caller.scope()?;
        let audit = events::audited(caller, scope, self.clock.now(), "region_rule", &row.region, act);
        let own = Tightened { region: row.region.clone(), requirements };
        let stored = self.store.put(scope, own, vec![audit]).await?;
        self.rows.invalidate(scope);
        Ok(held(row, requirements, Some(stored.updated_at)))
    }

    /// The rule for a customer of whom this is known. From memory where the company's rows are there.
    pub async fn applied(&self, scope: &Scope, known: &Whereabouts<'_>) -> Result<Applied, Error> {
        if let Some(rows) = self.rows.get(scope) {
            return Ok(resolve(&rows, known));
        }
        let own = self.store.all(scope).await?;
        let rows = shipped().iter().map(|row| {
            let own = own.iter().find(|o| o.body.region == row.region);
            let requirements = held(row, own.and_then(|o| o.body.requirements), None).requirements;
            Row { requirements, ..row.clone() }
        });
        let rows = Arc::new(rows.collect::<Vec<_>>());
        self.rows.insert(scope.clone(), rows.clone());
        Ok(resolve(&rows, known))
    }
}

/// A row that is shipped stricter than before holds, whatever a company wrote of the one before.
fn held(row: &'static Row, own: Option<Requirements>, updated_at: Option<Timestamp>) -> Held {
    let requirements = own.map_or(row.requirements, |own| own.stricter(row.requirements));
    let tightened = requirements != row.requirements;
    Held { row, requirements, tightened, updated_at: updated_at.filter(|_| tightened) }
}

fn known(region: &str) -> Result<&'static Row, Error> {
    let found = shipped().iter().find(|r| r.region == region);
    found.ok_or_else(|| Fault::not_found("region").into())
}
