//! The six services as processes of their own, to be killed as an operating system kills.

use std::collections::BTreeMap;
use std::ops::Deref;

use testkit::Line;
use tokio::process::{Child, Command};

use crate::world::{Site, until_ready};

pub struct Processes {
    alive: BTreeMap<&'static str, Child>,
    addresses: BTreeMap<&'static str, String>,
    /// What they tell, and whether it is kept.
    level: &'static str,
    kept: bool,
    site: Site,
    /// The lines by which content-svc reaches others, by their names.
    pub lines: BTreeMap<&'static str, Line>,
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
        Self::open("warn", false, []).await
    }

    /// The same with more settings, and with logs of this level and traces that are kept.
    pub async fn start_telling<const N: usize>(level: &'static str, more: [(&str, String); N]) -> Self {
        Self::open(level, true, more).await
    }

    async fn open<const N: usize>(level: &'static str, kept: bool, more: [(&str, String); N]) -> Self {
        let mut site = Site::new().await;
        site.settings.extend(more.map(|(name, value)| (name.to_owned(), value)));
        if kept {
            site.settings.insert("RETENTION_OTLP_ENDPOINT".to_owned(), crate::sink::address());
        }
        let parts = stack::parts::parts();
        let (mut addresses, mut lines) = (BTreeMap::new(), BTreeMap::new());
        for (part, port) in parts.iter().zip(testkit::ports(parts.len())) {
            let address = format!("http://127.0.0.1:{port}");
            site.settings.insert(part.address_variable.to_owned(), address.clone());
            lines.insert(part.name, Line::to(&format!("127.0.0.1:{port}")).await);
            addresses.insert(part.name, address);
        }
        site.gateway = addresses["gateway"].clone();
        site.settings.insert("RETENTION_PUBLIC_URL".to_owned(), site.gateway.clone());
        let mut processes = Self { alive: BTreeMap::new(), addresses, level, kept, site, lines };
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
        command.args(["serve", "--only", name]).envs(&self.site.settings).env("RETENTION_LOG", self.level);
        if name == "content-svc" {
            for part in stack::parts::parts().iter().filter(|p| p.name != name) {
                command.env(part.address_variable, format!("http://{}", self.lines[part.name].at));
            }
        }
        if self.kept {
            let log = self.site.file(&format!("{name}.log"));
            std::fs::create_dir_all(log.parent().unwrap()).unwrap();
            let log = std::fs::OpenOptions::new().create(true).append(true).open(log).unwrap();
            command.stdout(log.try_clone().unwrap()).stderr(log);
        }
        self.alive.insert(name, command.kill_on_drop(true).spawn().unwrap());
    }

    /// `kill -9`, and nothing is left of it.
    pub async fn kill(&mut self, name: &str) {
        self.alive.remove(name).unwrap().kill().await.unwrap();
    }

    /// Ends everything in order; what each of them told.
    pub async fn stop_and_read(&mut self) -> BTreeMap<&'static str, String> {
        for child in self.alive.values() {
            let asked = Command::new("kill").arg(child.id().unwrap().to_string()).status().await.unwrap();
            assert!(asked.success());
        }
        for child in self.alive.values_mut() {
            child.wait().await.unwrap();
        }
        let read = |name| (name, std::fs::read_to_string(self.site.file(&format!("{name}.log"))).unwrap());
        self.names().into_iter().map(read).collect()
    }

    /// Starts a killed service again, at its old address.
    pub async fn restart(&mut self, name: &'static str) {
        self.spawn(name);
        until_ready(name, &self.addresses[name]).await;
    }
}
