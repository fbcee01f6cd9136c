//! The six services as processes of their own, to be killed as an operating system kills.

use std::collections::BTreeMap;
use std::ops::Deref;

use tokio::process::{Child, Command};

use crate::world::{Site, until_ready};

pub struct Processes {
    alive: BTreeMap<&'static str, Child>,
    addresses: BTreeMap<&'static str, String>,
    site: Site,
}

impl Deref for Processes {
    type Target = Site;

    fn deref(&self) -> &Site {
        &self.site
    }
}

impl Processes {
    /// Starts everything and waits until it is ready.
    pub async fn start() -> Self {
        let mut site = Site::new().await;
        let parts = stack::parts::parts();
        let mut addresses = BTreeMap::new();
        for (part, port) in parts.iter().zip(testkit::ports(parts.len())) {
            let address = format!("http://127.0.0.1:{port}");
            site.settings.insert(part.address_variable.to_owned(), address.clone());
            addresses.insert(part.name, address);
        }
        site.gateway = addresses["gateway"].clone();
        site.settings.insert("RETENTION_PUBLIC_URL".to_owned(), site.gateway.clone());
        let mut processes = Self { alive: BTreeMap::new(), addresses, site };
        for name in processes.names() {
            processes.spawn(name);
        }
        for name in processes.names() {
            until_ready(name, &processes.addresses[name]).await;
        }
        processes
    }

    pub fn names(&self) -> Vec<&'static str> {
        self.addresses.keys().copied().collect()
    }

    fn spawn(&mut self, name: &'static str) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_stack"));
        command.args(["serve", "--only", name]).envs(&self.site.settings).env("RETENTION_LOG", "warn");
        self.alive.insert(name, command.kill_on_drop(true).spawn().unwrap());
    }

    /// `kill -9`, and nothing is left of it.
    pub async fn kill(&mut self, name: &str) {
        self.alive.remove(name).unwrap().kill().await.unwrap();
    }

    /// Starts a killed service again, at its old address.
    pub async fn restart(&mut self, name: &'static str) {
        self.spawn(name);
        until_ready(name, &self.addresses[name]).await;
    }
}
