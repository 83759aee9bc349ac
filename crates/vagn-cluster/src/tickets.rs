//! Groups of changes that reporters wait for: each change meets one fate, and the first that is told counts.
//!
//! This is where fates are counted, and nowhere else: owners tell them, doors count them.

use std::collections::BTreeMap;

use vagn_wire::Fate;

use crate::command::Command;
use crate::flight::Settled;
use crate::ids::Ticket;
use crate::view::Counts;

/// Most changes that wait for their fates. What comes beyond is shed at once.
const WAITING_MAX: u64 = 1 << 20;

/// Groups without an answer.
#[derive(Debug, Default)]
pub(crate) struct Tickets {
    groups: BTreeMap<Ticket, Group>,
    counts: Counts,
}

#[derive(Debug)]
struct Group {
    fates: Vec<Option<Fate>>,
    open: usize,
}

impl Tickets {
    /// Takes a group of so many changes. Returns false, and answers it, when there are none or too many.
    pub(crate) fn open(&mut self, ticket: Ticket, changes: usize, out: &mut Vec<Command>) -> bool {
        self.counts.taken += changes as u64;
        let is_full = self.counts.waiting + changes as u64 > WAITING_MAX;
        // A name that is in use would mix up two groups.
        if changes == 0 || is_full || self.groups.contains_key(&ticket) {
            self.counts.fates[Fate::Shed as usize] += changes as u64;
            out.push(Command::Settle { ticket, fates: vec![Fate::Shed; changes] });
            return false;
        }
        self.counts.waiting += changes as u64;
        self.groups.insert(ticket, Group { fates: vec![None; changes], open: changes });
        true
    }

    /// Notes fates, and answers groups that have all of theirs.
    pub(crate) fn settle(&mut self, settled: &mut Vec<Settled>, out: &mut Vec<Command>) {
        for ((ticket, at), fate) in settled.drain(..) {
            let Some(group) = self.groups.get_mut(&ticket) else { continue };
            let Some(place @ None) = group.fates.get_mut(at as usize) else { continue };
            *place = Some(fate);
            group.open -= 1;
            self.counts.fates[fate as usize] += 1;
            self.counts.waiting -= 1;
            if group.open == 0
                && let Some(group) = self.groups.remove(&ticket)
            {
                out.push(Command::Settle { ticket, fates: group.fates.into_iter().flatten().collect() });
            }
        }
    }

    pub(crate) fn counts(&self) -> Counts {
        self.counts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn assert_sum(tickets: &Tickets) {
        let counts = tickets.counts();
        assert_eq!(counts.taken, counts.waiting + counts.fates.iter().sum::<u64>());
    }

    #[test]
    fn a_group_is_answered_once_with_the_first_fate_of_each() {
        let (mut tickets, mut out) = (Tickets::default(), Vec::new());
        assert!(tickets.open(Ticket(1), 2, &mut out));
        let of = |at, fate| ((Ticket(1), at), fate);
        tickets.settle(&mut vec![of(1, Fate::Stored), of(1, Fate::Stale), of(7, Fate::Stored)], &mut out);
        assert!(out.is_empty());
        assert_sum(&tickets);
        tickets.settle(&mut vec![of(0, Fate::Duplicate), of(0, Fate::Stored)], &mut out);
        let [Command::Settle { ticket: Ticket(1), fates }] = &out[..] else { panic!("{out:?}") };
        assert_eq!(fates[..], [Fate::Duplicate, Fate::Stored]);
        assert_eq!(tickets.counts().waiting, 0);
        assert_sum(&tickets);
    }

    #[test]
    fn what_is_too_much_is_shed_and_counted() {
        let (mut tickets, mut out) = (Tickets::default(), Vec::new());
        assert!(tickets.open(Ticket(1), WAITING_MAX as usize, &mut out));
        assert!(!tickets.open(Ticket(2), 3, &mut out));
        assert!(!tickets.open(Ticket(3), 0, &mut out));
        let answers: Vec<usize> = out
            .iter()
            .map(|command| match command {
                Command::Settle { fates, .. } => fates.len(),
                _ => panic!("only answers"),
            })
            .collect();
        assert_eq!((answers, tickets.counts().fates[Fate::Shed as usize]), (vec![3, 0], 3));
        assert_sum(&tickets);
    }

    #[test]
    fn a_name_in_use_is_not_taken_twice() {
        let (mut tickets, mut out) = (Tickets::default(), Vec::new());
        assert!(tickets.open(Ticket(1), 1, &mut out) && !tickets.open(Ticket(1), 1, &mut out));
        assert_sum(&tickets);
    }
}
