//! Oracle: knows what must never be, and looks for it while a run lasts and at its end.
//!
//! Safety: what was answered as kept is kept; no answer hides that it is not whole; replicas are alike at equal ticks; nothing is
//! stored twice; fates add up at the doors; nobody stops for a stream that is sound, or goes on with one that is not. Then
//! liveness: once the blows have ended, the cluster is whole again within [`WHOLE_WITHIN`].

use std::collections::{BTreeMap, BTreeSet};

use vagn_cluster::{NodeId, ShardId, ShardView, Stage, Stop, StreamId, TickMark, Ticket};
use vagn_wire::Fate;

use crate::agenda::{MILLI, SECOND};
use crate::fleet::Fleet;
use crate::ledger::{What, Wrong, vehicle_id};
use crate::machine::machine_of;
use crate::network::MachineId;
use crate::world::{Due, LOOK, WHOLE_WITHIN, World};

/// Longest time until a door answers: five seconds in its buffer, five more for fates, and a look.
const ANSWER_WITHIN: u64 = 12 * SECOND;

/// Longest time for which a replica may take a harmed stream for a sound one, after all that hinders it.
const NOTICE_WITHIN: u64 = 20 * SECOND;

/// Writes that are looked at for those that one owner alone has.
const LATEST: usize = 16;

/// What the oracle remembers.
#[derive(Debug, Default)]
pub(crate) struct Oracle {
    wrong: Option<String>,
    marks: BTreeMap<(StreamId, u64), (MachineId, TickMark)>,
    /// Shards whose stream was harmed, and when.
    harmed: BTreeMap<ShardId, u64>,
    /// Streams that were deleted or made anew, of shards that nothing else had harmed.
    broken: BTreeSet<StreamId>,
    /// Replicas that differ from another one in a harmed stream, and since when.
    suspects: BTreeMap<(StreamId, MachineId), u64>,
    stopped_since: BTreeMap<ShardId, u64>,
    repair_asked: BTreeMap<ShardId, u64>,
    /// Streams that nodes dropped after a repair, and when.
    dropped: BTreeMap<StreamId, u64>,
    whole_at: Option<u64>,
    /// Owners of all shards as the machine of an onlooker knew them last, and since when.
    owners: Vec<Option<Owners>>,
    moved_at: u64,
}

/// Stream of a shard and its owners.
type Owners = (StreamId, Vec<(NodeId, bool)>);

impl Oracle {
    pub(crate) fn wrong(&self) -> Option<&str> {
        self.wrong.as_deref()
    }

    pub(crate) fn whole_at(&self) -> Option<u64> {
        self.whole_at
    }

    /// Moment at which the machine of an onlooker last heard of other owners.
    pub(crate) fn moved_at(&self) -> u64 {
        self.moved_at
    }

    /// Notes the first thing that must not be.
    pub(crate) fn wrong_if(&mut self, wrong: bool, text: impl FnOnce() -> String) {
        if wrong && self.wrong.is_none() {
            self.wrong = Some(text());
        }
    }

    pub(crate) fn harmed(&mut self, shard: ShardId, now: u64) {
        self.harmed.insert(shard, now);
        self.broken.retain(|stream| stream.shard != shard);
    }

    /// True for a stream that was deleted or made anew, of a shard that nothing else had harmed.
    pub(crate) fn is_broken(&self, stream: StreamId) -> bool {
        self.broken.contains(&stream)
    }

    /// A stream was deleted, or made anew.
    pub(crate) fn broken(&mut self, stream: StreamId, now: u64) {
        let is_sound = !self.is_harmed(stream.shard);
        self.harmed.insert(stream.shard, now);
        if is_sound {
            self.broken.insert(stream);
        }
    }

    pub(crate) fn is_harmed(&self, shard: ShardId) -> bool {
        self.harmed.contains_key(&shard)
    }

    pub(crate) fn sound(&mut self, shard: ShardId) {
        self.stopped_since.remove(&shard);
    }

    pub(crate) fn is_to_repair(&mut self, shard: ShardId, now: u64, after: u64, again: u64) -> bool {
        let since = *self.stopped_since.entry(shard).or_insert(now);
        let asked = self.repair_asked.get(&shard).is_some_and(|at| now < at + again);
        now >= since + after && !asked
    }

