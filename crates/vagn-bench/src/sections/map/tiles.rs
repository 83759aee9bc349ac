//! The time and size of tiles.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::ensure;

use crate::https::Https;
use crate::service::Service;
use crate::stats::percentile;

/// Zoom and format of each tile that is measured.
const TILES: [(u32, &str); 6] = [(0, "mvt"), (3, "mvt"), (9, "mvt"), (11, "bin"), (14, "mvt"), (14, "bin")];

/// Pause after the begin of a second: the clocks of service and bench are the same, but not their threads.
const BEHIND_TICK: Duration = Duration::from_millis(30);

/// Figures of one tile.
pub(super) struct TileFigures {
    /// Zoom and format.
    pub(super) name: String,
    /// Median time of the first answer in a second.
    pub(super) anew_s: f64,
    /// Median time of the second answer in a second.
    pub(super) again_s: f64,
    /// Bytes of the last answer.
    pub(super) bytes: usize,
}

/// Returns the path of the tile that has a place.
pub(super) fn path((lat, lon): (f64, f64), zoom: u32, format: &str) -> String {
    let (x, y) = tile(lat, lon, zoom);
    format!("/tiles/{zoom}/{x}/{y}.{format}")
}

/// Returns the tile that has a place, in the spherical Mercator projection (EPSG:3857).
pub(super) fn tile(lat: f64, lon: f64, zoom: u32) -> (u64, u64) {
    let tiles = f64::from(1 << zoom);
    let y = 0.5 - lat.to_radians().tan().asinh() / std::f64::consts::TAU;
    let at = |share: f64| (share * tiles).clamp(0.0, tiles - 1.0) as u64;
    (at((lon + 180.0) / 360.0), at(y))
}

/// Asks for each tile at the begin of `seconds` seconds.
///
/// # Errors
/// When a tile is refused, or the connection breaks.
pub(super) fn measure(
    service: &Service,
    place: (f64, f64),
    seconds: u32,
) -> anyhow::Result<Vec<TileFigures>> {
    let mut https = Https::connect(service.address("http")?)?;
    // The first question makes the service look at the fleet; it may be told to come back.
    https.get("/tiles/0/0/0.mvt")?;
    thread::sleep(Duration::from_secs(3));
    let mut figures = Vec::new();
    for (zoom, format) in TILES {
        let path = path(place, zoom, format);
        let (mut anew, mut again, mut bytes) = (Vec::new(), Vec::new(), 0);
        for _ in 0..seconds {
            wait_for_second();
            for times in [&mut anew, &mut again] {
                let asked = Instant::now();
                let (status, body) = https.get(&path)?;
                times.push(asked.elapsed().as_secs_f64());
                ensure!(status == 200 || status == 204, "{path} was answered with {status}");
                bytes = body.len();
            }
        }
        let [anew_s, again_s] = [&mut anew, &mut again].map(|times| percentile(times, 0.5));
        figures.push(TileFigures { name: format!("z {zoom} .{format}"), anew_s, again_s, bytes });
    }
    Ok(figures)
}

fn wait_for_second() {
    let passed = u64::try_from(jiff::Timestamp::now().subsec_nanosecond()).unwrap_or(0);
    thread::sleep(Duration::from_secs(1) - Duration::from_nanos(passed) + BEHIND_TICK);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_in_the_tile_that_every_map_asks_for() {
        assert_eq!(tile(0.0, 0.0, 0), (0, 0));
        assert_eq!(tile(30.27, -97.74, 11), (467, 843));
        assert_eq!(tile(-33.87, 151.21, 9), (471, 307));
        assert_eq!((tile(89.9, -180.0, 3), tile(-89.9, 180.0, 3)), ((0, 0), (7, 7)));
    }
}
