//! The ledger: what senders were answered, and when.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use vagn_cluster::ShardId;
use vagn_wire::Fate;

use super::nodes::SHARDS;

/// Most faults that are kept in words.
const FAULTS_MAX: usize = 20;

/// Uncertainty of an age in an answer, which is in whole ms.
const AGE_EXACT_TO: Duration = Duration::from_millis(2);

/// An answer to a report that says that it, or a newer one, is kept.
#[derive(Debug, Clone)]
pub(crate) struct Acknowledged {
    pub(crate) seq: u64,
    pub(crate) at: Instant,
    pub(crate) fate: Fate,
    /// Which door it came through.
    pub(crate) by: String,
    /// Number of that node.
    pub(crate) node: usize,
}

#[derive(Debug, Default)]
struct Book {
    vehicles: BTreeMap<String, Vec<Acknowledged>>,
    /// The last report of a vehicle that was refused although it was the newest.
    refused: BTreeMap<String, u64>,
    /// Answers by fate, and reports without one.
    counts: BTreeMap<&'static str, u64>,
    faults: Vec<String>,
    faults_count: usize,
}

/// Answers to all senders of a scene, and what was wrong with them.
#[derive(Debug)]
pub(crate) struct Ledger {
    began: Instant,
    book: Mutex<Book>,
}

/// Returns the shard of a vehicle.
pub(crate) fn shard_of(vehicle: &str) -> u16 {
    ShardId::of_vehicle(vehicle.as_bytes(), SHARDS).0
}

impl Ledger {
    pub(crate) fn new() -> Self {
        Self { began: Instant::now(), book: Mutex::default() }
    }

    /// Notes an answer to a report that was sent for the first time, or again as it had no good answer. Returns true if it need not be sent
    /// again.
    pub(crate) fn note(&self, vehicle: &str, seq: u64, fate: Fate, (by, node): (&str, usize)) -> bool {
        self.count(fate.as_str(), 1);
        match fate {
            // It is known again, and was not kept.
            Fate::Duplicate if self.was_refused(vehicle, seq) => true,
            Fate::Stored | Fate::Duplicate => {
                let acknowledged = Acknowledged { seq, at: Instant::now(), fate, by: by.to_owned(), node };
                let mut book = self.book.lock().unwrap();
                book.vehicles.entry(vehicle.to_owned()).or_default().push(acknowledged);
                true
            }
            Fate::Failed | Fate::Shed => false,
            Fate::Stale | Fate::Invalid | Fate::Unauthenticated => {
                self.book.lock().unwrap().refused.insert(vehicle.to_owned(), seq);
                self.fault(format!("{vehicle} {seq} is the newest of its vehicle, and {by} answered {fate}"));
                false
            }
        }
    }

    fn was_refused(&self, vehicle: &str, seq: u64) -> bool {
        self.book.lock().unwrap().refused.get(vehicle) == Some(&seq)
    }

    /// Notes an answer to a report that was acknowledged before, and tells its own time.
    pub(crate) fn note_again(&self, vehicle: &str, seq: u64, fate: Fate, by: &str) {
        self.count(fate.as_str(), 1);
        match fate {
            Fate::Duplicate | Fate::Failed | Fate::Shed => {}
            Fate::Stored | Fate::Stale | Fate::Invalid | Fate::Unauthenticated => {
                let before = self.newest(vehicle).map_or_else(String::new, |one| {
                    let at_s = (one.at - self.began).as_secs_f64();
                    format!("{} of {} by {} at {at_s:.3} s", one.fate, one.seq, one.by)
                });
                let shard = shard_of(vehicle);
                self.fault(format!(
                    "{vehicle} {seq} of shard {shard} had {before}; sent again, {by} answered {fate}"
                ));
            }
        }
    }

    /// Counts reports or answers of a kind.
    pub(crate) fn count(&self, kind: &'static str, count: usize) {
        *self.book.lock().unwrap().counts.entry(kind).or_default() += count as u64;
    }

    /// Keeps what is wrong.
    pub(crate) fn fault(&self, what: String) {
        let at_s = self.began.elapsed().as_secs_f64();
        let mut book = self.book.lock().unwrap();
        book.faults_count += 1;
        if book.faults.len() < FAULTS_MAX {
            eprintln!("{at_s:.3} s: {what}");
            book.faults.push(format!("{at_s:.3} s: {what}"));
        }
    }

