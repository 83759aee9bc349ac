//! Moving on a great circle.
//!
//! A place and a direction are two unit vectors at right angles, so that a step is the same everywhere: at the poles and
//! over the antimeridian too.

/// Mean radius of the Earth in metres, the same that Vagn uses for its distances.
pub(crate) const EARTH_RADIUS_M: f64 = 6_371_008.8;

/// A vector in space; x points to (0, 0), z to the North Pole.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Vector(pub(crate) [f64; 3]);

impl Vector {
    pub(crate) fn from_degrees(lat: f64, lon: f64) -> Self {
        let (sin_lat, cos_lat) = lat.to_radians().sin_cos();
        let (sin_lon, cos_lon) = lon.to_radians().sin_cos();
        Self([cos_lat * cos_lon, cos_lat * sin_lon, sin_lat])
    }

    /// Latitude and longitude in degrees.
    pub(crate) fn to_degrees(self) -> (f64, f64) {
        let [x, y, z] = self.0;
        (z.clamp(-1.0, 1.0).asin().to_degrees(), y.atan2(x).to_degrees())
    }

    pub(crate) fn dot(self, other: Self) -> f64 {
        self.0.iter().zip(other.0).map(|(a, b)| a * b).sum()
    }

    fn cross(self, other: Self) -> Self {
        let [a, b, c] = self.0;
        let [d, e, f] = other.0;
        Self([b * f - c * e, c * d - a * f, a * e - b * d])
    }

    fn mix(self, weight: f64, other: Self, other_weight: f64) -> Self {
        Self(std::array::from_fn(|i| self.0[i] * weight + other.0[i] * other_weight))
    }

    fn unit(self) -> Self {
        let length = self.dot(self).sqrt();
        Self(self.0.map(|part| part / length))
    }
}

/// A place and a direction.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Course {
    pub(crate) place: Vector,
    way: Vector,
}

impl Course {
    /// Begins at `place`, in the direction `heading_deg` clockwise from north.
    pub(crate) fn new(place: Vector, heading_deg: f64) -> Self {
        let (east, north) = compass(place);
        let (sin, cos) = heading_deg.to_radians().sin_cos();
        Self { place, way: north.mix(cos, east, sin).unit() }
    }

    /// Begins at `place`, towards `goal` but turned by `off_deg`. The direction is arbitrary when both are the same place.
    pub(crate) fn towards(place: Vector, goal: Vector, off_deg: f64) -> Self {
        let (east, north) = compass(place);
        let heading_deg = goal.dot(east).atan2(goal.dot(north)).to_degrees();
        Self::new(place, heading_deg + off_deg)
    }

    /// Moves on by `metres`; correct to a micrometre for steps up to 10 km.
    pub(crate) fn advance(&mut self, metres: f64) {
        // The first terms of sine and cosine: steps are small, and this runs once per simulated report.
        let angle = metres / EARTH_RADIUS_M;
        let square = angle * angle;
        let sin = angle * (1.0 - square / 6.0);
        let cos = 1.0 - square / 2.0 * (1.0 - square / 12.0);
        let place = self.place.mix(cos, self.way, sin);
        self.way = self.way.mix(cos, self.place, -sin);
        self.place = place;
    }

    /// Takes out the rounding errors that many small steps add up.
    pub(crate) fn straighten(&mut self) {
        self.place = self.place.unit();
        let along = self.way.dot(self.place);
        self.way = self.way.mix(1.0, self.place, -along).unit();
    }

    /// Degrees clockwise from north, 0..360.
    pub(crate) fn heading_deg(&self) -> f64 {
        let (east, north) = compass(self.place);
        self.way.dot(east).atan2(self.way.dot(north)).to_degrees().rem_euclid(360.0)
    }
}

/// Gives east and north at a place; at a pole, as if it lay on the meridian of Greenwich.
fn compass(place: Vector) -> (Vector, Vector) {
    let [x, y, _] = place.0;
    let east = if x.hypot(y) < 1e-12 { Vector([0.0, 1.0, 0.0]) } else { Vector([-y, x, 0.0]).unit() };
    (east, place.cross(east))
}

/// Great-circle distance in metres between two pairs of degrees.
pub(crate) fn distance_m(from: (f64, f64), to: (f64, f64)) -> f64 {
    let from_lat = from.0.to_radians();
    let to_lat = to.0.to_radians();
    let half_lat = ((to_lat - from_lat) / 2.0).sin();
    let half_lon = ((to.1 - from.1).to_radians() / 2.0).sin();
    let haversine = half_lat * half_lat + from_lat.cos() * to_lat.cos() * half_lon * half_lon;
    2.0 * EARTH_RADIUS_M * haversine.clamp(0.0, 1.0).sqrt().asin()
}

/// Heading from one pair of degrees to another, clockwise from north, 0..360.
pub(crate) fn heading_deg(from: (f64, f64), to: (f64, f64)) -> f64 {
    let place = Vector::from_degrees(from.0, from.1);
    Course::towards(place, Vector::from_degrees(to.0, to.1), 0.0).heading_deg()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn walked(lat: f64, lon: f64, heading: f64, metres: f64) -> (f64, f64) {
        let mut course = Course::new(Vector::from_degrees(lat, lon), heading);
        for _ in 0..1000 {
            course.advance(metres / 1000.0);
        }
        course.straighten();
        course.place.to_degrees()
    }

    #[test]
    fn walks_as_far_as_it_says() {
        for (lat, lon, heading) in [(30.27, -97.74, 45.0), (-16.8, 179.99, 90.0), (89.99, 12.0, 3.0)] {
            let end = walked(lat, lon, heading, 20_000.0);
            let off = distance_m((lat, lon), end) - 20_000.0;
            assert!(off.abs() < 0.01, "{lat} {lon}: off by {off} m");
        }
    }

    #[test]
    fn crosses_the_antimeridian_and_the_pole() {
        assert!(walked(-16.8, 179.99, 90.0, 20_000.0).1 < -179.0);
        let (lat, lon) = walked(89.95, 10.0, 0.0, 20_000.0);
        assert!(lat > 89.8 && (lon - -170.0).abs() < 0.01, "{lat} {lon}");
    }

    #[test]
    fn tells_headings_clockwise_from_north() {
        for (to, heading) in
            [((1.0, 0.0), 0.0), ((0.0, 1.0), 90.0), ((-1.0, 0.0), 180.0), ((0.0, -1.0), 270.0)]
        {
            assert!((heading_deg((0.0, 0.0), to) - heading).abs() < 1e-9, "{to:?}");
        }
    }
}
