//! Simulated vehicles that drive straight through a city and turn at its edge.
//!
//! Everything follows from the seed: ids, places, speeds and alarms. The n-th report is the same in every run with the same
//! settings, however fast the machine is, because a vehicle moves by the simulated time between its reports and not by the
//! clock.

use std::time::Duration;

use vagn_wire::{Position, Reject, Report, VehicleId, encode};

use crate::{
    city::{CITIES, City},
    pace::{Pace, Rate},
    source::{Next, Source},
    sphere::{Course, Vector},
    trace::TraceError,
};

/// Length of an id in bytes: a UUID in text.
const ID_LEN: usize = 36;

/// Number of reports of a vehicle after which rounding errors are taken out. They are a millimetre by then.
const STRAIGHTEN_EVERY: u64 = 1024;

/// Settings of a fleet.
#[derive(Debug, Clone, PartialEq)]
pub struct FleetSettings {
    /// Number of vehicles, at least 1; they report in turn.
    pub vehicles: u32,
    /// Reports per second of the whole fleet.
    pub rate: Rate,
    /// Number of reports after which the fleet ends.
    pub count: Option<u64>,
    /// Time after which the fleet ends. At a fixed rate this is a number of reports too.
    pub duration: Option<Duration>,
    /// Share of reports that are alarms, 0 to 1.
    pub emergency_ratio: f64,
    /// Seed of everything that is random.
    pub seed: u64,
    /// Fields beyond the original's four.
    pub extras: Extras,
}

/// Fields beyond the original's four.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Extras {
    /// `Seq` of the first report; each further report adds 1. Asks for acks over TCP.
    pub seq_from: Option<u64>,
    /// `Ts` at the start, in ms since 1970; later reports add the time since the start.
    pub start_ms: Option<i64>,
    /// True if reports have `Speed` and `Heading`.
    pub motion: bool,
}

/// Simulated vehicles, which report in turn.
#[derive(Debug)]
pub struct Fleet {
    settings: FleetSettings,
    total: Option<u64>,
    pace: Pace,
    /// Number of reports before the current pace began.
    before: u64,
    chance: fastrand::Rng,
    vehicles: Vec<Vehicle>,
    /// Ids in place of those of the seed; as many as vehicles, or none.
    names: Vec<Box<str>>,
    turn: usize,
}

#[derive(Debug)]
struct Vehicle {
    id: [u8; ID_LEN],
    city: u8,
    speed_mps: f32,
    course: Course,
}

impl Fleet {
    /// Puts the vehicles in place.
    pub fn new(settings: FleetSettings) -> Self {
        let mut chance = fastrand::Rng::with_seed(settings.seed);
        let vehicles = (0..settings.vehicles.max(1)).map(|_| Vehicle::new(&mut chance)).collect();
        let total = total(&settings);
        let pace = Pace::new(settings.rate);
        Self { total, pace, before: 0, chance, vehicles, names: Vec::new(), turn: 0, settings }
    }

    /// Continues from the present places of the vehicles, at another rate and towards another end. The time given to
    /// [`Source::next`] begins again at zero.
    pub fn go_on(&mut self, rate: Rate, count: Option<u64>, duration: Option<Duration>) {
        self.before += self.pace.sent();
        self.settings = FleetSettings { rate, count, duration, ..self.settings.clone() };
        self.total = total(&self.settings);
        self.pace = Pace::new(rate);
    }

    /// Gives the vehicles these ids, in the order in which they report; vehicles beyond them leave the fleet.
    ///
    /// # Errors
    /// One of them can be no id of a vehicle, or there is none.
    pub fn name_vehicles(&mut self, names: Vec<Box<str>>) -> Result<(), Reject> {
        names.iter().try_for_each(|name| VehicleId::new(name).map(drop))?;
        let count = names.len().min(self.vehicles.len());
        if count == 0 {
            return Err(Reject::NoId);
        }
        self.vehicles.truncate(count);
        self.settings.vehicles = count as u32;
        self.names = names;
        Ok(())
    }

