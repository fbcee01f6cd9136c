//! Reading everything a provider has into the mirror: page by page, its place written down after each, so that whoever
//! goes on begins where it stopped. The document is the job: a connection whose sync runs is taken up by any replica.

use std::sync::Arc;
use std::time::Duration;

use kit::SharedClock;
use store::{Leases, Stored};

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::model::{Connection, Drift, PageRead, Sync};
use super::ops::Connections;
use crate::customers::Customers;
use crate::error::{Error, Result};
use crate::providers::{Change, ChangePage, Cursor, ProviderKind};
use crate::request_lock;
use crate::subscription::Subscriptions;

/// How often it is looked for syncs that nobody woke us for.
const TICK: Duration = Duration::from_secs(2);

/// Carries syncs out.
#[derive(Clone)]
pub struct Syncs {
    connections: Connections,
    customers: Customers,
    subscriptions: Subscriptions,
    leases: Leases,
    clock: SharedClock,
    wake: Arc<Notify>,
}

impl Syncs {
    pub fn new(
        connections: Connections,
        customers: Customers,
        subscriptions: Subscriptions,
        leases: Leases,
        clock: SharedClock,
    ) -> Self {
        Self { connections, customers, subscriptions, leases, clock, wake: Arc::new(Notify::new()) }
    }

    /// There is something to do.
    pub fn wake(&self) {
        self.wake.notify_one();
    }

    /// Works until stopped.
    pub async fn run(self, stop: CancellationToken) -> anyhow::Result<()> {
        while !stop.is_cancelled() {
            // Nobody waits for it: whoever does comes first at the provider.
            if let Err(e) = Box::pin(connect::pace::in_background(self.due_round(&stop))).await {
                tracing::warn!(error = %e, "syncs cannot go on: {e}");
            }
            tokio::select! {
                () = stop.cancelled() => {}
                () = self.wake.notified() => {}
                () = tokio::time::sleep(TICK) => {}
            }
        }
        Ok(())
    }

    async fn due_round(&self, stop: &CancellationToken) -> Result<()> {
        self.start_due().await?;
        Box::pin(self.round(stop)).await
    }

    /// Starts the syncs that are due by themselves.
    pub async fn start_due(&self) -> Result<()> {
        self.connections.start_due().await
    }

    /// Goes on with every sync that is due.
    pub async fn round(&self, stop: &CancellationToken) -> Result<()> {
        for read in self.connections.syncing().await? {
            let lock = request_lock::sync(read.body.provider.as_str(), &read.scope);
            // Somebody else is at it.
            let Ok(lease) = self.leases.acquire(&lock, "billing-svc", "sync").await else { continue };
            let outcome = self.carry_on(&lease, read, stop).await;
            lease.release().await;
            outcome?;
        }
        Ok(())
    }

    async fn carry_on(
        &self,
        lease: &store::Lease,
        read: Stored<Connection>,
        stop: &CancellationToken,
    ) -> Result<()> {
        // What was listed may be old by now.
        let mut read = self.connections.get(&read.scope, read.body.provider).await?;
        while let Some(sync) = read.body.sync.clone().filter(|_| read.body.is_syncing()) {
            if stop.is_cancelled() || lease.renew().await.is_err() {
                return Ok(());
            }
            let now = self.clock.now();
            let next = match self.page(&read, &sync).await {
                Ok(Page { next, done, read: count }) => {
                    let sync = sync.page(count, next.as_str().to_owned(), done, now);
                    let status = read.body.status.after(Ok(()));
                    Connection { status, ..read.body.stepped(sync, now) }
                }
                Err(e) => {
                    let text = format!("{}: {e}", e.slug());
                    tracing::warn!(provider = read.body.provider.as_str(), error = %e, "a sync stumbled: {text}");
                    let (status, passing) = match &e {
                        Error::Provider(p) => (read.body.status.after(Err(p)), p.is_passing()),
                        Error::Store(_) | Error::Busy => (read.body.status, true),
                        _ => (read.body.status, false),
                    };
                    let sync = sync.stumbled(text, passing, now);
                    Connection { status, ..read.body.stepped(sync, now) }
                }
            };
            let stumbled = next.sync.as_ref().is_some_and(|s| s.failures > 0);
            read = match self.connections.note(&read, next).await {
                Ok(stored) => stored,
                // Keys were replaced meanwhile: the page is read again, which changes nothing.
                Err(Error::Store(store::Error::Stale(_))) => {
                    self.connections.get(&read.scope, read.body.provider).await?
                }
                Err(other) => return Err(other),
            };
            if stumbled {
                return Ok(());
            }
        }
        if let Some(sync) = &read.body.sync {
            tracing::info!(
                provider = read.body.provider.as_str(),
                "a sync ended: {} customers, {} subscriptions, {} pages, {} that had drifted",
                sync.customers,
                sync.subscriptions,
                sync.pages,
                sync.drift.count()
            );
        }
        Ok(())
    }

    async fn page(&self, read: &Stored<Connection>, sync: &Sync) -> Result<Page> {
        let (scope, kind) = (&read.scope, read.body.provider);
        if sync.sweeping {
            return self.sweep(read, sync).await;
        }
        let provider = self.connections.provider(scope, kind).await?;
        let ChangePage { changes, next, done } = provider.changes(&Cursor::new(sync.cursor.clone())).await?;
        let (mut customers, mut subscriptions) = (Vec::new(), Vec::new());
        for change in changes {
            match change {
                Change::Customer(seen) => customers.push(seen),
                Change::Subscription(snapshot) => subscriptions.push(*snapshot),
            }
        }
        let (of_customers, of_subscriptions) = (customers.len() as u64, subscriptions.len() as u64);
        // Customers first: their subscriptions look for them.
        if !customers.is_empty() {
            self.customers.link_all(scope, kind, customers).await?;
        }
        let (mut rejected, mut drift) = (0, Drift::default());
        if !subscriptions.is_empty() {
            let ids: Vec<_> = subscriptions.iter().map(|s| s.id.clone()).collect();
            if sync.compares {
                drift = self.subscriptions.drift(scope, kind, &subscriptions).await?;
            }
            rejected = self.subscriptions.observe_all(scope, kind, subscriptions).await?;
            if sync.compares {
                self.subscriptions.heard_of(scope, kind, &ids, sync.started_at).await?;
            }
        }
        repaired(kind, &drift);
        let count =
            PageRead { customers: of_customers, subscriptions: of_subscriptions - rejected, rejected, drift };
        Ok(Page { next, done, read: count })
    }

    /// Asks one by one for what the mirror has and did not appear while everything was read.
    async fn sweep(&self, read: &Stored<Connection>, sync: &Sync) -> Result<Page> {
        let (drift, done) =
            self.subscriptions.sweep(&read.scope, read.body.provider, sync.started_at).await?;
        repaired(read.body.provider, &drift);
        let next = Cursor::new(sync.cursor.clone());
        Ok(Page { next, done, read: PageRead { drift, ..PageRead::default() } })
    }
}

fn repaired(kind: ProviderKind, drift: &Drift) {
    let Drift { missing, stale, changed, vanished, examples: _ } = drift;
    for (what, count) in
        [("missing", missing), ("stale", stale), ("changed", changed), ("vanished", vanished)]
    {
        if *count > 0 {
            metrics::counter!("billing_drift_repaired_total", "provider" => kind.as_str(), "kind" => what)
                .increment(*count);
        }
    }
}

/// One page, taken.
struct Page {
    next: Cursor,
    done: bool,
    read: PageRead,
}
