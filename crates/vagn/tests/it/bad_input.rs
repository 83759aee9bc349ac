//! Input of all kinds from unknown senders: it is counted under a reason, and the service still works.

use std::io::Write;
use std::net::{TcpStream, UdpSocket};

use crate::vagn::{Vagn, eventually, report};

/// Checks that the service still takes a position and gives it back.
async fn assert_unharmed(vagn: &Vagn, id: &str) {
    let before = vagn.fate("stored").await;
    vagn.send(&report(id, 10.0, 20.0, false));
    eventually("a position to be stored", async || vagn.fate("stored").await == before + 1).await;
    let vehicle = vagn.json(&format!("/api/v1/vehicles/{id}")).await;
    assert_eq!(vehicle["id"], id);
}

/// Returns a report with these values of the four fields, each as msgpack.
fn map(id: &[u8], lon: &[u8], lat: &[u8], emergency: &[u8]) -> Vec<u8> {
    let fields: [(&[u8], &[u8]); 4] =
        [(b"\xa2ID", id), (b"\xa3Lon", lon), (b"\xa3Lat", lat), (b"\xa9Emergency", emergency)];
    let pairs = fields.iter().flat_map(|(key, value)| key.iter().chain(value.iter()));
    std::iter::once(&0x84).chain(pairs).copied().collect()
}

fn nan() -> Vec<u8> {
    std::iter::once(0xcb).chain(f64::NAN.to_be_bytes()).collect()
}

fn long_id(len: u16) -> Vec<u8> {
    let mut id = vec![0xda];
    id.extend(len.to_be_bytes());
    id.extend(std::iter::repeat_n(b'x', len.into()));
    id
}

#[tokio::test]
async fn datagrams_that_are_no_reports_are_counted_under_their_reason() {
    let dir = tempfile::tempdir().unwrap();
    let vagn = Vagn::start(dir.path(), &[]);
    let noise: Vec<u8> = std::iter::repeat_with({
        let mut chance = fastrand::Rng::with_seed(7);
        move || chance.u8(..)
    })
    .take(65_000)
    .collect();
    let cases: [(&str, Vec<u8>); 8] = [
        ("empty", Vec::new()),
        ("too_long", noise),
        ("longitude", map(b"\xa1a", &nan(), b"\x01", b"\xc2")),
        ("latitude", map(b"\xa1a", b"\x01", b"\x5b", b"\xc2")),
        ("not_a_report", vec![0x91; 2000]),
        ("bad_id", map(&long_id(300), b"\x01", b"\x01", b"\xc2")),
        ("truncated", report("bus", 1.0, 2.0, false)[..30].to_vec()),
        ("not_msgpack", [&[0x81_u8][..], &[0xc1; 99]].concat()),
    ];
    for (at, (reason, datagram)) in cases.iter().enumerate() {
        let name = format!("vagn_reports_invalid_total{{reason=\"{reason}\"}}");
        vagn.send(datagram);
        eventually(&format!("one {reason} more"), async || vagn.metric(&name).await >= 1.0).await;
        assert_unharmed(&vagn, &format!("bus-{at}")).await;
    }
    assert_eq!(vagn.fate("invalid").await, cases.len() as u64);
    assert_eq!(vagn.fates().await, vagn.metric("vagn_reports_received_total").await as u64);
}

#[tokio::test]
async fn a_stream_that_is_not_tls_and_one_that_stops_halfway_harm_no_other_sender() {
    let dir = tempfile::tempdir().unwrap();
    let vagn = Vagn::start(dir.path(), &[]);
    for name in ["tcp", "http"] {
        let mut noise = TcpStream::connect(vagn.address(name)).unwrap();
        // Fails when the service closes the connection before all of it is written.
        noise.write_all(&[0xff; 70_000]).ok();
        let mut half = TcpStream::connect(vagn.address(name)).unwrap();
        half.write_all(&[0x16, 0x03, 0x01, 0x02, 0x00, 0x01, 0x00]).unwrap();
        assert_unharmed(&vagn, &format!("beside-{name}")).await;
    }
}

#[tokio::test]
async fn a_thousand_idle_connections_leave_room_for_others() {
    let dir = tempfile::tempdir().unwrap();
    let vagn = Vagn::start(dir.path(), &[]);
    let idle: Vec<_> = (0..1000).map(|_| TcpStream::connect(vagn.address("tcp")).unwrap()).collect();
    assert_unharmed(&vagn, "among-idlers").await;
    assert_eq!(idle.len(), 1000);
}

#[tokio::test]
async fn with_the_setting_for_it_a_datagram_gets_the_reply_of_the_original() {
    let dir = tempfile::tempdir().unwrap();
    let config = dir.path().join("vagn.toml");
    std::fs::write(&config, "[udp]\nreply = \"original\"\n").unwrap();
    let vagn = Vagn::start(&dir.path().join("data"), &["--config", config.to_str().unwrap()]);
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(crate::vagn::LIMIT)).unwrap();
    socket.send_to(b"", vagn.address("udp")).unwrap();
    socket.send_to(&report("bus", 1.0, 2.0, false), vagn.address("udp")).unwrap();
    let mut reply = [0; 16];
    let len = socket.recv(&mut reply).unwrap();
    assert_eq!(&reply[..len], b"\\n");
}
