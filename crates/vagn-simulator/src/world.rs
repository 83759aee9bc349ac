//! World: all parts of a run, and the loop that lets time pass.

use vagn_cluster::{
    Command, Delivered, DiskFault, Event, Happened, Node, Settings, StreamId, SubscriptionId,
};

use crate::agenda::{Agenda, MILLI, SECOND};
use crate::brokers::Brokers;
use crate::chance::Chance;
use crate::disk::Sync;
use crate::fleet::{Begin, Fleet};
use crate::ledger::Ledger;
use crate::machine::{Machine, node_id};
use crate::network::{MachineId, Network};
use crate::oracle::Oracle;
use crate::plan::Plan;
use crate::reached::Reached;
use crate::repairs::Repairs;
use crate::requests::Request;
use crate::trace::{Trace, command_text, digest, event_text};

/// Span between two looks of the oracle.
pub(crate) const LOOK: u64 = 250 * MILLI;

/// Longest time from the end of the blows until a cluster is whole again, repairs by a person included.
pub(crate) const WHOLE_WITHIN: u64 = 60 * SECOND;

/// Time for which nothing new comes before the last look.
const QUIET: u64 = 6 * SECOND;

/// Time in which the mirror of a shard is there that the machine of an onlooker owns no more.
const MIRRORED_WITHIN: u64 = 5 * SECOND;

/// A run.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) plan: Plan,
    pub(crate) agenda: Agenda<Due>,
    pub(crate) chance: Chance,
    /// Decides what disks do with readings, and nothing else.
    pub(crate) disk_chance: Chance,
    pub(crate) network: Network,
    pub(crate) brokers: Brokers,
    pub(crate) machines: Vec<Machine>,
    pub(crate) ledger: Ledger,
    pub(crate) oracle: Oracle,
    pub(crate) repairs: Repairs,
    pub(crate) reached: Reached,
    pub(crate) trace: Trace,
    pub(crate) calm: bool,
    /// Messages to the brokers are held up until then.
    pub(crate) held_until: u64,
    pub(crate) events: u64,
    requests: u64,
    pub(crate) questions: u64,
    commands: Vec<Command>,
}

/// Something that is due at a moment.
#[derive(Debug)]
pub(crate) enum Due {
    /// A process starts.
    Start(MachineId),
    /// An event for a process. With a `request` it counts only if that has no answer yet; without a `run` it is for whatever
    /// process runs.
    Event { to: MachineId, run: Option<u64>, request: u64, event: Event },
    /// Messages of a subscription, which the brokers sent at a moment.
    Deliver { to: MachineId, run: u64, sent: u64, messages: Vec<Delivered> },
    /// A request comes to the brokers.
    Request { from: MachineId, run: u64, number: u64, request: Request },
    /// A process wants to be woken.
    Wake { machine: MachineId, run: u64, wish: u64 },
    /// A sync has come to its end.
    Synced { machine: MachineId, run: u64, sync: Sync },
    /// Number of a strike in the plan.
    Strike(usize),
    /// A stopped process goes on.
    Thaw(MachineId),
    /// A machine reaches the brokers again.
    Rejoin(MachineId),
    /// A process ends and starts again.
    Restart(MachineId),
    /// A disk has room again.
    Room(MachineId),
    /// Somebody goes on looking at the whole fleet.
    Watch,
    /// The brokers lose what a stream got behind this sequence.
    LoseBehind(StreamId, u64),
    /// A process is killed.
    Down { machine: MachineId, away: u64 },
    /// A copy is cut off.
    CutCopy(MachineId),
    /// A sender sends.
    Send(usize),
    /// Somebody asks.
    Ask,
    /// A person looks after the cluster.
    Operate,
    /// The oracle looks.
    Look,
    /// All blows end.
    Calm,
}

impl World {
    pub(crate) fn new(plan: Plan, lines: usize) -> Self {
        let machines = (0..plan.machines).map(|id| Machine::new(id, plan.clocks_ms[id])).collect();
        let mut world = Self {
            agenda: Agenda::new(),
            chance: Chance::new(plan.seed).fork(2),
            disk_chance: Chance::new(plan.seed).fork(6),
            network: Network::new(plan.weather),
            brokers: Brokers::new(plan.window, plan.stream_bytes),
            machines,
            ledger: Ledger::new(&plan),
            oracle: Oracle::default(),
            repairs: Repairs::default(),
            reached: Reached::default(),
            trace: Trace::new(lines),
            calm: false,
            held_until: 0,
            events: 0,
            requests: 0,
            questions: 0,
            commands: Vec::new(),
            plan,
        };
        world.enter_all();
        world
    }

