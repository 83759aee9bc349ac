//! The server on a real socket: both protocol versions, and those who do not speak TLS, or never finish it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::http::Version;
use axum::routing::get;
use rustls::ServerConfig;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, oneshot};
use tokio::task::{JoinHandle, LocalSet};

use super::austin;
use vagn_flow::metrics::{DoorMetrics, Registry};
use vagn_http::server::{Limits, Server};
use vagn_http::tls::Identity;

/// A server that runs until it is dropped or told to stop.
pub(super) struct Running {
    pub(super) address: SocketAddr,
    metrics: DoorMetrics,
    pub(super) stop: oneshot::Sender<()>,
    pub(super) task: JoinHandle<()>,
}

pub(super) async fn start(router: Router, limits: Limits) -> Running {
    let dir = tempfile::tempdir().unwrap();
    let tls = Identity::of_data_dir(dir.path()).unwrap().server_config(&[b"h2", b"http/1.1"]).unwrap();
    start_over(Some(tls), router, limits).await
}

pub(super) async fn start_over(tls: Option<Arc<ServerConfig>>, router: Router, limits: Limits) -> Running {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let metrics = DoorMetrics::new(&Registry::new());
    let server = Server::new(router, tls, limits, metrics.clone());
    let (stop, stopping) = oneshot::channel();
    let serve =
        async move { server.serve(vec![listener], async { drop(stopping.await) }, || async {}).await };
    Running { address, metrics, stop, task: tokio::task::spawn_local(serve) }
}

/// Runs a test where tasks may be spawned beside it.
pub(super) async fn beside<T>(test: impl Future<Output = T>) -> T {
    LocalSet::new().run_until(test).await
}

pub(super) fn client(http2: bool) -> reqwest::Client {
    let provider = rustls::crypto::ring::default_provider();
    drop(provider.install_default());
    let builder = reqwest::Client::builder().danger_accept_invalid_certs(true);
    let builder = if http2 { builder } else { builder.http1_only() };
    builder.build().unwrap()
}

fn refused(metrics: &DoorMetrics, reason: &'static str) -> bool {
    metrics.refusals(reason) == 1
}

