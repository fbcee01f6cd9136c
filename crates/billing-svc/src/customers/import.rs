//! Many customers in one request: every row on its own, new ones in one insert.

use std::collections::{HashMap, HashSet};

use futures_util::{StreamExt, stream};
use kit::{Caller, FieldError};
use store::Stored;

use super::model::{Customer, EXTERNAL, Said, attribute_faults};
use super::ops::{Act, Customers, Outcome, Via};
use crate::error::{Error, Result};

/// What became of an import.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Imported {
    pub created: u32,
    pub updated: u32,
    pub unchanged: u32,
    /// Row and what is wrong with it.
    pub errors: Vec<(u32, FieldError)>,
}

/// How many rows are written at once.
const ABREAST: usize = 8;

impl Customers {
    /// Creates or updates the customers of all rows. A wrong row is listed and the others are written; the same rows
    /// sent again change nothing.
    pub async fn import(&self, caller: &Caller, rows: Vec<(Said, Vec<FieldError>)>) -> Result<Imported> {
        self.import_via(caller, rows, Via::API).await
    }

    /// The same for rows from wherever they come.
    pub async fn import_via(
        &self,
        caller: &Caller,
        rows: Vec<(Said, Vec<FieldError>)>,
        via: Via<'_>,
    ) -> Result<Imported> {
        let scope = caller.scope()?;
        let definitions = self.definitions(scope).await?;
        let mut done = Imported::default();
        let mut good: Vec<(u32, Said)> = Vec::with_capacity(rows.len());
        for (index, (said, unreadable)) in (0_u32..).zip(rows) {
            let mut wrong = unreadable;
            wrong.extend(said.faults());
            wrong.extend(attribute_faults(&said.attributes, &definitions));
            if wrong.is_empty() {
                good.push((index, said));
            } else {
                done.errors.extend(wrong.into_iter().map(|w| (index, w)));
            }
        }
        let known = self.known(scope, &good).await?;
        // A file may be older than an erasure: only a customer named alone, over the API, is one anew.
        let (erased, good) = self.without_forgotten(scope, good, &known).await?;
        done.errors.extend(erased);
        // The first row of each new customer goes into one insert, everything else on its own way afterwards.
        let mut fresh = HashSet::new();
        let (new, rest): (Vec<_>, Vec<_>) = good.into_iter().partition(|(_, said)| {
            !known.contains_key(&said.external_id) && fresh.insert(said.external_id.clone())
        });
        let now = self.clock.now();
        let records = new
            .iter()
            .map(|(_, said)| {
                let customer = Customer::new(&said.external_id).with(said, via.source, now);
                let id = kit::id::new("cus");
                let act = Act { action: "customer.import", import_id: via.import_id };
                let events = self.events(caller, scope, (&id, 1), &customer, now, &definitions, act);
                (id, customer, events)
            })
            .collect::<Vec<_>>();
        let inserted =
            if records.is_empty() { Vec::new() } else { self.store.insert_many(scope, records).await? };
        let mut later = rest;
        for (row, outcome) in new.into_iter().zip(inserted) {
            match outcome {
                Ok(()) => done.created += 1,
                // Somebody else was faster, or a provider's id is taken: the single way tells which.
                Err(store::Error::Duplicate(_)) => later.push(row),
                Err(other) => return Err(other.into()),
            }
        }
        // Rows of one customer keep their order.
        let mut by_customer: HashMap<String, Vec<(u32, Said)>> = HashMap::new();
        for row in later {
            by_customer.entry(row.1.external_id.clone()).or_default().push(row);
        }
        let definitions = &definitions;
        let written = stream::iter(by_customer.into_values())
            .map(|rows| async move {
                let mut outcomes = Vec::with_capacity(rows.len());
                for (index, said) in rows {
                    outcomes.push((index, self.upsert_checked(caller, scope, &said, definitions, via).await));
                }
                outcomes
            })
            .buffer_unordered(ABREAST)
            .collect::<Vec<_>>()
            .await;
        for (index, outcome) in written.into_iter().flatten() {
            match outcome {
                Ok((_, Outcome::Created)) => done.created += 1,
                Ok((_, Outcome::Updated)) => done.updated += 1,
                Ok((_, Outcome::Unchanged)) => done.unchanged += 1,
                Err(Error::Store(store::Error::Duplicate(_))) => {
                    let text = "one of these provider ids belongs to another customer";
                    done.errors.push((index, FieldError::new("provider_ids", "already_exists", text)));
                }
                Err(other) => return Err(other),
            }
        }
        done.errors.sort_by_key(|(index, _)| *index);
        Ok(done)
    }

    async fn known(
        &self,
        scope: &kit::Scope,
        rows: &[(u32, Said)],
    ) -> Result<HashMap<String, Stored<Customer>>> {
        let ids: Vec<_> = rows.iter().map(|(_, said)| said.external_id.as_str()).collect();
        let found = self.store.by_externals(scope, &ids).await?;
        let by_name = |c: Stored<Customer>| {
            let names: Vec<_> = c.body.names(EXTERNAL).map(ToOwned::to_owned).collect();
            names.into_iter().map(move |name| (name, c.clone()))
        };
        Ok(found.into_iter().flat_map(by_name).collect())
    }
}
