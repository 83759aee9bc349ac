//! The service's own desk, office, door and files behind the trail, in steps. Slower than the model by far, and the code that runs.
//!
//! | file | holds |
//! |---|---|
//! | `facts.rs` | what groups say, as the oracle must know it |
//! | `watched.rs` | the desk, with an ear for what it lets go, and faults of its own |
//! | `stepping.rs` | when each part of the office has its turn |
//! | `acting.rs` | calls to the targets, alarms of vehicles, deeds of persons |
//! | `looking.rs` | what must be at the end |

mod acting;
mod facts;
mod looking;
mod stepping;
mod watched;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use vagn_cluster::trail::{AlarmId, DeedId, Mark, TrailCommand, TrailEvent};
use vagn_emergency::simulated::{Answer, Disks, Now, Settings, SteppedNode};

use self::facts::{Facts, content};
pub use self::watched::DeskFault;
use self::watched::Watched;
use super::plan::Plan;
use super::side::{Content, Side};
use super::words::REQUIRED_OF_OFFICE;
use super::world::{Due, World};
use crate::agenda::{MILLI, SECOND};

/// Most incidents that may be open.
const OPEN_MAX: usize = 1_000;

/// Most notices to one target under way.
const SLOTS: usize = 64;

/// Time after which an alarm that was not kept is in the store, if that has room: 1 s until the disk is tried again, and 1 s until the alarm is
/// given again.
const KEPT_AGAIN: u64 = 2_200 * MILLI;

/// Processes whose incident store opens late, in 10 000.
const OPENED_LATE: u64 = 1_000;

/// Ends of processes with which the power goes, in 10 000.
const POWER_CUTS: u64 = 3_000;

/// The service's own.
pub(crate) struct Office;

/// What a machine has.
pub(crate) struct Own {
    disks: Disks,
    node: Option<SteppedNode>,
    /// Place in the trail that the store had when the last process ended.
    mark: Option<Mark>,
    /// What the store had then.
    content: Content<Facts>,
    /// Moment since which the disk has room.
    room_at: u64,
    fault: Option<DeskFault>,
    is_settling: bool,
    /// A look at the files, or at kept alarms, is on the agenda.
    writes_files: bool,
    writes_kept: bool,
    /// Moment of the next look by itself that is on the agenda.
    wakes_at: Option<u64>,
    /// Vehicles of reports whose senders wait.
    senders: BTreeMap<u64, u64>,
}

/// What is due to it.
#[derive(Debug)]
pub(crate) enum OfficeDue {
    Files { machine: usize, run: u64 },
    Kept { machine: usize, run: u64 },
    Second { machine: usize, run: u64 },
    Woken { machine: usize, run: u64, at: u64 },
    Answered { machine: usize, run: u64, call: u64, is_of_door: bool, answer: Answer, began: u64 },
}

impl Side for Office {
    type Desk = Watched;
    type Own = Own;
    type Due = OfficeDue;
    type Record = Facts;

