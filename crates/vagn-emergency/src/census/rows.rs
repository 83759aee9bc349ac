//! The census: which vehicles of the fleet have been there for long, learned by walking through its rows.
//!
//! Nothing is noted when a report comes in. Instead each row is looked at once a round, and a vehicle that was heard since the
//! round before gets one more. So acquaintance costs as many reports as rounds, however many come at once, and the way of a
//! report costs nothing more than before. Alarms do not count.
//!
//! Two bytes for each row of the fleet: how many rounds, and a mark of the vehicle, since its row goes to another vehicle when it
//! is forgotten.

use vagn_store::{Found, Key};

/// Rounds in which a vehicle must be heard.
pub(super) const ROUNDS: u32 = 10;

/// Rows that are looked at together.
pub(super) const CHUNK: u32 = 1_024;

/// Bits for the rounds in an entry.
const ROUND_BITS: u32 = 4;

const _: () = assert!(ROUNDS < 1 << ROUND_BITS, "the rounds fit into an entry");

/// Marks of vehicles: as many as fit beside the rounds, without zero.
const MARKS: u64 = (1 << (u16::BITS - ROUND_BITS)) - 1;

/// Acquaintance with the vehicles of one partition.
#[derive(Debug)]
pub(super) struct Census {
    seed: u64,
    /// Rows that were there when the fleet was read from disk. Their vehicles are known, as long as no other has their row.
    first_rows: u32,
    chunks: Vec<Chunk>,
}

#[derive(Debug)]
struct Chunk {
    /// Latest receive number at the last look. Numbers rise whatever clocks do.
    latest: u64,
    entries: [Acquaintance; CHUNK as usize],
}

/// Acquaintance with the vehicle in one row: its rounds, and its mark.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Acquaintance(u16);

/// A vehicle as a look finds it in its row.
#[derive(Debug, Clone, Copy)]
pub(super) struct Seen {
    row: u32,
    mark: u16,
    receive_seq: u64,
    is_alarm: bool,
}

impl Seen {
    /// Keeps what the census with this seed needs of a vehicle.
    pub(super) fn new(seed: u64, found: &Found<'_>) -> Self {
        let Found { row, key, sighting } = found;
        let is_alarm = sighting.emergency;
        Self { row: *row, mark: mark(seed, *key), receive_seq: sighting.receive_seq, is_alarm }
    }
}

impl Acquaintance {
    /// Nobody has looked at the row.
    const UNSEEN: Self = Self(0);

    /// The row had no vehicle at the last look.
    const VACANT: Self = Self(1);

    fn new(mark: u16, rounds: u32) -> Self {
        Self(mark << ROUND_BITS | rounds.min(ROUNDS) as u16)
    }

    fn rounds(self, mark: u16) -> Option<u32> {
        (self.0 >> ROUND_BITS == mark).then_some(u32::from(self.0) & ((1 << ROUND_BITS) - 1))
    }
}

impl Census {
    /// Returns the census of a partition that had so many rows when it was read from disk. The marks are random by `seed`.
    pub(super) fn new(seed: u64, first_rows: u32) -> Self {
        Self { seed, first_rows, chunks: Vec::new() }
    }

    /// Returns true when the vehicle in `row` has been known for long.
    pub(super) fn is_known(&self, row: u32, key: Key<'_>) -> bool {
        match self.entry(row) {
            Acquaintance::UNSEEN => row < self.first_rows,
            entry => entry.rounds(mark(self.seed, key)).is_some_and(|rounds| rounds >= ROUNDS),
        }
    }

    /// Notes the vehicles that a round found in the chunk of `row`, the first of it; all its other rows have none.
    pub(super) fn note(&mut self, row: u32, found: &[Seen]) {
        let number = (row / CHUNK) as usize;
        while self.chunks.len() <= number {
            self.chunks.push(Chunk { latest: 0, entries: [Acquaintance::UNSEEN; CHUNK as usize] });
        }
        let first_rows = self.first_rows;
        let chunk = &mut self.chunks[number];
        let before = std::mem::replace(&mut chunk.entries, [Acquaintance::VACANT; CHUNK as usize]);
        let latest = chunk.latest;
        for seen in found {
            let at = (seen.row % CHUNK) as usize;
            chunk.latest = chunk.latest.max(seen.receive_seq);
            let rounds = match before[at] {
                Acquaintance::UNSEEN if seen.row < first_rows => ROUNDS,
                entry => {
                    let is_heard = seen.receive_seq > latest && !seen.is_alarm;
                    entry.rounds(seen.mark).unwrap_or(0) + u32::from(is_heard)
                }
            };
            chunk.entries[at] = Acquaintance::new(seen.mark, rounds);
        }
    }

