//! One connection whose peer takes little or nothing, over sockets that hold next to nothing themselves.

use std::convert::Infallible;

use axum::body::Body;
use futures_util::FutureExt;
use hyper::{Request, Response, service};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::runtime::Handle;
use tokio::time::{advance, timeout};
use tokio_rustls::server::TlsStream;
use tokio_rustls::{TlsAcceptor, TlsConnector};
use vagn_flow::clock::ManualClock;
use vagn_flow::descriptors::{PlaceMetrics, PlaceParts, Places, Refusal};
use vagn_flow::metrics::MetricRegistry;
use vagn_flow::peer::SharedAddresses;

use super::*;
use crate::memory::Memory;
use crate::own_certificate;
use crate::socket::Socket;
use crate::testing::wanted;

const LIMIT: Duration = Duration::from_secs(30);
const ADDRESS: [u8; 4] = [192, 0, 2, 1];
/// Bytes that a socket here takes for a peer that reads nothing.
const SOCKET: usize = 4 << 10;

/// Places of a port that has one, and their clock.
fn one_place() -> (Arc<Places>, Arc<ManualClock>) {
    let (registry, clock) = (MetricRegistry::new(), Arc::new(ManualClock::at(0)));
    let parts = PlaceParts {
        metrics: PlaceMetrics::new(&registry),
        readiness: Arc::default(),
        clock: clock.clone(),
        seed: 1,
    };
    (Places::new("http", "wait", 1, SharedAddresses::default(), &parts), clock)
}

fn place() -> Place {
    one_place().0.take(ADDRESS.into()).unwrap()
}

/// A socket under TLS, and what its peer can read.
async fn secure() -> (TlsStream<Socket<DuplexStream>>, DuplexStream) {
    rustls::crypto::ring::default_provider().install_default().ok();
    let dir = tempfile::tempdir().unwrap();
    let identity = own_certificate::of_data_dir(dir.path(), &wanted()).unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(identity.certificate().clone()).unwrap();
    let client = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    let (near, far) = duplex(SOCKET);
    let acceptor = TlsAcceptor::from(identity.server_config(&[]).unwrap());
    let connector = TlsConnector::from(Arc::new(client));
    let (near, far) = tokio::join!(
        acceptor.accept(Socket::new(near)),
        connector.connect("localhost".try_into().unwrap(), far)
    );
    (near.unwrap(), far.unwrap().into_inner().0)
}

/// A connection that writes so much and then waits for ever.
fn writes<S: Output + Send + 'static>(
    output: &Gathering<S>,
    bytes: usize,
) -> Pin<Box<impl Future<Output = Result<(), Fault>> + use<S>>> {
    let mut writer = output.clone();
    Box::pin(async move {
        writer.write_all(&vec![7; bytes]).await?;
        std::future::pending::<Result<(), Fault>>().await
    })
}

/// Sends what `connection` writes, as a talk does.
macro_rules! watched {
    ($connection:ident, $output:expr, $caller:expr, $place:expr, $stuck:expr) => {{
        let sending = Sending {
            connection: $connection.as_mut(),
            output: $output,
            caller: $caller,
            place: $place,
            is_behind: false,
            has_waited: false,
            stuck: $stuck,
        };
        Box::pin($caller.watch_over(sending, LIMIT))
    }};
}

/// Lets an answer of so many bytes get stuck; returns the memory that is counted for it. In the end its connection has been ended.
async fn stuck<S: Output + Send + 'static>(socket: S, bytes: usize) -> usize {
    let (output, caller, place, mut stuck) = (Gathering::new(socket), Caller::alone(), place(), None);
    let mut connection = writes(&output, bytes);
    let mut watched = watched!(connection, &output, &caller, &place, &mut stuck);
    let early = timeout(LIMIT - Duration::from_secs(1), &mut watched).await;
    assert!(early.is_err());
    let counted = caller.unsent_bytes();
    assert_eq!(output.progress().held, counted);
    assert!(timeout(Duration::from_secs(2), watched).await.is_ok_and(|ended| ended.is_none()));
    drop(stuck);
    assert_eq!(caller.unsent_bytes(), 0);
    counted
}

