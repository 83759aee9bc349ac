//! Reports on their way to storages, and to shards.

use super::*;
use vagn_flow::batch::BatchBuilder;
use vagn_flow::fate::Share;
use vagn_flow::metrics::{MetricRegistry, ReportMetrics};
use vagn_flow::proof::SealMark;
use vagn_flow::receipt::{Answer, Receipt};
use vagn_flow::stamp::Stamp;
use vagn_flow::testing::WAITING;
use vagn_seal::Epoch;
use vagn_seal::KeyId;
use vagn_store::{Sighting, partition};
use vagn_wire::{Position, Reject, Report, VehicleId};

const ARRIVED_MS: i64 = 1_700_000_000_000;

fn report(id: &str, event_time_ms: Option<i64>) -> Vec<u8> {
    let mut bytes = Vec::new();
    let place = Position::new(59.3, 18.1).unwrap();
    let report = Report { event_time_ms, ..Report::new(VehicleId::new(id).unwrap(), place) };
    vagn_wire::encode(&report, &mut bytes);
    bytes
}

fn decoded(reports: &[&[u8]], partitions: usize) -> (Vec<Option<Write>>, Arc<ReportMetrics>, Answer) {
    let metrics = ReportMetrics::new(&MetricRegistry::new());
    let mut builder = BatchBuilder::new(WAITING);
    for report in reports {
        builder.push(report);
    }
    let (receipt, answer) = Receipt::new(reports.len());
    let batch = builder.seal(Stamp { time_ms: ARRIVED_MS, first_seq: 50 }, Some(&receipt), &metrics);
    let share = batch.take_share().unwrap();
    let part = batch.answer_for_reports();
    (decode(&batch, share, part, partitions), metrics, answer)
}

#[test]
fn passes_on_what_can_be_stored_and_counts_the_rest() {
    let good = report("bus 1", None);
    let (writes, metrics, _) = decoded(&[b"", &good, b"\xc1"], 1);
    let write = writes[0].as_ref().unwrap();
    assert_eq!((write.updates.len(), write.share.open()), (1, 1));
    let update = write.updates.get(0).unwrap();
    assert_eq!((update.key, update.sighting.receive_seq), (Key::Text("bus 1"), 51));
    assert_eq!(update.sighting.event_time_ms, ARRIVED_MS);
    assert_eq!(metrics.fate(Fate::Invalid).get(), 2);
    assert_eq!((metrics.invalid(Reject::Empty).get(), metrics.invalid(Reject::NotMsgpack).get()), (1, 1));
}

#[test]
fn lets_the_arrival_stand_in_for_a_time_that_cannot_be() {
    let check = |event_time_ms, expected: (i64, bool, bool)| {
        let (writes, ..) = decoded(&[&report("bus 1", Some(event_time_ms))], 1);
        let update = writes[0].as_ref().and_then(|write| write.updates.get(0)).unwrap();
        let Sighting { event_time_ms, own_time, unsure, .. } = *update.sighting;
        assert_eq!((event_time_ms, own_time, unsure), expected);
    };
    check(ARRIVED_MS + 5_000, (ARRIVED_MS + 5_000, true, false));
    check(ARRIVED_MS + 5_001, (ARRIVED_MS, false, true));
    check(i64::MIN, (ARRIVED_MS, false, true));
}

#[test]
fn tells_senders_what_there_was_no_room_for() {
    let metrics = ReportMetrics::new(&MetricRegistry::new());
    let mut builder = BatchBuilder::new(WAITING);
    builder.push(&report("bus 1", None));
    let (receipt, mut answer) = Receipt::new(1);
    let batch = builder.seal(Stamp { time_ms: ARRIVED_MS, first_seq: 0 }, Some(&receipt), &metrics);
    Job::new(&batch).shed();
    drop(receipt);
    assert_eq!(answer.try_recv().unwrap()[0].fate, Fate::Shed);
    assert_eq!((metrics.fate(Fate::Shed).get(), metrics.fate(Fate::Failed).get()), (1, 0));
}

