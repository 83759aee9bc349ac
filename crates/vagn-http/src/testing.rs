//! A server on a real socket, for the tests of this crate and of those that bring a router.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use rustls::ServerConfig;
use tokio::net::TcpListener;
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio::task::{JoinHandle, LocalSet};
use vagn_flow::descriptors::{PlaceMetrics, Places};
use vagn_flow::metrics::{DoorMetrics, MetricRegistry};

use crate::own_certificate;
use crate::server::{Limits, Server, ServerParts};

/// Most connections of a server at a time; half of them from one address, as all are in a test.
pub const PLACES: usize = 1_000;

/// A server that runs until it is dropped or told to stop.
pub struct Running {
    /// Address that it listens on.
    pub address: SocketAddr,
    /// Counters of refused connections.
    pub metrics: DoorMetrics,
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
    let dir = tempfile::tempdir().expect("a directory for the certificate");
    let identity = own_certificate::of_data_dir(dir.path()).expect("a certificate");
    let tls = identity.server_config(&[b"h2", b"http/1.1"]).expect("key and certificate are a pair");
    start(Some(tls), router, limits, None).await
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
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("a bound listener has an address");
    let registry = MetricRegistry::new();
    let metrics = DoorMetrics::new(&registry);
    let places = Places::new("http", PLACES, &PlaceMetrics::new(&registry), Arc::default());
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
    Running { address, metrics, stop, task }
}

/// Runs a test in a place where its server can be spawned.
pub async fn beside<T>(test: impl Future<Output = T>) -> T {
    LocalSet::new().run_until(test).await
}
