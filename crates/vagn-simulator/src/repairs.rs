//! Repairs that a person asked for: what came of each must be told, in time, and as it is.

use std::collections::{BTreeMap, BTreeSet};

use vagn_cluster::{Event, Refusal, ShardId, Stage, Stop};

use crate::agenda::SECOND;
use crate::machine::machine_of;
use crate::network::MachineId;
use crate::world::World;

/// Longest time until a person is told: another owner is waited for for 32 s.
const TOLD_WITHIN: u64 = 33 * SECOND;

/// The same once the machine that was asked knows of the new epoch, and brokers lead.
const TOLD_OF_EPOCH_WITHIN: u64 = 4 * SECOND;

/// Time after which a machine that was hindered, and its connections, count as they were.
const STEADY: u64 = 2 * SECOND;

/// Repairs that were asked for and have no answer, and what is known of shards.
#[derive(Debug, Default)]
pub(crate) struct Repairs {
    asked: BTreeMap<(MachineId, ShardId), Asked>,
    /// Highest epoch that a node knew of.
    epochs: BTreeMap<ShardId, u32>,
}

#[derive(Debug)]
struct Asked {
    at: u64,
    /// The process that was asked. Another one knows nothing of it.
    run: u64,
    /// Epoch that was to end.
    epoch: u32,
    /// Moment from which on the machine must tell that it has ended.
    begun_at: Option<u64>,
    /// Owners from which one could have begun.
    sound: BTreeSet<MachineId>,
    /// Machines that had stopped because of the stream.
    broken: BTreeSet<MachineId>,
}

impl World {
    /// Lets a person ask a machine for a repair.
    pub(crate) fn ask_for_repair(&mut self, id: MachineId, shard: ShardId) {
        let (at, run) = (self.now(), self.machines[id].run);
        if let Some(epoch) = self.known_epoch(id, shard) {
            let (sound, broken) = (self.sound_owners(id, shard), self.broken_at(id, shard));
            let asked = Asked { at, run, epoch, begun_at: None, sound, broken };
            // What comes of one that is under way is told for this one, too.
            self.repairs.asked.entry((id, shard)).or_insert(asked);
        }
        self.handle(id, Event::RepairAsked(shard));
    }

    /// Judges what a person is told.
    pub(crate) fn repair_ended(&mut self, id: MachineId, shard: ShardId, result: Result<(), Refusal>) {
        self.reached.note(if result.is_ok() { "repair made" } else { "repair refused" });
        let Some(asked) = self.repairs.asked.remove(&(id, shard)) else { return };
        self.note_epochs();
        let newest = self.repairs.epochs.get(&shard).copied().unwrap_or(0);
        let of_owners = matches!(
            result,
            Err(Refusal::NoOwner
                | Refusal::Behind
                | Refusal::LogUnread
                | Refusal::LogDamaged
                | Refusal::DiskFull)
        );
        let now_sound = self.sound_owners(id, shard);
        let sound: Vec<MachineId> = asked.sound.intersection(&now_sound).map(|owner| owner + 1).collect();
        self.oracle.wrong_if(result.is_ok() && newest <= asked.epoch, || {
            format!("machine {} says that {shard:?} was repaired, and epoch {} goes on", id + 1, asked.epoch)
        });
        self.oracle.wrong_if(of_owners && !sound.is_empty(), || {
            format!(
                "machine {} refuses to repair {shard:?} with {result:?}, and machines {sound:?} could begin",
                id + 1
            )
        });
        let now_broken = self.broken_at(id, shard);
        let broken: Vec<MachineId> = asked.broken.intersection(&now_broken).map(|owner| owner + 1).collect();
        self.oracle.wrong_if(result == Err(Refusal::NotBroken) && !broken.is_empty(), || {
            format!("machine {} says that {shard:?} is not broken, and it is at machines {broken:?}", id + 1)
        });
    }

    /// Nobody begins an epoch of a stream that is sound: what owners answered of it meanwhile would be answered anew.
    pub(crate) fn look_at_new_epoch(&mut self, id: MachineId, shard: ShardId) {
        let is_sound = !self.oracle.is_harmed(shard);
        self.oracle.wrong_if(is_sound, || {
            format!("machine {} begins an epoch of {shard:?}, and the stream is sound", id + 1)
        });
    }

