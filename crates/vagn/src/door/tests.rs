//! The doors as they run: real sockets, under a supervisor, with a stand-in for everything behind the topic.

mod answers;
mod crowds;
mod sealed;

use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustls::pki_types::ServerName;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use vagn_otp::{Fault, Root, Strategy, Supervisor};
use vagn_wire::ack::decode as decode_ack;
use vagn_wire::{Fate, MAX_DATAGRAM, Reject, is_emergency};

use super::tcp::TcpPorts;
use super::testing::{Held, Keeper, TestIntake, collector, intake, store, trust};
use super::udp::{UdpPorts, gro, sockopt};
use super::{Door, Doors};
use crate::config::{Reply, TcpSettings, UdpSettings};
use vagn_flow::batch::{BATCH_MAX, Batch};
use vagn_flow::testing::{emergency, report};
use vagn_http::own_certificate;

/// A buffer that any kernel gives: room for some 550 small datagrams.
const BUFFER: u32 = 212_992;

/// Far longer than anything here takes; only a failing test waits for it.
const PATIENCE: Duration = Duration::from_secs(30);

/// Sends bytes to an address.
type Forge = dyn Fn(&[u8], SocketAddr) + Send + Sync;

struct Running {
    root: Root,
    udp: SocketAddr,
    tcp: SocketAddr,
    steered: bool,
    connector: TlsConnector,
    intake: TestIntake,
    /// Sends a datagram from the UDP door's own address.
    forge: Box<Forge>,
}

struct Plan {
    listen: String,
    reply: Reply,
    steered: bool,
    gro: bool,
    max_connections: usize,
    hang_limit: Duration,
}

impl Default for Plan {
    fn default() -> Self {
        let listen = "127.0.0.1:0".into();
        Self {
            listen,
            reply: Reply::None,
            steered: true,
            gro: false,
            max_connections: 10_000,
            hang_limit: PATIENCE,
        }
    }
}

impl Plan {
    async fn run(self, intake: TestIntake) -> Running {
        let dir = tempfile::tempdir().unwrap();
        let identity = own_certificate::of_data_dir(dir.path(), &crate::door::testing::wanted()).unwrap();
        let udp = UdpSettings {
            listen: self.listen,
            receive_buffer_bytes: BUFFER,
            reply: self.reply,
            gro: self.gro,
        };
        let tcp = TcpSettings { listen: "127.0.0.1:0".into(), ..TcpSettings::default() };
        let udp = UdpPorts::bind(&udp, self.steered).unwrap();
        let tcp = TcpPorts::bind(&tcp).unwrap();
        let merges = udp.ports[0].ordinary.gives.merged;
        assert_eq!(merges, self.gro && gro::enable(&udp.ports[0].ordinary.socket).is_ok());
        let steered = udp.ports.iter().all(|port| port.emergency.is_ok());
        let addresses = (udp.addresses()[0], tcp.addresses()[0]);
        let own = Arc::downgrade(&udp.ports[0].ordinary);
        let forge = move |bytes: &[u8], to: SocketAddr| {
            own.upgrade().unwrap().socket.send_to(bytes, &to.into()).unwrap();
        };
        let doors = Doors(vec![Box::new(udp), Box::new(tcp)]);
        let children = doors
            .children(&intake.parts(identity.server_config(&[]).unwrap(), self.max_connections))
            .into_iter();
        let children = children.map(|child| child.watchdog(self.hang_limit));
        let root = Supervisor::new("doors", Strategy::OneForOne).children(children).start().await.unwrap();
        let (udp, tcp) = addresses;
        Running {
            root,
            udp,
            tcp,
            steered,
            connector: trust(&identity).into(),
            intake,
            forge: Box::new(forge),
        }
    }
}

impl Running {
    async fn connect_from(&self, address: &str) -> tokio::net::TcpStream {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.bind(SocketAddr::new(address.parse().unwrap(), 0)).unwrap();
        socket.connect(self.tcp).await.unwrap()
    }

    /// True if a connection from this address is closed.
    async fn refuses(&self, address: &str) -> bool {
        let mut stream = self.connect_from(address).await;
        matches!(stream.read(&mut [0; 1]).await, Ok(0) | Err(_))
    }

    async fn connect(&self) -> TlsStream<tokio::net::TcpStream> {
        self.secure(tokio::net::TcpStream::connect(self.tcp).await.unwrap()).await
    }

