//! Crowds that hold all connections of a port.

use std::net::SocketAddr;

use axum::body::Bytes;
use axum::routing::post;
use tokio::net::TcpSocket;
use tokio::sync::Semaphore;

use super::*;
use crate::testing::{Running, own_tls, start_with};

/// Connections of the port in these tests.
const MOST: usize = 8;

async fn connect(server: &Running, source: [u8; 4]) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(SocketAddr::from((source, 0))).unwrap();
    socket.connect(server.address).await.unwrap()
}

/// Asks for a page on a connection in clear; returns what comes up to `end`, or `None` if the connection ends before.
async fn ask(stream: &mut TcpStream, page: &str, end: &str) -> Option<String> {
    let request = format!("GET /{page} HTTP/1.1\r\nHost: localhost\r\n\r\n");
    stream.write_all(request.as_bytes()).await.ok()?;
    read_to(stream, end).await
}

async fn read_to(stream: &mut TcpStream, end: &str) -> Option<String> {
    let mut said = Vec::new();
    while !said.ends_with(end.as_bytes()) {
        said.push(stream.read_u8().await.ok()?);
    }
    Some(String::from_utf8(said).unwrap())
}

/// A page without an end, which goes on by a tick whenever it is told to.
fn ticks(tick: Arc<Notify>) -> Router {
    let piece = async |tick: Arc<Notify>| {
        tick.notified().await;
        Some((Ok::<_, Infallible>(Bytes::from_static(b"tick")), tick))
    };
    router().route("/ticks", get(async move || Body::from_stream(unfold(tick, piece))))
}

#[tokio::test]
async fn a_newcomer_gets_its_answer_although_a_silent_crowd_holds_all_connections() {
    beside(async {
        for (tls, scheme) in [(None, "http"), (Some(own_tls()), "https")] {
            let server = start_with(tls, router(), Limits::default(), None, MOST).await;
            let mut crowd = Vec::new();
            for number in 0..MOST as u8 {
                crowd.push(connect(&server, [127, 0, 1, 1 + number / 2]).await);
            }
            let url = format!("{scheme}://{}/page", server.address);
            let answer = client(false).get(url).send().await.unwrap();
            assert_eq!(answer.text().await.unwrap(), ANSWER);
            assert!(refused(&server.metrics, "http_displaced"));
            // One of them is ended: this would wait for ever otherwise.
            let ends = crowd.iter_mut().map(|stream| Box::pin(async { stream.read_u8().await.is_err() }));
            assert!(futures_util::future::select_all(ends).await.0);
        }
    })
    .await;
}

/// Sends the head of a request and half of its body.
async fn half_ask(stream: &mut TcpStream, method: &str) {
    let half = format!("{method} /page HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\nhalf.");
    stream.write_all(half.as_bytes()).await.unwrap();
}

/// A page that is asked for with a body, which one of its methods reads and the other does not. Each request adds a permit.
fn page(reached: Arc<Semaphore>) -> Router {
    let reads = reached.clone();
    let read = async move |body: Body| {
        reads.add_permits(1);
        axum::body::to_bytes(body, 10).await.unwrap();
        ANSWER
    };
    let passes_over = async move || {
        reached.add_permits(1);
        ANSWER
    };
    Router::new().route("/page", post(read).get(passes_over))
}

#[tokio::test]
async fn a_crowd_of_half_sent_bodies_holds_no_connection_that_a_newcomer_wants() {
    beside(async {
        for method in ["POST", "GET"] {
            let reached = Arc::new(Semaphore::new(0));
            let server = start_with(None, page(reached.clone()), Limits::default(), None, MOST).await;
            let mut crowd = Vec::new();
            for number in 0..MOST as u8 {
                let mut stream = connect(&server, [127, 0, 1, 1 + number / 4]).await;
                half_ask(&mut stream, method).await;
                crowd.push(stream);
            }
            reached.acquire_many(MOST as u32).await.unwrap().forget();
            server.clock.advance(Duration::from_secs(2));
            let mut newcomer = connect(&server, [127, 0, 0, 1]).await;
            assert!(ask(&mut newcomer, "page", ANSWER).await.is_some(), "{method}");
            assert!(refused(&server.metrics, "http_displaced"));
            // The others have what they asked for once their bodies are whole.
            let mut answered = 0;
            for stream in &mut crowd {
                stream.write_all(b"whole").await.ok();
                answered += usize::from(read_to(stream, ANSWER).await.is_some());
            }
            assert_eq!(answered, MOST - 1, "{method}");
        }
    })
    .await;
}

#[tokio::test]
async fn neither_a_client_that_asks_every_second_nor_one_that_reads_a_stream_is_ended() {
    beside(async {
        let tick = Arc::new(Notify::new());
        // One that is displaced ends at once.
        let limits = Limits { farewell: Duration::ZERO, ..Limits::default() };
        let server = start_with(None, ticks(tick.clone()), limits, None, MOST).await;
        let mut reader = connect(&server, [127, 0, 0, 1]).await;
        tick.notify_one();
        ask(&mut reader, "ticks", "tick").await.unwrap();
        let mut honest = connect(&server, [127, 0, 0, 1]).await;
        ask(&mut honest, "page", ANSWER).await.unwrap();
        let mut crowd = Vec::new();
        for second in 0..60 {
            server.clock.advance(Duration::from_secs(1));
            assert!(ask(&mut honest, "page", ANSWER).await.is_some(), "ended after {second} s");
            tick.notify_one();
            assert!(read_to(&mut reader, "tick").await.is_some(), "ended after {second} s");
            // Each one of the crowd asks once, if there is room for it, and then no more.
            let mut newcomer = connect(&server, [127, 0, 1, 1 + second]).await;
            ask(&mut newcomer, "page", ANSWER).await;
            crowd.push(newcomer);
        }
        for reason in ["http_displaced_idle", "http_too_many"] {
            assert!(server.metrics.refusals(reason) > 0, "{reason}");
        }
    })
    .await;
}

#[tokio::test]
async fn an_idle_connection_that_is_displaced_is_closed_in_order() {
    beside(async {
        let server = start_with(None, router(), Limits::default(), None, MOST).await;
        let mut idle = Vec::new();
        for number in 0..MOST as u8 {
            let mut stream = connect(&server, [127, 0, 1, 1 + number]).await;
            ask(&mut stream, "page", ANSWER).await.unwrap();
            server.clock.advance(Duration::from_millis(1));
            idle.push(stream);
        }
        let mut newcomer = connect(&server, [127, 0, 0, 1]).await;
        assert_eq!(ask(&mut newcomer, "page", ANSWER).await, None, "all were asked something just now");
        assert!(refused(&server.metrics, "http_too_many"));
        server.clock.advance(Duration::from_secs(15));
        let mut newcomer = connect(&server, [127, 0, 0, 1]).await;
        assert!(ask(&mut newcomer, "page", ANSWER).await.is_some());
        assert_eq!(idle[0].read(&mut [0]).await.unwrap(), 0, "an end, and no reset");
        assert!(refused(&server.metrics, "http_displaced_idle"));
    })
    .await;
}