    /// Ids of all vehicles, in the order in which they report.
    pub fn ids(&self) -> impl Iterator<Item = &str> {
        let named = self.vehicles.iter().enumerate();
        named.map(|(turn, vehicle)| self.names.get(turn).map_or(vehicle.id(), |name| name))
    }

    /// Seconds of simulated time between two reports of a vehicle.
    fn step_s(&self) -> f64 {
        match self.settings.rate {
            Rate::PerSecond(rate) => self.vehicles.len() as f64 / rate,
            Rate::Max => 1.0,
        }
    }

    fn ended(&self, elapsed: Duration) -> bool {
        match self.total {
            Some(total) => self.pace.sent() >= total,
            None => self.settings.duration.is_some_and(|duration| elapsed >= duration),
        }
    }

    fn report(&mut self, number: u64, elapsed: Duration, out: &mut Vec<u8>) -> bool {
        let step_s = self.step_s();
        let emergency =
            self.settings.emergency_ratio > 0.0 && self.chance.f64() < self.settings.emergency_ratio;
        let vehicle = &mut self.vehicles[self.turn];
        let round = number / self.settings.vehicles.max(1) as u64;
        if round > 0 {
            vehicle.drive(step_s, round.is_multiple_of(STRAIGHTEN_EVERY), &mut self.chance);
        }
        let mut report = vehicle.report(emergency, number, elapsed, &self.settings.extras);
        if let Some(name) = self.names.get(self.turn) {
            report.vehicle_id = VehicleId::new(name).expect("names are checked when they are given");
        }
        encode(&report, out);
        self.turn = (self.turn + 1) % self.vehicles.len();
        emergency
    }
}

impl Source for Fleet {
    fn next(&mut self, elapsed: Duration, out: &mut Vec<u8>) -> Result<Next, TraceError> {
        if self.ended(elapsed) {
            return Ok(Next::End);
        }
        let number = self.before + self.pace.sent();
        if let Err(wait) = self.pace.take(elapsed) {
            return Ok(Next::Wait(wait));
        }
        Ok(Next::Report { emergency: self.report(number, elapsed, out) })
    }

    fn total(&self) -> Option<u64> {
        self.total
    }
}

impl Vehicle {
    fn new(chance: &mut fastrand::Rng) -> Self {
        let id = uuid_v4(chance.u128(..));
        let city = chance.u8(..CITIES.len() as u8);
        let City { lat, lon, radius_m, .. } = CITIES[usize::from(city)];
        let mut course = Course::new(Vector::from_degrees(lat, lon), chance.f64() * 360.0);
        // The square root spreads the vehicles evenly over the area of the circle.
        course.advance(radius_m * chance.f64().sqrt() * 0.99);
        course.straighten();
        let course = Course::new(course.place, chance.f64() * 360.0);
        Self { id, city, speed_mps: 3.0 + 22.0 * chance.f32(), course }
    }

    fn id(&self) -> &str {
        std::str::from_utf8(&self.id).expect("an id is made of hexadecimal digits and dashes")
    }

    fn drive(&mut self, step_s: f64, straighten: bool, chance: &mut fastrand::Rng) {
        // A step across the whole city would leave it, so a vehicle that reports that seldom drives a shorter way.
        let City { lat, lon, radius_m, .. } = CITIES[usize::from(self.city)];
        self.course.advance((f64::from(self.speed_mps) * step_s).min(radius_m / 4.0));
        if straighten {
            self.course.straighten();
        }
        let centre = Vector::from_degrees(lat, lon);
        if self.course.place.dot(centre) < (radius_m / crate::sphere::EARTH_RADIUS_M).cos() {
            self.course = Course::towards(self.course.place, centre, chance.f64() * 90.0 - 45.0);
        }
    }

