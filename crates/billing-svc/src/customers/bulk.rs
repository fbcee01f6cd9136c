//! A page of a sync at once: what is new goes into one insert, only what differs is written.

use std::collections::{HashMap, HashSet};

use futures_util::{StreamExt, TryStreamExt, stream};
use kit::{Caller, Scope};

use super::model::{Customer, EXTERNAL};
use super::ops::{Customers, external_id, with_metadata};
use crate::error::Result;
use crate::providers::{CustomerSnapshot, ProviderKind};
use crate::subscription::Subscription;

/// How many single writes go on at once.
const ABREAST: usize = 16;

impl Customers {
    /// Takes over what a provider says of many customers, each as [`Customers::link`] does.
    pub async fn link_all(
        &self,
        scope: &Scope,
        provider: ProviderKind,
        seen: Vec<CustomerSnapshot>,
    ) -> Result<()> {
        let caller = Caller::internal("billing-svc", Some(scope.clone()));
        let definitions = self.definitions(scope).await?;
        let now = self.clock.now();
        let ids: Vec<_> = seen.iter().map(|s| s.id.as_str()).collect();
        let names: Vec<_> = seen.iter().map(external_id).collect();
        let linked = self.store.by_links(scope, provider, &ids).await?;
        let linked: HashMap<_, _> = linked
            .into_iter()
            .flat_map(|c| {
                let names: Vec<_> = c.body.names(provider.as_str()).map(ToOwned::to_owned).collect();
                names.into_iter().map(move |name| (name, c.clone()))
            })
            .collect();
        let named = self.store.by_externals(scope, &names).await?;
        let named: HashSet<_> = named.iter().flat_map(|c| c.body.names(EXTERNAL)).collect();
        let forgotten = self.forgotten_of(scope, provider, &seen, &linked, &named).await?;
        let (mut new, mut rest, mut fresh) = (Vec::new(), Vec::new(), HashSet::new());
        for seen in seen {
            let known = linked.get(seen.id.as_str());
            let same =
                |c: &Customer| with_metadata(c.linked(provider, &seen), &seen, &definitions, now) == *c;
            if known.is_some_and(|c| same(&c.body)) || forgotten.contains(seen.id.as_str()) {
                continue;
            }
            let is_new = known.is_none() && !named.contains(external_id(&seen));
            if is_new && fresh.insert(external_id(&seen).to_owned()) {
                new.push(seen);
            } else {
                rest.push(seen);
            }
        }
        let records = new.iter().map(|seen| {
            let customer = Customer::new(external_id(seen)).linked(provider, seen);
            let customer = with_metadata(customer, seen, &definitions, now);
            let id = kit::id::new("cus");
            let events = self.events(&caller, scope, (&id, 1), &customer, now, &definitions, "customer.link");
            (id, customer, events)
        });
        let inserted = self.store.insert_many(scope, records.collect()).await?;
        for (seen, outcome) in new.into_iter().zip(inserted) {
            match outcome {
                Ok(()) => {}
                // Somebody else was faster: the single way finds what is there.
                Err(store::Error::Duplicate(_)) => rest.push(seen),
                Err(other) => return Err(other.into()),
            }
        }
        let each = stream::iter(rest.into_iter().map(Ok)).try_for_each_concurrent(ABREAST, |seen| {
            let customers = self.clone();
            async move { customers.link(scope, provider, &seen).await.map(|_| ()) }
        });
        each.await
    }

    /// Whom a provider knows by these ids: the provider's id → ours.
    pub async fn linked_ids(
        &self,
        scope: &Scope,
        provider: ProviderKind,
        ids: &[&str],
    ) -> Result<HashMap<String, String>> {
        let found = self.store.by_links(scope, provider, ids).await?;
        Ok(found
            .iter()
            .flat_map(|c| c.body.names(provider.as_str()).map(move |name| (name.to_owned(), c.id.clone())))
            .collect())
    }

    /// Brings many customers in line with their subscriptions; `of` holds, by customer, what they have and whether
    /// something given to them still runs.
    pub async fn follow_all(
        &self,
        scope: &Scope,
        of: HashMap<String, (Vec<Subscription>, bool)>,
    ) -> Result<()> {
        let caller = &Caller::internal("billing-svc", Some(scope.clone()));
        let definitions = &self.definitions(scope).await?;
        let ids: Vec<_> = of.keys().cloned().collect();
        let mut writes = Vec::new();
        for read in self.store.get_many(scope, &ids).await? {
            let Some((subscriptions, saved)) = of.get(&read.id) else { continue };
            let next = read.body.derived(subscriptions, *saved);
            if next != read.body {
                writes.push((read, next));
            }
        }
        let written = stream::iter(writes)
            .map(|(read, next)| {
                let customers = self.clone();
                async move {
                    let written = customers.write(caller, &read, next, definitions, "customer.follow").await;
                    (read.id, written.map(|_| ()))
                }
            })
            .buffer_unordered(ABREAST)
            .collect::<Vec<_>>()
            .await;
        for (id, outcome) in written {
            match outcome {
                Ok(()) => {}
                Err(store::Error::Stale(_)) => {
                    if let Some((subscriptions, saved)) = of.get(&id) {
                        self.follow(scope, &id, subscriptions, *saved).await?;
                    }
                }
                Err(other) => return Err(other.into()),
            }
        }
        Ok(())
    }
}
