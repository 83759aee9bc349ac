//! What is known of a vehicle apart from its alarm: its last position, and whether it reported before.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use vagn_store::{Fleet, Growth, Key};
use vagn_wire::VehicleId;

use crate::fix::Fix;
use crate::record::standing::Standing;

/// Longest wait for the fleet to say how far it has grown. Its writers let readers in after some 50 µs.
const MARK_WITHIN: Duration = Duration::from_millis(5);

/// What is known of a vehicle.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct KnownVehicle {
    /// Standing of the vehicle.
    pub standing: Standing,
    /// Last position of the vehicle, if it has one.
    pub last_fix: Option<Fix>,
}

impl KnownVehicle {
    /// The vehicle could not be looked up in time; it may be looked up again.
    pub const UNDECIDED: Self = Self { standing: Standing::Undecided, last_fix: None };

    /// The vehicle has never reported.
    pub const STRANGER: Self = Self { standing: Standing::Stranger, last_fix: None };

    /// A vehicle that reported before its alarm, last from this position.
    pub fn known(last_fix: Fix) -> Self {
        Self { standing: Standing::Known, last_fix: Some(last_fix) }
    }

    /// Returns true when a later look-up may find more.
    pub(crate) fn is_undecided(&self) -> bool {
        self.standing == Standing::Undecided && self.last_fix.is_none()
    }
}

/// Source of what is known of vehicles apart from their alarms.
pub trait KnownVehicles: Send + Sync {
    /// Returns what is known of the vehicle: undecided, if it cannot be looked up `within` this time.
    fn look_up(&self, vehicle_id: &str, within: Duration) -> KnownVehicle;

    /// Call every few seconds: vehicles that were in the fleet at the call before the last one count as known.
    fn mark(&self) {}
}

impl<F: Fn(&str) -> KnownVehicle + Send + Sync> KnownVehicles for F {
    fn look_up(&self, vehicle_id: &str, _: Duration) -> KnownVehicle {
        self(vehicle_id)
    }
}

/// The live fleet as the source. An alarm is a position report as well, so a vehicle that is in the fleet is not known
/// for that: it must have been there a while ago, and must not be remembered as a stranger.
pub struct LiveFleet {
    fleet: Arc<Fleet>,
    marks: Mutex<Marks>,
    strangers: Strangers,
}

/// Growth of the fleet at the last two marks. The older one counts, so that it is never too young.
#[derive(Default)]
struct Marks {
    before: Option<Arc<Growth>>,
    lately: Option<Arc<Growth>>,
}

impl LiveFleet {
    /// Returns a source that reads `fleet`.
    pub fn new(fleet: Arc<Fleet>) -> Self {
        Self { fleet, marks: Mutex::default(), strangers: Strangers::default() }
    }
}

impl KnownVehicles for LiveFleet {
    fn look_up(&self, vehicle_id: &str, within: Duration) -> KnownVehicle {
        let Ok(vehicle_id) = VehicleId::new(vehicle_id) else { return KnownVehicle::STRANGER };
        // Without a mark the fleet is still being read from disk.
        let Some(before) = self.marks.lock().before.clone() else { return KnownVehicle::UNDECIDED };
        let key = Key::of(vehicle_id);
        let Ok(found) = self.fleet.get_and_whether_known(key, &before, within) else {
            return KnownVehicle::UNDECIDED;
        };
        let was_there = found.as_ref().is_some_and(|(_, was_there)| *was_there);
        if !was_there {
            // Its alarm puts it into the fleet, and at the next marks it would seem known.
            self.strangers.remember(key.hash());
        }
        let is_known = was_there && !self.strangers.has(key.hash());
        let standing = if is_known { Standing::Known } else { Standing::Stranger };
        let last_fix = found.map(|(vehicle, _)| {
            let sighting = vehicle.sighting;
            // It was there when the report arrived, at the latest.
            let time_ms = sighting.event_time_ms.min(sighting.receive_time_ms);
            Fix::new(sighting.position, time_ms, false)
        });
        KnownVehicle { standing, last_fix }
    }

    fn mark(&self) {
        let Ok(now) = self.fleet.growth(MARK_WITHIN).map(Arc::new) else { return };
        let mut marks = self.marks.lock();
        // The first mark counts at once: vehicles that are there when the fleet has been read from disk were there
        // before.
        marks.before = Some(marks.lately.replace(now.clone()).unwrap_or(now));
    }
}

/// Bits of the memory for strangers: 8 MiB, of which no page is touched before it is needed.
const BITS: u64 = 1 << 26;

