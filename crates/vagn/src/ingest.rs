//! Ingest: decodes and checks what arrived, and passes it on to the storage of its partition, or towards its shard in a cluster.
//!
//! A worker keeps no state between batches, so restarting one loses at most the batch it held, and that is counted.

mod changes;

use std::sync::Arc;
use std::time::Duration;

use tracing::{debug, warn};
use vagn_otp::{Addr, PushError, Queue, TellError, Worker};
use vagn_seal::KeyId;
use vagn_store::{Evidence, Key, KeyTag, Seal, Sighting, Updates, partition};
use vagn_wire::{Fate, Oddities, Reject, Report};

use crate::cluster::Submission;
use crate::storage::Storage;
use crate::write::{Write, WritePart};
use vagn_flow::batch::Batch;
use vagn_flow::fate::Share;
use vagn_flow::open::{open, open_at_once, open_other};
use vagn_flow::proof::SealMark;
use vagn_flow::receipt::ReceiptPart;
use vagn_flow::trust::Trust;

/// Longest a worker waits for room at a storage. Longer, and the partition counts as stalled: what comes for it is shed
/// without waiting until it takes something again, so that the others go on.
const STORAGE_WAIT: Duration = Duration::from_secs(1);

/// A batch on its way to a worker, with the duty to answer for its reports.
pub struct Job {
    batch: Arc<Batch>,
    /// `None` when the sender does not wait for an answer.
    part: Option<ReceiptPart>,
}

impl Job {
    /// Takes over the duty to answer. To be called while the batch is published.
    pub fn new(batch: &Arc<Batch>) -> Self {
        Self { batch: batch.clone(), part: batch.answer_for_reports() }
    }

    /// Sheds a batch that finds no room.
    pub fn shed(self) {
        let Self { batch, part } = self;
        if let Some(share) = batch.take_share() {
            share.settle_rest(Fate::Shed);
        }
        if let Some(mut part) = part {
            part.settle((0..batch.len() as u32).map(|index| (index, Fate::Shed)));
        }
    }
}

/// Where reports go.
pub enum Destination {
    /// To the storages of this machine, by partition.
    Storages(Arc<[Addr<Storage>]>),
    /// To the shards of a cluster, by this queue.
    Cluster(Queue<Submission>),
}

impl Destination {
    /// Returns the number of parts that can stall by themselves.
    fn parts(&self) -> usize {
        match self {
            Self::Storages(storages) => storages.len(),
            Self::Cluster(_) => 1,
        }
    }
}

/// State that the workers share.
pub struct Ingest {
    /// Where they go.
    pub destination: Destination,
    /// Batches whose senders do not wait; the oldest is shed when there are too many.
    pub shed: Queue<Job>,
    /// Batches whose senders wait.
    pub wait: Queue<Job>,
    /// Hears the vehicles' own times while it doubts the clock.
    pub trust: Arc<Trust>,
}

/// One of the workers that decode.
pub struct IngestWorker {
    number: usize,
    ingest: Arc<Ingest>,
    /// By partition: true if its storage had no room for as long as a worker waits.
    stalled: Vec<bool>,
}

impl IngestWorker {
    /// Returns the worker of this number.
    pub fn new(number: usize, ingest: Arc<Ingest>) -> Self {
        let stalled = vec![false; ingest.destination.parts()];
        Self { number, ingest, stalled }
    }
}

impl Worker<Job> for IngestWorker {
    fn handle(&mut self, job: Job) {
        let Job { batch, part } = job;
        let Some(share) = batch.take_share() else {
            warn!("the same batch came twice; dropped the second");
            return;
        };
        let Ingest { destination, shed, wait, trust } = &*self.ingest;
        let queued = shed.len() + wait.len();
        debug!(
            worker = self.number,
            reports = batch.len(),
            door = batch.origin().door,
            queued,
            "took a batch"
        );
        if trust.asks_vehicles() {
            trust.hear(own_times(&batch));
        }
        match destination {
            Destination::Storages(storages) => {
                let writes = decode(&batch, share, part, storages.len());
                drop(batch);
                for ((storage, stalled), write) in storages.iter().zip(&mut self.stalled).zip(writes) {
                    if let Some(write) = write {
                        *stalled = !pass_on(storage, write, *stalled);
                    }
                }
            }
            Destination::Cluster(queue) => {
                let submission = changes::changes(&batch, share, part);
                drop(batch);
                if let (Some(submission), [stalled]) = (submission, &mut *self.stalled) {
                    *stalled = !send_off(queue, submission, *stalled);
                }
            }
        }
    }
}