    pub(crate) fn repair_asked(&mut self, shard: ShardId, now: u64) {
        self.repair_asked.insert(shard, now);
    }

    pub(crate) fn dropped(&mut self, stream: StreamId, now: u64) {
        self.dropped.insert(stream, now);
    }

    /// Compares a replica with all others at its last tick.
    fn compare(&mut self, id: MachineId, view: &ShardView, now: u64) {
        let Some(mark) = view.tick else { return };
        let (other, first) = *self.marks.entry((view.stream, mark.sequence)).or_insert((id, mark));
        if first == mark {
            return;
        }
        if self.is_harmed(view.shard) {
            self.suspects.entry((view.stream, id)).or_insert(now);
        }
        let sound = !self.is_harmed(view.shard);
        self.wrong_if(sound, || {
            format!(
                "machines {} and {} differ at a tick of {:?}: {first:?} and {mark:?}",
                other + 1,
                id + 1,
                view.stream
            )
        });
    }
}

impl World {
    /// Looks at all that can be seen from outside.
    pub(crate) fn look(&mut self) {
        self.agenda.after(LOOK, Due::Look);
        let now = self.now();
        for id in 0..self.machines.len() {
            if !self.machines[id].works() {
                continue;
            }
            let views = self.machines[id].node.as_ref().map(|node| node.shards()).unwrap_or_default();
            for view in &views {
                self.oracle.compare(id, view, now);
                self.look_for_blindness(id, view);
                self.look_at_content(id, view.shard);
            }
            self.look_at_mirrors(id);
            self.look_for_forks(id, &views);
            self.check_counts(id);
            self.look_for_silence(id);
            let gaps = self.machines[id].disk.gaps;
            self.oracle.wrong_if(gaps > 0, || format!("machine {} leaves a gap in a log", id + 1));
        }
        self.look_for_untold_repairs();
        self.look_for_moves();
        if !self.brokers.stand(now) {
            self.look_for_sole_copies();
        }
        if self.calm && self.oracle.whole_at.is_none() && self.what_lacks().is_none() {
            self.oracle.whole_at = Some(now);
            self.trace.line(now, || "* whole again".to_owned());
        }
    }

    fn look_for_moves(&mut self) {
        let Some(node) = self.plan.onlooker.and_then(|id| self.machines[id].node.as_ref()) else { return };
        let owners: Vec<_> = (0..self.plan.shards).map(|shard| node.owners(ShardId(shard))).collect();
        if owners != self.oracle.owners {
            (self.oracle.owners, self.oracle.moved_at) = (owners, self.agenda.now());
        }
    }

    /// A mirror has what replicas have at equal ticks. One of a harmed stream is replaced with its next tick.
    fn look_at_mirrors(&mut self, id: MachineId) {
        let now = self.now();
        for view in self.machines[id].node.iter().flat_map(|node| node.mirrors()) {
            if view.stage == Stage::CaughtUp {
                self.reached.note("mirror caught up");
            }
            if !self.oracle.is_harmed(view.shard) {
                self.oracle.compare(id, &view, now);
            }
        }
    }

    /// A replica must not claim to have all of a stream that ends before it, or is not there.
    fn look_for_blindness(&mut self, id: MachineId, view: &ShardView) {
        let now = self.now();
        let harmed = self.oracle.harmed.get(&view.shard).copied();
        let last = self.brokers.truth(view.stream).map(|log| log.last());
        let sound = last.is_some_and(|last| view.received <= last);
        // A repair drops the stream before all have heard of the new one.
        let dropped_at = self.oracle.dropped.get(&view.stream).copied().unwrap_or(0);
        let since = harmed.map(|at| at.max(self.machines[id].hindered_at).max(dropped_at));
        let late = since.is_some_and(|at| now > at + NOTICE_WITHIN) && self.brokers.stand(now);
        let blind = view.stage == Stage::CaughtUp && !sound && self.network.joins_brokers(id, now);
        self.oracle.wrong_if(blind && late, || {
            format!(
                "machine {} does not notice that its stream was harmed: {view:?}, stream ends with {last:?}",
                id + 1
            )
        });
    }

