//! Who was erased: what stays of the record, and how nobody comes back by an old name.
//!
//! A provider's word and the rows of an import do not bring somebody back. A customer whom the company names alone, by
//! `POST /v1/customers`, is one anew, with a new id; so is what the provider says once it names that one.

use std::collections::{HashMap, HashSet};

use kit::{Caller, FieldError, Scope};
use store::Stored;

use super::model::{Customer, EXTERNAL, Said, State, name_of};
use super::ops::{Customers, external_id};
use crate::error::{Error, Result};
use crate::providers::{CustomerSnapshot, ProviderKind};

/// How often a write is tried again that somebody else came before.
const TRIES: usize = 8;

/// A name nobody reads, and everybody who has the name finds.
pub(super) fn unreadable(scope: &Scope, name: &str) -> String {
    let said = format!("{}/{}/{name}", scope.company, scope.mode.as_str());
    let hash = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, said.as_bytes());
    hex::encode(&hash.as_ref()[..16])
}

impl Customer {
    /// What stays of somebody who was erased: that there was somebody, whose record it became part of, and the names in a
    /// form nobody reads.
    pub(super) fn erased(&self, scope: &Scope, id: &str) -> Self {
        let own = std::iter::once(name_of(EXTERNAL, &self.external_id))
            .chain(self.links.iter().map(|(provider, id)| name_of(provider, id)))
            .chain(self.also.iter().cloned());
        let mut forgotten: Vec<_> = own.map(|name| unreadable(scope, &name)).collect();
        forgotten.sort();
        forgotten.dedup();
        Self {
            state: State::Erased,
            merged_into: self.merged_into.clone(),
            forgotten,
            ..Self::new(format!("erased-{id}"))
        }
    }
}

impl Customers {
    /// Leaves nothing of a person in these records; how many there were. What is left tells nobody anything, so the others
    /// hear of it when they have done their part.
    pub(crate) async fn erase(&self, scope: &Scope, ids: &[String]) -> Result<u64> {
        let mut erased = 0;
        // Those that became part of another first: while the survivor stands, the others are found through it.
        for id in ids.iter().rev() {
            erased += u64::from(self.erase_one(scope, id).await?);
        }
        Ok(erased)
    }

    async fn erase_one(&self, scope: &Scope, id: &str) -> Result<bool> {
        for _ in 0..TRIES {
            let read = match self.store.record(scope, id).await {
                Err(store::Error::NotFound(_)) => return Ok(false),
                other => other?,
            };
            if read.body.state == State::Erased {
                return Ok(false);
            }
            match self.store.replace(&read, read.body.erased(scope, id), Vec::new()).await {
                Err(store::Error::Stale(_)) => {}
                Err(other) => return Err(other.into()),
                Ok(_) => return Ok(true),
            }
        }
        Err(Error::Busy)
    }

    /// Keeps a customer's data without using it, or uses it again.
    pub(crate) async fn restrict(&self, scope: &Scope, id: &str, restricted: bool) -> Result<()> {
        let caller = Caller::internal(crate::NAME, Some(scope.clone()));
        let definitions = self.definitions(scope).await?;
        for _ in 0..TRIES {
            let read = self.store.get(scope, id).await?;
            if read.body.restricted == restricted || read.body.state == State::Erased {
                return Ok(());
            }
            let next = Customer { restricted, ..read.body.clone() };
            match self.write(&caller, &read, next, &definitions, "customer.restrict").await {
                Err(store::Error::Stale(_)) => {}
                other => return Ok(other.map(drop)?),
            }
        }
        Err(Error::Busy)
    }

    /// Who was erased of whom a provider speaks.
    pub(super) async fn erased_as(
        &self,
        scope: &Scope,
        provider: ProviderKind,
        seen: &CustomerSnapshot,
    ) -> Result<Option<Stored<Customer>>> {
        Ok(self.store.forgotten(scope, &names_of(scope, provider, seen)).await?.into_iter().next())
    }

    /// Whether a provider's customer is somebody who was erased, and nobody anew.
    pub(crate) async fn is_erased(&self, scope: &Scope, provider: ProviderKind, id: &str) -> Result<bool> {
        let name = unreadable(scope, &name_of(provider.as_str(), id));
        if self.store.forgotten(scope, &[name]).await?.is_empty() {
            return Ok(false);
        }
        Ok(self.store.by_link(scope, provider, id).await?.is_none())
    }