/// The time of each report that has one of its own, as it was sent, with the hash of its vehicle: what judging would make of it
/// depends on the very clock that is in question.
fn own_times(batch: &Batch) -> impl Iterator<Item = (u64, i64)> {
    let reports = batch.reports().filter_map(|(_, _, bytes)| open(bytes).ok());
    reports.filter_map(|report| Some((Key::of(report.vehicle_id).hash(), report.event_time_ms?)))
}

/// Hands a write to its storage, or sheds it. Returns false when the storage took nothing: it counts as stalled then, so that the
/// next write does not wait for it.
fn pass_on(storage: &Addr<Storage>, write: Write, stalled: bool) -> bool {
    let told = if stalled { storage.try_tell(write) } else { storage.tell_blocking(write, STORAGE_WAIT) };
    match told {
        Ok(()) => true,
        Err(TellError::Full(write)) => {
            if !stalled {
                warn!(
                    storage = storage.name(),
                    "the storage has no room; shedding what comes for it until it has"
                );
            }
            write.settle(Fate::Shed);
            false
        }
        Err(TellError::Down(write)) => {
            warn!(storage = storage.name(), reports = write.updates.len(), "storage is down; a batch failed");
            // Dropped, it counts and answers its reports as failed.
            false
        }
    }
}

/// Hands reports to the courier of the cluster, or sheds them. Returns false when it took nothing, as [`pass_on`].
fn send_off(queue: &Queue<Submission>, submission: Submission, stalled: bool) -> bool {
    let sent =
        if stalled { queue.try_push(submission) } else { queue.push_blocking(submission, STORAGE_WAIT) };
    match sent {
        Ok(()) => true,
        Err(PushError::Full(submission)) => {
            if !stalled {
                warn!("the cluster takes too little; shedding what comes for it until it has room");
            }
            submission.settle(Fate::Shed);
            false
        }
        // Dropped, it counts and answers its reports as failed.
        Err(PushError::Closed(_)) => false,
    }
}

/// Divides a batch into one write for each of `partitions`. The fates of reports that cannot be stored are settled on return.
pub fn decode(
    batch: &Batch,
    share: Share,
    answer: Option<ReceiptPart>,
    partitions: usize,
) -> Vec<Option<Write>> {
    let mut division = Division::new(batch, share, answer, partitions);
    for (index, receive_seq, bytes) in batch.reports() {
        // Two ways: on the first, the compiler sees which fields are missing, and neither makes nor moves them.
        match open_at_once(bytes) {
            Some(report) => division.add(&report, index, receive_seq),
            None => division.add_other(bytes, index, receive_seq),
        }
    }
    // Afterwards: within the loop, the look for a seal made every report in clear dearer by a fourteenth.
    if !batch.seals().is_empty() {
        division.seal(batch.seals());
    }
    division.into_writes()
}

/// A batch while it is divided.
struct Division {
    arrived_ms: i64,
    parts: Vec<Part>,
    keeps_indices: bool,
    share: Share,
    answer: Option<ReceiptPart>,
}

impl Division {
    fn new(batch: &Batch, share: Share, answer: Option<ReceiptPart>, partitions: usize) -> Self {
        // Vehicles spread evenly over the partitions; where one gets more, it grows.
        let share_of_each = batch.len().div_ceil(partitions);
        Self {
            arrived_ms: batch.time_ms(),
            parts: (0..partitions).map(|_| Part::with_room(share_of_each)).collect(),
            keeps_indices: answer.is_some() || !batch.seals().is_empty(),
            share,
            answer,
        }
    }

    // Inlined on both ways, so that each is made for the reports that go it.
    #[inline(always)]
    fn add(&mut self, report: &Report<'_>, index: u32, receive_seq: u64) {
        let position = match report.position {
            Ok(position) => position,
            Err(reject) => return self.refuse(index, reject),
        };
        let (sighting, odd) = Sighting::of(report, position, self.arrived_ms, receive_seq);
        let key = Key::of(report.vehicle_id);
        let hash = key.hash();
        let number = partition(hash, self.parts.len());
        self.parts[number].push(key, hash, sighting, odd, index, self.keeps_indices);
    }

    /// Adds a report that cannot be opened at once.
    #[inline(never)]
    fn add_other(&mut self, bytes: &[u8], index: u32, receive_seq: u64) {
        match open_other(bytes) {
            Ok(report) => self.add(&report, index, receive_seq),
            Err(reject) => self.refuse(index, reject),
        }
    }

    #[cold]
    fn refuse(&mut self, index: u32, reject: Reject) {
        refuse(&mut self.share, self.answer.as_mut(), index, reject);
    }