#[tokio::test]
async fn speaks_http_1_and_2_over_tls() {
    beside(async {
        let server = start(austin(), Limits::default()).await;
        for (http2, version) in [(false, Version::HTTP_11), (true, Version::HTTP_2)] {
            let url = format!("https://{}/?lat=30.27&lon=-97.74&k=1", server.address);
            let response = client(http2).get(url).send().await.unwrap();
            assert_eq!(response.version(), version);
            let body = response.text().await.unwrap();
            assert!(body.starts_with(r#"[{"ID":"bus 1","#), "{body}");
        }
    })
    .await;
}

#[tokio::test]
async fn explains_itself_to_plain_http() {
    beside(async {
        let server = start(austin(), Limits::default()).await;
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        stream.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
        stream.shutdown().await.unwrap();
        let mut reply = String::new();
        stream.read_to_string(&mut reply).await.unwrap();
        assert!(reply.starts_with("HTTP/1.1 400 Bad Request\r\n"), "{reply}");
        assert!(reply.contains("Client sent an HTTP request to an HTTPS server."), "{reply}");
        server.stop.send(()).unwrap();
        server.task.await.unwrap();
        assert!(refused(&server.metrics, "http_plain"));
    })
    .await;
}

#[tokio::test]
async fn gives_up_a_handshake_that_stalls_and_serves_others_meanwhile() {
    beside(async {
        let limits = Limits { handshake: Duration::from_millis(300), ..Limits::default() };
        let server = start(austin(), limits).await;
        let mut stalled = TcpStream::connect(server.address).await.unwrap();
        stalled.write_all(&[0x16, 3, 1, 0xff]).await.unwrap();
        let url = format!("https://{}/api/v1/openapi.json", server.address);
        assert!(client(true).get(url).send().await.unwrap().status().is_success());
        // The server ends it: a read comes back empty, or with a reset.
        let mut rest = Vec::new();
        drop(stalled.read_to_end(&mut rest).await);
        assert!(refused(&server.metrics, "http_handshake_timeout"), "{:?}", server.metrics);
    })
    .await;
}

#[tokio::test]
async fn closes_a_connection_on_which_nothing_more_is_asked() {
    beside(async {
        let limits = Limits { idle: Duration::from_millis(50), ..Limits::default() };
        let server = start_over(None, austin(), limits).await;
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        stream.write_all(b"GET /page.js HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
        let mut reply = String::new();
        // Comes back once the server has ended the connection; would wait for ever otherwise.
        stream.read_to_string(&mut reply).await.unwrap();
        assert!(reply.starts_with("HTTP/1.1 200 OK"), "{reply}");
    })
    .await;
}

#[tokio::test]
async fn survives_noise_instead_of_tls() {
    beside(async {
        let server = start(austin(), Limits::default()).await;
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        stream.write_all(&[0x16; 4096]).await.unwrap();
        let mut rest = Vec::new();
        drop(stream.read_to_end(&mut rest).await);
        let url = format!("https://{}/page.js", server.address);
        assert!(client(true).get(url).send().await.unwrap().status().is_success());
        assert!(refused(&server.metrics, "http_handshake"));
    })
    .await;
}

#[tokio::test]
async fn a_connection_beyond_the_limit_waits_for_its_turn() {
    beside(async {
        let server = start(austin(), Limits { max_connections: 1, ..Limits::default() }).await;
        let first = TcpStream::connect(server.address).await.unwrap();
        let request = client(true).get(format!("https://{}/page.js", server.address)).send();
        let request = tokio::task::spawn_local(request);
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        assert!(!request.is_finished(), "served beyond the limit");
        drop(first);
        assert!(request.await.unwrap().unwrap().status().is_success());
    })
    .await;
}

#[tokio::test]
async fn finishes_the_request_in_flight_on_a_stop() {
    beside(async {
        let (arrived, go) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let gates = (arrived.clone(), go.clone());
        let handler = move || {
            let (arrived, go) = gates.clone();
            async move {
                arrived.notify_one();
                go.notified().await;
                "done"
            }
        };
        let server = start(Router::new().route("/slow", get(handler)), Limits::default()).await;
        let request = client(true).get(format!("https://{}/slow", server.address)).send();
        let request = tokio::task::spawn_local(request);
        arrived.notified().await;
        server.stop.send(()).unwrap();
        go.notify_one();
        assert_eq!(request.await.unwrap().unwrap().text().await.unwrap(), "done");
        server.task.await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn a_request_that_outlasts_the_stop_limit_is_cut_off() {
    beside(async {
        let arrived = Arc::new(Notify::new());
        let signal = arrived.clone();
        let handler = move || {
            signal.notify_one();
            std::future::pending::<&str>()
        };
        let limits = Limits { stop: Duration::from_millis(50), ..Limits::default() };
        let server = start(Router::new().route("/stuck", get(handler)), limits).await;
        let request = client(true).get(format!("https://{}/stuck", server.address)).send();
        let request = tokio::task::spawn_local(request);
        arrived.notified().await;
        server.stop.send(()).unwrap();
        server.task.await.unwrap();
        assert!(request.await.unwrap().is_err());
    })
    .await;
}

#[tokio::test]
async fn a_handler_that_panics_ends_its_connection_and_nothing_else() {
    beside(async {
        let panics = || async {
            if true {
                panic!("poison")
            }
        };
        let server = start(austin().route("/poison", get(panics)), Limits::default()).await;
        let client = client(false);
        assert!(client.get(format!("https://{}/poison", server.address)).send().await.is_err());
        let fine = client.get(format!("https://{}/page.js", server.address)).send().await.unwrap();
        assert!(fine.status().is_success());
    })
    .await;
}