    /// Time since the beginning, for what is printed.
    pub(crate) fn time(&self) -> String {
        format!("{:.3} s", self.began.elapsed().as_secs_f64())
    }

    fn newest(&self, vehicle: &str) -> Option<Acknowledged> {
        self.book.lock().unwrap().vehicles.get(vehicle).and_then(|all| all.last().cloned())
    }

    /// Number of acknowledged reports.
    pub(crate) fn acknowledged(&self) -> usize {
        self.book.lock().unwrap().vehicles.values().map(Vec::len).sum()
    }

    /// Number of acknowledged reports of each vehicle.
    pub(crate) fn by_vehicle(&self) -> BTreeMap<String, usize> {
        let book = self.book.lock().unwrap();
        book.vehicles.iter().map(|(vehicle, all)| (vehicle.clone(), all.len())).collect()
    }

    /// Acknowledged reports that came through this node.
    pub(crate) fn through(&self, node: usize) -> Vec<(String, u64)> {
        let book = self.book.lock().unwrap();
        let all = book.vehicles.iter().flat_map(|(vehicle, all)| all.iter().map(move |one| (vehicle, one)));
        all.filter(|(_, one)| one.node == node).map(|(vehicle, one)| (vehicle.clone(), one.seq)).collect()
    }

    /// Returns what is shown although it is older than the newest that was acknowledged until then, outside of these shards.
    pub(crate) fn missing(
        &self,
        shown: &BTreeMap<String, u64>,
        until: Instant,
        without: &[u16],
    ) -> Vec<String> {
        let book = self.book.lock().unwrap();
        let mut missing = Vec::new();
        for (vehicle, all) in &book.vehicles {
            let before = all.partition_point(|one| one.at + AGE_EXACT_TO < until);
            let Some(newest) = before.checked_sub(1).map(|at| &all[at]) else { continue };
            let (seq, shard) = (shown.get(vehicle).copied(), shard_of(vehicle));
            if seq < Some(newest.seq) && !without.contains(&shard) {
                let Acknowledged { seq: expected, at, fate, by, .. } = newest;
                let at_s = (*at - self.began).as_secs_f64();
                missing.push(format!(
                    "{vehicle} of shard {shard}: {expected} was answered {fate} by {by} at {at_s:.3} s, {seq:?} is shown"
                ));
            }
        }
        missing
    }

    /// Panics with all that was wrong.
    pub(crate) fn assert_faultless(&self) {
        let book = self.book.lock().unwrap();
        eprintln!("answers: {:?}", book.counts);
        assert!(book.faults.is_empty(), "{} faults:\n{}", book.faults_count, book.faults.join("\n"));
    }
}

#[test]
fn a_ledger_names_what_is_shown_older_than_it_was_acknowledged() {
    let ledger = Ledger::new();
    for (vehicle, seq, fate) in
        [("a", 1, Fate::Stored), ("a", 2, Fate::Duplicate), ("b", 7, Fate::Failed), ("c", 3, Fate::Stored)]
    {
        ledger.note(vehicle, seq, fate, ("a door", 0));
    }
    let later = Instant::now() + Duration::from_secs(1);
    let shown =
        |seqs: &[(&str, u64)]| seqs.iter().map(|(vehicle, seq)| ((*vehicle).to_owned(), *seq)).collect();
    let missing =
        |seqs: &[(&str, u64)], until, without: &[u16]| ledger.missing(&shown(seqs), until, without).len();
    assert_eq!(missing(&[("a", 2), ("c", 4)], later, &[]), 0);
    assert_eq!(missing(&[("a", 1), ("c", 3)], later, &[]), 1);
    assert_eq!(missing(&[], later, &[]), 2);
    // Of what is younger than the answer, and of shards that it lacks, nothing can be said.
    assert_eq!(missing(&[], ledger.began, &[]), 0);
    assert_eq!(missing(&[("a", 1), ("c", 3)], later, &[shard_of("a")]), 0);
}

#[test]
fn a_ledger_takes_a_second_store_for_a_fault() {
    let ledger = Ledger::new();
    ledger.note("a", 1, Fate::Stored, ("a door", 0));
    ledger.note_again("a", 1, Fate::Duplicate, "a door");
    ledger.assert_faultless();
    ledger.note_again("a", 1, Fate::Stored, "a door");
    assert_eq!(ledger.book.lock().unwrap().faults.len(), 1);
}