    async fn secure(&self, stream: tokio::net::TcpStream) -> TlsStream<tokio::net::TcpStream> {
        self.connector.connect(ServerName::try_from("localhost").unwrap(), stream).await.unwrap()
    }

    /// Sends one report and waits until it is stored, which is what a client is for.
    async fn store_one(&self) {
        let mut client = self.connect().await;
        client.write_all(&report("bus", Some(1))).await.unwrap();
        assert_eq!(read_fate(&mut client).await, Fate::Stored);
    }

    async fn restarted(&self, name: &str) {
        let processes = self.root.processes();
        until(|| processes.get(name).is_some_and(|process| process.restarts == 1)).await;
    }

    fn refused(&self, reason: &'static str) -> u64 {
        self.intake.doors.refusals(reason)
    }
}

async fn read_fate(client: &mut TlsStream<tokio::net::TcpStream>) -> Fate {
    let mut bytes = Vec::new();
    loop {
        if let Some((ack, _)) = decode_ack(&bytes).unwrap() {
            return ack.fate;
        }
        assert_ne!(client.read_buf(&mut bytes).await.unwrap(), 0, "closed without an answer");
    }
}

/// Waits for a condition, not for a time.
async fn until(mut condition: impl FnMut() -> bool) {
    let waiting = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(PATIENCE, waiting).await.expect("the condition is never met");
}

fn vehicle(door: SocketAddr) -> UdpSocket {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.connect(door).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket
}

/// The next `count` reports to arrive.
fn arrive(batches: &Receiver<Held>, count: usize) -> Vec<Vec<u8>> {
    let mut reports = Vec::new();
    while reports.len() < count {
        let batch = batches.recv_timeout(PATIENCE).expect("a report is missing");
        reports.extend(batch.reports().map(|(.., bytes)| bytes.to_vec()));
    }
    reports
}

/// Stands in for everything behind the topic: what asks is on disk at once.
fn answer(batch: &Arc<Batch>) {
    for (index, _, bytes) in batch.reports() {
        batch.reply_to(index).iter().for_each(|asker| asker.answer(bytes));
    }
}

