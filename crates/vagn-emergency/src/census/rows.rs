//! The census of one partition: which of its vehicles have been there for long, learned by walking through its rows.
//!
//! Nothing is noted when a report comes in. Instead each row is looked at once a round, and a vehicle that was heard since the
//! round before gets one more. So acquaintance costs as many reports as rounds, however many come at once, and the way of a
//! report costs nothing more than before. Alarms do not count.
//!
//! Two bytes for each row of the fleet: how many rounds, and a mark of the vehicle, since its row goes to another vehicle when it
//! is forgotten.

use vagn_store::{Found, Key};

use super::vehicle_hash::ROUND_BITS;

/// Rounds in which a vehicle must be heard.
pub(super) const ROUNDS: u32 = 10;

/// Rows that are looked at together.
pub(super) const CHUNK: u32 = 1_024;

const _: () = assert!(ROUNDS < 1 << ROUND_BITS, "the rounds fit into an entry");

/// Marks of vehicles: as many as fit beside the rounds, without zero.
const MARKS: u64 = (1 << (u16::BITS - ROUND_BITS)) - 1;

/// Acquaintance with the vehicles of one partition.
#[derive(Debug)]
pub(super) struct Census {
    seed: u64,
    chunks: Vec<Chunk>,
    /// It is not what was last taken for its file.
    is_changed: bool,
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

    /// Returns the row it is in.
    pub(super) fn row(&self) -> u32 {
        self.row
    }

    /// Returns true when its last report came after this receive number, and was no alarm.
    pub(super) fn is_heard_since(&self, latest: u64) -> bool {
        self.receive_seq > latest && !self.is_alarm
    }
}

impl Acquaintance {
    /// The row had no vehicle at the last look, or nobody has looked: no mark is zero.
    const VACANT: Self = Self(0);

    fn new(mark: u16, rounds: u32) -> Self {
        Self(mark << ROUND_BITS | rounds.min(ROUNDS) as u16)
    }

    /// Returns the rounds of the vehicle with this mark; none when another one is there.
    fn rounds(self, mark: u16) -> u32 {
        if self.0 >> ROUND_BITS == mark { u32::from(self.0) & ((1 << ROUND_BITS) - 1) } else { 0 }
    }
}

impl Census {
    /// Returns the census of a partition in which nobody has a round yet. The marks are random by `seed`.
    pub(super) fn new(seed: u64) -> Self {
        Self { seed, chunks: Vec::new(), is_changed: false }
    }

    /// Returns true when the vehicle in `row` has been known for long.
    pub(super) fn is_known(&self, row: u32, key: Key<'_>) -> bool {
        self.entry(row).rounds(mark(self.seed, key)) >= ROUNDS
    }

    /// Returns the rounds of a vehicle that was found.
    pub(super) fn rounds(&self, seen: &Seen) -> u32 {
        self.entry(seen.row).rounds(seen.mark)
    }

    /// Gives vehicles in the chunk of `row`, the first of it, the rounds that they begin with; all its other rows have none.
    pub(super) fn begin(&mut self, row: u32, found: impl Iterator<Item = (Seen, u32)>) {
        let chunk = self.chunk(row);
        for (seen, rounds) in found {
            chunk.latest = chunk.latest.max(seen.receive_seq);
            chunk.entries[(seen.row % CHUNK) as usize] = Acquaintance::new(seen.mark, rounds);
        }
    }

    /// Notes the vehicles that a round found in the chunk of `row`, the first of it; all its other rows have none.
    pub(super) fn note(&mut self, row: u32, found: &[Seen]) {
        let chunk = self.chunk(row);
        let before = std::mem::replace(&mut chunk.entries, [Acquaintance::VACANT; CHUNK as usize]);
        let latest = chunk.latest;
        for seen in found {
            let at = (seen.row % CHUNK) as usize;
            chunk.latest = chunk.latest.max(seen.receive_seq);
            let rounds = before[at].rounds(seen.mark) + u32::from(seen.is_heard_since(latest));
            chunk.entries[at] = Acquaintance::new(seen.mark, rounds);
        }
        let is_changed = chunk.entries != before;
        self.is_changed |= is_changed;
    }

    /// Returns the latest receive number that was counted.
    pub(super) fn latest(&self) -> u64 {
        self.chunks.iter().map(|chunk| chunk.latest).max().unwrap_or(0)
    }

    /// Returns true when something has changed since this was last asked.
    pub(super) fn take_changed(&mut self) -> bool {
        std::mem::take(&mut self.is_changed)
    }

    fn chunk(&mut self, row: u32) -> &mut Chunk {
        let number = (row / CHUNK) as usize;
        while self.chunks.len() <= number {
            self.chunks.push(Chunk { latest: 0, entries: [Acquaintance::VACANT; CHUNK as usize] });
        }
        &mut self.chunks[number]
    }

    fn entry(&self, row: u32) -> Acquaintance {
        let chunk = self.chunks.get((row / CHUNK) as usize);
        chunk.map_or(Acquaintance::VACANT, |chunk| chunk.entries[(row % CHUNK) as usize])
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

    fn seen(census: &Census, (row, id, receive_seq, is_alarm): Row) -> Seen {
        Seen { row, mark: mark(census.seed, Key::Text(id)), receive_seq, is_alarm }
    }

    fn look(census: &mut Census, rows: &[Row]) {
        let seen: Vec<_> = rows.iter().map(|row| seen(census, *row)).collect();
        census.note(0, &seen);
    }

    fn is_known(census: &Census, row: u32, id: &'static str) -> bool {
        census.is_known(row, Key::Text(id))
    }

    #[test]
    fn a_vehicle_goes_on_from_the_rounds_it_begins_with() {
        let mut census = Census::new(7);
        let [bus, taxi] = [(1, "bus", 5, false), (2, "taxi", 6, false)].map(|row| seen(&census, row));
        census.begin(0, [(bus, ROUNDS), (taxi, ROUNDS - 1)].into_iter());
        assert_eq!(["bus", "taxi"].map(|id| is_known(&census, 1, id)), [true, false]);
        assert_eq!((census.rounds(&taxi), census.latest()), (ROUNDS - 1, 6));
        look(&mut census, &[(0, "new", 7, false), (1, "bus", 5, false), (2, "taxi", 6, false)]);
        assert!(is_known(&census, 1, "bus") && !is_known(&census, 2, "taxi"), "none was heard since");
        look(&mut census, &[(0, "new", 7, false), (1, "bus", 5, false), (2, "taxi", 8, false)]);
        assert!(is_known(&census, 1, "bus") && is_known(&census, 2, "taxi"));
    }

    #[test]
    fn what_changes_nothing_is_no_change() {
        let mut census = Census::new(7);
        let bus = seen(&census, (1, "bus", 5, false));
        census.begin(0, [(bus, ROUNDS)].into_iter());
        assert!(!census.take_changed(), "it is what was read");
        look(&mut census, &[(1, "bus", 9, false)]);
        assert!(!census.take_changed(), "it is known already");
        look(&mut census, &[(1, "bus", 9, false), (2, "new", 10, false)]);
        assert!(census.take_changed() && !census.take_changed());
        look(&mut census, &[(1, "bus", 9, false)]);
        assert!(census.take_changed(), "one was forgotten");
    }

    #[test]
    fn acquaintance_takes_a_report_in_each_of_several_rounds() {
        let mut census = Census::new(7);
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
        let mut census = Census::new(7);
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