    /// Nobody waits for an answer for ever.
    pub(crate) fn look_for_untold_repairs(&mut self) {
        self.note_epochs();
        let now = self.now();
        let epochs: BTreeMap<(MachineId, ShardId), Option<u32>> =
            self.repairs.asked.keys().map(|of| (*of, self.known_epoch(of.0, of.1))).collect();
        let stand = self.brokers.stand(now);
        let machines = &self.machines;
        for (of, asked) in &mut self.repairs.asked {
            let is_begun = epochs[of].is_some_and(|epoch| epoch > asked.epoch);
            asked.begun_at = asked.begun_at.filter(|_| stand).or(is_begun.then_some(now));
        }
        self.repairs.asked.retain(|(id, _), asked| machines[*id].run == asked.run);
        let untold = self.repairs.asked.iter().find(|((id, _), asked)| {
            let hindered_at = machines[*id].hindered_at;
            let is_late = now > asked.at.max(hindered_at) + TOLD_WITHIN;
            let is_late_of_epoch =
                asked.begun_at.is_some_and(|at| now > at.max(hindered_at) + TOLD_OF_EPOCH_WITHIN);
            machines[*id].works() && (is_late || is_late_of_epoch)
        });
        let untold = untold.map(|((id, shard), asked)| (*id, *shard, asked.at));
        self.oracle.wrong_if(untold.is_some(), || {
            format!("a person waits for what became of a repair (machine, shard, since µs): {untold:?}")
        });
    }

    fn known_epoch(&self, id: MachineId, shard: ShardId) -> Option<u32> {
        let (stream, _) = self.machines[id].node.as_ref()?.owners(shard)?;
        Some(stream.epoch)
    }

    fn note_epochs(&mut self) {
        for shard in (0..self.plan.shards).map(ShardId) {
            let known = (0..self.machines.len()).filter_map(|id| self.known_epoch(id, shard)).max();
            let highest = self.repairs.epochs.entry(shard).or_default();
            *highest = known.unwrap_or(0).max(*highest);
        }
    }

    /// Returns the full owners that a machine hears and that have all that they ever had, as far as can be seen from outside.
    fn sound_owners(&self, asked: MachineId, shard: ShardId) -> BTreeSet<MachineId> {
        let views = self.machines[asked].node.iter().flat_map(|node| node.owner_views(shard));
        let heard = views.filter(|view| view.is_full && view.synced.is_some());
        let heard = heard.filter_map(|view| machine_of(view.node)).filter(|id| *id < self.machines.len());
        heard.filter(|id| self.is_sound(*id, asked, shard)).collect()
    }

    /// Returns the machines that have stopped because of the stream, and that the one that was asked can hear.
    fn broken_at(&self, asked: MachineId, shard: ShardId) -> BTreeSet<MachineId> {
        let (now, epoch) = (self.now(), self.known_epoch(asked, shard));
        let is_steady =
            |id: MachineId| self.machines[id].works() && now > self.machines[id].hindered_at + STEADY;
        let is_broken = |id: &MachineId| {
            let views = self.machines[*id].node.iter().flat_map(|node| node.shards());
            let mut own = views.filter(|view| view.shard == shard && Some(view.stream.epoch) == epoch);
            own.any(|view| matches!(view.stage, Stage::Stopped(stop) if is_of_harm(stop)))
        };
        let joined =
            (0..self.machines.len()).filter(|id| *id == asked || self.network.joins(*id, asked, now));
        joined.filter(|id| is_steady(*id) && is_broken(id)).collect()
    }

    fn is_sound(&self, id: MachineId, asked: MachineId, shard: ShardId) -> bool {
        let (now, machine) = (self.now(), &self.machines[id]);
        let is_steady = machine.works() && now > machine.hindered_at + STEADY && now > machine.slow_until;
        let is_joined = id == asked || self.network.joins(id, asked, now);
        if !is_steady || !is_joined || machine.disk.full || machine.disk.has_rest(shard) {
            return false;
        }
        let epoch = self.known_epoch(asked, shard);
        let stands = machine.node.iter().any(|node| {
            let owners = node.owners(shard).filter(|(stream, _)| Some(stream.epoch) == epoch);
            owners.is_some_and(|(_, owners)| owners.contains(&(machine.node_id(), true)))
        });
        let views = machine.node.iter().flat_map(|node| node.shards());
        let mut own = views.filter(|view| view.shard == shard && Some(view.stream.epoch) == epoch);
        stands && own.any(|view| has_all_it_had(view.stage))
    }
}

/// True for a replica that follows its stream, or has stopped because of that alone.
fn has_all_it_had(stage: Stage) -> bool {
    match stage {
        Stage::CaughtUp | Stage::CatchingUp => true,
        Stage::Stopped(stop) => is_of_harm(stop),
        Stage::Copying | Stage::Restored => false,
    }
}

fn is_of_harm(stop: Stop) -> bool {
    [Stop::StreamAnew, Stop::StreamBehind, Stop::StreamGone, Stop::HashDiffers].contains(&stop)
}
