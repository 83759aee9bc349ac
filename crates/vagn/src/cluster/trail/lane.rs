//! Lane: what is asked of the emergency lane of a node. It outlives each run of the driver.

use vagn_cluster::trail::{AlarmId, DeskState};
use vagn_emergency::{IncidentId, LaneOffice, NodeLane, TrailDesk};
use vagn_nats::{Office, TrailHandle};

/// Emergency lane of a node, as the thread of the driver and those who look at it need it. Clones are the same.
pub trait Lane: Clone + Send + Sync + 'static {
    /// What carries out what the trail asks for.
    type Office: Office<Desk = Self::Desk> + 'static;
    /// The desk of the node.
    type Desk: DeskState + Send + 'static;

    /// Returns desk and office for one run of the driver.
    fn open(&self) -> (Self::Desk, Self::Office);

    /// Hands alarms over to this driver from now on.
    fn connect(&self, trail: TrailHandle<Self::Desk>);

    /// Returns what it has, from memory.
    fn status(&self) -> DeskStatus;

    /// Returns what an alarm is about, as far as this node knows, from memory.
    fn subject(&self, alarm: AlarmId) -> AlarmSubject;
}

/// What an alarm is about, as the log names it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AlarmSubject {
    /// Id under which it is called about, which leads to its incident.
    pub incident_id: Option<String>,
    /// Vehicle, if this node has the alarm or its incident.
    pub vehicle_id: Option<String>,
}

impl Lane for NodeLane {
    type Office = LaneOffice;
    type Desk = TrailDesk;

    fn open(&self) -> (TrailDesk, LaneOffice) {
        self.open()
    }

    fn connect(&self, trail: TrailHandle<TrailDesk>) {
        self.connect(trail);
    }

    fn status(&self) -> DeskStatus {
        let status = self.status();
        DeskStatus {
            waiting: status.waiting,
            without_room: status.without_room,
            late: status.late,
            kept: status.kept,
            calling_alone: status.calling_alone,
            store_fault: status.store_fault,
            kept_fault: status.kept_fault,
        }
    }

    fn subject(&self, alarm: AlarmId) -> AlarmSubject {
        let id = IncidentId::from_u128(alarm.0);
        AlarmSubject { incident_id: Some(id.to_string()), vehicle_id: self.vehicle_of(id).map(Into::into) }
    }
}

/// What the lane of a node has.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DeskStatus {
    /// Alarms of this node's doors that the trail does not have yet.
    pub waiting: usize,
    /// Of these, those for which the leader has no room.
    pub without_room: usize,
    /// Of the others, those that have waited for 10 s.
    pub late: usize,
    /// Of those that wait, those on its disk.
    pub kept: usize,
    /// Alarms about which this node calls by itself now.
    pub calling_alone: usize,
    /// Reason why its incidents are not stored.
    pub store_fault: Option<String>,
    /// Reason why alarms are not kept.
    pub kept_fault: Option<String>,
}