    fn report(&self, emergency: bool, number: u64, elapsed: Duration, extras: &Extras) -> Report<'_> {
        let (lat, lon) = self.course.place.to_degrees();
        let position = Position::new(lat, lon).expect("a unit vector points to a place on the globe");
        let vehicle_id = VehicleId::from_bytes(&self.id).expect("a UUID in text is an id");
        Report {
            emergency,
            event_time_ms: extras.start_ms.map(|start_ms| start_ms + elapsed.as_millis() as i64),
            seq: extras.seq_from.map(|from| from.wrapping_add(number)),
            speed_mps: extras.motion.then_some(self.speed_mps),
            heading_deg: extras.motion.then(|| self.course.heading_deg() as f32),
            ..Report::new(vehicle_id, position)
        }
    }
}

/// Number of reports, if it follows from the settings.
fn total(settings: &FleetSettings) -> Option<u64> {
    let by_time = match (settings.rate, settings.duration) {
        (Rate::PerSecond(rate), Some(duration)) => Some((rate * duration.as_secs_f64()).floor() as u64),
        _ => None,
    };
    match (settings.count, by_time) {
        (Some(count), Some(by_time)) => Some(count.min(by_time)),
        (count, by_time) => count.or(by_time),
    }
}

/// Writes a random UUID in its usual text form: lower case, version 4, variant 1.
fn uuid_v4(random: u128) -> [u8; ID_LEN] {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let bits = random & !(0xf << 76) & !(0x3 << 62) | (0x4 << 76) | (0x2 << 62);
    let mut text = [b'-'; ID_LEN];
    let places = (0..ID_LEN).filter(|place| ![8, 13, 18, 23].contains(place));
    for (digit, place) in places.enumerate() {
        text[place] = DIGITS[(bits >> (124 - 4 * digit) & 0xf) as usize];
    }
    text
}

#[cfg(test)]
mod tests {
    use vagn_wire::decode;

    use super::*;
    use crate::sphere::distance_m;

    fn settings() -> FleetSettings {
        FleetSettings {
            vehicles: 50,
            rate: Rate::PerSecond(10.0),
            count: Some(5_000),
            duration: None,
            emergency_ratio: 0.0,
            seed: 7,
            extras: Extras::default(),
        }
    }

    /// All reports of a fleet, each as bytes.
    fn drive(settings: FleetSettings) -> Vec<Vec<u8>> {
        let mut fleet = Fleet::new(settings);
        let (mut reports, mut elapsed) = (Vec::new(), Duration::ZERO);
        loop {
            let mut out = Vec::new();
            match fleet.next(elapsed, &mut out).unwrap() {
                Next::Report { .. } => reports.push(out),
                Next::Wait(wait) => elapsed += wait,
                Next::End => return reports,
            }
        }
    }

    #[test]
    fn the_same_seed_gives_the_same_traffic() {
        let ratio = |seed| FleetSettings { seed, emergency_ratio: 0.1, ..settings() };
        assert_eq!(drive(ratio(7)), drive(ratio(7)));
        assert_ne!(drive(ratio(7)), drive(ratio(8)));
    }

    #[test]
    fn reports_in_the_layout_of_the_original() {
        for report in drive(settings()) {
            assert_eq!(report.len(), 79);
            let report = decode(&report).unwrap();
            assert!(!report.emergency);
            assert_eq!(report.vehicle_id.as_str().as_bytes()[14], b'4', "{}", report.vehicle_id);
        }
    }

    #[test]
    fn vehicles_stay_in_their_city_and_never_jump() {
        let reports = drive(settings());
        for vehicle in 0..50 {
            let track = reports.iter().skip(vehicle).step_by(50).map(|bytes| {
                let position = decode(bytes).unwrap().position.unwrap();
                (position.lat(), position.lon())
            });
            let track: Vec<_> = track.collect();
            let off_centre = |city: &City| distance_m((city.lat, city.lon), track[0]) < city.radius_m;
            let city = CITIES.iter().find(|city| off_centre(city)).unwrap();
            for pair in track.windows(2) {
                let step = distance_m(pair[0], pair[1]);
                assert!((14.9..=125.1).contains(&step), "3 to 25 m/s for 5 s, not {step} m");
                let away = distance_m((city.lat, city.lon), pair[1]);
                assert!(away < city.radius_m + 126.0, "{away} m from the centre of {}", city.name);
            }
        }
    }

