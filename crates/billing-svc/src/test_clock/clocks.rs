//! What time it is for a company.

use kit::{Mode, Scope, SharedClock, Timestamp};
use store::Stored;

use super::model::TestClock;
use super::store::ClockStore;

/// Tells a company's time: in live mode the machine's, in test mode what its own clock shows. Read each time, as another
/// replica may have moved it.
#[derive(Clone)]
pub struct Clocks {
    pub(super) store: ClockStore,
    clock: SharedClock,
}

impl Clocks {
    pub async fn open(db: &mongodb::Database, clock: SharedClock) -> store::Result<Self> {
        Ok(Self { store: ClockStore::open(db, clock.clone()).await?, clock })
    }

    /// The time of a company.
    pub async fn now(&self, scope: &Scope) -> store::Result<Timestamp> {
        // Read before the machine's time, so that two readings one after the other never go back.
        let moved = self.of(scope).await?;
        let machine = self.machine();
        Ok(moved.map_or(machine, |clock| clock.body.shows(machine)))
    }

    /// The time of the machine, which is live mode's.
    pub fn machine(&self) -> Timestamp {
        self.clock.now()
    }

    /// Every company whose clock was moved, with what it shows. Whatever is due by the machine's time is due by theirs,
    /// as no clock is behind.
    pub async fn moved(&self) -> store::Result<Vec<(Scope, Timestamp)>> {
        let all = self.store.all().await?;
        let machine = self.machine();
        Ok(all.into_iter().map(|c| (c.scope, c.body.shows(machine))).collect())
    }

    pub(super) async fn of(&self, scope: &Scope) -> store::Result<Option<Stored<TestClock>>> {
        match scope.mode {
            Mode::Live => Ok(None),
            Mode::Test => self.store.of(scope).await,
        }
    }
}
