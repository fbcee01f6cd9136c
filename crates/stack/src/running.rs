//! Services, alive: each on a runtime of its own, so that one that is busy does not keep the others waiting.

use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use anyhow::{Context, Result};
use kit::SharedClock;
use tokio::runtime::Runtime;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::parts::{Part, Settings, parts};

/// How long a stopped service may take to let go of its port and its work.
const DYING: Duration = Duration::from_secs(10);

/// What to start.
pub struct Options {
    /// Which services to start; all, when none is named.
    pub only: Vec<String>,
    /// Settings by environment variable. Addresses of what is started here are filled in.
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
}

struct Life {
    part: Part,
    address: SocketAddr,
    process: Process,
}

/// Starts the services. Listeners come first, so that each knows where the others will be; nobody waits for another.
pub async fn start(options: Options) -> Result<Running> {
    let Options { only, mut settings, listen, clock, drain } = options;
    let mut bound = Vec::new();
    for part in parts().into_iter().filter(|p| only.is_empty() || only.iter().any(|o| o == p.name)) {
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
        begun.push(built);
        lives.push(Life { part, address, process });
    }
    for (life, built) in lives.iter_mut().zip(begun) {
        life.process.wait_built(life.part.name, built).await?;
    }
    Ok(Running { lives, settings })
}

impl Running {
    /// The services' names.
    pub fn names(&self) -> Vec<&'static str> {
        self.lives.iter().map(|life| life.part.name).collect()
    }

    /// Where a service listens, such as `http://127.0.0.1:7402`.
    pub fn address(&self, name: &str) -> Result<String> {
        Ok(format!("http://{}", self.life(name)?.address))
    }

    /// The settings the services run with, addresses included.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Waits until one of the services ends by itself, and says which and why.
    pub async fn ended(&mut self) -> anyhow::Error {
        let served = self.lives.iter_mut().map(|life| {
            let (name, served) = (life.part.name, &mut life.process.served);
            Box::pin(async move { (name, served.await) })
        });
        let (name, outcome) = futures_util::future::select_all(served).await.0;
        match outcome {
            Ok(Err(e)) => e.context(format!("{name} ended")),
            Ok(Ok(())) => anyhow::anyhow!("{name} ended"),
            Err(e) => anyhow::Error::new(e).context(format!("{name} ended")),
        }
    }

    /// Stops every service, each after its drain; the first failure, if there was one.
    pub async fn stop(self) -> Result<()> {
        for life in &self.lives {
            life.process.stop.cancel();
        }
        let mut failed = None;
        for Life { part, mut process, .. } in self.lives {
            let outcome = (&mut process.served).await;
            process.end().await?;
            if let Ok(Err(e)) = outcome {
                failed.get_or_insert(e.context(format!("{} did not stop well", part.name)));
            }
        }
        failed.map_or(Ok(()), Err)
    }

    fn life(&self, name: &str) -> Result<&Life> {
        self.lives.iter().find(|life| life.part.name == name).with_context(|| format!("there is no {name}"))
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

    async fn wait_built(&mut self, name: &str, built: oneshot::Receiver<()>) -> Result<()> {
        match built.await {
            Ok(()) => Ok(()),
            // Without a word it ended, and how it ended says why.
            Err(_) => (&mut self.served).await?.and_then(|()| anyhow::bail!("{name} ended before it served")),
        }
    }

    /// Drops whatever the service left undone, at the next point where it waits for something.
    async fn end(mut self) -> Result<()> {
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