    /// Of two replicas that differ one has to stop.
    fn look_for_forks(&mut self, id: MachineId, views: &[ShardView]) {
        let now = self.now();
        let suspects: Vec<(StreamId, u64)> = self
            .oracle
            .suspects
            .iter()
            .filter(|((_, of), _)| *of == id)
            .map(|((stream, _), at)| (*stream, *at))
            .collect();
        for (stream, since) in suspects {
            let follows = views.iter().any(|view| {
                view.stream == stream && matches!(view.stage, Stage::CaughtUp | Stage::CatchingUp)
            });
            let sole = self.owners(stream.shard).len() < 2;
            if !follows || sole {
                self.oracle.suspects.remove(&(stream, id));
                continue;
            }
            let late = now > since.max(self.machines[id].hindered_at) + NOTICE_WITHIN;
            self.oracle.wrong_if(late, || {
                format!("machine {} differs from another owner of {stream:?}, and nobody stops", id + 1)
            });
        }
    }

    /// What was answered while one owner alone had it comes to the other once somebody leads the stream: the last look finds it there.
    fn look_for_sole_copies(&mut self) {
        let sound = (0..self.plan.shards).map(ShardId).filter(|shard| !self.oracle.is_harmed(*shard));
        for shard in sound.collect::<Vec<_>>() {
            let owners = self.owners(shard);
            let states = owners.iter().filter_map(|id| self.machines[*id].node.as_ref()?.state(shard));
            let states: Vec<&Fleet> = states.collect();
            let latest = self.ledger.writes().iter().rev().filter(|write| write.shard == shard);
            let is_sole = latest.filter(|write| write.kept_at.is_some()).take(LATEST).any(|write| {
                let copies = states.iter().filter(|state| holds(state, write.what)).count();
                states.len() >= 2 && copies == 1
            });
            if is_sole {
                self.reached.note("kept by one owner alone");
            }
        }
    }

    fn look_at_content(&mut self, id: MachineId, shard: ShardId) {
        let Some(state) = self.machines[id].node.as_ref().and_then(|node| node.state(shard)) else { return };
        let (broken, forgotten, settings) = (state.broken(), state.forgotten(), state.settings());
        if state.late_ticks() > 0 {
            self.reached.note("report behind a standstill");
        }
        if forgotten > 0 {
            self.reached.note("vehicle forgotten");
        }
        if settings > 0 {
            self.reached.note("setting changed");
        }
        self.oracle.wrong_if(broken > 0, || {
            format!("machine {}, {shard:?}: {broken} changes came twice, out of order, or far from the shard's time", id + 1)
        });
    }

    /// Fates add up at a door.
    pub(crate) fn check_counts(&mut self, id: MachineId) {
        let machine = &self.machines[id];
        let Some(counts) = machine.node.as_ref().map(|node| node.counts()) else { return };
        let sum: u64 = counts.fates.iter().sum::<u64>() + counts.waiting;
        // A door knows fates of a group that it answers when it knows all of them.
        let told = counts.fates.iter().zip(&machine.fates).all(|(known, given)| known >= given);
        let all_told = counts.fates == machine.fates || self.ledger.owes_since(id).is_some();
        let right = counts.taken == sum && counts.taken == machine.taken && told && all_told;
        let (taken, fates) = (machine.taken, machine.fates);
        self.oracle.wrong_if(!right, || {
            format!(
                "fates do not add up at machine {}: {counts:?}, and it was given {taken} and gave {fates:?}",
                id + 1
            )
        });
    }

    /// Nobody purges what a full owner, by the record that the purging node knows, has not synced.
    pub(crate) fn check_purge(&mut self, id: MachineId, stream: StreamId, through: u64) {
        let known = self.machines[id].node.as_ref().and_then(|node| node.owners(stream.shard));
        let owners = known.filter(|(of, _)| *of == stream).map(|(_, owners)| owners).unwrap_or_default();
        let full = owners.into_iter().filter(|(_, is_full)| *is_full);
        for owner in full.filter_map(|(node, _)| machine_of(node)).collect::<Vec<_>>() {
            let machine = &self.machines[owner];
            let has = |view: &ShardView| view.stream == stream && view.stage != Stage::Copying;
            let follows = machine.node.as_ref().is_some_and(|node| node.shards().iter().any(has));
            let synced = machine.disk.synced(stream.shard);
            self.oracle.wrong_if(follows && synced < through, || {
                format!(
                    "machine {} purges {stream:?} to {through}, and machine {} has synced {synced}",
                    id + 1,
                    owner + 1
                )
            });
        }
    }

