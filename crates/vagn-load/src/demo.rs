//! A fleet to look at: recorded buses that report once a second, without end.
//!
//! Between two recorded positions a bus drives straight, at the speed that takes it there in the recorded time. So that
//! there is always something to see, standing (under 20 m between two positions) is cut down to three seconds. At the end
//! of its track a bus drives the same way back, so that nothing ever jumps. The place of a bus follows from the time alone: a
//! restarted demo continues where the old one would be by now.
//!
//! Positions of (0, 0), which trackers send when they have none, are left out, and so are buses that do not move. Every two
//! minutes one bus raises an alarm for ten seconds, marked as a drill.

use std::{collections::BTreeMap, time::Duration};

use vagn_wire::{Kind, Position, Report, VehicleId};

use crate::{
    sphere::{distance_m, heading_deg},
    trace::{Trace, TraceError},
};

/// A bus whose next recorded position is nearer than this stands: two GPS fixes at one place are this far apart.
const STANDS_BELOW_M: f64 = 20.0;

/// Longest time that a bus is shown standing.
const STANDS_AT_MOST: Duration = Duration::from_secs(3);

/// No bus is shown faster than this; a leg that was recorded faster takes longer instead.
const FASTEST_MPS: f64 = 35.0;

/// Shortest track of a bus that is shown.
const SHORTEST_TRACK_M: f64 = 500.0;

/// Time from one alarm to the next.
const ALARM_EVERY_MS: i64 = 120_000;

/// Length of an alarm.
const ALARM_FOR_MS: i64 = 10_000;

/// Recorded vehicles on an endless drive.
pub struct Demo {
    drives: Vec<Drive>,
}

/// Way of one vehicle, there and back.
struct Drive {
    vehicle_id: String,
    stops: Vec<Stop>,
    length_ms: i64,
}

/// A recorded position, and the time at which it is passed on the way there.
#[derive(Clone, Copy)]
struct Stop {
    at_ms: i64,
    place: (f64, f64),
}

/// Place and movement of a vehicle at one moment.
struct Sight {
    place: (f64, f64),
    speed_mps: f64,
    heading_deg: f64,
}

impl Demo {
    /// Reads a trace in plain CSV.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn new(csv: &'static [u8]) -> Result<Self, TraceError> {
        let mut tracks = BTreeMap::<String, Vec<(i64, (f64, f64))>>::new();
        let mut trace = Trace::new(csv)?;
        while let Some(row) = trace.next_row()? {
            let (Some(time_ms), Ok(position)) = (row.event_time_ms, row.position) else { continue };
            let place = (position.lat(), position.lon());
            if place != (0.0, 0.0) {
                tracks.entry(row.vehicle_id.to_string()).or_default().push((time_ms, place));
            }
        }
        let drives = tracks.into_iter().filter_map(|(vehicle_id, track)| Drive::new(vehicle_id, &track));
        Ok(Self { drives: drives.collect() })
    }

    /// Number of vehicles that drive.
    pub fn vehicles(&self) -> usize {
        self.drives.len()
    }

    /// Emits one report of each vehicle as of `now_ms`, in ms since 1970. Call it once a second.
    pub fn tick(&mut self, now_ms: i64, emit: &mut impl FnMut(&Report<'_>)) {
        let alarmed = self.alarmed(now_ms);
        for (index, drive) in self.drives.iter().enumerate() {
            if let Some(report) = drive.report(now_ms, alarmed == Some(index)) {
                emit(&report);
            }
        }
    }

    /// Index of the vehicle that raises an alarm at this time.
    fn alarmed(&self, now_ms: i64) -> Option<usize> {
        let is_time = now_ms.rem_euclid(ALARM_EVERY_MS) < ALARM_FOR_MS;
        let turn = now_ms.div_euclid(ALARM_EVERY_MS) as u64;
        // Not one after another in the list, whose neighbours have similar ids: 101 is a stride that reaches every vehicle.
        (is_time && !self.drives.is_empty())
            .then(|| (turn.wrapping_mul(101) % self.drives.len() as u64) as usize)
    }
}

impl Drive {
    /// Lays out the way; `None` when the track is too short.
    fn new(vehicle_id: String, track: &[(i64, (f64, f64))]) -> Option<Self> {
        let mut stops = vec![Stop { at_ms: 0, place: track.first()?.1 }];
        let mut way_m = 0.0;
        for pair in track.windows(2) {
            let leg_m = distance_m(pair[0].1, pair[1].1);
            let at_ms = stops[stops.len() - 1].at_ms + leg_ms(pair[1].0 - pair[0].0, leg_m);
            stops.push(Stop { at_ms, place: pair[1].1 });
            way_m += leg_m;
        }
        let length_ms = stops[stops.len() - 1].at_ms;
        (way_m >= SHORTEST_TRACK_M).then_some(Self { vehicle_id, stops, length_ms })
    }

    fn report(&self, now_ms: i64, is_alarm: bool) -> Option<Report<'_>> {
        let sight = self.sight(now_ms);
        let position = Position::new(sight.place.0, sight.place.1).ok()?;
        Some(Report {
            emergency: is_alarm,
            kind: is_alarm.then_some(Kind::Test),
            event_time_ms: Some(now_ms),
            speed_mps: Some(sight.speed_mps as f32),
            heading_deg: Some(sight.heading_deg as f32 % 360.0),
            ..Report::new(VehicleId::new(&self.vehicle_id).ok()?, position)
        })
    }

    fn sight(&self, now_ms: i64) -> Sight {
        let phase_ms = now_ms.rem_euclid(2 * self.length_ms);
        let back = phase_ms >= self.length_ms;
        let at_ms = if back { 2 * self.length_ms - phase_ms } else { phase_ms };
        let next = self.stops.partition_point(|stop| stop.at_ms <= at_ms).clamp(1, self.stops.len() - 1);
        let (from, to) = (self.stops[next - 1], self.stops[next]);
        let leg_ms = (to.at_ms - from.at_ms).max(1) as f64;
        let share = ((at_ms - from.at_ms) as f64 / leg_ms).clamp(0.0, 1.0);
        let (start, goal) = if back { (to.place, from.place) } else { (from.place, to.place) };
        Sight {
            place: between(from.place, to.place, share),
            speed_mps: distance_m(from.place, to.place) / (leg_ms / 1e3),
            heading_deg: heading_deg(start, goal),
        }
    }
}

