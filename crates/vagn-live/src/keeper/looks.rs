//! Looks at the partitions of the fleet: which of them are due, and the one under way.

use std::time::Duration;

use vagn_store::{Fleet, Reader};

/// Shortest time between the begins of two looks at the same partition.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// The looks that are due, and the one under way.
pub(crate) struct Looks {
    partitions: Vec<Due>,
    under_way: Option<Look>,
}

/// The state of the look at one partition.
#[derive(Debug, Clone, Copy)]
struct Due {
    is_wanted: bool,
    /// It has been looked at since its rows became unknown.
    is_seen: bool,
    /// Begin of its last look, on the monotonic clock.
    begun: Option<Duration>,
}

impl Due {
    fn may_begin(&self, now: Duration) -> bool {
        self.is_wanted && self.begun.is_none_or(|begun| now.saturating_sub(begun) >= LOOK_EVERY)
    }
}

/// A look at one partition.
pub(super) struct Look {
    pub(super) partition: usize,
    pub(super) reader: Reader,
    /// The first row that was not looked at yet.
    pub(super) next: u32,
}

impl Looks {
    /// Returns the looks at all partitions.
    pub(super) fn new(partitions: usize) -> Self {
        let due = Due { is_wanted: true, is_seen: false, begun: None };
        Self { partitions: vec![due; partitions], under_way: None }
    }

    /// Notes that a partition is to be looked at, from its first row on; `anew`: nothing is known of it.
    pub(super) fn want(&mut self, partition: usize, anew: bool) {
        let Some(due) = self.partitions.get_mut(partition) else { return };
        due.is_wanted = true;
        if anew {
            // Its reader may be that of the writer before, and waiting would hide the fleet.
            *due = Due { is_wanted: true, is_seen: false, begun: None };
            self.under_way.take_if(|look| look.partition == partition);
        }
    }

    #[cfg(test)]
    pub(crate) fn is_waiting(&self) -> bool {
        self.partitions.iter().any(|due| due.is_wanted)
    }

    pub(super) fn all_seen(&self) -> bool {
        self.partitions.iter().all(|due| due.is_seen)
    }

    /// Returns the look under way, or begins one that is due.
    pub(super) fn next(&mut self, now: Duration, fleet: &Fleet) -> Option<&mut Look> {
        if self.under_way.is_none() {
            let partition = self.partitions.iter().position(|due| due.may_begin(now))?;
            // While a partition is missing there is no fleet to look at.
            let reader = fleet.readers().ok()?.into_iter().nth(partition)?;
            let due = &mut self.partitions[partition];
            due.is_wanted = false;
            due.begun = Some(now);
            self.under_way = Some(Look { partition, reader, next: 0 });
        }
        self.under_way.as_mut()
    }

    pub(super) fn end(&mut self) {
        if let Some(look) = self.under_way.take() {
            self.partitions[look.partition].is_seen = true;
        }
    }
}
