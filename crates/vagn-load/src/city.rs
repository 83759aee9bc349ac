//! Circles around cities, in which simulated vehicles drive.

/// A circle on the globe.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct City {
    /// Name of the city.
    pub name: &'static str,
    /// Latitude of its centre in degrees.
    pub lat: f64,
    /// Longitude of its centre in degrees.
    pub lon: f64,
    /// Radius of the circle, in metres.
    pub radius_m: f64,
}

const fn city(name: &'static str, lat: f64, lon: f64, radius_m: f64) -> City {
    City { name, lat, lon, radius_m }
}

/// The cities of the simulation. Taveuni lies on the antimeridian and Longyearbyen far north, where errors in distances show.
pub const CITIES: [City; 20] = [
    city("Austin", 30.27, -97.74, 18_000.0),
    city("København", 55.68, 12.57, 12_000.0),
    city("Berlin", 52.52, 13.40, 18_000.0),
    city("London", 51.51, -0.13, 22_000.0),
    city("New York", 40.73, -73.94, 20_000.0),
    city("San Francisco", 37.76, -122.44, 8_000.0),
    city("Ciudad de México", 19.43, -99.13, 20_000.0),
    city("São Paulo", -23.55, -46.63, 25_000.0),
    city("Lagos", 6.52, 3.38, 18_000.0),
    city("Nairobi", -1.29, 36.82, 12_000.0),
    city("Mumbai", 19.08, 72.88, 18_000.0),
    city("Delhi", 28.65, 77.23, 20_000.0),
    city("Singapore", 1.35, 103.82, 15_000.0),
    city("Jakarta", -6.20, 106.82, 18_000.0),
    city("Tokyo", 35.69, 139.69, 25_000.0),
    city("Seoul", 37.55, 126.98, 16_000.0),
    city("Sydney", -33.87, 151.10, 20_000.0),
    city("Auckland", -36.86, 174.76, 14_000.0),
    city("Taveuni", -16.85, 180.0, 15_000.0),
    city("Longyearbyen", 78.22, 15.65, 4_000.0),
];
