//! A server on a real socket, for the tests of this crate and of those that bring a router.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use rustls::ServerConfig;
use tokio::net::TcpListener;
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio::task::{JoinHandle, LocalSet};
use vagn_flow::clock::{Clock, ManualClock, SystemClock};
use vagn_flow::descriptors::{PlaceMetrics, PlaceParts, Places};
use vagn_flow::metrics::{DoorMetrics, MetricRegistry};
use vagn_flow::peer::SharedAddresses;
use vagn_registry::{Registry, Token};

use crate::access_log::AccessLog;
use crate::credentials::Credentials;
use crate::own_certificate;
use crate::rates::Rates;
use crate::route::Entry;
use crate::server::{Limits, Server, ServerParts};

/// Most connections of a server at a time; half of them from one address, as all are in a test.
pub const PLACES: usize = 1_000;

/// A server that runs until it is dropped or told to stop.
pub struct Running {
    /// Address that it listens on.
    pub address: SocketAddr,
    /// Counters of refused connections.
    pub metrics: DoorMetrics,
    /// Clock of its places, which stands still.
    pub clock: Arc<ManualClock>,
    /// Begins the stop.
    pub stop: oneshot::Sender<()>,
    /// Ends when the server has stopped.
    pub task: JoinHandle<()>,
}

/// Starts a server with a certificate of its own, within [`beside`].
///
/// # Panics
/// When the certificate cannot be made, or there is no port.
pub async fn start_tls(router: Router, limits: Limits) -> Running {
    start(Some(own_tls()), router, limits, None).await
}

/// Returns a certificate of its own for a server.
///
/// # Panics
/// When it cannot be made.
pub fn own_tls() -> Arc<ServerConfig> {
    let dir = tempfile::tempdir().expect("a directory for the certificate");
    let identity = own_certificate::of_data_dir(dir.path(), &wanted()).expect("a certificate");
    identity.server_config(&[b"h2", b"http/1.1"]).expect("key and certificate are a pair")
}

/// Starts a server over `tls`, or else in plain text, within [`beside`]. Connections that give way go on `behind`.
///
/// # Panics
/// When there is no port.
pub async fn start(
    tls: Option<Arc<ServerConfig>>,
    router: Router,
    limits: Limits,
    behind: Option<Handle>,
) -> Running {
    start_with(tls, router, limits, behind, PLACES).await
}

/// Like [`start`], with room for so many connections.
///
/// # Panics
/// When there is no port.
pub async fn start_with(
    tls: Option<Arc<ServerConfig>>,
    router: Router,
    limits: Limits,
    behind: Option<Handle>,
    most: usize,
) -> Running {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("a bound listener has an address");
    let metrics = DoorMetrics::new(&MetricRegistry::new());
    let (places, clock) = places(most);
    let server = Server::new(ServerParts {
        router,
        tls,
        limits,
        places,
        metrics: metrics.clone(),
        behind,
        handshakes: None,
    });
    let (stop, stopping) = oneshot::channel();
    let task = tokio::task::spawn_local(async move {
        // A sender that is dropped is a stop, too.
        let stopping = async { _ = stopping.await.ok() };
        server.serve(vec![listener], stopping, || async {}).await;
    });
    Running { address, metrics, clock, stop, task }
}

/// Returns so many places for connections, and their clock, which stands still.
pub fn places(most: usize) -> (Arc<Places>, Arc<ManualClock>) {
    let clock = Arc::new(ManualClock::at(0));
    let parts = PlaceParts {
        metrics: PlaceMetrics::new(&MetricRegistry::new()),
        readiness: Arc::default(),
        clock: clock.clone(),
        seed: 1,
    };
    (Places::new("http", "wait", most, SharedAddresses::default(), &parts), clock)
}

/// Runs a test in a place where its server can be spawned.
pub async fn beside<T>(test: impl Future<Output = T>) -> T {
    LocalSet::new().run_until(test).await
}

/// Returns an entry with these tokens of the settings, and with none the open one.
pub fn entry(of_settings: &[&str]) -> Entry {
    entry_with(Arc::new(ManualClock::at(0)), None, of_settings, Vec::new())
}

/// Returns an entry with these tokens of the settings and of the registry.
pub fn entry_with(
    clock: Arc<dyn Clock>,
    registry: Option<Registry>,
    of_settings: &[&str],
    tokens: Vec<Token>,
) -> Entry {
    Entry {
        credentials: Credentials::of(clock.clone(), registry, of_settings, tokens),
        rates: Rates::new(clock, 0, 0, 0),
        access_log: AccessLog::none(),
        public_origin: "".into(),
    }
}

/// What a certificate for tests is made for.
pub fn wanted() -> own_certificate::Wanted {
    own_certificate::Wanted { names: Vec::new(), now_ms: SystemClock::new().now_ms() }
}
