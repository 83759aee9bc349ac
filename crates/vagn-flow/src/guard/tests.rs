use std::sync::mpsc::Receiver;

use vagn_seal::{Epoch, KeyInForce, Lane, Secret, SenderKey, Speaker};
use vagn_wire::{Fate, Position, Report, encode};

use super::*;
use crate::clock::ManualClock;
use crate::metrics::MetricRegistry;
use crate::testing::{emergency, reply_to, report};

const NOW_MS: i64 = 1_795_860_000_000;
const BUS_KEY: KeyId = KeyId([1; 8]);
const GATEWAY_KEY: KeyId = KeyId([2; 8]);

/// Bytes of a report, `more` of its mark, and the reason if it is refused.
type Entry = (Vec<u8>, bool, Option<NoProof>);

struct Fixture {
    guard: Arc<Guard>,
    reports: Arc<ReportMetrics>,
    content: Content,
    _dir: tempfile::TempDir,
}

fn secret(key_id: KeyId) -> Secret {
    Secret([key_id.0[0]; 32])
}

fn sender(key_id: KeyId) -> SenderKey {
    SenderKey::new(key_id, Epoch::FIRST, &secret(key_id))
}

fn sealed(key_id: KeyId, sequence: u64, reports: &[u8], lane: Lane) -> Vec<u8> {
    let mut envelope = Vec::new();
    sender(key_id).seal(sequence, reports, lane, &mut envelope);
    envelope
}

fn source() -> Option<Source> {
    Some(std::net::IpAddr::from([192, 0, 2, 7]).into())
}

/// A report without its pair `ID`.
fn nameless(emergency: bool) -> Vec<u8> {
    let mut named = Vec::new();
    let place = Position::new(1.5, -2.5).unwrap();
    encode(&Report { emergency, ..Report::new(VehicleId::new("x").unwrap(), place) }, &mut named);
    [&[named[0] - 1], &named[6..]].concat()
}

impl Fixture {
    /// A guard that knows the key of "bus 7", and that of a gateway for vehicles from "bus" on.
    fn new(mode: DeviceMode) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let keys = Arc::new(KeyTable::default());
        let put = |key_id, speaker| {
            let epochs = &[(Epoch::FIRST, secret(key_id))];
            assert!(keys.put(&KeyInForce { key_id, speaker, epochs }));
        };
        put(BUS_KEY, Speaker::Vehicle(VehicleId::new("bus 7").unwrap()));
        put(GATEWAY_KEY, Speaker::Gateway { name: "depot", prefix: "bus" });
        let reports = ReportMetrics::new(&MetricRegistry::new());
        let answers = AnswerSequence::open(dir.path(), 0, NOW_MS).unwrap();
        let guard = Guard::new(GuardParts {
            mode,
            keys,
            reports: reports.clone(),
            answers: Some(Arc::new(answers)),
            clock: Arc::new(ManualClock::at(NOW_MS)),
        });
        Self { guard, reports, content: Content::default(), _dir: dir }
    }

    fn open(&mut self, envelope: &[u8]) -> Result<Vec<Entry>, NoProof> {
        self.guard.open(envelope, source, &mut self.content)?;
        let entries = self.content.entries();
        Ok(entries.map(|entry| (entry.bytes.to_vec(), entry.seal.more, entry.refused)).collect())
    }

    /// Counts of unauthenticated reports by reason, of those that occurred.
    fn refused(&self) -> Vec<(&'static str, u64)> {
        let counts = NoProof::ALL.map(|reason| (reason.as_str(), self.reports.unauthenticated(reason).get()));
        let all: u64 = counts.iter().map(|(_, count)| count).sum();
        assert_eq!((self.reports.fate(Fate::Unauthenticated).get(), self.reports.received.get()), (all, all));
        counts.into_iter().filter(|(_, count)| *count > 0).collect()
    }
}

#[test]
fn the_reports_of_an_envelope_come_out_with_their_vehicle_and_share_one_look() {
    let mut it = Fixture::new(DeviceMode::Open);
    let inside = [nameless(false), report("bus 7", None), nameless(true)].concat();
    let opened = it.open(&sealed(BUS_KEY, 5, &inside, Lane::Call)).unwrap();
    let more: Vec<_> = opened.iter().map(|(_, more, refused)| (*more, refused.is_some())).collect();
    assert_eq!(more, [(false, false), (true, false), (true, false)]);
    assert!(opened.iter().all(|(bytes, ..)| open(bytes).unwrap().vehicle_id.as_str() == "bus 7"));
    let seals: Vec<_> =
        it.content.entries().map(|entry| (entry.seal.sequence, entry.seal.needs_time)).collect();
    assert_eq!(seals, [(5, false); 3]);
    assert_eq!((it.refused(), it.reports.seal_lane_mismatches.get()), (vec![], 0));
}

