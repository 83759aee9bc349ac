//! Binary tiles: 32 bytes per vehicle with both of its fixes, which a shader can read as they are.
//!
//! Little endian. The first 32 bytes are the head. `docs/map.md` has the table.

use crate::fixes::Fix;

/// Bytes of the head, and of each vehicle.
pub(crate) const STRIDE: usize = 32;
const VERSION: u16 = 1;
/// Part of the head that tells the time of the tick, and no content.
pub(crate) const TICK: std::ops::Range<usize> = 8..16;

/// Flag of a vehicle with an open real incident.
pub(crate) const REAL: u8 = 1;
/// Flag of a vehicle with an open drill.
pub(crate) const DRILL: u8 = 2;
/// Flag of a vehicle whose time is that of the arrival, because its own cannot be.
pub(crate) const UNSURE: u8 = 4;

/// Heading that is not known.
const NO_HEADING: u16 = u16::MAX;
/// Speed that is not known.
const NO_SPEED: u8 = u8::MAX;

/// A vehicle in a binary tile.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct BinVehicle {
    pub(crate) last: Fix,
    pub(crate) before: Option<Fix>,
    /// Arrival of the last fix, ms since 1970.
    pub(crate) receive_time_ms: i64,
    pub(crate) key: u32,
    pub(crate) heading_deg: Option<f32>,
    pub(crate) speed_mps: Option<f32>,
    pub(crate) flags: u8,
}

/// Writes a tile.
pub(crate) fn write(vehicles: &[BinVehicle], tick_ms: i64) -> Vec<u8> {
    let base_ms = vehicles.iter().map(|vehicle| vehicle.receive_time_ms).max().unwrap_or(0);
    let mut out = head(vehicles.len() as u32, tick_ms, base_ms, 0);
    out.reserve_exact(vehicles.len() * STRIDE);
    for vehicle in vehicles {
        push(&mut out, vehicle, base_ms);
    }
    out
}

/// Writes a tile with too many vehicles.
pub(crate) fn write_too_many(tick_ms: i64) -> Vec<u8> {
    head(0, tick_ms, 0, 1)
}

fn head(count: u32, tick_ms: i64, base_ms: i64, kind: u8) -> Vec<u8> {
    let mut out = Vec::with_capacity(STRIDE);
    out.extend_from_slice(&(STRIDE as u16).to_le_bytes());
    out.extend_from_slice(&VERSION.to_le_bytes());
    out.extend_from_slice(&count.to_le_bytes());
    out.extend_from_slice(&tick_ms.to_le_bytes());
    out.extend_from_slice(&base_ms.to_le_bytes());
    out.push(kind);
    out.resize(STRIDE, 0);
    out
}

fn push(out: &mut Vec<u8>, vehicle: &BinVehicle, base_ms: i64) {
    let last = vehicle.last;
    let between_ms = vehicle.before.map_or(0, |before| last.time_ms.saturating_sub(before.time_ms));
    let between = u32::try_from(between_ms).unwrap_or(if between_ms > 0 { u32::MAX } else { 0 });
    // Without a time between them nothing can be drawn between two fixes.
    let before = vehicle.before.filter(|_| between > 0).unwrap_or(last);
    let received = base_ms.saturating_sub(vehicle.receive_time_ms);
    out.extend_from_slice(&last.lon.to_le_bytes());
    out.extend_from_slice(&last.lat.to_le_bytes());
    out.extend_from_slice(&before.lon.to_le_bytes());
    out.extend_from_slice(&before.lat.to_le_bytes());
    out.extend_from_slice(&u32::try_from(received).unwrap_or(u32::MAX).to_le_bytes());
    out.extend_from_slice(&between.to_le_bytes());
    out.extend_from_slice(&vehicle.key.to_le_bytes());
    out.extend_from_slice(&heading(vehicle.heading_deg).to_le_bytes());
    out.push(speed(vehicle.speed_mps));
    out.push(vehicle.flags);
}

/// Returns a heading in hundredths of a degree.
fn heading(degrees: Option<f32>) -> u16 {
    degrees.map_or(NO_HEADING, |degrees| (f64::from(degrees) * 100.0).round() as u16 % 36_000)
}

/// Returns a speed in whole m/s.
fn speed(mps: Option<f32>) -> u8 {
    mps.map_or(NO_SPEED, |mps| mps.round().min(f32::from(NO_SPEED) - 1.0) as u8)
}
