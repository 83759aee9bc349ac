//! Side: what is behind the trail in a run, on each machine. It is a model of desk, door and store, which takes little time, or the service's own.

use std::fmt::Debug;

use vagn_cluster::trail::{AlarmId, DeedId, DeskState, Mark, TrailCommand};

use super::plan::Plan;
use super::world::World;

/// A side.
pub(crate) trait Side: Sized {
    /// Desk of a node.
    type Desk: DeskState;
    /// What a machine has beside the trail's part of a node.
    type Own;
    /// What is due at a moment, beside what is due to all sides.
    type Due;
    /// What groups say of an incident.
    type Record: Record;

    /// Time after which an alarm that a door holds must be kept: 50 ms, what a timer is late, and what a disk takes. Nobody calls about it before.
    const KEPT: u64;
    /// Time after which it must be called about: 250 ms, and as much more.
    const HELD: u64;
    /// Longest time from the end of the blows until every call is out and recorded.
    const WHOLE_WITHIN: u64;
    /// States that many seeds must reach.
    const REQUIRED: &'static [&'static str];

    /// Returns what a machine has before its first process.
    fn own(plan: &Plan, id: usize) -> Self::Own;

    /// Begins a process, and returns its desk.
    fn start(world: &mut World<Self>, id: usize) -> Self::Desk;

    /// The trail's part of the node is there.
    fn started(world: &mut World<Self>, id: usize);

    /// A process ends, which did something last at `until`.
    fn ends(world: &mut World<Self>, id: usize, until: u64);

    /// Forgets what only the process knew.
    fn end(own: &mut Self::Own);

    /// A process stops in order, and ends.
    fn leaves(_: &mut World<Self>, _: usize) {}

    /// A process that was stopped goes on.
    fn thaws(world: &mut World<Self>, id: usize) {
        Self::act(world, id);
    }

    /// Carries out a command that is not for all sides.
    fn carry(world: &mut World<Self>, id: usize, command: TrailCommand);

    /// Carries out what desk and door decide now.
    fn act(world: &mut World<Self>, id: usize);

    /// Something is due.
    fn meet(world: &mut World<Self>, due: Self::Due);

    /// 100 ms have passed on a machine.
    fn look(world: &mut World<Self>, id: usize) {
        Self::act(world, id);
    }

    /// A vehicle calls at a machine that works.
    fn report(world: &mut World<Self>, number: u64, id: usize);

    /// A person wants something, under this name, of a machine that works.
    fn person(world: &mut World<Self>, deed: DeedId, id: usize);

    /// Returns the place in the trail that a machine's store has.
    fn mark(own: &Self::Own) -> Option<Mark>;

    /// Fills the disk of a machine, or gives it room again.
    fn set_full(own: &mut Self::Own, is_full: bool, now: u64);

    /// A machine, which has no process, loses its disk.
    fn lose_disk(own: &mut Self::Own);

    /// Returns what a machine's store has.
    fn content(own: &Self::Own) -> Content<Self::Record>;

    /// Looks at stores and target when all has come to rest and the trail is sound.
    fn look_last(world: &mut World<Self>);
}

/// What stands in a group or in a store.
#[derive(Debug, Clone)]
pub(crate) struct Content<R> {
    /// Incidents.
    pub(crate) incidents: Vec<(AlarmId, R)>,
    /// Alarms, with the incidents that they are about.
    pub(crate) joins: Vec<(AlarmId, AlarmId)>,
    /// Alarms, with the sittings that are recorded, and the reports of each.
    pub(crate) sittings: Vec<(AlarmId, u64, u64)>,
    /// Deeds, as far as they are known.
    pub(crate) deeds: Vec<DeedId>,
}

/// What a group says of an incident.
pub(crate) trait Record: Clone + Debug + PartialEq {
    /// Reads a group.
    fn read(group: &[u8]) -> Content<Self>;

    /// Returns true if it has all that it had before.
    fn keeps(&self, before: &Self) -> bool;

    /// Returns the number of what there is to tell, if messages are judged by that.
    fn telling(&self) -> Option<u64>;
}
