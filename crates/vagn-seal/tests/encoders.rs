//! The encoders in `examples/`, run as their readers run them, agree with the crate.

#![expect(clippy::unwrap_used, reason = "in a test a missing value is a failure like any other")]

use std::net::UdpSocket;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use vagn_seal::{Epoch, KeyId, KeyInForce, KeyTable, Lane, Secret, SenderKey, Speaker};
use vagn_wire::VehicleId;

const EXAMPLES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples");

/// The vector of docs/wire.md.
const REPORT: &str = "82a34c6174cb403e451eb851eb85a9456d657267656e6379c3";
const DATAGRAM: &str = "c1110001020304050607000001a22198ed00f1e742a502a7e920aa582de6f62a7e282e34fe55114dfd2080ee2d2e527f54cd923e630b40b32a3b28c3";
const SEQUENCE: u64 = 1_795_860_000_000;

const KEY_ID: KeyId = KeyId([0, 1, 2, 3, 4, 5, 6, 7]);

fn secret() -> Secret {
    Secret(std::array::from_fn(|at| 0x20 + at as u8))
}

fn epoch() -> Epoch {
    Epoch::new(1).unwrap()
}

/// An encoder, and a key file for it.
struct Encoder {
    program: PathBuf,
    script: Option<&'static str>,
    dir: tempfile::TempDir,
}

impl Encoder {
    fn new(program: PathBuf, script: Option<&'static str>, dir: tempfile::TempDir) -> Self {
        let encoder = Self { program, script, dir };
        encoder.take_key_of("\"vehicle_id\":\"bus-1\"");
        encoder
    }

    /// Makes the key file that of a vehicle or gateway.
    fn take_key_of(&self, whose: &str) {
        let secret = secret().to_base64();
        let line = format!("{{{whose},\"key_id\":\"{KEY_ID}\",\"secret\":\"{secret}\",\"epoch\":1}}\n");
        std::fs::write(self.dir.path().join("key"), line).unwrap();
    }

