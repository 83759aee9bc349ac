//! Answers over real sockets, to clients that take nothing of them, a little, or all.

use std::convert::Infallible;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use axum::http::{Method, Request, StatusCode};
use axum::routing::{get, post};
use futures_util::stream;
use h2::client::SendRequest;
use h2::{Reason, RecvStream};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use vagn_flow::metrics::MetricRegistry;

use super::*;
use crate::memory::Memory;
use crate::server::Limits;
use crate::testing::{Running, beside, start};
use crate::{answer, pieces};
use vagn_flow::peer::SharedAddresses;

/// Bytes of a large answer.
const LARGE: usize = 1 << 20;
/// Bytes of an answer that no socket has room for.
const HUGE: usize = 32 << 20;

fn large() -> Vec<u8> {
    (0..LARGE).map(|at| (at % 251) as u8).collect()
}

/// The large answer, made as it is taken.
fn made(caller: &Caller) -> Response {
    let room = match caller.room(LARGE) {
        Ok(room) => room,
        Err(problem) => return problem.into_response(),
    };
    let write = |out: &mut Vec<u8>, piece: &Vec<u8>| out.extend_from_slice(piece);
    let items = large().chunks(1_000).map(<[u8]>::to_vec).collect();
    pieces::live("text/plain", room, pieces::list(Vec::new(), items, b"", write, Vec::new()))
}

fn router() -> Router {
    let endless = || {
        let pieces = stream::repeat_with(|| Ok::<_, Infallible>(Bytes::from_static(&[b'\n'; 1_000])));
        Body::from_stream(pieces)
    };
    Router::new()
        .route("/large", get(async || answer::live("text/plain", large())))
        .route("/huge", get(async || answer::live("text/plain", vec![0; HUGE])))
        .route("/made", get(async |caller: Caller| made(&caller)))
        .route("/endless", get(async move || endless()))
        .route("/small", get(async || "small"))
        .route("/nothing", get(async || StatusCode::NO_CONTENT))
        .route("/deed", post(async || answer::live("text/plain", vec![0; 10_000])))
}

struct Service {
    memory: Arc<Memory>,
    running: Running,
}

impl Service {
    /// Starts a server that ends what is not taken within `untaken`.
    async fn start(answer_bytes: usize, untaken: Duration) -> Self {
        let memory = Arc::new(Memory::new(answer_bytes, SharedAddresses::default(), &MetricRegistry::new()));
        let limits = Limits { memory: memory.clone(), untaken, ..Limits::default() };
        Self { memory, running: start(None, router(), limits, None).await }
    }

    async fn impatient() -> Self {
        Self::start(256 << 20, Duration::from_millis(50)).await
    }

    /// Waits until no answer holds memory any more; a test that fails here never ends.
    async fn all_is_given_back(&self) {
        while self.memory.answer_bytes() > 0 {
            tokio::task::yield_now().await;
        }
    }

    fn address(&self) -> SocketAddr {
        self.running.address
    }
}

/// A client of HTTP/2 that takes so many bytes of a stream until it allows more.
async fn client(address: SocketAddr, window: u32) -> SendRequest<Bytes> {
    let stream = TcpStream::connect(address).await.unwrap();
    let (client, connection) =
        h2::client::Builder::new().initial_window_size(window).handshake(stream).await.unwrap();
    tokio::task::spawn_local(connection);
    client
}

async fn ask(client: &SendRequest<Bytes>, method: Method, path: &str) -> (StatusCode, RecvStream) {
    let request = Request::builder().method(method).uri(format!("http://localhost{path}")).body(()).unwrap();
    let mut client = client.clone().ready().await.unwrap();
    let (response, _) = client.send_request(request, true).unwrap();
    let (head, body) = response.await.unwrap().into_parts();
    (head.status, body)
}

/// Returns why a stream was ended.
async fn end(mut body: RecvStream) -> Option<Reason> {
    while let Some(piece) = body.data().await {
        if let Err(err) = piece {
            return err.reason();
        }
    }
    None
}

#[tokio::test]
async fn a_stream_that_takes_nothing_is_reset_and_the_others_go_on() {
    beside(async {
        let service = Service::impatient().await;
        let client = client(service.address(), 0).await;
        for path in ["/large", "/made", "/endless", "/small"] {
            let (status, body) = ask(&client, Method::GET, path).await;
            assert_eq!(status, StatusCode::OK);
            assert!(service.memory.answer_bytes() >= crate::caller::ADMISSION);
            assert_eq!(end(body).await, Some(Reason::CANCEL), "{path}");
            assert_eq!(ask(&client, Method::GET, "/nothing").await.0, StatusCode::NO_CONTENT);
        }
        assert_eq!(service.memory.refused_and_cut(), (0, 4));
        service.all_is_given_back().await;
    })
    .await;
}

