//! The service's own desk, with an ear for what it lets go, and with faults that can be planted in its way.

use std::ops::RangeInclusive;

use vagn_cluster::trail::{Alarm, AlarmId, DeedId, DeedTaken, DeskState, Draft, Duty, Taken};
use vagn_emergency::TrailDesk;

/// A fault between the trail and the desk, to prove that the simulator finds it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeskFault {
    /// Alarms that are to be recorded are said to be.
    SaidRecorded,
    /// An alarm that is called anew is said to be recorded.
    OverIsRecorded,
    /// The desk does not recall what is open.
    NothingRecalled,
}

/// A desk.
pub(crate) struct Watched {
    pub(super) desk: TrailDesk,
    /// Alarms that were released since somebody asked last.
    pub(super) released: Vec<AlarmId>,
    fault: Option<DeskFault>,
}

impl Watched {
    pub(super) fn new(desk: TrailDesk, fault: Option<DeskFault>) -> Self {
        Self { desk, released: Vec::new(), fault }
    }
}

impl DeskState for Watched {
    fn recall(&mut self, numbers: Option<RangeInclusive<u64>>) {
        match self.fault {
            Some(DeskFault::NothingRecalled) => self.desk.stand_down(),
            _ => self.desk.recall(numbers),
        }
    }

    fn take(&mut self, alarm: &Alarm) -> Taken {
        match (self.fault, self.desk.take(alarm)) {
            (Some(DeskFault::SaidRecorded), Taken::Open) | (Some(DeskFault::OverIsRecorded), Taken::Over) => {
                Taken::Recorded
            }
            (_, taken) => taken,
        }
    }

    fn deed(&mut self, deed: DeedId, bytes: &[u8]) -> Result<DeedTaken, Vec<u8>> {
        self.desk.deed(deed, bytes)
    }

    fn draft(&mut self) -> Option<Draft> {
        self.desk.draft()
    }

    fn recorded(&mut self, sequence: u64) {
        self.desk.recorded(sequence);
    }

    fn saved(&mut self, through: u64) {
        self.desk.saved(through);
    }

    fn release(&mut self, alarm: AlarmId) {
        self.desk.release(alarm);
        self.released.push(alarm);
    }

    fn set_duty(&mut self, duty: Duty) {
        self.desk.set_duty(duty);
    }

    fn stand_down(&mut self) {
        self.desk.stand_down();
    }
}
