//! Strikes: carries out blows, and ends them.

use vagn_cluster::SubscriptionId;
use vagn_cluster::trail::TrailEvent;

use super::plan::Blow;
use super::side::Side;
use super::target::Mood;
use super::world::{Due, STREAM, World};
use crate::agenda::{MILLI, SECOND};
use crate::brokers::BROKERS;
use crate::network::{Network, Weather};

/// Time that a service has for its farewell.
const FAREWELL: u64 = 100 * MILLI;

impl<S: Side> World<S> {
    /// Carries out a strike of the plan.
    pub(crate) fn strike(&mut self, number: usize) {
        let (now, blow) = (self.now(), self.plan.strikes[number].blow);
        if self.calm {
            return;
        }
        self.trace.line(now, || format!("* {blow:?}"));
        let leader = self.leader();
        match (blow, leader) {
            (Blow::Crash { machine, away }, _) => self.take_down(machine, away),
            (Blow::CrashLeader { away, with_broker }, Some(leader)) => {
                if with_broker {
                    let broker = self.chance.below(BROKERS as u64) as usize;
                    self.brokers.take_away(broker, now, now + away);
                    self.reached.note("leader killed with a broker");
                }
                self.reached.note("leader killed");
                self.take_down(leader, away);
            }
            (Blow::CrashAtAcceptance { away }, Some(leader)) => {
                self.machines[leader].dies_at_acceptance = Some(away);
            }
            (Blow::StopLeader { away }, Some(leader)) => {
                self.reached.note("leader stops in order");
                self.stop_in_order(leader, away);
            }
            (Blow::FreezeLeader { away }, Some(leader)) => {
                self.machines[leader].frozen_at = Some(now);
                self.agenda.after(away, Due::Thaw(leader));
                self.reached.note("leader stopped");
            }
            (Blow::Change { away }, _) => self.change_all(away),
            (Blow::ApartFromLeader { away }, Some(leader)) => {
                for other in (0..self.machines.len()).filter(|other| *other != leader) {
                    self.network.part(leader, other, now + away);
                }
                self.reached.note("leader apart from doors");
            }
            (Blow::ApartFromBrokers { machine, away }, _) => self.part_from_brokers(machine, away),
            (Blow::LeaderApartFromBrokers { away }, Some(leader)) => self.part_from_brokers(leader, away),
            (Blow::Broker { broker, away }, _) => self.brokers.take_away(broker, now, now + away),
            (Blow::Brokers { away }, _) => {
                (0..BROKERS).for_each(|broker| self.brokers.take_away(broker, now, now + away));
                self.reached.note("all brokers away");
            }
            (Blow::Hold { away }, _) => self.held_until = now + away,
            (Blow::StoreFull { machine, away }, _) => {
                S::set_full(&mut self.machines[machine].own, true, now);
                self.agenda.after(away, Due::Room(machine));
            }
            (Blow::Mood { mood, away }, _) => {
                self.target.mood = mood;
                self.agenda.after(away, Due::Cheer);
            }
            (Blow::Burst { machine, count }, _) => (0..count).for_each(|_| self.call(machine)),
            (Blow::Fresh { machine, away }, _) => self.lose_disk(machine, away),
            (Blow::Giver { away }, _) => self.giver_dies = Some(away),
            (Blow::Taker { away }, _) => self.taker_dies = Some(away),
            (Blow::TailLost { lost }, _) => self.lose_tail(lost),
            (Blow::Anew, _) => {
                self.brokers.make_anew(STREAM, now);
                self.purged.clear();
                self.oracle.harmed(&[]);
                self.reached.note("stream made anew");
            }
            (_, None) => {}
        }
    }

    /// Tells a process that it stops; it ends a moment later.
    pub(crate) fn stop_in_order(&mut self, id: usize, away: u64) {
        let (run, led) = (self.machines[id].run, self.leader() == Some(id));
        self.handle(id, TrailEvent::StopAsked);
        self.agenda.after(FAREWELL, Due::End { machine: id, run, led, away });
    }

    fn part_from_brokers(&mut self, id: usize, away: u64) {
        self.network.part_from_brokers(id, self.now() + away);
        let consumers: Vec<SubscriptionId> = self.machines[id].consumers.keys().copied().collect();
        for subscription in consumers {
            // Some connections outlive it, and have lost what came meanwhile.
            if self.chance.often(7_000) {
                self.lose_consumer(id, subscription);
            }
        }
    }

    /// Ends all blows.
    pub(crate) fn calm_down(&mut self) {
        let now = self.now();
        self.trace.line(now, || "* calm".to_owned());
        self.calm = true;
        (self.giver_dies, self.taker_dies) = (None, None);
        self.held_until = now;
        self.target.mood = Mood::Accepts;
        let weather = Weather { lost: 0, twice: 0, late: 0, cut: 0, ..self.plan.weather };
        self.network = Network::new(weather);
        self.brokers.come_back(now);
        for id in 0..self.machines.len() {
            let machine = &mut self.machines[id];
            machine.dies_at_acceptance = None;
            S::set_full(&mut machine.own, false, now);
            self.agenda.after(0, Due::Thaw(id));
            self.agenda.after(id as u64 * 90 * MILLI, Due::Start(id));
        }
        self.end_change();
        // A mood that a blow had set for longer.
        self.agenda.after(SECOND, Due::Cheer);
    }
}
