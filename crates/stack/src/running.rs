//! Services, alive: each on a runtime of its own, so that one can be killed in the middle of everything, as `kill -9`
//! would, while the others go on.

use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use kit::SharedClock;
use tokio::runtime::Runtime;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::parts::{Part, Settings, parts};

/// How long a killed service may take to let go of its port and its work.
const DYING: Duration = Duration::from_secs(10);

/// What to start.
pub struct Options {
    /// Settings by environment variable. Addresses are filled in.
    pub settings: Settings,
    /// Where each service listens; one that is not named gets a free port of this machine.
    pub listen: BTreeMap<&'static str, SocketAddr>,
    pub clock: SharedClock,
    /// How long a stopping service waits for work under way.
    pub drain: Duration,
}

/// The services as they run. Dropped, they are killed.
pub struct Running {
    lives: Vec<Life>,
    settings: Settings,
    clock: SharedClock,
    drain: Duration,
}

struct Life {
    part: Part,
    address: SocketAddr,
    process: Option<Process>,
}

/// Starts every service. Listeners come first, so that each knows where the others will be; nobody waits for another.
pub async fn start(options: Options) -> Result<Running> {
    let Options { mut settings, listen, clock, drain } = options;
    let mut bound = Vec::new();
    for part in parts() {
        let wanted = listen.get(part.name).copied().unwrap_or_else(|| SocketAddr::from(([127, 0, 0, 1], 0)));
        let listener = bind(wanted, part.name)?;
        let address = listener.local_addr()?;
        settings.insert(part.address_variable.into(), format!("http://{address}"));
        bound.push((part, address, listener));
    }
    // Links lead to the gateway, wherever it came to listen.
    if let Some(gateway) = settings.get("RETENTION_GATEWAY_ADDR").cloned() {
        settings.entry("RETENTION_PUBLIC_URL".into()).or_insert(gateway);
    }
    let mut lives = Vec::new();
    let mut begun = Vec::new();
    for (part, address, listener) in bound {
        let (process, built) = Process::begin(&part, &settings, clock.clone(), listener, drain)?;
        begun.push((part.name, built));
        lives.push(Life { part, address, process: Some(process) });
    }
    for (name, built) in begun {
        wait_built(name, built).await?;
    }
    Ok(Running { lives, settings, clock, drain })
}

impl Running {
    /// The services' names.
    pub fn names(&self) -> Vec<&'static str> {
        self.lives.iter().map(|life| life.part.name).collect()
    }

    /// Where a service listens, such as `http://127.0.0.1:7402`. It stays the same over a restart.
    pub fn address(&self, name: &str) -> Result<String> {
        Ok(format!("http://{}", self.life(name)?.address))
    }

    /// The settings the services run with, addresses included.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Ends a service where it stands: no drain, no last word; open connections break.
    pub async fn kill(&mut self, name: &str) -> Result<()> {
        let process = self.life_mut(name)?.process.take();
        process.with_context(|| format!("{name} does not run"))?.kill().await
    }

    /// Starts a killed service again, at its old address.
    pub async fn restart(&mut self, name: &str) -> Result<()> {
        let (settings, clock, drain) = (self.settings.clone(), self.clock.clone(), self.drain);
        let life = self.life_mut(name)?;
        if life.process.is_some() {
            bail!("{name} runs");
        }
        let listener = bind(life.address, name)?;
        let (process, built) = Process::begin(&life.part, &settings, clock, listener, drain)?;
        life.process = Some(process);
        wait_built(name, built).await
    }

    /// Waits until one of the services ends by itself, and says which and why.
    pub async fn ended(&mut self) -> anyhow::Error {
        let served = self.lives.iter_mut().filter_map(|life| {
            let name = life.part.name;
            let served = &mut life.process.as_mut()?.served;
            Some(Box::pin(async move { (name, served.await) }))
        });
        let (name, outcome) = futures_util::future::select_all(served).await.0;
        match outcome {
            Ok(Err(e)) => e.context(format!("{name} ended")),
            Ok(Ok(())) => anyhow::anyhow!("{name} ended"),
            Err(e) => anyhow::Error::new(e).context(format!("{name} ended")),
        }
    }

    /// Stops every service, each after its drain; the first failure, if there was one.
    pub async fn stop(mut self) -> Result<()> {
        let processes: Vec<_> =
            self.lives.iter_mut().filter_map(|life| Some((life.part.name, life.process.take()?))).collect();
        for (_, process) in &processes {
            process.stop.cancel();
        }
        let mut failed = None;
        for (name, mut process) in processes {
            let outcome = (&mut process.served).await;
            process.kill().await?;
            if let Ok(Err(e)) = outcome {
                failed.get_or_insert(e.context(format!("{name} did not stop well")));
            }
        }
        failed.map_or(Ok(()), Err)
    }

    fn life(&self, name: &str) -> Result<&Life> {
        self.lives.iter().find(|life| life.part.name == name).with_context(|| format!("there is no {name}"))
    }

    fn life_mut(&mut self, name: &str) -> Result<&mut Life> {
        let found = self.lives.iter_mut().find(|life| life.part.name == name);
        found.with_context(|| format!("there is no {name}"))
    }
}

/// One service on its runtime: the nearest thing to a process of its own.
struct Process {
    runtime: Option<Runtime>,
    stop: CancellationToken,
    served: JoinHandle<Result<()>>,
}

impl Process {
    fn begin(
        part: &Part,
        settings: &Settings,
        clock: SharedClock,
        listener: TcpListener,
        drain: Duration,
    ) -> Result<(Self, oneshot::Receiver<()>)> {
        let build = part
            .build(settings, clock)
            .with_context(|| format!("failed to read the settings of {}", part.name))?;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .thread_name(part.name)
            .enable_all()
            .build()
            .context("failed to start a runtime")?;
        let stop = CancellationToken::new();
        let (tell, built) = oneshot::channel();
        let stopped = stop.clone();
        let name = part.name;
        let served = runtime.spawn(async move {
            let service = build.await.with_context(|| format!("failed to start {name}"));
            // Without a word the one who waits looks at how it ended.
            let service = service.inspect_err(|e| tracing::error!(error = %format!("{e:#}"), "{e:#}"))?;
            tell.send(()).ok();
            let listener = tokio::net::TcpListener::from_std(listener)?;
            kit::run::serve(service, listener, stopped, drain).await
        });
        Ok((Self { runtime: Some(runtime), stop, served }, built))
    }

    /// Drops everything the service does, at the next point where it waits for something.
    async fn kill(mut self) -> Result<()> {
        if let Some(runtime) = self.runtime.take() {
            // Waiting for the threads blocks, and the port is free only when they are gone.
            tokio::task::spawn_blocking(move || runtime.shutdown_timeout(DYING)).await?;
        }
        Ok(())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            // A runtime must not be waited for where others run.
            runtime.shutdown_background();
        }
    }
}

fn bind(address: SocketAddr, name: &str) -> Result<TcpListener> {
    let listener =
        TcpListener::bind(address).with_context(|| format!("{name} failed to listen on {address}"))?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

async fn wait_built(name: &str, built: oneshot::Receiver<()>) -> Result<()> {
    built.await.with_context(|| format!("{name} did not start; the log says why"))
}
