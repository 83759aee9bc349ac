//! The map of the service: it alone knows every stage, builds the last one first and gives each the handle of the next.

mod asked;
mod stages;

use std::fs;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::timeout;
use tracing::{error, info, warn};
use vagn_otp::{Exit, ExitReason, ProcessInfo, Root};
use vagn_store::disk::RealDisk;
use vagn_store::{DataDir, StoreError};

use crate::config::Settings;
use crate::door::Doors;
use crate::door::listen::{self, ListenError};
use stages::{Listeners, Parts};
use vagn_flow::clock::{Clock, SystemClock};
use vagn_flow::metrics::{DoorMetrics, Registry, ReportMetrics};
use vagn_flow::readiness::{Purpose, Readiness};
use vagn_flow::stamp::Stamper;
use vagn_http::tls::Identity;

/// Longest an orderly stop may take; then everything is ended where it stands.
const STOP_WITHIN: Duration = Duration::from_secs(8);

/// Longest what does not stop may take to be ended. Then the process leaves without it, as safe as after `kill -9`.
const KILL_WITHIN: Duration = Duration::from_millis(500);

/// Nice value of the threads that do the bulk of the work: doors and emergencies come first.
const WORK_NICE: i32 = 5;

/// The reason that the service did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A port or the data directory is in use.
    #[error("{0}")]
    InUse(String),
    /// A setting names what cannot be used.
    #[error("{0}")]
    Unusable(String),
    /// Anything else.
    #[error(transparent)]
    Other(#[from] anyhow::Error),
}

impl From<ListenError> for StartError {
    fn from(err: ListenError) -> Self {
        Self::InUse(err.to_string())
    }
}

/// The running service.
pub struct App {
    runtime: Runtime,
    /// Targets are notified from a runtime of their own, so that no crowd of queries can be in the way.
    emergency_runtime: Runtime,
    root: Root,
    readiness: Arc<Readiness>,
    stamper: Arc<Stamper>,
    listening: Vec<(&'static str, SocketAddr)>,
}

impl App {
    /// Starts the service. On return it listens; it may still be reading its store.
    ///
    /// # Errors
    /// A port or the data directory cannot be had, or a part does not start.
    pub fn start(settings: Settings, demo: bool) -> Result<Self, StartError> {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
        let data = open_data_dir(&settings)?;
        let stamper = Stamper::open(&settings.data_dir, clock.clone()).context("open the clock's mark")?;
        let stamper = Arc::new(stamper);
        let runtime = build_runtime("vagn", worker_threads())?;
        let emergency_runtime = build_runtime("vagn-emergency", 1)?;
        let listeners = {
            let _entered = runtime.enter();
            bind(&settings)?
        };
        let listening = listeners.addresses();
        let readiness = Arc::new(Readiness::default());
        let registry = Registry::new();
        let parts = Parts {
            identity: identity(&settings)?,
            clock,
            stamper: stamper.clone(),
            reports: ReportMetrics::new(&registry),
            doors: DoorMetrics::new(&registry),
            registry,
            readiness: readiness.clone(),
            emergency_runtime: emergency_runtime.handle().clone(),
            demo,
            settings,
        };
        info!(version = env!("CARGO_PKG_VERSION"), data_dir = %data.path().display(), "starting");
        for (name, address) in &listening {
            info!(listener = name, %address, "listening");
        }
        readiness.missing("service", Purpose::ALL, "starting");
        let root = runtime.block_on(stages::start(parts, data, listeners))?;
        readiness.present("service");
        Ok(Self { runtime, emergency_runtime, root, readiness, stamper, listening })
    }

    /// One line per listener, as `udp 127.0.0.1:9092`.
    pub fn listening(&self) -> impl Iterator<Item = String> {
        self.listening.iter().map(|(name, address)| format!("{name} {address}"))
    }

    /// Runs until asked to stop by SIGTERM or SIGINT, or until the root gives up. `ready` is called once, as soon as
    /// everything that was stored can be asked for.
    ///
    /// # Errors
    /// Signals cannot be waited for.
    pub fn run(self, ready: impl FnOnce() -> anyhow::Result<()>) -> anyhow::Result<Exit> {
        let exit = self.runtime.block_on(async {
            let mut terminate = signal(SignalKind::terminate()).context("wait for SIGTERM")?;
            let mut interrupt = signal(SignalKind::interrupt()).context("wait for SIGINT")?;
            let asked = async {
                tokio::select! {
                    _ = terminate.recv() => "SIGTERM",
                    _ = interrupt.recv() => "SIGINT",
                }
            };
            let tell_ready = async {
                self.readiness.ready().await;
                info!("ready");
                // Standard output may be closed by now: no reason to stop.
                ready().ok();
                std::future::pending::<()>().await
            };
            tokio::select! {
                signal = asked => Ok(self.stop(signal).await),
                exit = self.gave_up() => Ok(exit),
                () = tell_ready => unreachable!("it stays pending"),
            }
        });
        self.close(&exit);
        exit
    }

