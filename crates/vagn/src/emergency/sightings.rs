//! What is known of a vehicle apart from its call for help: where it was seen last, and whether anybody knew it before.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use vagn_store::{Fleet, Growth, Key};
use vagn_wire::VehicleId;

use super::place::Place;

/// Longest wait for the fleet to say how far it has grown. Its writers let readers in after some 50 µs.
const MARK_WITHIN: Duration = Duration::from_millis(5);

/// The fleet cannot say yet where anybody is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotYet;

/// What is known of a vehicle.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Seen {
    /// Where it was last.
    pub place: Place,
    /// It was known some seconds ago: not only because it now calls for help.
    pub familiar: bool,
}

/// Who can say what is known of vehicles.
pub trait Sightings: Send + Sync {
    /// What is known of the vehicle; `None`: nothing.
    ///
    /// # Errors
    /// When that cannot be said `within` this time.
    fn last(&self, vehicle_id: &str, within: Duration) -> Result<Option<Seen>, NotYet>;

    /// Some seconds have passed: who is there now counts as known once this is called again.
    fn mark(&self) {}
}

impl<F: Fn(&str) -> Result<Option<Seen>, NotYet> + Send + Sync> Sightings for F {
    fn last(&self, vehicle_id: &str, _: Duration) -> Result<Option<Seen>, NotYet> {
        self(vehicle_id)
    }
}

/// The live fleet, and how far it had grown a while ago.
pub struct LiveFleet {
    fleet: Arc<Fleet>,
    marks: Mutex<Marks>,
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
        Self { fleet, marks: Mutex::default() }
    }
}

impl Sightings for LiveFleet {
    fn last(&self, vehicle_id: &str, within: Duration) -> Result<Option<Seen>, NotYet> {
        let Ok(vehicle_id) = VehicleId::new(vehicle_id) else { return Ok(None) };
        let Some(before) = self.marks.lock().before.clone() else { return Err(NotYet) };
        let found = self.fleet.get_and_whether_known(Key::of(vehicle_id), &before, within);
        let seen = found.map_err(|_| NotYet)?.map(|(vehicle, familiar)| {
            let place = Place::new(vehicle.sighting.position, vehicle.sighting.event_time_ms, false);
            Seen { place, familiar }
        });
        Ok(seen)
    }

    fn mark(&self) {
        let Ok(now) = self.fleet.growth(MARK_WITHIN).map(Arc::new) else { return };
        let mut marks = self.marks.lock();
        // Whoever is there when the fleet has been read from disk was there before.
        marks.before = Some(marks.lately.replace(now.clone()).unwrap_or(now));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use vagn_store::{Index, Sighting, Updates, Writer};

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
        writer.apply(&updates, &mut Vec::new());
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
        sightings.mark();
        assert_eq!(all(), [Some(true), Some(true), None]);
    }
}
