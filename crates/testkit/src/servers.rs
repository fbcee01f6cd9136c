//! The real MongoDB and NATS of a test run (`cargo xtask test` says where they are), shared by all tests; names of a
//! test's own keep them apart.

use std::net::TcpListener;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use kit::config::Data;
use mongodb::Database;

/// Databases and streams of one test, taken away when it succeeded.
pub struct TestDb {
    /// Settings with names of this test's own, as a service takes them.
    pub data: Data,
}

/// Settings that point to the servers of the run, with fresh names.
pub fn data() -> Data {
    let name = kit::id::new("t");
    let at = |variable: &str| {
        read(variable).unwrap_or_else(|| panic!("{variable} is not set; run tests with `cargo xtask test`"))
    };
    Data {
        mongo_uri: at("MONGODB_URI"),
        mongo_prefix: name.clone(),
        nats_url: at("NATS_URL"),
        nats_prefix: name,
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "where the servers of a test run are is not a setting of a service"
)]
pub fn read(variable: &str) -> Option<String> {
    std::env::var(variable).ok()
}

/// Fresh databases for one test.
pub async fn mongo() -> TestDb {
    kit::run::crypto();
    TestDb { data: data() }
}

impl TestDb {
    /// The database of one service.
    pub async fn db(&self, service: &str) -> Database {
        store::connect(&self.data, service).await.expect("the address of the test's MongoDB can be read")
    }

    async fn drop_all(data: Data) -> Result<()> {
        let client = mongodb::Client::with_uri_str(&data.mongo_uri).await?;
        for name in client.list_database_names().await? {
            if name.starts_with(&format!("{}_", data.mongo_prefix)) {
                client.database(&name).drop().await?;
            }
        }
        let nats = async_nats::connect(&data.nats_url).await.context("failed to reach NATS")?;
        let jetstream = async_nats::jetstream::new(nats);
        for stream in ["events", "dead"] {
            // A test without events has none.
            jetstream.delete_stream(format!("{}-{stream}", data.nats_prefix)).await.ok();
        }
        Ok(())
    }
}

impl Drop for TestDb {
    fn drop(&mut self) {
        // What a failed test leaves is for whoever looks into it.
        if std::thread::panicking() {
            return;
        }
        let data = self.data.clone();
        let cleaned = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(Self::drop_all(data))
        });
        if let Ok(Err(e)) = cleaned.join() {
            eprintln!("the test's databases were not dropped: {e:#}");
        }
    }
}

/// Ports for servers a test starts as processes, below those the system gives to connections: one of these may be taken
/// by any connection before its server listens, or while it is started anew.
pub fn ports(count: usize) -> Vec<u16> {
    let first = usize::try_from(std::process::id()).unwrap() * 50;
    let candidates = (0..20_000).map(|n| u16::try_from(12_000 + (first + n) % 20_000).unwrap());
    // Held together until all are known, so that no port is given twice.
    let held: Vec<_> =
        candidates.filter_map(|p| TcpListener::bind(("127.0.0.1", p)).ok()).take(count).collect();
    assert_eq!(held.len(), count, "no more ports are free");
    held.iter().map(|listener| listener.local_addr().unwrap().port()).collect()
}

/// A clock that only moves forward, by hand or with the machine.
pub fn clock() -> kit::clock::MovedClock {
    kit::clock::MovedClock::default()
}

/// Asks again and again until something is there; panics when it never is. The one way tests wait.
pub async fn eventually<T, F: Future<Output = Option<T>>>(what: &str, ask: impl FnMut() -> F) -> T {
    within(Duration::from_secs(30), what, ask).await
}

/// The same for what is promised within a longer time.
pub async fn within<T, F: Future<Output = Option<T>>>(
    patience: Duration,
    what: &str,
    mut ask: impl FnMut() -> F,
) -> T {
    let end = Instant::now() + patience;
    loop {
        if let Some(found) = ask().await {
            return found;
        }
        assert!(Instant::now() < end, "{what} did not happen within {patience:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