    fn enter_all(&mut self) {
        for machine in 0..self.plan.machines {
            // Machines do not start at the same moment.
            self.agenda.at(self.plan.starts[machine] + machine as u64 * 70 * MILLI, Due::Start(machine));
        }
        for number in 0..self.plan.strikes.len() {
            self.agenda.at(self.plan.strikes[number].at, Due::Strike(number));
        }
        for sender in 0..self.plan.senders {
            self.agenda.at(3 * SECOND, Due::Send(sender));
        }
        self.agenda.at(4 * SECOND, Due::Ask);
        self.agenda.at(5 * SECOND, Due::Watch);
        self.agenda.at(SECOND, Due::Operate);
        self.agenda.at(LOOK, Due::Look);
        self.agenda.at(self.plan.calm_at, Due::Calm);
    }

    /// Runs to the end, or to the first thing that must not be.
    pub(crate) fn run(&mut self) {
        let deadline = self.plan.calm_at + WHOLE_WITHIN;
        loop {
            let quiet = self.oracle.whole_at().map_or(deadline, |at| (at + QUIET).min(deadline + QUIET));
            // A shard that has just moved is shown once it is mirrored.
            let end = quiet.max(self.oracle.moved_at() + MIRRORED_WITHIN).min(deadline + 2 * QUIET);
            let Some(due) = self.agenda.take(end) else { break };
            self.meet(due);
            if self.oracle.wrong().is_some() {
                return;
            }
        }
        self.look_last();
    }

    fn meet(&mut self, due: Due) {
        match due {
            Due::Start(machine) => self.start(machine),
            Due::Event { to, run, request, event } => self.event(to, run, request, event),
            Due::Deliver { to, run, sent, messages } => {
                if sent < self.machines[to].cut_at {
                    return;
                }
                for message in messages {
                    self.event(to, Some(run), 0, Event::Delivered(message));
                }
            }
            Due::Request { from, run, number, request } => self.serve(from, run, number, request),
            Due::Wake { machine, run, wish } => {
                if self.machines[machine].wish == wish {
                    self.event(machine, Some(run), 0, Event::Woken);
                }
            }
            Due::Synced { machine, run, sync } => self.synced(machine, run, sync),
            Due::Strike(number) => self.strike(number),
            Due::Thaw(machine) => self.thaw(machine),
            Due::Rejoin(machine) => self.rejoin(machine),
            Due::Restart(machine) => self.restart(machine),
            Due::Room(machine) => self.machines[machine].disk.full = false,
            Due::LoseBehind(stream, last) => self.lose_behind(stream, last),
            Due::Down { machine, away } => self.take_down(machine, false, away),
            Due::CutCopy(machine) => self.cut_copy(machine),
            Due::Send(sender) => self.send(sender),
            Due::Ask => self.ask(),
            Due::Watch => self.watch(),
            Due::Operate => self.operate(),
            Due::Look => self.look(),
            Due::Calm => self.calm_down(),
        }
    }

    pub(crate) fn now(&self) -> u64 {
        self.agenda.now()
    }

    /// Gives an event to a process, unless it is gone or stopped.
    fn event(&mut self, to: MachineId, run: Option<u64>, request: u64, event: Event) {
        let machine = &mut self.machines[to];
        if machine.node.is_none() || run.is_some_and(|run| run != machine.run) {
            return;
        }
        if machine.frozen {
            machine.held.push_back((request, event));
            return;
        }
        if request == 0 || machine.pending.remove(&request) {
            self.handle(to, event);
        }
    }

    /// Lets a node take in an event, and carries out what it asks for.
    pub(crate) fn handle(&mut self, id: MachineId, event: Event) {
        let now = self.now();
        self.events += 1;
        self.trace.fold(&[now, id as u64, digest(&event)]);
        self.trace.line(now, || format!("{} < {}", id + 1, event_text(&event)));
        let machine = &mut self.machines[id];
        if let Event::LogFailed { shard, .. } = &event
            && !machine.disk.tell_failure(*shard)
        {
            return;
        }
        let moment = machine.moment(now);
        let Some(node) = &mut machine.node else { return };
        if let Event::Submitted { changes, .. } = &event {
            machine.taken += changes.len() as u64;
        }
        let mut commands = std::mem::take(&mut self.commands);
        node.handle(moment, event, &mut commands);
        let is_rest = |pair: &[Command]| match pair {
            [Command::Tell(Happened::PublishedAgain(shard)), Command::DropRest(of)] => shard == of,
            _ => false,
        };
        if commands.windows(2).any(is_rest) {
            self.reached.note("rest of a log published again");
        }
        for command in commands.drain(..) {
            self.trace.line(now, || format!("{} > {}", id + 1, command_text(&command)));
            self.carry(id, command);
        }
        self.commands = commands;
    }