/// Time that a leg is shown to take.
fn leg_ms(recorded_ms: i64, leg_m: f64) -> i64 {
    let fastest_ms = (leg_m / FASTEST_MPS * 1e3).ceil() as i64;
    let longest_ms = if leg_m < STANDS_BELOW_M { STANDS_AT_MOST.as_millis() as i64 } else { i64::MAX };
    recorded_ms.min(longest_ms).max(fastest_ms)
}

/// Gives a place on a straight line in degrees: over the few hundred metres of a leg it is the same as a great circle. A leg
/// over the antimeridian goes the short way.
fn between(from: (f64, f64), to: (f64, f64), share: f64) -> (f64, f64) {
    let turn = if to.1 - from.1 > 180.0 {
        -360.0
    } else if to.1 - from.1 < -180.0 {
        360.0
    } else {
        0.0
    };
    let lon = from.1 + (to.1 + turn - from.1) * share;
    let lon = if lon > 180.0 {
        lon - 360.0
    } else if lon < -180.0 {
        lon + 360.0
    } else {
        lon
    };
    (from.0 + (to.0 - from.0) * share, lon)
}

#[cfg(test)]
mod tests {
    use super::*;

    const AUSTIN: &[u8] = include_bytes!("../../../data/capmetro-austin-30min-small.csv");

    /// A Tuesday morning in 2026.
    const START_MS: i64 = 1_773_133_200_000;

    type Places = BTreeMap<String, (f64, f64)>;

    fn look(demo: &mut Demo, now_ms: i64) -> Places {
        let mut seen = Places::new();
        demo.tick(now_ms, &mut |report| {
            assert_eq!(report.event_time_ms, Some(now_ms));
            let position = report.position.unwrap();
            seen.insert(report.vehicle_id.to_string(), (position.lat(), position.lon()));
        });
        seen
    }

    fn nearest(seen: &Places) -> Vec<(&String, (f64, f64))> {
        let mut all: Vec<_> = seen.iter().map(|(id, &place)| (id, place)).collect();
        all.sort_by(|a, b| distance_m(a.1, (30.27, -97.74)).total_cmp(&distance_m(b.1, (30.27, -97.74))));
        all.truncate(10);
        all
    }

    #[test]
    fn nothing_jumps_over_several_loops() {
        let mut demo = Demo::new(AUSTIN).unwrap();
        let mut before = look(&mut demo, START_MS);
        assert!(before.len() > 290, "{} buses", before.len());
        for second in 1..=4 * 3600 {
            let now = look(&mut demo, START_MS + second * 1000);
            for (id, &place) in &now {
                let step_m = distance_m(before[id], place);
                assert!(step_m <= FASTEST_MPS * 1.01, "{id} went {step_m} m in second {second}");
            }
            before = now;
        }
    }

    #[test]
    fn most_of_the_nearest_ten_move_within_five_seconds() {
        let mut demo = Demo::new(AUSTIN).unwrap();
        for start in (0..3600).step_by(7) {
            let earlier = look(&mut demo, START_MS + start * 1000);
            let later = look(&mut demo, START_MS + start * 1000 + 5000);
            let moved = nearest(&later).iter().filter(|(id, place)| earlier[*id] != *place).count();
            assert!(moved >= 7, "only {moved} of 10 moved at second {start}");
        }
    }

    #[test]
    fn no_bus_drives_off_the_coast_of_africa() {
        let mut demo = Demo::new(AUSTIN).unwrap();
        for minute in 0..60 {
            for (lat, lon) in look(&mut demo, START_MS + minute * 60_000).into_values() {
                assert!((30.0..31.0).contains(&lat) && (-98.0..-97.0).contains(&lon), "{lat} {lon}");
            }
        }
    }

    #[test]
    fn one_bus_at_a_time_raises_an_alarm_and_only_as_a_drill() {
        let mut demo = Demo::new(AUSTIN).unwrap();
        let mut alarms = BTreeMap::<String, u32>::new();
        for second in 0..600 {
            demo.tick(START_MS + second * 1000, &mut |report| {
                assert_eq!(report.kind, report.emergency.then_some(Kind::Test));
                if report.emergency {
                    *alarms.entry(report.vehicle_id.to_string()).or_default() += 1;
                }
            });
        }
        assert_eq!(alarms.len(), 5);
        assert!(alarms.values().all(|&seconds| seconds == 10), "{alarms:?}");
    }

    #[test]
    fn goes_back_the_way_it_came() {
        let track = [(0, (30.0, -97.0)), (100_000, (30.0, -96.98))];
        let drive = Drive::new("bus".into(), &track).unwrap();
        let (there, back) = (drive.sight(25_000), drive.sight(175_000));
        assert_eq!(there.place, back.place);
        assert!((there.heading_deg - 90.0).abs() < 0.1 && (back.heading_deg - 270.0).abs() < 0.1);
        assert!((there.speed_mps - 19.26).abs() < 0.01, "{}", there.speed_mps);
    }
}
