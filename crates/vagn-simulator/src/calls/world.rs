//! World: all parts of a run with calls for help, and the loop that lets time pass.

use std::collections::BTreeMap;
use std::sync::Arc;

use vagn_cluster::trail::{
    DeedId, DeedOutcome, Duty, TrailCommand, TrailEvent, TrailHappened, TrailNode, TrailSettings,
};
use vagn_cluster::{Delivered, Event, StreamId, SubscriptionId};

use super::brokering::Request;
use super::machine::Machine;
use super::oracle::Oracle;
use super::plan::Plan;
use super::side::Side;
use super::target::{Mood, Target};
use super::vehicles::Vehicle;
use super::words::{command_text, digest, event_text};
use crate::agenda::{Agenda, MILLI, SECOND};
use crate::brokers::Brokers;
use crate::chance::Chance;
use crate::machine::node_id;
use crate::network::Network;
use crate::reached::Reached;
use crate::trace::Trace;

/// Stream of the trail.
pub(crate) const STREAM: StreamId = StreamId::trail(1);

/// Span between two looks at what is due to the target, and of the oracle.
const TICK: u64 = 100 * MILLI;

/// A run.
pub(crate) struct World<S: Side> {
    pub(crate) plan: Plan,
    pub(crate) agenda: Agenda<Due<S>>,
    pub(crate) chance: Chance,
    pub(crate) network: Network,
    pub(crate) brokers: Brokers,
    pub(crate) machines: Vec<Machine<S>>,
    pub(crate) target: Target,
    pub(crate) vehicles: BTreeMap<u64, Vehicle>,
    pub(crate) oracle: Oracle<S::Record>,
    pub(crate) reached: Reached,
    pub(crate) trace: Trace,
    pub(crate) calm: bool,
    /// Messages to the brokers are held up until then.
    pub(crate) held_until: u64,
    pub(crate) events: u64,
    pub(crate) requests: u64,
    pub(crate) names: u64,
    /// Entries that were purged from the trail's stream.
    pub(crate) purged: Vec<Arc<[u8]>>,
    /// Who gives a copy next is killed in the middle of it; for how long.
    pub(crate) giver_dies: Option<u64>,
    /// Who takes one is.
    pub(crate) taker_dies: Option<u64>,
    /// Changes of all settings that have begun.
    pub(crate) changes: u64,
    /// Settings of the last claim.
    pub(crate) led_with: Option<u64>,
}

/// Something that is due at a moment.
pub(crate) enum Due<S: Side> {
    Start(usize),
    /// Something that only one side knows.
    Own(S::Due),
    /// An event for a process; with a `request` it counts only if that has no answer yet.
    Event {
        to: usize,
        run: Option<u64>,
        request: u64,
        event: TrailEvent,
    },
    Deliver {
        to: usize,
        run: u64,
        messages: Vec<Delivered>,
    },
    Request {
        from: usize,
        run: u64,
        number: u64,
        request: Request,
    },
    Wake {
        machine: usize,
        run: u64,
        wish: u64,
    },
    Kill {
        machine: usize,
        away: u64,
    },
    /// A person looks whether the trail is broken.
    Repair(Option<usize>),
    Strike(usize),
    /// A process ends that was told so.
    End {
        machine: usize,
        run: u64,
        /// It led when it was told.
        led: bool,
        away: u64,
    },
    /// A machine is restarted with these settings, if it has older ones.
    Change {
        machine: usize,
        settings: u64,
        away: u64,
    },
    Thaw(usize),
    Room(usize),
    Cheer,
    /// A new vehicle calls for help.
    Vehicle,
    /// A vehicle calls again.
    Repeat(u64),
    Person,
    Tick,
    Calm,
}

