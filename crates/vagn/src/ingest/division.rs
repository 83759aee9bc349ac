//! A batch divided by the partitions of its vehicles.

use vagn_flow::batch::Batch;
use vagn_flow::fate::Share;
use vagn_flow::open::{open_at_once, open_other};
use vagn_flow::proof::SealMark;
use vagn_flow::receipt::ReceiptPart;
use vagn_store::{Evidence, Key, Sighting, Updates, partition};
use vagn_wire::{Oddities, Reject, Report};

use super::owed::{OwedLooks, refuse};
use crate::write::{Write, WritePart};

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
        let keeps_indices = answer.is_some() || !batch.seals().is_empty();
        let indices = if keeps_indices { share_of_each } else { 0 };
        Self {
            arrived_ms: batch.time_ms(),
            parts: (0..partitions).map(|_| Part::with_room(share_of_each, indices)).collect(),
            keeps_indices,
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

/// Sightings of a batch for one partition.
struct Part {
    updates: Updates,
    /// Indices of their reports in the batch, if the sender waits for an answer or the batch has seals.
    indices: Vec<u32>,
}

impl Part {
    fn with_room(sightings: usize, indices: usize) -> Self {
        Self { updates: Updates::with_capacity(sightings), indices: Vec::with_capacity(indices) }
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
        let room = Vec::with_capacity(self.indices.len());
        let indices = std::mem::replace(&mut self.indices, room);
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
