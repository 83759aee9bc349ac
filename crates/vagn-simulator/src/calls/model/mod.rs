//! Model of what is behind the trail: a desk with incidents of a few fields, a store in memory, a door that calls. It takes so little time that
//! thousands of seeds are run in minutes.
//!
//! | file | holds |
//! |---|---|
//! | `store.rs`, `desk.rs` | incidents, the store of a machine, and its desk |
//! | `carrying.rs`, `saving.rs`, `copies.rs` | what a node asks for; what comes into stores; copies of them |
//! | `acting.rs` | messages to the target, alarms, deeds |

mod acting;
mod carrying;
mod copies;
mod desk;
mod saving;
mod store;

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::sync::Arc;

use vagn_cluster::trail::{AlarmId, DeedId, Mark, TrailCommand, TrailEvent};

use self::desk::{Desk, Message};
use self::store::{Incident, Store, content, read_alarm};
use super::plan::Plan;
use super::side::{Content, Side};
use super::target::Answer;
use super::words::REQUIRED_OF_MODEL;
use super::world::World;
use crate::agenda::{MILLI, SECOND};

/// Time after which an alarm that was not kept is in the store, if that has room: 1 s until it is given again, and 10 ms.
const KEPT_AGAIN: u64 = SECOND + 10 * MILLI;

/// The model.
pub(crate) struct Model;

/// What a machine has.
#[derive(Debug, Default)]
pub(crate) struct Own {
    store: Rc<RefCell<Store>>,
    /// Calls of the door: the next attempt, or none while one is under way or after it was accepted.
    alone: BTreeMap<AlarmId, Option<u64>>,
    /// Newest report of each alarm that this process was given.
    reports: BTreeMap<AlarmId, u64>,
    /// Moment since which the disk has room.
    room_at: u64,
    /// Alarms that the store did not keep.
    not_kept: BTreeSet<AlarmId>,
    /// Alarm of each vehicle at this door.
    alarms: BTreeMap<u64, AlarmId>,
    /// Copy that is held for other machines.
    picture: Option<Picture>,
}

/// A store as it was at a mark.
#[derive(Debug)]
struct Picture {
    mark: Mark,
    bytes: Vec<u8>,
    read_at: u64,
}

/// What is due to the model.
#[derive(Debug)]
pub(crate) enum ModelDue {
    /// A save has come to its end.
    Saved { machine: usize, run: u64, mark: Mark, groups: Vec<Arc<[u8]>> },
    /// The target has answered a desk.
    Answered { machine: usize, run: u64, message: Message, answer: Answer },
    /// The target has answered a door that called by itself.
    AloneAnswered { machine: usize, run: u64, alarm: AlarmId, answer: Answer },
    /// A piece of a copy has come to be put aside.
    Taken { machine: usize, run: u64, piece: u32, bytes: Vec<u8>, mark: Option<Mark> },
}

impl Side for Model {
    type Desk = Desk;
    type Own = Own;
    type Due = ModelDue;
    type Record = Incident;

    const KEPT: u64 = 60 * MILLI;
    const HELD: u64 = 260 * MILLI;
    const WHOLE_WITHIN: u64 = 30 * SECOND;
    const REQUIRED: &'static [&'static str] = REQUIRED_OF_MODEL;

    fn own(_: &Plan, _: usize) -> Own {
        Own::default()
    }

    fn start(world: &mut World<Self>, id: usize) -> Desk {
        let own = &mut world.machines[id].own;
        own.store.borrow_mut().start();
        let kept = own.store.borrow();
        own.alarms = kept.kept.iter().map(|(id, (bytes, _))| (read_alarm(bytes).0, *id)).collect();
        Desk::new(Rc::clone(&own.store))
    }

    fn started(world: &mut World<Self>, id: usize) {
        let mark = Self::mark(&world.machines[id].own).map(|mark| mark.write());
        world.handle(id, TrailEvent::Restored(mark));
    }

    fn ends(world: &mut World<Self>, id: usize, until: u64) {
        let machine = &world.machines[id];
        let store = machine.own.store.borrow();
        let had_room = !store.full && until >= machine.own.room_at.max(machine.awake_at) + KEPT_AGAIN;
        let is_excused = |alarm: &AlarmId| !had_room && machine.own.not_kept.contains(alarm);
        world.oracle.ends(id, &|alarm| store.kept.contains_key(alarm), &is_excused, until);
    }

    fn end(own: &mut Own) {
        *own = Own { store: Rc::clone(&own.store), room_at: own.room_at, ..Own::default() };
    }

    fn carry(world: &mut World<Self>, id: usize, command: TrailCommand) {
        world.carry_own(id, command);
    }

    fn act(world: &mut World<Self>, id: usize) {
        world.act(id);
    }

    fn meet(world: &mut World<Self>, due: ModelDue) {
        match due {
            ModelDue::Saved { machine, run, mark, groups } => world.saved(machine, run, mark, &groups),
            ModelDue::Answered { machine, run, message, answer } => {
                world.answered(machine, run, message, answer);
            }
            ModelDue::AloneAnswered { machine, run, alarm, answer } => {
                world.alone_answered(machine, run, alarm, answer);
            }
            ModelDue::Taken { machine, run, piece, bytes, mark } => {
                world.taken(machine, run, piece, &bytes, mark);
            }
        }
    }

    fn report(world: &mut World<Self>, number: u64, id: usize) {
        world.report(number, id);
    }

    fn person(world: &mut World<Self>, deed: DeedId, id: usize) {
        world.resolve(deed, id);
    }

    fn mark(own: &Own) -> Option<Mark> {
        own.store.borrow().mark
    }

    fn set_full(own: &mut Own, is_full: bool, now: u64) {
        let was_full = std::mem::replace(&mut own.store.borrow_mut().full, is_full);
        if was_full && !is_full {
            own.room_at = now;
        }
    }

    fn lose_disk(own: &mut Own) {
        *own.store.borrow_mut() = Store::default();
    }

    fn content(own: &Own) -> Content<Incident> {
        let store = own.store.borrow();
        content(store.incidents.iter().map(|(id, incident)| (*id, incident.clone())).collect())
    }

    fn look_last(world: &mut World<Self>) {
        let truth = world.oracle.drafts().clone();
        for id in 0..world.machines.len() {
            let differs = world.machines[id].own.store.borrow().incidents != truth;
            world.oracle.wrong_if(differs, || format!("{} has a store that differs", id + 1));
        }
    }
}

impl World<Model> {
    /// A desk acts upon something.
    fn acts(&mut self, id: usize, message: Message) {
        let is_there = self.oracle.reports_of(message.incident).is_some_and(|known| known >= message.version);
        self.oracle.wrong_if(message.is_recorded && !is_there, || {
            format!("{} acts before the trail has it: {message:?}", id + 1)
        });
    }
}
