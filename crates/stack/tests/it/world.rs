//! A system of a test's own: all services, databases, streams and a clock to move.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use kit::caller::{Actor, Minter, SigningKey};
use kit::client::Upstream;
use kit::clock::MovedClock;
use kit::{Caller, ExposeSecret, Mode, Role, Scope};
use stack::{Options, Running};

/// How long a test's call may take.
pub const DEADLINE: Duration = Duration::from_secs(10);

pub struct World {
    pub stack: Running,
    pub clock: Arc<MovedClock>,
    minter: Minter,
    files: Folder,
    /// Last, so that databases go when nobody uses them any more.
    _data: testkit::TestDb,
}

/// A folder that goes with the test.
struct Folder(std::path::PathBuf);

impl Drop for Folder {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.0).ok();
    }
}

impl World {
    /// Starts everything and waits until it is ready.
    pub async fn start() -> Self {
        Self::start_with([]).await
    }

    /// The same with settings beside the usual ones.
    pub async fn start_with<const N: usize>(more: [(&str, String); N]) -> Self {
        crate::sink::start();
        let data = testkit::mongo().await;
        let clock = Arc::new(MovedClock::default());
        let key = SigningKey::new_seed();
        let minter = Minter::new("gateway", Arc::new(SigningKey::from_seed(&key).unwrap()), clock.clone());
        let files = Folder(std::env::temp_dir().join(&data.data.nats_prefix));
        let folder = |name: &str| files.0.join(name).display().to_string();
        let settings = [
            ("RETENTION_MONGO_URI", data.data.mongo_uri.clone()),
            ("RETENTION_MONGO_PREFIX", data.data.mongo_prefix.clone()),
            ("RETENTION_NATS_URL", data.data.nats_url.clone()),
            ("RETENTION_NATS_PREFIX", data.data.nats_prefix.clone()),
            ("RETENTION_INNER_KEY", key.expose_secret().to_owned()),
            ("RETENTION_SECRETS_KEY", SigningKey::new_seed().expose_secret().to_owned()),
            ("RETENTION_MAIL_DIR", folder("mail")),
            ("RETENTION_OBJECTS_DIR", folder("objects")),
            ("RETENTION_BOOTSTRAP_ADMIN", "operator@example.com".to_owned()),
            ("RETENTION_PRIVATE_NETWORKS", "true".to_owned()),
        ];
        let settings =
            settings.into_iter().chain(more).map(|(name, value)| (name.to_owned(), value)).collect();
        let drain = Duration::from_secs(5);
        let options = Options { settings, listen: BTreeMap::new(), clock: clock.clone(), drain };
        let stack = stack::start(options).await.unwrap();
        let world = Self { stack, clock, minter, files, _data: data };
        for name in world.stack.names() {
            world.until_ready(name).await;
        }
        world
    }

    /// Waits until a service answers that it is ready.
    pub async fn until_ready(&self, name: &str) {
        let address = format!("{}/readyz", self.stack.address(name).unwrap());
        testkit::eventually(&format!("{name} getting ready"), || async {
            reqwest::get(&address).await.ok().filter(|r| r.status().is_success()).map(drop)
        })
        .await;
    }

    /// A place for a file of this test.
    pub fn file(&self, name: &str) -> std::path::PathBuf {
        self.files.0.join(name)
    }

    /// A service as the gateway sees it.
    pub fn upstream(&self, name: &'static str) -> Upstream {
        Upstream::new(name, &self.stack.address(name).unwrap(), self.minter.clone()).unwrap()
    }

    /// A retention admin of a company.
    pub fn admin(&self, company: &str) -> Caller {
        Caller {
            role: Role::RetAdmin,
            actor: Actor::new("user", "usr_1"),
            ..Caller::internal("gateway", Some(Scope::new(company, Mode::Live)))
        }
    }
}