    /// Starts a process with what is on the machine's disk.
    fn start(&mut self, id: MachineId) {
        let now = self.now();
        if self.machines[id].node.is_some() {
            return;
        }
        let settings = self.settings(id);
        let machine = &mut self.machines[id];
        machine.begin(now, Node::<Fleet>::new(settings));
        self.trace.line(now, || format!("{} starts", id + 1));
        self.damage_logs(id);
        let parts = self.machines[id].disk.parts();
        for part in parts {
            self.handle(id, Event::Disk(part));
        }
    }

    /// Damages logs on the disk of a machine that starts, of shards that another owner has all of: the node cannot go on from what is
    /// left where the stream has let go of what follows.
    fn damage_logs(&mut self, id: MachineId) {
        for shard in self.machines[id].disk.shards() {
            let is_elsewhere = !self.calm && self.owners(shard).iter().any(|owner| *owner != id);
            if is_elsewhere
                && self.disk_chance.often(self.plan.damaged)
                && self.machines[id].disk.damage(shard, true, &mut self.disk_chance)
            {
                self.reached.note("log damaged at a start");
            }
        }
    }

    fn settings(&mut self, id: MachineId) -> Settings {
        let plan = &self.plan;
        let begin = Begin { keep_ms: plan.keep_ms, ballast: plan.ballast };
        Settings {
            zone: (plan.zones > 0).then(|| format!("zone-{}", id % plan.zones)),
            shards: plan.shards,
            stores: id > 0 || !plan.door_alone,
            begin: begin.to_bytes(),
            stream_bytes: plan.stream_bytes,
            snapshot_entries: plan.snapshot_entries,
            piece_bytes: plan.piece_bytes,
            faults: plan.faults,
            ..Settings::new(node_id(id), self.chance.word())
        }
    }

    /// Ends a process, and with `power` loses what its disk had not synced.
    pub(crate) fn crash(&mut self, id: MachineId, power: bool) {
        let now = self.now();
        self.check_counts(id);
        self.trace.line(now, || format!("{} ends, power lost: {power}", id + 1));
        self.ledger.abandon(id);
        let machine = &mut self.machines[id];
        machine.end(now);
        if power {
            machine.disk.lose_power(&mut self.chance);
            self.reached.note("power lost");
        }
    }

    fn synced(&mut self, id: MachineId, run: u64, sync: Sync) {
        let machine = &mut self.machines[id];
        if machine.node.is_none() || machine.run != run {
            return;
        }
        let shard = sync.shard;
        let event = if machine.sync_fails
            && let Some(from) = machine.disk.fail_sync(sync)
        {
            machine.sync_fails = false;
            Some(Event::LogFailed { shard, from, fault: DiskFault::Broken })
        } else {
            machine.disk.end_sync(sync).then_some(Event::LogSynced { shard, through: sync.through })
        };
        if let Some(event) = event {
            self.event(id, Some(run), 0, event);
        }
    }

    /// Lets a stopped process go on: all that came meanwhile comes now.
    fn thaw(&mut self, id: MachineId) {
        let now = self.now();
        let machine = &mut self.machines[id];
        if machine.node.is_none() || !machine.frozen {
            return;
        }
        machine.frozen = false;
        machine.hindered_at = now;
        let (held, run) = (std::mem::take(&mut machine.held), machine.run);
        for (request, event) in held {
            self.event(id, Some(run), request, event);
        }
    }

    /// Gives a request of a process a number. Its `silence` is the event that says that nobody answered.
    pub(crate) fn number(&mut self, id: MachineId, silence: Option<Event>) -> u64 {
        let Some(event) = silence else { return 0 };
        self.requests += 1;
        let (number, machine) = (self.requests, &mut self.machines[id]);
        machine.pending.insert(number);
        let run = Some(machine.run);
        self.agenda.after(SECOND, Due::Event { to: id, run, request: number, event });
        number
    }

    /// Enters an event for a process that runs now.
    pub(crate) fn tell(&mut self, to: MachineId, delay: u64, event: Event) {
        let run = Some(self.machines[to].run);
        self.agenda.after(delay, Due::Event { to, run, request: 0, event });
    }

    pub(crate) fn end_subscription(&mut self, id: MachineId, subscription: SubscriptionId, delay: u64) {
        self.machines[id].consumers.remove(&subscription);
        self.tell(id, delay, Event::SubscriptionEnded(subscription));
    }
}
