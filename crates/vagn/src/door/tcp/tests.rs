//! A client at the other end of a pipe, on a paused clock: whatever it does, its connection ends as it should.

use std::sync::Arc;
use std::sync::mpsc::Receiver;
use std::time::Duration;

use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use rustls::version::{TLS12, TLS13};
use socket2::SockRef;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};
use tokio_rustls::client::TlsStream;
use tokio_rustls::{TlsAcceptor, TlsConnector};
use vagn_otp::{Policy, Queue, QueueSubscriber};
use vagn_wire::ack::decode as decode_ack;
use vagn_wire::{Fate, decode, is_emergency};

use super::connection::{End, Keeps, Service, serve};
use super::limits::Limits;
use super::queue::Space;
use crate::config::TcpSettings;
use crate::door::testing::{
    Held, TestIntake, collector, intake, is_known, store, subscribed, trust, trust_over,
};
use vagn_flow::batch::Batch;
use vagn_flow::descriptors::Places;
use vagn_flow::testing::{emergency, report};
use vagn_http::own_certificate;
use vagn_http::socket::{self, KEPT_MAX};
use vagn_http::tls::Identity;

/// A pipe keeps nothing below itself.
impl Keeps for DuplexStream {
    fn keep(&self, _: Duration) {}
}

/// One connection, and what a test needs of it.
struct Scene {
    intake: TestIntake,
    service: Arc<Service>,
    identity: Identity,
    trust: Arc<ClientConfig>,
    stop: watch::Sender<bool>,
    served: JoinSet<End>,
    places: Arc<Places>,
}

impl Scene {
    fn new(intake: TestIntake) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let identity = own_certificate::of_data_dir(dir.path(), &crate::door::testing::wanted()).unwrap();
        let acceptor = TlsAcceptor::from(identity.server_config(&[]).unwrap());
        let limits = Limits::new(&TcpSettings::default());
        let service = Arc::new(Service {
            intake: intake.intake.clone(),
            acceptor,
            handshakes: None,
            limits,
            is_known: is_known(),
            space: Space::default(),
        });
        Self {
            places: intake.places(1_000),
            intake,
            service,
            trust: trust(&identity),
            identity,
            stop: watch::Sender::new(false),
            served: JoinSet::new(),
        }
    }

    /// A pipe to a connection that is being served.
    fn pipe(&mut self) -> DuplexStream {
        let (client, server) = duplex(16 << 10);
        let place = self.places.take([127, 0, 0, 1].into()).unwrap();
        let (service, stop) = (self.service.clone(), self.stop.subscribe());
        self.served.spawn(async move { serve(server, &place, service, stop).await });
        client
    }

    async fn connect(&mut self) -> TlsStream<DuplexStream> {
        let name = ServerName::try_from("localhost").unwrap();
        let pipe = self.pipe();
        TlsConnector::from(self.trust.clone()).connect(name, pipe).await.unwrap()
    }

    async fn end(&mut self) -> End {
        self.served.join_next().await.unwrap().unwrap()
    }
}

async fn send(client: &mut TlsStream<DuplexStream>, bytes: &[u8]) {
    client.write_all(bytes).await.unwrap();
    client.flush().await.unwrap();
}

/// The paused clock moves only when every task waits: the service has read what was sent.
async fn settle() {
    tokio::time::sleep(Duration::from_millis(1)).await;
}

/// Everything the service says until it closes: the `Seq` and fate of each ack.
async fn acks(client: &mut TlsStream<DuplexStream>) -> Vec<(u64, Fate)> {
    let mut bytes = Vec::new();
    client.read_to_end(&mut bytes).await.expect("a closing service says so");
    let mut rest = &bytes[..];
    std::iter::from_fn(|| {
        let (ack, length) = decode_ack(rest).unwrap()?;
        let said = (ack.seq, ack.fate);
        rest = &rest[length..];
        Some(said)
    })
    .collect()
}