fn alarms_in(batch: &Batch) -> usize {
    batch.reports().filter(|(.., bytes)| is_emergency(bytes)).count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_alarm_arrives_past_a_flood_that_is_not_read() {
    const ALARMS: usize = 500;
    const FLOOD: usize = 20;
    let (sender, batches) = channel::<Arc<Batch>>();
    let gate = Arc::new(Mutex::new(()));
    let slow = gate.clone();
    // The ordinary reader stands still at its first batch.
    let running = Plan::default().run(intake(move |batch| {
        drop(sender.send(batch.clone()));
        if alarms_in(batch) < batch.len() {
            drop(slow.lock());
        }
    }));
    let running = running.await;
    let closed = gate.lock().unwrap();
    let vehicle = vehicle(running.udp);
    for _ in 0..ALARMS {
        (0..FLOOD).for_each(|_| assert!(vehicle.send(&report("bus", None)).is_ok()));
        vehicle.send(&emergency("bus", None)).unwrap();
    }
    let mut arrived = 0;
    // Where the kernel refuses to steer, alarms are lost with positions, which the drops below show.
    while running.steered && arrived < ALARMS {
        arrived += alarms_in(&batches.recv_timeout(PATIENCE).expect("an alarm was lost"));
    }
    drop(closed);
    running.root.stop().await;
    let received = running.intake.reports.received.get();
    let drops = running.intake.metric("vagn_udp_kernel_drops_total");
    assert!(drops > 0, "the flood was no flood");
    assert_eq!(received + drops, (ALARMS * (FLOOD + 1)) as u64);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_steering_an_alarm_takes_the_ordinary_socket() {
    let (intake, batches) = collector();
    let running = Plan { steered: false, ..Plan::default() }.run(intake).await;
    assert!(!running.steered && running.root.processes().get("udp-emergency").is_none());
    vehicle(running.udp).send(&emergency("bus", None)).unwrap();
    assert_eq!(arrive(&batches, 1), [emergency("bus", None)]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn localhost_is_served_at_every_address() {
    let (intake, batches) = collector();
    let dir = tempfile::tempdir().unwrap();
    let tls = own_certificate::of_data_dir(dir.path(), &crate::door::testing::wanted())
        .unwrap()
        .server_config(&[])
        .unwrap();
    let udp =
        UdpSettings { listen: "localhost:0".into(), receive_buffer_bytes: BUFFER, ..UdpSettings::default() };
    let tcp = TcpSettings { listen: "localhost:0".into(), ..TcpSettings::default() };
    let udp = UdpPorts::bind(&udp, true).unwrap();
    let addresses = udp.addresses();
    let doors = Doors(vec![Box::new(udp), Box::new(TcpPorts::bind(&tcp).unwrap())]);
    let children = doors.children(&intake.parts(tls, 10));
    let _root = Supervisor::new("doors", Strategy::OneForOne).children(children).start().await;
    for address in &addresses {
        let any: SocketAddr = if address.is_ipv4() { "127.0.0.1:0" } else { "[::1]:0" }.parse().unwrap();
        let vehicle = UdpSocket::bind(any).unwrap();
        vehicle.send_to(&report("bus", None), address).unwrap();
        vehicle.send_to(&emergency("bus", None), address).unwrap();
        assert_eq!(arrive(&batches, 2).len(), 2, "at {address}");
    }
    assert!(addresses.iter().all(|address| address.port() == addresses[0].port()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_may_send_many_reports_as_one() {
    const SENDS: usize = 12;
    const EACH: usize = 60;
    let (intake, batches) = collector();
    let running = Plan { gro: true, ..Plan::default() }.run(intake).await;
    let gateway = vehicle(running.udp);
    let reports: Vec<Vec<u8>> = (0..EACH)
        .map(|at| if at == 20 { emergency("bus", Some(7)) } else { report("bus", Some(7)) })
        .collect();
    sockopt::set_int_at(&gateway, libc::SOL_UDP, libc::UDP_SEGMENT, reports[0].len() as _).unwrap();
    for _ in 0..SENDS {
        gateway.send(&reports.concat()).unwrap();
    }
    let mut arrived = Vec::new();
    while arrived.len() < SENDS * EACH {
        let batch = batches.recv_timeout(PATIENCE).expect("a report is missing");
        assert!(batch.len() <= BATCH_MAX, "{} in one batch", batch.len());
        arrived.extend(batch.reports().map(|(.., bytes)| bytes.to_vec()));
        answer(&batch);
    }
    assert!(arrived.chunks(EACH).all(|sent| sent == reports));
    for _ in 0..SENDS {
        let mut reply = [0; 64];
        let length = gateway.recv(&mut reply).expect("an alarm is not answered");
        assert_eq!(&reply[..length], emergency("bus", Some(7)));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_datagram_may_hold_many_reports() {
    let (intake, batches) = collector();
    let running = Plan::default().run(intake).await;
    let vehicle = vehicle(running.udp);
    // Some 680 reports in two datagrams: no batch holds more than it may, and each alarm is answered.
    let short = b"\x94\xa1a\x01\x02\xc2";
    let (first, alarm) = (short.repeat(MAX_DATAGRAM / short.len()), emergency("bus", Some(7)));
    let second = [&short.repeat(300)[..], &alarm, b"\0"].concat();
    vehicle.send(&first).unwrap();
    vehicle.send(&second).unwrap();
    let mut arrived = Vec::new();
    while arrived.len() < 341 + 301 {
        let batch = batches.recv_timeout(PATIENCE).expect("a report is missing");
        assert!(batch.len() <= BATCH_MAX, "{} in one batch", batch.len());
        arrived.extend(batch.reports().map(|(.., bytes)| bytes.to_vec()));
        answer(&batch);
    }
    let last = arrived.pop().unwrap();
    assert!(last.starts_with(&alarm) && arrived.iter().all(|report| report == short));
    let mut reply = [0; 64];
    let length = vehicle.recv(&mut reply).expect("the alarm is not answered");
    assert_eq!(&reply[..length], last);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hostile_datagrams_are_counted_and_harm_nothing() {
    let (intake, batches) = collector();
    let running = Plan::default().run(intake).await;
    let vehicle = vehicle(running.udp);
    vehicle.send(&[]).unwrap();
    vehicle.send(&vec![0xa5; 65_507]).unwrap();
    vehicle.send(&vec![0xa5; MAX_DATAGRAM + 1]).unwrap();
    vehicle.send(&report("bus", None)).unwrap();
    assert_eq!(arrive(&batches, 1), [report("bus", None)]);
    let metrics = &running.intake.reports;
    assert_eq!((metrics.invalid(Reject::Empty).get(), metrics.invalid(Reject::TooLong).get()), (1, 2));
    assert_eq!((metrics.received.get(), metrics.fate(Fate::Invalid).get()), (4, 3));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restarted_door_finds_what_waited_for_it() {
    let (intake, batches) = collector();
    let running = Plan::default().run(intake).await;
    let vehicle = vehicle(running.udp);
    let mut doors = vec!["udp"];
    doors.extend(running.steered.then_some("udp-emergency"));
    for name in doors {
        assert!(running.root.processes().inject(name, Fault::Panic));
        for _ in 0..200 {
            vehicle.send(&report("bus", None)).unwrap();
            vehicle.send(&emergency("bus", None)).unwrap();
        }
        assert_eq!(arrive(&batches, 400).len(), 400);
        running.restarted(name).await;
    }
    assert_eq!(running.intake.metric("vagn_udp_kernel_drops_total"), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hung_door_is_replaced_and_nothing_that_waited_is_lost() {
    let (intake, batches) = collector();
    let running = Plan { hang_limit: Duration::from_secs(2), ..Plan::default() }.run(intake).await;
    let vehicle = vehicle(running.udp);
    assert!(running.root.processes().inject("udp", Fault::Hang));
    (0..200).for_each(|_| assert!(vehicle.send(&report("bus", None)).is_ok()));
    running.restarted("udp").await;
    assert_eq!(arrive(&batches, 200).len(), 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stopping_door_takes_what_already_waits() {
    let running = Plan::default().run(intake(store)).await;
    let vehicle = vehicle(running.udp);
    (0..500).for_each(|_| assert!(vehicle.send(&report("bus", None)).is_ok()));
    running.root.stop().await;
    assert_eq!(running.intake.reports.fate(Fate::Stored).get(), 500);
    let again = UdpSocket::bind(running.udp);
    assert!(again.is_ok(), "a stopped door still has its port: {again:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_service_on_the_port_is_refused_by_name() {
    let running = Plan::default().run(collector().0).await;
    let taken = running.udp.to_string();
    let udp = UdpSettings { listen: taken.clone(), ..UdpSettings::default() };
    let said = UdpPorts::bind(&udp, true).unwrap_err().to_string();
    assert!(said.contains(&format!("udp {taken}")) && said.contains("ss -lunp"), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_idle_connections_harm_no_other() {
    let running = Plan::default().run(intake(store)).await;
    let silent: Vec<TcpStream> = (0..900).map(|_| TcpStream::connect(running.tcp).unwrap()).collect();
    let mut idle = Vec::new();
    for _ in 0..100 {
        idle.push(running.connect().await);
    }
    running.store_one().await;
    vehicle(running.udp).send(&report("bus", None)).unwrap();
    until(|| running.intake.reports.fate(Fate::Stored).get() == 2).await;
    until(|| running.intake.metric("vagn_connections_open") == 1_000).await;
    running.root.stop().await;
    assert_eq!(running.intake.metric("vagn_connections_open"), 0, "beside {} silent", silent.len());
    assert_eq!(running.refused("too_many"), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_that_crashes_loses_only_itself() {
    let running = Plan::default().run(intake(|batch| {
        let poison = report("poison", None);
        assert!(batch.reports().all(|(.., bytes)| bytes != poison), "poison");
        store(batch);
    }));
    let running = running.await;
    let mut other = running.connect().await;
    let mut doomed = running.connect().await;
    doomed.write_all(&report("poison", None)).await.unwrap();
    until(|| running.refused("crashed") == 1).await;
    other.write_all(&report("bus", Some(1))).await.unwrap();
    assert_eq!(read_fate(&mut other).await, Fate::Stored);
    assert_eq!(running.intake.reports.fate(Fate::Failed).get(), 1);
    assert_eq!(running.root.processes().get("tcp").unwrap().restarts, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restarted_tcp_door_refuses_no_client() {
    let running = Plan::default().run(intake(store)).await;
    assert!(running.root.processes().inject("tcp", Fault::Panic));
    running.restarted("tcp").await;
    running.store_one().await;
    assert_eq!(running.refused("too_many"), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_subscriber_that_keeps_every_batch_delays_no_answer() {
    let intake = intake(store);
    intake.traffic.subscribe("keeper", Keeper::default());
    let running = Plan::default().run(intake).await;
    running.store_one().await;
}
