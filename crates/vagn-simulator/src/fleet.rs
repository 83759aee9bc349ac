//! Fleet: a small content of a shard, which remembers all that it was ever given, so that what is missing or doubled shows.

use std::collections::{BTreeMap, BTreeSet};

use vagn_cluster::{Change, Damaged, Place, ShardId, ShardState, fold, hash, mix};
use vagn_wire::Fate;

use crate::bytes::{Reader, put};

/// What a new data set begins with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Begin {
    /// Longest silence of a vehicle that is shown, ms.
    pub(crate) keep_ms: u64,
    /// Bytes that each vehicle adds to a snapshot, so that a copy takes its time.
    pub(crate) ballast: u64,
}

impl Begin {
    pub(crate) fn to_bytes(self) -> Vec<u8> {
        [self.keep_ms.to_le_bytes(), self.ballast.to_le_bytes()].concat()
    }
}

/// Name of a report: its number at the vehicle, and that of the try.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Attempt {
    /// Number of the report at its vehicle: the same each time the sender tries it.
    pub(crate) seq: u64,
    /// Number of the try, which no other try has.
    pub(crate) number: u64,
}

impl Attempt {
    /// Writes the fields of a report, filled up to `length`.
    pub(crate) fn to_fields(self, length: usize) -> Vec<u8> {
        let mut fields = [self.seq.to_le_bytes(), self.number.to_le_bytes()].concat();
        fields.resize(length.max(fields.len()), 0);
        fields
    }

    fn of_fields(fields: &[u8]) -> Option<Self> {
        let mut reader = Reader::new(fields);
        Some(Self { seq: reader.word()?, number: reader.word()? })
    }
}

/// Content of a shard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fleet {
    begin: Begin,
    time_ms: i64,
    last_order: u64,
    settings: u64,
    /// Promises of the core that were broken: order numbers that fell, arrivals far from the shard's time, tries that came twice.
    broken: u64,
    /// Reports whose arrival lies further behind the last tick than a tick takes: their shard had stood still.
    late_ticks: u64,
    hash: u64,
    rows: BTreeMap<Vec<u8>, Row>,
}

/// A vehicle, and all its reports.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Row {
    pub(crate) last_seq: u64,
    pub(crate) arrival_ms: i64,
    /// It is shown: neither deleted nor forgotten since its last report.
    pub(crate) shown: bool,
    pub(crate) deletions: u64,
    pub(crate) forgotten: u64,
    /// Reports by number; tries by number. `digest` is a sum over both.
    pub(crate) seen: BTreeSet<u64>,
    tries: BTreeSet<u64>,
    digest: u64,
}

impl Row {
    fn hash(&self, vehicle_id: &[u8]) -> u64 {
        let words = [
            self.last_seq,
            self.arrival_ms as u64,
            u64::from(self.shown),
            self.deletions,
            self.forgotten,
            self.digest,
        ];
        words.into_iter().fold(hash(&[vehicle_id]), fold)
    }

    fn take(&mut self, place: Place, attempt: Attempt) -> (Fate, bool) {
        let new_try = self.tries.insert(attempt.number);
        self.digest = self.digest.wrapping_add(mix(attempt.number).wrapping_add(mix(place.order)));
        if !self.seen.insert(attempt.seq) {
            return (Fate::Duplicate, new_try);
        }
        self.digest = self.digest.wrapping_add(fold(place.order, attempt.seq));
        if attempt.seq < self.last_seq {
            return (Fate::Stale, new_try);
        }
        self.last_seq = attempt.seq;
        self.arrival_ms = place.arrival_ms;
        self.shown = true;
        (Fate::Stored, new_try)
    }
}

impl Fleet {
    pub(crate) fn row(&self, vehicle_id: &[u8]) -> Option<&Row> {
        self.rows.get(vehicle_id)
    }

    /// Returns how many reports came behind a standstill of the shard, before its next tick.
    pub(crate) fn late_ticks(&self) -> u64 {
        self.late_ticks
    }

    /// Returns how often a promise of the core was broken.
    pub(crate) fn broken(&self) -> u64 {
        self.broken
    }

    pub(crate) fn settings(&self) -> u64 {
        self.settings
    }

    pub(crate) fn forgotten(&self) -> u64 {
        self.rows.values().map(|row| row.forgotten).sum()
    }

    fn change(&mut self, vehicle_id: &[u8], change: impl FnOnce(&mut Row) -> Fate) -> Fate {
        let row = self.rows.entry(vehicle_id.to_vec()).or_default();
        let before = if *row == Row::default() { 0 } else { row.hash(vehicle_id) };
        let fate = change(row);
        self.hash = self.hash.wrapping_sub(before).wrapping_add(row.hash(vehicle_id));
        fate
    }
}