fn arrived(batches: &Receiver<Held>) -> Vec<Vec<u8>> {
    let all: Vec<Held> = batches.try_iter().collect();
    all.iter().flat_map(|batch| batch.reports().map(|(.., bytes)| bytes.to_vec())).collect()
}

#[tokio::test(start_paused = true)]
async fn half_a_handshake_times_out() {
    let mut scene = Scene::new(collector().0);
    let mut pipe = scene.pipe();
    pipe.write_all(b"\x16\x03\x01\x02\x00\x01").await.unwrap();
    assert_eq!(scene.end().await, End::HandshakeTimeout);
}

#[tokio::test(start_paused = true)]
async fn what_is_no_handshake_ends_at_once() {
    let mut scene = Scene::new(collector().0);
    let mut pipe = scene.pipe();
    pipe.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
    assert_eq!(scene.end().await, End::Handshake);
}

#[tokio::test(start_paused = true)]
async fn speaks_both_versions_of_tls() {
    let mut scene = Scene::new(intake(store));
    for version in [&TLS12, &TLS13] {
        scene.trust = trust_over(&scene.identity, &[version]);
        let mut client = scene.connect().await;
        assert_eq!(client.get_ref().1.protocol_version(), Some(version.version));
        send(&mut client, &report("bus", Some(1))).await;
        client.shutdown().await.unwrap();
        assert_eq!(acks(&mut client).await, [(1, Fate::Stored)]);
    }
}

#[tokio::test(start_paused = true)]
async fn an_idle_client_is_told_goodbye() {
    let mut scene = Scene::new(collector().0);
    let mut client = scene.connect().await;
    assert_eq!(acks(&mut client).await, []);
    assert_eq!(scene.end().await, End::Idle);
}

#[tokio::test(start_paused = true)]
async fn a_byte_a_minute_gains_no_time() {
    let (intake, batches) = collector();
    let mut scene = Scene::new(intake);
    let mut client = scene.connect().await;
    let object = report("bus", None);
    for byte in &object[..4] {
        send(&mut client, &[*byte]).await;
        tokio::time::sleep(Duration::from_secs(60)).await;
    }
    assert_eq!(acks(&mut client).await, []);
    assert_eq!(scene.end().await, End::Idle);
    assert_eq!(arrived(&batches), [&object[..4]], "what was cut off is counted too");
}

#[tokio::test(start_paused = true)]
async fn objects_arrive_whole_however_they_are_sent() {
    let (intake, batches) = collector();
    let mut scene = Scene::new(intake);
    let mut client = scene.connect().await;
    let objects = [report("one", None), report("two", None)];
    send(&mut client, &objects.concat()).await;
    for byte in objects.concat() {
        send(&mut client, &[byte]).await;
    }
    client.shutdown().await.unwrap();
    assert_eq!(scene.end().await, End::Closed);
    assert_eq!(arrived(&batches), [&objects[..], &objects[..]].concat());
}