    /// Doors answer in time, reporters and those who ask.
    fn look_for_silence(&mut self, id: MachineId) {
        let now = self.now();
        let hindered_at = self.machines[id].hindered_at;
        let owed = self.ledger.owes_since(id).filter(|since| now > (*since).max(hindered_at) + ANSWER_WITHIN);
        self.oracle.wrong_if(owed.is_some(), || format!("machine {} owes fates since {owed:?} µs", id + 1));
        let asked = self.machines[id]
            .questions
            .iter()
            .find(|(_, question)| now > question.until.max(hindered_at) + 500 * MILLI);
        let asked = asked.map(|(query, question)| (*query, question.clone()));
        self.oracle.wrong_if(asked.is_some(), || format!("machine {} does not answer {asked:?}", id + 1));
    }

    /// Takes in fates that a door gave.
    pub(crate) fn settled(&mut self, id: MachineId, ticket: Ticket, fates: &[Fate]) {
        let now = self.now();
        for fate in fates {
            self.machines[id].fates[*fate as usize] += 1;
            self.reached.note(fate_name(*fate));
            self.trace.fold(&[ticket.0, *fate as u64]);
        }
        if let Err(wrong) = self.ledger.settle(ticket, fates, now) {
            let excused = match wrong {
                Wrong::NewTwice(write) => self.oracle.is_harmed(self.ledger.writes()[write].shard),
                _ => false,
            };
            self.oracle.wrong_if(!excused, || format!("machine {} answers {ticket:?}: {wrong:?}", id + 1));
        }
    }

    /// Nobody stops for a stream that is sound.
    pub(crate) fn stopped(&mut self, id: MachineId, shard: ShardId, stop: Stop) {
        let of_stream = [Stop::StreamAnew, Stop::StreamBehind, Stop::StreamGone, Stop::HashDiffers];
        let harmed = self.oracle.is_harmed(shard);
        let unfounded = !harmed && (of_stream.contains(&stop) || stop == Stop::ContentDiffers);
        let damaged = matches!(stop, Stop::EntryDamaged | Stop::DiskDamaged);
        self.oracle.wrong_if(unfounded || damaged, || {
            format!("machine {} stops {shard:?} with {stop:?}, and the stream is sound", id + 1)
        });
    }

    /// Says what keeps the cluster from being whole.
    fn what_lacks(&self) -> Option<String> {
        if let Some(machine) = self.machines.iter().find(|machine| !machine.works()) {
            return Some(format!("machine {} does not run", machine.id + 1));
        }
        for shard in (0..self.plan.shards).map(ShardId) {
            let views: Vec<(MachineId, ShardView)> = self.views(shard);
            let newest = views.iter().map(|(_, view)| view.stream).max();
            let good = |view: &ShardView| view.stage == Stage::CaughtUp && Some(view.stream) == newest;
            let owners = self.owners(shard);
            let whole = views.iter().filter(|(id, view)| owners.contains(id) && good(view)).count() >= 2;
            let stopped = views.iter().any(|(_, view)| matches!(view.stage, Stage::Stopped(_)));
            if !whole || stopped {
                return Some(format!(
                    "{shard:?} has not two owners that are caught up, or one that stopped: {views:#?}"
                ));
            }
        }
        if let Some(lacking) = self.plan.onlooker.and_then(|id| self.what_lacks_for(id)) {
            return Some(lacking);
        }
        let rest = (0..self.plan.shards).map(ShardId).find_map(|shard| {
            let machine = self.machines.iter().find(|machine| machine.disk.has_rest(shard))?;
            Some(format!("machine {} keeps a rest of the log of {shard:?}", machine.id + 1))
        });
        if rest.is_some() {
            return rest;
        }
        let unkept = self.ledger.unkept();
        (unkept > 0).then(|| format!("{unkept} writes are not answered as kept"))
    }

    /// Says what keeps a machine from showing the whole fleet.
    fn what_lacks_for(&self, onlooker: MachineId) -> Option<String> {
        let node = self.machines[onlooker].node.as_ref()?;
        let shards = (0..self.plan.shards).map(ShardId);
        let unseen = shards.filter(|shard| node.shown(*shard).is_none());
        let late = node.mirrors().into_iter().filter(|view| view.stage != Stage::CaughtUp);
        let lacking: Vec<ShardId> = unseen.chain(late.map(|view| view.shard)).collect();
        (!lacking.is_empty()).then(|| format!("machine {} does not show {lacking:?}", onlooker + 1))
    }