impl ShardState for Fleet {
    fn begin(_: ShardId, settings: &[u8]) -> Self {
        let mut reader = Reader::new(settings);
        let (keep_ms, ballast) = (reader.word().unwrap_or(u64::MAX / 4), reader.word().unwrap_or(0));
        let begin = Begin { keep_ms, ballast };
        Self {
            begin,
            time_ms: 0,
            last_order: 0,
            settings: 0,
            broken: 0,
            late_ticks: 0,
            hash: 0,
            rows: BTreeMap::new(),
        }
    }

    fn apply(&mut self, place: Place, change: Change<'_>) -> Fate {
        // A door may be late by its clock and ahead of the last tick, but is never taken for later than it says.
        let behind_ms = place.arrival_ms - place.time_ms;
        let near = match change {
            Change::Report { arrival_ms, .. } => {
                (-1_000..=1_000.max(arrival_ms - place.time_ms)).contains(&behind_ms)
            }
            _ => behind_ms == 0,
        };
        self.broken += u64::from(place.order <= self.last_order) + u64::from(!near);
        self.late_ticks += u64::from(behind_ms > 1_000);
        self.last_order = place.order;
        match change {
            Change::Report { vehicle_id, fields, .. } => {
                let Some(attempt) = Attempt::of_fields(fields) else { return Fate::Invalid };
                let mut new_try = true;
                let fate = self.change(vehicle_id, |row| {
                    let (fate, new) = row.take(place, attempt);
                    new_try = new;
                    fate
                });
                self.broken += u64::from(!new_try);
                fate
            }
            Change::Deletion { vehicle_id } => self.change(vehicle_id, |row| {
                row.deletions += 1;
                row.shown = false;
                Fate::Stored
            }),
            Change::Setting { value } => {
                let Some(keep_ms) = Reader::new(value).word() else { return Fate::Invalid };
                self.begin.keep_ms = keep_ms;
                self.settings += 1;
                Fate::Stored
            }
        }
    }

    fn tick(&mut self, time_ms: i64) {
        self.broken += u64::from(time_ms < self.time_ms);
        self.time_ms = time_ms;
        let oldest = time_ms.saturating_sub_unsigned(self.begin.keep_ms);
        let mut hash = self.hash;
        for (vehicle_id, row) in self.rows.iter_mut().filter(|(_, row)| row.shown && row.arrival_ms < oldest)
        {
            hash = hash.wrapping_sub(row.hash(vehicle_id));
            row.shown = false;
            row.forgotten += 1;
            hash = hash.wrapping_add(row.hash(vehicle_id));
        }
        self.hash = hash;
    }

    fn content_hash(&self) -> u64 {
        fold(self.hash, fold(self.begin.keep_ms, self.settings))
    }

    fn write_snapshot(&self, out: &mut Vec<u8>) {
        let Begin { keep_ms, ballast } = self.begin;
        let head = [
            keep_ms,
            ballast,
            self.time_ms as u64,
            self.last_order,
            self.settings,
            self.broken,
            self.late_ticks,
        ];
        put(out, &head);
        put(out, &[self.rows.len() as u64]);
        for (vehicle_id, row) in &self.rows {
            put(out, &[vehicle_id.len() as u64]);
            out.extend_from_slice(vehicle_id);
            let shown = u64::from(row.shown);
            put(out, &[row.last_seq, row.arrival_ms as u64, shown, row.deletions, row.forgotten, row.digest]);
            for set in [&row.seen, &row.tries] {
                put(out, &[set.len() as u64]);
                set.iter().for_each(|word| put(out, &[*word]));
            }
            out.resize(out.len() + ballast as usize, 0x5a);
        }
    }

    fn read_snapshot(_: ShardId, bytes: &[u8]) -> Result<Self, Damaged> {
        read(bytes).ok_or(Damaged)
    }

    /// Answers with the number of rows and, for each vehicle, its id and last number. The question does not matter.
    fn answer(&self, _: &[u8], out: &mut Vec<u8>) {
        put(out, &[self.rows.len() as u64]);
        for (vehicle_id, row) in &self.rows {
            put(out, &[vehicle_id.len() as u64]);
            out.extend_from_slice(vehicle_id);
            put(out, &[row.last_seq]);
        }
    }
}

/// Reads an answer: the last number of each vehicle.
pub(crate) fn read_answer(bytes: &[u8]) -> Option<BTreeMap<Vec<u8>, u64>> {
    let mut reader = Reader::new(bytes);
    let count = reader.word()?;
    let mut last = BTreeMap::new();
    for _ in 0..count {
        let length = reader.word()?;
        let vehicle_id = reader.bytes(length)?.to_vec();
        last.insert(vehicle_id, reader.word()?);
    }
    reader.is_empty().then_some(last)
}

