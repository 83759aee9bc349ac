//! The map of the service: it alone knows every stage, builds the last one first and gives each the handle of the next.

mod asked;
pub(crate) mod certificates;
mod copier;
mod data_dir;
mod files;
mod ground;
mod manager;
mod node;
pub(crate) mod places;
mod private;
mod ready;
mod registry;
mod reload;
mod roles;
mod stages;

use std::fs;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use parking_lot::{Mutex, RwLock};
use tokio::runtime::{Handle, Runtime};
use tokio::time::{sleep, timeout};
use tracing::{error, info, warn};
use vagn_otp::{Exit, ExitReason, ProcessInfo};

use crate::cluster::NodeLink;
use crate::config::Settings;
use crate::control::{ControlSocket, SOCKET};
use crate::door::Doors;
use crate::door::listen::{self, ListenError};
use certificates::Certificates;
pub use ground::Ground;
pub(crate) use ground::leave;
use ground::{Ask, Asked, build_runtime, worker_threads};
use manager::{Manager, is_supervised};
use places::PortPlaces;
pub use reload::ReadSettings;
use reload::Reloader;
use stages::{Listeners, Parts, Tree};
use vagn_api::map::{Archive, Basemap};
use vagn_flow::clock::{Believed, Clock, SystemClock};
use vagn_flow::mark::{Found, MarkError};
use vagn_flow::metrics::{DoorMetrics, MetricRegistry, ReportMetrics};
use vagn_flow::readiness::{Purpose, Readiness};
use vagn_flow::stamp::Stamper;
use vagn_flow::trust::{Trust, TrustParts};
use vagn_http::tls::{Identity, TlsError};
use vagn_registry::Registry;

/// Longest an orderly stop may take; then everything is ended where it stands.
const STOP_WITHIN: Duration = Duration::from_secs(8);

/// Longest what does not stop may take to be ended. Then the process leaves without it, as safe as after `kill -9`.
const KILL_WITHIN: Duration = Duration::from_millis(500);

/// Longest wait for a reload of the settings, after which signals are heeded again.
const RELOAD_WITHIN: Duration = Duration::from_secs(5);

/// Nice value of the threads that do the bulk of the work: doors and emergencies come first.
const WORK_NICE: i32 = 5;

/// Nice value of the threads that serve those who only look: on a full processor all of them together get a twentieth of it.
const VIEW_NICE: i32 = 15;

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
    runtime: Handle,
    /// Targets are notified from a runtime of their own, so that no crowd of queries can be in the way.
    emergency_runtime: Runtime,
    /// Clients are let in by a runtime of their own, so that no crowd of them holds up those who are in.
    handshake_runtime: Runtime,
    /// Viewers of the map are served from a runtime that comes after all others.
    view_runtime: Runtime,
    tree: Tree,
    readiness: Arc<Readiness>,
    stamper: Arc<Stamper>,
    trust: Arc<Trust>,
    listening: Vec<(&'static str, SocketAddr)>,
    reloader: Arc<Reloader>,
    hang_limit: Duration,
}