    /// Of those a provider tells of and nobody knows, the ids of who was erased.
    pub(super) async fn forgotten_of(
        &self,
        scope: &Scope,
        provider: ProviderKind,
        seen: &[CustomerSnapshot],
        linked: &HashMap<String, Stored<Customer>>,
        named: &HashSet<&str>,
    ) -> Result<HashSet<String>> {
        let unknown =
            |s: &&CustomerSnapshot| !linked.contains_key(s.id.as_str()) && !named.contains(external_id(s));
        let unknown: Vec<_> =
            seen.iter().filter(unknown).map(|s| (s, names_of(scope, provider, s))).collect();
        let names: Vec<_> = unknown.iter().flat_map(|(_, names)| names.iter().cloned()).collect();
        let found = self.store.forgotten(scope, &names).await?;
        let known: HashSet<_> = found.iter().flat_map(|c| c.body.forgotten.iter()).collect();
        let erased = unknown.iter().filter(|(_, names)| names.iter().any(|n| known.contains(n)));
        Ok(erased.map(|(s, _)| s.id.as_str().to_owned()).collect())
    }

    /// Rows without those of who was erased, which are faults.
    pub(super) async fn without_forgotten(
        &self,
        scope: &Scope,
        rows: Vec<(u32, Said)>,
        known: &HashMap<String, Stored<Customer>>,
    ) -> Result<(Vec<(u32, FieldError)>, Vec<(u32, Said)>)> {
        let name = |said: &Said| unreadable(scope, &name_of(EXTERNAL, &said.external_id));
        let new = rows.iter().filter(|(_, said)| !known.contains_key(&said.external_id));
        let names: Vec<_> = new.map(|(_, said)| name(said)).collect();
        let found = self.store.forgotten(scope, &names).await?;
        if found.is_empty() {
            return Ok((Vec::new(), rows));
        }
        let erased: HashSet<_> = found.iter().flat_map(|c| c.body.forgotten.iter()).collect();
        let (gone, rest): (Vec<_>, Vec<_>) = rows
            .into_iter()
            .partition(|(_, said)| !known.contains_key(&said.external_id) && erased.contains(&name(said)));
        let fault = |(row, _)| {
            let text = "this customer was erased: one anew is named alone, by POST /v1/customers";
            (row, FieldError::new("external_id", "customer_erased", text))
        };
        Ok((gone.into_iter().map(fault).collect(), rest))
    }
}

/// What an answer to whoever wants to change somebody who was erased is.
pub(super) fn still_there(customer: &Customer) -> Result<()> {
    if customer.state == State::Erased {
        return Err(Error::Refused("customer_erased", "this customer was erased".into()));
    }
    Ok(())
}

fn names_of(scope: &Scope, provider: ProviderKind, seen: &CustomerSnapshot) -> Vec<String> {
    let names = [name_of(provider.as_str(), seen.id.as_str()), name_of(EXTERNAL, external_id(seen))];
    names.iter().map(|name| unreadable(scope, name)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use kit::Mode;

    #[test]
    fn nothing_of_the_person_is_left_in_the_record() {
        let scope = Scope::new("com_1", Mode::Live);
        let ada = Customer {
            email: "ada@example.com".into(),
            name: "Ada Lovelace".into(),
            tags: vec!["vip".into()],
            links: [("stripe".to_owned(), "cus_ada".to_owned())].into(),
            also: vec![name_of(EXTERNAL, "ada-2")],
            restricted: true,
            ..Customer::new("ada-1")
        };
        let left = ada.erased(&scope, "cus_1");
        let text = serde_json::to_string(&left).unwrap().to_lowercase();
        assert!(!text.contains("ada") && !text.contains("vip"), "{text}");
        assert_eq!(left.forgotten.len(), 3);
        assert!(left.forgotten.contains(&unreadable(&scope, "stripe/cus_ada")));
        let elsewhere = Scope::new("com_2", Mode::Live);
        assert!(!left.forgotten.contains(&unreadable(&elsewhere, "stripe/cus_ada")), "another company's");
        assert_eq!(left.derived(&[], true), left, "and no subscription changes that");
    }
}