    /// The one in Python; none where there is no Python.
    fn python() -> Option<Self> {
        Command::new("python3").arg("--version").output().ok()?;
        let dir = tempfile::tempdir().unwrap();
        Some(Self::new(
            "python3".into(),
            Some(concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/sealed.py")),
            dir,
        ))
    }

    /// The one in C, compiled without a warning.
    fn c() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let program = dir.path().join("sealed");
        let source = Path::new(EXAMPLES).join("sealed.c");
        let mut cc = Command::new("cc");
        cc.args(["-std=c99", "-Wall", "-Wextra", "-Werror", "-O1", "-o"]).arg(&program).arg(source);
        let built = cc.output().expect("there is a C compiler, which the tree needs anyway");
        assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
        Self::new(program, None, dir)
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command.args(self.script).arg(self.dir.path().join("key")).args(arguments);
        command
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    fn says(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn sender() -> SenderKey {
    SenderKey::new(KEY_ID, epoch(), &secret())
}

fn table() -> KeyTable {
    let table = KeyTable::default();
    let speaker = Speaker::Vehicle(VehicleId::new("bus-1").unwrap());
    table.put(&KeyInForce { key_id: KEY_ID, speaker, epochs: &[(epoch(), secret())] });
    table
}

/// Seals the vector, and reports of lengths around each block of both ciphers with other bytes each time.
fn seals_as_the_crate_does(encoder: &Encoder, lengths: impl Iterator<Item = usize>) {
    assert_eq!(encoder.says(&["--seal", &SEQUENCE.to_string(), REPORT, "--emergency"]), DATAGRAM);
    let mut chance = fastrand::Rng::with_seed(8439);
    for len in lengths {
        let (sequence, report) = (chance.u64(..), (0..len).map(|_| chance.u8(..)).collect::<Vec<_>>());
        let mut want = Vec::new();
        sender().seal(sequence, &report, Lane::Ordinary, &mut want);
        assert_eq!(
            encoder.says(&["--seal", &sequence.to_string(), &hex(&report)]),
            hex(&want),
            "{len} bytes"
        );
    }
}

fn opens_answers_and_no_others(encoder: &Encoder) {
    let mut answer = Vec::new();
    assert!(table().seal_answer(KEY_ID, epoch(), 77, b"\x81\xa6Stored\xc3", &mut answer));
    assert_eq!(encoder.says(&["--open", &hex(&answer)]), "77 81a653746f726564c3");
    answer[25] ^= 1;
    assert!(!encoder.run(&["--open", &hex(&answer)]).status.success());
    assert!(!encoder.run(&["--open", DATAGRAM]).status.success(), "a report is no answer");
}

/// Sends a report and an alarm to a server that answers in clear, then with the answer to another alarm, then as it should.
fn sends_until_it_is_answered(encoder: &Encoder, to: impl Fn(u16) -> Vec<String>) {
    let server = UdpSocket::bind("127.0.0.1:0").unwrap();
    server.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let to = to(server.local_addr().unwrap().port());
    let to: Vec<&str> = to.iter().map(String::as_str).collect();
    let (table, mut slot, mut buffer) = (table(), [0; 2048], Vec::new());

    assert_eq!(encoder.says(&[&["59.25", "18.5"], &to[..]].concat()), "sent");
    let len = server.recv(&mut slot).unwrap();
    let opened = table.open(&slot[..len], &mut buffer).unwrap();
    let (first, lane) = (opened.sequence, opened.lane);
    let told = told(opened.reports);
    assert_eq!((lane, told.position, told.emergency), (Lane::Ordinary, Some((59.25, 18.5)), false));
    assert!(told.event_time_ms.is_some());

    let mut alarm = encoder.command(&[&["59.25", "18.5", "--emergency"], &to[..]].concat());
    let alarm = alarm.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let (len, from) = server.recv_from(&mut slot).unwrap();
    let opened = table.open(&slot[..len], &mut buffer).unwrap();
    assert!(opened.lane == Lane::Call && opened.sequence > first + 1_000);
    let told = self::told(opened.reports);
    assert!(told.emergency);
    let content = |seq: u64| [b"\x82\xa3Seq\xcf", &seq.to_be_bytes()[..], b"\xa6Stored\xc3"].concat();
    let answer = |seq| {
        let mut out = Vec::new();
        table.seal_answer(KEY_ID, epoch(), 1 << 60, &content(seq), &mut out);
        out
    };
    let seq = told.seq.unwrap();
    for wrong in [content(seq), answer(seq + 1), slot[..len].to_vec()] {
        server.send_to(&wrong, from).unwrap();
    }
    // Repeated, for nothing was to be believed; with the same report in another envelope.
    let (again, _) = server.recv_from(&mut slot).unwrap();
    let repeated = table.open(&slot[..again], &mut buffer).unwrap();
    assert!(repeated.lane == Lane::Call && self::told(repeated.reports).seq == Some(seq));
    server.send_to(&answer(seq), from).unwrap();
    let said = alarm.wait_with_output().unwrap();
    assert!(said.status.success());
    assert_eq!(String::from_utf8(said.stdout).unwrap().trim(), "stored");
}

/// Sends nothing under the key of a gateway: what it would send is refused without a word.
fn sends_nothing_for_a_gateway(encoder: &Encoder) {
    encoder.take_key_of("\"gateway\":\"depot\",\"prefix\":\"bus-\"");
    let refused = encoder.run(&["59.25", "18.5", "--to", "127.0.0.1:9"]);
    let said = String::from_utf8_lossy(&refused.stderr);
    assert!(!refused.status.success() && refused.stdout.is_empty() && said.contains("gateway"), "{said}");
    assert_eq!(encoder.says(&["--seal", &SEQUENCE.to_string(), REPORT, "--emergency"]), DATAGRAM);
}

struct Told {
    position: Option<(f64, f64)>,
    event_time_ms: Option<i64>,
    seq: Option<u64>,
    emergency: bool,
}

/// Reads a report that leaves its id out, as a door does: with the id that the key stands for.
fn told(report: &[u8]) -> Told {
    let with_id = [&[report[0] + 1], &b"\xa2ID\xa5bus-1"[..], &report[1..]].concat();
    let report = vagn_wire::decode(&with_id).unwrap();
    Told {
        position: report.position.ok().map(|position| (position.lat(), position.lon())),
        event_time_ms: report.event_time_ms,
        seq: report.seq,
        emergency: report.emergency,
    }
}

#[test]
fn the_encoder_in_python_agrees() {
    let Some(python) = Encoder::python() else { return };
    seals_as_the_crate_does(&python, [1, 15, 16, 17, 63, 64, 65, 128, 300].into_iter());
    opens_answers_and_no_others(&python);
    sends_until_it_is_answered(&python, |port| vec!["--to".into(), format!("127.0.0.1:{port}")]);
    sends_nothing_for_a_gateway(&python);
}

#[test]
fn the_encoder_in_c_agrees() {
    let c = Encoder::c();
    seals_as_the_crate_does(&c, (1..200).chain([255, 256, 257, 1_000, 2_000]));
    opens_answers_and_no_others(&c);
    sends_until_it_is_answered(&c, |port| vec!["--to".into(), "127.0.0.1".into(), port.to_string()]);
    sends_nothing_for_a_gateway(&c);
}
