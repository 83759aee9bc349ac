//! The recorded traces, judged by the store and by order alone, as it was before there was a rule: where the final states
//! differ, and why.

use std::collections::BTreeMap;

use vagn_load::trace::Trace;
use vagn_store::{Evidence, Fate, Index, Key, Plan, Sighting, Updates, VehicleIdBuf, Writer, event_time};
use vagn_wire::{Oddities, Report};

use crate::source::workspace;

const BATCH: usize = 4_096;

/// A vehicle, its place at the end, and the one that it would have by order alone.
type Difference<'a> = (&'a str, Option<(f64, f64)>, (f64, f64));

/// What became of a trace.
#[derive(Default)]
struct Replayed {
    rows: u64,
    /// Rows by fate.
    fates: BTreeMap<&'static str, u64>,
    /// Rows with an oddity, by word.
    odd: BTreeMap<&'static str, u64>,
    last: BTreeMap<VehicleIdBuf, Sighting>,
    last_by_order: BTreeMap<VehicleIdBuf, Sighting>,
}

fn sighting(report: &Report<'_>, arrived_ms: i64, receive_seq: u64) -> (Sighting, Oddities) {
    let time = event_time(report, arrived_ms);
    let sighting = Sighting {
        position: report.position.unwrap(),
        event_time_ms: time.time_ms,
        receive_time_ms: arrived_ms,
        receive_seq,
        seq: report.seq,
        speed_mps: report.speed_mps,
        heading_deg: report.heading_deg,
        emergency: false,
        own_time: time.own,
        unsure: time.unsure,
    };
    (sighting, report.odd.and(time.odd))
}

/// Takes a report by order alone: event time, then the order of arrival; the same time and place is a repeat.
fn take_by_order(last: &mut BTreeMap<VehicleIdBuf, Sighting>, id: VehicleIdBuf, new: Sighting) {
    let replaces = |kept: &Sighting| {
        let repeat = new.event_time_ms == kept.event_time_ms && new.position == kept.position;
        !repeat && new.order() > kept.order()
    };
    if last.get(&id).is_none_or(replaces) {
        last.insert(id, new);
    }
}

/// Replays a trace as if it came live, or today as the recording that it is.
fn replay(file: &str, live: bool) -> Replayed {
    const TODAY_MS: i64 = 1_795_860_000_000;
    let mut trace = Trace::open(&workspace().join("data").join(file)).unwrap();
    let mut replayed = Replayed::default();
    let (mut writer, mut plan, mut updates) =
        (Writer::new(Index::new(1_000_000)), Plan::default(), Updates::new());
    while let Some(report) = trace.next_row().unwrap() {
        replayed.rows += 1;
        let arrived_ms = if live { report.event_time_ms.unwrap() } else { TODAY_MS };
        let (new, odd) = sighting(&report, arrived_ms, replayed.rows);
        let key = Key::of(report.vehicle_id);
        updates.push_with(key, key.hash(), new, Evidence { seal: None, odd });
        take_by_order(&mut replayed.last_by_order, VehicleIdBuf::from(report.vehicle_id), new);
        if updates.len() == BATCH {
            replayed.write(&mut writer, &mut plan, &mut updates);
        }
    }
    replayed.write(&mut writer, &mut plan, &mut updates);
    let reader = writer.reader();
    let known = replayed.last_by_order.keys();
    replayed.last = known.filter_map(|id| Some((*id, reader.get(id.key())?.sighting))).collect();
    replayed
}

impl Replayed {
    fn write(&mut self, writer: &mut Writer, plan: &mut Plan, updates: &mut Updates) {
        writer.write(updates, plan);
        for fate in plan.fates() {
            *self.fates.entry(fate.as_str()).or_default() += 1;
        }
        for (_, odd) in plan.odd() {
            odd.iter().for_each(|oddity| *self.odd.entry(oddity.as_str()).or_default() += 1);
        }
        updates.clear();
    }

    /// Returns the vehicles whose final state is another one, with what they have now and had by order alone.
    fn differences(&self) -> Vec<Difference<'_>> {
        let place = |sighting: &Sighting| (sighting.position.lat(), sighting.position.lon());
        self.last_by_order
            .iter()
            .filter(|(id, by_order)| self.last.get(*id) != Some(*by_order))
            .map(|(id, by_order)| (id.as_str(), self.last.get(id).map(place), place(by_order)))
            .collect()
    }

    fn fate(&self, fate: Fate) -> u64 {
        self.fates.get(fate.as_str()).copied().unwrap_or_default()
    }
}

/// Rows that are refused since they have no fix, and the vehicles that end elsewhere for it.
fn check(file: &str, rows: u64, duplicates: u64, no_fix: u64, differences: &[Difference<'_>]) {
    for live in [true, false] {
        let replayed = replay(file, live);
        assert_eq!(replayed.differences(), differences, "{file}, live {live}");
        let fates = [Fate::Stored, Fate::Duplicate, Fate::Invalid].map(|fate| replayed.fate(fate));
        assert_eq!(fates, [rows - duplicates - no_fix, duplicates, no_fix], "{file}, live {live}");
        let odd: Vec<_> = replayed.odd.into_iter().collect();
        let wanted = if no_fix > 0 { vec![("no_fix", no_fix)] } else { Vec::new() };
        assert_eq!(odd, wanted, "{file}, live {live}");
    }
}

#[test]
fn recorded_fleets_end_as_by_order_alone_but_for_positions_without_fix() {
    // One bus ends where it last had a fix, and one that never had any is not known.
    let without_fix = [("5020", Some((30.39054, -97.7265)), (0.0, 0.0)), ("9302", None, (0.0, 0.0))];
    check("capmetro-austin-30min-small.csv", 5_241, 0, 3, &without_fix);
    // The 27 rows at (0, 0) are each followed by one with a fix.
    check("capmetro-austin-3weekdays.csv.zst", 125_957, 1, 27, &[]);
    check("ais-us-2022-01-03-sample.csv.zst", 99_999, 0, 0, &[]);
    // Of 1957 and later: real old times count as they are.
    check("hurdat2-antimeridian-storms.csv", 1_159, 0, 0, &[]);
}
