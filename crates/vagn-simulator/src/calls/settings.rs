//! Settings: changes of them on one machine after the other, and with which a machine may lead.

use vagn_cluster::trail::{TrailBody, TrailEntry};

use super::plan::Kind;
use super::side::Side;
use super::world::{Due, World};
use crate::agenda::{MILLI, SECOND};
use crate::machine::machine_of;

/// Settings of the first change are above this: those of a plan are not.
const PLANNED: u64 = 1;

/// Time between the start of a machine with new settings and the stop of the next one.
const PAUSE: u64 = SECOND;

/// Time after which each machine has heard of another that works, and of its settings: these count for 10 s, are told each 2 s, and are looked at before a claim.
const HEARD: u64 = 14 * SECOND;

impl<S: Side> World<S> {
    /// Changes the settings of all machines, of one after the other.
    pub(crate) fn change_all(&mut self, away: u64) {
        self.changes += 1;
        self.change_each(away, away + PAUSE, 0);
        self.reached.note("settings changed");
    }

    /// Ends the last change: no machine is left with other settings.
    pub(crate) fn end_change(&mut self) {
        if self.changes > 0 {
            self.change_each(300 * MILLI, 500 * MILLI, SECOND);
        }
    }

    fn change_each(&mut self, away: u64, every: u64, delay: u64) {
        let settings = PLANNED + self.changes;
        for machine in 0..self.machines.len() {
            self.agenda.after(delay + machine as u64 * every, Due::Change { machine, settings, away });
        }
    }

    /// Restarts a machine with these settings, unless it has them or newer ones.
    pub(crate) fn change_settings(&mut self, id: usize, settings: u64, away: u64) {
        let now = self.now();
        let machine = &mut self.machines[id];
        if machine.settings >= settings {
            return;
        }
        machine.settings_before = Some((machine.settings, now));
        machine.settings = settings;
        match machine.works() {
            true => self.stop_in_order(id, away),
            false => self.take_down(id, away),
        }
    }

    /// The brokers took an entry: a claim with other settings than those of the claim before is made only where most machines have them, and none that the others
    /// hear has others.
    pub(crate) fn appended(&mut self, bytes: &[u8]) {
        let Ok(TrailEntry { id, body: TrailBody::Claim { settings_hash, .. }, .. }) = TrailEntry::read(bytes)
        else {
            return;
        };
        let before = self.led_with.replace(settings_hash);
        if before.is_none_or(|before| before == settings_hash) {
            return;
        }
        let (now, count) = (self.now(), self.machines.len());
        let had = |before: Option<(u64, u64)>| {
            before.is_some_and(|(settings, until)| settings == settings_hash && now < until + HEARD)
        };
        let alike =
            self.machines.iter().filter(|each| each.settings == settings_hash || had(each.settings_before));
        let are_most = 2 * alike.count() > count;
        // In a storm what machines tell is lost for long.
        let is_heard = self.plan.kind != Kind::Storm;
        let other = self
            .machines
            .iter()
            .position(|each| each.settings != settings_hash && each.works() && each.awake_at + HEARD <= now);
        let other = other.filter(|_| is_heard);
        self.oracle.wrong_if(!are_most || other.is_some(), || {
            let claimer = machine_of(id.node).map_or(0, |id| id + 1);
            let why = match other {
                Some(other) if are_most => format!("{} works with others", other + 1),
                _ => "most machines have others".to_owned(),
            };
            format!("{claimer} claims with settings {settings_hash}, though {why}")
        });
    }
}