impl App {
    /// Starts the service, within [`Ground::begin`]. On return it listens; it may still be reading its store. `read` reads the settings
    /// again when they are to be reloaded.
    ///
    /// # Errors
    /// A port or the data directory cannot be had, or a part does not start.
    pub fn start(settings: Settings, demo: bool, read: ReadSettings) -> Result<Self, StartError> {
        let basemap = Arc::new(basemap(&settings)?);
        node::check(&settings)?;
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
        let data = data_dir::open(&settings)?;
        private::keep(&settings.data_dir);
        let stamper = Arc::new(open_stamper(&settings, &clock)?);
        let runtime = Handle::current();
        let emergency_runtime = build_runtime("vagn-emergency", 1, None)?;
        let handshake_runtime =
            build_runtime("vagn-handshake", (worker_threads() / 2).max(1), Some(WORK_NICE))?;
        let view_runtime = build_runtime("vagn-view", (worker_threads() / 2).max(1), Some(VIEW_NICE))?;
        let readiness = Arc::new(Readiness::default());
        let (link, node_name) = (NodeLink::default(), node::name(&settings));
        let (registry, wrapped_by) = match settings.cluster.is_set() {
            true => node::open_registry(&settings, &link, &runtime, &readiness)?,
            false => registry::open(&settings, &data)?,
        };
        keep_closed(&settings, &registry)?;
        let listeners = {
            let _entered = runtime.enter();
            bind(&settings, &readiness)?
        };
        let listening = listeners.addresses();
        let metric_registry = MetricRegistry::new();
        // In a cluster no storage reads a log here, whose times would tell more.
        let logs = if settings.cluster.is_set() { 0 } else { data.partitions() };
        let trust = trust(&settings, &clock, &stamper, logs, &readiness, &metric_registry);
        let places = PortPlaces::new(&settings, &metric_registry, &readiness, &clock)?;
        let certificates = Arc::new(Certificates {
            identity: Arc::new(identity(&settings, clock.now_ms())?),
            data_dir: settings.data_dir.clone(),
            settings: RwLock::new(settings.http.clone()),
            readiness: readiness.clone(),
        });
        let credentials =
            stages::api::credentials(&settings.http, &clock, &registry, &trust, &metric_registry);
        let reloader = Arc::new(Reloader {
            read,
            settings: Mutex::new(settings.clone()),
            certificates: certificates.clone(),
            credentials: credentials.clone(),
            registry: registry.clone(),
            trust: trust.clone(),
        });
        let (hang_limit, is_cluster) = (settings.hang_limit.0, settings.cluster.is_set());
        let parts = Parts {
            places,
            certificates,
            clock,
            part_list: data.part_list(),
            registry,
            wrapped_by,
            node_name,
            link,
            credentials,
            stamper: stamper.clone(),
            trust: trust.clone(),
            reports: ReportMetrics::new(&metric_registry),
            doors: DoorMetrics::new(&metric_registry),
            memory: stages::memory::open(&settings, &metric_registry),
            metric_registry,
            readiness: readiness.clone(),
            emergency_runtime: emergency_runtime.handle().clone(),
            handshake_runtime: handshake_runtime.handle().clone(),
            view_runtime: view_runtime.handle().clone(),
            basemap,
            udp_port: listening.iter().find(|(name, _)| *name == "udp").map(|(_, address)| address.port()),
            demo,
            settings,
        };
        info!(version = env!("CARGO_PKG_VERSION"), data_dir = %data.path().display(), "starting");
        for set in data.other_sets() {
            warn!(path = %set.display(), "a set of partitions that is not in force; nothing here uses it");
        }
        if is_cluster {
            node::warn_of_unused(&data, &readiness);
        }
        for (name, address) in &listening {
            info!(listener = name, %address, "listening");
        }
        readiness.missing("service", Purpose::ALL, "starting");
        let tree = runtime.block_on(stages::start(parts, data, listeners))?;
        readiness.present("service");
        Ok(Self {
            runtime,
            emergency_runtime,
            handshake_runtime,
            view_runtime,
            tree,
            readiness,
            stamper,
            trust,
            listening,
            reloader,
            hang_limit,
        })
    }

    /// One line per listener, as `udp 127.0.0.1:9092`.
    pub fn listening(&self) -> impl Iterator<Item = String> {
        self.listening.iter().map(|(name, address)| format!("{name} {address}"))
    }