#[tokio::test]
async fn a_stream_that_takes_a_part_is_reset() {
    beside(async {
        let service = Service::impatient().await;
        let client = client(service.address(), 20_000).await;
        for path in ["/large", "/made", "/endless"] {
            assert_eq!(end(ask(&client, Method::GET, path).await.1).await, Some(Reason::CANCEL), "{path}");
        }
        service.all_is_given_back().await;
    })
    .await;
}

#[tokio::test]
async fn a_small_answer_that_is_stuck_ends_its_connection() {
    beside(async {
        let service = Service::impatient().await;
        // One byte goes out, and the stream is over for the server.
        let client = client(service.address(), 1).await;
        let (_, body) = ask(&client, Method::GET, "/small").await;
        assert_ne!(end(body).await, Some(Reason::CANCEL));
        assert_eq!(service.memory.refused_and_cut(), (0, 1));
        service.all_is_given_back().await;
    })
    .await;
}

#[tokio::test]
async fn a_connection_of_http_1_that_takes_nothing_is_closed() {
    beside(async {
        let service = Service::impatient().await;
        for path in ["/huge", "/endless"] {
            let mut stream = TcpStream::connect(service.address()).await.unwrap();
            let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n");
            stream.write_all(request.as_bytes()).await.unwrap();
            while service.memory.answer_bytes() == 0 {
                tokio::task::yield_now().await;
            }
            service.all_is_given_back().await;
            let mut taken = Vec::new();
            let end = stream.read_to_end(&mut taken).await.map_err(|err| err.kind());
            assert_eq!(end, Err(ErrorKind::ConnectionReset), "{path}: the kernel keeps nothing for it");
            assert!(taken.starts_with(b"HTTP/1.1 200 OK\r\n") && taken.len() < HUGE, "{path}");
        }
        assert_eq!(service.memory.refused_and_cut(), (0, 2));
    })
    .await;
}

#[tokio::test]
async fn who_takes_an_answer_gets_all_of_it() {
    // Another test of the same process may have done it.
    rustls::crypto::ring::default_provider().install_default().ok();
    beside(async {
        let service = Service::start(256 << 20, Duration::from_secs(30)).await;
        for (http2, path) in [(false, "/large"), (false, "/made"), (true, "/large"), (true, "/made")] {
            let client = if http2 {
                reqwest::Client::builder().http2_prior_knowledge()
            } else {
                reqwest::Client::builder().http1_only()
            };
            let client = client.build().unwrap();
            // Twice over the same connection: the first one has come to its end.
            for _ in 0..2 {
                let response =
                    client.get(format!("http://{}{path}", service.address())).send().await.unwrap();
                let length = response.content_length();
                assert_eq!(length, (path == "/large").then_some(LARGE as u64), "{path}");
                assert!(*response.bytes().await.unwrap() == large(), "{path}");
            }
        }
        service.all_is_given_back().await;
        assert_eq!(service.memory.refused_and_cut(), (0, 0));
    })
    .await;
}

#[tokio::test]
async fn without_memory_only_large_answers_are_refused() {
    beside(async {
        let service = Service::start(4 * LARGE, Duration::from_secs(3_600)).await;
        let (full, other) = (client(service.address(), 0).await, client(service.address(), 1 << 16).await);
        let mut held = Vec::new();
        let refused = loop {
            match ask(&full, Method::GET, "/large").await {
                (StatusCode::OK, body) => held.push(body),
                refused => break refused,
            }
        };
        assert_eq!((held.len(), refused.0), (2, StatusCode::SERVICE_UNAVAILABLE));
        assert_eq!(ask(&other, Method::GET, "/made").await.0, StatusCode::SERVICE_UNAVAILABLE);
        for (method, path) in [(Method::GET, "/small"), (Method::POST, "/deed")] {
            let (status, body) = ask(&other, method, path).await;
            assert_eq!((status, end(body).await), (StatusCode::OK, None), "{path}");
        }
        drop((held, refused, full, other));
        service.all_is_given_back().await;
        assert_eq!(service.memory.refused_and_cut(), (2, 0));
    })
    .await;
}