    async fn stop(&self, signal: &str) -> Exit {
        info!(signal, "stopping");
        self.readiness.missing("service", Purpose::ALL, "stopping");
        self.end(self.root.stop()).await.unwrap_or(Exit::Stopped)
    }

    /// The root gives up when it has stopped everything else, which may hang as any stop may.
    async fn gave_up(&self) -> Exit {
        self.root.ending().await;
        let ended = self.end(self.root.ended()).await;
        ended.unwrap_or_else(|| Exit::GaveUp { child: "vagn".into(), reason: ExitReason::Killed })
    }

    /// Waits for the end, and hurries it when it takes too long. None: something cannot be ended.
    async fn end(&self, ended: impl Future<Output = Exit>) -> Option<Exit> {
        if let Ok(exit) = timeout(STOP_WITHIN, ended).await {
            return Some(exit);
        }
        let pending = names(&self.root.pending());
        warn!(within = ?STOP_WITHIN, pending, "the stop takes too long; ending what is left");
        timeout(KILL_WITHIN, self.root.kill()).await.ok()
    }

    fn close(self, exit: &anyhow::Result<Exit>) {
        let stamper = self.stamper.clone();
        let leave_mark = self.runtime.spawn_blocking(move || stamper.close());
        match self.runtime.block_on(async { timeout(KILL_WITHIN, leave_mark).await }) {
            Ok(Ok(Ok(()))) => {}
            failed => warn!(?failed, "failed to leave the clock's mark"),
        }
        match exit {
            Ok(Exit::GaveUp { child, reason }) => error!(child, %reason, "gave up"),
            _ => info!("stopped"),
        }
        self.emergency_runtime.shutdown_background();
        self.runtime.shutdown_background();
    }
}

/// The processes on one line, such as `vagn/doors/udp (stopping), vagn/web (running)`.
fn names(processes: &[ProcessInfo]) -> String {
    let names = processes.iter().map(|process| format!("{} ({})", process.path, process.state.as_str()));
    names.collect::<Vec<_>>().join(", ")
}

fn worker_threads() -> usize {
    std::thread::available_parallelism().map_or(2, |cores| cores.get().max(2))
}

fn build_runtime(name: &str, threads: usize) -> anyhow::Result<Runtime> {
    let mut builder = Builder::new_multi_thread();
    builder.worker_threads(threads).thread_name(name).enable_all().build().context("start the runtime")
}

fn open_data_dir(settings: &Settings) -> Result<DataDir, StartError> {
    let dir = &settings.data_dir;
    let partitions = (settings.partitions > 0).then_some(settings.partitions);
    DataDir::open(Arc::new(RealDisk), dir, partitions).map_err(|err| match err {
        StoreError::InUse { .. } => StartError::InUse(err.to_string()),
        StoreError::Io { ref source, .. } if is_unusable(source.kind()) => StartError::Unusable(format!(
            "`data_dir` {} cannot be used: {:#}; choose a directory that the service's user may write, with --data-dir",
            dir.display(),
            anyhow::Error::new(err)
        )),
        other => StartError::Other(anyhow::Error::new(other).context("open the data directory")),
    })
}

/// True for errors that another directory or other permissions would cure; a full or broken disk is another matter.
fn is_unusable(kind: ErrorKind) -> bool {
    use ErrorKind::{AlreadyExists, NotADirectory, PermissionDenied, ReadOnlyFilesystem};
    matches!(kind, AlreadyExists | NotADirectory | PermissionDenied | ReadOnlyFilesystem)
}

fn bind(settings: &Settings) -> Result<Listeners, StartError> {
    Ok(Listeners {
        doors: Doors::bind(settings)?,
        http: listen::tcp(&settings.http.listen)?,
        ops: listen::tcp(&settings.ops.listen)?,
    })
}

fn identity(settings: &Settings) -> Result<Identity, StartError> {
    let (cert, key): (&Path, &Path) = (&settings.http.cert, &settings.http.key);
    if cert.as_os_str().is_empty() {
        fs::create_dir_all(&settings.data_dir).context("create the data directory")?;
        return Ok(Identity::of_data_dir(&settings.data_dir).context("make a certificate")?);
    }
    let usable = Identity::load(cert, key).and_then(|it| it.server_config(&[]).map(|_| it));
    usable.map_err(|err| {
        let why = anyhow::Error::new(err);
        let remedy = "name PEM files that the service's user may read, or set neither";
        StartError::Unusable(format!("`http.cert` or `http.key` cannot be used: {why:#}; {remedy}"))
    })
}
