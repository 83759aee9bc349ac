//! `--key-file`: what the commands send is sealed, and only a sealed answer is believed.

use std::fs::Permissions;
use std::net::UdpSocket;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Stdio;

use vagn_seal::{Epoch, KeyId, KeyInForce, KeyTable, Lane, Secret, Speaker};
use vagn_wire::{StoredAck, VehicleId, decode};

use crate::vagn::{LIMIT, command};

/// Key of `bus-7`.
const KEY_ID: KeyId = KeyId([7; 8]);

/// A server that holds the key of `bus-7`.
struct Server {
    socket: UdpSocket,
    table: KeyTable,
}

/// An envelope that came.
struct Came {
    sequence: u64,
    lane: Lane,
    vehicle_id: String,
    event_time_ms: Option<i64>,
    answer: Vec<u8>,
}

impl Server {
    fn new() -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_read_timeout(Some(LIMIT)).unwrap();
        let table = KeyTable::default();
        let speaker = Speaker::Vehicle(VehicleId::new("bus-7").unwrap());
        table.put(&KeyInForce { key_id: KEY_ID, speaker, epochs: &[(Epoch::FIRST, Secret([7; 32]))] });
        Self { socket, table }
    }

    fn address(&self) -> String {
        self.socket.local_addr().unwrap().to_string()
    }

    /// Takes a datagram, which must be sealed; gives it and its sender.
    fn take(&self) -> (Came, std::net::SocketAddr) {
        let (mut slot, mut buffer) = ([0; 2048], Vec::new());
        let (len, from) = self.socket.recv_from(&mut slot).unwrap();
        let opened = self.table.open(&slot[..len], &mut buffer).expect("it is sealed");
        let report = decode(opened.reports).unwrap();
        let mut answer = Vec::new();
        if let Some(asked) = StoredAck::asked_by(&report) {
            StoredAck { incident: Some("019ab3c4-5d6e-7f80-9a1b-2c3d4e5f6071"), ..asked }
                .encode(opened.reports.len(), &mut answer);
        }
        let came = Came {
            sequence: opened.sequence,
            lane: opened.lane,
            vehicle_id: report.vehicle_id.as_str().to_owned(),
            event_time_ms: report.event_time_ms,
            answer,
        };
        (came, from)
    }

    fn seal(&self, answer: &[u8]) -> Vec<u8> {
        let mut sealed = Vec::new();
        assert!(self.table.seal_answer(KEY_ID, Epoch::FIRST, 1, answer, &mut sealed));
        sealed
    }
}

fn key_file(dir: &Path) -> String {
    let secret = Secret([7; 32]).to_base64();
    let line =
        format!("{{\"vehicle_id\":\"bus-7\",\"key_id\":\"{KEY_ID}\",\"secret\":\"{secret}\",\"epoch\":0}}\n");
    let path = dir.join("keys");
    std::fs::write(&path, line).unwrap();
    path.to_str().unwrap().to_owned()
}

#[test]
fn an_alarm_is_sealed_and_only_a_sealed_answer_is_believed() {
    let (dir, server) = (tempfile::tempdir().unwrap(), Server::new());
    let (keys, target) = (key_file(dir.path()), server.address());
    let mut send = command();
    send.args(["send", "bus-7", "59.33", "18.06", "--emergency", "--key-file", &keys, "--target", &target]);
    let sending = send.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let (first, from) = server.take();
    assert_eq!((first.lane, &*first.vehicle_id), (Lane::Call, "bus-7"));
    assert!(first.event_time_ms.is_some());
    server.socket.send_to(&first.answer, from).unwrap();
    let (second, from) = server.take();
    assert_eq!(second.sequence, first.sequence + 1, "the repeat is sealed anew");
    assert_eq!(second.answer, first.answer);
    server.socket.send_to(&server.seal(&second.answer), from).unwrap();
    let said = sending.wait_with_output().unwrap();
    assert!(said.status.success());
    let said = String::from_utf8(said.stdout).unwrap();
    assert_eq!(said, "stored, incident 019ab3c4-5d6e-7f80-9a1b-2c3d4e5f6071; the answer was sealed\n");
}

#[test]
fn a_fleet_is_that_of_the_key_file_and_repeats_no_sequence() {
    let (dir, server) = (tempfile::tempdir().unwrap(), Server::new());
    let (keys, target) = (key_file(dir.path()), server.address());
    let mut last = 0;
    for _ in 0..2 {
        let mut simulate = command();
        simulate.args(["simulate", "--count", "20", "--rate", "max", "--emergency-ratio", "0.2"]);
        let output = simulate.args(["--key-file", &keys, "--target", &target]).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        for _ in 0..20 {
            let (came, _) = server.take();
            assert!(came.vehicle_id == "bus-7" && came.event_time_ms.is_some() && came.sequence > last);
            last = came.sequence;
        }
    }
}

#[test]
fn a_vehicle_without_a_key_is_named_and_nothing_is_sent() {
    let (dir, server) = (tempfile::tempdir().unwrap(), Server::new());
    let (keys, target) = (key_file(dir.path()), server.address());
    let mut send = command();
    send.args(["send", "tram", "59.33", "18.06", "--key-file", &keys, "--target", &target]);
    let output = send.output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success() && said.contains("no key for tram"), "{said}");
    server.socket.set_nonblocking(true).unwrap();
    assert!(server.socket.recv(&mut [0; 100]).is_err());
}

#[test]
fn a_key_file_that_others_can_read_is_warned_of() {
    let (dir, server) = (tempfile::tempdir().unwrap(), Server::new());
    let (keys, target) = (key_file(dir.path()), server.address());
    for (mode, is_warned) in [(0o644, true), (0o600, false)] {
        std::fs::set_permissions(&keys, Permissions::from_mode(mode)).unwrap();
        let mut send = command();
        send.args(["send", "bus-7", "59.33", "18.06", "--key-file", &keys, "--target", &target]);
        let output = send.output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success(), "{said}");
        assert_eq!(said.contains("can be read by every user of this machine"), is_warned, "{said}");
    }
}

#[test]
fn one_key_for_two_vehicles_is_refused_and_nothing_is_sent() {
    let (dir, server) = (tempfile::tempdir().unwrap(), Server::new());
    let (keys, target) = (key_file(dir.path()), server.address());
    let line = std::fs::read_to_string(&keys).unwrap();
    std::fs::write(&keys, format!("{line}{}", line.replace("bus-7", "bus-8"))).unwrap();
    let mut simulate = command();
    simulate.args(["simulate", "--count", "20", "--rate", "max", "--key-file", &keys, "--target", &target]);
    let output = simulate.output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(
        !output.status.success() && said.contains("line 2: its key 0707070707070707 is that of line 1"),
        "{said}"
    );
    server.socket.set_nonblocking(true).unwrap();
    assert!(server.socket.recv(&mut [0; 100]).is_err());
}
