//! One connection whose peer takes little or nothing, over sockets that hold next to nothing themselves.

use std::convert::Infallible;
use std::task::Waker;

use axum::body::Body;
use futures_util::FutureExt;
use hyper::{Request, Response, service};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::runtime::Handle;
use tokio::time::timeout;
use tokio_rustls::server::TlsStream;
use tokio_rustls::{TlsAcceptor, TlsConnector};
use vagn_flow::descriptors::Refusal;
use vagn_flow::metrics::MetricRegistry;
use vagn_flow::peer::SharedAddresses;

use super::*;
use crate::memory::Memory;
use crate::own_certificate;
use crate::socket::Socket;
use crate::testing::{places, wanted};

const LIMIT: Duration = Duration::from_secs(30);
const ADDRESS: [u8; 4] = [192, 0, 2, 1];
/// Bytes that a socket here takes for a peer that reads nothing.
const SOCKET: usize = 4 << 10;

fn place() -> Place {
    places(1).0.take(ADDRESS.into()).unwrap()
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

fn noop() -> Context<'static> {
    Context::from_waker(Waker::noop())
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

/// Lets an answer of so many bytes get stuck; returns the memory that it holds. In the end its connection has been ended.
async fn stuck<S: Output + Send + 'static>(socket: S, bytes: usize) -> usize {
    let (caller, place, mut stuck) = (Caller::alone(), place(), None);
    let output = Gathering::new(socket, &caller);
    let mut connection = writes(&output, bytes);
    let mut watched = watched!(connection, &output, &caller, &place, &mut stuck);
    let early = timeout(LIMIT - Duration::from_secs(1), &mut watched).await;
    assert!(early.is_err());
    let held = output.held();
    assert_eq!(caller.unsent_bytes(), held.saturating_sub(4 << 10));
    assert!(timeout(Duration::from_secs(2), watched).await.is_ok_and(|ended| ended.is_none()));
    drop((stuck, connection, output));
    assert_eq!(caller.unsent_bytes(), 0);
    held
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
    let (caller, place, mut stuck) = (Caller::alone(), place(), None);
    let output = Gathering::new(near, &caller);
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

fn caller_at(address: [u8; 4], memory: &Arc<Memory>) -> Caller {
    Caller::new(memory.clone(), address.into())
}

/// Memory with 256 KiB for output, 64 KiB of it for one address: just enough for one connection that has gathered all that it may.
fn small_memory() -> Arc<Memory> {
    Arc::new(Memory::new(1 << 20, SharedAddresses::default(), &MetricRegistry::new()))
}

/// Answers one request with so many bytes, over a connection whose peer reads; returns how many came.
async fn answered(caller: &Caller, bytes: usize) -> usize {
    let (place, mut stuck, (near, mut far)) = (place(), None, duplex(SOCKET));
    let output = Gathering::new(Socket::new(near), caller);
    let answer = service::service_fn(move |_: Request<hyper::body::Incoming>| async move {
        Ok::<_, Infallible>(Response::new(Body::from(vec![b'~'; bytes])))
    });
    let http = Builder::new(TokioExecutor::new());
    let mut connection = Box::pin(http.serve_connection(TokioIo::new(output.clone()), answer));
    let served = watched!(connection, &output, caller, &place, &mut stuck);
    far.write_all(b"POST / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").await.unwrap();
    let mut came = Vec::new();
    let both = async { tokio::join!(served, far.read_to_end(&mut came)) };
    let (served, read) = timeout(LIMIT, both).await.expect("the answer comes and the connection ends");
    assert!(served.is_some_and(|ended| ended.is_ok()) && read.is_ok());
    came.iter().filter(|byte| **byte == b'~').count()
}

#[tokio::test(start_paused = true)]
async fn a_slow_reader_goes_on_while_peers_who_read_nothing_hold_all_memory() {
    let (memory, place, mut stuck) = (small_memory(), place(), None);
    let (near, mut far) = secure().await;
    let caller = caller_at([192, 0, 2, 200], &memory);
    let output = Gathering::new(near, &caller);
    let mut connection = writes(&output, 1 << 20);
    let mut slow = watched!(connection, &output, &caller, &place, &mut stuck);
    assert!((&mut slow).now_or_never().is_none());
    let mut crowd = Vec::new();
    for last in 1..=12 {
        let (near, silent) = secure().await;
        let caller = caller_at([192, 0, 2, last], &memory);
        let output = Gathering::new(near, &caller);
        crowd.push((writes(&output, 1 << 20), output, caller, None, silent));
    }
    let mut polled: Vec<_> = Vec::new();
    let mut outputs = Vec::new();
    for (connection, output, caller, stuck, _silent) in &mut crowd {
        outputs.push(&*output);
        polled.push(watched!(connection, &*output, &*caller, &place, stuck));
    }
    for second in 0..25 {
        let ended = polled.iter_mut().filter_map(|one| one.now_or_never()).count();
        assert_eq!(ended, 0, "after {second} s");
        let mut some = [0; 1_536];
        let (slow, read) = tokio::join!(timeout(Duration::from_secs(1), &mut slow), far.read(&mut some));
        assert!(slow.is_err() && read.unwrap() > 0, "after {second} s");
        assert!(caller.unsent_bytes() <= 256 << 10);
    }
    let crumbs = outputs.iter().filter(|output| (1..=(4 << 10) + 64).contains(&output.held())).count();
    assert_eq!(crumbs, 12 - 3, "the slow one and three of the crowd hold all");
    assert_eq!(memory.refused_and_cut(), (0, 0));
    assert_eq!(memory.answer_bytes(), 0, "what is kept back for others is still there");
    for one in polled {
        assert!(timeout(LIMIT, one).await.is_ok_and(|ended| ended.is_none()), "nothing was taken for long");
    }
    assert_eq!(memory.refused_and_cut(), (0, 12));
    drop(slow);
    drop((stuck, crowd, connection, output));
    assert_eq!(caller.unsent_bytes(), 0);
}

#[tokio::test(start_paused = true)]
async fn answers_come_through_where_an_address_or_all_hold_as_much_output_as_they_may() {
    for (addresses, reasons) in [(1, [0, 1]), (4, [1, 0])] {
        let memory = small_memory();
        let mut crowd = Vec::new();
        for last in 1..=addresses {
            let (near, silent) = duplex(SOCKET);
            let caller = caller_at([192, 0, 2, last], &memory);
            let output = Gathering::new(Socket::new(near), &caller);
            let mut connection = writes(&output, 1 << 20);
            assert!((&mut connection).now_or_never().is_none() && output.poll_send(&mut noop()).is_pending());
            crowd.push((output, connection, silent));
        }
        let address = if addresses == 1 { 1 } else { 9 };
        let caller = caller_at([192, 0, 2, address], &memory);
        let before = caller.unsent_bytes();
        assert_eq!(before, usize::from(addresses) * (56 << 10), "what neither socket nor crumb takes");
        for bytes in [1, 3 << 10, 5 << 10, 200 << 10] {
            assert_eq!(answered(&caller, bytes).await, bytes);
        }
        let refused =
            ["full", "address"].map(|reason| usize::from(memory.metrics.ungathered_for(reason) > 0));
        assert_eq!(refused, reasons);
        assert_eq!((caller.unsent_bytes(), memory.refused_and_cut().1), (before, 0));
        drop(crowd);
        assert_eq!(caller.unsent_bytes(), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_connection_whose_answer_waits_for_the_socket_keeps_its_place() {
    for (was_asked, expected) in [(true, Some(Refusal::Full)), (false, None)] {
        let ((places, clock), (near, _far)) = (places(1), duplex(SOCKET));
        let (caller, mut stuck) = (Caller::alone(), None);
        let output = Gathering::new(Socket::new(near), &caller);
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
    let ((places, clock), (near, mut far)) = (places(1), duplex(SOCKET));
    let place = Arc::new(places.take(ADDRESS.into()).unwrap());
    drop(place.ask());
    let caller = Caller::alone();
    let output = Gathering::new(Socket::new(near), &caller);
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
