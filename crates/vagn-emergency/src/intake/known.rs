//! What is known of a vehicle apart from its call for help: where it was seen last, and whether anybody knew it before.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use vagn_store::{Fleet, Growth, Key};
use vagn_wire::VehicleId;

use crate::fix::Fix;

/// Longest wait for the fleet to say how far it has grown. Its writers let readers in after some 50 µs.
const MARK_WITHIN: Duration = Duration::from_millis(5);

/// The fleet cannot say yet where anybody is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotYet;

/// What is known of a vehicle.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct KnownVehicle {
    /// Where it was last.
    pub place: Fix,
    /// It was known some seconds ago: not only because it now calls for help.
    pub familiar: bool,
}

/// Who can say what is known of vehicles.
pub trait KnownVehicles: Send + Sync {
    /// What is known of the vehicle; `None`: nothing.
    ///
    /// # Errors
    /// When that cannot be said `within` this time.
    fn last(&self, vehicle_id: &str, within: Duration) -> Result<Option<KnownVehicle>, NotYet>;

    /// Some seconds have passed: who is there now counts as known once this is called again.
    fn mark(&self) {}
}

impl<F: Fn(&str) -> Result<Option<KnownVehicle>, NotYet> + Send + Sync> KnownVehicles for F {
    fn last(&self, vehicle_id: &str, _: Duration) -> Result<Option<KnownVehicle>, NotYet> {
        self(vehicle_id)
    }
}

/// The live fleet, how far it had grown a while ago, and who called for help before anybody knew it: its call is a position
/// as well, but makes no known vehicle of it.
pub struct LiveFleet {
    fleet: Arc<Fleet>,
    marks: Mutex<Marks>,
    strangers: Strangers,
}

/// Two moments, so that the older of them is never too young.
#[derive(Default)]
struct Marks {
    before: Option<Arc<Growth>>,
    lately: Option<Arc<Growth>>,
}

impl LiveFleet {
    /// What `fleet` knows.
    pub fn new(fleet: Arc<Fleet>) -> Self {
        Self { fleet, marks: Mutex::default(), strangers: Strangers::default() }
    }
}

impl KnownVehicles for LiveFleet {
    fn last(&self, vehicle_id: &str, within: Duration) -> Result<Option<KnownVehicle>, NotYet> {
        let Ok(vehicle_id) = VehicleId::new(vehicle_id) else { return Ok(None) };
        let Some(before) = self.marks.lock().before.clone() else { return Err(NotYet) };
        let key = Key::of(vehicle_id);
        let found = self.fleet.get_and_whether_known(key, &before, within).map_err(|_| NotYet)?;
        let was_there = found.is_some_and(|(_, was_there)| was_there);
        let familiar = was_there && !self.strangers.has(key.hash());
        if !was_there {
            self.strangers.remember(key.hash());
        }
        Ok(found.map(|(vehicle, _)| {
            let place = Fix::new(vehicle.sighting.position, vehicle.sighting.event_time_ms, false);
            KnownVehicle { place, familiar }
        }))
    }

    fn mark(&self) {
        let Ok(now) = self.fleet.growth(MARK_WITHIN).map(Arc::new) else { return };
        let mut marks = self.marks.lock();
        // Whoever is there when the fleet has been read from disk was there before.
        marks.before = Some(marks.lately.replace(now.clone()).unwrap_or(now));
    }
}

/// Bits of the memory: 8 MiB, of which no page is touched before it is needed.
const BITS: u64 = 1 << 26;

/// Marks per vehicle.
const MARKS: u32 = 4;

/// Whom the lane has met as a stranger in this run: a Bloom filter. It forgets none, and takes one known vehicle in 500 for a
/// stranger once it has met four million.
struct Strangers(Mutex<Box<[u64]>>);

impl Default for Strangers {
    fn default() -> Self {
        Self(Mutex::new(vec![0; (BITS / 64) as usize].into_boxed_slice()))
    }
}

impl Strangers {
    fn remember(&self, hash: u64) {
        let mut bits = self.0.lock();
        marks(hash).for_each(|(word, bit)| bits[word] |= bit);
    }

    fn has(&self, hash: u64) -> bool {
        let bits = self.0.lock();
        marks(hash).all(|(word, bit)| bits[word] & bit != 0)
    }
}

/// Where a vehicle leaves its marks: by double hashing (Kirsch and Mitzenmacher 2006).
fn marks(hash: u64) -> impl Iterator<Item = (usize, u64)> {
    let step = hash.rotate_left(32).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let bits = (0..MARKS).map(move |at| hash.wrapping_add(step.wrapping_mul(u64::from(at))) % BITS);
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
        };
        let mut updates = Updates::new();
        updates.push(key, key.hash(), sighting);
        writer.write(&updates, &mut Plan::default());
    }

    #[test]
    fn tells_who_was_known_before_from_who_came_just_now() {
        let fleet = Arc::new(Fleet::new(1));
        let sightings = LiveFleet::new(fleet.clone());
        sightings.mark();
        assert_eq!(sightings.last("old", MARK_WITHIN), Err(NotYet), "the fleet is being read from disk");
        let mut writer = Writer::new(Index::new(10));
        report(&mut writer, "old");
        fleet.set(0, Some(writer.reader()));
        sightings.mark();
        report(&mut writer, "new");
        let familiar = |name: &str| sightings.last(name, MARK_WITHIN).unwrap().map(|seen| seen.familiar);
        let all = || ["old", "new", "unheard of"].map(familiar);
        assert_eq!(all(), [Some(true), Some(false), None]);
        sightings.mark();
        assert_eq!(all(), [Some(true), Some(false), None], "it has not been there for long");
        report(&mut writer, "quiet");
        sightings.mark();
        sightings.mark();
        assert_eq!(familiar("quiet"), Some(true));
        assert_eq!(all(), [Some(true), Some(false), None], "its calls for help do not make it known");
        report(&mut writer, "unheard of");
        sightings.mark();
        sightings.mark();
        assert_eq!(familiar("unheard of"), Some(false), "nor does repeating them");
    }

    #[test]
    fn remembers_strangers_and_hardly_takes_anybody_else_for_one() {
        let strangers = Strangers::default();
        let mut rng = fastrand::Rng::with_seed(7);
        let met: Vec<_> = (0..1_000_000).map(|_| rng.u64(..)).collect();
        met.iter().for_each(|hash| strangers.remember(*hash));
        assert!(met.iter().all(|hash| strangers.has(*hash)));
        let mistaken = (0..100_000).filter(|_| strangers.has(rng.u64(..))).count();
        assert!(mistaken < 200, "{mistaken} of 100 000");
    }
}