#[test]
fn a_report_that_the_store_does_not_judge_takes_no_look_from_those_behind_it() {
    let mut it = Fixture::new(DeviceMode::Open);
    // A call without a place, and one that is no report at all.
    let placeless = b"\x81\xa9Emergency\xc3";
    let inside = [&placeless[..], &nameless(false), &nameless(false)].concat();
    let opened = it.open(&sealed(BUS_KEY, 5, &inside, Lane::Call)).unwrap();
    assert_eq!(opened.iter().map(|(_, more, _)| *more).collect::<Vec<_>>(), [false, false, true]);
}

#[test]
fn a_key_speaks_for_its_own_vehicle_only_and_its_call_for_another_is_none() {
    let mut it = Fixture::new(DeviceMode::Open);
    let inside = [report("bus 8", None), emergency("bus 9", None), nameless(false)].concat();
    let opened = it.open(&sealed(BUS_KEY, 5, &inside, Lane::Call)).unwrap();
    let refused: Vec<_> = opened.iter().map(|(.., refused)| *refused).collect();
    assert_eq!(refused, [Some(NoProof::WrongVehicle), Some(NoProof::WrongVehicle), None]);
    assert_eq!(it.refused(), [("wrong_vehicle", 2)]);
    let lines = it.guard.unproven().list();
    assert_eq!(lines.len(), 1);
    assert_eq!((lines[0].call.vehicle_id.as_deref(), lines[0].call.key_id), (Some("bus 9"), Some(BUS_KEY)));
    assert!(lines[0].call.position.is_some());
}

#[test]
fn a_gateway_speaks_for_vehicles_under_its_prefix_that_have_no_key() {
    let mut it = Fixture::new(DeviceMode::Open);
    let inside = ["bus 8", "bus 7", "tram", "bus 8", "bus 9"].map(|id| report(id, None)).concat();
    let opened = it.open(&sealed(GATEWAY_KEY, 5, &inside, Lane::Ordinary)).unwrap();
    let got: Vec<_> = opened.iter().map(|(_, more, refused)| (*more, refused.is_some())).collect();
    assert_eq!(got, [(false, false), (false, true), (false, true), (true, false), (false, false)]);
    assert!(it.content.entries().all(|entry| entry.seal.needs_time));
    assert_eq!(it.refused(), [("wrong_vehicle", 2)]);
    // It has to say whose a report is.
    let opened = it.open(&sealed(GATEWAY_KEY, 6, &nameless(false), Lane::Ordinary)).unwrap();
    assert_eq!(open(&opened[0].0), Err(vagn_wire::Reject::NoId));
}

#[test]
fn what_stays_closed_is_one_report_and_a_call_in_it_is_listed() {
    let mut it = Fixture::new(DeviceMode::Open);
    let good = sealed(BUS_KEY, 5, &[nameless(true), nameless(true)].concat(), Lane::Call);
    let mut forged = good.clone();
    forged[20] ^= 1;
    let mut unknown = good.clone();
    unknown[2] ^= 1;
    let other_epoch = [&good[..1], &[0x15], &good[2..]].concat();
    let mut quiet = forged.clone();
    *quiet.last_mut().unwrap() = 0xc2;
    assert_eq!(it.open(&forged), Err(NoProof::BadTag));
    assert_eq!(it.open(&quiet), Err(NoProof::BadTag));
    assert_eq!(it.open(&unknown), Err(NoProof::UnknownKey));
    assert_eq!(it.open(&other_epoch), Err(NoProof::UnknownKey));
    assert_eq!(it.open(&[0xc1; 10]), Err(NoProof::BadTag));
    it.guard.keys().revoke(BUS_KEY);
    assert_eq!(it.open(&good), Err(NoProof::Revoked));
    assert_eq!(it.refused(), [("unknown_key", 2), ("revoked", 1), ("bad_tag", 3)]);
    let lines = it.guard.unproven().list();
    let lines: Vec<_> =
        lines.iter().map(|line| (line.call.vehicle_id.as_deref(), line.reason, line.count)).collect();
    // The key was for the bus, as long as it was in force.
    let expected = [
        (None, NoProof::Revoked, 1),
        (Some("bus 7"), NoProof::UnknownKey, 2),
        (None, NoProof::UnknownKey, 1),
    ];
    assert_eq!(lines, expected);
}

