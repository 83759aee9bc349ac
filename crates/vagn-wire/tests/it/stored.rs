//! The answer over UDP to an alarm.

use vagn_fuzz::{rounds, seeded};
use vagn_wire::ack::BadAck;
use vagn_wire::{Reject, Report, StoredAck, VehicleId, decode};

use crate::inputs::report;
use crate::msgpack::{Object, map};

const INCIDENT: &str = "019ab3c4-5d6e-7f80-9a1b-2c3d4e5f6071";
const ROUNDS: usize = 200_000;

fn ack(incident: Option<&str>) -> StoredAck<'_> {
    StoredAck { vehicle_id: VehicleId::new("a").expect("an id"), seq: 7, incident }
}

fn encoded(ack: &StoredAck<'_>, alarm_len: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    ack.encode(alarm_len, &mut bytes);
    bytes
}

fn check(object: &Object, want: Result<StoredAck<'_>, BadAck>) {
    assert_eq!(StoredAck::decode(&object.bytes()), want, "{object:?}");
}

#[test]
fn the_incident_comes_along_when_there_is_room() {
    let told = ack(Some(INCIDENT));
    let (bare_len, told_len) = (encoded(&ack(None), 0).len(), encoded(&told, usize::MAX).len());
    assert_eq!((bare_len, told_len), (19, 19 + 9 + 38));
    for alarm_len in bare_len..told_len {
        assert_eq!(encoded(&told, alarm_len), encoded(&ack(None), alarm_len));
    }
    assert_eq!(StoredAck::decode(&encoded(&told, told_len)), Ok(told));
}

#[test]
fn the_shortest_alarm_is_three_bytes_longer_than_its_answer() {
    for seq in [0, 0x7f, 0x80, 0xff, 0x100, 0xffff, 0x1_0000, 0xffff_ffff, 0x1_0000_0000, u64::MAX] {
        for id in ["a", &"x".repeat(31), &"x".repeat(32), &"x".repeat(64)] {
            let fields = [("ID", id.into()), ("Seq", Object::Uint(seq)), ("Emergency", true.into())];
            let alarm = map(fields).bytes();
            let report = decode(&alarm).expect("an alarm");
            let answer = encoded(&StoredAck::asked_by(&report).expect("it asks for an answer"), alarm.len());
            assert_eq!(answer.len() + 3, alarm.len(), "{id} {seq}");
        }
    }
}

#[test]
fn no_alarm_in_any_encoding_is_shorter_than_its_answer() {
    let mut chance = seeded();
    let mut asked = 0;
    for _ in 0..rounds(ROUNDS) {
        let Object::Map(mut pairs) = report(&mut chance) else { continue };
        let extra = [
            ("Seq".into(), Object::Uint(chance.u64(..) >> chance.u8(..64))),
            ("Emergency".into(), true.into()),
        ];
        for pair in extra {
            pairs.insert(chance.usize(..=pairs.len()), pair);
        }
        let mut bytes = Object::Map(pairs).bytes_widened(&mut || chance.usize(..40) / 37);
        bytes.truncate(bytes.len() - chance.usize(..4));
        let Ok(report) = decode(&bytes) else { continue };
        let Some(bare) = StoredAck::asked_by(&report) else { continue };
        let answer = encoded(&StoredAck { incident: Some(INCIDENT), ..bare }, bytes.len());
        assert!(answer.len() <= bytes.len(), "{bytes:02x?}");
        asked += 1;
    }
    assert!(asked > ROUNDS / 4, "only {asked} asked for an answer");
}

#[test]
fn only_an_alarm_with_a_seq_asks_for_an_answer() {
    let bytes = map([("ID", "a".into()), ("Seq", 7.into()), ("Emergency", true.into())]).bytes();
    let alarm = decode(&bytes).expect("an alarm");
    assert_eq!(StoredAck::asked_by(&alarm), Some(ack(None)));
    assert_eq!(StoredAck::asked_by(&Report { seq: None, ..alarm }), None);
    assert_eq!(StoredAck::asked_by(&Report { emergency: false, ..alarm }), None);
}

#[test]
fn the_fault_of_a_wrong_answer_is_named() {
    let more = [("More", Object::Nil), ("Stored", true.into()), ("Seq", 7.into()), ("ID", "a".into())];
    check(&map(more), Ok(ack(None)));
    check(&Object::Array(vec![]), Err(BadAck::NotAMap));
    check(&Object::Raw(b"\\n".to_vec()), Err(BadAck::NotAMap));
    check(&Object::Raw(vec![]), Err(BadAck::Frame(Reject::Truncated)));
    check(&map([("ID", "a".into()), ("Seq", 7.into())]), Err(BadAck::Field("Stored")));
    let refused = [("ID", "a".into()), ("Seq", 7.into()), ("Stored", false.into())];
    check(&map(refused), Err(BadAck::Field("Stored")));
    check(&map([("Seq", 7.into()), ("Stored", true.into())]), Err(BadAck::Field("ID")));
    check(&map([("ID", "a".into()), ("Stored", true.into())]), Err(BadAck::Field("Seq")));
}