/// Bits per stranger.
const BITS_PER_STRANGER: u32 = 4;

/// Vehicles that were strangers at an alarm in this run: a Bloom filter. It forgets none, and takes one known vehicle
/// in 500 for a stranger once it has met four million.
struct Strangers(Mutex<Box<[u64]>>);

impl Default for Strangers {
    fn default() -> Self {
        Self(Mutex::new(vec![0; (BITS / 64) as usize].into_boxed_slice()))
    }
}

impl Strangers {
    fn remember(&self, hash: u64) {
        let mut bits = self.0.lock();
        for (word, bit) in bits_of(hash) {
            bits[word] |= bit;
        }
    }

    fn has(&self, hash: u64) -> bool {
        let bits = self.0.lock();
        bits_of(hash).all(|(word, bit)| bits[word] & bit != 0)
    }
}

/// Returns the bits of a vehicle, by double hashing (Kirsch and Mitzenmacher 2006).
fn bits_of(hash: u64) -> impl Iterator<Item = (usize, u64)> {
    let step = hash.rotate_left(32).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let bits =
        (0..BITS_PER_STRANGER).map(move |at| hash.wrapping_add(step.wrapping_mul(u64::from(at))) % BITS);
    bits.map(|bit| ((bit / 64) as usize, 1 << (bit % 64)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use vagn_store::{Index, Plan, Sighting, Updates, Writer};

    fn report(writer: &mut Writer, vehicle_id: &str) {
        let key = Key::of(VehicleId::new(vehicle_id).unwrap());
        let sighting = Sighting {
            position: vagn_wire::Position::new(1.0, 2.0).unwrap(),
            event_time_ms: 7,
            receive_time_ms: 7,
            receive_seq: 1,
            seq: None,
            speed_mps: None,
            heading_deg: None,
            emergency: true,
            own_time: false,
            unsure: false,
        };
        let mut updates = Updates::new();
        updates.push(key, key.hash(), sighting);
        writer.write(&updates, &mut Plan::default());
    }

    fn standing(vehicles: &LiveFleet, vehicle_id: &str) -> Option<Standing> {
        let found = vehicles.look_up(vehicle_id, MARK_WITHIN);
        found.last_fix.map(|_| found.standing)
    }

    fn standings(vehicles: &LiveFleet) -> [Option<Standing>; 3] {
        ["old", "new", "unheard of"].map(|vehicle_id| standing(vehicles, vehicle_id))
    }

    #[test]
    fn tells_vehicles_that_were_known_before_from_those_that_came_just_now() {
        let known_and_new = [Some(Standing::Known), Some(Standing::Stranger), None];
        let fleet = Arc::new(Fleet::new(1));
        let vehicles = LiveFleet::new(fleet.clone());
        vehicles.mark();
        let undecided = vehicles.look_up("old", MARK_WITHIN);
        assert!(undecided.is_undecided(), "the fleet is being read from disk");
        let mut writer = Writer::new(Index::new(10));
        report(&mut writer, "old");
        fleet.set(0, Some(writer.reader()));
        vehicles.mark();
        report(&mut writer, "new");
        assert_eq!(standings(&vehicles), known_and_new);
        assert_eq!(vehicles.look_up("unheard of", MARK_WITHIN), KnownVehicle::STRANGER);
        vehicles.mark();
        assert_eq!(standings(&vehicles), known_and_new, "it has not been there for long");
        report(&mut writer, "quiet");
        vehicles.mark();
        vehicles.mark();
        assert_eq!(standing(&vehicles, "quiet"), Some(Standing::Known));
        assert_eq!(standings(&vehicles), known_and_new, "its alarms do not make it known");
        report(&mut writer, "unheard of");
        vehicles.mark();
        vehicles.mark();
        assert_eq!(standing(&vehicles, "unheard of"), Some(Standing::Stranger), "nor does repeating them");
    }

    #[test]
    fn remembers_strangers_and_hardly_takes_another_vehicle_for_one() {
        let strangers = Strangers::default();
        let mut rng = fastrand::Rng::with_seed(7);
        let met: Vec<_> = (0..1_000_000).map(|_| rng.u64(..)).collect();
        for hash in &met {
            strangers.remember(*hash);
        }
        assert!(met.iter().all(|hash| strangers.has(*hash)));
        let mistaken = (0..100_000).filter(|_| strangers.has(rng.u64(..))).count();
        assert!(mistaken < 200, "{mistaken} of 100 000");
    }
}