#[test]
fn the_flag_counts_where_the_lane_says_otherwise_and_that_is_counted() {
    for (inside, lane, mismatches) in [
        (nameless(true), Lane::Ordinary, 1),
        (nameless(false), Lane::Call, 1),
        (nameless(true), Lane::Call, 0),
        (nameless(false), Lane::Ordinary, 0),
    ] {
        let mut it = Fixture::new(DeviceMode::Open);
        let is_call =
            open(&{ it.open(&sealed(BUS_KEY, 5, &inside, lane)).unwrap().remove(0).0 }).unwrap().emergency;
        let marked = it.content.entries().next().unwrap().mark.is_alarm;
        assert_eq!((marked, it.reports.seal_lane_mismatches.get()), (is_call, mismatches));
    }
}

#[test]
fn an_open_report_needs_the_proof_of_its_mode() {
    use DeviceMode::{Mixed, Open, Required};
    for (mode, keyed, keyed_token, other, other_token) in [
        (Open, true, true, true, true),
        (Mixed, false, false, true, true),
        (Required, false, false, false, true),
    ] {
        let it = Fixture::new(mode);
        let check = |id, proof| it.guard.check(&report(id, None), proof, source).is_ok();
        let got = [
            check("bus 7", Proof::None),
            check("bus 7", Proof::Token),
            check("tram", Proof::None),
            check("tram", Proof::Token),
        ];
        assert_eq!(got, [keyed, keyed_token, other, other_token], "{mode:?}");
        let refusals = got.iter().filter(|taken| !**taken).count() as u64;
        assert_eq!(it.refused().iter().map(|(_, count)| count).sum::<u64>(), refusals);
        assert!(it.guard.unproven().is_empty(), "no call was among them");
    }
}

#[test]
fn where_vehicles_may_have_keys_that_are_not_here_mixed_asks_all_for_proof() {
    for (mode, lacks_keys, is_taken) in [
        (DeviceMode::Mixed, false, true),
        (DeviceMode::Mixed, true, false),
        (DeviceMode::Open, true, true),
        (DeviceMode::Required, false, false),
    ] {
        let it = Fixture::new(mode);
        it.guard.set_lacks_keys(lacks_keys);
        let got = it.guard.check(&report("tram", None), Proof::None, source).is_ok();
        assert_eq!((got, it.guard.mode()), (is_taken, mode), "{lacks_keys}");
        assert!(it.guard.check(&report("tram", None), Proof::Token, source).is_ok());
    }
    let metrics = ReportMetrics::new(&MetricRegistry::new());
    let clock = Arc::new(ManualClock::at(NOW_MS));
    let parts =
        GuardParts { mode: DeviceMode::Mixed, keys: Arc::default(), reports: metrics, answers: None, clock };
    let without_keys = Guard::new(parts);
    assert!(without_keys.takes_all());
    without_keys.set_lacks_keys(true);
    assert!(!without_keys.takes_all());
}

#[test]
fn an_open_call_without_proof_is_listed_with_its_place() {
    let it = Fixture::new(DeviceMode::Required);
    it.guard.set_mode(DeviceMode::Required);
    assert!(it.guard.check(&emergency("tram", None), Proof::None, source).is_err());
    assert!(it.guard.check(b"noise", Proof::None, source).is_err());
    assert_eq!(it.refused(), [("no_seal", 2)]);
    let lines = it.guard.unproven().list();
    assert_eq!((lines.len(), lines[0].call.vehicle_id.as_deref()), (1, Some("tram")));
    assert_eq!(lines[0].source, source());
}

fn heard(it: &Fixture) -> (Option<ReplyTo>, Receiver<Vec<u8>>) {
    let (reply_to, heard) = reply_to();
    (it.guard.reply(&it.content, reply_to), heard)
}

#[test]
fn the_answer_to_an_envelope_is_sealed_and_goes_out_once_after_its_last_call() {
    let mut it = Fixture::new(DeviceMode::Open);
    let call = |seq| [&[0x82][..], b"\xa3Seq", &[seq], b"\xa9Emergency\xc3"].concat();
    let envelope = sealed(BUS_KEY, 5, &[call(7), nameless(false), call(8)].concat(), Lane::Call);
    it.open(&envelope).unwrap();
    let (reply, heard) = heard(&it);
    let reply = reply.unwrap();
    reply.grant(1);
    assert!(heard.try_recv().is_err(), "one call is not on disk");
    reply.grant(1);
    let answer = heard.try_recv().unwrap();
    assert!(answer.len() <= envelope.len() && answer.last() == Some(&0xc2));
    let (sequence, clear) = sender(BUS_KEY).open_answer(&answer).unwrap();
    assert_eq!(sequence, NOW_MS.unsigned_abs() * 16);
    assert_eq!(clear, b"\x82\xa3Seq\x08\xa6Stored\xc3");
    reply.grant(1);
    assert!(heard.try_recv().is_err());
}

