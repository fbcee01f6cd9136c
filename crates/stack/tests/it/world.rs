//! A system of a test's own: all services, databases and streams.

use std::collections::BTreeMap;
use std::ops::Deref;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use kit::ExposeSecret;
use kit::caller::SigningKey;
use stack::parts::Settings;
use stack::{Options, Running};

/// What a system runs on, and how it is reached.
pub struct Site {
    /// Such as `http://127.0.0.1:7400`.
    pub gateway: String,
    pub settings: Settings,
    files: Folder,
    /// Last, so that databases go when nobody uses them any more.
    pub data: testkit::TestDb,
}

/// A folder that goes with the test.
struct Folder(PathBuf);

impl Drop for Folder {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.0).ok();
    }
}

impl Site {
    /// Databases, streams, folders and keys; the gateway's address is for whoever starts it to say.
    pub async fn new() -> Self {
        crate::sink::start();
        let data = testkit::mongo().await;
        let files = Folder(std::env::temp_dir().join(&data.data.nats_prefix));
        let folder = |name: &str| files.0.join(name).display().to_string();
        let key = || SigningKey::new_seed().expose_secret().to_owned();
        let settings = [
            ("RETENTION_MONGO_URI", data.data.mongo_uri.clone()),
            ("RETENTION_MONGO_PREFIX", data.data.mongo_prefix.clone()),
            ("RETENTION_NATS_URL", data.data.nats_url.clone()),
            ("RETENTION_NATS_PREFIX", data.data.nats_prefix.clone()),
            ("RETENTION_INNER_KEY", key()),
            ("RETENTION_SECRETS_KEY", key()),
            ("RETENTION_MAIL_DIR", folder("mail")),
            ("RETENTION_OBJECTS_DIR", folder("objects")),
            ("RETENTION_BOOTSTRAP_ADMIN", "operator@example.com".to_owned()),
            ("RETENTION_PRIVATE_NETWORKS", "true".to_owned()),
        ];
        let settings = settings.map(|(name, value)| (name.to_owned(), value)).into();
        Self { gateway: String::new(), settings, files, data }
    }

    /// A place for a file of this test.
    pub fn file(&self, name: &str) -> PathBuf {
        self.files.0.join(name)
    }
}

/// Waits until a service answers that it is ready.
pub async fn until_ready(name: &str, address: &str) {
    let address = format!("{address}/readyz");
    testkit::eventually(&format!("{name} getting ready"), || async {
        reqwest::get(&address).await.ok().filter(|r| r.status().is_success()).map(drop)
    })
    .await;
}

/// All services in the test's own process.
pub struct World {
    pub stack: Running,
    pub clock: kit::clock::MovedClock,
    site: Site,
}

impl Deref for World {
    type Target = Site;

    fn deref(&self) -> &Site {
        &self.site
    }
}

impl World {
    /// Starts everything and waits until it is ready.
    pub async fn start() -> Self {
        Self::start_with([]).await
    }

    /// The same with settings beside the usual ones.
    pub async fn start_with<const N: usize>(more: [(&str, String); N]) -> Self {
        let mut site = Site::new().await;
        site.settings.extend(more.map(|(name, value)| (name.to_owned(), value)));
        let clock = testkit::clock();
        let options = Options {
            only: Vec::new(),
            settings: site.settings.clone(),
            listen: BTreeMap::new(),
            clock: Arc::new(clock.clone()),
            drain: Duration::from_secs(5),
        };
        let stack = stack::start(options).await.unwrap();
        site.gateway = stack.address("gateway").unwrap();
        for name in stack.names() {
            until_ready(name, &stack.address(name).unwrap()).await;
        }
        Self { stack, clock, site }
    }
}