impl<S: Side> World<S> {
    pub(crate) fn new(plan: Plan, lines: usize) -> Self {
        let mut agenda = Agenda::new();
        for machine in 0..plan.machines {
            // Those with other settings find a leader.
            let late = if plan.differs.contains(&machine) { 10 * SECOND } else { 0 };
            agenda.at(late + machine as u64 * 70 * MILLI, Due::Start(machine));
        }
        for (number, strike) in plan.strikes.iter().enumerate() {
            agenda.at(strike.at, Due::Strike(number));
        }
        agenda.at(SECOND, Due::Vehicle);
        agenda.at(8 * SECOND, Due::Person);
        agenda.at(TICK, Due::Tick);
        if plan.is_repaired() {
            agenda.at(10 * SECOND, Due::Repair(None));
        }
        agenda.at(plan.calm_at, Due::Calm);
        let clocks = plan.clocks_ms.iter().enumerate();
        let machine = |(id, clock_ms): (usize, &i64)| {
            let settings = u64::from(plan.differs.contains(&id));
            Machine::new(*clock_ms, settings, S::own(&plan, id))
        };
        let machines = clocks.map(machine).collect();
        Self {
            agenda,
            chance: Chance::new(plan.seed).fork(12),
            network: Network::new(plan.weather),
            brokers: Brokers::new(plan.window, plan.stream_bytes),
            machines,
            target: Target::new(),
            vehicles: BTreeMap::new(),
            oracle: Oracle::new(S::KEPT),
            reached: Reached::default(),
            trace: Trace::new(lines),
            calm: false,
            held_until: 0,
            events: 0,
            requests: 0,
            names: 0,
            purged: Vec::new(),
            giver_dies: None,
            taker_dies: None,
            changes: 0,
            led_with: None,
            plan,
        }
    }

    /// Runs to the end, or to the first thing that must not be.
    pub(crate) fn run(&mut self) {
        let end = self.plan.calm_at + if self.plan.is_repaired() { 2 } else { 1 } * S::WHOLE_WITHIN;
        while let Some(due) = self.agenda.take(end) {
            self.meet(due);
            if self.oracle.wrong().is_some() {
                return;
            }
        }
        self.look_last();
    }

    fn meet(&mut self, due: Due<S>) {
        let now = self.now();
        match due {
            Due::Start(machine) => self.start(machine),
            Due::Own(due) => S::meet(self, due),
            Due::Event { to, run, request, event } => self.event(to, run, request, event),
            Due::Deliver { to, run, messages } => {
                for message in messages {
                    self.event(to, Some(run), 0, TrailEvent::Common(Event::Delivered(message)));
                }
            }
            Due::Request { from, run, number, request } => self.serve(from, run, number, request),
            Due::Wake { machine, run, wish } => {
                if self.machines[machine].wish == wish {
                    self.event(machine, Some(run), 0, TrailEvent::Common(Event::Woken));
                }
            }
            Due::Kill { machine, away } => self.take_down(machine, away),
            Due::Repair(machine) => self.repair(machine),
            Due::Strike(number) => self.strike(number),
            Due::End { machine, run, led, away } => self.end(machine, (run, led), away),
            Due::Change { machine, settings, away } => self.change_settings(machine, settings, away),
            Due::Thaw(machine) => self.thaw(machine),
            Due::Room(machine) => S::set_full(&mut self.machines[machine].own, false, now),
            Due::Cheer => self.target.mood = Mood::Accepts,
            Due::Vehicle => self.new_vehicle(),
            Due::Repeat(vehicle) => self.repeat(vehicle),
            Due::Person => self.person(),
            Due::Tick => {
                (0..self.machines.len()).for_each(|machine| S::look(self, machine));
                self.look();
                self.agenda.after(TICK, Due::Tick);
            }
            Due::Calm => self.calm_down(),
        }
    }

    pub(crate) fn now(&self) -> u64 {
        self.agenda.now()
    }

    /// Gives an event to a process, unless it is gone or stopped.
    pub(crate) fn event(&mut self, to: usize, run: Option<u64>, request: u64, event: TrailEvent) {
        let machine = &mut self.machines[to];
        if machine.node.is_none() || run.is_some_and(|run| run != machine.run) {
            return;
        }
        if machine.frozen_at.is_some() {
            machine.held.push_back((request, event));
        } else if request == 0 || machine.pending.remove(&request) {
            self.handle(to, event);
        }
    }

    /// Lets a node take in an event, and carries out what it asks for.
    pub(crate) fn handle(&mut self, id: usize, event: TrailEvent) {
        let now = self.now();
        self.events += 1;
        self.trace.fold(&[now, id as u64, digest(&event)]);
        self.trace.line(now, || format!("{} < {}", id + 1, event_text(&event)));
        let machine = &mut self.machines[id];
        let moment = machine.moment(now);
        let Some(node) = &mut machine.node else { return };
        let not_kept = match &event {
            TrailEvent::NotKept { alarm, .. } => Some(*alarm),
            _ => None,
        };
        let mut commands = Vec::new();
        node.handle(moment, event, &mut commands);
        for command in commands {
            self.trace.line(now, || format!("{} > {}", id + 1, command_text(&command)));
            if let (Some(alarm), TrailCommand::Tell(TrailHappened::NoPlace(_))) = (not_kept, &command) {
                self.oracle.placeless(alarm);
            }
            self.carry(id, command);
        }
        S::act(self, id);
    }

