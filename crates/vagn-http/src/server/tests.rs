//! The server on a real socket: both protocol versions, and clients that do not speak TLS or never finish it.

mod crowds;

use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::Version;
use axum::routing::get;
use axum::{Extension, Router};
use futures_util::stream::unfold;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Notify;

use super::*;
use crate::access::Access;
use crate::route::{self, Route};
use crate::testing::{PLACES, beside, entry, start, start_tls};

const ANSWER: &str = "here it is";

fn router() -> Router {
    Router::new().route("/page", get(async || ANSWER))
}

fn client(http2: bool) -> reqwest::Client {
    // A second test of the same process finds it installed.
    rustls::crypto::ring::default_provider().install_default().ok();
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
        let server = start_tls(router(), Limits::default()).await;
        for (http2, version) in [(false, Version::HTTP_11), (true, Version::HTTP_2)] {
            let url = format!("https://{}/page", server.address);
            let response = client(http2).get(url).send().await.unwrap();
            assert_eq!(response.version(), version);
            assert_eq!(response.text().await.unwrap(), ANSWER);
        }
    })
    .await;
}

#[tokio::test]
async fn explains_itself_to_plain_http() {
    beside(async {
        let server = start_tls(router(), Limits::default()).await;
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
async fn what_is_no_request_is_refused_with_the_strict_headers() {
    beside(async {
        let server = start(None, router(), Limits::default(), None).await;
        let fine = "GET /page HTTP/1.1\r\nHost: localhost\r\n\r\n";
        let many: String = (0..101).map(|number| format!("x{number}: y\r\n")).collect();
        let crowded = format!("GET /page HTTP/1.1\r\n{many}\r\n");
        for (wrong, status) in [("GET\r\n\r\n", 400), ("G\u{1}T / HTTP/1.1\r\n\r\n", 400), (&crowded, 431)] {
            let mut stream = TcpStream::connect(server.address).await.unwrap();
            stream.write_all(fine.as_bytes()).await.unwrap();
            let mut reply = vec![0; 4096];
            let mut read = 0;
            while !reply[..read].ends_with(ANSWER.as_bytes()) {
                read += stream.read(&mut reply[read..]).await.unwrap();
            }
            stream.write_all(wrong.as_bytes()).await.unwrap();
            let mut refusal = String::new();
            stream.read_to_string(&mut refusal).await.unwrap();
            assert!(refusal.starts_with(&format!("HTTP/1.1 {status} ")), "{refusal}");
            for name in ["content-security-policy", "x-content-type-options", "referrer-policy"] {
                assert!(refusal.contains(&format!("\r\n{name}: ")), "{refusal}");
            }
        }
    })
    .await;
}

#[tokio::test]
async fn gives_up_a_handshake_that_stalls_and_serves_others_meanwhile() {
    beside(async {
        let limits = Limits { handshake: Duration::from_millis(300), ..Limits::default() };
        let server = start_tls(router(), limits).await;
        let mut stalled = TcpStream::connect(server.address).await.unwrap();
        stalled.write_all(&[0x16, 3, 1, 0xff]).await.unwrap();
        let url = format!("https://{}/page", server.address);
        assert!(client(true).get(url).send().await.unwrap().status().is_success());
        // The server ends it: a read comes back empty, or with a reset.
        let mut rest = Vec::new();
        stalled.read_to_end(&mut rest).await.ok();
        assert!(refused(&server.metrics, "http_handshake_timeout"), "{:?}", server.metrics);
    })
    .await;
}

#[tokio::test]
async fn closes_a_connection_on_which_nothing_more_is_asked() {
    beside(async {
        let limits = Limits { idle: Duration::from_millis(50), ..Limits::default() };
        let server = start(None, router(), limits, None).await;
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        stream.write_all(b"GET /page HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
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
        let server = start_tls(router(), Limits::default()).await;
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        stream.write_all(&[0x16; 4096]).await.unwrap();
        let mut rest = Vec::new();
        stream.read_to_end(&mut rest).await.ok();
        let url = format!("https://{}/page", server.address);
        assert!(client(true).get(url).send().await.unwrap().status().is_success());
        assert!(refused(&server.metrics, "http_handshake"));
    })
    .await;
}

#[tokio::test]
async fn a_connection_beyond_the_places_is_closed_and_counted() {
    beside(async {
        let server = start_tls(router(), Limits::default()).await;
        let url = format!("https://{}/page", server.address);
        let mut crowd = Vec::new();
        for _ in 0..PLACES / 2 {
            crowd.push(TcpStream::connect(server.address).await.unwrap());
        }
        assert!(client(true).get(&url).send().await.is_err(), "served beyond the places");
        assert_eq!(server.metrics.refusals("http_too_many_of_source"), 1);
        drop(crowd);
        // The server takes back a place when it sees the end of its connection.
        while client(true).get(&url).send().await.is_err() {
            tokio::task::yield_now().await;
        }
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
        let server = start_tls(Router::new().route("/slow", get(handler)), Limits::default()).await;
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
            pending::<&str>()
        };
        let limits = Limits { stop: Duration::from_millis(50), ..Limits::default() };
        let server = start_tls(Router::new().route("/stuck", get(handler)), limits).await;
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
        let server = start_tls(router().route("/poison", get(panics)), Limits::default()).await;
        let client = client(false);
        assert!(client.get(format!("https://{}/poison", server.address)).send().await.is_err());
        let fine = client.get(format!("https://{}/page", server.address)).send().await.unwrap();
        assert!(fine.status().is_success());
    })
    .await;
}

/// Name of the thread that runs a handler.
async fn thread() -> String {
    std::thread::current().name().unwrap_or_default().to_owned()
}

#[tokio::test]
async fn an_answer_goes_on_where_its_connection_does() {
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    let runtime = runtime.worker_threads(1).thread_name("behind").enable_all().build().unwrap();
    let behind = Some(runtime.handle().clone());
    beside(async {
        let piece = async |number: u32| {
            tokio::task::yield_now().await;
            (number < 8).then_some((Ok::<_, Infallible>(format!("{} ", thread().await)), number + 1))
        };
        let picture = async move || Body::from_stream(unfold(0, piece));
        let routes = [Route::get("/picture", Access::Anyone, picture).gives_way()];
        let router = route::router(routes, &entry(&[])).with_state(());
        let server = start(None, router, Limits::default(), behind).await;
        // A second test of the same process finds it installed.
        rustls::crypto::ring::default_provider().install_default().ok();
        for http2 in [false, true] {
            let client = reqwest::Client::builder();
            let client = if http2 { client.http2_prior_knowledge() } else { client.http1_only() };
            let asked = client.build().unwrap().get(format!("http://{}/picture", server.address)).send();
            let threads = asked.await.unwrap().text().await.unwrap();
            assert!(threads.ends_with("behind behind "), "http2 {http2}: {threads}");
        }
        server.stop.send(()).unwrap();
        server.task.await.unwrap();
    })
    .await;
    runtime.shutdown_background();
}

#[tokio::test]
async fn a_connection_on_which_something_comes_first_stays_with_the_first_until_that_has_ended() {
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    let runtime = runtime.worker_threads(1).thread_name("behind").enable_all().build().unwrap();
    let behind = Some(runtime.handle().clone());
    beside(async {
        let held = Arc::new(parking_lot::Mutex::new(None));
        let holds = held.clone();
        let come_first = async move |Extension(liveness): Extension<Liveness>| {
            *holds.lock() = Some(liveness.come_first());
            thread().await
        };
        let routes = [
            Route::get("/plain", Access::Anyone, thread),
            Route::get("/calls", Access::Anyone, come_first),
            Route::get("/picture", Access::Anyone, thread).gives_way(),
        ];
        let router = route::router(routes, &entry(&[])).with_state(());
        let server = start(None, router, Limits::default(), behind).await;
        let client = client(false);
        let ask = async |path: &str| {
            let answer = client.get(format!("http://{}{path}", server.address)).send().await.unwrap();
            answer.text().await.unwrap()
        };
        ask("/picture").await;
        assert_eq!(ask("/calls").await, "behind");
        assert_ne!(ask("/plain").await, "behind", "it has come back");
        ask("/picture").await;
        assert_ne!(ask("/plain").await, "behind", "it stays");
        held.lock().take();
        assert_eq!(ask("/plain").await, "behind");
        server.stop.send(()).unwrap();
        server.task.await.unwrap();
    })
    .await;
    runtime.shutdown_background();
}

#[tokio::test]
async fn a_connection_goes_on_behind_the_others_once_a_route_that_gives_way_was_asked() {
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    let runtime = runtime.worker_threads(1).thread_name("behind").enable_all().build().unwrap();
    let behind = Some(runtime.handle().clone());
    beside(async {
        let routes = [
            Route::get("/plain", Access::Anyone, thread),
            Route::get("/picture", Access::Anyone, thread).gives_way(),
        ];
        let router = route::router(routes, &entry(&[])).with_state(());
        let server = start(None, router, Limits::default(), behind).await;
        let client = client(false);
        let ask = async |path: &str| {
            let answer = client.get(format!("http://{}{path}", server.address)).send().await.unwrap();
            answer.text().await.unwrap()
        };
        assert_ne!(ask("/plain").await, "behind");
        ask("/picture").await;
        assert_eq!(ask("/plain").await, "behind", "the connection stays where it has gone");
        // A stop reaches it there, too.
        server.stop.send(()).unwrap();
        server.task.await.unwrap();
        assert!(client.get(format!("http://{}/plain", server.address)).send().await.is_err());
    })
    .await;
    runtime.shutdown_background();
}
