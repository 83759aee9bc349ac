//! Writes: sightings for one partition, handed from ingest to storage with the duty to say what became of them.

use vagn_flow::fate::Share;
use vagn_flow::receipt::ReceiptPart;
use vagn_store::Updates;
use vagn_wire::{Fate, Reject};

/// The one reason for which the store refuses a report as invalid; for all others it takes the last position of the vehicle to
/// be known.
const REFUSED_BY_STORE: Reject = Reject::NoFix;

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

/// The duty to say what became of some reports, apart from the reports. Dropped, they have failed.
#[derive(Debug)]
pub struct Settlement {
    /// The duty to count what became of them.
    pub share: Share,
    /// The duty to answer their senders, if those wait.
    pub answer: Option<WritePart>,
}

impl Settlement {
    /// Counts the fate of each report, and returns what the senders are to be told once that is safe.
    pub fn count(self, reports: usize, fate_of: impl Fn(usize) -> Fate) -> Option<AwaitingDisk> {
        let Self { mut share, answer } = self;
        let mut counts = [0; Fate::ALL.len()];
        for at in 0..reports {
            counts[fate_of(at) as usize] += 1;
        }
        for (fate, count) in Fate::ALL.into_iter().zip(counts) {
            match fate {
                Fate::Invalid => (0..count).for_each(|_| share.reject(REFUSED_BY_STORE)),
                _ => share.settle(fate, count),
            }
        }
        answer.map(|WritePart { part, indices }| {
            let fates = indices.into_iter().enumerate().map(|(at, index)| (index, fate_of(at))).collect();
            AwaitingDisk { part, fates }
        })
    }
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
    pub fn settle(self) {
        let Self { mut part, fates } = self;
        for (index, _) in fates.iter().filter(|(_, fate)| *fate == Fate::Invalid) {
            part.reject(*index, REFUSED_BY_STORE);
        }
        part.settle(fates.into_iter().filter(|(_, fate)| *fate != Fate::Invalid));
    }
}

impl Write {
    /// Counts the fate of each sighting, and returns the sightings, with what the senders are to be told once that is safe.
    pub fn count(self, fate_of: impl Fn(usize) -> Fate) -> (Updates, Option<AwaitingDisk>) {
        let Self { updates, share, answer } = self;
        let awaiting = Settlement { share, answer }.count(updates.len(), fate_of);
        (updates, awaiting)
    }

    /// Counts and answers one fate for all sightings, where nothing is to be written.
    pub fn settle(self, fate: Fate) {
        if let (_, Some(awaiting)) = self.count(|_| fate) {
            awaiting.settle();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use vagn_flow::metrics::{MetricRegistry, ReportMetrics};
    use vagn_flow::receipt::Receipt;
    use vagn_store::{Key, Sighting};
    use vagn_wire::Position;

    #[test]
    fn a_position_that_the_store_refuses_is_counted_and_answered_with_the_reason() {
        let metrics = ReportMetrics::new(&MetricRegistry::new());
        let mut updates = Updates::new();
        for at in 0..3 {
            let position = Position::new(0.0, 0.0).unwrap();
            let sighting = Sighting {
                position,
                event_time_ms: 0,
                receive_time_ms: 0,
                receive_seq: at,
                seq: None,
                speed_mps: None,
                heading_deg: None,
                emergency: false,
                own_time: false,
                unsure: false,
            };
            updates.push(Key::Text("bus"), 1, sighting);
        }
        let (receipt, mut answer) = Receipt::new(3);
        let part = receipt.answer_for_reports(3);
        drop(receipt);
        let answer_part = Some(WritePart { part, indices: vec![0, 1, 2] });
        let write = Write { updates, share: Share::received(&metrics, 3), answer: answer_part };
        let fates = [Fate::Invalid, Fate::Stored, Fate::Invalid];
        write.count(|at| fates[at]).1.unwrap().settle();
        let outcomes = answer.try_recv().unwrap();
        let got: Vec<_> = outcomes.iter().map(|outcome| (outcome.fate, outcome.reject)).collect();
        let no_fix = (Fate::Invalid, Some(Reject::NoFix));
        assert_eq!(got, [no_fix, (Fate::Stored, None), no_fix]);
        assert_eq!((metrics.invalid(Reject::NoFix).get(), metrics.fate(Fate::Invalid).get()), (2, 2));
    }
}