    fn entry(&self, row: u32) -> Acquaintance {
        let chunk = self.chunks.get((row / CHUNK) as usize);
        chunk.map_or(Acquaintance::UNSEEN, |chunk| chunk.entries[(row % CHUNK) as usize])
    }
}

/// Returns the mark of a vehicle.
fn mark(seed: u64, key: Key<'_>) -> u16 {
    // The finish of MurmurHash3: every bit of the hash and of the seed decides.
    let mut mixed = key.hash() ^ seed;
    mixed = (mixed ^ mixed >> 33).wrapping_mul(0xff51_afd7_ed55_8ccd);
    mixed = (mixed ^ mixed >> 33).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    ((mixed ^ mixed >> 33) % MARKS + 1) as u16
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A vehicle in its row, by the number of its latest report.
    type Row = (u32, &'static str, u64, bool);

    fn look(census: &mut Census, rows: &[Row]) {
        let seen = rows.iter().map(|(row, id, receive_seq, is_alarm)| {
            let mark = mark(census.seed, Key::Text(id));
            Seen { row: *row, mark, receive_seq: *receive_seq, is_alarm: *is_alarm }
        });
        let seen: Vec<_> = seen.collect();
        census.note(0, &seen);
    }

    fn is_known(census: &Census, row: u32, id: &'static str) -> bool {
        census.is_known(row, Key::Text(id))
    }

    #[test]
    fn vehicles_that_were_there_at_the_start_are_known_before_any_look_and_after() {
        let mut census = Census::new(7, 2);
        assert_eq!([0, 1, 2].map(|row| is_known(&census, row, "bus")), [true, true, false]);
        look(&mut census, &[(1, "bus", 5, false), (2, "new", 6, false)]);
        assert!(is_known(&census, 1, "bus") && !is_known(&census, 2, "new"));
        look(&mut census, &[(0, "took the row of one that was forgotten", 9, false), (1, "bus", 5, false)]);
        assert!(!is_known(&census, 0, "took the row of one that was forgotten"));
        assert!(is_known(&census, 1, "bus"), "it need not report");
    }

    #[test]
    fn acquaintance_takes_a_report_in_each_of_several_rounds() {
        let mut census = Census::new(7, 0);
        for round in 1..=u64::from(ROUNDS) {
            assert!(!is_known(&census, 0, "steady"));
            look(&mut census, &[(0, "steady", round * 10, false), (1, "once", 1, false)]);
        }
        assert!(is_known(&census, 0, "steady") && !is_known(&census, 1, "once"));
        for round in 100..200 {
            look(&mut census, &[(1, "once", 1, false), (2, "calls", round * 10, true)]);
        }
        assert!(
            !is_known(&census, 1, "once") && !is_known(&census, 2, "calls"),
            "an alarm is no acquaintance"
        );
    }

    #[test]
    fn who_takes_the_row_of_another_begins_anew() {
        let mut census = Census::new(7, 0);
        for round in 1..=u64::from(ROUNDS) {
            look(&mut census, &[(0, "steady", round * 10, false)]);
        }
        look(&mut census, &[(0, "heir", 500, false)]);
        assert!(!is_known(&census, 0, "heir") && !is_known(&census, 0, "steady"));
    }

    #[test]
    fn marks_hardly_ever_collide_and_differ_with_the_seed() {
        let names: Vec<_> = (0..10_000).map(|number| format!("bus {number}")).collect();
        let marks = |seed| names.iter().map(|name| mark(seed, Key::Text(name))).collect::<Vec<_>>();
        let (one, other) = (marks(1), marks(2));
        assert!(one.iter().all(|mark| (1..=MARKS as u16).contains(mark)));
        let same = one.iter().zip(&other).filter(|(one, other)| one == other).count();
        assert!(same < 20, "{same} of 10 000");
    }
}
