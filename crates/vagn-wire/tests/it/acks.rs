//! The answer over TCP.

use vagn_wire::ack::{Ack, BadAck, decode, encode};
use vagn_wire::{Fate, Reject, VehicleId};

use crate::bodies;
use crate::msgpack::{Object, map};

fn check(object: &Object, want: Result<Ack<'_>, BadAck>) {
    let bytes = object.bytes();
    assert_eq!(decode(&bytes), want.map(|ack| Some((ack, bytes.len()))), "{object:?}");
    bodies::ack(&bytes);
}

fn ack(fate: Fate, incident: Option<&str>) -> Ack<'_> {
    Ack { vehicle_id: VehicleId::new("a").expect("a name"), seq: 7, fate, incident }
}

#[test]
fn every_fate_can_be_answered() {
    for (fate, incident) in Fate::ALL.into_iter().flat_map(|fate| [(fate, None), (fate, Some("i"))]) {
        let mut bytes = Vec::new();
        encode(&ack(fate, incident), &mut bytes);
        assert_eq!(decode(&bytes), Ok(Some((ack(fate, incident), bytes.len()))));
    }
}

#[test]
fn every_seq_is_read_back() {
    for seq in [0, 7, i64::MAX.unsigned_abs(), 1 << 63, u64::MAX] {
        let mut bytes = Vec::new();
        encode(&Ack { seq, ..ack(Fate::Stored, None) }, &mut bytes);
        assert_eq!(decode(&bytes).map(|read| read.map(|(ack, _)| ack.seq)), Ok(Some(seq)));
    }
}

#[test]
fn answers_are_taken_off_a_stream_one_by_one() {
    let mut stream = Vec::new();
    encode(&ack(Fate::Stored, None), &mut stream);
    let first_len = stream.len();
    encode(&ack(Fate::Duplicate, Some("i")), &mut stream);
    (0..first_len).for_each(|cut| assert_eq!(decode(&stream[..cut]), Ok(None)));
    assert_eq!(decode(&stream), Ok(Some((ack(Fate::Stored, None), first_len))));
    let rest = &stream[first_len..];
    assert_eq!(decode(rest), Ok(Some((ack(Fate::Duplicate, Some("i")), rest.len()))));
}

#[test]
fn unknown_keys_of_a_newer_server_are_skipped() {
    let more = Object::Array(vec![Object::Nil, map([("x", 1.into())])]);
    let object = map([
        ("More", more),
        ("Fate", "stale".into()),
        ("Seq", 7.into()),
        ("ID", "a".into()),
        ("Incident", "i".into()),
    ]);
    check(&object, Ok(ack(Fate::Stale, Some("i"))));
}

#[test]
fn the_fault_of_a_wrong_answer_is_named() {
    check(&Object::Array(vec![]), Err(BadAck::NotAMap));
    check(&Object::Raw(vec![0xc1]), Err(BadAck::Frame(Reject::NotMsgpack)));
    check(&map([("Seq", 7.into()), ("Fate", "stored".into())]), Err(BadAck::Field("ID")));
    check(
        &map([("ID", "a".into()), ("Seq", (-7).into()), ("Fate", "stored".into())]),
        Err(BadAck::Field("Seq")),
    );
    check(
        &map([("ID", "a".into()), ("Seq", 7.into()), ("Fate", "eaten".into())]),
        Err(BadAck::Field("Fate")),
    );
}