#[tokio::test(start_paused = true)]
async fn acks_come_in_order_and_only_for_reports_that_ask() {
    let (intake, batches) = collector();
    let mut scene = Scene::new(intake);
    let mut client = scene.connect().await;
    for seq in [Some(1), None, Some(3)] {
        send(&mut client, &report("bus", seq)).await;
        settle().await;
    }
    client.shutdown().await.unwrap();
    let held: Vec<_> = batches.try_iter().collect();
    assert_eq!(held.len(), 3);
    // Fates become known in the wrong order.
    held.into_iter().rev().for_each(Held::store);
    assert_eq!(acks(&mut client).await, [(1, Fate::Stored), (3, Fate::Stored)]);
    assert_eq!(scene.end().await, End::Closed);
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_stops_being_msgpack_is_answered_and_closed() {
    let (intake, batches) = collector();
    let mut scene = Scene::new(intake);
    let mut client = scene.connect().await;
    let stream = [report("bus", Some(1)), vec![0xc1; 300], report("bus", Some(2))].concat();
    send(&mut client, &stream).await;
    settle().await;
    let held = batches.try_recv().unwrap();
    let fine: Vec<bool> = held.reports().map(|(.., bytes)| decode(bytes).is_ok()).collect();
    assert_eq!(fine, [true, false]);
    held.store();
    assert_eq!(acks(&mut client).await, [(1, Fate::Stored)]);
    assert_eq!(scene.end().await, End::NotMsgpack);
    assert_eq!(scene.intake.reports.received.get(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_stopping_door_finishes_what_was_sent() {
    let mut scene = Scene::new(intake(store));
    let mut client = scene.connect().await;
    for seq in 0..600 {
        send(&mut client, &report("bus", Some(seq))).await;
    }
    scene.stop.send_replace(true);
    assert_eq!(acks(&mut client).await, (0..600).map(|seq| (seq, Fate::Stored)).collect::<Vec<_>>());
    assert_eq!(scene.end().await, End::Stopped);
}

#[tokio::test(start_paused = true)]
async fn a_stopping_door_is_not_kept_by_a_client_that_never_pauses() {
    // Nothing is taken, so each batch takes time, and when it is given up the next bytes are there already.
    let queue = Queue::new(1);
    let full = QueueSubscriber::new(&queue, Policy::Wait, |batch: &Arc<Batch>| Some(batch.clone()));
    let mut scene = Scene::new(subscribed(full));
    let mut client = scene.connect().await;
    let stream = report("bus", None).repeat(100);
    let mut sending = JoinSet::new();
    sending.spawn(async move {
        while client.write_all(&stream).await.is_ok() {
            settle().await;
        }
    });
    settle().await;
    scene.stop.send_replace(true);
    let end = timeout(Duration::from_secs(600), scene.end()).await;
    assert_eq!(end, Ok(End::Stopped));
}

#[tokio::test(start_paused = true)]
async fn a_stopping_door_does_not_wait_for_handshakes() {
    let mut scene = Scene::new(collector().0);
    let _pipe = scene.pipe();
    scene.stop.send_replace(true);
    assert_eq!(scene.end().await, End::Stopped);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_does_not_read_its_acks_is_closed() {
    let mut scene = Scene::new(intake(store));
    let mut client = scene.connect().await;
    let stream = report("bus", Some(1)).repeat(100);
    while client.write_all(&stream).await.is_ok() && client.flush().await.is_ok() {}
    assert_eq!(scene.end().await, End::AcksUnread);
    let metrics = &scene.intake.reports;
    assert_eq!(metrics.fate(Fate::Stored).get(), metrics.received.get());
}

#[tokio::test(start_paused = true)]
async fn a_full_service_slows_its_senders_and_loses_nothing() {
    // More than the line of a connection holds.
    const SENT: usize = 80_000;
    let queue = Queue::new(2);
    let waiting = QueueSubscriber::new(&queue, Policy::Wait, |batch: &Arc<Batch>| Some(batch.clone()));
    let mut scene = Scene::new(subscribed(waiting));
    let mut client = scene.connect().await;
    let mut sending = JoinSet::new();
    sending.spawn(async move {
        for number in 0..SENT {
            send(&mut client, &report(&number.to_string(), None)).await;
        }
        client.shutdown().await.unwrap();
        client
    });
    settle().await;
    assert!(scene.intake.reports.received.get() < SENT as u64 / 2, "the sender was not slowed down");
    let mut arrived = 0;
    while arrived < SENT {
        let batch = timeout(Duration::from_secs(60), queue.pop()).await.unwrap().unwrap();
        for (.., bytes) in batch.reports() {
            assert_eq!(decode(bytes).unwrap().vehicle_id.as_str(), arrived.to_string());
            arrived += 1;
        }
    }
    assert!(sending.join_next().await.unwrap().is_ok());
    assert_eq!(scene.end().await, End::Closed);
}

#[tokio::test(start_paused = true)]
async fn an_alarm_does_not_stand_behind_unknown_fates() {
    let (intake, batches) = collector();
    let mut scene = Scene::new(intake);
    let mut client = scene.connect().await;
    for seq in 0..5 {
        send(&mut client, &report("bus", Some(seq))).await;
        settle().await;
    }
    let held: Vec<_> = batches.try_iter().collect();
    send(&mut client, &emergency("bus", Some(5))).await;
    settle().await;
    let alarms = arrived(&batches);
    assert!(alarms.len() == 1 && is_emergency(&alarms[0]), "{alarms:?} beside {} held", held.len());
}

/// Time that an alarm takes behind these positions, when there is no room for any of them.
async fn alarm_behind(positions: Vec<u8>) -> Duration {
    let (full, alarms) = (Queue::new(1), Queue::new(1));
    let waiting = QueueSubscriber::new(&full, Policy::Wait, |batch: &Arc<Batch>| Some(batch.clone()));
    let intake = subscribed(waiting);
    let select = |batch: &Arc<Batch>| batch.reports().any(|(.., bytes)| is_emergency(bytes)).then_some(());
    intake.traffic.subscribe("emergency", QueueSubscriber::new(&alarms, Policy::DropNewest, select));
    let mut scene = Scene::new(intake);
    let mut client = scene.connect().await;
    let sent = Instant::now();
    send(&mut client, &[positions, emergency("bus", None)].concat()).await;
    alarms.pop().await.unwrap();
    sent.elapsed()
}

#[tokio::test(start_paused = true)]
async fn an_alarm_does_not_stand_behind_positions_that_wait_for_room() {
    for seq in [None, Some(1)] {
        let took = alarm_behind(report("bus", seq).repeat(3_072)).await;
        assert!(took < Duration::from_millis(100), "{took:?} with Seq {seq:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_stage_that_stands_still_holds_up_a_stream_once() {
    let took = alarm_behind(report("bus", None).repeat(60_000)).await;
    assert!(took < Duration::from_secs(6), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn a_fate_that_never_becomes_known_is_not_made_up() {
    let (intake, batches) = collector();
    let mut scene = Scene::new(intake);
    let mut client = scene.connect().await;
    send(&mut client, &report("bus", Some(1))).await;
    let mut answer = Vec::new();
    // The connection is cut without a goodbye, which the client's TLS calls an error.
    client.read_to_end(&mut answer).await.unwrap_err();
    assert_eq!((scene.end().await, answer.len()), (End::Unanswered, 0));
    assert_eq!(batches.try_iter().count(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_vanishes_leaves_what_it_sent() {
    let (intake, batches) = collector();
    let mut scene = Scene::new(intake);
    let mut client = scene.connect().await;
    send(&mut client, &report("bus", None)).await;
    settle().await;
    drop(client);
    assert_eq!(scene.end().await, End::Lost);
    assert_eq!(arrived(&batches), [report("bus", None)]);
}

#[tokio::test]
async fn a_vehicle_in_a_tunnel_has_the_time_of_a_silent_one_and_a_closed_connection_has_less() {
    let mut scene = Scene::new(intake(store));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let (server, _) = listener.accept().await.unwrap();
    let server = server.into_std().unwrap();
    // Of the same socket: it stays when the service has closed it.
    let seen = server.try_clone().unwrap();
    let kept = || SockRef::from(&seen).tcp_user_timeout().unwrap();
    let server = TcpStream::from_std(server).unwrap();
    socket::tune(&server);
    assert_eq!(kept(), Some(KEPT_MAX), "during the handshake");

    let (place, stop) = (scene.places.take([127, 0, 0, 1].into()).unwrap(), scene.stop.subscribe());
    let service = scene.service.clone();
    scene.served.spawn(async move { serve(server, &place, service, stop).await });
    let name = ServerName::try_from("localhost").unwrap();
    let mut client = TlsConnector::from(scene.trust.clone()).connect(name, client).await.unwrap();
    client.write_all(&report("bus", Some(1))).await.unwrap();
    client.read_u8().await.unwrap();
    assert_eq!(kept(), Some(TcpSettings::default().idle_timeout.into()), "while it is open");

    client.shutdown().await.unwrap();
    assert_eq!(scene.end().await, End::Closed);
    assert_eq!(kept(), Some(KEPT_MAX), "once it is closed");
}