    #[test]
    fn raises_alarms_as_often_as_set() {
        let all = drive(FleetSettings { emergency_ratio: 1.0, ..settings() });
        assert!(all.iter().all(|report| report.last() == Some(&0xc3)));
        let some = drive(FleetSettings { emergency_ratio: 0.1, ..settings() });
        let alarms = some.iter().filter(|report| decode(report).unwrap().emergency).count();
        assert!((400..=600).contains(&alarms), "{alarms} of 5000");
    }

    #[test]
    fn adds_further_fields_when_asked() {
        let extras = Extras { seq_from: Some(100), start_ms: Some(1_000_000), motion: true };
        let reports = drive(FleetSettings { extras, ..settings() });
        let tenth = decode(&reports[10]).unwrap();
        assert_eq!((tenth.seq, tenth.event_time_ms), (Some(110), Some(1_001_000)));
        assert!(tenth.speed_mps.is_some() && tenth.heading_deg.is_some());
    }

    #[test]
    fn takes_other_ids_when_given() {
        let names: Vec<Box<str>> = ["bus-1", "bus-2", "bus-3"].map(Into::into).to_vec();
        let mut fleet = Fleet::new(FleetSettings { rate: Rate::Max, count: Some(6), ..settings() });
        fleet.name_vehicles(names.clone()).unwrap();
        assert_eq!(fleet.ids().collect::<Vec<_>>(), ["bus-1", "bus-2", "bus-3"]);
        let sent = (0..6).map(|_| {
            let mut out = Vec::new();
            fleet.next(Duration::ZERO, &mut out).unwrap();
            Box::from(decode(&out).unwrap().vehicle_id.as_str())
        });
        assert_eq!(sent.collect::<Vec<Box<str>>>(), [&names[..], &names[..]].concat());
        assert_eq!(Fleet::new(settings()).name_vehicles(vec!["".into()]), Err(Reject::BadId));
        assert_eq!(Fleet::new(settings()).name_vehicles(vec![]), Err(Reject::NoId));
    }

    #[test]
    fn continues_from_the_place_where_it_stopped() {
        let extras = Extras { seq_from: Some(0), ..Extras::default() };
        let mut fleet = Fleet::new(FleetSettings { rate: Rate::Max, count: Some(50), extras, ..settings() });
        let (mut first, mut rest) = (Vec::new(), Vec::new());
        fleet.next(Duration::ZERO, &mut first).unwrap();
        while let Next::Report { .. } = fleet.next(Duration::ZERO, &mut rest).unwrap() {}
        fleet.go_on(Rate::Max, Some(1), None);
        let mut later = Vec::new();
        assert_eq!(fleet.next(Duration::ZERO, &mut later).unwrap(), Next::Report { emergency: false });
        assert_eq!(fleet.next(Duration::ZERO, &mut later).unwrap(), Next::End);
        let (first, later) = (decode(&first).unwrap(), decode(&later).unwrap());
        assert_eq!((first.vehicle_id, later.seq), (later.vehicle_id, Some(50)));
        assert_ne!(first.position, later.position);
    }

    #[test]
    fn ends_at_the_first_of_count_and_duration() {
        let until = |count, seconds: Option<u64>| {
            drive(FleetSettings { count, duration: seconds.map(Duration::from_secs), ..settings() }).len()
        };
        assert_eq!(until(Some(30), None), 30);
        assert_eq!(until(None, Some(4)), 40);
        assert_eq!(until(Some(30), Some(4)), 30);
        assert_eq!(until(Some(50), Some(4)), 40);
    }
}