#[tokio::test(start_paused = true)]
async fn output_that_is_not_taken_counts_as_memory_and_ends_its_connection() {
    for bytes in [SOCKET + 100, 32 << 10, 64 << 10, 1 << 20] {
        let (near, _far) = duplex(SOCKET);
        let waits = bytes.min(64 << 10) - SOCKET;
        let clear = stuck(Socket::new(near), bytes).await;
        assert!((waits..waits + SOCKET + (16 << 10)).contains(&clear), "{bytes} in clear: {clear}");
        let (near, _far) = secure().await;
        let tls = stuck(near, bytes).await;
        assert!((waits..waits + SOCKET + (18 << 10)).contains(&tls), "{bytes} over TLS: {tls}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_takes_little_but_again_and_again_is_not_cut_off() {
    let (near, mut far) = secure().await;
    let (output, caller, place, mut stuck) = (Gathering::new(near), Caller::alone(), place(), None);
    let mut connection = writes(&output, 1 << 20);
    let mut watched = watched!(connection, &output, &caller, &place, &mut stuck);
    for second in 0..120 {
        let mut some = [0; 1_536];
        let (ended, read) = tokio::join!(timeout(Duration::from_secs(1), &mut watched), far.read(&mut some));
        assert!(ended.is_err() && read.unwrap() > 0, "after {second} s");
    }
    assert!(caller.unsent_bytes() <= 80 << 10);
    assert!(timeout(LIMIT + Duration::from_secs(1), watched).await.is_ok_and(|ended| ended.is_none()));
}

#[tokio::test(start_paused = true)]
async fn output_that_has_waited_longest_gives_way_when_all_memory_is_held() {
    // A quarter as much is for output: not quite enough for four that are full.
    let answers = (1 << 20) - 4;
    let memory = Arc::new(Memory::new(answers, SharedAddresses::default(), &MetricRegistry::new()));
    let place = place();
    let caller = Caller::new(memory.clone(), [127, 0, 0, 1].into());
    let mut far = Vec::new();
    let mut outputs = Vec::new();
    for _ in 0..4 {
        let (near, other) = duplex(SOCKET);
        far.push(other);
        outputs.push((Gathering::new(Socket::new(near)), None));
    }
    let mut connections: Vec<_> = outputs.iter().map(|(output, _)| writes(output, 1 << 20)).collect();
    let mut all = Vec::new();
    for ((output, stuck), connection) in outputs.iter_mut().zip(&mut connections) {
        let mut one = watched!(connection, &*output, &caller, &place, stuck);
        assert!((&mut one).now_or_never().is_none());
        all.push(one);
        advance(Duration::from_millis(500)).await;
        // Four hold more than there is.
        let others: Vec<_> = all.iter_mut().map(|one| one.now_or_never().is_some()).collect();
        assert_eq!(others.first(), Some(&(others.len() == 4)), "the oldest gives way");
        assert!(!others[1..].contains(&true));
        assert!(caller.unsent_bytes() <= answers / 4);
    }
    assert_eq!(memory.refused_and_cut(), (0, 1));
    assert_eq!(memory.answer_bytes(), 0, "what is kept back for others is still there");
}

#[tokio::test(start_paused = true)]
async fn a_connection_whose_answer_waits_for_the_socket_keeps_its_place() {
    for (was_asked, expected) in [(true, Some(Refusal::Full)), (false, None)] {
        let ((places, clock), (near, _far)) = (one_place(), duplex(SOCKET));
        let (output, caller, mut stuck) = (Gathering::new(Socket::new(near)), Caller::alone(), None);
        let place = places.take(ADDRESS.into()).unwrap();
        if was_asked {
            drop(place.ask());
        }
        let mut connection = writes(&output, 32 << 10);
        let mut watched = watched!(connection, &output, &caller, &place, &mut stuck);
        assert!((&mut watched).now_or_never().is_none());
        clock.advance(Duration::from_secs(20));
        assert_eq!(places.take([192, 0, 2, 9].into()).err(), expected, "asked: {was_asked}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_displaced_connection_that_moves_has_no_more_time_for_its_end() {
    let ((places, clock), (near, mut far)) = (one_place(), duplex(SOCKET));
    let place = Arc::new(places.take(ADDRESS.into()).unwrap());
    drop(place.ask());
    let (output, caller) = (Gathering::new(Socket::new(near)), Caller::alone());
    let never = service::service_fn(async |_: Request<hyper::body::Incoming>| {
        std::future::pending::<Result<Response<Body>, Infallible>>().await
    });
    let http = Builder::new(TokioExecutor::new());
    let connection = http.serve_connection(TokioIo::new(output.clone()), never).into_owned();
    let (_stop, stopped) = watch::channel(false);
    let metrics = DoorMetrics::new(&MetricRegistry::new());
    let farewell = Duration::from_secs(1);
    let talk = Talk {
        connection: Box::pin(connection),
        output,
        peer: (ADDRESS, 1).into(),
        signs: caller.signs().clone(),
        stopped,
        idle: Duration::from_secs(75),
        caller,
        untaken: LIMIT,
        farewell,
        place,
        metrics,
        stuck: None,
        end_by: None,
    };
    far.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
    let station = Station::new(Some(Handle::current()));
    let mut first = Box::pin(talk.go_on_at(station.clone(), false));
    assert!((&mut first).now_or_never().is_none());
    clock.advance(Duration::from_secs(20));
    assert!(places.take([192, 0, 2, 9].into()).is_ok(), "it gets the place");
    let start = Instant::now();
    assert!(timeout(farewell / 2, &mut first).await.is_err());
    station.give_way();
    let moved = first.await.expect("it goes on");
    assert!(moved.go_on_at(station, true).await.is_none());
    assert_eq!(start.elapsed().as_millis(), farewell.as_millis());
}