    const KEPT: u64 = 80 * MILLI;
    const HELD: u64 = 280 * MILLI;
    const WHOLE_WITHIN: u64 = 45 * SECOND;
    const REQUIRED: &'static [&'static str] = REQUIRED_OF_OFFICE;

    fn own(plan: &Plan, _: usize) -> Own {
        Own {
            disks: Disks::default(),
            node: None,
            mark: None,
            content: Content {
                incidents: Vec::new(),
                joins: Vec::new(),
                sittings: Vec::new(),
                deeds: Vec::new(),
            },
            room_at: 0,
            fault: plan.desk_fault,
            is_settling: false,
            writes_files: false,
            writes_kept: false,
            wakes_at: None,
            senders: BTreeMap::new(),
        }
    }

    fn start(world: &mut World<Self>, id: usize) -> Watched {
        let seed = world.chance.word();
        let now = world.clock(id);
        let own = &mut world.machines[id].own;
        let settings = Settings { seed, open_max: OPEN_MAX, slots: SLOTS };
        let (node, desk) = SteppedNode::start(&own.disks, settings, now);
        own.node = Some(node);
        Watched::new(desk, own.fault)
    }

    fn started(world: &mut World<Self>, id: usize) {
        let run = world.machines[id].run;
        world.agenda.after(SECOND, Due::Own(OfficeDue::Second { machine: id, run }));
        // Some stores open late.
        let late = !world.calm && world.chance.often(OPENED_LATE);
        let delay = if late { world.chance.within(SECOND..=6 * SECOND) } else { MILLI };
        world.machines[id].own.writes_files = true;
        world.agenda.after(delay, Due::Own(OfficeDue::Files { machine: id, run }));
        world.write_kept(id);
        world.handle(id, TrailEvent::DeskChanged);
    }

    fn ends(world: &mut World<Self>, id: usize, until: u64) {
        let is_cut = world.chance.often(POWER_CUTS);
        let seed = world.chance.word();
        let machine = &mut world.machines[id];
        let own = &mut machine.own;
        let Some(node) = &own.node else { return };
        let kept: BTreeSet<AlarmId> = node.kept().into_iter().collect();
        let had_room = !own.disks.is_full() && until >= own.room_at.max(machine.awake_at) + KEPT_AGAIN;
        own.mark = node.mark().or(own.mark);
        if let Some(facts) = node.facts() {
            own.content = content(facts);
        }
        world.oracle.ends(id, &|alarm| kept.contains(alarm), &|_| !had_room, until);
        if is_cut {
            world.reached.note("power cut");
            world.machines[id].own.disks.cut_power(seed);
        }
    }

    fn end(own: &mut Own) {
        // First of all: what is dropped must write nothing.
        own.disks.end_process();
        own.node = None;
        (own.is_settling, own.writes_files, own.writes_kept, own.wakes_at) = (false, false, false, None);
        own.senders.clear();
    }

    fn leaves(world: &mut World<Self>, id: usize) {
        world.step(id, SteppedNode::leave);
        world.settle(id);
    }

    fn thaws(world: &mut World<Self>, id: usize) {
        world.step(id, SteppedNode::write_kept);
        world.step(id, SteppedNode::write_files);
        Self::look(world, id);
        Self::act(world, id);
    }

    fn carry(world: &mut World<Self>, id: usize, command: TrailCommand) {
        world.carry_office(id, command);
    }

    fn act(world: &mut World<Self>, id: usize) {
        world.act(id);
    }

    fn meet(world: &mut World<Self>, due: OfficeDue) {
        world.meet_office(due);
    }

    fn look(world: &mut World<Self>, id: usize) {
        if world.machines[id].works() {
            world.step(id, SteppedNode::look);
            world.write_kept(id);
            world.settle(id);
        }
    }

    fn report(world: &mut World<Self>, number: u64, id: usize) {
        world.report(number, id);
    }

    fn person(world: &mut World<Self>, deed: DeedId, id: usize) {
        world.decide(deed, id);
    }

    fn mark(own: &Own) -> Option<Mark> {
        own.node.as_ref().and_then(SteppedNode::mark).or(own.mark)
    }

    fn set_full(own: &mut Own, is_full: bool, now: u64) {
        if own.disks.is_full() && !is_full {
            own.room_at = now;
        }
        own.disks.set_full(is_full);
    }

    fn lose_disk(own: &mut Own) {
        own.disks = Disks::default();
        own.mark = None;
        own.content.incidents.clear();
    }

    fn content(own: &Own) -> Content<Facts> {
        own.node.as_ref().and_then(SteppedNode::facts).map_or_else(|| own.content.clone(), content)
    }

    fn look_last(world: &mut World<Self>) {
        world.look_at_stores();
    }
}

impl World<Office> {
    /// Returns the time of a machine's clocks.
    fn clock(&self, id: usize) -> Now {
        let (now, machine) = (self.now(), &self.machines[id]);
        let monotonic = Duration::from_micros(now - machine.started);
        Now { monotonic, wall_ms: machine.moment(now).wall_ms }
    }
}
