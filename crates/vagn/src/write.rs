//! Writes: sightings for one partition, handed from ingest to storage with the duty to say what became of them.

use vagn_flow::fate::Share;
use vagn_flow::receipt::ReceiptPart;
use vagn_store::Updates;
use vagn_wire::Fate;

/// Sightings for one partition, in order.
#[derive(Debug)]
pub struct Write {
    /// Sightings to store.
    pub updates: Updates,
    /// The duty to count what became of them.
    pub share: Share,
    /// The duty to answer their senders, if those wait.
    pub answer: Option<WritePart>,
}

/// The part of a receipt that a write answers for.
#[derive(Debug)]
pub struct WritePart {
    /// Settled once the fates are safe.
    pub part: ReceiptPart,
    /// For each sighting, the index of its report in the batch.
    pub indices: Vec<u32>,
}

/// Fates that are known, of reports whose senders wait until they are on disk. Dropped, the reports have failed.
#[derive(Debug)]
#[must_use = "dropped, it answers that its reports have failed"]
pub struct AwaitingDisk {
    part: ReceiptPart,
    fates: Vec<(u32, Fate)>,
}

impl AwaitingDisk {
    /// Tells the senders: the fates are safe.
    pub fn settle(mut self) {
        self.part.settle(self.fates);
    }
}

impl Write {
    /// Counts the fate of each sighting, and returns what the senders are to be told once that is safe.
    pub fn count(self, fate_of: impl Fn(usize) -> Fate) -> Option<AwaitingDisk> {
        let Self { updates, mut share, answer } = self;
        let mut counts = [0; Fate::ALL.len()];
        for at in 0..updates.len() {
            counts[fate_of(at) as usize] += 1;
        }
        for (fate, count) in Fate::ALL.into_iter().zip(counts) {
            share.settle(fate, count);
        }
        let WritePart { part, indices } = answer?;
        let fates = indices.into_iter().enumerate().map(|(at, index)| (index, fate_of(at))).collect();
        Some(AwaitingDisk { part, fates })
    }

    /// Counts and answers one fate for all sightings, where nothing is to be written.
    pub fn settle(self, fate: Fate) {
        if let Some(awaiting) = self.count(|_| fate) {
            awaiting.settle();
        }
    }
}