    /// Starts a process with what is in the machine's store.
    fn start(&mut self, id: usize) {
        let now = self.now();
        if self.machines[id].node.is_some() {
            return;
        }
        let settings = TrailSettings {
            settings_hash: self.machines[id].settings,
            door_max: self.plan.door_max,
            desk_max: self.plan.desk_max,
            room_bytes: self.plan.stream_bytes,
            away_ms: self.plan.away / MILLI,
            faults: self.plan.faults,
            ..TrailSettings::new(node_id(id), self.chance.word())
        };
        let machine = &mut self.machines[id];
        machine.end();
        (machine.started, machine.awake_at) = (now, now);
        let desk = S::start(self, id);
        self.machines[id].node = Some(TrailNode::new(settings, desk));
        self.trace.line(now, || format!("{} starts", id + 1));
        S::started(self, id);
        let all = (0..self.machines.len()).map(node_id).collect();
        self.handle(id, TrailEvent::Known(all));
    }

    /// Ends a process.
    pub(crate) fn crash(&mut self, id: usize) {
        let now = self.now();
        if self.machines[id].node.is_some() {
            self.trace.line(now, || format!("{} ends", id + 1));
            // What a stopped process had it had when it was stopped.
            let until = self.machines[id].frozen_at.unwrap_or(now);
            S::ends(self, id, until);
            self.machines[id].end();
        }
    }

    pub(crate) fn take_down(&mut self, id: usize, away: u64) {
        if self.machines[id].node.is_some() {
            self.crash(id);
            self.agenda.after(away, Due::Start(id));
        }
    }

    /// Ends a process that was told so, if it has not ended in another way.
    fn end(&mut self, id: usize, (run, led): (u64, bool), away: u64) {
        if self.machines[id].run != run {
            return;
        }
        if led && self.machines[id].works() && self.leader() != Some(id) {
            self.reached.note("leader said farewell");
        }
        if self.machines[id].works() {
            S::leaves(self, id);
        }
        // It comes back, whatever has calmed down meanwhile.
        self.take_down(id, away);
    }

    /// Lets a stopped process go on: all that came meanwhile comes now.
    fn thaw(&mut self, id: usize) {
        let now = self.now();
        let machine = &mut self.machines[id];
        if machine.node.is_some() && machine.frozen_at.take().is_some() {
            machine.awake_at = now;
            let (held, run) = (std::mem::take(&mut machine.held), machine.run);
            // What it was about to do comes first, as its threads go on where they stood.
            S::thaws(self, id);
            for (request, event) in held {
                self.event(id, Some(run), request, event);
            }
        }
    }

    pub(crate) fn end_subscription(&mut self, id: usize, subscription: SubscriptionId, delay: u64) {
        self.machines[id].consumers.remove(&subscription);
        let run = Some(self.machines[id].run);
        let event = TrailEvent::Common(Event::SubscriptionEnded(subscription));
        self.agenda.after(delay, Due::Event { to: id, run, request: 0, event });
    }

    /// Draws a name that nothing else has.
    pub(crate) fn name(&mut self) -> u128 {
        self.names += 1;
        u128::from(self.chance.word()) << 64 | u128::from(self.names)
    }

    /// Returns the machine that leads, or believes so.
    pub(crate) fn leader(&self) -> Option<usize> {
        let now = self.now();
        let duty = |machine: &Machine<S>| {
            let node = machine.node.as_ref().filter(|_| machine.works())?;
            Some(node.duty(machine.moment(now)))
        };
        (0..self.machines.len())
            .filter(|id| duty(&self.machines[*id]) >= Some(Duty::FirstOnly))
            .max_by_key(|id| duty(&self.machines[*id]))
    }

    pub(crate) fn deed_answered(&mut self, deed: DeedId, outcome: &DeedOutcome) {
        let state = match outcome {
            DeedOutcome::Done => "deed done",
            DeedOutcome::Refused(_) => "deed refused",
            DeedOutcome::Unavailable => "deed unavailable",
        };
        self.reached.note(state);
        self.oracle.deed_answered(deed, *outcome == DeedOutcome::Done);
        if matches!(outcome, DeedOutcome::Refused(_)) {
            self.oracle.deed_refused(deed);
        }
    }

    /// A person wants something, or tries to.
    fn person(&mut self) {
        if self.calm {
            return;
        }
        let deed = DeedId(self.name());
        let id = self.chance.below(self.machines.len() as u64) as usize;
        S::person(self, deed, id);
        let pause = self.chance.within(SECOND..=3 * SECOND);
        self.agenda.after(pause, Due::Person);
    }
}
