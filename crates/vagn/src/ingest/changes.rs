//! Reports on their way to the shards of a cluster: a change for each, in the form that a shard reads.
//!
//! Nothing of a vehicle is judged here but what needs no memory of it; its shard judges the rest.

use vagn_cluster::NewChange;
use vagn_flow::batch::{Batch, Pressure};
use vagn_flow::fate::Share;
use vagn_flow::open::open;
use vagn_flow::proof::SealMark;
use vagn_flow::receipt::ReceiptPart;
use vagn_shard::{Payload, SealOf};
use vagn_store::{Key, KeyTag, event_time};
use vagn_wire::{Reject, Report};

use super::owed::{OwedLooks, refuse};
use crate::cluster::Submission;
use crate::write::{Settlement, WritePart};

/// Makes changes of the reports of a batch. The fates of those that cannot be stored are settled on return; `None`: there are no
/// others.
pub(super) fn changes(
    batch: &Batch,
    mut share: Share,
    mut answer: Option<ReceiptPart>,
) -> Option<Submission> {
    let (mut changes, mut indices) = (Vec::with_capacity(batch.len()), Vec::new());
    let mut seals = batch.seals();
    let mut owed = OwedLooks::default();
    for (index, _, bytes) in batch.reports() {
        let seal = take_seal(&mut seals, index);
        match change(bytes, batch.time_ms(), seal, &mut owed) {
            Ok((change, odd)) => {
                share.odd(odd);
                changes.push(change);
                if answer.is_some() {
                    indices.push(index);
                }
            }
            Err(reject) => refuse(&mut share, answer.as_mut(), index, reject),
        }
    }
    if changes.is_empty() {
        return None;
    }
    let share = share.split(changes.len());
    let answer = answer.map(|mut answer| WritePart { part: answer.split(indices.len()), indices });
    let waits = batch.origin().pressure == Pressure::Wait;
    Some(Submission { changes, settlement: Settlement { share, answer }, waits })
}

/// Takes the seal of the report at this index, if it has one. Seals and reports come in one order.
fn take_seal<'a>(seals: &mut &'a [(u32, SealMark)], index: u32) -> Option<&'a SealMark> {
    let ((sealed, seal), rest) = seals.split_first()?;
    (*sealed == index).then(|| {
        *seals = rest;
        seal
    })
}

fn change<'a>(
    bytes: &'a [u8],
    arrival_ms: i64,
    seal: Option<&SealMark>,
    owed: &mut OwedLooks<'a>,
) -> Result<(NewChange, vagn_wire::Oddities), Reject> {
    let report = open(bytes)?;
    // Before the seal is looked at, as on one machine.
    report.position?;
    // The shard says again which time counts, from an arrival that may differ by a second; what is odd is counted here.
    let time = event_time(&report, arrival_ms);
    let seal = seal.map(|seal| seal_of(seal, &report, time.own, owed)).transpose()?;
    let mut fields = Vec::with_capacity(FIELDS);
    Payload::write(&report, seal, &mut fields)?;
    let vehicle_id = report.vehicle_id.as_bytes().to_vec();
    Ok((NewChange::Report { vehicle_id, arrival_ms, fields }, report.odd.and(time.odd)))
}

/// Length of most payloads, in bytes.
const FIELDS: usize = 64;

fn seal_of<'a>(
    seal: &SealMark,
    report: &Report<'a>,
    own_time: bool,
    owed: &mut OwedLooks<'a>,
) -> Result<SealOf, Reject> {
    let more = owed.look(seal, Key::of(report.vehicle_id), own_time)?;
    Ok(SealOf { key: KeyTag::of_key_id(seal.key_id.0), sequence: seal.sequence, more })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use vagn_flow::batch::BatchBuilder;
    use vagn_flow::metrics::{MetricRegistry, ReportMetrics};
    use vagn_flow::receipt::Receipt;
    use vagn_flow::stamp::Stamp;
    use vagn_flow::testing::{SHEDDING, WAITING};
    use vagn_wire::{Fate, Position, VehicleId};

    const ARRIVED_MS: i64 = 1_700_000_000_000;

    fn report(id: &str) -> Vec<u8> {
        let mut bytes = Vec::new();
        let place = Position::new(59.3, 18.1).unwrap();
        vagn_wire::encode(&Report::new(VehicleId::new(id).unwrap(), place), &mut bytes);
        bytes
    }

    fn metrics() -> Arc<ReportMetrics> {
        ReportMetrics::new(&MetricRegistry::new())
    }

    #[test]
    fn each_report_is_a_change_and_its_fate_goes_back_to_its_place() {
        let metrics = metrics();
        let mut builder = BatchBuilder::new(WAITING);
        for bytes in [&b""[..], &report("bus 1"), b"\xc1", &report("bus 2")] {
            builder.push(bytes);
        }
        let (receipt, mut answer) = Receipt::new(4);
        let batch = builder.seal(Stamp { time_ms: ARRIVED_MS, first_seq: 9 }, Some(&receipt), &metrics);
        let (share, part) = (batch.take_share().unwrap(), batch.answer_for_reports());
        drop(receipt);
        let submission = changes(&batch, share, part).unwrap();
        let ids = submission.changes.iter().map(|change| match change {
            NewChange::Report { vehicle_id, arrival_ms: ARRIVED_MS, .. } => vehicle_id.as_slice(),
            other => panic!("{other:?}"),
        });
        assert_eq!(ids.collect::<Vec<_>>(), [b"bus 1", b"bus 2"]);
        assert!(submission.waits);
        let fates = [Fate::Stored, Fate::Stale];
        submission.settlement.count(2, |at| fates[at]).unwrap().settle();
        drop(batch);
        let outcomes = answer.try_recv().unwrap();
        let got: Vec<_> = outcomes.iter().map(|outcome| outcome.fate).collect();
        assert_eq!(got, [Fate::Invalid, Fate::Stored, Fate::Invalid, Fate::Stale]);
        assert_eq!((metrics.fate(Fate::Invalid).get(), metrics.fate(Fate::Failed).get()), (2, 0));
    }

    #[test]
    fn a_batch_without_a_report_that_can_be_stored_goes_nowhere() {
        let metrics = metrics();
        let mut builder = BatchBuilder::new(SHEDDING);
        builder.push(b"");
        let batch = builder.seal(Stamp { time_ms: ARRIVED_MS, first_seq: 9 }, None, &metrics);
        assert!(changes(&batch, batch.take_share().unwrap(), None).is_none());
        assert_eq!((metrics.fate(Fate::Invalid).get(), metrics.fate(Fate::Failed).get()), (1, 0));
    }
}
