//! The development environment: ports and secrets, made once and kept in `.dev/settings.json`.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};

use crate::servers::{self, Servers};
use crate::{files, shell};

/// The six processes, callee before caller.
pub const SERVICES: [&str; 6] =
    ["identity-svc", "billing-svc", "analytics-svc", "content-svc", "notify-svc", "gateway"];
/// Where the gateway listens unless told otherwise.
pub const GATEWAY_PORT: u16 = 7400;
/// The operator of the local installation.
pub const KALE_ADMIN: &str = "operator@demo.example";

#[derive(Clone, Serialize, Deserialize)]
pub struct Settings {
    pub ports: BTreeMap<String, u16>,
    /// The seed that inner tokens are signed with.
    pub inner_key: String,
    /// The key that stored secrets are encrypted with.
    pub secrets_key: String,
    /// Settings beside the usual ones, by variable.
    #[serde(default)]
    pub more: BTreeMap<String, String>,
}

impl Settings {
    /// Reads the kept settings of a folder, or makes them.
    pub fn open(folder: &std::path::Path, gateway_port: Option<u16>) -> Result<Self> {
        let path = folder.join("settings.json");
        let kept = fs::read_to_string(&path).ok().and_then(|t| serde_json::from_str::<Self>(&t).ok());
        let mut settings = match kept {
            Some(settings) => settings,
            None => Self {
                ports: BTreeMap::new(),
                inner_key: random_key()?,
                secrets_key: random_key()?,
                more: BTreeMap::new(),
            },
        };
        for service in SERVICES {
            if !settings.ports.contains_key(service) {
                let port = if service == "gateway" { GATEWAY_PORT } else { servers::free_port()? };
                settings.ports.insert(service.into(), port);
            }
        }
        if let Some(port) = gateway_port {
            settings.ports.insert("gateway".into(), port);
        }
        files::write(&path, &serde_json::to_string_pretty(&settings)?)?;
        Ok(settings)
    }

    /// A port for something beside the services, the same each time.
    pub fn reserve(&mut self, folder: &std::path::Path, name: &str) -> Result<()> {
        if !self.ports.contains_key(name) {
            self.ports.insert(name.into(), servers::free_port()?);
            files::write(&folder.join("settings.json"), &serde_json::to_string_pretty(&self)?)?;
        }
        Ok(())
    }

    pub fn port(&self, service: &str) -> u16 {
        self.ports.get(service).copied().unwrap_or(0)
    }

    pub fn address(&self, service: &str) -> String {
        format!("http://127.0.0.1:{}", self.port(service))
    }

    /// Every setting any of our processes may want. A process is only given those it knows.
    pub fn environment(&self, servers: &Servers, folder: &std::path::Path) -> BTreeMap<String, String> {
        let mut all = BTreeMap::from([
            ("RETENTION_MONGO_URI".into(), servers.mongo_uri()),
            ("RETENTION_NATS_URL".into(), servers.nats_url()),
            ("RETENTION_INNER_KEY".into(), self.inner_key.clone()),
            ("RETENTION_SECRETS_KEY".into(), self.secrets_key.clone()),
            ("RETENTION_MAIL_DIR".into(), folder.join("mail").display().to_string()),
            ("RETENTION_OBJECTS_DIR".into(), folder.join("objects").display().to_string()),
            ("RETENTION_BOOTSTRAP_ADMIN".into(), KALE_ADMIN.into()),
            ("RETENTION_PUBLIC_URL".into(), self.address("gateway")),
        ]);
        for service in SERVICES {
            let name = service.trim_end_matches("-svc").to_uppercase();
            all.insert(format!("RETENTION_{name}_ADDR"), self.address(service));
        }
        all.extend(self.more.clone());
        all
    }
}

/// Thirty-two random bytes, base64url.
fn random_key() -> Result<String> {
    let mut bytes = [0_u8; 32];
    fs::File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(URL_SAFE_NO_PAD.encode(bytes))
}

/// Builds the binaries; answers the folder they lie in.
pub fn build(release: bool) -> Result<PathBuf> {
    let mut command = Command::new("cargo");
    command.args(["build", "--bins"]);
    if release {
        command.arg("--release");
    }
    shell::status(&mut command).context("the build failed")?;
    Ok(files::root().join("target").join(if release { "release" } else { "debug" }))
}

/// A command for one of our binaries that is given the settings it knows and no other of ours: a process refuses
/// to start on a setting it does not know.
pub fn process(
    binary: &std::path::Path,
    args: &[&str],
    settings: &BTreeMap<String, String>,
) -> Result<Command> {
    let help = shell::output(Command::new(binary).args(args).arg("--help"))?;
    let mut command = Command::new(binary);
    command.args(args);
    // Help ends the name of a secret with a bracket, as it does not show the value.
    let knows = |name: &str| ["=", "]"].iter().any(|end| help.contains(&format!("[env: {name}{end}")));
    for (name, value) in settings.iter().filter(|(name, _)| knows(name)) {
        command.env(name, value);
    }
    Ok(command)
}
