//! A page of a sync at once: what is new goes into one insert, only what differs is written, and the customers follow
//! together.

use std::collections::{HashMap, HashSet};

use futures_util::{StreamExt, stream};
use kit::Scope;

use super::model::{Reading, Subscription};
use super::ops::Subscriptions;
use crate::error::{Error, Result};
use crate::events::Stamp;
use crate::providers::{ProviderError, ProviderKind, Snapshot};

/// How many single writes go on at once.
const ABREAST: usize = 16;

impl Subscriptions {
    /// Takes many readings of the provider, each as [`Subscriptions::observe`] does; how many could not be understood.
    pub async fn observe_all(
        &self,
        scope: &Scope,
        provider: ProviderKind,
        seen: Vec<Snapshot>,
    ) -> Result<u64> {
        let now = self.clocks.machine();
        let ids: Vec<_> = seen.iter().map(|s| s.id.as_str()).collect();
        let known = self.store.by_externals(scope, provider, &ids).await?;
        let known: HashMap<_, _> = known.into_iter().map(|s| (s.body.external_id.clone(), s)).collect();
        let customers: Vec<_> = seen.iter().map(|s| s.customer.as_str()).collect();
        let customers = self.customers.linked_ids(scope, provider, &customers).await?;
        let (mut new, mut changed, mut rest) = (Vec::new(), Vec::new(), Vec::new());
        let (mut touched, mut fresh) = (HashSet::new(), HashSet::new());
        for snapshot in seen {
            let customer = customers.get(snapshot.customer.as_str());
            touched.extend(customer.cloned());
            match (known.get(snapshot.id.as_str()), customer) {
                (Some(mirror), _) => {
                    touched.insert(mirror.body.customer_id.clone());
                    if let Reading::Newer(next) = mirror.body.read(snapshot.clone(), now) {
                        changed.push((mirror.clone(), *next, snapshot));
                    }
                }
                (None, Some(customer)) if fresh.insert(snapshot.id.clone()) => {
                    new.push((customer.clone(), snapshot));
                }
                _ => rest.push(snapshot),
            }
        }
        let records = new.iter().map(|(customer, snapshot)| {
            let body = Subscription::seen(provider, customer.clone(), snapshot.clone(), now);
            let id = kit::id::new("sub");
            let stamp = Stamp { scope, subject: &id, sequence: 1, at: now };
            let events = vec![stamp.subscription_changed(&body, None)];
            (id, body, events)
        });
        let inserted = self.store.insert_many(scope, records.collect()).await?;
        for ((_, snapshot), outcome) in new.into_iter().zip(inserted) {
            match outcome {
                Ok(()) => {}
                Err(store::Error::Duplicate(_)) => rest.push(snapshot),
                Err(other) => return Err(other.into()),
            }
        }
        // One write each: what follows from them, follows for the whole page.
        let written = stream::iter(changed)
            .map(|(mirror, next, snapshot)| {
                let subscriptions = self.clone();
                async move { (subscriptions.save(&mirror, next, None).await, snapshot) }
            })
            .buffer_unordered(ABREAST)
            .collect::<Vec<_>>()
            .await;
        for (outcome, snapshot) in written {
            match outcome {
                Ok(_) => {}
                // Somebody else was faster: the single way looks again.
                Err(Error::Store(store::Error::Stale(_))) => rest.push(snapshot),
                Err(other) => return Err(other),
            }
        }
        // Those already the same as well: a crash may have come between a subscription and its customer.
        self.follow_all(scope, touched.into_iter().collect()).await?;
        let single = stream::iter(rest)
            .map(|snapshot| {
                let subscriptions = self.clone();
                async move { subscriptions.observe(scope, provider, snapshot, None).await }
            })
            .buffer_unordered(ABREAST)
            .collect::<Vec<_>>()
            .await;
        let mut rejected = 0;
        for outcome in single {
            match outcome {
                Ok(_) => {}
                Err(Error::Provider(ProviderError::Unreadable(_) | ProviderError::NotFound(_))) => {
                    rejected += 1
                }
                Err(other) => return Err(other),
            }
        }
        Ok(rejected)
    }

    async fn follow_all(&self, scope: &Scope, customers: Vec<String>) -> Result<()> {
        let now = self.clocks.now(scope).await?;
        let saved = self.ledgers.saved(scope, &customers, now).await?;
        let mut of: HashMap<_, (Vec<Subscription>, bool)> = HashMap::new();
        for s in self.store.of_customers(scope, &customers).await? {
            let id = s.body.customer_id.clone();
            let saved = saved.contains(&id);
            of.entry(id).or_insert_with(|| (Vec::new(), saved)).0.push(s.body);
        }
        self.customers.follow_all(scope, of).await
    }
}