fn read(bytes: &[u8]) -> Option<Fleet> {
    let mut reader = Reader::new(bytes);
    let begin = Begin { keep_ms: reader.word()?, ballast: reader.word()? };
    let mut fleet = Fleet {
        begin,
        time_ms: reader.word()? as i64,
        last_order: reader.word()?,
        settings: reader.word()?,
        broken: reader.word()?,
        late_ticks: reader.word()?,
        hash: 0,
        rows: BTreeMap::new(),
    };
    for _ in 0..reader.word()? {
        let length = reader.word()?;
        let vehicle_id = reader.bytes(length)?.to_vec();
        let row = read_row(&mut reader)?;
        reader.bytes(begin.ballast)?;
        fleet.hash = fleet.hash.wrapping_add(row.hash(&vehicle_id));
        fleet.rows.insert(vehicle_id, row);
    }
    reader.is_empty().then_some(fleet)
}

fn read_row(reader: &mut Reader<'_>) -> Option<Row> {
    let mut row = Row {
        last_seq: reader.word()?,
        arrival_ms: reader.word()? as i64,
        shown: reader.word()? == 1,
        deletions: reader.word()?,
        forgotten: reader.word()?,
        digest: reader.word()?,
        ..Row::default()
    };
    for set in [&mut row.seen, &mut row.tries] {
        for _ in 0..reader.word()? {
            set.insert(reader.word()?);
        }
    }
    Some(row)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHARD: ShardId = ShardId(0);

    fn begun() -> Fleet {
        Fleet::begin(SHARD, &Begin { keep_ms: 10_000, ballast: 7 }.to_bytes())
    }

    fn report(fleet: &mut Fleet, order: u64, seq: u64, number: u64) -> Fate {
        let place = Place { order, time_ms: fleet.time_ms, arrival_ms: fleet.time_ms };
        let fields = Attempt { seq, number }.to_fields(0);
        fleet.apply(place, Change::Report { vehicle_id: b"v1", arrival_ms: 0, fields: &fields })
    }

    #[test]
    fn tells_new_late_and_repeated_reports_apart() {
        let mut fleet = begun();
        let fates = [(1, 5, 1), (2, 3, 2), (3, 5, 3)].map(|(o, s, n)| report(&mut fleet, o, s, n));
        assert_eq!(fates, [Fate::Stored, Fate::Stale, Fate::Duplicate]);
        assert_eq!(fleet.broken(), 0);
    }

    #[test]
    fn a_try_that_comes_twice_and_an_order_that_falls_are_broken_promises() {
        let mut fleet = begun();
        report(&mut fleet, 5, 1, 1);
        report(&mut fleet, 6, 1, 1);
        assert_eq!(fleet.broken(), 1);
        report(&mut fleet, 6, 2, 2);
        assert_eq!(fleet.broken(), 2);
    }

    #[test]
    fn an_arrival_later_than_the_door_says_is_a_broken_promise() {
        let mut fleet = begun();
        for (order, counts, door_ms, broken) in
            [(1, 9_000, 9_000, 0), (2, 1_000, -500, 0), (3, 9_001, 9_000, 1), (4, -1_001, -9_000, 2)]
        {
            let place = Place { order, time_ms: 0, arrival_ms: counts };
            let fields = Attempt { seq: order, number: order }.to_fields(0);
            fleet.apply(place, Change::Report { vehicle_id: b"v1", arrival_ms: door_ms, fields: &fields });
            assert_eq!(fleet.broken(), broken, "{counts} {door_ms}");
        }
        assert_eq!(fleet.late_ticks(), 2);
    }

    #[test]
    fn forgets_by_ticks_alone_and_remembers_that_it_did() {
        let mut fleet = begun();
        report(&mut fleet, 1, 1, 1);
        fleet.tick(10_000);
        assert!(fleet.row(b"v1").is_some_and(|row| row.shown));
        fleet.tick(10_001);
        assert!(fleet.row(b"v1").is_some_and(|row| !row.shown && row.forgotten == 1));
    }

    #[test]
    fn a_snapshot_gives_back_all_and_no_part_of_one_passes() {
        let mut fleet = begun();
        for number in 1..9 {
            report(&mut fleet, number, number / 2, number);
        }
        fleet.tick(20_000);
        let mut bytes = Vec::new();
        fleet.write_snapshot(&mut bytes);
        let again = Fleet::read_snapshot(SHARD, &bytes).unwrap();
        assert_eq!(again, fleet);
        assert_eq!(again.content_hash(), fleet.content_hash());
        assert!((0..bytes.len()).all(|cut| Fleet::read_snapshot(SHARD, &bytes[..cut]).is_err()));
    }

    #[test]
    fn the_hash_does_not_depend_on_where_changes_were_kept_but_on_what_they_were() {
        let (mut a, mut b) = (begun(), begun());
        report(&mut a, 1, 1, 1);
        report(&mut b, 1, 1, 2);
        assert_ne!(a.content_hash(), b.content_hash());
        let mut bytes = Vec::new();
        a.answer(&[], &mut bytes);
        assert_eq!(read_answer(&bytes).unwrap()[b"v1".as_slice()], 1);
    }
}