    fn views(&self, shard: ShardId) -> Vec<(MachineId, ShardView)> {
        let of = |id: MachineId| self.machines[id].node.iter().flat_map(|node| node.shards());
        let all = (0..self.machines.len()).flat_map(|id| of(id).map(move |view| (id, view)));
        all.filter(|(_, view)| view.shard == shard).collect()
    }

    /// Looks for the last time, when all has been quiet for a while.
    pub(crate) fn look_last(&mut self) {
        let lacks = self.what_lacks();
        let when = if self.oracle.whole_at.is_some() { "any more" } else { "again" };
        self.oracle.wrong_if(lacks.is_some(), || {
            format!("not whole {when} within {} s: {}", WHOLE_WITHIN / SECOND, lacks.unwrap_or_default())
        });
        for shard in (0..self.plan.shards).map(ShardId) {
            for (id, view) in self.views(shard) {
                if view.stage == Stage::CaughtUp {
                    self.look_for_losses(id, &view);
                }
            }
        }
        let counts = [self.events, self.ledger.writes().len() as u64];
        self.trace.fold(&counts);
    }

    /// A replica has all that was answered as kept, and nothing twice.
    fn look_for_losses(&mut self, id: MachineId, view: &ShardView) {
        let shard = view.shard;
        let Some(state) = self.machines[id].node.as_ref().and_then(|node| node.state(shard)) else { return };
        let lost =
            self.ledger.writes().iter().filter(|write| write.shard == shard && write.kept_at.is_some());
        let lost = lost.filter(|write| !holds(state, write.what)).cloned().collect::<Vec<_>>();
        let lags = self.brokers.truth(view.stream).is_none_or(|log| log.last() > view.applied + 8);
        let doubled = self.doubled(state, shard);
        self.trace.fold(&[view.applied, vagn_cluster::ShardState::content_hash(state)]);
        self.oracle.wrong_if(!lost.is_empty(), || {
            format!(
                "machine {} lost {} of {shard:?} that were kept, the first: {:?}",
                id + 1,
                lost.len(),
                lost[0]
            )
        });
        self.oracle.wrong_if(doubled.is_some(), || {
            format!("machine {} stored twice in {shard:?}: {doubled:?}", id + 1)
        });
        self.oracle.wrong_if(lags, || format!("machine {} is not caught up, and says so: {view:?}", id + 1));
    }

    /// Returns a vehicle that was deleted more often than anybody tried, or fewer times than was answered.
    fn doubled(&self, state: &Fleet, shard: ShardId) -> Option<(u64, u64, u64, u64)> {
        let writes = || self.ledger.writes().iter().filter(|write| write.shard == shard);
        (0..self.plan.vehicles).find_map(|vehicle| {
            let deletions = || writes().filter(|write| write.what == What::Deletion { vehicle });
            let tries: u64 = deletions().map(|write| write.tries).sum();
            let kept = deletions().filter(|write| write.kept_at.is_some()).count() as u64;
            let applied = state.row(&vehicle_id(vehicle)).map_or(0, |row| row.deletions);
            (applied > tries || applied < kept).then_some((vehicle, kept, applied, tries))
        })
    }
}

fn holds(state: &Fleet, what: What) -> bool {
    match what {
        What::Report { vehicle, seq } => {
            state.row(&vehicle_id(vehicle)).is_some_and(|row| row.seen.contains(&seq))
        }
        What::Deletion { vehicle } => state.row(&vehicle_id(vehicle)).is_some_and(|row| row.deletions > 0),
        What::Setting { .. } => state.settings() > 0,
    }
}

fn fate_name(fate: Fate) -> &'static str {
    match fate {
        Fate::Stored => "fate stored",
        Fate::Stale => "fate stale",
        Fate::Duplicate => "fate duplicate",
        Fate::Invalid => "fate invalid",
        Fate::Unauthenticated => "fate unauthenticated",
        Fate::Shed => "fate shed",
        Fate::Failed => "fate failed",
    }
}