    #[inline(never)]
    fn seal(&mut self, seals: &[(u32, SealMark)]) {
        let mut parts = std::mem::take(&mut self.parts);
        parts.iter_mut().for_each(|part| part.seal(seals, |index, reject| self.refuse(index, reject)));
        self.parts = parts;
    }

    fn into_writes(self) -> Vec<Option<Write>> {
        let Self { parts, mut share, mut answer, .. } = self;
        parts.into_iter().map(|part| part.into_write(&mut share, answer.as_mut())).collect()
    }
}

#[cold]
fn refuse(share: &mut Share, answer: Option<&mut ReceiptPart>, index: u32, reject: Reject) {
    share.reject(reject);
    if let Some(answer) = answer {
        answer.reject(index, reject);
    }
}

/// Sightings of a batch for one partition.
struct Part {
    updates: Updates,
    /// Indices of their reports in the batch, if the sender waits for an answer or the batch has seals.
    indices: Vec<u32>,
}

impl Part {
    fn with_room(sightings: usize) -> Self {
        Self { updates: Updates::with_capacity(sightings), indices: Vec::new() }
    }

    #[inline(always)]
    fn push(
        &mut self,
        key: Key<'_>,
        hash: u64,
        sighting: Sighting,
        odd: Oddities,
        index: u32,
        keeps_index: bool,
    ) {
        self.updates.push_with(key, hash, sighting, Evidence { seal: None, odd });
        if keeps_index {
            self.indices.push(index);
        }
    }

    /// Gives sealed sightings their seals of the batch, and takes out those that do not count.
    fn seal(&mut self, mut seals: &[(u32, SealMark)], mut refuse: impl FnMut(u32, Reject)) {
        let indices = std::mem::take(&mut self.indices);
        let mut owed = OwedLooks::default();
        self.updates.retain_at(|at, key, sighting, evidence| {
            let index = indices[at];
            let behind = seals.iter().take_while(|(sealed, _)| *sealed < index).count();
            seals = &seals[behind..];
            let own = seals.first().filter(|(sealed, _)| *sealed == index);
            match own.map(|(_, seal)| owed.sealed(seal, key, sighting)).transpose() {
                Ok(seal) => {
                    evidence.seal = seal;
                    self.indices.push(index);
                    true
                }
                Err(reject) => {
                    refuse(index, reject);
                    false
                }
            }
        });
    }

    fn into_write(self, share: &mut Share, answer: Option<&mut ReceiptPart>) -> Option<Write> {
        let Self { updates, indices } = self;
        if updates.is_empty() {
            return None;
        }
        let share = share.split(updates.len());
        let answer = answer.map(|answer| WritePart { part: answer.split(indices.len()), indices });
        Some(Write { updates, share, answer })
    }
}

/// Vehicles in envelopes whose first report was refused before its writer saw it. The look at the sequence, which all reports of a
/// vehicle in an envelope share, falls to the next one.
#[derive(Default)]
struct OwedLooks<'a>(Vec<(KeyId, u64, Key<'a>)>);

impl<'a> OwedLooks<'a> {
    /// Numbers a sighting by the sequence of its seal.
    fn sealed(&mut self, seal: &SealMark, key: Key<'a>, sighting: &mut Sighting) -> Result<Seal, Reject> {
        let more = self.look(seal, key, sighting.own_time)?;
        sighting.seq = Some(seal.sequence);
        Ok(Seal { key: KeyTag::of_key_id(seal.key_id.0), more })
    }

    /// Returns true if an earlier report of the vehicle in the envelope has the look at the sequence.
    fn look(&mut self, seal: &SealMark, key: Key<'a>, own_time: bool) -> Result<bool, Reject> {
        let look = (seal.key_id, seal.sequence, key);
        let more = seal.more && !self.take(look);
        if seal.needs_time && !own_time {
            if !more {
                self.0.push(look);
            }
            return Err(Reject::NoTime);
        }
        Ok(more)
    }

    fn take(&mut self, look: (KeyId, u64, Key<'a>)) -> bool {
        let at = self.0.iter().position(|owed| *owed == look);
        at.map(|at| self.0.swap_remove(at)).is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use vagn_flow::batch::BatchBuilder;
    use vagn_flow::metrics::{MetricRegistry, ReportMetrics};
    use vagn_flow::receipt::{Answer, Receipt};
    use vagn_flow::stamp::Stamp;
    use vagn_flow::testing::WAITING;
    use vagn_seal::Epoch;
    use vagn_wire::{Position, Report, VehicleId};

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
}
