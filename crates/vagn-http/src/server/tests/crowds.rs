//! Crowds that hold all connections of a port.

use std::net::SocketAddr;

use axum::body::Bytes;
use tokio::net::TcpSocket;

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