#[test]
fn an_answer_names_the_vehicle_and_the_number_that_the_call_had() {
    let mut it = Fixture::new(DeviceMode::Open);
    let mut clear = |inside: &[u8], key_id| {
        it.open(&sealed(key_id, 500, inside, Lane::Call)).unwrap();
        let (reply, heard) = heard(&it);
        reply?.grant(1);
        Some(sender(key_id).open_answer(&heard.try_recv().unwrap()).unwrap().1)
    };
    let named = clear(&emergency("bus 8", Some(7)), GATEWAY_KEY).unwrap();
    assert_eq!(named, b"\x83\xa2ID\xa5bus 8\xa3Seq\x07\xa6Stored\xc3");
    let unnumbered = clear(&nameless(true), BUS_KEY).unwrap();
    assert_eq!(unnumbered, b"\x82\xa3Seq\xcd\x01\xf4\xa6Stored\xc3");
    // It would be longer than the call.
    assert_eq!(clear(b"\x81\xa9Emergency\xc3", BUS_KEY), None);
    assert_eq!(clear(&nameless(false), BUS_KEY), None);
    let with_another = [emergency("bus 9", Some(1)), nameless(true)].concat();
    assert_eq!(clear(&with_another, BUS_KEY), None, "the call of another is not on disk");
}

#[test]
fn an_envelope_of_a_key_that_is_revoked_while_it_is_taken_is_refused_as_revoked() {
    let inside = [emergency("bus 8", None), report("bus 9", None)].concat();
    let envelope = sealed(GATEWAY_KEY, 5, &inside, Lane::Call);
    let mut it = Fixture::new(DeviceMode::Open);
    let mut clear = Vec::new();
    // Between opening and the judgement of those for whom it speaks.
    let opened = it.guard.keys.open_for(&envelope, &mut clear, |opened, speaker| {
        it.content.fill(opened, envelope.len(), speaker);
    });
    it.guard.keys().revoke(GATEWAY_KEY);
    let opened = opened.map(|(opened, ())| opened);
    let taken = it.guard.take_apart(opened, &envelope, &source, &mut it.content);
    assert_eq!((taken, it.content.len()), (Err(NoProof::Revoked), 0));
    assert_eq!((it.refused(), it.guard.unproven().len()), (vec![("revoked", 1)], 1));
}

/// A source of its own for each hundred.
fn of_hundred(number: usize) -> impl Fn() -> Option<Source> {
    let hundred = u16::try_from(number / 100).unwrap().to_be_bytes();
    move || Some(std::net::IpAddr::from([192, 0, hundred[0], hundred[1]]).into())
}

#[test]
fn made_up_vehicles_and_keys_take_no_place_of_those_that_have_a_key() {
    let it = Fixture::new(DeviceMode::Required);
    let mut content = Content::default();
    let mut refuse = |envelope: Vec<u8>, from: usize| {
        assert!(it.guard.open(&envelope, of_hundred(from), &mut content).is_err());
    };
    let mut forged = sealed(GATEWAY_KEY, 1, &nameless(true), Lane::Call);
    forged[20] ^= 1;
    // An epoch that the key does not have.
    let mut other_epoch = forged.clone();
    other_epoch[1] = 0x15;
    refuse(forged, 0);
    refuse(other_epoch, 100);
    assert!(it.guard.check(&emergency("bus 7", None), Proof::None, of_hundred(0)).is_err());
    for number in 0..2 * unproven::UNPROVEN_MAX {
        let made_up = emergency(&format!("made up {number}"), None);
        assert!(it.guard.check(&made_up, Proof::None, of_hundred(200 + number)).is_err());
        let key_id = KeyId([9, 9, 9, 9, 9, 9, (number >> 8) as u8, number as u8]);
        refuse(sealed(key_id, 1, &nameless(true), Lane::Call), 200 + number);
    }
    let lines = it.guard.unproven().list();
    let is_known = |line: &unproven::UnprovenCall| {
        line.call.vehicle_id.as_deref() == Some("bus 7") || line.call.key_id == Some(GATEWAY_KEY)
    };
    assert_eq!(lines.len(), unproven::UNPROVEN_MAX);
    assert_eq!(lines.iter().filter(|line| is_known(line)).count(), 3);
    assert!(lines.iter().all(|line| line.has_key == is_known(line)));
    let told = 3 + 4 * unproven::UNPROVEN_MAX;
    assert_eq!(it.reports.unproven_lost.get(), (told - unproven::UNPROVEN_MAX) as u64);
}
