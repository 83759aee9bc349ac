//! Snapshots and payloads with any content: each is read as what would be written so, or refused, and takes no more memory than it
//! explains.

use std::thread;

use vagn_cluster::{ShardId, ShardState};
use vagn_fuzz::{Meter, Target};
use vagn_store::KeyTag;
use vagn_wire::{Oddities, Oddity, Position, Report, VehicleId};

use crate::content::{FleetShard, tests};
use crate::payload::{Payload, SealOf};
use crate::question::{read_answer, read_question, tests as questions, write_answer, write_question};

#[global_allocator]
static METER: Meter = Meter;

/// Address space that an index takes for its first vehicle, by the chunk: the system gives memory for it as it is filled.
const CHUNKS: usize = 512 << 20;

/// Bytes of memory that a byte of a snapshot may take.
const PER_BYTE: usize = 16;

fn content(bytes: &[u8]) {
    // The fewest bytes before a roster: those that cannot be one are to take nothing, and the target sees to that.
    if bytes.len() < 22 || !vagn_store::Roster::check_bytes(&bytes[22..]) {
        assert!(FleetShard::read_snapshot(ShardId(1), bytes).is_err());
        return;
    }
    // On a thread of its own, as its chunks are not to be held against the input.
    let read = || {
        let Ok(shard) = FleetShard::read_snapshot(ShardId(1), bytes) else { return };
        let mut again = Vec::new();
        shard.write_snapshot(&mut again);
        assert!(again == bytes, "a form is the only one of its content");
    };
    let metered = || Meter::measure(read).1;
    let peak = thread::scope(|scope| scope.spawn(metered).join()).expect("it does not panic");
    assert!(peak <= CHUNKS + PER_BYTE * bytes.len(), "it took {peak} bytes");
}

fn payload(bytes: &[u8]) {
    let Ok(payload) = Payload::read(bytes) else { return };
    let mut again = Vec::new();
    payload.put(&mut again);
    assert_eq!(again, bytes, "a form is the only one of its report");
}

fn question(bytes: &[u8]) {
    let Ok(question) = read_question(bytes) else { return };
    let mut again = Vec::new();
    write_question(&question, &mut again);
    assert_eq!(again, bytes, "a form is the only one of its question");
}

fn answer(bytes: &[u8]) {
    let Ok(answer) = read_answer(bytes) else { return };
    let mut again = Vec::new();
    write_answer(&answer, &mut again);
    assert_eq!(again, bytes, "a form is the only one of its answer");
}

#[test]
fn any_question_is_read_whole_or_refused() {
    let dir = env!("CARGO_MANIFEST_DIR");
    Target { crate_dir: dir, name: "question", words: &[], body: question }.check();
}

#[test]
fn any_answer_is_read_whole_or_refused() {
    let dir = env!("CARGO_MANIFEST_DIR");
    Target { crate_dir: dir, name: "answer", words: &[], body: answer }.check();
}

#[test]
fn the_corpus_of_questions_and_answers_is_of_this_format() {
    for (name, bytes) in questions::of_each_question() {
        vagn_fuzz::keep(env!("CARGO_MANIFEST_DIR"), "question", name, &bytes);
    }
    for (name, bytes) in questions::of_each_answer() {
        vagn_fuzz::keep(env!("CARGO_MANIFEST_DIR"), "answer", name, &bytes);
    }
}

#[test]
fn any_snapshot_of_a_shard_is_read_whole_or_refused() {
    let dir = env!("CARGO_MANIFEST_DIR");
    Target { crate_dir: dir, name: "shard", words: &[], body: content }.check();
}

#[test]
fn any_payload_is_read_whole_or_refused() {
    let dir = env!("CARGO_MANIFEST_DIR");
    Target { crate_dir: dir, name: "payload", words: &[], body: payload }.check();
}

#[test]
fn the_corpus_of_shards_is_of_this_format() {
    for (name, shard) in tests::of_each_kind() {
        let mut bytes = Vec::new();
        shard.write_snapshot(&mut bytes);
        vagn_fuzz::keep(env!("CARGO_MANIFEST_DIR"), "shard", name, &bytes);
    }
}

#[test]
fn the_corpus_of_payloads_is_of_this_format() {
    let vehicle_id = VehicleId::new("bus").unwrap();
    let plain = Report::new(vehicle_id, Position::new(59.33, -18.06).unwrap());
    let full = Report {
        event_time_ms: Some(1_800_000_000_000),
        seq: Some(7),
        speed_mps: Some(3.5),
        heading_deg: Some(359.5),
        emergency: true,
        odd: Oddities::of(Oddity::TimeInSeconds),
        ..plain
    };
    let seal = SealOf { key: KeyTag::of_key_id([9; 8]), sequence: u64::MAX, more: true };
    for (name, report, seal) in [
        ("plain", plain, None),
        ("full", full, None),
        ("sealed", plain, Some(seal)),
        ("all", full, Some(seal)),
    ] {
        let mut bytes = Vec::new();
        Payload::write(&report, seal, &mut bytes).unwrap();
        vagn_fuzz::keep(env!("CARGO_MANIFEST_DIR"), "payload", name, &bytes);
    }
}
