//! What ingest hands to storage: sightings for one partition, and who wants to know what became of them.

use std::sync::Arc;

use vagn_store::Updates;
use vagn_wire::Fate;

use vagn_flow::batch::Source;
use vagn_flow::fate::{Receipt, Share};

/// Sightings for one partition, in order.
#[derive(Debug)]
pub struct Write {
    /// What to store.
    pub updates: Updates,
    /// The duty to say what became of them.
    pub share: Share,
    /// Where their senders wait for an answer, if they do.
    pub slip: Option<Slip>,
    /// Where they came in.
    pub source: Source,
}

/// The receipt of a batch, and which of its reports these sightings are.
#[derive(Debug)]
pub struct Slip {
    /// Filled in once the fates are known; let go once they are safe.
    pub receipt: Arc<Receipt>,
    /// For each sighting, its index in the batch.
    pub indices: Vec<u32>,
}

impl Slip {
    /// Notes the fate of each sighting.
    pub fn fill(&self, fate_of: impl Fn(usize) -> Fate) {
        for (at, &index) in self.indices.iter().enumerate() {
            self.receipt.set(index, fate_of(at));
        }
    }
}

impl Write {
    /// Counts the fate of each sighting and notes it on the slip, which is handed back for safekeeping.
    pub fn settle(self, fate_of: impl Fn(usize) -> Fate) -> Option<Slip> {
        let Self { updates, mut share, slip, .. } = self;
        let mut counts = [0; Fate::ALL.len()];
        (0..updates.len()).for_each(|at| counts[fate_of(at) as usize] += 1);
        for (fate, count) in Fate::ALL.into_iter().zip(counts) {
            share.settle(fate, count);
        }
        if let Some(slip) = &slip {
            slip.fill(fate_of);
        }
        slip
    }

    /// There was no room.
    pub fn shed(self) {
        drop(self.settle(|_| Fate::Shed));
    }
}