#[test]
fn sends_each_vehicle_to_its_partition_and_the_answer_back_to_its_place() {
    let reports: Vec<_> = (0..40).map(|number| report(&format!("bus {number}"), None)).collect();
    let reports: Vec<_> = reports.iter().map(Vec::as_slice).collect();
    let (writes, _, mut answer) = decoded(&reports, 4);
    for (number, write) in writes.into_iter().enumerate() {
        let write = write.unwrap();
        let indices = &write.answer.as_ref().unwrap().indices;
        for (update, &index) in write.updates.iter().zip(indices) {
            assert_eq!(partition(update.hash, 4), number);
            assert_eq!(update.key.to_string(), format!("bus {index}"));
        }
        write.settle(Fate::Stored);
    }
    assert!(answer.try_recv().unwrap().iter().all(|outcome| outcome.fate == Fate::Stored));
}

#[test]
fn the_look_at_a_sequence_falls_to_the_next_report_where_the_first_has_no_time() {
    let metrics = ReportMetrics::new(&MetricRegistry::new());
    let mut builder = BatchBuilder::new(WAITING);
    let mut envelope = |sequence, reports: &[(&str, bool, bool)]| {
        for (id, more, has_time) in reports {
            builder.push(&report(id, has_time.then_some(ARRIVED_MS)));
            builder.seal_last(SealMark {
                key_id: KeyId([1; 8]),
                epoch: Epoch::FIRST,
                sequence,
                more: *more,
                call_number: 0,
                needs_time: true,
            });
        }
    };
    let (first, more) = (false, true);
    // Of "bus 1" two are refused, so the third has the look, and of "bus 2" none is.
    let of_bus_1 = [("bus 1", first, false), ("bus 1", more, false), ("bus 1", more, true)];
    envelope(5, &of_bus_1);
    envelope(5, &[("bus 2", first, true), ("bus 1", more, true), ("bus 2", more, true)]);
    // What was owed in one envelope is not in the next.
    envelope(6, &[("bus 3", first, false)]);
    envelope(7, &[("bus 3", first, true), ("bus 3", more, true)]);
    let batch = builder.seal(Stamp { time_ms: ARRIVED_MS, first_seq: 0 }, None, &metrics);
    let share = batch.take_share().unwrap();
    let mut writes = decode(&batch, share, None, 1);
    let write = writes.remove(0).unwrap();
    let seals: Vec<_> = write
        .updates
        .iter()
        .map(|update| (update.key.to_string(), update.evidence.seal.unwrap().more))
        .collect();
    let expected = [
        ("bus 1", false),
        ("bus 2", false),
        ("bus 1", true),
        ("bus 2", true),
        ("bus 3", false),
        ("bus 3", true),
    ];
    assert!(seals.iter().map(|(id, more)| (id.as_str(), *more)).eq(expected), "{seals:?}");
    assert_eq!(metrics.invalid(Reject::NoTime).get(), 3);
    // On the way to a cluster it is the same.
    let share = Share::received(&metrics, batch.len());
    let changes = changes::changes(&batch, share, None).unwrap().changes;
    let sealed = changes.iter().map(sealed_change).collect::<Vec<_>>();
    assert!(sealed.iter().map(|(id, more)| (id.as_str(), *more)).eq(expected), "{sealed:?}");
    assert_eq!(metrics.invalid(Reject::NoTime).get(), 6);
}

/// Returns the vehicle of a change, and whether its seal continues another report's.
fn sealed_change(change: &vagn_cluster::NewChange) -> (String, bool) {
    let vagn_cluster::NewChange::Report { vehicle_id, fields, .. } = change else { panic!("{change:?}") };
    let id = VehicleId::from_bytes(vehicle_id).unwrap();
    let (_, evidence) = vagn_shard::Payload::read(fields).unwrap().judged(id, ARRIVED_MS, 0);
    (id.as_str().to_owned(), evidence.seal.unwrap().more)
}