    /// Runs until a signal asks it to stop, or until the root gives up. `ready` is called once, as soon as reports are stored,
    /// everything that was stored can be asked for, and notices go out. It must not wait for anything.
    ///
    /// # Errors
    /// A setting turned out to be wrong before it was ready; then it has stopped.
    pub fn run(self, ground: &mut Ground, ready: impl FnOnce()) -> Result<Exit, StartError> {
        let manager = Manager::of_environment();
        manager.listening();
        let (exit, refused) = ground.stand(async |asked: Asked<'_>| {
            let refused = async {
                if let Err(why) = self.ready().await {
                    return why;
                }
                info!("ready");
                ready();
                manager.ready();
                std::future::pending().await
            };
            tokio::select! {
                // The signal first: it may have come during the start, and then nothing is ready any more.
                biased;
                signal = self.heed(asked, &manager) => {
                    manager.stopping();
                    (self.stop(signal).await, None)
                }
                exit = self.gave_up() => (exit, None),
                () = self.beat(&manager) => unreachable!("it goes on for ever"),
                why = refused => {
                    manager.stopping();
                    (self.stop("a wrong setting").await, Some(why))
                }
            }
        });
        self.close(&exit);
        refused.map_or(Ok(exit), |why| Err(StartError::Unusable(why)))
    }

    /// Reloads the settings at each signal that asks for it, until one asks to stop. Returns its name.
    async fn heed(&self, mut asked: Asked<'_>, manager: &Manager) -> &'static str {
        loop {
            match asked.next().await {
                Ask::Stop(signal) => return signal,
                Ask::Reload => {
                    manager.reloading();
                    let reloader = self.reloader.clone();
                    let reloading = self.runtime.spawn_blocking(move || reloader.reload());
                    // A disk that hangs holds up no stop.
                    let done = timeout(RELOAD_WITHIN, reloading).await;
                    manager.reloaded(
                        done.ok().and_then(Result::ok).unwrap_or("ready; the reload has not ended"),
                    );
                }
            }
        }
    }

    /// Tells the service manager again and again that the service is alive, as long as its supervision works.
    async fn beat(&self, manager: &Manager) {
        let Some(pause) = manager.beat_every() else { return std::future::pending().await };
        loop {
            if is_supervised(&self.tree.root.processes().list(), self.hang_limit) {
                manager.alive();
            }
            sleep(pause).await;
        }
    }

    async fn stop(&self, signal: &str) -> Exit {
        info!(signal, "stopping");
        self.readiness.missing("service", Purpose::ALL, "stopping");
        self.end(self.tree.root.stop()).await.unwrap_or(Exit::Stopped)
    }

    /// The root gives up when it has stopped everything else, which may hang as any stop may.
    async fn gave_up(&self) -> Exit {
        let root = &self.tree.root;
        root.ending().await;
        let ended = self.end(root.ended()).await;
        ended.unwrap_or_else(|| Exit::GaveUp { child: "vagn".into(), reason: ExitReason::Killed })
    }

    /// Waits for the end, and hurries it when it takes too long. None: something cannot be ended.
    async fn end(&self, ended: impl Future<Output = Exit>) -> Option<Exit> {
        if let Ok(exit) = timeout(STOP_WITHIN, ended).await {
            return Some(exit);
        }
        let pending = names(&self.tree.root.pending());
        warn!(within = ?STOP_WITHIN, pending, "the stop takes too long; ending what is left");
        timeout(KILL_WITHIN, self.tree.root.kill()).await.ok()
    }

    fn close(self, exit: &Exit) {
        let (stamper, trust) = (self.stamper.clone(), self.trust.clone());
        let leave_mark = self.runtime.spawn_blocking(move || stamper.close(trust.believed()));
        match self.runtime.block_on(async { timeout(KILL_WITHIN, leave_mark).await }) {
            Ok(Ok(Ok(()))) => {}
            failed => warn!(?failed, "failed to leave the clock's mark"),
        }
        match exit {
            Exit::GaveUp { child, reason } => error!(child, %reason, "gave up"),
            _ => info!("stopped"),
        }
        self.emergency_runtime.shutdown_background();
        self.handshake_runtime.shutdown_background();
        self.view_runtime.shutdown_background();
    }
}

/// The processes on one line, such as `vagn/doors/udp (stopping), vagn/web (running)`.
fn names(processes: &[ProcessInfo]) -> String {
    let names = processes.iter().map(|process| format!("{} ({})", process.path, process.state.as_str()));
    names.collect::<Vec<_>>().join(", ")
}

fn open_stamper(settings: &Settings, clock: &Arc<dyn Clock>) -> Result<Stamper, StartError> {
    Stamper::open(&settings.data_dir, clock.clone()).map_err(|err| {
        let MarkError { source, .. } = &err;
        match is_unusable(source.kind()) || source.kind() == ErrorKind::IsADirectory {
            true => StartError::Unusable(format!("{err}: {source}")),
            false => StartError::Other(err.into()),
        }
    })
}

/// Begins to judge the clock by the mark of the last run, and leaves the first mark of this one.
fn trust(
    settings: &Settings,
    clock: &Arc<dyn Clock>,
    stamper: &Stamper,
    partitions: u32,
    readiness: &Arc<Readiness>,
    metric_registry: &Arc<MetricRegistry>,
) -> Arc<Trust> {
    if let Found::Damaged(aside) = stamper.found() {
        let what = format!(
            "the mark of the last run was damaged, and is kept as {}; a new one was made, and the log tells how late it was",
            aside.display()
        );
        warn!("{what}");
        readiness.warn("clock mark", what);
    }
    let trust = Trust::new(TrustParts {
        clock: clock.clone(),
        marked: stamper
            .found()
            .marked()
            .map(|marked| Believed { now_ms: marked.time_ms, since_ms: marked.believed_since_ms }),
        partitions,
        forget_after: settings.forget_after.0,
        kernel: settings.clock.kernel,
        readiness: readiness.clone(),
        registry: metric_registry.clone(),
    });
    if let Err(err) = stamper.renew_mark(trust.believed()) {
        // On a full disk emergencies still have their place set aside: no reason not to start.
        warn!(error = %err, "failed to renew the clock's mark");
    }
    trust
}

