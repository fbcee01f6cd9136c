//! A MongoDB replica set of three whose primary can be lost. Its servers are processes of the test that asked for them.

use std::path::PathBuf;
use std::time::Duration;

use bson::{Document, doc};
use mongodb::Client;
use tokio::process::{Child, Command};

use crate::servers::{TestDb, data, ports, read, within};

/// How long an election may take on a busy machine.
const ELECTED: Duration = Duration::from_secs(60);

pub struct Replicas {
    members: Vec<(u16, Child)>,
    uri: String,
    folder: PathBuf,
}

impl Drop for Replicas {
    fn drop(&mut self) {
        // The servers die with their handles; what they wrote was for this test only.
        self.members.clear();
        std::fs::remove_dir_all(&self.folder).ok();
    }
}

impl Replicas {
    /// Starts them and waits until one is elected.
    pub async fn start() -> Self {
        let program = read("MONGOD_BIN").expect("MONGOD_BIN is not set; run tests with `cargo xtask test`");
        let ports = ports(3);
        let memory = PathBuf::from("/dev/shm");
        let base = if memory.is_dir() { memory } else { std::env::temp_dir() };
        let folder = base.join(kit::id::new("replicas"));
        let start = |port: u16| {
            let path = folder.join(port.to_string());
            std::fs::create_dir_all(&path).unwrap();
            let mut command = Command::new(&program);
            command.arg("--dbpath").arg(&path).arg("--logpath").arg(path.join("mongod.log"));
            command.args(["--port", &port.to_string(), "--bind_ip", "127.0.0.1", "--replSet", "three"]);
            command.args(["--nounixsocket", "--oplogSize", "50", "--wiredTigerCacheSizeGB", "0.25"]);
            command.args(["--setParameter", "diagnosticDataCollectionEnabled=false"]);
            if let Some(libraries) = read("MONGOD_LIBRARIES") {
                command.env("LD_LIBRARY_PATH", libraries);
            }
            command.kill_on_drop(true).stdout(std::process::Stdio::null()).spawn().unwrap()
        };
        let members: Vec<_> = ports.iter().map(|port| (*port, start(*port))).collect();
        let hosts: Vec<_> = ports.iter().map(|port| format!("127.0.0.1:{port}")).collect();
        let uri = format!("mongodb://{}/?replicaSet=three", hosts.join(","));
        let listed = hosts.iter().zip(0_i32..).map(|(host, id)| doc! { "_id": id, "host": host });
        let config = doc! {
            "_id": "three", "version": 1, "members": listed.collect::<Vec<_>>(),
            "settings": { "electionTimeoutMillis": 1_000, "heartbeatIntervalMillis": 200 },
        };
        within(ELECTED, "three servers that listen", async || {
            command(ports[0], doc! { "replSetInitiate": &config }).await
        })
        .await;
        let replicas = Self { members, uri, folder };
        replicas.primary().await;
        replicas
    }

    /// Databases of one test, on these servers.
    pub fn db(&self) -> TestDb {
        TestDb { data: kit::config::Data { mongo_uri: self.uri.clone(), ..data() } }
    }

    /// `kill -9` for the primary.
    pub async fn lose_primary(&mut self) {
        let port = self.primary().await;
        let at = self.members.iter().position(|(member, _)| *member == port).unwrap();
        self.members.remove(at).1.kill().await.unwrap();
    }

    async fn primary(&self) -> u16 {
        within(ELECTED, "an election", async || {
            for (port, _) in &self.members {
                let hello = command(*port, doc! { "hello": 1 }).await;
                if hello.is_some_and(|h| h.get_bool("isWritablePrimary").unwrap_or(false)) {
                    return Some(*port);
                }
            }
            None
        })
        .await
    }
}

/// Asks one member; nothing when it does not answer or refuses.
async fn command(port: u16, command: Document) -> Option<Document> {
    let uri = format!("mongodb://127.0.0.1:{port}/?directConnection=true&serverSelectionTimeoutMS=500");
    let client = Client::with_uri_str(uri).await.ok()?;
    client.database("admin").run_command(command).await.ok()
}