/// True for errors that another directory or other permissions would cure; a full or broken disk is another matter.
fn is_unusable(kind: ErrorKind) -> bool {
    use ErrorKind::{AlreadyExists, NotADirectory, PermissionDenied, ReadOnlyFilesystem};
    matches!(kind, AlreadyExists | NotADirectory | PermissionDenied | ReadOnlyFilesystem)
}

fn bind(settings: &Settings, readiness: &Readiness) -> Result<Listeners, StartError> {
    Ok(Listeners {
        control: control_socket(settings, readiness),
        doors: Doors::bind(settings)?,
        http: listen::tcp(&settings.http.listen)?,
        ops: listen::tcp(&settings.ops.listen)?,
    })
}

/// Binds the control socket. Without it the service does all else, so it starts.
fn control_socket(settings: &Settings, readiness: &Readiness) -> Option<ControlSocket> {
    let bound = ControlSocket::bind(&settings.data_dir).inspect_err(|err| {
        let path = settings.data_dir.join(SOCKET);
        let what = format!(
            "{} cannot be bound: {err}; `vagn device`, `vagn token` and `vagn share` work only while the service is stopped",
            path.display()
        );
        warn!("{what}");
        readiness.warn("control", what);
    });
    bound.ok()
}

/// Sees to it that an API which others reach asks for tokens, and that one which did so once always does.
fn keep_closed(settings: &Settings, registry: &Registry) -> Result<(), StartError> {
    // A node of a cluster cannot know beforehand whether there are tokens, so others are let in by one alone.
    let is_node_of_many = settings.cluster.is_set() && !settings.http.is_local() && !settings.insecure_open;
    if !settings.http.tokens.is_empty() || is_node_of_many {
        registry.close().context("note that the api asks for tokens")?;
    }
    let is_closed = registry.is_closed().context("read the registry")?;
    settings.check_api(is_closed).map_err(|err| StartError::Unusable(err.to_string()))?;
    if !is_closed && !settings.http.is_local() {
        warn!(
            "the api is open to everyone who reaches {}, because of `insecure_open` and without any token: make one with \
             `vagn token add NAME --role admin --person --data-dir {}`",
            settings.http.listen,
            settings.data_dir.display()
        );
    }
    Ok(())
}

/// Opens what the vehicles are drawn on.
fn basemap(settings: &Settings) -> Result<Basemap, StartError> {
    let style = settings.map.style().map_err(|err| StartError::Unusable(err.to_string()))?;
    let path = &settings.map.pmtiles;
    if path.as_os_str().is_empty() {
        return Ok(Basemap { style, archive: None });
    }
    let archive = Archive::open(path).map_err(|err| {
        let remedy = "name a map file that the service's user may read, or none";
        StartError::Unusable(format!("`map.pmtiles` {} {err}; {remedy}", path.display()))
    })?;
    Ok(Basemap { style, archive: Some(archive) })
}

fn identity(settings: &Settings, now_ms: i64) -> Result<Identity, StartError> {
    let is_own = certificates::is_own(&settings.http);
    if is_own {
        fs::create_dir_all(&settings.data_dir).context("create the data directory")?;
    }
    certificates::load(&settings.http, &settings.data_dir, now_ms).map_err(|err| {
        if is_own {
            return own(err, &settings.data_dir);
        }
        let why = anyhow::Error::new(err);
        let remedy = "name PEM files that the service's user may read, or set neither";
        StartError::Unusable(format!("`http.cert` or `http.key` cannot be used: {why:#}; {remedy}"))
    })
}

/// Names the remedy of an own certificate that is there and cannot be used.
fn own(err: TlsError, data_dir: &Path) -> StartError {
    let is_damaged = match &err {
        TlsError::Pem { .. } | TlsError::Pair { .. } | TlsError::Changed { .. } => true,
        TlsError::File { source, .. } => is_unusable(source.kind()) || is_no_text(source.kind()),
        TlsError::Make(_) => false,
    };
    let err = anyhow::Error::new(err).context("the own certificate cannot be used");
    if !is_damaged {
        return StartError::Other(err);
    }
    StartError::Unusable(format!(
        "{err:#}; put back cert.pem and key.pem from a copy, or run `vagn repair --data-dir {}`: it moves them aside, and the next start \
         makes new ones",
        data_dir.display()
    ))
}

/// True for errors of what is no file with text.
fn is_no_text(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::IsADirectory | ErrorKind::InvalidData)
}
